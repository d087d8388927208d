//! Conditions as Forklift's controllers keep them: each reconcile sets again what still holds, and what was not set again
//! goes, unless it is durable. The order is that of first appearance.

use mtv_api::condition::Condition;

/// A list of conditions during a reconcile.
#[derive(Debug, Clone, Default)]
pub struct Staged {
    list: Vec<(Condition, bool)>,
    staging: bool,
}

/// What a reconcile changed, for the events.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Conditions that are new or read differently now.
    pub set: Vec<Condition>,
    /// Conditions that are gone.
    pub gone: Vec<Condition>,
}

impl Staged {
    /// Starts a reconcile from what was written last.
    pub fn begin(written: &[Condition]) -> Self {
        Self { list: written.iter().map(|c| (c.clone(), c.durable)).collect(), staging: true }
    }

    /// Ends staging: what was not set again goes.
    pub fn end(&mut self) {
        self.staging = false;
        self.list.retain(|(_, staged)| *staged);
    }

    /// Sets a condition. One that reads the same keeps its time.
    pub fn set(&mut self, condition: Condition, now: &str) {
        match self.list.iter_mut().find(|(c, _)| c.kind == condition.kind) {
            Some((found, staged)) => {
                *staged = true;
                if !same(found, &condition) {
                    *found = Condition { last_transition_time: now.to_owned(), ..condition };
                }
            }
            None => self.list.push((Condition { last_transition_time: now.to_owned(), ..condition }, true)),
        }
    }

    /// Takes conditions away.
    pub fn remove(&mut self, kinds: &[&str]) {
        let staging = self.staging;
        self.list.retain_mut(|(condition, staged)| {
            if !kinds.contains(&condition.kind.as_str()) {
                return true;
            }
            *staged = false;
            staging
        });
    }

    /// The condition, if it was set and holds.
    pub fn find(&self, kind: &str) -> Option<&Condition> {
        self.visible().find(|c| c.kind == kind && c.is_true())
    }

    /// Whether a condition was set and holds.
    pub fn has(&self, kind: &str) -> bool {
        self.find(kind).is_some()
    }

    /// Whether one of them was set and holds.
    pub fn has_any(&self, kinds: &[&str]) -> bool {
        kinds.iter().any(|kind| self.has(kind))
    }

    /// Whether something keeps the object from becoming Ready.
    pub fn blocked(&self) -> bool {
        self.visible().any(Condition::is_blocker)
    }

    /// Those that keep the object from becoming Ready.
    pub fn blockers(&self) -> impl Iterator<Item = &Condition> {
        self.visible().filter(|c| c.is_blocker())
    }

    fn visible(&self) -> impl Iterator<Item = &Condition> {
        self.list.iter().filter(|(_, staged)| !self.staging || *staged).map(|(c, _)| c)
    }

    /// The list as it is written.
    pub fn list(&self) -> Vec<Condition> {
        self.list.iter().map(|(c, _)| c.clone()).collect()
    }

    /// What differs from what was written last.
    pub fn changes(&self, written: &[Condition]) -> Changes {
        let now = self.list();
        Changes {
            set: now.iter().filter(|c| !written.iter().any(|w| same(w, c))).cloned().collect(),
            gone: written.iter().filter(|w| !now.iter().any(|c| c.kind == w.kind)).cloned().collect(),
        }
    }
}

/// Sets a condition in a list that is not staged: those of a VM or of a history entry.
pub fn set(list: &mut Vec<Condition>, condition: Condition, now: &str) {
    match list.iter_mut().find(|c| c.kind == condition.kind) {
        Some(found) if same(found, &condition) => {}
        Some(found) => *found = Condition { last_transition_time: now.to_owned(), ..condition },
        None => list.push(Condition { last_transition_time: now.to_owned(), ..condition }),
    }
}

/// Takes conditions out of a list that is not staged.
pub fn remove(list: &mut Vec<Condition>, kinds: &[&str]) {
    list.retain(|c| !kinds.contains(&c.kind.as_str()));
}

/// Whether one of these conditions holds in a list that is not staged.
pub fn has_any(list: &[Condition], kinds: &[&str]) -> bool {
    list.iter().any(|c| c.is_true() && kinds.contains(&c.kind.as_str()))
}

fn same(a: &Condition, b: &Condition) -> bool {
    let plain = |c: &Condition| Condition { last_transition_time: String::new(), ..c.clone() };
    plain(a) == plain(b)
}

/// A condition that holds.
pub fn condition(kind: &str, category: &str, reason: &str, message: impl Into<String>) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status: "True".to_owned(),
        reason: (!reason.is_empty()).then(|| reason.to_owned()),
        category: category.to_owned(),
        message: message.into(),
        ..Condition::default()
    }
}

/// A durable advisory condition: what tells the course of an execution.
pub fn course(kind: &str, reason: &str, message: &str) -> Condition {
    Condition { durable: true, ..condition(kind, "Advisory", reason, message) }
}

/// Adds what a condition is about.
pub fn about(condition: Condition, items: impl IntoIterator<Item = String>) -> Condition {
    Condition { items: items.into_iter().collect(), ..condition }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Condition {
        condition("Ready", "Required", "", "ready")
    }

    fn kinds(staged: &Staged) -> Vec<String> {
        staged.list().into_iter().map(|c| c.kind).collect()
    }

    #[test]
    fn what_is_not_set_again_goes_unless_durable() {
        let written = vec![condition("A", "Warn", "", ""), ready(), course("Executing", "", "")];
        let mut staged = Staged::begin(&written);
        assert!(!staged.has("A"), "not yet set again");
        assert!(staged.has("Executing"));
        staged.set(ready(), "now");
        staged.end();
        assert_eq!(kinds(&staged), ["Ready", "Executing"]);
        assert_eq!(staged.changes(&written).gone.len(), 1);
    }

    #[test]
    fn order_is_that_of_first_appearance_and_a_time_stays_while_nothing_changes() {
        let mut staged = Staged::begin(&[]);
        staged.set(ready(), "1");
        staged.set(condition("A", "Warn", "", ""), "1");
        staged.end();
        let mut again = Staged::begin(&staged.list());
        again.set(condition("A", "Warn", "", ""), "2");
        again.set(ready(), "2");
        again.end();
        assert_eq!(again.list(), staged.list());
        again.set(condition("A", "Warn", "Other", ""), "3");
        assert_eq!(again.find("A").unwrap().last_transition_time, "3");
    }

    #[test]
    fn a_removed_condition_keeps_its_place_while_staging() {
        let mut staged = Staged::begin(&[course("Failed", "", ""), ready()]);
        staged.remove(&["Failed"]);
        assert!(!staged.has("Failed"));
        staged.set(course("Failed", "", "again"), "now");
        staged.set(ready(), "now");
        staged.end();
        assert_eq!(kinds(&staged), ["Failed", "Ready"]);
    }
}
