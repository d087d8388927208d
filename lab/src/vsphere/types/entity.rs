//! What every managed entity shows, and the way to what its type adds.

use super::{datastore, folder, host, network, vm};
use crate::vsphere::{
    model::{Entity, Kind, Model},
    value::{Object, Value, refs, strings},
};

/// Properties of every managed entity.
const COMMON: &[&str] = &[
    "availableField",
    "value",
    "parent",
    "customValue",
    "overallStatus",
    "configStatus",
    "configIssue",
    "effectiveRole",
    "permission",
    "name",
    "disabledMethod",
    "recentTask",
    "declaredAlarmState",
    "triggeredAlarmState",
    "alarmActionsEnabled",
    "tag",
];

fn own_names(entity: &Entity) -> &'static [&'static str] {
    match entity.kind {
        Kind::Folder(_) => folder::FOLDER,
        Kind::Datacenter { .. } => folder::DATACENTER,
        Kind::Cluster { .. } => host::CLUSTER,
        Kind::Pool => host::POOL,
        Kind::Host => host::HOST,
        Kind::Datastore { .. } => datastore::PROPERTIES,
        Kind::Network => network::NETWORK,
        Kind::Portgroup { .. } => network::PORTGROUP,
        Kind::Switch { .. } => network::SWITCH,
        Kind::Vm(_) => vm::PROPERTIES,
    }
}

/// Names of all properties; `own` are those beside the common ones, where they are not the vCenter's.
pub fn names(entity: &Entity, own: Option<&'static [&'static str]>) -> Vec<&'static str> {
    COMMON.iter().chain(own.unwrap_or_else(|| own_names(entity))).copied().collect()
}

/// Names in vSphere's paths: `/`, `\` and `%` are escaped.
pub fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2f").replace('\\', "%5c")
}

/// A name that a client gives, in which `%2f`, `%5c` and `%25` stand for `/`, `\` and `%`.
pub fn unescaped(name: &str) -> String {
    name.replace("%2f", "/").replace("%2F", "/").replace("%5c", "\\").replace("%5C", "\\").replace("%25", "%")
}

/// A property.
pub fn property(model: &Model, entity: &Entity, name: &str) -> Option<Value> {
    let own = match &entity.kind {
        Kind::Folder(_) | Kind::Datacenter { .. } => folder::property(model, entity, name),
        Kind::Cluster { .. } | Kind::Pool | Kind::Host => host::property(model, entity, name),
        Kind::Datastore { .. } => datastore::property(model, entity, name),
        Kind::Network | Kind::Portgroup { .. } | Kind::Switch { .. } => network::property(model, entity, name),
        Kind::Vm(vm) => vm::property(model, entity, vm, name),
    };
    own.or_else(|| common(model, entity, name))
}

fn common(model: &Model, entity: &Entity, name: &str) -> Option<Value> {
    let custom = || {
        let value = |(key, text): (&i32, &String)| Value::Object(Object::new("CustomFieldStringValue").set("key", *key).set("value", text));
        Value::List("CustomFieldValue", entity.custom.iter().map(value).collect())
    };
    Some(match name {
        "name" => escaped(&entity.name).into(),
        "parent" => model.moref(entity.parent.as_ref()?, "Folder").into(),
        "availableField" => Value::List(
            "CustomFieldDef",
            model
                .custom_fields
                .iter()
                .filter(|(_, _, of)| of.as_deref().is_none_or(|of| of == entity.type_name()))
                .map(|field| Value::Object(super::service::field_definition(field)))
                .collect(),
        ),
        "value" | "customValue" => custom(),
        "overallStatus" | "configStatus" => Value::Enum("ManagedEntityStatus", "green".to_owned()),
        "configIssue" => Value::List("Event", Vec::new()),
        "effectiveRole" => Value::List("Int", vec![Value::Int(-1)]),
        "permission" => Value::List("Permission", Vec::new()),
        "disabledMethod" => strings(disabled(entity)),
        "recentTask" => {
            refs(model.tasks.values().rev().filter(|t| t.entity.id == entity.id).take(10).map(super::super::model::task::Task::moref))
        }
        "declaredAlarmState" | "triggeredAlarmState" => Value::List("AlarmState", Vec::new()),
        "alarmActionsEnabled" => true.into(),
        "tag" => Value::List("Tag", Vec::new()),
        _ => return None,
    })
}

/// Methods that the entity's state forbids now.
fn disabled(entity: &Entity) -> Vec<&'static str> {
    use crate::vsphere::model::vm::Power;
    let Some(vm) = entity.vm() else { return Vec::new() };
    if vm.template {
        return vec!["PowerOnVM_Task", "PowerOffVM_Task", "SuspendVM_Task", "ResetVM_Task", "CreateSnapshot_Task", "MarkAsTemplate"];
    }
    match vm.power {
        Power::On => vec!["PowerOnVM_Task", "Destroy_Task", "UnregisterVM", "MarkAsTemplate", "MarkAsVirtualMachine"],
        Power::Off => vec!["PowerOffVM_Task", "SuspendVM_Task", "ResetVM_Task", "ShutdownGuest", "RebootGuest", "MarkAsVirtualMachine"],
        Power::Suspended => vec!["SuspendVM_Task", "ResetVM_Task", "ShutdownGuest", "RebootGuest", "MarkAsVirtualMachine"],
    }
}
