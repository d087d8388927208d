//! Snapshots, and what changed on disks since one.

use std::time::Duration;

use super::{Context, Model, Outcome, needed_text, unknown};
use crate::vsphere::{
    fault::Fault,
    ids::MoRef,
    model::{
        device::Device,
        reconfigure::{flag, number},
    },
    soap::{Reply, Request},
    tasks::{self, Job},
    value::{Object, Value, long},
};

/// Making a snapshot of a machine.
const CREATE: Duration = Duration::from_secs(2);
/// Merging the files of a snapshot that is removed.
const REMOVE: Duration = Duration::from_secs(3);

/// A MiB in bytes.
const MIB: u64 = 1 << 20;

/// Methods of machines that concern snapshots.
///
/// # Errors
/// The method's fault.
pub fn of_machine(cx: &Context, request: &Request) -> Outcome {
    let id = request.this.id.clone();
    let user = cx.user();
    let body = &request.body;
    match request.method.as_str() {
        "CreateSnapshot_Task" | "CreateSnapshotEx_Task" => {
            let name = needed_text(request, "name")?.to_owned();
            let description = body.get("description").unwrap_or_default().to_owned();
            let memory = flag(body, "memory").unwrap_or(false);
            let quiesce = flag(body, "quiesce").unwrap_or(body.child("quiesceSpec").is_some());
            let job = job(&request.this, "VirtualMachine.createSnapshot", "CreateSnapshot_Task", CREATE);
            let by = user.clone();
            let check_id = id.clone();
            let check = Box::new(move |model: &Model| {
                if model.vm(&check_id)?.template {
                    return Err(Fault::not_supported("The operation is not supported on a template."));
                }
                Ok(())
            });
            let work = Box::new(move |model: &mut Model| {
                model.create_snapshot(&id, &name, &description, memory, quiesce, &by).map(|s| Some(Value::Ref(s)))
            });
            Ok(tasks::start(&cx.server, &user, job, check, work).into())
        }
        "RemoveAllSnapshots_Task" => {
            let job = job(&request.this, "VirtualMachine.removeAllSnapshots", "RemoveAllSnapshots_Task", REMOVE);
            let work = Box::new(move |model: &mut Model| model.remove_all_snapshots(&id).map(|()| None));
            Ok(tasks::start(&cx.server, &user, job, Box::new(|_| Ok(())), work).into())
        }
        "RevertToCurrentSnapshot_Task" => {
            let suppress = flag(body, "suppressPowerOn").unwrap_or(false);
            let job = job(&request.this, "VirtualMachine.revertToCurrentSnapshot", "RevertToCurrentSnapshot_Task", CREATE);
            let work = Box::new(move |model: &mut Model| {
                let current = model.vm(&id)?.current_snapshot.clone();
                let current = current.ok_or_else(|| Fault::new("NotFound", "The machine has no snapshot."))?;
                model.revert_to_snapshot(&id, &current, suppress).map(|()| None)
            });
            Ok(tasks::start(&cx.server, &user, job, Box::new(|_| Ok(())), work).into())
        }
        "QueryChangedDiskAreas" => cx.look(|s| changed_areas(s.model, request)).map(|info| Reply::Value(info.into())),
        _ => Err(unknown(request)),
    }
}

/// Methods of a snapshot.
///
/// # Errors
/// The method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    let snapshot = request.this.id.clone();
    let user = cx.user();
    let owner = cx.look(|s| s.model.snapshot_owner(&snapshot).map(|(e, _)| e.moref())).ok_or_else(|| Fault::not_found(&request.this))?;
    match request.method.as_str() {
        "RemoveSnapshot_Task" => {
            let children = flag(&request.body, "removeChildren").unwrap_or(false);
            let job = job(&owner, "vm.Snapshot.remove", "RemoveSnapshot_Task", REMOVE);
            let work = Box::new(move |model: &mut Model| model.remove_snapshot(&snapshot, children).map(|()| None));
            Ok(tasks::start(&cx.server, &user, job, Box::new(|_| Ok(())), work).into())
        }
        "RevertToSnapshot_Task" => {
            let suppress = flag(&request.body, "suppressPowerOn").unwrap_or(false);
            let job = job(&owner, "vm.Snapshot.revert", "RevertToSnapshot_Task", CREATE);
            let work = Box::new(move |model: &mut Model| model.revert_to_snapshot(&owner.id, &snapshot, suppress).map(|()| None));
            Ok(tasks::start(&cx.server, &user, job, Box::new(|_| Ok(())), work).into())
        }
        "RenameSnapshot" => cx.server.change(|model| {
            let vm = model.vm_mut(&owner.id)?;
            let found = vm.snapshots.iter_mut().find(|s| s.id == snapshot).ok_or_else(|| Fault::not_found(&request.this))?;
            if let Some(name) = request.body.get("name") {
                name.clone_into(&mut found.name);
            }
            if let Some(text) = request.body.get("description") {
                text.clone_into(&mut found.description);
            }
            Ok(Reply::Empty)
        }),
        _ => Err(unknown(request)),
    }
}

fn job(machine: &MoRef, description: &'static str, method: &'static str, takes: Duration) -> Job {
    Job { entity: machine.clone(), description, method, takes, exclusive: true, cancelable: false }
}

/// What changed on a disk: everything that is written for `*`, a part of it since a `changeId`.
fn changed_areas(model: &Model, request: &Request) -> Result<Object, Fault> {
    let vm = model.vm(&request.this.id)?;
    let key: i32 = number(&request.body, "deviceKey").ok_or_else(|| Fault::invalid_argument("deviceKey"))?;
    let offset: u64 = number(&request.body, "startOffset").unwrap_or(0);
    let change = needed_text(request, "changeId")?.trim();
    let devices = match request.body.child("snapshot").map(MoRef::read) {
        Some(snapshot) => &vm.snapshot(&snapshot.id).ok_or_else(|| Fault::not_found(&snapshot))?.devices,
        None => &vm.devices,
    };
    let disk = devices.iter().find(|d| d.key == key).and_then(Device::disk).ok_or_else(|| Fault::invalid_argument("deviceKey"))?;
    let bytes = disk.capacity_kib * 1024;
    if offset >= bytes {
        return Err(Fault::invalid_argument("startOffset"));
    }
    let Some(current) = disk.backing.change_id.as_deref().filter(|_| vm.change_tracking) else {
        return Err(Fault::new("FileFault", format!("{}: changes are not tracked", disk.backing.file)).with("file", &disk.backing.file));
    };
    // Half of a disk is written when everything is asked for. Between two points in time a guest writes a little.
    let areas: Vec<(u64, u64)> = if change == "*" {
        vec![(0, bytes / 2)]
    } else {
        let parse = |id: &str| id.rsplit_once('/').and_then(|(uuid, n)| Some((uuid.to_owned(), n.parse::<u64>().ok()?)));
        let (now, before) = (parse(current), parse(change).ok_or_else(|| Fault::invalid_argument("changeId"))?);
        let now = now.filter(|now| now.0 == before.0 && now.1 >= before.1).ok_or_else(|| Fault::invalid_argument("changeId"))?;
        (0..now.1 - before.1).map(|n| (n * 64 * MIB, 4 * MIB)).filter(|(start, length)| start + length <= bytes).collect()
    };
    let areas = areas.into_iter().filter_map(|(start, length)| {
        let from = start.max(offset);
        let end = start + length;
        (end > from).then(|| Object::new("DiskChangeExtent").set("start", long(from)).set("length", long(end - from)))
    });
    Ok(Object::new("DiskChangeInfo").set("startOffset", long(offset)).set("length", long(bytes - offset)).list(
        "changedArea",
        "DiskChangeExtent",
        areas,
    ))
}
