//! Virtual machines of a scenario: which one is cloned, and how the clone differs from it.

use serde::{Deserialize, Serialize};

use super::PowerWish;

/// A virtual machine of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScenarioVm {
    /// Name of the VM or template in the source, which is cloned.
    pub name: String,
    /// Which of the scenario's Plans migrates it, from 0.
    pub plan: usize,
    /// Power of the clone before the migration; unset leaves it as it was made.
    pub source_vm_power: Option<PowerWish>,
    /// Whether the guest agent must be connected afterwards.
    pub guest_agent: bool,
    /// Snapshots to take of the clone before the migration.
    pub snapshots: u32,
    /// Whether `default_vm_name` of the profile's copy-offload section, if it is set, stands in for `name`.
    pub clone: bool,
    /// Name to make the clone's of, instead of `name`.
    pub clone_name: Option<String>,
    /// Keep upper case and underscores in the clone's name, which Forklift then has to change.
    pub preserve_name_format: bool,
    /// How the clone's disks are provisioned; unset: as those of the source.
    pub disk_type: Option<DiskType>,
    /// Disks that the clone gets on top, in this order.
    pub add_disks: Vec<AddedDisk>,
    /// Datastore of the clone; unset: the profile's copy-offload `datastore_id`, else that of the source VM.
    pub target_datastore_id: Option<Datastore>,
    /// ESXi host of the clone by name; unset: the profile's copy-offload `esxi_host`, else what vCenter chooses.
    pub target_esxi_host: Option<String>,
    /// Name of the migrated VM, `Plan.spec.vms[].targetName`; unset: as Forklift makes it.
    pub target_name: Option<String>,
}

/// How a disk takes up its space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskType {
    /// As it is written.
    #[default]
    Thin,
    /// At once, and zeroed as it is written.
    ThickLazy,
    /// At once, and zeroed at once.
    ThickEager,
}

/// Whether snapshots hold a disk, and whether it keeps what is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskMode {
    /// Snapshots hold it.
    #[default]
    Persistent,
    /// Snapshots leave it out.
    IndependentPersistent,
    /// Snapshots leave it out, and what is written is lost when the VM is switched off.
    IndependentNonpersistent,
}

/// How a raw device mapping hands commands to its LUN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RdmType {
    /// The hypervisor answers most of them, and snapshots are possible.
    Virtual,
    /// The LUN answers nearly all of them; the disk is independent.
    Physical,
}

/// Bus of an added disk: the VM's first controller of that kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiskController {
    /// SCSI of any make.
    #[default]
    Scsi,
    /// SATA.
    Sata,
    /// NVMe.
    Nvme,
}

/// A datastore, by the profile or by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Datastore {
    /// `secondary_datastore_id` of the profile's copy-offload section.
    #[serde(rename = "secondary_datastore_id")]
    Secondary,
    /// `non_xcopy_datastore_id` of the profile's copy-offload section.
    #[serde(rename = "non_xcopy_datastore_id")]
    NonXcopy,
    /// This one, such as `datastore-123`.
    #[serde(untagged)]
    Id(String),
}

impl Datastore {
    /// The literal words of mtv-api-tests, and else an id.
    pub fn parse(text: &str) -> Self {
        match text {
            "secondary_datastore_id" => Self::Secondary,
            "non_xcopy_datastore_id" => Self::NonXcopy,
            id => Self::Id(id.to_owned()),
        }
    }

    /// The field of the profile's copy-offload section that holds it.
    pub fn profile_field(&self) -> Option<&'static str> {
        match self {
            Self::Secondary => Some("secondary_datastore_id"),
            Self::NonXcopy => Some("non_xcopy_datastore_id"),
            Self::Id(_) => None,
        }
    }
}

/// A disk that a clone gets on top of those of its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AddedDisk {
    /// A new, empty disk.
    Virtual(VirtualDisk),
    /// A mapping of the profile's `rdm_lun_uuid`.
    Rdm(RdmType),
}

/// A new, empty disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VirtualDisk {
    /// Size in GiB, as mtv-api-tests counts its `size_gb`.
    pub size_gb: u32,
    /// How it takes up its space.
    pub provision_type: DiskType,
    /// What snapshots do with it.
    pub disk_mode: DiskMode,
    /// Bus.
    pub controller: DiskController,
    /// Where it lies; unset: with the clone.
    pub datastore_id: Option<Datastore>,
    /// Folder of the datastore, which is made if it does not exist; unset: the clone's own.
    pub datastore_path: Option<String>,
}
