//! What each phase does and what ends it.

use mtv_api::{
    forklift::VmStatus,
    kinds::{CONVERSION, POD, VM},
};
use serde_json::{Value, json};

use super::{Fatal, Outcome, Run, cleanup, itinerary::Facts, step, steps};
use crate::forklift::{
    builder::{self, conversion as conversion_builder, disks, offload, vm as vm_builder},
    cluster::Look,
    conditions::{self, condition},
    names,
    source::Power,
};

impl Run<'_, '_> {
    /// Works on the phase that a VM is in.
    pub(super) async fn phase(&mut self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<Outcome> {
        let now = self.work.now();
        let phase = vm.phase.clone();
        if phase == "Completed" {
            steps::complete_vm(vm, &now);
            return Ok(Outcome::Stay);
        }
        if step(facts, vm).is_none() {
            return Err(Fatal(format!("phase {phase} belongs to no step of the pipeline")).into());
        }
        match phase.as_str() {
            "Started" => self.started(vm, facts).await,
            "PreHook" | "PostHook" => self.hook(vm, facts).await,
            "StorePowerState" => {
                let power = self.source().await?.power(&vm.id).await?;
                vm.restore_power_state = Some(power.name().to_owned());
                Ok(Outcome::Next)
            }
            "PowerOffSource" => {
                let source = self.source().await?;
                if source.power(&vm.id).await? != Power::Off {
                    source.power_off(&vm.id).await?;
                }
                Ok(Outcome::Next)
            }
            "WaitForPowerOff" => {
                let off = self.source().await?.power(&vm.id).await? == Power::Off;
                Ok(if off { Outcome::Next } else { Outcome::Stay })
            }
            "CreateDataVolumes" => {
                let made = disks::ensure(self.work, self.migration.uid(), vm).await?;
                Ok(if made { Outcome::Next } else { Outcome::Stay })
            }
            // What the lab's sources hand out needs no conversion.
            "ConvertOpenstackSnapshot" => Ok(Outcome::Next),
            "AllocateDisks" | "CopyDisks" => self.copy(vm, facts).await,
            "Finalize" => {
                self.copy_progress(vm, facts).await?;
                let done = step(facts, vm).is_some_and(|s| s.completed.is_some() && s.error.is_none());
                Ok(if done { Outcome::Next } else { Outcome::Stay })
            }
            "PreflightInspection" => self.inspection(vm, facts).await,
            "CreateGuestConversionPod" => self.conversion_pod(vm, facts).await,
            "ConvertGuest" | "CopyDisksVirtV2V" => self.conversion(vm, facts).await,
            "CreateVM" => self.create_vm(vm, facts).await,
            "WaitForGuestReboots" => self.reboots(vm, facts).await,
            _ => self.warm_phase(vm, facts).await,
        }
    }

    fn run_step(&self, vm: &mut VmStatus, facts: &Facts) {
        let now = self.work.now();
        if let Some(step) = step(facts, vm) {
            steps::start(step, &now);
            steps::phase(step, "Running");
        }
    }

    async fn started(&mut self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<Outcome> {
        let now = self.work.now();
        steps::start_vm(vm, &now);
        self.run_step(vm, facts);
        cleanup::clean_up(self.work, self.migration.uid(), vm, !facts.resume).await?;
        let namespace = self.work.spec.target_namespace.clone();
        let target = vm.rest.get("targetName").and_then(Value::as_str).filter(|t| !t.is_empty());
        if let Some(target) = target {
            anyhow::ensure!(names::is_subdomain(target), "target name `{target}` is none that Kubernetes accepts");
            let there = self.work.context.cluster.get(&VM, &namespace, target).await?;
            anyhow::ensure!(there.is_none(), "namespace `{namespace}` has a VM `{target}` already");
            vm.new_name = Some(target.to_owned());
        } else if !names::is_subdomain(&vm.name) {
            let mut taken: Vec<String> =
                self.work.context.cluster.list(&VM, &namespace, "").await?.iter().map(|o| o.text("/metadata/name").to_owned()).collect();
            taken.extend(self.work.execution().vms.iter().filter(|other| other.id != vm.id).map(|other| other.name.clone()));
            vm.new_name = Some(names::target(&vm.name, &taken));
        }
        Ok(Outcome::Next)
    }

    async fn copy(&mut self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<Outcome> {
        self.run_step(vm, facts);
        let copied_before = vm.warm.as_ref().is_some_and(|warm| warm.successes > 0);
        if offload::used(self.work) && !copied_before {
            self.populator_progress(vm, facts).await?;
        } else {
            self.copy_progress(vm, facts).await?;
        }
        let done = step(facts, vm).is_some_and(|s| s.completed.is_some() && s.error.is_none());
        if !done {
            return Ok(Outcome::Stay);
        }
        if facts.warm {
            self.precopy_done(vm);
        }
        Ok(Outcome::Next)
    }

    async fn conversion_pod(&mut self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<Outcome> {
        if !facts.v2v_copies {
            vm.rest.insert("disksCopied".to_owned(), json!(true));
        }
        self.run_step(vm, facts);
        conversion_builder::ensure_guest(self.work, self.migration.uid(), vm).await?;
        Ok(Outcome::Next)
    }

    async fn inspection(&mut self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<Outcome> {
        self.run_step(vm, facts);
        let snapshot = vm.warm.as_ref().and_then(|w| w.precopies.first()).and_then(|p| p.snapshot.clone()).unwrap_or_default();
        let Some(found) = conversion_builder::inspection(self.work, &vm.id).await? else {
            conversion_builder::create_inspection(self.work, vm, &snapshot).await?;
            return Ok(Outcome::Stay);
        };
        match found.text("/status/phase") {
            "Succeeded" => {
                let now = self.work.now();
                let mut blockers = Vec::new();
                for concern in found.items("/status/inspectionResult/concerns") {
                    let (category, text) = (concern.text("/category"), concern.text("/message"));
                    conditions::set(&mut vm.conditions, condition("InspectionHasConcerns", category, concern.text("/id"), text), &now);
                    if matches!(category, "Critical" | "Error") {
                        blockers.push(text.to_owned());
                    }
                }
                if blockers.is_empty() {
                    Ok(Outcome::Next)
                } else {
                    Err(Fatal(format!("the inspection found critical concerns: {}", blockers.join("; "))).into())
                }
            }
            "Failed" => Err(Fatal("the inspection of the VM failed".to_owned()).into()),
            "Canceled" => {
                let cluster = &self.work.context.cluster;
                let (namespace, name) = (found.text("/metadata/namespace"), found.text("/metadata/name"));
                cluster.delete(&CONVERSION, namespace, name, crate::forklift::cluster::Propagation::Background).await?;
                Ok(Outcome::Stay)
            }
            _ => Ok(Outcome::Stay),
        }
    }

    async fn create_vm(&mut self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<Outcome> {
        self.run_step(vm, facts);
        vm_builder::ensure(self.work, self.migration.uid(), vm, facts).await?;
        cleanup::delete_data_volumes(self.work, &vm.id).await?;
        Ok(Outcome::Next)
    }

    /// A pod watches the guest's reboots; a failed one is no reason to fail a migration whose VM is there.
    async fn reboots(&mut self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<Outcome> {
        self.run_step(vm, facts);
        let work = &*self.work;
        let namespace = &work.spec.target_namespace;
        let selector = format!("plan={},vmID={},forklift.app=forklift-wait-for-reboot", work.uid(), vm.id);
        let pods = work.context.cluster.list(&POD, namespace, &selector).await?;
        let Some(pod) = pods.first() else {
            let mut labels = builder::labels(work, self.migration.uid(), &vm.id);
            labels["forklift.app"] = json!("forklift-wait-for-reboot");
            let pod = json!({
                "metadata": { "generateName": format!("forklift-wait-reboot-{}-", vm.id), "labels": labels },
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{
                        "name": "wait-for-reboot", "image": work.context.options.virt_v2v_image,
                        "env": [{ "name": "VM_NAME", "value": vm.target_name() }, { "name": "VM_NAMESPACE", "value": namespace }],
                    }],
                },
            });
            work.context.cluster.create(&POD, namespace, pod).await?;
            return Ok(Outcome::Stay);
        };
        match pod.text("/status/phase") {
            "Succeeded" => {
                let propagation = crate::forklift::cluster::Propagation::Background;
                work.context.cluster.delete(&POD, namespace, pod.text("/metadata/name"), propagation).await?;
                Ok(Outcome::Next)
            }
            "Failed" => {
                let now = work.now();
                let text = "The guest's reboots could not be awaited; the migration goes on.";
                let warning = mtv_api::condition::Condition { durable: true, ..condition("WaitForGuestReboots", "Warn", "", text) };
                conditions::set(&mut vm.conditions, warning, &now);
                Ok(Outcome::Next)
            }
            _ => Ok(Outcome::Stay),
        }
    }
}
