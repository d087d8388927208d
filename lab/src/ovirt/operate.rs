//! Changing: what is refused, what happens at once, and what takes time.

use std::{collections::HashMap, time::Duration};

use http::{Method, StatusCode};
use serde_json::Value;

use super::{
    Engine,
    documents::{self, Document},
    model::{Model, Snapshot, Vm},
};
use crate::faults::Server;

/// Copying a template's disks: thin ones of a few GiB take about so long on NFS.
const COPY: Duration = Duration::from_secs(20);
/// From the start of a VM until it counts as up.
const START: Duration = Duration::from_secs(5);
/// From "up" until the guest's agent reports.
const BOOT: Duration = Duration::from_secs(15);
/// A guest that shuts itself down.
const SHUTDOWN: Duration = Duration::from_secs(8);
/// A snapshot without memory.
const SNAPSHOT: Duration = Duration::from_secs(4);
/// Removing disks.
const REMOVE: Duration = Duration::from_secs(3);

// Numbers of events, as the engine's audit log has them.
const VM_STARTED: u32 = 32;
const VM_STOPPED: u32 = 33;
const VM_ADDED: u32 = 34;
const VM_ADD_FAILED: u32 = 60;
const VM_DOWN: u32 = 61;
const VM_REMOVED: u32 = 113;
const SNAPSHOT_TAKEN: u32 = 68;

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

fn conflict(why: impl Into<String>) -> Refusal {
    (StatusCode::CONFLICT, why.into())
}

fn missing(id: &str) -> Refusal {
    (StatusCode::NOT_FOUND, format!("Entity not found: {id}"))
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
    match (change.method.as_str(), change.path) {
        ("POST", ["vms"]) => add(engine, change.body, &correlation),
        ("POST", ["vms", id, action @ ("start" | "stop" | "shutdown")]) => act(engine, id, action, &correlation),
        ("POST", ["vms", id, "snapshots"]) => snapshot(engine, id, change.body, &correlation),
        ("PUT", ["vms", id]) => update(engine, id, change.body),
        ("DELETE", ["vms", id]) => remove(engine, id, &correlation),
        ("DELETE", ["vms", id, "snapshots", snapshot]) => remove_snapshot(engine, id, snapshot),
        _ => Err((StatusCode::METHOD_NOT_ALLOWED, format!("{} is not possible here", change.method))),
    }
}

fn add(engine: &Engine, body: &Value, correlation: &str) -> Changed {
    let mut model = engine.model();
    let name = text(body, "/name").to_owned();
    if name.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "[vm.name is required for add]".to_owned()));
    }
    if model.vms.values().any(|vm| !vm.template && vm.name == name) {
        return Err(conflict("[Cannot add VM. The VM name is already in use, please choose a unique name and try again.]"));
    }
    let (id, by_name) = (text(body, "/template/id"), text(body, "/template/name"));
    let template = model.vms.values().find(|vm| vm.template && (vm.id == id || (id.is_empty() && vm.name == by_name))).cloned();
    let Some(template) = template else { return Err(missing(if id.is_empty() { by_name } else { id })) };
    if !text(body, "/cluster/id").is_empty() && text(body, "/cluster/id") != model.cluster.id {
        return Err(missing(text(body, "/cluster/id")));
    }
    let vm = model.copy(&template, &name, text(body, "/comment"), number(body, "/memory_policy/guaranteed"));
    let doing = format!("Creating VM {name} from Template {} in Cluster {}", template.name, model.cluster.name);
    let job = model.job(doing, correlation);
    let shown = documents::vm(&model, &model.vms[&vm]);
    drop(model);
    let (id, correlation) = (vm, correlation.to_owned());
    engine.later(COPY, move |engine, model| {
        let Some(vm) = model.vms.get_mut(&id) else { return };
        if let Some(why) = engine.inner.world.faults.fails(Server::Ovirt, "clone", &vm.name) {
            let text = format!("Failed to complete VM {} creation: {why}.", vm.name);
            let vm = vm.clone();
            model.event(VM_ADD_FAILED, "error", text, Some(&vm), &correlation);
            model.end_job(&job, "failed");
            model.remove(&id);
            return;
        }
        "down".clone_into(&mut vm.status);
        let vm = vm.clone();
        for disk in &vm.disks {
            if let Some(disk) = model.disks.get_mut(disk) {
                "ok".clone_into(&mut disk.status);
            }
        }
        model.event(VM_ADDED, "normal", format!("VM {} creation has been completed.", vm.name), Some(&vm), &correlation);
        model.end_job(&job, "finished");
    });
    Ok((StatusCode::ACCEPTED, Document::one("vm", shown)))
}

fn done() -> (StatusCode, Document) {
    (StatusCode::OK, Document::one("action", serde_json::json!({"status": "complete"})))
}

fn vm_of<'a>(model: &'a mut Model, id: &str) -> Result<&'a mut Vm, Refusal> {
    model.vms.get_mut(id).filter(|vm| !vm.template).ok_or_else(|| missing(id))
}

fn act(engine: &Engine, id: &str, action: &str, correlation: &str) -> Changed {
    let mut model = engine.model();
    let vm = vm_of(&mut model, id)?;
    let verb = if action == "start" { "run" } else { action };
    match (action, vm.status.as_str()) {
        (_, "image_locked") => {
            return Err(conflict(format!("[Cannot {verb} VM. Related operation is currently in progress. Please try again later.]")));
        }
        ("start", "down") => {
            "powering_up".clone_into(&mut vm.status);
            vm.boot += 1;
            let (id, boot) = (vm.id.clone(), vm.boot);
            drop(model);
            start(engine, id, boot);
        }
        ("start", _) => return Err(conflict("[Cannot run VM. VM is running.]")),
        (_, "down") => return Err(conflict(format!("[Cannot {verb} VM. VM is not running.]"))),
        ("stop", _) => {
            "down".clone_into(&mut vm.status);
            vm.reports = false;
            let vm = vm.clone();
            model.event(VM_STOPPED, "normal", format!("VM {} powered off.", vm.name), Some(&vm), correlation);
        }
        _ => {
            "powering_down".clone_into(&mut vm.status);
            let (id, boot) = (vm.id.clone(), vm.boot);
            drop(model);
            engine.later(SHUTDOWN, move |_, model| {
                let Some(vm) = model.vms.get_mut(&id).filter(|vm| vm.boot == boot && vm.status == "powering_down") else { return };
                "down".clone_into(&mut vm.status);
                vm.reports = false;
                let vm = vm.clone();
                let (code, text) = if model.world.faults.stopped_by_user(&vm.name) {
                    (VM_STOPPED, "powered off by admin@internal")
                } else {
                    (VM_DOWN, "is down. Exit message: User shut down from within the guest")
                };
                model.event(code, "normal", format!("VM {} {text}.", vm.name), Some(&vm), "");
            });
        }
    }
    Ok(done())
}

fn start(engine: &Engine, id: String, boot: u64) {
    engine.later(START, move |engine, model| {
        let agent = {
            let Some(vm) = model.vms.get_mut(&id).filter(|vm| vm.boot == boot && vm.status == "powering_up") else { return };
            "up".clone_into(&mut vm.status);
            let vm = vm.clone();
            model.event(
                VM_STARTED,
                "normal",
                format!("VM {} started on Host {}", vm.name, model.hosts.first().map_or("", |h| &h.name[..])),
                Some(&vm),
                "",
            );
            model.world.datacenter.guests.get(&vm.guest).is_some_and(|guest| guest.agent)
        };
        if agent {
            engine.later(BOOT, move |_, model| {
                if let Some(vm) = model.vms.get_mut(&id).filter(|vm| vm.boot == boot && vm.status == "up") {
                    vm.reports = true;
                }
            });
        }
    });
}

fn snapshot(engine: &Engine, id: &str, body: &Value, correlation: &str) -> Changed {
    let mut model = engine.model();
    let (snapshot, date) = (model.id(), model.world.clock.moment());
    let vm = vm_of(&mut model, id)?;
    if vm.status == "image_locked" || vm.snapshots.iter().any(|s| s.status == "locked") {
        return Err(conflict("[Cannot create Snapshot. The VM has a snapshot operation in progress. Please try again later.]"));
    }
    let taken = Snapshot { id: snapshot.clone(), description: text(body, "/description").to_owned(), date, status: "locked".to_owned() };
    vm.snapshots.push(taken.clone());
    let shown = documents::snapshot(vm, &taken, "regular");
    drop(model);
    let (id, correlation) = (id.to_owned(), correlation.to_owned());
    engine.later(SNAPSHOT, move |_, model| {
        let Some(vm) = model.vms.get_mut(&id) else { return };
        if let Some(taken) = vm.snapshots.iter_mut().find(|s| s.id == snapshot) {
            "ok".clone_into(&mut taken.status);
        }
        let vm = vm.clone();
        model.event(SNAPSHOT_TAKEN, "normal", format!("Snapshot creation for VM {} has been completed.", vm.name), Some(&vm), &correlation);
    });
    Ok((StatusCode::ACCEPTED, Document::one("snapshot", shown)))
}

fn update(engine: &Engine, id: &str, body: &Value) -> Changed {
    let mut model = engine.model();
    let vm = vm_of(&mut model, id)?;
    for (key, field) in [("/name", &mut vm.name), ("/comment", &mut vm.comment), ("/description", &mut vm.description)] {
        if let Some(value) = body.pointer(key).and_then(Value::as_str) {
            value.clone_into(field);
        }
    }
    if let Some(memory) = number(body, "/memory") {
        vm.memory = memory;
    }
    let vm = vm.clone();
    Ok((StatusCode::OK, Document::one("vm", documents::vm(&model, &vm))))
}

fn remove(engine: &Engine, id: &str, correlation: &str) -> Changed {
    let mut model = engine.model();
    let vm = vm_of(&mut model, id)?;
    match vm.status.as_str() {
        "down" => {}
        "image_locked" => return Err(conflict("[Cannot remove VM. Disk is locked. Please try again in a few minutes.]")),
        _ => return Err(conflict("[Cannot remove VM. VM is running.]")),
    }
    "image_locked".clone_into(&mut vm.status);
    drop(model);
    let (id, correlation) = (id.to_owned(), correlation.to_owned());
    engine.later(REMOVE, move |_, model| {
        let Some(vm) = model.vms.get(&id).cloned() else { return };
        model.remove(&id);
        model.event(VM_REMOVED, "normal", format!("VM {} was successfully removed.", vm.name), None, &correlation);
    });
    Ok(done())
}

fn remove_snapshot(engine: &Engine, id: &str, snapshot: &str) -> Changed {
    let mut model = engine.model();
    let vm = vm_of(&mut model, id)?;
    let before = vm.snapshots.len();
    vm.snapshots.retain(|s| s.id != snapshot);
    if vm.snapshots.len() == before { Err(missing(snapshot)) } else { Ok(done()) }
}
