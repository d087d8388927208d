//! Folders and datacenters as the API shows them.

use crate::vsphere::{
    ids::MoRef,
    model::{Entity, Kind, Model},
    value::{Object, Value, refs, strings},
};

/// Properties of folders.
pub const FOLDER: &[&str] = &["childType", "childEntity", "namespace"];
/// Properties of datacenters.
pub const DATACENTER: &[&str] = &["vmFolder", "hostFolder", "datastoreFolder", "networkFolder", "datastore", "network", "configuration"];

/// A property.
pub fn property(model: &Model, entity: &Entity, name: &str) -> Option<Value> {
    let everywhere = |kinds: &[&str]| refs(model.entities.values().filter(|e| kinds.contains(&e.type_name())).map(Entity::moref));
    match (&entity.kind, name) {
        (Kind::Folder(types), "childType") => Some(strings(types.iter().copied())),
        (Kind::Folder(_), "childEntity") => Some(refs(model.children(&entity.id).map(Entity::moref))),
        (Kind::Datacenter { vm, .. }, "vmFolder") => Some(MoRef::new("Folder", vm).into()),
        (Kind::Datacenter { host, .. }, "hostFolder") => Some(MoRef::new("Folder", host).into()),
        (Kind::Datacenter { datastore, .. }, "datastoreFolder") => Some(MoRef::new("Folder", datastore).into()),
        (Kind::Datacenter { network, .. }, "networkFolder") => Some(MoRef::new("Folder", network).into()),
        (Kind::Datacenter { .. }, "datastore") => Some(everywhere(&["Datastore"])),
        (Kind::Datacenter { .. }, "network") => Some(everywhere(&["Network", "DistributedVirtualPortgroup"])),
        (Kind::Datacenter { .. }, "configuration") => {
            Some(Value::Object(Object::new("DatacenterConfigInfo").set("defaultHardwareVersionKey", "vmx-19")))
        }
        _ => None,
    }
}
