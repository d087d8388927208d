//! Changing: what is refused, what happens at once, and what takes time.

mod parts;
mod power;
mod snapshots;
mod templates;
mod vms;

use std::collections::HashMap;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Engine,
    documents::Document,
    model::{Model, Vm},
};

// Numbers of events, as the engine's audit log has them.
const VM_STARTED: u32 = 32;
const VM_STOPPED: u32 = 33;
const VM_ADDING: u32 = 37;
const SNAPSHOT_BEGUN: u32 = 45;
const TEMPLATE_ADDED: u32 = 51;
const VM_ADDED: u32 = 53;
const VM_ADD_FAILED: u32 = 60;
const VM_DOWN: u32 = 61;
const SNAPSHOT_TAKEN: u32 = 68;
const VM_SHUTTING_DOWN: u32 = 73;
const RESTORED: u32 = 100;
const VM_REMOVED: u32 = 113;
const VM_REBOOTING: u32 = 157;
const TEMPLATE_REMOVED: u32 = 251;
const VM_SUSPENDED: u32 = 503;
const DISK_ADDED: u32 = 2021;
const COMMAND_FAILED: u32 = 10802;

/// A refusal: status and why.
pub type Refusal = (StatusCode, String);
/// What a change answers.
pub type Changed = Result<(StatusCode, Document), Refusal>;

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Numbers come as numbers or as text.
fn number(value: &Value, pointer: &str) -> Option<u64> {
    let value = value.pointer(pointer)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// So do booleans.
fn truth(value: &Value, pointer: &str) -> Option<bool> {
    let value = value.pointer(pointer)?;
    value.as_bool().or_else(|| value.as_str()?.parse().ok())
}

fn conflict(why: impl Into<String>) -> Refusal {
    (StatusCode::CONFLICT, why.into())
}

fn missing(what: &str) -> Refusal {
    (StatusCode::NOT_FOUND, format!("Entity not found: {what}"))
}

/// 400 of a body that lacks something.
fn incomplete(kind: &str, field: &str, verb: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, format!("{kind} [{field}] required for {verb}"))
}

fn done() -> (StatusCode, Document) {
    (StatusCode::OK, Document::one("action", json!({"status": "complete"})))
}

fn vm_of<'a>(model: &'a mut Model, id: &str) -> Result<&'a mut Vm, Refusal> {
    model.vms.get_mut(id).filter(|vm| !vm.template).ok_or_else(|| missing(id))
}

/// Something that a body names by id or by name; none if it names nothing.
fn named(model_list: &[super::model::Named], body: &Value, at: &str, kind: &str) -> Result<Option<String>, Refusal> {
    let (id, name) = (text(body, &format!("{at}/id")), text(body, &format!("{at}/name")));
    if id.is_empty() && name.is_empty() {
        return Ok(None);
    }
    let found = model_list.iter().find(|one| if id.is_empty() { one.name == name } else { one.id == id });
    found.map(|one| Some(one.id.clone())).ok_or_else(|| missing(&format!("{kind}: {}", if id.is_empty() { name } else { id })))
}

/// One change.
pub struct Change<'a> {
    /// Verb.
    pub method: &'a Method,
    /// Path below the API.
    pub path: &'a [&'a str],
    /// Query.
    pub query: &'a HashMap<String, String>,
    /// What was sent.
    pub body: &'a Value,
}

/// Carries a change out.
pub fn change(engine: &Engine, change: &Change<'_>) -> Changed {
    let correlation = change.query.get("correlation_id").cloned().unwrap_or_default();
    let body = change.body;
    match (change.method.as_str(), change.path) {
        ("POST", ["vms"]) => vms::add(engine, body, &correlation),
        ("PUT", ["vms", id]) => vms::update(engine, id, body),
        ("DELETE", ["vms", id]) => vms::remove(engine, id, &correlation),
        ("POST", ["vms", id, action @ ("start" | "stop" | "shutdown" | "reboot" | "suspend")]) => {
            power::act(engine, id, action, &correlation)
        }
        ("POST", ["vms", id, "snapshots"]) => snapshots::take(engine, id, body, &correlation),
        ("POST", ["vms", id, "snapshots", snapshot, "restore"]) => snapshots::restore(engine, id, snapshot, &correlation),
        ("DELETE", ["vms", id, "snapshots", snapshot]) => snapshots::remove(engine, id, snapshot),
        ("POST", ["vms", id, "nics"]) => parts::add_nic(engine, id, body),
        ("PUT", ["vms", id, "nics", nic]) => parts::update_nic(engine, id, nic, body),
        ("DELETE", ["vms", id, "nics", nic]) => parts::remove_nic(engine, id, nic),
        ("POST", ["vms", id, "diskattachments"]) => parts::attach(engine, id, body, &correlation),
        ("PUT", ["vms", id, "diskattachments", disk]) => parts::update_disk(engine, Some(id), disk, body.get("disk").unwrap_or(body)),
        ("DELETE", ["vms", id, "diskattachments", disk]) => {
            let only = change.query.get("detach_only").is_none_or(|only| only == "true");
            parts::detach(engine, id, disk, only)
        }
        ("POST", ["disks"]) => parts::add_disk(engine, body, &correlation),
        ("PUT", ["disks", disk]) => parts::update_disk(engine, None, disk, body),
        ("DELETE", ["disks", disk]) => parts::remove_disk(engine, disk),
        ("POST", ["templates"]) => templates::add(engine, body, &correlation),
        ("DELETE", ["templates", id]) => templates::remove(engine, id, &correlation),
        _ => Err((StatusCode::METHOD_NOT_ALLOWED, format!("{} is not possible here", change.method))),
    }
}
