//! Virtual hardware of a machine.

/// A virtual device.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Key, unique in the machine; clients may use negative ones until the server gives the final one.
    pub key: i32,
    /// Key of the controller.
    pub controller: Option<i32>,
    /// Place on the controller.
    pub unit: Option<i32>,
    /// `deviceInfo.label`, such as `Hard disk 1`.
    pub label: String,
    /// What it is.
    pub kind: DeviceKind,
}

/// Kinds of virtual devices.
#[derive(Debug, Clone, PartialEq)]
pub enum DeviceKind {
    /// A controller: its type, such as `ParaVirtualSCSIController`, and bus number.
    Controller(&'static str, i32),
    /// `VirtualKeyboard`
    Keyboard,
    /// `VirtualPointingDevice`
    Pointing,
    /// `VirtualMachineVideoCard`
    Video,
    /// `VirtualMachineVMCIDevice`
    Vmci,
    /// `VirtualCdrom` without a medium.
    Cdrom,
    /// A disk.
    Disk(Disk),
    /// A network adapter.
    Nic(Nic),
}

/// A virtual disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Disk {
    /// Where its content is.
    pub backing: Backing,
    /// Size in KiB.
    pub capacity_kib: u64,
}

/// A disk's backing file.
#[derive(Debug, Clone, PartialEq)]
pub struct Backing {
    /// `[datastore] folder/name.vmdk`
    pub file: String,
    /// moRef value of the datastore.
    pub datastore: String,
    /// `persistent`, `independent_persistent`, …
    pub mode: String,
    /// Thin provisioned.
    pub thin: bool,
    /// Written with zeroes when made.
    pub eager: bool,
    /// `sharingNone` or `sharingMultiWriter`.
    pub sharing: String,
    /// UUID of the disk.
    pub uuid: String,
    /// Changed block tracking: `uuid/number` of the point in time that this file started at.
    pub change_id: Option<String>,
    /// The file that this one is a difference to.
    pub parent: Option<Box<Backing>>,
    /// Raw device mapping: device name, LUN UUID, `virtualMode` or `physicalMode`.
    pub raw: Option<(String, String, String)>,
}

/// A network adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Nic {
    /// Type, such as `VirtualVmxnet3`.
    pub adapter: &'static str,
    /// MAC address, lower case.
    pub mac: String,
    /// `assigned`, `generated` or `manual`.
    pub address_type: String,
    /// moRef value of the network or distributed port group.
    pub network: String,
    /// Connects when the machine starts.
    pub start_connected: bool,
    /// Connected now; only of a running machine.
    pub connected: bool,
    /// Guest addresses with prefix length; empty means DHCP.
    pub addresses: Vec<String>,
}

/// Known controllers: the name in the data-centre file, the API's type, first key, and what the summary says.
pub const CONTROLLERS: [(&str, &str, i32, &str); 6] = [
    ("pvscsi", "ParaVirtualSCSIController", 1000, "VMware paravirtual SCSI"),
    ("lsilogic-sas", "VirtualLsiLogicSASController", 1000, "LSI Logic SAS"),
    ("lsilogic", "VirtualLsiLogicController", 1000, "LSI Logic"),
    ("buslogic", "VirtualBusLogicController", 1000, "BusLogic"),
    ("sata", "VirtualAHCIController", 15000, "AHCI"),
    ("nvme", "VirtualNVMEController", 31000, "NVME Controller"),
];

/// Known network adapters: the name in the data-centre file and the API's type.
pub const ADAPTERS: [(&str, &str); 5] = [
    ("vmxnet3", "VirtualVmxnet3"),
    ("e1000e", "VirtualE1000e"),
    ("e1000", "VirtualE1000"),
    ("vmxnet2", "VirtualVmxnet2"),
    ("pcnet32", "VirtualPCNet32"),
];

impl Device {
    /// The disk, if it is one.
    pub fn disk(&self) -> Option<&Disk> {
        if let DeviceKind::Disk(disk) = &self.kind { Some(disk) } else { None }
    }

    /// The disk, if it is one, to change it.
    pub fn disk_mut(&mut self) -> Option<&mut Disk> {
        if let DeviceKind::Disk(disk) = &mut self.kind { Some(disk) } else { None }
    }

    /// The network adapter, if it is one.
    pub fn nic(&self) -> Option<&Nic> {
        if let DeviceKind::Nic(nic) = &self.kind { Some(nic) } else { None }
    }

    /// The network adapter, if it is one, to change it.
    pub fn nic_mut(&mut self) -> Option<&mut Nic> {
        if let DeviceKind::Nic(nic) = &mut self.kind { Some(nic) } else { None }
    }

    /// Whether disks can be attached to it.
    pub fn is_disk_controller(&self) -> bool {
        matches!(self.kind, DeviceKind::Controller(kind, _) if kind == "VirtualIDEController" || CONTROLLERS.iter().any(|c| c.1 == kind))
    }
}

impl Backing {
    /// This file and those that it builds on.
    pub fn chain(&self) -> impl Iterator<Item = &Backing> {
        std::iter::successors(Some(self), |b| b.parent.as_deref())
    }

    /// The name of the next difference file: `disk.vmdk`, `disk-000001.vmdk`, `disk-000002.vmdk`, …
    pub fn delta_name(&self, number: u32) -> String {
        let base = self.file.strip_suffix(".vmdk").unwrap_or(&self.file);
        let base = match base.rsplit_once('-') {
            Some((stem, digits)) if digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit()) => stem,
            _ => base,
        };
        format!("{base}-{number:06}.vmdk")
    }
}

/// More than any machine has of anything: where a search for a free number ends.
pub const MANY: i32 = 10_000;

/// The hardware that every machine has.
pub fn chipset() -> Vec<Device> {
    let device = |key, controller, unit, label: &str, kind| Device { key, controller, unit, label: label.to_owned(), kind };
    vec![
        device(200, None, None, "IDE 0", DeviceKind::Controller("VirtualIDEController", 0)),
        device(201, None, None, "IDE 1", DeviceKind::Controller("VirtualIDEController", 1)),
        device(300, None, None, "PS2 controller 0", DeviceKind::Controller("VirtualPS2Controller", 0)),
        device(100, None, None, "PCI controller 0", DeviceKind::Controller("VirtualPCIController", 0)),
        device(400, None, None, "SIO controller 0", DeviceKind::Controller("VirtualSIOController", 0)),
        device(600, Some(300), Some(0), "Keyboard", DeviceKind::Keyboard),
        device(700, Some(300), Some(1), "Pointing device", DeviceKind::Pointing),
        device(500, Some(100), Some(0), "Video card", DeviceKind::Video),
        device(12000, Some(100), Some(17), "VMCI device", DeviceKind::Vmci),
    ]
}

/// Key, label and unit of a new device in this hardware.
pub fn next_key(devices: &[Device], first: i32) -> i32 {
    (first..first + MANY).find(|key| devices.iter().all(|d| d.key != *key)).unwrap_or(first)
}

/// The next free place on a controller. Seven is the SCSI controller's own.
pub fn next_unit(devices: &[Device], controller: i32) -> i32 {
    let scsi = (1000..1010).contains(&controller);
    (0..MANY)
        .find(|unit| !(scsi && *unit == 7) && devices.iter().all(|d| d.controller != Some(controller) || d.unit != Some(*unit)))
        .unwrap_or(0)
}

/// The key that vCenter gives a disk: by controller and unit.
pub fn disk_key(devices: &[Device], controller: i32, unit: i32) -> i32 {
    let first = match controller {
        1000..=1009 => 2000 + (controller - 1000) * 16 + unit,
        15000..=15009 => 16000 + (controller - 15000) * 30 + unit,
        31000..=31009 => 32000 + (controller - 31000) * 15 + unit,
        _ => 3000 + (controller - 200) * 2 + unit,
    };
    next_key(devices, first)
}

/// The next label of a kind: `Hard disk 2`.
pub fn next_label(devices: &[Device], stem: &str) -> String {
    (1..MANY).map(|n| format!("{stem} {n}")).find(|label| devices.iter().all(|d| d.label != *label)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_files_are_numbered_on_the_base_name() {
        let mut backing = Backing {
            file: "[ds] vm/vm.vmdk".to_owned(),
            datastore: "datastore-21".to_owned(),
            mode: "persistent".to_owned(),
            thin: true,
            eager: false,
            sharing: "sharingNone".to_owned(),
            uuid: String::new(),
            change_id: None,
            parent: None,
            raw: None,
        };
        assert_eq!(backing.delta_name(1), "[ds] vm/vm-000001.vmdk");
        backing.file = "[ds] vm/vm-000001.vmdk".to_owned();
        assert_eq!(backing.delta_name(2), "[ds] vm/vm-000002.vmdk");
        backing.file = "[ds] vm/vm-1234.vmdk".to_owned();
        assert_eq!(backing.delta_name(1), "[ds] vm/vm-1234-000001.vmdk");
    }

    #[test]
    fn unit_seven_of_scsi_is_left_out() {
        let mut devices = chipset();
        for want in [0, 1, 2, 3, 4, 5, 6, 8] {
            let unit = next_unit(&devices, 1000);
            assert_eq!(unit, want);
            devices.push(Device {
                key: 2000 + unit,
                controller: Some(1000),
                unit: Some(unit),
                label: String::new(),
                kind: DeviceKind::Keyboard,
            });
        }
    }
}
