//! What each VM of a Plan needs. While the plan executes its VMs are not looked at.

use mtv_api::{
    condition::Condition,
    forklift::PlanVm,
    kinds::{PVC, VM},
    template::{self, DiskData},
};
use serde_json::Value;

use super::{Work, validate::is_name_template};
use crate::forklift::{
    builder::offload,
    cluster::Look,
    conditions::{about, condition},
    names,
    reference::Reference,
    source::{Collection, Disk, Machine, Wanted, machine::POD_NETWORK},
};

/// Conditions about VMs, in the order in which they are set.
#[derive(Default)]
struct Findings {
    list: Vec<(Condition, Vec<String>)>,
}

impl Findings {
    /// In this order the conditions are set; a VM that has none of these problems sets none.
    fn new() -> Self {
        let c = condition;
        let list = [
            c("VMNotFound", "Critical", "NotFound", "The source has no such VM."),
            c("DuplicateVM", "Critical", "NotUnique", "A VM stands in the plan more than once."),
            c("VMAlreadyExists", "Critical", "NotUnique", "The target namespace has a VM of this name already."),
            c("TargetNameNotValid", "Warn", "NotValid", "The name is none that Kubernetes accepts, another one will be given."),
            c("DuplicateVM", "Critical", "Ambiguous", "The source has several such VMs."),
            c("VMNetworksNotMapped", "Critical", "NotValid", "A network of the VM is not in the network map."),
            c("VMStorageNotMapped", "Critical", "NotValid", "A datastore of the VM is not in the storage map."),
            c("HostNotReady", "Warn", "InMaintenanceMode", "The VM's host is in maintenance mode."),
            c("VMMultiplePodNetworkMappings", "Critical", "NotValid", "More than one adapter of the VM would be on the pod network."),
            c(
                "VMMissingGuestIPs",
                "Warn",
                "MissingGuestInformation",
                "Guest tools report no addresses, so that static ones cannot be kept.",
            ),
            c("VMMissingChangedBlockTracking", "Critical", "MissingChangedBlockTracking", "A warm migration needs changed block tracking."),
            c("VMHasSnapshots", "Critical", "NotValid", "A warm migration needs a VM without snapshots."),
            c("NotValid", "Critical", "", "The PVC name template cannot be used."),
            c("NotValid", "Critical", "", "The volume name template cannot be used."),
            c("NotValid", "Critical", "", "The network name template cannot be used."),
            c("NotValid", "Critical", "", "The target name cannot be used."),
            c("DuplicateVM", "Critical", "NotUnique", "Two VMs have the same target name."),
            c("GuestToolsIssue", "Critical", "NotValid", "Guest tools of a running VM must be installed and running."),
            c("InvalidDiskSizes", "Critical", "NotValid", "A disk has no size."),
            c("MacConflicts", "Critical", "NotValid", "A MAC address is in use in the destination."),
            c(
                "MissingPvcForOnlyConversion",
                "Critical",
                "NotValid",
                "A conversion alone needs the volumes of the VM in the target namespace.",
            ),
            c("LuksAndClevisIncompatibility", "Warn", "NotValid", "With Clevis, LUKS keys are not used."),
            c(
                "VDDKAndOffloadMixedUsage",
                "Critical",
                "NotSupported",
                "Some disks would be copied by the storage array and others not: a plan has one way to copy.",
            ),
            c("VMConsolidationNeeded", "Warn", "ConsolidationNeeded", "Snapshots must be consolidated, which may hold precopies up."),
            c("RDMDiskWarning", "Warn", "NotSupported", "Raw device mappings are copied by the storage array only."),
            c("IndependentDiskWarning", "Warn", "NotSupported", "Independent disks are copied by the storage array only."),
        ];
        Self { list: list.into_iter().map(|c| (c, Vec::new())).collect() }
    }

    /// Adds a VM to the nth condition of this type.
    fn add(&mut self, kind: &str, nth: usize, item: String) {
        if let Some((_, items)) = self.list.iter_mut().filter(|(c, _)| c.kind == kind).nth(nth) {
            items.push(item);
        }
    }
}

impl Work<'_> {
    /// Validates the VMs.
    pub(super) async fn validate_vms(&mut self) -> anyhow::Result<()> {
        if self.staged.has("Executing") || self.source.is_none() {
            return Ok(());
        }
        let mut findings = Findings::new();
        let (mut ids, mut targets) = (Vec::new(), Vec::new());
        let destination = self.context.cluster.list(&VM, "", "").await?;
        let source = self.connected()?;
        let wanted = Wanted { warm: self.is_warm(), static_addresses: self.spec.preserve_static_ips.unwrap_or(true) };
        let mut unset = false;
        for plan_vm in &self.spec.vms {
            let asked = Reference {
                id: plan_vm.id.clone().unwrap_or_default(),
                name: plan_vm.name.clone().unwrap_or_default(),
                namespace: plan_vm.namespace.clone().unwrap_or_default(),
                kind: String::new(),
            };
            let succeeded = self.vm_status(&asked).is_some_and(|vm| vm.conditions.iter().any(|c| c.kind == "Succeeded" && c.is_true()));
            if succeeded {
                continue;
            }
            if asked.is_empty() {
                unset = true;
                continue;
            }
            let found = source.find(Collection::Vms, &asked).await?;
            let reference = match found.as_slice() {
                [] => {
                    findings.add("VMNotFound", 0, asked.to_string());
                    continue;
                }
                [vm] => vm.clone(),
                _ => {
                    findings.add("DuplicateVM", 1, asked.to_string());
                    continue;
                }
            };
            let Some(machine) = source.machine(&reference.id).await? else {
                findings.add("VMNotFound", 0, asked.to_string());
                continue;
            };
            self.validate_names(plan_vm, &machine, &reference, &mut ids, &mut targets, &destination, &mut findings);
            self.validate_maps(&machine, &reference, &mut findings);
            Self::validate_devices(plan_vm, &machine, &reference, &destination, &mut findings);
            for (place, field) in ["volumeNameTemplate", "networkNameTemplate"].into_iter().enumerate() {
                let template = plan_vm.rest.get(field).and_then(Value::as_str).unwrap_or_default();
                if !is_name_template(field, template) {
                    findings.add("NotValid", place + 1, reference.to_string());
                }
            }
            if self.spec.kind.as_deref() == Some("conversion") && self.traits().vddk {
                let selector = format!("vmID={},vmUUID={}", machine.id, machine.uuid);
                let claims = self.context.cluster.list(&PVC, &self.spec.target_namespace, &selector).await?;
                if claims.len() != machine.disks.len() {
                    findings.add("MissingPvcForOnlyConversion", 0, reference.to_string());
                }
            }
            if offload::mixed(self, &machine).await? {
                findings.add("VDDKAndOffloadMixedUsage", 0, reference.to_string());
            }
            for problem in source.problems(&reference.id, wanted).await? {
                findings.add(problem, 0, reference.to_string());
            }
        }
        if unset {
            self.tell(condition("VMRefNotValid", "Critical", "NotSet", "A VM is named neither by id nor by name."));
        }
        for (condition, items) in findings.list {
            if !items.is_empty() {
                self.tell(about(condition, items));
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "what was seen of earlier VMs is part of what is judged")]
    fn validate_names(
        &self,
        plan_vm: &PlanVm,
        vm: &Machine,
        reference: &Reference,
        ids: &mut Vec<String>,
        targets: &mut Vec<String>,
        destination: &[Value],
        findings: &mut Findings,
    ) {
        let item = reference.to_string();
        let target = plan_vm.target_name.as_deref().filter(|t| !t.is_empty());
        match target {
            None if !names::is_subdomain(&vm.name) => findings.add("TargetNameNotValid", 0, item.clone()),
            Some(target) if !names::is_subdomain(target) => findings.add("NotValid", 3, item.clone()),
            _ => {}
        }
        if ids.contains(&vm.id) {
            findings.add("DuplicateVM", 0, item.clone());
        }
        ids.push(vm.id.clone());
        if let Some(target) = target {
            if targets.iter().any(|t| t == target) {
                findings.add("DuplicateVM", 2, item.clone());
            }
            targets.push(target.to_owned());
        }
        let name = target.unwrap_or(&vm.name);
        let there =
            destination.iter().any(|o| o.text("/metadata/namespace") == self.spec.target_namespace && o.text("/metadata/name") == name);
        if there && self.vm_status(reference).is_none() {
            findings.add("VMAlreadyExists", 0, item.clone());
        }
        let template = self.pvc_template(plan_vm);
        let target_name = self.target_name(plan_vm, &vm.id, &vm.name);
        // The first disk that fails tells enough.
        let failed = vm.disks.iter().enumerate().find_map(|(index, disk)| {
            // Forklift judges with data of its own: the root disk is the second one, and no disk is shared.
            let data = DiskData { root: 1, shared: false, ..disk_data(self.name(), vm, &target_name, disk, index) };
            template::label(&template, template::pvc_data(&data)).err()
        });
        if let Some(error) = failed {
            findings.add("NotValid", 0, format!("{item} template:{template} error:{error}"));
        }
    }

    fn validate_maps(&self, vm: &Machine, reference: &Reference, findings: &mut Findings) {
        let item = reference.to_string();
        let referenced = |map: &Option<Value>, id: &str| {
            let is = |r: &Value| r.text("/id") == id || (id == POD_NETWORK && r.text("/type") == id);
            map.as_ref().is_some_and(|map| map.items("/status/references").iter().any(is))
        };
        if !vm.networks.iter().all(|network| referenced(&self.network, network)) {
            findings.add("VMNetworksNotMapped", 0, item.clone());
        }
        // Rows are matched by the ids in their spec: rows by name are missed, as they are by the real controller.
        let pod = |id: &str| {
            let rows = self.network.as_ref().map(|map| map.items("/spec/map")).unwrap_or_default();
            let row = rows.iter().find(|row| row.text("/source/id") == id || (id == POD_NETWORK && row.text("/source/type") == id));
            row.is_some_and(|row| row.text("/destination/type") == "pod")
        };
        if vm.nics.iter().filter(|nic| pod(&nic.network)).count() > 1 {
            findings.add("VMMultiplePodNetworkMappings", 0, item.clone());
        }
        if self.storage.is_some() && !vm.disks.iter().all(|disk| referenced(&self.storage, &disk.storage)) {
            findings.add("VMStorageNotMapped", 0, item);
        }
    }

    fn validate_devices(plan_vm: &PlanVm, vm: &Machine, reference: &Reference, destination: &[Value], findings: &mut Findings) {
        let item = || reference.to_string();
        if vm.disks.iter().any(|disk| disk.capacity <= 0) {
            findings.add("InvalidDiskSizes", 0, item());
        }
        // The source VM itself may stand on the cluster.
        let others = destination.iter().filter(|o| o.uid() != vm.id);
        let taken = others.flat_map(|o| o.items("/spec/template/spec/domain/devices/interfaces"));
        let taken: Vec<String> = taken.map(|i| i.text("/macAddress").to_lowercase()).filter(|mac| !mac.is_empty()).collect();
        if vm.nics.iter().any(|nic| taken.contains(&nic.mac)) {
            findings.add("MacConflicts", 0, item());
        }
        let luks = plan_vm.rest.get("luks").is_some_and(|l| !l.text("/name").is_empty());
        if luks && plan_vm.rest.get("nbdeClevis") == Some(&Value::Bool(true)) {
            findings.add("LuksAndClevisIncompatibility", 0, item());
        }
    }

    /// The template of a VM's PVC names.
    pub fn pvc_template(&self, vm: &PlanVm) -> String {
        let own = vm.rest.get("pvcNameTemplate").and_then(Value::as_str).filter(|t| !t.is_empty());
        let plan = self.spec.pvc_name_template.as_deref().filter(|t| !t.is_empty());
        let setting = Some(self.settings.pvc_name_template.as_str()).filter(|t| !t.is_empty());
        own.or(plan).or(setting).unwrap_or(self.traits().pvc_template).to_owned()
    }

    /// The name that a VM will have, as far as name templates see it.
    pub fn target_name(&self, plan_vm: &PlanVm, id: &str, name: &str) -> String {
        if let Some(target) = plan_vm.target_name.as_deref().map(str::trim).filter(|t| !t.is_empty()) {
            return target.to_owned();
        }
        let vms = self.status.migration.as_ref().map(|m| m.vms.as_slice()).unwrap_or_default();
        if let Some(new) = vms.iter().find(|vm| vm.id == id).and_then(|vm| vm.new_name.clone()).filter(|n| !n.is_empty()) {
            return new;
        }
        names::template_target(name, id)
    }
}

/// What the name of a disk's claim is made of.
pub fn disk_data(plan: &str, vm: &Machine, target: &str, disk: &Disk, index: usize) -> DiskData {
    DiskData {
        vm: vm.name.clone(),
        target: target.to_owned(),
        plan: plan.to_owned(),
        vm_id: vm.id.clone(),
        index,
        root: 0,
        shared: disk.shared,
        file: disk.file.rsplit('/').next().unwrap_or_default().to_owned(),
        drive: String::new(),
        source_claim: disk.claim.clone(),
    }
}
