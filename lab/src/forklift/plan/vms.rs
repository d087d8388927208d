//! What each VM of a Plan needs. While the plan executes its VMs are not looked at.

use mtv_api::{condition::Condition, forklift::PlanVm, kinds::VM};
use serde_json::Value;

use super::Work;
use crate::{
    forklift::{
        cluster::Look,
        conditions::{about, condition},
        names,
        reference::Reference,
        template::{self, Fields},
    },
    inventory::vsphere::{
        model::Model,
        vm::{Disk, Vm},
    },
};

/// Go's name of the data of a PVC name template, which stands in the items of a condition.
pub const TEMPLATE_DATA: &str = "v1beta1.PVCNameTemplateData";
/// Template of PVC names where nobody gives one.
const DEFAULT_TEMPLATE: &str = "{{trunc 15 .PlanName}}-{{trunc 15 .TargetVmName}}-disk-{{.DiskIndex}}";

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
            c("NotValid", "Critical", "", "The target name cannot be used."),
            c("DuplicateVM", "Critical", "NotUnique", "Two VMs have the same target name."),
            c("GuestToolsIssue", "Critical", "NotValid", "Guest tools of a running VM must be installed and running."),
            c("InvalidDiskSizes", "Critical", "NotValid", "A disk has no size."),
            c("MacConflicts", "Critical", "NotValid", "A MAC address is in use in the destination."),
            c("LuksAndClevisIncompatibility", "Warn", "NotValid", "With Clevis, LUKS keys are not used."),
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
        if self.staged.has("Executing") || self.source.as_ref().is_none_or(|s| s.text("/spec/type") != "vsphere") {
            return Ok(());
        }
        let mut findings = Findings::new();
        let (mut ids, mut targets) = (Vec::new(), Vec::new());
        let destination = self.context.cluster.list(&VM, "", "").await?;
        let collector = self.collector()?;
        let mut unset = false;
        for plan_vm in &self.spec.vms {
            let asked = Reference {
                id: plan_vm.id.clone().unwrap_or_default(),
                name: plan_vm.name.clone().unwrap_or_default(),
                ..Reference::default()
            };
            let succeeded = self.vm_status(&asked).is_some_and(|vm| vm.conditions.iter().any(|c| c.kind == "Succeeded" && c.is_true()));
            if succeeded {
                continue;
            }
            if asked.is_empty() {
                unset = true;
                continue;
            }
            let model = collector.model();
            let found = model.find_vm(&asked.id, &asked.name);
            let vm = match found.as_slice() {
                [] => {
                    findings.add("VMNotFound", 0, asked.to_string());
                    continue;
                }
                [vm] => *vm,
                _ => {
                    findings.add("DuplicateVM", 1, asked.to_string());
                    continue;
                }
            };
            let reference = Reference { id: vm.id.clone(), name: vm.name.clone(), ..asked };
            self.validate_names(plan_vm, vm, &reference, &mut ids, &mut targets, &destination, &mut findings);
            self.validate_maps(&model, vm, &reference, &mut findings);
            self.validate_guest(plan_vm, &model, vm, &reference, &destination, &mut findings);
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
        vm: &Vm,
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
            Some(target) if !names::is_subdomain(target) => findings.add("NotValid", 1, item.clone()),
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
            let fields = pvc_fields(self.name(), vm, &target_name, disk, index, 1, false);
            template::label(&template, &fields, TEMPLATE_DATA).err()
        });
        if let Some(error) = failed {
            findings.add("NotValid", 0, format!("{item} template:{template} error:{error}"));
        }
    }

    fn validate_maps(&self, model: &Model, vm: &Vm, reference: &Reference, findings: &mut Findings) {
        let item = reference.to_string();
        let referenced = |map: &Option<Value>, id: &str| {
            map.as_ref().is_some_and(|map| map.items("/status/references").iter().any(|r| r.text("/id") == id))
        };
        if !vm.networks.iter().all(|network| referenced(&self.network, &network.id)) {
            findings.add("VMNetworksNotMapped", 0, item.clone());
        }
        // Rows are matched by the ids in their spec: rows by name are missed, as they are by the real controller.
        let pod = |id: &str| {
            let rows = self.network.as_ref().map(|map| map.items("/spec/map")).unwrap_or_default();
            rows.iter().find(|row| row.text("/source/id") == id).is_some_and(|row| row.text("/destination/type") == "pod")
        };
        if vm.nics.iter().filter(|nic| pod(&nic.network.id)).count() > 1 {
            findings.add("VMMultiplePodNetworkMappings", 0, item.clone());
        }
        if self.storage.is_some() && !vm.disks.iter().all(|disk| referenced(&self.storage, &disk.datastore.id)) {
            findings.add("VMStorageNotMapped", 0, item.clone());
        }
        let maintenance = |host: &crate::inventory::vsphere::model::Object| {
            host.properties.get("runtime").and_then(|r| r.get("inMaintenanceMode")) == Some("true")
        };
        if model.get(&vm.host).is_some_and(maintenance) {
            findings.add("HostNotReady", 0, item);
        }
    }

    fn validate_guest(
        &self,
        plan_vm: &PlanVm,
        _model: &Model,
        vm: &Vm,
        reference: &Reference,
        destination: &[Value],
        findings: &mut Findings,
    ) {
        let item = || reference.to_string();
        let known = |mac: &str| vm.nics.iter().any(|nic| nic.mac == mac);
        let unknown_addresses = (!vm.nics.is_empty() && vm.guest_networks.is_empty()) || !vm.guest_networks.iter().all(|g| known(&g.mac));
        if self.spec.preserve_static_ips.unwrap_or(true) && unknown_addresses {
            findings.add("VMMissingGuestIPs", 0, item());
        }
        let untold = matches!(vm.tools_status.as_str(), "" | "null" | "<nil>" | "toolsNotInstalled");
        if vm.power_state == "poweredOn" && (untold || vm.tools_running_status == "guestToolsNotRunning") {
            findings.add("GuestToolsIssue", 0, item());
        }
        if vm.disks.iter().any(|disk| disk.capacity <= 0) {
            findings.add("InvalidDiskSizes", 0, item());
        }
        let taken = destination.iter().flat_map(|o| o.items("/spec/template/spec/domain/devices/interfaces"));
        let taken: Vec<String> = taken.map(|i| i.text("/macAddress").to_lowercase()).filter(|mac| !mac.is_empty()).collect();
        if vm.nics.iter().any(|nic| taken.contains(&nic.mac)) {
            findings.add("MacConflicts", 0, item());
        }
        let luks = plan_vm.rest.get("luks").is_some_and(|l| !l.text("/name").is_empty());
        if luks && plan_vm.rest.get("nbdeClevis") == Some(&Value::Bool(true)) {
            findings.add("LuksAndClevisIncompatibility", 0, item());
        }
        if vm.disks.iter().any(|disk| disk.rdm && !self.is_warm()) {
            findings.add("RDMDiskWarning", 0, item());
        }
        if vm.disks.iter().any(|disk| disk.mode.starts_with("independent_")) {
            findings.add("IndependentDiskWarning", 0, item());
        }
        if self.is_warm() {
            if !vm.change_tracking_enabled {
                findings.add("VMMissingChangedBlockTracking", 0, item());
            }
            if !vm.snapshot.id.is_empty() {
                findings.add("VMHasSnapshots", 0, item());
            }
            if vm.consolidation_needed {
                findings.add("VMConsolidationNeeded", 0, item());
            }
        }
    }

    /// The template of a VM's PVC names.
    pub fn pvc_template(&self, vm: &PlanVm) -> String {
        let own = vm.rest.get("pvcNameTemplate").and_then(Value::as_str).filter(|t| !t.is_empty());
        let plan = self.spec.pvc_name_template.as_deref().filter(|t| !t.is_empty());
        let setting = Some(self.settings.pvc_name_template.as_str()).filter(|t| !t.is_empty());
        own.or(plan).or(setting).unwrap_or(DEFAULT_TEMPLATE).to_owned()
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
        if names::is_label(name) {
            return name.to_owned();
        }
        let sanitised = names::sanitise(name);
        if sanitised.is_empty() { names::sanitise(id) } else { sanitised }
    }
}

/// Data of a PVC name template.
pub fn pvc_fields(plan: &str, vm: &Vm, target: &str, disk: &Disk, index: usize, root: i64, shared: bool) -> Fields {
    let text = |value: &str| template::Value::Text(value.to_owned());
    Fields::from([
        ("VmName", text(&vm.name)),
        ("TargetVmName", text(target)),
        ("PlanName", text(plan)),
        ("DiskIndex", template::Value::Number(i64::try_from(index).unwrap_or_default())),
        ("VmId", text(&vm.id)),
        ("RootDiskIndex", template::Value::Number(root)),
        ("Shared", template::Value::Bool(shared)),
        ("FileName", text(disk.file.rsplit('/').next().unwrap_or_default())),
        ("WinDriveLetter", text("")),
    ])
}
