//! Affinity: the VM's template has exactly the one that the Plan asks for.

use super::{Check, Comparison, Finding, NONE, Subject};

/// Affinity of the VM's template.
pub struct Affinity;

impl Check for Affinity {
    fn name(&self) -> &'static str {
        "affinity"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        subject.scenario.target_affinity.is_none().then(|| "the scenario has no target_affinity".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let text = |value: &Option<serde_json::Value>| value.as_ref().map_or(NONE.to_owned(), ToString::to_string);
        let (expected, actual) = (subject.scenario.affinity(subject.run), &subject.target.affinity);
        seen.judge(expected == *actual, Finding::new("affinity", text(&expected), text(actual)));
    }
}
