//! Labels: those that the Plan asks for are on the VM's template, with their values. More may be there.

use super::{Check, Problem, Subject};

/// Labels of the VM's template.
pub struct Labels;

impl Check for Labels {
    fn name(&self) -> &'static str {
        "labels"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        subject.scenario.target_labels.is_empty().then(|| "the scenario has no target_labels".to_owned())
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        let wanted = subject.scenario.labels(subject.run);
        wanted
            .iter()
            .filter_map(|(key, expected)| match subject.target.labels.get(key) {
                Some(actual) if actual == expected => None,
                actual => Some(Problem::new(format!("label {key}"), expected, actual.map_or("none", String::as_str))),
            })
            .collect()
    }
}
