//! What a scenario file may hold, key by key: the structs that files are read into, that the JSON schema comes from, and the keys
//! of mtv-api-tests that are known but not accepted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{
    profile::ProviderKind,
    read::{At, Kind, LATER, Refused},
    scenario::{DiskController, DiskMode, DiskType, PowerWish, RdmType},
};

/// A scenario: what to migrate, with which options, and what must be true afterwards.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Scenario")]
pub(in crate::config) struct RawScenario {
    /// One sentence that says what the scenario proves.
    pub description: Option<At<String>>,
    /// Names that the scenario had elsewhere: pytest names, Polarion ids. It can be selected by each of them.
    pub aliases: Option<Vec<At<String>>>,
    /// Words to select by, such as `tier0` and `warm`.
    pub markers: Option<Vec<At<String>>>,
    /// What the scenario needs of its surroundings; unmet, it is skipped with the reason.
    #[expect(dead_code, reason = "read on its own, so that all its mistakes are told; it stands here for the schema and the known keys")]
    requires: Option<RawRequires>,
    /// Virtual machines to migrate, at least one.
    #[expect(dead_code, reason = "as `requires`")]
    virtual_machines: Option<Vec<RawVm>>,
    /// Several Plans that run at the same time; each VM then says with `plan` which one migrates it. Default: one Plan with all VMs.
    #[expect(dead_code, reason = "as `requires`")]
    plans: Option<Vec<RawPlan>>,
    /// Precopies while the source runs, then a cutover. Every VM needs `source_vm_power = "on"`. Default: false, a cold migration.
    pub warm_migration: Option<At<bool>>,
    /// Let the storage array copy the disks: needs a vSphere profile with a `copyoffload` section. Default: false.
    pub copyoffload: Option<At<bool>>,
    /// ESXi hosts that copy in place of those that the VMs are on: true for the profile's `dedicated_migration_hosts`, or a list of ids
    /// such as "host-34". Needs `copyoffload`. Default: false.
    #[expect(dead_code, reason = "as `requires`")]
    dedicated_migration_hosts: Option<RawHosts>,
    /// Place all clones on one ESXi host that is none of the profile's `dedicated_migration_hosts`. Default: false.
    pub pin_to_non_dedicated_host: Option<At<bool>>,
    /// Migrate to a destination Provider with URL and token instead of the cluster's own. Runs only where the run setting
    /// `remote_ocp_cluster` is given. Default: false.
    pub remote: Option<At<bool>>,
    /// Power of the migrated VMs: `spec.targetPowerState` of the Plan, and checked afterwards. Unset: as the source was.
    #[schemars(with = "Option<PowerWish>")]
    pub target_power_state: Option<At<String>>,
    /// `spec.preserveStaticIPs` of the Plan. Every VM needs `source_vm_power = "on"`. Default: false.
    pub preserve_static_ips: Option<At<bool>>,
    /// Namespace that the VMs are migrated into, instead of the run's own. `{ prefix = "…" }` makes one for each run.
    #[expect(dead_code, reason = "as `requires`")]
    vm_target_namespace: Option<RawNamespace>,
    /// Namespace of the NetworkAttachmentDefinitions: `default`, or that of the VMs, which it is unless said otherwise.
    pub multus_namespace: Option<At<String>>,
    /// `spec.pvcNameTemplate` of the Plan, a Go template. A table has one for each kind of source, and `default` for the others.
    #[expect(dead_code, reason = "as `requires`")]
    pvc_name_template: Option<RawTemplate>,
    /// `spec.pvcNameTemplateUseGenerateName` of the Plan: whether the names get a random tail. Unset: Forklift's default, true.
    pub pvc_name_template_use_generate_name: Option<At<bool>>,
    /// `spec.targetNodeSelector` of the Plan, one label. The worker node with the most free memory is given it, and the VMs must
    /// run there. `{ unique = true }` makes key and value the run's own.
    #[expect(dead_code, reason = "as `requires`")]
    target_node_selector: Option<BTreeMap<String, RawLabel>>,
    /// `spec.targetLabels` of the Plan. `{ unique = true }` instead of a text stands for the run's id.
    #[expect(dead_code, reason = "as `requires`")]
    target_labels: Option<BTreeMap<String, RawLabel>>,
    /// `spec.targetAffinity` of the Plan: a Kubernetes affinity, key by key. `{ unique = true }` stands for the run's id.
    #[expect(dead_code, reason = "as `requires`")]
    target_affinity: Option<serde_json::Map<String, serde_json::Value>>,
    /// `spec.rdmAsLun` of the Plan: whether raw device mappings become LUNs of the VM. Unset: Forklift's default.
    pub rdm_as_lun: Option<At<bool>>,
    /// `spec.enableNestedVirtualization` of the Plan: whether guests may run virtual machines of their own. Unset: Forklift's default.
    pub enable_nested_virtualization: Option<At<bool>>,
    /// `spec.runPreflightInspection` of the Plan: whether guests are inspected before a warm migration. Unset: Forklift's default, true.
    pub run_preflight_inspection: Option<At<bool>>,
    /// Write a file into each Linux guest right before the migration, and read it back from the migrated VM. Every VM needs
    /// `source_vm_power = "on"`, and the source must be able to run commands in guests (vSphere). Default: false.
    pub data_marker: Option<At<bool>>,
    /// Playbook that runs before each VM is migrated.
    #[expect(dead_code, reason = "as `requires`")]
    pre_hook: Option<RawHook>,
    /// Playbook that runs after each VM was migrated.
    #[expect(dead_code, reason = "as `requires`")]
    post_hook: Option<RawHook>,
    /// The migration must fail. VMs that a failed `PostHook` leaves behind are checked; without a VM nothing is.
    #[expect(dead_code, reason = "as `requires`")]
    expect_failure: Option<RawFailure>,
    /// "fail" is another way to write `expect_failure`: in the step of the hook that is made to fail. "succeed" is the default.
    #[schemars(with = "Option<RawResult>")]
    pub expected_migration_result: Option<At<String>>,
    /// Longest wait for the guest agent of a migrated VM, such as "5m". Default: "5m1s".
    pub guest_agent_timeout: Option<At<String>>,
    /// Longest wait for the migrations to end, such as "2h". Default: the run setting `plan_wait_timeout`.
    pub plan_wait_timeout: Option<At<String>>,
    /// Longest wait for a clone to appear in Forklift's inventory. Default: the run setting `inventory_timeout`.
    pub inventory_timeout: Option<At<String>>,
    /// Time from the start of a warm migration to its cutover. Default: the run setting `cutover_delay`.
    pub cutover_delay: Option<At<String>>,
}

/// Hosts that copy: those of the profile, or these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "DedicatedHosts")]
#[expect(dead_code, reason = "as `RawLabel`")]
enum RawHosts {
    /// Those of the profile.
    Profile(bool),
    /// These.
    Ids(Vec<String>),
}

/// One Plan of a scenario with several.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Plan", extend("required" = ["name"]))]
pub(super) struct RawPlan {
    /// What tells it from the others: a-z, 0-9 and `-`, at most 11 characters.
    pub name: Option<At<String>>,
    /// Let the storage array copy the disks. Default: as the scenario says.
    pub copyoffload: Option<At<bool>>,
}

/// A virtual machine of a scenario.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "VirtualMachine", extend("required" = ["name"]))]
pub(super) struct RawVm {
    /// Name of the VM or template in the source. It is cloned, and the clone is migrated.
    pub name: Option<At<String>>,
    /// Name of the Plan that migrates it, in a scenario with several.
    pub plan: Option<At<String>>,
    /// Power of the clone before the migration. Unset: as it was made, which is off.
    #[schemars(with = "Option<PowerWish>")]
    pub source_vm_power: Option<At<String>>,
    /// Whether the guest agent of the migrated VM must connect. Default: false.
    pub guest_agent: Option<At<bool>>,
    /// Number of snapshots to take of the clone before the migration. Default: 0.
    pub snapshots: Option<At<u32>>,
    /// Take the profile's copy-offload `default_vm_name`, if it is set, instead of `name`. Every VM is cloned, whatever this says. Default: false.
    pub clone: Option<At<bool>>,
    /// Name to make the clone's of, instead of `name`; the run's id comes on top.
    pub clone_name: Option<At<String>>,
    /// Keep upper case and underscores in the clone's name, which Kubernetes does not take. Default: false.
    pub preserve_name_format: Option<At<bool>>,
    /// How the clone's disks are provisioned. Unset: as those of the source.
    #[schemars(with = "Option<DiskType>")]
    pub disk_type: Option<At<String>>,
    /// Disks that the clone gets on top, in this order.
    #[expect(dead_code, reason = "as `requires`")]
    add_disks: Option<Vec<RawDisk>>,
    /// Datastore of the clone: an id such as "datastore-12", or "secondary_datastore_id" or "non_xcopy_datastore_id" for that of
    /// the profile's `copyoffload` section. Unset: its `datastore_id`, else the datastore of the source VM.
    pub target_datastore_id: Option<At<String>>,
    /// Name of the clone's ESXi host. Unset: `esxi_host` of the profile's `copyoffload` section, else what vCenter chooses.
    pub target_esxi_host: Option<At<String>>,
    /// Name of the migrated VM: `targetName` in the Plan. Unset: as Forklift makes it.
    pub target_name: Option<At<String>>,
}

/// A disk that a clone gets on top: a new one with `size_gb`, or a raw device mapping with `rdm_type`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AddedDisk")]
pub(super) struct RawDisk {
    /// Size of a new disk in GiB.
    pub size_gb: Option<At<u32>>,
    /// How it takes up its space. Default: "thin".
    #[schemars(with = "Option<DiskType>")]
    pub provision_type: Option<At<String>>,
    /// What snapshots do with it. Default: "persistent".
    #[schemars(with = "Option<DiskMode>")]
    pub disk_mode: Option<At<String>>,
    /// Its bus: the VM's first controller of that kind. Default: "scsi".
    #[schemars(with = "Option<DiskController>")]
    pub controller: Option<At<String>>,
    /// Where it lies: as `target_datastore_id` of the VM. Unset: with the clone.
    pub datastore_id: Option<At<String>>,
    /// Folder of the datastore, which is made if it does not exist. Unset: the clone's own.
    pub datastore_path: Option<At<String>>,
    /// Map the LUN `rdm_lun_uuid` of the profile's `copyoffload` section instead of making a disk.
    #[schemars(with = "Option<RdmType>")]
    pub rdm_type: Option<At<String>>,
}

/// What a scenario needs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Requirements")]
pub(super) struct RawRequires {
    /// Kinds of sources that the scenario works with. Unset: all.
    #[schemars(with = "Option<Vec<ProviderKind>>")]
    pub providers: Option<Vec<At<String>>>,
    /// Least MTV release, such as "2.6.0".
    pub min_mtv_version: Option<At<String>>,
    /// Least OpenShift release, such as "4.18".
    pub min_ocp_version: Option<At<String>>,
    /// Known issue such as "MTV-2846": the scenario is skipped until Jira says that it is resolved.
    pub jira: Option<At<String>>,
}

/// A playbook: exactly one of the three.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Hook")]
pub(super) struct RawHook {
    /// A built-in playbook that ends like this.
    #[schemars(with = "Option<RawResult>")]
    pub expected_result: Option<At<String>>,
    /// A playbook in base64.
    pub playbook_base64: Option<At<String>>,
    /// File with a playbook, relative to the scenario file.
    pub playbook_file: Option<At<String>>,
}

/// How something is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Result")]
pub(super) enum RawResult {
    /// It succeeds.
    Succeed,
    /// It fails.
    Fail,
}

/// A failure that the migration must have.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExpectedFailure")]
pub(super) struct RawFailure {
    /// Step of the Plan's pipeline that every VM must fail in, such as "PostHook". Unset: any.
    pub step: Option<At<String>>,
    /// What the reasons of the failure must contain. Unset: anything.
    pub text: Option<At<String>>,
}

/// Value of a label: a text, or `{ unique = true }` for the run's id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "LabelValue")]
#[expect(dead_code, reason = "labels are read one by one, so that all their mistakes are told; this is for the schema")]
enum RawLabel {
    /// The value itself.
    Text(String),
    /// The run's id.
    Unique(RawUnique),
}

/// `{ unique = true }`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UniqueValue")]
struct RawUnique {
    /// Must be true.
    #[expect(dead_code, reason = "as `RawLabel`")]
    unique: bool,
}

/// A namespace: its name, or `{ prefix = "…" }` for one of each run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "TargetNamespace")]
#[expect(dead_code, reason = "as `RawLabel`")]
enum RawNamespace {
    /// This one.
    Named(String),
    /// One of each run.
    Prefix(RawPrefix),
}

/// `{ prefix = "…" }`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NamespacePrefix")]
struct RawPrefix {
    /// What stands before the run's id.
    #[expect(dead_code, reason = "as `RawLabel`")]
    prefix: String,
}

/// A Go template, or one for each kind of source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "PvcNameTemplate")]
#[expect(dead_code, reason = "as `RawLabel`")]
enum RawTemplate {
    /// The same for all sources.
    All(String),
    /// By the kind of the source, with `default` for those that are not named.
    ByKind(BTreeMap<String, String>),
}

pub(super) const SCENARIO: Kind = Kind { noun: "a scenario", refused: PLAN_LATER };
pub(super) const PLAN: Kind = Kind { noun: "a plan", refused: &[("virtual_machines", "give each VM of the scenario a `plan = \"…\"`")] };
pub(super) const VM: Kind = Kind { noun: "a virtual machine", refused: VM_LATER };
pub(super) const DISK: Kind = Kind { noun: "an added disk", refused: &[] };
pub(super) const HOOK: Kind = Kind { noun: "a hook", refused: &[("aap_job_template_id", LATER)] };
pub(super) const FAILURE: Kind = Kind { noun: "`expect_failure`", refused: &[] };
pub(super) const REQUIRES: Kind = Kind {
    noun: "`requires`",
    refused: &[("remote", "write `remote = true` into the scenario"), ("copyoffload", "write `copyoffload = true` into the scenario")],
};

/// Plan-level keys of mtv-api-tests that this release does not act on.
const PLAN_LATER: &[Refused] = &[
    ("clone_to_same_host", LATER),
    ("convertor_node_selector", LATER),
    ("disable_drs_for_vms", LATER),
    ("jira", "write `requires = { jira = \"…\" }`"),
    ("migrate_shared_disks", LATER),
    ("min_mtv_version", "write `requires = { min_mtv_version = \"…\" }`"),
    ("min_ocp_version", "write `requires = { min_ocp_version = \"…\" }`"),
    ("mins_before_cutover", "write `cutover_delay = \"5m\"`"),
    ("per_nic_network_map", LATER),
    ("skip_clone", LATER),
    ("snapshots_interval", "it is one for the whole cluster, so it is a run setting: `snapshots_interval` in mtv-test.toml"),
    ("xfs_check", LATER),
    ("xfs_compatibility", LATER),
];

/// VM-level keys of mtv-api-tests that this release does not act on.
const VM_LATER: &[Refused] = &[
    ("add_nic", LATER),
    ("add_nic_start_connected", LATER),
    ("luks", LATER),
    ("luks_passphrase", LATER),
    ("migrate_shared_disks", LATER),
    ("win_os", LATER),
];
