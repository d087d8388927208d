//! Virtual machines.

use std::time::Duration;

use super::{Context, Outcome, entity, needed, needed_text, snapshot};
use crate::vsphere::{
    fault::Fault,
    model::{power::PowerOp, reconfigure::reference, vm::Power},
    soap::{Reply, Request},
    tasks::{self, Job},
    types::entity::unescaped,
    value::Value,
};

/// Copying a GiB takes about a second on storage of a test lab; a clone has this much to do besides.
const CLONE: Duration = Duration::from_secs(10);
/// Power on, reset, suspend.
const POWER: Duration = Duration::from_secs(3);
/// Everything that only changes settings.
const QUICK: Duration = Duration::from_secs(1);

/// Methods of a virtual machine.
///
/// # Errors
/// The method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    let id = request.this.id.clone();
    let user = cx.user();
    match request.method.as_str() {
        "PowerOnVM_Task" => Ok(power(cx, request, "VirtualMachine.powerOn", "PowerOnVM_Task", PowerOp::On)),
        "PowerOffVM_Task" => Ok(power(cx, request, "VirtualMachine.powerOff", "PowerOffVM_Task", PowerOp::Off)),
        "SuspendVM_Task" => Ok(power(cx, request, "VirtualMachine.suspend", "SuspendVM_Task", PowerOp::Suspend)),
        "ResetVM_Task" => Ok(power(cx, request, "VirtualMachine.reset", "ResetVM_Task", PowerOp::Reset)),
        "ShutdownGuest" | "RebootGuest" => {
            let restart = request.method == "RebootGuest";
            cx.server.change(|model| model.ask_guest(&id, restart, &user)).map(|()| Reply::Empty)
        }
        "StandbyGuest" | "AcknowledgeAlarm" | "RefreshStorageInfo" | "Reload" => Ok(Reply::Empty),
        "CloneVM_Task" => clone(cx, request),
        "ReconfigVM_Task" => {
            let spec = request.body.child("spec").cloned().ok_or_else(|| Fault::invalid_argument("spec"))?;
            let job = Job { takes: QUICK, ..job(request, "VirtualMachine.reconfigure", "ReconfigVM_Task") };
            let work = Box::new(move |model: &mut super::Model| {
                model.reconfigure(&id, &spec)?;
                model.event("VmReconfiguredEvent", &id, &user, |name| format!("{name} was reconfigured"));
                Ok(None)
            });
            Ok(tasks::start(&cx.server, &cx.user(), job, Box::new(|_| Ok(())), work).into())
        }
        "RelocateVM_Task" | "MigrateVM_Task" => {
            let spec = match request.method.as_str() {
                "RelocateVM_Task" => request.body.child("spec").cloned().ok_or_else(|| Fault::invalid_argument("spec"))?,
                _ => request.body.clone(),
            };
            let job = Job { takes: CLONE, cancelable: true, ..job(request, "VirtualMachine.relocate", "RelocateVM_Task") };
            let work = Box::new(move |model: &mut super::Model| model.relocate(&id, &spec).map(|()| None));
            Ok(tasks::start(&cx.server, &user, job, Box::new(|_| Ok(())), work).into())
        }
        "MarkAsTemplate" => cx.server.change(|model| {
            let vm = model.vm_mut(&id)?;
            if vm.template {
                return Err(Fault::not_supported("The machine is a template already."));
            }
            if vm.power != Power::Off {
                return Err(Fault::invalid_power_state(vm.power.name(), Some("poweredOff")));
            }
            vm.template = true;
            vm.pool = None;
            vm.vmx = vm.vmx.replace(".vmx", ".vmtx");
            Ok(Reply::Empty)
        }),
        "MarkAsVirtualMachine" => {
            let pool = needed(request, "pool")?;
            let host = reference(&request.body, "host");
            cx.server.change(|model| {
                model.find(&pool)?;
                let vm = model.vm_mut(&id)?;
                if !vm.template {
                    return Err(Fault::not_supported("The machine is no template."));
                }
                vm.template = false;
                vm.pool = Some(pool.id);
                if let Some(host) = host {
                    vm.host = host.id;
                }
                vm.vmx = vm.vmx.replace(".vmtx", ".vmx");
                Ok(Reply::Empty)
            })
        }
        "UnregisterVM" => cx.server.change(|model| model.remove_vm(&id, false, &user)).map(|()| Reply::Empty),
        "Destroy_Task" => {
            let job = Job { takes: QUICK, ..job(request, "VirtualMachine.destroy", "Destroy_Task") };
            let check_id = id.clone();
            let check = Box::new(move |model: &super::Model| match model.vm(&check_id)?.power {
                Power::On => Err(Fault::invalid_power_state("poweredOn", Some("poweredOff"))),
                _ => Ok(()),
            });
            let work = Box::new(move |model: &mut super::Model| model.remove_vm(&id, true, &user).map(|()| None));
            Ok(tasks::start(&cx.server, &cx.user(), job, check, work).into())
        }
        "UpgradeVM_Task" | "ConsolidateVMDisks_Task" => {
            let job = Job { takes: QUICK, ..job(request, "VirtualMachine.consolidateDisks", "ConsolidateVMDisks_Task") };
            Ok(tasks::start(&cx.server, &user, job, Box::new(|_| Ok(())), Box::new(|_| Ok(None))).into())
        }
        "CreateSnapshot_Task"
        | "CreateSnapshotEx_Task"
        | "RemoveAllSnapshots_Task"
        | "RevertToCurrentSnapshot_Task"
        | "QueryChangedDiskAreas" => snapshot::of_machine(cx, request),
        _ => entity::call(cx, request),
    }
}

/// A task on the machine that the request is for; it excludes others.
fn job(request: &Request, description: &'static str, method: &'static str) -> Job {
    Job { entity: request.this.clone(), description, method, takes: POWER, exclusive: true, cancelable: false }
}

fn power(cx: &Context, request: &Request, description: &'static str, method: &'static str, op: PowerOp) -> Reply {
    let id = request.this.id.clone();
    let user = cx.user();
    let job = Job { takes: if op == PowerOp::Off { QUICK } else { POWER }, ..job(request, description, method) };
    let check_id = id.clone();
    let check = Box::new(move |model: &super::Model| model.check_power(&check_id, op));
    let by = user.clone();
    let work = Box::new(move |model: &mut super::Model| model.power(&id, op, &by).map(|()| None));
    tasks::start(&cx.server, &user, job, check, work).into()
}

fn clone(cx: &Context, request: &Request) -> Outcome {
    let user = cx.user();
    let folder = needed(request, "folder")?;
    let name = unescaped(needed_text(request, "name")?);
    let spec = request.body.child("spec").cloned().ok_or_else(|| Fault::invalid_argument("spec"))?;
    let source = request.this.id.clone();
    let gib = cx.look(|s| {
        s.model.find(&folder)?;
        let vm = s.model.vm(&source)?;
        Ok::<_, Fault>(vm.disks().map(|(_, disk)| disk.capacity_kib >> 20).sum::<u64>())
    })?;
    let job = Job {
        takes: CLONE + Duration::from_secs(gib),
        // A machine can be cloned many times at once.
        exclusive: false,
        cancelable: true,
        ..job(request, "VirtualMachine.clone", "CloneVM_Task")
    };
    let by = user.clone();
    let check = {
        let (source, folder, name, spec) = (source.clone(), folder.clone(), name.clone(), spec.clone());
        Box::new(move |model: &super::Model| model.check_clone(&source, &folder, &name, &spec))
    };
    let work = Box::new(move |model: &mut super::Model| model.clone_vm(&source, &folder, &name, &spec, &by).map(|vm| Some(Value::Ref(vm))));
    Ok(tasks::start(&cx.server, &user, job, check, work).into())
}
