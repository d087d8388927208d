//! State of a virtual machine.

use std::collections::BTreeMap;

use super::device::Device;

/// Power state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Off.
    Off,
    /// Running.
    On,
    /// Suspended to disk.
    Suspended,
}

impl Power {
    /// The API's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "poweredOff",
            Self::On => "poweredOn",
            Self::Suspended => "suspended",
        }
    }
}

/// A virtual machine or template.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a machine, as the API has them")]
pub struct Vm {
    /// A template has no resource pool and cannot be powered on.
    pub template: bool,
    /// Power state.
    pub power: Power,
    /// Host, a moRef value.
    pub host: String,
    /// Resource pool, a moRef value; none for templates.
    pub pool: Option<String>,
    /// BIOS UUID, also the guest's serial number.
    pub uuid: String,
    /// UUID that vCenter keeps unique.
    pub instance_uuid: String,
    /// vSphere guest id.
    pub guest_id: String,
    /// The guest operating system's name for people.
    pub guest_full_name: String,
    /// `bios` or `efi`.
    pub firmware: String,
    /// EFI secure boot.
    pub secure_boot: bool,
    /// Notes.
    pub annotation: String,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Cores per socket.
    pub cores_per_socket: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Changed block tracking.
    pub change_tracking: bool,
    /// `[datastore] folder/name.vmx`
    pub vmx: String,
    /// Free-form settings.
    pub extra_config: BTreeMap<String, String>,
    /// Hardware.
    pub devices: Vec<Device>,
    /// All snapshots, in the order of their creation.
    pub snapshots: Vec<Snapshot>,
    /// The snapshot that the machine's state builds on.
    pub current_snapshot: Option<String>,
    /// When the machine was made.
    pub created: String,
    /// When it was powered on last.
    pub boot_time: Option<String>,
    /// Counts power-ons and resets: a timer that belongs to an earlier boot does nothing.
    pub boot: u64,
    /// The guest's tools report.
    pub tools_running: bool,
    /// Number of the last difference file.
    pub deltas: u32,
    /// Number of the last `changeId`.
    pub changes: u32,
    /// `connected`, `inaccessible`, `orphaned`, `disconnected` or `invalid`.
    pub connection: String,
    /// Counts changes of the configuration, for `config.changeVersion`.
    pub config_version: u64,
    /// The task that works on the machine and excludes others.
    pub busy: Option<String>,
}

/// A snapshot: what the machine was.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// moRef value.
    pub id: String,
    /// Number within the machine.
    pub number: i32,
    /// Name; need not be unique.
    pub name: String,
    /// Notes.
    pub description: String,
    /// When it was made.
    pub created: String,
    /// Power state to return to.
    pub power: Power,
    /// The file systems were quiesced.
    pub quiesced: bool,
    /// The snapshot that this one builds on.
    pub parent: Option<String>,
    /// Hardware at that time; its disks' files are read-only from then on.
    pub devices: Vec<Device>,
    /// CPUs, cores per socket, memory at that time.
    pub sizes: (u32, u32, u64),
}

impl Vm {
    /// The device with this key.
    pub fn device(&self, key: i32) -> Option<&Device> {
        self.devices.iter().find(|d| d.key == key)
    }

    /// The machine's disks.
    pub fn disks(&self) -> impl Iterator<Item = (&Device, &super::device::Disk)> {
        self.devices.iter().filter_map(|d| d.disk().map(|disk| (d, disk)))
    }

    /// The machine's network adapters.
    pub fn nics(&self) -> impl Iterator<Item = (&Device, &super::device::Nic)> {
        self.devices.iter().filter_map(|d| d.nic().map(|nic| (d, nic)))
    }

    /// A snapshot.
    pub fn snapshot(&self, id: &str) -> Option<&Snapshot> {
        self.snapshots.iter().find(|s| s.id == id)
    }

    /// Datastores that hold files of the machine, moRef values without repeats.
    pub fn datastores(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for (_, disk) in self.disks() {
            if !out.contains(&disk.backing.datastore) {
                out.push(disk.backing.datastore.clone());
            }
        }
        out
    }

    /// Networks that the machine is attached to, moRef values without repeats.
    pub fn networks(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for (_, nic) in self.nics() {
            if !out.contains(&nic.network) {
                out.push(nic.network.clone());
            }
        }
        out
    }

    /// The file that the guest boots from.
    pub fn boot_file(&self) -> Option<&str> {
        self.disks().next().map(|(_, disk)| disk.backing.file.as_str())
    }

    /// The machine's folder: `[datastore] folder/`.
    pub fn folder(&self) -> &str {
        self.vmx.rfind('/').map_or(self.vmx.as_str(), |at| &self.vmx[..=at])
    }

    /// Every backing file: those in use, those that they build on, and those of snapshots.
    pub fn backing_files(&self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for device in self.devices.iter().chain(self.snapshots.iter().flat_map(|s| &s.devices)) {
            for backing in device.disk().into_iter().flat_map(|d| d.backing.chain()) {
                if !out.contains(&backing.file) {
                    out.push(backing.file.clone());
                }
            }
        }
        out
    }
}
