//! False power-off: RHV's log of events must not say that a user stopped the source VM; Forklift shuts it down otherwise.

use super::{Check, Comparison, NONE, Subject};
use crate::config::profile::ProviderKind;

/// Events of the source that tell of a user's power-off.
pub struct FalsePowerOff;

impl Check for FalsePowerOff {
    fn name(&self) -> &'static str {
        "false power-off"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        if subject.kind != ProviderKind::Ovirt {
            return Some(format!("a source of type {} has no such events", subject.kind));
        }
        subject.stopped_by_user.is_none().then(|| "the source was not asked".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        const WHAT: &str = "events with code 33 (a user stopped the VM)";
        match subject.stopped_by_user.unwrap_or_default() {
            [] => seen.right(WHAT, NONE, NONE),
            events => events.iter().for_each(|event| seen.wrong(WHAT, NONE, event)),
        }
    }
}
