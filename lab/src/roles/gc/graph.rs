//! Who owns whom.

use std::collections::{HashMap, HashSet};

use kube::{api::ApiResource, core::ObjectMeta};

/// An owner as a dependent names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnedBy {
    pub(super) uid: String,
    /// Whether the owner's foreground deletion waits for this one.
    pub(super) blocks: bool,
}

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) uid: String,
    pub(super) resource: ApiResource,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) owners: Vec<OwnedBy>,
    pub(super) finalizers: Vec<String>,
    pub(super) deleting: bool,
}

impl Node {
    pub(super) fn new(resource: &ApiResource, meta: &ObjectMeta) -> Self {
        let owners = meta.owner_references.iter().flatten();
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            resource: resource.clone(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            owners: owners.map(|o| OwnedBy { uid: o.uid.clone(), blocks: o.block_owner_deletion == Some(true) }).collect(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }
}

/// Objects by UID, and the other way round.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<String, Node>,
    dependents: HashMap<String, HashSet<String>>,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// UIDs of what this one owns.
    pub(super) fn dependents(&self, uid: &str) -> Vec<String> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    pub(super) fn put(&mut self, node: Node) {
        self.unlink(&node.uid);
        for owner in &node.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(node.uid.clone());
        }
        self.nodes.insert(node.uid.clone(), node);
    }

    pub(super) fn remove(&mut self, uid: &str) {
        self.unlink(uid);
        self.nodes.remove(uid);
    }

    fn unlink(&mut self, uid: &str) {
        let Some(node) = self.nodes.get(uid) else { return };
        for owner in &node.owners {
            if let Some(set) = self.dependents.get_mut(&owner.uid) {
                set.remove(uid);
                if set.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(uid: &str, owners: &[&str]) -> Node {
        let owners = owners.iter().map(|uid| OwnedBy { uid: (*uid).to_owned(), blocks: true }).collect();
        Node {
            uid: uid.to_owned(),
            resource: mtv_api::kinds::PVC.resource(),
            namespace: "n".to_owned(),
            name: uid.to_owned(),
            owners,
            finalizers: Vec::new(),
            deleting: false,
        }
    }

    #[test]
    fn replaced_owners_are_forgotten() {
        let mut graph = Graph::default();
        graph.put(node("claim", &["volume"]));
        assert_eq!(graph.dependents("volume"), ["claim"]);
        graph.put(node("claim", &["vm"]));
        assert!(graph.dependents("volume").is_empty());
        assert_eq!(graph.dependents("vm"), ["claim"]);
        graph.remove("claim");
        assert!(graph.dependents("vm").is_empty());
    }
}
