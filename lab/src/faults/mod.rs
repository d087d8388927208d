//! What is to go wrong between clients and servers: one vocabulary for every server of the lab.
//!
//! A [`Rule`] says which requests it is for, how often, and what happens to them. Rules come from `[faults]` of the
//! data-centre file and, at run time, from the endpoint [`admin::PATH`] that each server has. A server joins with two lines:
//! it takes its connections with [`Faults::accept`], and lets each request go through [`Faults::around`].
//!
//! Faults of the network run in real time, whatever the time scale: clients' patience is not scaled either. The lab's own
//! controllers are spared unless a rule names them.

pub mod admin;
mod ask;
mod body;
mod change;
mod effect;
mod rule;
mod wire;
pub mod words;

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub(crate) use ask::agent;
pub use ask::{Ask, Server};
pub use body::{Body, full};
pub use change::{Changes, CopyChange, GuestChange, ImageChange, MachineChange, ObjectChange, SshFault};
pub use effect::{Cut, Refusal};
pub use rule::{Effect, Rule};
pub use wire::{Cutter, Wire};

/// User agent of the lab's own clients of its servers.
pub const OWN_AGENT: &str = concat!("mtv-lab/", env!("CARGO_PKG_VERSION"));

/// `[faults]` of the data-centre file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FaultsModel {
    /// Seed of the chance of rules with a `probability`: the same seed, the same choice for the n-th request of a rule.
    pub seed: u64,
    /// What happens to requests; the first rule that fits and whose turn it is holds.
    pub requests: Vec<Rule>,
    /// Objects that are created otherwise than they should.
    pub objects: Vec<ObjectChange>,
    /// Migrated guests that come up otherwise than they should.
    pub guests: Vec<GuestChange>,
    /// Source VMs that do more than they are asked for.
    pub machines: Vec<MachineChange>,
    /// Images that nodes cannot pull.
    pub images: Vec<ImageChange>,
    /// Copies by a storage array that turn out otherwise than they should.
    pub copies: Vec<CopyChange>,
}

impl FaultsModel {
    /// What is not about requests.
    pub fn changes(&self) -> Changes {
        Changes {
            objects: self.objects.clone(),
            guests: self.guests.clone(),
            machines: self.machines.clone(),
            images: self.images.clone(),
            copies: self.copies.clone(),
        }
    }
}

/// A rule at work.
#[derive(Debug, Clone, Serialize)]
pub struct Working {
    /// Number under which it can be taken away.
    pub id: u64,
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// Requests that it was for so far.
    pub seen: u64,
    /// Those that it happened to.
    pub done: u64,
}

#[derive(Debug, Default)]
struct State {
    seed: u64,
    next: u64,
    rules: Vec<Working>,
    changes: Changes,
}

/// All rules of a lab. Clones are handles to the same ones.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    /// Who may change rules over HTTP; none: nobody.
    token: Arc<Mutex<Option<String>>>,
}

impl Faults {
    /// The rules of a data-centre file, which has checked them.
    pub fn new(model: &FaultsModel) -> Self {
        let faults = Self::default();
        faults.with(|state| {
            state.seed = model.seed;
            state.changes = model.changes();
            model.requests.iter().for_each(|rule| state.add(rule.clone()));
        });
        faults
    }

    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a rule behind the others; returns its number.
    ///
    /// # Errors
    /// What the rule lacks or holds in vain.
    pub fn add(&self, rule: Rule) -> anyhow::Result<u64> {
        rule.check()?;
        Ok(self.with(|state| {
            state.add(rule);
            state.next
        }))
    }

    /// Whether a rule names the lab's own controllers, whose requests to the Kubernetes API do not leave the process.
    pub(crate) fn reach_the_lab(&self) -> bool {
        self.with(|state| state.rules.iter().any(|working| working.rule.names(OWN_AGENT)))
    }

    /// Takes a rule away; false if no rule has this number.
    pub fn remove(&self, id: u64) -> bool {
        self.with(|state| {
            let before = state.rules.len();
            state.rules.retain(|rule| rule.id != id);
            state.rules.len() < before
        })
    }

    /// Takes all rules away.
    pub fn clear(&self) {
        self.with(|state| state.rules.clear());
    }

    /// All rules with their counts.
    pub fn list(&self) -> Vec<Working> {
        self.with(|state| state.rules.clone())
    }

    /// How many requests something has happened to, over all rules that are there.
    pub fn done(&self) -> u64 {
        self.with(|state| state.rules.iter().map(|rule| rule.done).sum())
    }

    /// The rule for this request, if one's turn it is; counts.
    fn choose(&self, ask: &Ask<'_>) -> Option<Rule> {
        self.with(|state| {
            let seed = state.seed;
            state.rules.iter_mut().find_map(|working| working.turn(ask, seed).then(|| working.rule.clone()))
        })
    }

    /// Says by which bearer token the endpoint knows the lab's administrator.
    pub fn set_token(&self, token: &str) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.to_owned());
    }

    fn knows(&self, token: &str) -> bool {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(token)
    }
}

impl State {
    fn add(&mut self, rule: Rule) {
        self.next += 1;
        self.rules.push(Working { id: self.next, rule, seen: 0, done: 0 });
    }
}

impl Working {
    /// Whether it happens to this request.
    fn turn(&mut self, ask: &Ask<'_>, seed: u64) -> bool {
        let rule = &self.rule;
        if !rule.fits(ask) || rule.times.is_some_and(|times| self.done >= times) {
            return false;
        }
        self.seen += 1;
        let Some(nth) = self.seen.checked_sub(rule.after).filter(|nth| *nth > 0) else { return false };
        let turn = rule.every.is_none_or(|every| nth % every == 0)
            && rule.probability.is_none_or(|probability| chance(seed, self.id, nth) < probability);
        self.done += u64::from(turn);
        turn
    }
}

/// A number from 0 to 1 that depends on nothing else: SplitMix64.
fn chance(seed: u64, rule: u64, nth: u64) -> f64 {
    let mut z = seed.wrapping_mul(0xA076_1D64_78BD_642F) ^ rule.wrapping_mul(0xE703_7ED1_A0B4_28DB);
    z = z.wrapping_add(nth.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests;
