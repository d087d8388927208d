//! Power state: what the plan asked for, else what the scenario gave the source, else what the source was.

use super::{Check, Comparison, Finding, Subject};
use crate::{config::scenario::PowerWish, providers::Power};

/// Power state of the migrated VM.
pub struct PowerState;

impl Check for PowerState {
    fn name(&self) -> &'static str {
        "power state"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        (expected(subject).is_none()).then(|| "neither the scenario nor the source decides what it should be".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let actual = if subject.target.running { "on" } else { "off" };
        if let Some(expected) = expected(subject) {
            let shown = format!("{actual} ({})", subject.target.printable_status);
            seen.judge(expected == actual, Finding::new("power", expected, shown));
        }
    }
}

fn expected(subject: &Subject<'_>) -> Option<&'static str> {
    let wish = subject.scenario.target_power_state.or(subject.wish.source_vm_power);
    match (wish, subject.source.power) {
        // Forklift starts Windows guests whatever the source was, to let them finish their conversion, unless the Plan says off.
        (None | Some(PowerWish::Off), _) if subject.source.windows && subject.scenario.target_power_state.is_none() => None,
        (Some(PowerWish::On), _) | (None, Power::On) => Some("on"),
        (Some(PowerWish::Off), _) | (None, Power::Off) => Some("off"),
        (None, Power::Other) => None,
    }
}
