//! Virtual machines of a scenario, their added disks, and the Plans that they belong to.

use std::ops::Range;

use toml::de::DeTable;

use super::{
    Reader,
    raw::{DISK, PLAN, RawDisk, RawPlan, RawVm, VM},
};
use crate::config::{
    names::is_namespace,
    read::{self, At},
    scenario::{AddedDisk, Datastore, DiskController, DiskMode, DiskType, PowerWish, RdmType, ScenarioPlan, ScenarioVm, VirtualDisk},
    suggest::did_you_mean,
};

/// Longest name of a Plan: with a scenario's 50 characters and two dashes it is a Kubernetes name.
const LONGEST_PLAN: usize = 11;

/// Largest disk of vSphere: 62 TiB, in GiB.
const LARGEST_DISK: u32 = 62 * 1024;

/// Most disks of a VM that vSphere allows: four SCSI controllers with 15 units each.
const MOST_DISKS: usize = 59;

/// Most snapshots in a chain that vSphere supports.
const MOST_SNAPSHOTS: u32 = 32;

const DISK_TYPES: &[(&str, DiskType)] =
    &[("thin", DiskType::Thin), ("thick-lazy", DiskType::ThickLazy), ("thick-eager", DiskType::ThickEager)];
const MODES: &[(&str, DiskMode)] = &[
    ("persistent", DiskMode::Persistent),
    ("independent_persistent", DiskMode::IndependentPersistent),
    ("independent_nonpersistent", DiskMode::IndependentNonpersistent),
];
const RDM_TYPES: &[(&str, RdmType)] = &[("virtual", RdmType::Virtual), ("physical", RdmType::Physical)];
const CONTROLLERS: &[(&str, DiskController)] =
    &[("scsi", DiskController::Scsi), ("sata", DiskController::Sata), ("nvme", DiskController::Nvme)];

/// A virtual machine with the places that later checks point to.
pub(super) struct LocatedVm {
    pub vm: ScenarioVm,
    /// Its name, or its table.
    pub span: Range<usize>,
    /// The number of snapshots, if there is one.
    pub snapshots: Option<Range<usize>>,
    /// Name of its Plan, if it has one.
    pub plan: Option<At<String>>,
}

impl Reader<'_> {
    pub(super) fn vm(&mut self, mut table: At<DeTable<'_>>, scenario: &str) -> LocatedVm {
        let path = format!("scenario.{scenario}.virtual_machines.add_disks");
        let disks = read::take_tables(self.source, &mut table.value, "add_disks", &path, self.problems);
        let raw: RawVm = read::fill(self.source, table.value, &table.span, VM, self.problems);
        let name = raw.name.map(|name| (name.value.trim().to_owned(), name.span));
        match &name {
            None => self.wrong(
                &table.span,
                "a virtual machine has no name".to_owned(),
                "",
                "add `name = \"…\"`: the VM or template in the source",
            ),
            Some((name, span)) if name.is_empty() => {
                self.wrong(span, "a virtual machine has an empty name".to_owned(), "", "name the VM or template in the source");
            }
            Some(_) => {}
        }
        if let Some(many) = raw.snapshots.as_ref().filter(|s| s.value > MOST_SNAPSHOTS) {
            let title = format!("{} snapshots are more than vSphere keeps", many.value);
            self.wrong(&many.span, title, "", &format!("at most {MOST_SNAPSHOTS}"));
        }
        if let Some(disks) = disks.as_ref().filter(|disks| disks.value.len() > MOST_DISKS) {
            let title = format!("{} added disks are more than a VM can have", disks.value.len());
            self.wrong(&disks.span, title, "", &format!("at most {MOST_DISKS}"));
        }
        let target_name = raw.target_name.map(|name| {
            if !is_namespace(&name.value) {
                let help = "use a-z, 0-9 and `-`, at most 63 characters, a letter or digit at both ends";
                self.wrong(&name.span, format!("`{}` is no name for a VirtualMachine", name.value), "", help);
            }
            name.value
        });
        let vm = ScenarioVm {
            plan: 0,
            source_vm_power: self.power("source_vm_power", raw.source_vm_power),
            guest_agent: raw.guest_agent.is_some_and(|agent| agent.value),
            snapshots: raw.snapshots.as_ref().map_or(0, |snapshots| snapshots.value),
            clone: raw.clone.is_some_and(|clone| clone.value),
            clone_name: self.filled("clone_name", raw.clone_name),
            preserve_name_format: raw.preserve_name_format.is_some_and(|keep| keep.value),
            disk_type: raw.disk_type.and_then(|found| read::one_of(self.source, "disk_type", &found, DISK_TYPES, self.problems)),
            add_disks: disks.into_iter().flat_map(|disks| disks.value).filter_map(|disk| self.disk(disk)).collect(),
            target_datastore_id: self.datastore("target_datastore_id", raw.target_datastore_id),
            target_esxi_host: self.filled("target_esxi_host", raw.target_esxi_host),
            target_name,
            name: name.as_ref().map(|(name, _)| name.clone()).unwrap_or_default(),
        };
        LocatedVm {
            span: name.map_or_else(|| table.span.clone(), |(_, span)| span),
            snapshots: raw.snapshots.filter(|s| s.value > 0).map(|s| s.span),
            plan: raw.plan,
            vm,
        }
    }

    fn disk(&mut self, table: At<DeTable<'_>>) -> Option<AddedDisk> {
        let before = self.problems.len();
        let raw: RawDisk = read::fill(self.source, table.value, &table.span, DISK, self.problems);
        let source = self.source;
        if let Some(rdm) = raw.rdm_type {
            let others = [
                ("size_gb", raw.size_gb.map(|a| a.span)),
                ("provision_type", raw.provision_type.map(|a| a.span)),
                ("disk_mode", raw.disk_mode.map(|a| a.span)),
                ("controller", raw.controller.map(|a| a.span)),
                ("datastore_id", raw.datastore_id.map(|a| a.span)),
                ("datastore_path", raw.datastore_path.map(|a| a.span)),
            ];
            for (key, span) in others.into_iter().filter_map(|(key, span)| Some((key, span?))) {
                self.wrong(
                    &span,
                    format!("`{key}` and `rdm_type` exclude each other"),
                    "",
                    "a mapping has what its LUN has; keep one of the two",
                );
            }
            return read::one_of(source, "rdm_type", &rdm, RDM_TYPES, self.problems).map(AddedDisk::Rdm);
        }
        let Some(size) = raw.size_gb else {
            if self.problems.len() > before {
                return None;
            }
            self.wrong(&table.span, "an added disk has no size".to_owned(), "", "add `size_gb = 30`, or `rdm_type = \"virtual\"`");
            return None;
        };
        if !(1..=LARGEST_DISK).contains(&size.value) {
            let title = format!("a disk cannot have {} GiB", size.value);
            self.wrong(&size.span, title, "", &format!("vSphere takes 1 to {LARGEST_DISK}"));
        }
        let path = self.filled("datastore_path", raw.datastore_path.clone());
        if let (Some(path), Some(at)) = (&path, &raw.datastore_path)
            && (path.starts_with('/')
                || path.split('/').any(|part| part.is_empty() || part == "." || part == "..")
                || path.contains(['[', ']', '\\']))
        {
            self.wrong(&at.span, format!("`{path}` is no folder of a datastore"), "", "write a relative path such as \"shared_disks\"");
        }
        Some(AddedDisk::Virtual(VirtualDisk {
            size_gb: size.value,
            provision_type: raw
                .provision_type
                .and_then(|found| read::one_of(source, "provision_type", &found, DISK_TYPES, self.problems))
                .unwrap_or_default(),
            disk_mode: raw.disk_mode.and_then(|found| read::one_of(source, "disk_mode", &found, MODES, self.problems)).unwrap_or_default(),
            controller: raw
                .controller
                .and_then(|found| read::one_of(source, "controller", &found, CONTROLLERS, self.problems))
                .unwrap_or_default(),
            datastore_id: self.datastore("datastore_id", raw.datastore_id),
            datastore_path: path,
        }))
    }

    fn datastore(&mut self, key: &str, found: Option<At<String>>) -> Option<Datastore> {
        self.filled(key, found).map(|text| Datastore::parse(&text))
    }

    /// A text that must not be empty.
    fn filled(&mut self, key: &str, found: Option<At<String>>) -> Option<String> {
        let found = found?;
        if found.value.trim().is_empty() {
            self.wrong(&found.span, format!("`{key}` is empty"), "", "remove it, or give it a value");
            return None;
        }
        Some(found.value.trim().to_owned())
    }

    /// The scenario's Plans, and which of them each VM belongs to.
    pub(super) fn plans(
        &mut self,
        found: Option<At<Vec<At<DeTable<'_>>>>>,
        vms: &mut [LocatedVm],
        copyoffload: bool,
        scenario: &At<String>,
    ) -> Vec<ScenarioPlan> {
        let mut plans: Vec<(ScenarioPlan, Range<usize>)> = Vec::new();
        for table in found.into_iter().flat_map(|plans| plans.value) {
            let raw: RawPlan = read::fill(self.source, table.value, &table.span, PLAN, self.problems);
            let Some(name) = raw.name else {
                self.wrong(&table.span, "a plan has no name".to_owned(), "", "add `name = \"…\"`");
                continue;
            };
            if !is_namespace(&name.value) || name.value.len() > LONGEST_PLAN {
                let help = format!("use a-z, 0-9 and `-`, at most {LONGEST_PLAN} characters, a letter or digit at both ends");
                self.wrong(&name.span, format!("`{}` is no name for a plan", name.value), "", &help);
            }
            if plans.iter().any(|(plan, _)| plan.name.as_deref() == Some(&name.value)) {
                self.wrong(&name.span, format!("plan `{}` is given twice", name.value), "", "rename one of the two");
            }
            let copyoffload = raw.copyoffload.map_or(copyoffload, |offload| offload.value);
            plans.push((ScenarioPlan { name: Some(name.value), copyoffload }, name.span));
        }
        let known: Vec<String> = plans.iter().filter_map(|(plan, _)| plan.name.clone()).collect();
        for vm in vms.iter_mut() {
            match &vm.plan {
                Some(name) => match known.iter().position(|known| *known == name.value) {
                    Some(index) => vm.vm.plan = index,
                    None => {
                        let help = did_you_mean(&name.value, "plans of this scenario", known.iter().map(String::as_str));
                        let help = help.unwrap_or_else(|| format!("add `[[scenario.{}.plans]]` with this name", scenario.value));
                        self.wrong(&name.span, format!("the scenario has no plan `{}`", name.value), "", &help);
                    }
                },
                None if !known.is_empty() => {
                    let help = format!("add `plan = \"{}\"`", known.join("\"` or `plan = \""));
                    self.wrong(&vm.span, "a virtual machine says no plan".to_owned(), "the scenario has several", &help);
                }
                None => {}
            }
        }
        let told = vms.iter().any(|vm| vm.plan.is_none());
        for (index, (plan, span)) in plans.iter().enumerate().filter(|_| !told) {
            if !vms.iter().any(|vm| vm.vm.plan == index) {
                let name = plan.name.as_deref().unwrap_or_default();
                self.wrong(span, format!("plan `{name}` has no virtual machines"), "", &format!("give a VM `plan = \"{name}\"`"));
            }
        }
        if plans.is_empty() {
            return vec![ScenarioPlan { name: None, copyoffload }];
        }
        plans.into_iter().map(|(plan, _)| plan).collect()
    }

    pub(super) fn needs_power(&mut self, span: &Range<usize>, vms: &[LocatedVm], title: &str, why: &str) {
        let off: Vec<_> = vms.iter().filter(|vm| vm.vm.source_vm_power != Some(PowerWish::On)).collect();
        if off.is_empty() {
            return;
        }
        let problem =
            off.iter().fold(crate::config::diagnostics::Problem::error(title).at(self.source, span.clone(), why), |problem, vm| {
                problem.also(self.source, vm.span.clone(), "not switched on")
            });
        self.problems.push(problem.help("add `source_vm_power = \"on\"` to it"));
    }
}
