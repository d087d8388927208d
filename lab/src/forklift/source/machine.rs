//! A VM of any source, in the terms that plans and migrations need.

use serde_json::Value;

/// What stands in place of the id of an OpenShift source's pod network, which is no object.
pub const POD_NETWORK: &str = "pod";

/// A virtual machine of a source.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Id in the inventory.
    pub id: String,
    /// Name in the source.
    pub name: String,
    /// Namespace, OpenShift sources only.
    pub namespace: String,
    /// BIOS UUID.
    pub uuid: String,
    /// Serial number of the firmware, as the target VM gets it; `None` for one made of the UUID as VMware does.
    pub serial: Option<String>,
    /// What the limit of VMs in flight counts by: the ESXi host; empty where it counts by Provider.
    pub host: String,
    /// Whether the guest is Windows.
    pub windows: bool,
    /// Whether it boots by UEFI.
    pub efi: bool,
    /// Whether UEFI verifies what it boots.
    pub secure_boot: bool,
    /// Whether it has a TPM.
    pub tpm: bool,
    /// CPU sockets.
    pub sockets: i64,
    /// Cores of a socket.
    pub cores: i64,
    /// Threads of a core, where the source tells them.
    pub threads: Option<i64>,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// Ids of the networks that must be mapped.
    pub networks: Vec<String>,
    /// Network adapters.
    pub nics: Vec<Nic>,
    /// Disks, as the source lists them.
    pub disks: Vec<Disk>,
    /// Places in `disks` in the order in which volumes are made and attached.
    pub order: Vec<usize>,
    /// The VirtualMachine, for OpenShift sources, whose target VMs are copies of it.
    pub object: Option<Value>,
}

impl Machine {
    /// Disks in the order in which volumes are made and attached.
    pub fn sorted_disks(&self) -> impl Iterator<Item = &Disk> {
        self.order.iter().filter_map(|place| self.disks.get(*place))
    }
}

/// A network adapter.
#[derive(Debug, Clone, Default)]
pub struct Nic {
    /// Id of its network.
    pub network: String,
    /// MAC address, lower case with colons.
    pub mac: String,
    /// Whether the cable is plugged in when the VM starts.
    pub connected: bool,
}

/// A disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// How the migration calls it: name of its task, value of the annotation `disk-source`.
    pub task: String,
    /// Key within the VM.
    pub key: i64,
    /// File of its backing, for name templates.
    pub file: String,
    /// Id of the storage that it lies on.
    pub storage: String,
    /// Bytes.
    pub capacity: i64,
    /// Whether other VMs use it too.
    pub shared: bool,
    /// A LUN of a storage array, mapped raw.
    pub rdm: bool,
    /// Serial number, if it has one.
    pub serial: String,
    /// Namespace and name of its claim, OpenShift sources only.
    pub claim: Option<(String, String)>,
}
