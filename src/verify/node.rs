//! Node placement: the VM asks for the node that was labelled for it, and runs there.

use super::{Check, Problem, Subject};

/// Node that the VM runs on.
pub struct NodePlacement;

/// The node that the run labelled, and its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledNode {
    /// Its name.
    pub node: String,
    /// Key of the label.
    pub key: String,
    /// Value of the label.
    pub value: String,
}

impl Check for NodePlacement {
    fn name(&self) -> &'static str {
        "node placement"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        subject.node.is_none().then(|| "the scenario has no target_node_selector".to_owned())
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        let Some(labelled) = subject.node else { return Vec::new() };
        let mut problems = Vec::new();
        let actual = subject.target.node_selector.get(&labelled.key);
        if actual != Some(&labelled.value) {
            let about = format!("node selector {}", labelled.key);
            problems.push(Problem::new(about, &labelled.value, actual.map_or("none", String::as_str)));
        }
        match &subject.target.node {
            Some(node) if *node != labelled.node => problems.push(Problem::new("node", &labelled.node, node)),
            None if subject.target.running => problems.push(Problem::new("node", &labelled.node, "none")),
            _ => {}
        }
        problems
    }
}
