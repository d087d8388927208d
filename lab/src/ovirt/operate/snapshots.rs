//! Snapshots of virtual machines.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::{
    super::{
        Engine,
        documents::{self, Document},
        model::Snapshot,
    },
    Changed, RESTORED, SNAPSHOT_BEGUN, SNAPSHOT_TAKEN, conflict, done, missing, text, vm_of,
};

/// A snapshot without memory.
const SNAPSHOT: Duration = Duration::from_secs(4);
/// Merging the disks of one, or going back to it.
const MERGE: Duration = Duration::from_secs(4);

pub fn take(engine: &Engine, id: &str, body: &Value, correlation: &str) -> Changed {
    let mut model = engine.model();
    let (snapshot, date, user) = (model.id(), model.world.clock.moment(), model.user());
    let vm = vm_of(&mut model, id)?;
    if vm.status == "image_locked" || vm.snapshots.iter().any(|s| s.status == "locked") {
        return Err(conflict("[Cannot create Snapshot. The VM has a snapshot operation in progress. Please try again later.]"));
    }
    let taken = Snapshot { id: snapshot.clone(), description: text(body, "/description").to_owned(), date, status: "locked".to_owned() };
    vm.snapshots.push(taken.clone());
    let of = vm.clone();
    let shown = documents::snapshot(&of, &taken, "regular");
    let begun = format!("Snapshot '{}' creation for VM '{}' was initiated by {user}.", taken.description, of.name);
    model.event(SNAPSHOT_BEGUN, "normal", begun, Some(&of), correlation);
    drop(model);
    let (id, correlation) = (id.to_owned(), correlation.to_owned());
    engine.later(SNAPSHOT, move |_, model| {
        let Some(vm) = model.vms.get_mut(&id) else { return };
        if let Some(taken) = vm.snapshots.iter_mut().find(|s| s.id == snapshot) {
            "ok".clone_into(&mut taken.status);
        }
        let vm = vm.clone();
        let text = format!("Snapshot '{}' creation for VM '{}' has been completed.", taken.description, vm.name);
        model.event(SNAPSHOT_TAKEN, "normal", text, Some(&vm), &correlation);
    });
    Ok((StatusCode::ACCEPTED, Document::one("snapshot", shown)))
}

pub fn restore(engine: &Engine, id: &str, snapshot: &str, correlation: &str) -> Changed {
    let mut model = engine.model();
    let user = model.user();
    let vm = vm_of(&mut model, id)?;
    let description = vm.snapshots.iter().find(|s| s.id == snapshot).map(|s| s.description.clone()).ok_or_else(|| missing(snapshot))?;
    if vm.status != "down" {
        return Err(conflict("[Cannot revert to Snapshot. VM is running.]"));
    }
    "image_locked".clone_into(&mut vm.status);
    drop(model);
    let (id, correlation) = (id.to_owned(), correlation.to_owned());
    engine.later(MERGE, move |_, model| {
        let Some(vm) = model.vms.get_mut(&id).filter(|vm| vm.status == "image_locked") else { return };
        "down".clone_into(&mut vm.status);
        let vm = vm.clone();
        let text = format!("VM {} restoring from Snapshot '{description}' has been completed by {user}.", vm.name);
        model.event(RESTORED, "normal", text, Some(&vm), &correlation);
    });
    Ok(done())
}

pub fn remove(engine: &Engine, id: &str, snapshot: &str) -> Changed {
    let mut model = engine.model();
    let vm = vm_of(&mut model, id)?;
    if vm.status == "image_locked" {
        return Err(conflict("[Cannot remove Snapshot. VM is locked. Please try again in a few minutes.]"));
    }
    let found = vm.snapshots.iter_mut().find(|s| s.id == snapshot).ok_or_else(|| missing(snapshot))?;
    if found.status == "locked" {
        return Err(conflict("[Cannot remove Snapshot. The VM has a snapshot operation in progress. Please try again later.]"));
    }
    "locked".clone_into(&mut found.status);
    drop(model);
    let (id, snapshot) = (id.to_owned(), snapshot.to_owned());
    engine.later(MERGE, move |_, model| {
        if let Some(vm) = model.vms.get_mut(&id) {
            vm.snapshots.retain(|s| s.id != snapshot);
        }
    });
    Ok(done())
}
