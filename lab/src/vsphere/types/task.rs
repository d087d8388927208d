//! Tasks as the API shows them.

use crate::vsphere::{
    model::{
        Model,
        task::{Task, TaskState},
    },
    value::{Object, Value, any},
};

/// Properties of a task.
pub const PROPERTIES: &[&str] = &["availableField", "value", "info"];

/// A property.
pub fn property(model: &Model, task: &Task, name: &str) -> Option<Value> {
    Some(match name {
        "info" => Value::Object(info(model, task)),
        "availableField" => Value::List("CustomFieldDef", Vec::new()),
        "value" => Value::List("CustomFieldValue", Vec::new()),
        _ => return None,
    })
}

/// `TaskInfo` of a task.
pub fn info(model: &Model, task: &Task) -> Object {
    let number = i32::try_from(task.number).unwrap_or(i32::MAX);
    let _ = model;
    Object::new("TaskInfo")
        .set("key", &task.id)
        .set("task", task.moref())
        .set("name", Value::Enum("MethodName", task.method.to_owned()))
        .set("descriptionId", task.description_id)
        .set("entity", task.entity.clone())
        .set("entityName", &task.entity_name)
        .choice("state", "TaskInfoState", task.state.name())
        .set("cancelled", task.cancelled)
        .set("cancelable", task.cancelable && task.completed.is_none())
        .opt("error", task.error.as_ref().map(super::super::fault::Fault::localized))
        .opt("result", task.result.clone().filter(|_| task.state == TaskState::Success).map(any))
        .opt("progress", task.progress)
        .set("reason", Object::new("TaskReasonUser").set("userName", &task.user))
        .set("queueTime", Value::Time(task.queued.clone()))
        .opt("startTime", task.started.clone().map(Value::Time))
        .opt("completeTime", task.completed.clone().map(Value::Time))
        .set("eventChainId", number)
}
