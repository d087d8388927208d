//! Scenarios: what to migrate, with which options, and what must be true afterwards.

mod hook;
mod options;
mod vm;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

pub use hook::{ExpectedFailure, HOOK_STEPS, Hook, PIPELINE};
pub use options::{DedicatedHosts, Label, PvcNameTemplate, TargetNamespace};
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub use vm::{AddedDisk, Datastore, DiskController, DiskMode, DiskType, RdmType, ScenarioVm, VirtualDisk};

use super::profile::ProviderKind;

/// How long to wait for the guest agent of a migrated VM: mtv-api-tests' 301 s, a second more than KubeVirt's own five minutes.
pub const DEFAULT_GUEST_AGENT_TIMEOUT: Duration = Duration::from_secs(301);

/// Template of PVC names in Plans with copy-offload that give none, as mtv-api-tests has it: populators are named like their
/// claims, and longer names leave no room.
pub const COPYOFFLOAD_PVC_NAME_TEMPLATE: &str = "pvc";

/// Wanted or observed power in a scenario file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PowerWish {
    /// Running.
    On,
    /// Stopped.
    Off,
}

/// What a scenario needs of its surroundings; unmet, it is skipped with the reason. What follows from the scenario itself, such
/// as a profile with a copy-offload section, is asked of the scenario: see [`Scenario::profile_fields`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Requirements {
    /// Kinds of sources that it works with; empty means all.
    pub providers: Vec<ProviderKind>,
    /// Least MTV release, such as `2.6.0`.
    pub min_mtv_version: Option<String>,
    /// Least OpenShift release, such as `4.18`.
    pub min_ocp_version: Option<String>,
    /// Known issue that keeps it from passing, such as `MTV-2846`: it runs as soon as Jira says that the issue is resolved.
    pub jira: Option<String>,
}

/// One Plan of a scenario. A scenario with several runs them at the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScenarioPlan {
    /// What tells it from the scenario's other Plans; `None` if it is the only one.
    pub name: Option<String>,
    /// Whether the storage array copies its disks: its StorageMap names the offload plugin.
    pub copyoffload: bool,
}

/// A scenario as it stands in its file, defaults filled in. [`Scenario::new`] has the same defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Scenario {
    /// Name: that of its table.
    pub name: String,
    /// File, `embedded:NAME` for those in the binary.
    pub file: PathBuf,
    /// Line of the table's header, from 1.
    pub line: usize,
    /// One sentence.
    pub description: String,
    /// Names it had elsewhere: pytest names, Polarion ids.
    pub aliases: Vec<String>,
    /// Words to select by.
    pub markers: Vec<String>,
    /// What it needs.
    pub requires: Requirements,
    /// Virtual machines of all its Plans.
    pub virtual_machines: Vec<ScenarioVm>,
    /// Its Plans, at least one.
    pub plans: Vec<ScenarioPlan>,
    /// Precopies while the source runs, then a cutover.
    pub warm_migration: bool,
    /// ESXi hosts that copy, in place of those that the VMs are on.
    pub dedicated_hosts: Option<DedicatedHosts>,
    /// Place all clones on one ESXi host that the profile's list does not have.
    pub pin_to_non_dedicated_host: bool,
    /// Whether the destination is a Provider with URL and token instead of the cluster's own.
    pub remote: bool,
    /// `Plan.spec.targetPowerState`, and checked afterwards.
    pub target_power_state: Option<PowerWish>,
    /// `Plan.spec.preserveStaticIPs`.
    pub preserve_static_ips: bool,
    /// `Plan.spec.targetNamespace` instead of the run's own namespace.
    pub vm_target_namespace: Option<TargetNamespace>,
    /// Namespace of the NetworkAttachmentDefinitions instead of the namespace of the VMs.
    pub multus_namespace: Option<String>,
    /// `Plan.spec.pvcNameTemplate`.
    pub pvc_name_template: Option<PvcNameTemplate>,
    /// `Plan.spec.pvcNameTemplateUseGenerateName`: whether names get a random tail. Forklift's default is true.
    pub pvc_name_template_use_generate_name: Option<bool>,
    /// `Plan.spec.targetNodeSelector`, one label: a worker node is given it. See [`Scenario::node_label`].
    pub target_node_selector: Option<(String, Label)>,
    /// `Plan.spec.targetLabels`. See [`Scenario::labels`].
    pub target_labels: BTreeMap<String, Label>,
    /// `Plan.spec.targetAffinity`, a Kubernetes affinity; null stands for the run's id. See [`Scenario::affinity`].
    pub target_affinity: Option<Value>,
    /// `Plan.spec.rdmAsLun`: whether raw device mappings become LUNs of the VM.
    pub rdm_as_lun: Option<bool>,
    /// `Plan.spec.enableNestedVirtualization`.
    pub enable_nested_virtualization: Option<bool>,
    /// `Plan.spec.runPreflightInspection`. Forklift's default is true.
    pub run_preflight_inspection: Option<bool>,
    /// Whether a file is written into each guest before the migration and read back afterwards.
    pub data_marker: bool,
    /// Playbook that runs before each VM is migrated.
    pub pre_hook: Option<Hook>,
    /// Playbook that runs after each VM was migrated.
    pub post_hook: Option<Hook>,
    /// The migration must fail, and how. `None`: it must succeed.
    pub expect_failure: Option<ExpectedFailure>,
    /// How long to wait for the guest agent.
    pub guest_agent_timeout: Duration,
    /// Longest wait for its migrations to end, instead of the run setting.
    pub plan_wait_timeout: Option<Duration>,
    /// Longest wait for a clone to appear in the inventory, instead of the run setting.
    pub inventory_timeout: Option<Duration>,
    /// Time from the start of a warm migration to its cutover, instead of the run setting.
    pub cutover_delay: Option<Duration>,
}

impl Scenario {
    /// A cold migration of some VMs in one Plan, everything else as a file that does not say it.
    pub fn new(name: impl Into<String>, virtual_machines: Vec<ScenarioVm>) -> Self {
        Self {
            name: name.into(),
            line: 1,
            virtual_machines,
            plans: vec![ScenarioPlan::default()],
            guest_agent_timeout: DEFAULT_GUEST_AGENT_TIMEOUT,
            ..Self::default()
        }
    }

    /// Whether the storage array copies the disks of at least one of its Plans.
    pub fn copies_offload(&self) -> bool {
        self.plans.iter().any(|plan| plan.copyoffload)
    }

    /// The VMs of one of its Plans, with their places among all.
    pub fn vms_of(&self, plan: usize) -> impl Iterator<Item = (usize, &ScenarioVm)> {
        self.virtual_machines.iter().enumerate().filter(move |(_, vm)| vm.plan == plan)
    }

    /// Fields of the profile's `copyoffload` section that it cannot do without, by their names there. Empty without copy-offload.
    pub fn profile_fields(&self) -> BTreeSet<&'static str> {
        let mut fields = BTreeSet::new();
        if self.copies_offload() {
            fields.extend(["storage_vendor_product", "datastore_id"]);
        }
        for vm in &self.virtual_machines {
            let disks = vm.add_disks.iter().filter_map(|disk| match disk {
                AddedDisk::Virtual(disk) => disk.datastore_id.as_ref(),
                AddedDisk::Rdm(_) => None,
            });
            fields.extend(vm.target_datastore_id.iter().chain(disks).filter_map(Datastore::profile_field));
            if self.dedicated_hosts == Some(DedicatedHosts::Profile) || self.pin_to_non_dedicated_host {
                fields.insert("dedicated_migration_hosts");
            }
            if vm.add_disks.iter().any(|disk| matches!(disk, AddedDisk::Rdm(_))) {
                fields.extend(["datastore_id", "rdm_lun_uuid"]);
            }
        }
        fields
    }

    /// `Plan.spec.targetLabels` of a run: the values that are given none are its id.
    pub fn labels(&self, run: &str) -> BTreeMap<String, String> {
        self.target_labels.iter().map(|(key, value)| (key.clone(), value.of(run).to_owned())).collect()
    }

    /// The label that a worker node gets and `Plan.spec.targetNodeSelector` asks for. Without a value both are made the run's
    /// own, so that two runs never label a node for each other.
    pub fn node_label(&self, run: &str) -> Option<(String, String)> {
        let (key, value) = self.target_node_selector.as_ref()?;
        Some(match value {
            Label::Text(value) => (key.clone(), value.clone()),
            Label::Unique => (options::unique_key(key, run), run.to_owned()),
        })
    }

    /// `Plan.spec.targetAffinity` of a run: nulls in it are the run's id.
    pub fn affinity(&self, run: &str) -> Option<Value> {
        self.target_affinity.as_ref().map(|affinity| options::filled(affinity, run))
    }

    /// `Plan.spec.pvcNameTemplate` of one of its Plans, for VMs of a kind of source.
    pub fn pvc_template(&self, plan: usize, kind: ProviderKind) -> Option<&str> {
        let offload = self.plans.get(plan).is_some_and(|plan| plan.copyoffload).then_some(COPYOFFLOAD_PVC_NAME_TEMPLATE);
        self.pvc_name_template.as_ref().map_or(offload, |template| template.of(kind))
    }
}
