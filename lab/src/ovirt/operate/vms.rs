//! Virtual machines: making, changing and removing them.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::{
    super::{
        Engine,
        documents::{self, Document},
        model::BLANK,
    },
    COMMAND_FAILED, Changed, VM_ADD_FAILED, VM_ADDED, VM_ADDING, VM_REMOVED, conflict, done, incomplete, missing, named, number, text,
    vm_of,
};
use crate::faults::Server;

/// Copying a template's disks: thin ones of a few GiB take about so long on NFS.
const COPY: Duration = Duration::from_secs(20);
/// A VM without disks.
const QUICK: Duration = Duration::from_secs(1);
/// Removing disks.
const REMOVE: Duration = Duration::from_secs(3);

pub fn add(engine: &Engine, body: &Value, correlation: &str) -> Changed {
    let mut model = engine.model();
    let name = text(body, "/name").to_owned();
    if name.is_empty() {
        return Err(incomplete("Vm", "name", "add"));
    }
    if body.get("cluster").is_none_or(|cluster| text(cluster, "/id").is_empty() && text(cluster, "/name").is_empty()) {
        return Err(incomplete("Vm", "cluster.id|name", "add"));
    }
    named(std::slice::from_ref(&model.cluster), body, "/cluster", "Cluster")?;
    let (id, by_name) = (text(body, "/template/id"), text(body, "/template/name"));
    if id.is_empty() && by_name.is_empty() {
        return Err(incomplete("Vm", "template.id|name", "add"));
    }
    let fits = |vm: &&super::super::model::Vm| vm.template && if id.is_empty() { vm.name == by_name } else { vm.id == id };
    let template = model.vms.values().find(fits).cloned();
    let Some(template) = template else {
        return Err(missing(&format!("Template: {}", if id.is_empty() { format!("name={by_name}") } else { id.to_owned() })));
    };
    if model.vms.values().any(|vm| !vm.template && vm.name == name) {
        return Err(conflict("[Cannot add VM. The VM name is already in use, please choose a unique name and try again.]"));
    }
    let vm = model.copy(&template, &name, text(body, "/comment"), number(body, "/memory_policy/guaranteed"));
    if let Some(made) = model.vms.get_mut(&vm) {
        settings(made, body);
    }
    let doing = format!("Creating VM {name} from Template {} in Cluster {}", template.name, model.cluster.name);
    let job = model.job(doing, correlation);
    let made = model.vms[&vm].clone();
    let begun = format!("VM {name} creation was initiated by {}.", model.user());
    model.event(VM_ADDING, "normal", begun, Some(&made), correlation);
    let shown = documents::vm(&model, &made);
    drop(model);
    let (id, correlation) = (vm, correlation.to_owned());
    engine.later(if template.id == BLANK { QUICK } else { COPY }, move |engine, model| {
        let Some(vm) = model.vms.get_mut(&id) else { return };
        if let Some(why) = engine.inner.world.faults.fails(Server::Ovirt, "clone", &vm.name) {
            let vm = vm.clone();
            let host = model.hosts.first().map(|host| host.name.clone()).unwrap_or_default();
            model.event(COMMAND_FAILED, "error", format!("VDSM {host} command CopyImageVDS failed: {why}"), None, &correlation);
            model.event(VM_ADD_FAILED, "error", format!("Failed to complete VM {} creation.", vm.name), Some(&vm), &correlation);
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

/// What a body may say of a VM beside its name.
fn settings(vm: &mut super::super::model::Vm, body: &Value) {
    for (key, field) in [("/comment", &mut vm.comment), ("/description", &mut vm.description)] {
        if let Some(value) = body.pointer(key).and_then(Value::as_str) {
            value.clone_into(field);
        }
    }
    if let Some(memory) = number(body, "/memory") {
        vm.memory = memory;
    }
    if let Some(guaranteed) = number(body, "/memory_policy/guaranteed") {
        vm.guaranteed = guaranteed;
    }
    for (key, field) in [("sockets", &mut vm.sockets), ("cores", &mut vm.cores)] {
        if let Some(count) = number(body, &format!("/cpu/topology/{key}")).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0) {
            *field = count;
        }
    }
}

pub fn update(engine: &Engine, id: &str, body: &Value) -> Changed {
    let mut model = engine.model();
    let name = text(body, "/name").to_owned();
    if !name.is_empty() && model.vms.values().any(|vm| !vm.template && vm.name == name && vm.id != id) {
        return Err(conflict("[Cannot edit VM. The VM name is already in use, please choose a unique name and try again.]"));
    }
    let vm = vm_of(&mut model, id)?;
    if !name.is_empty() {
        vm.name = name;
    }
    settings(vm, body);
    let vm = vm.clone();
    Ok((StatusCode::OK, Document::one("vm", documents::vm(&model, &vm))))
}

pub fn remove(engine: &Engine, id: &str, correlation: &str) -> Changed {
    let mut model = engine.model();
    let user = model.user();
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
        model.event(VM_REMOVED, "normal", format!("VM {} was successfully removed by {user}.", vm.name), None, &correlation);
    });
    Ok(done())
}
