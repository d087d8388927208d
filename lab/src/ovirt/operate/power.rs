//! Switching virtual machines.

use std::time::Duration;

use super::{super::Engine, Changed, VM_DOWN, VM_REBOOTING, VM_SHUTTING_DOWN, VM_STARTED, VM_STOPPED, VM_SUSPENDED, conflict, done, vm_of};

/// From the start of a VM until it counts as up.
const START: Duration = Duration::from_secs(5);
/// From "up" until the guest's agent reports.
const BOOT: Duration = Duration::from_secs(15);
/// A guest that shuts itself down.
const SHUTDOWN: Duration = Duration::from_secs(8);
/// Writing the memory of a VM to disk.
const SUSPEND: Duration = Duration::from_secs(5);

pub fn act(engine: &Engine, id: &str, action: &str, correlation: &str) -> Changed {
    let mut model = engine.model();
    let host = model.hosts.first().map(|host| host.name.clone()).unwrap_or_default();
    let user = model.user();
    let vm = vm_of(&mut model, id)?;
    let verb = match action {
        "start" => "run",
        "suspend" => "hibernate",
        other => other,
    };
    match (action, vm.status.as_str()) {
        (_, "image_locked") => {
            return Err(conflict(format!("[Cannot {verb} VM. Related operation is currently in progress. Please try again later.]")));
        }
        (_, "saving_state") => return Err(conflict(format!("[Cannot {verb} VM. VM is in saving/restoring state.]"))),
        ("start", "down" | "suspended") => {
            "powering_up".clone_into(&mut vm.status);
            vm.boot += 1;
            let (id, boot) = (vm.id.clone(), vm.boot);
            drop(model);
            start(engine, id, boot);
        }
        ("start", _) => return Err(conflict("[Cannot run VM. VM is running.]")),
        ("stop", "suspended") => {
            "down".clone_into(&mut vm.status);
            vm.reports = false;
        }
        (_, "down" | "suspended") => return Err(conflict(format!("[Cannot {verb} VM. VM is not running.]"))),
        ("stop", _) => {
            "down".clone_into(&mut vm.status);
            vm.reports = false;
            let vm = vm.clone();
            let text = format!("VM {} powered off by {user} (Host: {host}).", vm.name);
            model.event(VM_STOPPED, "normal", text, Some(&vm), correlation);
        }
        ("suspend" | "reboot", state) if state != "up" => {
            return Err(conflict(format!("[Cannot {verb} VM. VM is not up.]")));
        }
        ("suspend", _) => {
            "saving_state".clone_into(&mut vm.status);
            let (id, boot) = (vm.id.clone(), vm.boot);
            drop(model);
            engine.later(SUSPEND, move |_, model| {
                let Some(vm) = model.vms.get_mut(&id).filter(|vm| vm.boot == boot && vm.status == "saving_state") else { return };
                "suspended".clone_into(&mut vm.status);
                vm.reports = false;
                let vm = vm.clone();
                model.event(VM_SUSPENDED, "normal", format!("VM {} on Host {host} is suspended.", vm.name), Some(&vm), "");
            });
        }
        ("reboot", _) => {
            "reboot_in_progress".clone_into(&mut vm.status);
            vm.boot += 1;
            vm.reports = false;
            let text = format!("User {user} initiated reboot of VM {}.", vm.name);
            let vm = vm.clone();
            model.event(VM_REBOOTING, "normal", text, Some(&vm), correlation);
            drop(model);
            start(engine, vm.id, vm.boot);
        }
        _ => {
            "powering_down".clone_into(&mut vm.status);
            let vm = vm.clone();
            let text = format!("VM shutdown initiated by {user} on VM {} (Host: {host}).", vm.name);
            model.event(VM_SHUTTING_DOWN, "normal", text, Some(&vm), correlation);
            drop(model);
            shut_down(engine, vm.id, vm.boot);
        }
    }
    Ok(done())
}

fn shut_down(engine: &Engine, id: String, boot: u64) {
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

fn start(engine: &Engine, id: String, boot: u64) {
    engine.later(START, move |engine, model| {
        let begins =
            |vm: &&mut super::super::model::Vm| vm.boot == boot && matches!(vm.status.as_str(), "powering_up" | "reboot_in_progress");
        let agent = {
            let Some(vm) = model.vms.get_mut(&id).filter(begins) else { return };
            let started = vm.status == "powering_up";
            "up".clone_into(&mut vm.status);
            let vm = vm.clone();
            if started {
                let host = model.hosts.first().map_or("", |h| &h.name[..]);
                let text = format!("VM {} started on Host {host}", vm.name);
                model.event(VM_STARTED, "normal", text, Some(&vm), "");
            }
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
