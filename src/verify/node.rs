//! Node placement: the VM asks for the node that was labelled for it, and runs there.

use super::{Check, Comparison, Finding, NONE, Subject};

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

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let Some(labelled) = subject.node else { return };
        let actual = subject.target.node_selector.get(&labelled.key);
        let what = format!("node selector {}", labelled.key);
        let finding = Finding::new(what, &labelled.value, actual.map_or(NONE, String::as_str));
        seen.judge(actual == Some(&labelled.value), finding);
        match &subject.target.node {
            Some(node) => seen.same("node", &labelled.node, node),
            None if subject.target.running => seen.wrong("node", &labelled.node, NONE),
            None => {}
        }
    }
}
