//! Network: each adapter of the source is there, found by its MAC address, on the network that the map sends it to.

use super::{Check, Problem, Subject, TargetNic};
use crate::providers::Nic;

/// Network adapters.
pub struct Network;

impl Check for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        (subject.source.nics.is_empty() && subject.target.nics.is_empty()).then(|| "no network adapters".to_owned())
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (place, nic) in subject.source.nics.iter().enumerate() {
            let of = if nic.mac.is_empty() { format!("adapter {}", place + 1) } else { nic.mac.clone() };
            let about = format!("network of {of} ({}, {})", nic.name, nic.network);
            let Some((_, expected)) = subject.networks.iter().find(|(id, _)| *id == nic.network_id) else {
                problems.push(Problem::new(about, "a row in the NetworkMap", "none"));
                continue;
            };
            match counterpart(&subject.target.nics, nic, place) {
                Some(found) if found.network == *expected => {}
                Some(found) => problems.push(Problem::new(about, expected, &found.network)),
                None => {
                    let macs: Vec<_> = subject.target.nics.iter().map(|t| t.mac.as_deref().unwrap_or("no MAC")).collect();
                    let actual = if nic.mac.is_empty() { "none".to_owned() } else { format!("no such MAC, only [{}]", macs.join(", ")) };
                    problems.push(Problem::new(about, format!("an interface on {expected}"), actual));
                }
            }
        }
        if subject.target.nics.len() > subject.source.nics.len() {
            problems.push(Problem::new("number of interfaces", subject.source.nics.len(), subject.target.nics.len()));
        }
        problems
    }
}

/// The interface that an adapter became: by its MAC address, or, where the source gives none, by its name or its place.
fn counterpart<'t>(target: &'t [TargetNic], nic: &Nic, place: usize) -> Option<&'t TargetNic> {
    if nic.mac.is_empty() {
        return target.iter().find(|t| t.name == nic.name).or_else(|| target.get(place));
    }
    target.iter().find(|t| t.mac.as_deref().is_some_and(|mac| mac.eq_ignore_ascii_case(&nic.mac)))
}
