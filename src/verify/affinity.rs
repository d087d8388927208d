//! Affinity: the VM's template has exactly the one that the Plan asks for.

use super::{Check, Problem, Subject};

/// Affinity of the VM's template.
pub struct Affinity;

impl Check for Affinity {
    fn name(&self) -> &'static str {
        "affinity"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        subject.scenario.target_affinity.is_none().then(|| "the scenario has no target_affinity".to_owned())
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        let expected = subject.scenario.affinity(subject.run);
        if subject.target.affinity == expected {
            return Vec::new();
        }
        let text = |value: &Option<serde_json::Value>| value.as_ref().map_or("none".to_owned(), ToString::to_string);
        vec![Problem::new("affinity", text(&expected), text(&subject.target.affinity))]
    }
}
