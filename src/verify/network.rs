//! Network: each adapter of the source is there, found by its MAC address, on the network that the map sends it to.

use super::{Check, Comparison, Finding, NONE, Subject, TargetNic};
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

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        for (place, nic) in subject.source.nics.iter().enumerate() {
            let of = if nic.mac.is_empty() { format!("adapter {}", place + 1) } else { nic.mac.clone() };
            let what = format!("network of {of} ({}, {})", nic.name, nic.network);
            let Some((_, expected)) = subject.networks.iter().find(|(id, _)| *id == nic.network_id) else {
                seen.wrong(what, "a row in the NetworkMap", NONE);
                continue;
            };
            match counterpart(&subject.target.nics, nic, place) {
                Some(found) => seen.judge(found.network == *expected, Finding::new(what, expected, &found.network)),
                None => {
                    let macs: Vec<_> = subject.target.nics.iter().map(|t| t.mac.as_deref().unwrap_or("no MAC")).collect();
                    let actual = if nic.mac.is_empty() { NONE.to_owned() } else { format!("no such MAC, only [{}]", macs.join(", ")) };
                    seen.wrong(what, format!("an interface on {expected}"), actual);
                }
            }
        }
        if subject.target.nics.len() > subject.source.nics.len() {
            seen.wrong("number of interfaces", subject.source.nics.len(), subject.target.nics.len());
        }
    }
}

/// The interface that an adapter became: by its MAC address, or, where the source gives none, by its name or its place.
fn counterpart<'t>(target: &'t [TargetNic], nic: &Nic, place: usize) -> Option<&'t TargetNic> {
    if nic.mac.is_empty() {
        return target.iter().find(|t| t.name == nic.name).or_else(|| target.get(place));
    }
    target.iter().find(|t| t.mac.as_deref().is_some_and(|mac| mac.eq_ignore_ascii_case(&nic.mac)))
}
