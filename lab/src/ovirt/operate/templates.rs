//! Templates: made of a virtual machine, and removed.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::{
    super::{
        Engine,
        documents::{self, Document},
        model::BLANK,
    },
    Changed, TEMPLATE_ADDED, TEMPLATE_REMOVED, conflict, done, incomplete, missing, named, text, vm_of,
};

/// Copying the disks of a VM.
const COPY: Duration = Duration::from_secs(20);
/// Removing disks.
const REMOVE: Duration = Duration::from_secs(3);

pub fn add(engine: &Engine, body: &Value, correlation: &str) -> Changed {
    let mut model = engine.model();
    let (name, vm) = (text(body, "/name").to_owned(), text(body, "/vm/id").to_owned());
    if name.is_empty() {
        return Err(incomplete("Template", "name", "add"));
    }
    if vm.is_empty() {
        return Err(incomplete("Template", "vm.id|name", "add"));
    }
    named(std::slice::from_ref(&model.cluster), body, "/cluster", "Cluster")?;
    if model.vms.values().any(|other| other.template && other.name == name) {
        return Err(conflict("[Cannot add Template. The Template name is already in use, please choose a unique name and try again.]"));
    }
    let of = vm_of(&mut model, &vm)?;
    if of.status != "down" {
        return Err(conflict("[Cannot create Template. VM is running.]"));
    }
    "image_locked".clone_into(&mut of.status);
    let of = of.clone();
    let id = model.copy(&of, &name, text(body, "/comment"), None);
    let made = model.vms.get_mut(&id).ok_or_else(|| missing(&id))?;
    (made.template, made.origin, made.status) = (true, None, "locked".to_owned());
    text(body, "/description").clone_into(&mut made.description);
    let made = made.clone();
    let job = model.job(format!("Creating Template {name} from VM {}", of.name), correlation);
    let shown = documents::vm(&model, &made);
    drop(model);
    let correlation = correlation.to_owned();
    engine.later(COPY, move |_, model| {
        if let Some(vm) = model.vms.get_mut(&vm).filter(|vm| vm.status == "image_locked") {
            "down".clone_into(&mut vm.status);
        }
        let Some(made) = model.vms.get_mut(&id) else { return };
        "ok".clone_into(&mut made.status);
        let made = made.clone();
        for disk in &made.disks {
            if let Some(disk) = model.disks.get_mut(disk) {
                "ok".clone_into(&mut disk.status);
            }
        }
        let text = format!("Creation of Template {} from VM {} has been completed.", made.name, of.name);
        model.event(TEMPLATE_ADDED, "normal", text, None, &correlation);
        model.end_job(&job, "finished");
    });
    Ok((StatusCode::ACCEPTED, Document::one("template", shown)))
}

pub fn remove(engine: &Engine, id: &str, correlation: &str) -> Changed {
    let mut model = engine.model();
    let user = model.user();
    let found = model.vms.get_mut(id).filter(|vm| vm.template).ok_or_else(|| missing(id))?;
    if id == BLANK {
        return Err(conflict("[Cannot remove Template. Blank template cannot be removed.]"));
    }
    if found.status == "locked" {
        return Err(conflict("[Cannot remove Template. Template is locked.]"));
    }
    // Clones have disks of their own, so nothing depends on a template here.
    "locked".clone_into(&mut found.status);
    let name = found.name.clone();
    drop(model);
    let (id, correlation) = (id.to_owned(), correlation.to_owned());
    engine.later(REMOVE, move |_, model| {
        model.remove(&id);
        model.event(TEMPLATE_REMOVED, "normal", format!("Template {name} has been removed by {user}."), None, &correlation);
    });
    Ok(done())
}
