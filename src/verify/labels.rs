//! Labels: those that the Plan asks for are on the VM's template, with their values. More may be there.

use super::{Check, Comparison, Finding, NONE, Subject};

/// Labels of the VM's template.
pub struct Labels;

impl Check for Labels {
    fn name(&self) -> &'static str {
        "labels"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        subject.scenario.target_labels.is_empty().then(|| "the scenario has no target_labels".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        for (key, expected) in &subject.scenario.labels(subject.run) {
            let actual = subject.target.labels.get(key);
            seen.judge(actual == Some(expected), Finding::new(format!("label {key}"), expected, actual.map_or(NONE, String::as_str)));
        }
    }
}
