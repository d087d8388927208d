//! Network: each adapter of the source is there, found by its MAC address, on the network that the map sends it to.

use super::{Check, Problem, Subject};

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
        for nic in &subject.source.nics {
            let about = format!("network of {} ({}, {})", nic.mac, nic.name, nic.network);
            let Some((_, expected)) = subject.networks.iter().find(|(id, _)| *id == nic.network_id) else {
                problems.push(Problem::new(about, "a row in the NetworkMap", "none"));
                continue;
            };
            match subject.target.nics.iter().find(|t| t.mac.as_deref().is_some_and(|mac| mac.eq_ignore_ascii_case(&nic.mac))) {
                Some(found) if found.network == *expected => {}
                Some(found) => problems.push(Problem::new(about, expected, &found.network)),
                None => {
                    let macs: Vec<_> = subject.target.nics.iter().map(|t| t.mac.as_deref().unwrap_or("no MAC")).collect();
                    problems.push(Problem::new(
                        about,
                        format!("an interface on {expected}"),
                        format!("no such MAC, only [{}]", macs.join(", ")),
                    ));
                }
            }
        }
        if subject.target.nics.len() > subject.source.nics.len() {
            problems.push(Problem::new("number of interfaces", subject.source.nics.len(), subject.target.nics.len()));
        }
        problems
    }
}
