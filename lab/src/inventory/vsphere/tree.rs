//! `tree/vm` and `tree/host`: what lies in a datacenter's folders, and what its clusters run.

use serde_json::{Value, json};

use super::model::{Model, Object, collection, kind_name};

/// The tree of this name; none: there is no such tree.
pub fn tree(model: &Model, name: &str, provider: &str, detail: u8) -> Option<Value> {
    let (folder, leaves): (_, &[&str]) = match name {
        "vm" => ("vmFolder", &["Folder", "VirtualMachine"]),
        "host" => ("hostFolder", &["Folder", "ComputeResource", "ClusterComputeResource", "HostSystem", "VirtualMachine"]),
        _ => return None,
    };
    let tree = Tree { model, provider, detail, kinds: leaves };
    let centers = model.of(&["Datacenter"]).map(|center| {
        let children = tree.below(center.properties.text(folder));
        json!({ "kind": "Datacenter", "object": model.json(center, provider, "datacenters", u8::MAX), "children": children })
    });
    Some(json!({ "kind": "", "object": null, "children": centers.collect::<Vec<_>>() }))
}

struct Tree<'a> {
    model: &'a Model,
    provider: &'a str,
    /// Of machines; everything else is shown by its header.
    detail: u8,
    kinds: &'a [&'a str],
}

impl Tree<'_> {
    /// What is beneath; nothing is no list.
    fn below(&self, id: &str) -> Value {
        let hosts = self.kinds.contains(&"HostSystem");
        let mut children = Vec::new();
        for kind in self.kinds {
            for object in self.model.of(&[kind]) {
                let beneath = match &object.vm {
                    // Machines lie in folders, but run on hosts.
                    Some(vm) if hosts => vm.host == id,
                    _ => object.properties.get("parent").is_some_and(|parent| parent.text == id),
                };
                if beneath && object.vm.as_ref().is_none_or(|vm| !vm.is_template && !vm.uuid.is_empty()) {
                    children.push(self.node(object));
                }
            }
        }
        if children.is_empty() { Value::Null } else { Value::Array(children) }
    }

    fn node(&self, object: &Object) -> Value {
        let reference = &object.properties.object;
        let (kind, detail) = (kind_name(&reference.kind), if object.vm.is_some() { self.detail } else { 0 });
        let shown = ["folders", "clusters", "hosts", "vms"].into_iter().find(|name| {
            *name == "clusters" && kind == "Cluster" || collection(name).is_some_and(|kinds| kinds.contains(&reference.kind.as_str()))
        });
        let children = if object.vm.is_some() { Value::Null } else { self.below(&reference.id) };
        json!({ "kind": kind, "object": self.model.json(object, self.provider, shown.unwrap_or_default(), detail), "children": children })
    }
}
