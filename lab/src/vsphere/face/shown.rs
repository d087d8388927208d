//! What a host agent shows otherwise than its vCenter: names of the frame, the compute resource, what stands in folders.

use crate::vsphere::{
    model::{
        Entity, Kind, Model,
        build::{DATACENTER, ROOT},
    },
    types::{Sight, entity, host as of_host},
    value::{Object, Value, refs},
};

/// An entity's name: the frame is called by its ids, the compute resource like its host.
pub fn name<'m>(model: &'m Model, host: &str, entity: &'m Entity) -> &'m str {
    match (&entity.kind, entity.id.as_str()) {
        (_, ROOT) => "ha-folder-root",
        (_, DATACENTER) => "ha-datacenter",
        (Kind::Cluster { .. }, _) => model.entity(host).map_or("", |host| host.name.as_str()),
        _ => &entity.name,
    }
}

/// A property, if it is set: as the vCenter shows it, but for what is another one here.
pub fn property(sight: Sight<'_>, host: &str, entity: &Entity, property: &str) -> Option<Value> {
    let model = sight.model;
    let value = match (&entity.kind, property) {
        (_, "name") => name(model, host, entity).into(),
        (Kind::Folder(_), "childEntity") => refs(sight.face.children(model, &entity.id).into_iter().map(Entity::moref)),
        // Custom attributes are the vCenter's.
        (_, "availableField" | "value" | "customValue") => return None,
        (Kind::Cluster { .. }, "host") => refs(model.entity(host).map(Entity::moref)),
        (Kind::Cluster { .. }, "summary") => Value::Object(of_host::compute_summary("ComputeResourceSummary", 1)),
        (Kind::Cluster { .. }, "configurationEx") => {
            Value::Object(Object::new("ComputeResourceConfigInfo").set("vmSwapPlacement", "vmDirectory"))
        }
        _ => return entity::property(model, entity, property),
    };
    Some(value)
}
