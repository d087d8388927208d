//! NIC names: where static addresses are to be kept, an adapter is called in the guest as it was before.

use super::{Check, Problem, Subject};
use crate::{config::profile::ProviderKind, guest::GuestView};

/// Names of adapters in the guest.
pub struct NicNames;

impl Check for NicNames {
    fn name(&self) -> &'static str {
        "nic names"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        if !subject.scenario.preserve_static_ips {
            return Some("the scenario does not ask to keep static addresses".to_owned());
        }
        if subject.kind != ProviderKind::Vsphere || subject.source.nics.iter().all(|nic| nic.guest_name.is_none()) {
            return Some("the source does not tell them".to_owned());
        }
        if let GuestView::No(reason) = subject.guest { Some(reason.clone()) } else { None }
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        let GuestView::Seen(nics) = subject.guest else {
            // The check of addresses tells that the guest did not.
            return Vec::new();
        };
        let mut problems = Vec::new();
        for nic in &subject.source.nics {
            let Some(expected) = &nic.guest_name else { continue };
            let actual = nics.iter().find(|n| n.mac.eq_ignore_ascii_case(&nic.mac)).map(|n| n.name.as_str());
            if actual.is_some_and(|actual| actual != expected) {
                problems.push(Problem::new(format!("name of {} in the guest", nic.mac), expected, actual.unwrap_or_default()));
            }
        }
        problems
    }
}
