//! NIC names: where static addresses are to be kept, an adapter is called in the guest as it was before.

use super::{Check, Comparison, Subject};
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

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let GuestView::Seen(nics) = subject.guest else {
            // The check of addresses reports that the guest did not.
            return;
        };
        for nic in &subject.source.nics {
            let Some(expected) = &nic.guest_name else { continue };
            if let Some(actual) = nics.iter().find(|n| n.mac.eq_ignore_ascii_case(&nic.mac)) {
                seen.same(format!("name of {} in the guest", nic.mac), expected, &actual.name);
            }
        }
    }
}
