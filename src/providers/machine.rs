//! A virtual machine as its source tells it.

use std::net::IpAddr;

use jiff::Timestamp;
use mtv_api::forklift::SourceRef;

use crate::config::scenario::{DiskMode, DiskType, RdmType};

/// Power of a VM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// Runs.
    On,
    /// Does not run.
    #[default]
    Off,
    /// Suspended, paused, in between.
    Other,
}

/// A VM of a source as it is listed: what `clean` needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceVm {
    /// Managed object reference for vSphere, UUID elsewhere.
    pub id: String,
    /// Name.
    pub name: String,
    /// Run id found in the VM, if it is a clone of ours.
    pub run: Option<String>,
}

/// A VM that a run has made, whichever run: what a search for leftovers needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedVm {
    /// The VM; `run` is set.
    pub vm: SourceVm,
    /// When it was made, where the source tells.
    pub created: Option<Timestamp>,
}

/// What a source says of one network adapter.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Nic {
    /// Device label.
    pub name: String,
    /// MAC address, lower case with colons.
    pub mac: String,
    /// Network name.
    pub network: String,
    /// Network id (managed object reference for vSphere): what tells one network from another.
    pub network_id: String,
    /// How a NetworkMap names the network, where that is not by its id.
    pub network_ref: Option<SourceRef>,
    /// Guest addresses, if tools tell.
    pub addresses: Vec<String>,
    /// The same with what tools tell of their configuration; empty where they tell addresses only.
    pub configured: Vec<GuestAddress>,
    /// Default gateway by way of this adapter, if tools tell.
    pub gateway: Option<IpAddr>,
    /// Name of the adapter in the guest, if the source tells.
    pub guest_name: Option<String>,
}

/// An address in a guest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GuestAddress {
    /// The address.
    pub ip: IpAddr,
    /// Length of its network's prefix.
    pub prefix: Option<u8>,
    /// Whether it was configured by hand rather than given by DHCP; `None` where tools do not tell, as those of many Linuxes.
    pub fixed: Option<bool>,
}

/// What a source says of one disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Disk {
    /// Device label.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Datastore, storage domain, volume type or storage class.
    pub storage: String,
    /// How a StorageMap names the storage, where that is not by its name.
    pub storage_ref: Option<SourceRef>,
    /// Device key.
    pub key: i64,
    /// Id of the datastore (managed object reference for vSphere), empty if the source does not tell.
    pub storage_id: String,
    /// `[datastore] folder/file.vmdk` of the base disk, below all snapshots; empty where disks are no files.
    pub file: String,
    /// Layout; none where the source does not tell.
    pub provisioning: Option<DiskType>,
    /// Mode; none where the source does not tell, or has one that no scenario asks for.
    pub mode: Option<DiskMode>,
    /// How it is mapped, if it is a LUN.
    pub rdm: Option<RdmType>,
    /// Kind of controller: `scsi`, `sata`, `ide` or `nvme`; empty where the source does not tell.
    pub bus: String,
    /// Whether it is a difference to a snapshot.
    pub on_snapshot: bool,
    /// Key of its controller; 0 where the source does not tell.
    pub controller: i64,
    /// Its place on the controller; 0 where the source does not tell.
    pub unit: i64,
}

/// A snapshot of a source VM.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    /// Number within the VM.
    pub id: i64,
    /// Name.
    pub name: String,
    /// RFC 3339.
    pub created: String,
    /// Power of the VM when it was taken.
    pub state: String,
}

/// How a VM boots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Boot {
    /// By UEFI; otherwise by BIOS.
    pub efi: bool,
    /// UEFI verifies what it boots.
    pub secure: bool,
    /// It has a TPM.
    pub tpm: bool,
}

/// Everything that checks need to know about a source VM, in one description.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct VmDescription {
    /// Managed object reference for vSphere, UUID elsewhere.
    pub id: String,
    /// Name.
    pub name: String,
    /// Namespace, OpenShift sources only.
    pub namespace: Option<String>,
    /// BIOS UUID, lower case, where the source reports one that the migrated VM's serial number is made of.
    pub uuid: Option<String>,
    /// Serial number of the firmware, where the migrated VM gets it as it is; otherwise it is made of the UUID.
    pub serial: Option<String>,
    /// How it boots, where the source tells.
    pub boot: Option<Boot>,
    /// Power.
    pub power: Power,
    /// Sockets, where the source reports them.
    pub sockets: Option<u32>,
    /// Cores per socket, where the source reports them.
    pub cores_per_socket: Option<u32>,
    /// Memory in mebibytes, where the source reports it.
    pub memory_mib: Option<u64>,
    /// Network adapters.
    pub nics: Vec<Nic>,
    /// Disks.
    pub disks: Vec<Disk>,
    /// Snapshots, oldest first, all branches.
    pub snapshots: Vec<Snapshot>,
    /// Whether a guest agent or tools run.
    pub tools_running: bool,
    /// Whether the guest is Windows.
    pub windows: bool,
}
