//! What a collector knows of a vCenter, and how it looks as JSON.

use std::collections::BTreeMap;

use mtv_api::xml::Node;
use serde_json::{Map, Value, json};

use super::{host, vm::Vm};
use crate::forklift::vcenter::{MoRef, Properties};

/// Kinds that are collected, with the properties that are read.
pub const KINDS: &[(&str, &[&str])] = &[
    ("Folder", &["name", "parent"]),
    ("Datacenter", &["name", "parent", "vmFolder", "hostFolder", "datastoreFolder", "networkFolder"]),
    ("ComputeResource", &["name", "parent", "host", "network", "datastore"]),
    ("ClusterComputeResource", &["name", "parent", "host", "network", "datastore"]),
    ("HostSystem", &["name", "parent", "summary", "runtime", "network", "datastore", "config.network", "config.storageDevice.scsiLun"]),
    ("Datastore", &["name", "parent", "summary"]),
    ("Network", &["name", "parent"]),
    ("OpaqueNetwork", &["name", "parent"]),
    ("DistributedVirtualPortgroup", &["name", "parent", "key", "config"]),
    ("VirtualMachine", super::vm::PATHS),
];

/// The id of a datastore as the service has it: ESXi hosts name exports by server and path, which cannot stand in a URL.
pub fn datastore_id(id: &str) -> String {
    // What a URL's path takes as it is (RFC 3986), as Go's PathEscape has it.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~$&+:=@".contains(c);
    if id.chars().all(plain) { id.to_owned() } else { format!("{:x}", md5::compute(id)) }
}

/// The id of an object as the service has it.
pub fn own_id(object: &MoRef) -> String {
    if object.kind == "Datastore" { datastore_id(&object.id) } else { object.id.clone() }
}

/// A collected object.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its properties.
    pub properties: Properties,
    /// The VM, if it is one.
    pub vm: Option<Vm>,
    /// Counts the changes that were seen, from one.
    pub revision: i64,
}

/// All that is known of a vCenter.
#[derive(Debug, Default)]
pub struct Model {
    /// `about` of the service content.
    pub about: Node,
    /// Objects by id.
    pub objects: BTreeMap<Id, Object>,
}

/// An id that sorts by the number in it, as the service lists objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(u64, String);

impl Id {
    /// From a managed object id such as `vm-66`.
    pub fn new(id: &str) -> Self {
        let number = id.rsplit('-').next().and_then(|n| n.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().ok());
        Self(number.unwrap_or_default(), id.to_owned())
    }
}

/// The service's name of a kind.
pub fn kind_name(kind: &str) -> &str {
    match kind {
        "ComputeResource" | "ClusterComputeResource" => "Cluster",
        "HostSystem" => "Host",
        "DistributedVirtualPortgroup" | "OpaqueNetwork" | "Network" => "Network",
        "VirtualMachine" => "VM",
        other => other,
    }
}

/// The kinds behind a collection of the service.
pub fn collection(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "datacenters" => &["Datacenter"],
        "folders" => &["Folder"],
        "clusters" => &["ClusterComputeResource"],
        "hosts" => &["HostSystem"],
        "networks" => &["Network", "DistributedVirtualPortgroup", "OpaqueNetwork"],
        "datastores" => &["Datastore"],
        "vms" | "workloads" => &["VirtualMachine"],
        _ => return None,
    })
}

impl Model {
    /// An object by id.
    pub fn get(&self, id: &str) -> Option<&Object> {
        self.objects.get(&Id::new(id))
    }

    /// Takes in what was read; true if it differs from what was known.
    pub fn put(&mut self, mut found: Properties) -> bool {
        found.object.id = own_id(&found.object);
        for (_, value) in found.values.iter_mut().filter(|(path, _)| path == "name") {
            if let Some(name) = unescaped(&value.text) {
                value.text = name;
            }
        }
        let id = Id::new(&found.object.id);
        let mut vm = (found.object.kind == "VirtualMachine").then(|| Vm::read(&found));
        let known = self.objects.get(&id);
        // A guest that is off tells nothing: what it told before is kept, as Forklift does, which needs it for the conversion.
        if let (Some(vm), Some(before)) = (&mut vm, known.and_then(|known| known.vm.as_ref())) {
            if vm.guest_networks.is_empty() {
                vm.guest_networks.clone_from(&before.guest_networks);
            }
            if vm.guest_ip_stacks.is_empty() {
                vm.guest_ip_stacks.clone_from(&before.guest_ip_stacks);
            }
        }
        if known.is_some_and(|k| k.properties.values == found.values) {
            return false;
        }
        let revision = known.map_or(1, |k| k.revision + 1);
        self.objects.insert(id, Object { properties: found, vm, revision });
        true
    }

    /// Forgets an object; true if it was known.
    pub fn remove(&mut self, id: &str) -> bool {
        self.objects.remove(&Id::new(id)).is_some()
    }

    /// Objects of some kinds.
    pub fn of<'a>(&'a self, kinds: &'a [&'a str]) -> impl Iterator<Item = &'a Object> {
        self.objects.values().filter(move |o| kinds.contains(&o.properties.object.kind.as_str()))
    }

    /// Virtual machines; neither templates nor ghosts without UUID and host.
    pub fn vms(&self) -> impl Iterator<Item = &Vm> {
        self.objects.values().filter_map(|o| o.vm.as_ref()).filter(|vm| !vm.is_template && !vm.uuid.is_empty() && !vm.host.is_empty())
    }

    /// A VM by id, or by name or path: all that match.
    pub fn find_vm(&self, id: &str, name: &str) -> Vec<&Vm> {
        if id.is_empty() {
            self.vms().filter(|vm| named(&vm.name, &self.path(&vm.id), name)).collect()
        } else {
            self.vms().filter(|vm| vm.id == id).collect()
        }
    }

    /// Ids and names of the objects of some kinds with this id, or this name or path.
    pub fn find(&self, kinds: &[&str], id: &str, name: &str) -> Vec<(String, String)> {
        self.of(kinds)
            .filter(|o| {
                if id.is_empty() {
                    named(o.properties.text("name"), &self.path(&o.properties.object.id), name)
                } else {
                    o.properties.object.id == id
                }
            })
            .map(|o| (o.properties.object.id.clone(), o.properties.text("name").to_owned()))
            .collect()
    }

    /// Path of an object, such as `/DC0/vm/rhel9`. The root folder stands alone in its own path.
    pub fn path(&self, id: &str) -> String {
        let mut names = Vec::new();
        let mut next = id.to_owned();
        // Thirty-two levels: more than vSphere allows, and an end should parents ever form a ring.
        for _ in 0..32 {
            let Some(object) = self.get(&next) else { break };
            let parent = object.properties.get("parent").map(|n| n.text.clone()).unwrap_or_default();
            if parent.is_empty() && !names.is_empty() {
                break;
            }
            names.push(object.properties.text("name").to_owned());
            next = parent;
        }
        names.iter().rev().fold(String::new(), |path, name| path + "/" + name)
    }

    /// The datacenter, compute resource and host above a VM: the parts of a libvirt URL.
    pub fn host_path(&self, vm: &Vm) -> String {
        let path = self.path(&vm.host);
        // A host of its own stands in a compute resource of the same name, which counts once.
        match path.rsplit_once('/') {
            Some((rest, last)) if rest.ends_with(&format!("/{last}")) => rest.to_owned(),
            _ => path,
        }
    }

    /// An object as JSON. `detail` 0 gives the header only.
    pub fn json(&self, object: &Object, provider: &str, collection: &str, detail: u8) -> Value {
        let properties = &object.properties;
        let id = &properties.object.id;
        let parent = properties.get("parent").map(MoRef::read).unwrap_or_default();
        let mut out = Map::new();
        out.insert("id".into(), json!(id));
        if let Some(variant) = variant(&properties.object.kind) {
            out.insert("variant".into(), json!(variant));
        }
        out.insert("parent".into(), json!({ "kind": kind_name(&parent.kind), "id": parent.id }));
        out.insert("path".into(), json!(self.path(id)));
        out.insert("revision".into(), json!(object.revision));
        out.insert("name".into(), json!(properties.text("name")));
        out.insert("selfLink".into(), json!(format!("providers/vsphere/{provider}/{collection}/{id}")));
        if detail > 0 {
            let more = match &object.vm {
                Some(vm) => serde_json::to_value(vm).unwrap_or_default(),
                None => details(object),
            };
            if let Value::Object(more) = more {
                out.extend(more);
            }
        }
        Value::Object(out)
    }

    /// Counters of `GET /providers`.
    pub fn counters(&self) -> Value {
        let count = |kinds: &[&str]| self.of(kinds).count();
        json!({
            "apiVersion": self.about.get("apiVersion").unwrap_or_default(),
            "product": self.about.get("name").unwrap_or_default(),
            "instanceUuid": self.about.get("instanceUuid").unwrap_or_default(),
            "datacenterCount": count(&["Datacenter"]),
            "clusterCount": count(&["ClusterComputeResource", "ComputeResource"]),
            "hostCount": count(&["HostSystem"]),
            "vmCount": self.vms().count(),
            "networkCount": count(&["Network", "DistributedVirtualPortgroup", "OpaqueNetwork"]),
            "datastoreCount": count(&["Datastore"]),
        })
    }
}

/// Whether a name, or a path that ends with it, is meant.
pub fn named(name: &str, path: &str, wanted: &str) -> bool {
    if wanted.contains('/') { path == wanted || path.ends_with(&format!("/{}", wanted.trim_start_matches('/'))) } else { name == wanted }
}

fn variant(kind: &str) -> Option<&'static str> {
    match kind {
        "Network" => Some("Standard"),
        "DistributedVirtualPortgroup" => Some("DvPortGroup"),
        "OpaqueNetwork" => Some("OpaqueNetwork"),
        "ComputeResource" => Some("ComputeResource"),
        _ => None,
    }
}

fn refs(properties: &Properties, path: &str, kind: &str) -> Value {
    let id = |node: &Node| own_id(&MoRef::new(kind, &node.text));
    let list = properties.get(path).map(|n| n.children.iter().map(|c| json!({ "kind": kind, "id": id(c) })).collect::<Vec<_>>());
    json!(list.unwrap_or_default())
}

/// The VLAN of a port group, or the ranges that it lets through; empty for none.
fn vlan(group: &Properties) -> String {
    let Some(vlan) = group.get("config").and_then(|config| config.at(&["defaultPortConfig", "vlan"])) else { return String::new() };
    let one = |node: &Node| match (node.get("start"), node.get("end")) {
        (Some(start), Some(end)) => format!("{start}-{end}"),
        _ => Some(node.text.clone()).filter(|id| id != "0").unwrap_or_default(),
    };
    vlan.children_named("vlanId").map(one).collect::<Vec<_>>().join(",")
}

fn details(object: &Object) -> Value {
    let p = &object.properties;
    let number = |path: &[&str]| p.get("summary").and_then(|n| n.at(path)).and_then(|n| n.text.parse::<i64>().ok()).unwrap_or_default();
    let text = |path: &[&str]| p.get("summary").and_then(|n| n.at(path)).map(|n| n.text.clone()).unwrap_or_default();
    match p.object.kind.as_str() {
        "Datacenter" => json!({
            "datastores": { "kind": "Folder", "id": p.text("datastoreFolder") },
            "networks": { "kind": "Folder", "id": p.text("networkFolder") },
            "clusters": { "kind": "Folder", "id": p.text("hostFolder") },
            "vms": { "kind": "Folder", "id": p.text("vmFolder") },
        }),
        "ClusterComputeResource" | "ComputeResource" => json!({
            "folder": p.text("parent"),
            "networks": refs(p, "network", "Network"), "datastores": refs(p, "datastore", "Datastore"), "hosts": refs(p, "host", "Host"),
            "dasEnabled": false, "dasVms": [], "drsEnabled": false, "drsBehavior": "", "drsVms": [],
        }),
        "HostSystem" => json!({
            "cluster": p.text("parent"),
            "status": text(&["overallStatus"]),
            "inMaintenance": p.get("runtime").and_then(|n| n.get("inMaintenanceMode")) == Some("true"),
            "managementServerIp": text(&["managementServerIp"]), "thumbprint": "", "timezone": "",
            "cpuSockets": number(&["hardware", "numCpuPkgs"]), "cpuCores": number(&["hardware", "numCpuCores"]),
            "memoryBytes": number(&["hardware", "memorySize"]),
            "productName": text(&["config", "product", "name"]), "productVersion": text(&["config", "product", "version"]),
            "networking": host::networking(p),
            "networks": refs(p, "network", "Network"), "datastores": refs(p, "datastore", "Datastore"), "vms": null,
            "networkAdapters": host::adapters(&host::networking(p)), "hostScsiDisks": host::disks(p), "advancedOptions": null, "vmotionSupported": false, "storageVmotionSupported": false,
        }),
        "Datastore" => json!({
            "type": text(&["type"]), "capacity": number(&["capacity"]), "free": number(&["freeSpace"]),
            "maintenance": Some(text(&["maintenanceMode"])).filter(|m| !m.is_empty()).unwrap_or_else(|| "normal".to_owned()),
            "backingDevicesNames": [], "storageIORMSupported": false, "iormEnabled": false, "iormCongestionThreshold": 0,
            "iormCongestionThresholdMode": "", "iormPercentOfPeakThroughput": 0,
        }),
        "DistributedVirtualPortgroup" => json!({
            "dvSwitch": {
                "kind": "DistributedVirtualSwitch",
                "id": p.get("config").and_then(|n| n.get("distributedVirtualSwitch")).unwrap_or_default(),
            },
            "vlanId": vlan(p), "host": null, "key": p.text("key"),
        }),
        "Network" | "OpaqueNetwork" => json!({ "vlanId": "", "host": null }),
        _ => json!({}),
    }
}

/// A name without URL escapes, as Forklift's inventory shows it (`url.PathUnescape`); none where an escape is not one.
fn unescaped(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok())?;
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, id: &str, name: &str, parent: Option<(&str, &str)>) -> Properties {
        let mut values = vec![("name".to_owned(), Node::text("val", name))];
        if let Some((kind, id)) = parent {
            values.push(("parent".to_owned(), MoRef::new(kind, id).node("val")));
        }
        Properties { object: MoRef::new(kind, id), values }
    }

    fn model() -> Model {
        let mut model = Model::default();
        model.put(object("Folder", "group-d1", "Datacenters", None));
        model.put(object("Datacenter", "datacenter-1", "DC0", Some(("Folder", "group-d1"))));
        model.put(object("Folder", "group-4", "datastore", Some(("Datacenter", "datacenter-1"))));
        model.put(object("Datastore", "datastore-61", "LocalDS_0", Some(("Folder", "group-4"))));
        model
    }

    #[test]
    fn datastores_of_esxi_hosts_get_ids_that_a_url_takes() {
        assert_eq!(datastore_id("datastore-61"), "datastore-61");
        assert_eq!(datastore_id("5f0c2b6e-8a1b2c3d-4e5f-001b21aabbcc"), "5f0c2b6e-8a1b2c3d-4e5f-001b21aabbcc");
        assert_eq!(datastore_id("nfs.lab:/exports/a").len(), 32);
    }

    #[test]
    fn paths_start_below_the_root_folder() {
        let model = model();
        assert_eq!(model.path("group-d1"), "/Datacenters");
        assert_eq!(model.path("datastore-61"), "/DC0/datastore/LocalDS_0");
    }

    #[test]
    fn names_and_paths_are_found() {
        let model = model();
        let kinds = collection("datastores").unwrap();
        for name in ["LocalDS_0", "/DC0/datastore/LocalDS_0", "datastore/LocalDS_0"] {
            assert_eq!(model.find(kinds, "", name).len(), 1, "{name}");
        }
        assert!(model.find(kinds, "", "DS_0").is_empty());
        assert_eq!(model.find(kinds, "datastore-61", "").len(), 1);
    }

    #[test]
    fn a_header_reads_as_recorded() {
        let model = model();
        let json = model.json(model.get("datastore-61").unwrap(), "u", "datastores", 0);
        assert_eq!(
            json.to_string(),
            r#"{"id":"datastore-61","parent":{"kind":"Folder","id":"group-4"},"path":"/DC0/datastore/LocalDS_0","revision":1,"name":"LocalDS_0","selfLink":"providers/vsphere/u/datastores/datastore-61"}"#
        );
    }

    #[test]
    fn what_did_not_change_is_no_new_revision() {
        let mut model = model();
        assert!(!model.put(object("Datastore", "datastore-61", "LocalDS_0", Some(("Folder", "group-4")))));
        assert!(model.put(object("Datastore", "datastore-61", "renamed", Some(("Folder", "group-4")))));
        assert_eq!(model.get("datastore-61").unwrap().revision, 2);
    }
}
