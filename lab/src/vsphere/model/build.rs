//! The inventory as the data-centre file describes it.

use std::collections::BTreeMap;

use super::{
    Kind, Model,
    device::{ADAPTERS, Backing, CONTROLLERS, Device, DeviceKind, Disk, Nic, chipset, disk_key, next_key, next_label, next_unit},
    uuid,
    vm::{Power, Vm},
};
use crate::{
    datacenter::{DiskModel, NicModel, VmModel},
    world::{DiskImage, World},
};

/// Root folder.
pub const ROOT: &str = "group-d1";
/// The datacenter.
pub const DATACENTER: &str = "datacenter-2";
/// VM folder.
pub const VM_FOLDER: &str = "group-v3";
/// Host folder.
pub const HOST_FOLDER: &str = "group-h4";
/// Datastore folder.
pub const DATASTORE_FOLDER: &str = "group-s5";
/// Network folder.
pub const NETWORK_FOLDER: &str = "group-n6";

impl Model {
    /// Builds the inventory, and says what stands on its disks.
    pub fn new(world: &World) -> Self {
        let description = world.datacenter.vsphere.clone();
        let mut model = Self {
            world: world.clone(),
            entities: BTreeMap::new(),
            tasks: BTreeMap::new(),
            events: Vec::new(),
            custom_fields: Vec::new(),
            wakeups: Vec::new(),
            agents: BTreeMap::new(),
            instance_uuid: uuid(0x9b, &description.datacenter),
            programs: Vec::new(),
            transfers: BTreeMap::new(),
            counters: BTreeMap::new(),
            uuids: 0,
        };
        model.add(ROOT, "Datacenters", None, Kind::Folder(&["Folder", "Datacenter"]));
        let folders = Kind::Datacenter {
            vm: VM_FOLDER.to_owned(),
            host: HOST_FOLDER.to_owned(),
            datastore: DATASTORE_FOLDER.to_owned(),
            network: NETWORK_FOLDER.to_owned(),
        };
        model.add(DATACENTER, &description.datacenter, Some(ROOT), folders);
        for (id, name, types) in [
            (VM_FOLDER, "vm", &["Folder", "VirtualMachine", "VirtualApp"][..]),
            (HOST_FOLDER, "host", &["Folder", "ComputeResource"]),
            (DATASTORE_FOLDER, "datastore", &["Folder", "Datastore", "StoragePod"]),
            (NETWORK_FOLDER, "network", &["Folder", "Network", "DistributedVirtualSwitch"]),
        ] {
            model.add(id, name, Some(DATACENTER), Kind::Folder(types));
        }
        let cluster = format!("domain-c{}", model.count("domain-c"));
        let pool = model.next_id("resgroup");
        model.add(&cluster, &description.cluster, Some(HOST_FOLDER), Kind::Cluster { pool: pool.clone() });
        model.add(&pool, "Resources", Some(&cluster), Kind::Pool);
        let mut hosts = Vec::new();
        for name in &description.hosts {
            let id = model.next_id("host");
            hosts.push(model.add(id, name, Some(&cluster), Kind::Host));
        }
        for datastore in &description.datastores {
            let id = model.next_id("datastore");
            let kind = Kind::Datastore { capacity: datastore.capacity_gib << 30, folders: Vec::new() };
            model.add(id, &datastore.name, Some(DATASTORE_FOLDER), kind);
        }
        if description.networks.iter().any(|n| n.distributed) {
            let id = model.next_id("dvs");
            let switch_uuid = vmware_uuid(&model.uuid(0x50));
            let switch = model.add(id, "DSwitch", Some(NETWORK_FOLDER), Kind::Switch { uuid: switch_uuid });
            let id = model.next_id("dvportgroup");
            model.add(id, "DSwitch-DVUplinks-40", Some(NETWORK_FOLDER), Kind::Portgroup { switch, uplink: true });
        }
        for network in &description.networks {
            if network.distributed {
                let switch = model.of_type("VmwareDistributedVirtualSwitch").next().map(|s| s.id.clone()).unwrap_or_default();
                let id = model.next_id("dvportgroup");
                model.add(id, &network.name, Some(NETWORK_FOLDER), Kind::Portgroup { switch, uplink: false });
            } else {
                let id = model.next_id("network");
                model.add(id, &network.name, Some(NETWORK_FOLDER), Kind::Network);
            }
        }
        for (number, vm) in description.vms.iter().enumerate() {
            let host = hosts.get(number % hosts.len().max(1)).cloned().unwrap_or_default();
            model.add_described(vm, &host, &pool);
        }
        model.number_machines();
        model
    }

    fn add_described(&mut self, described: &VmModel, host: &str, pool: &str) {
        let guest = self.world.datacenter.guests.get(&described.guest).cloned();
        let (guest_id, guest_full_name) =
            guest.map_or_else(|| ("otherGuest64".to_owned(), "Other (64-bit)".to_owned()), |g| (g.guest_id, g.full_name));
        let mut devices = chipset();
        let mut boots = true;
        for (number, disk) in described.disks.iter().enumerate() {
            let device = self.described_disk(described, disk, number, &mut devices);
            if let Some(disk) = device.disk() {
                let image = DiskImage { guest: boots.then(|| described.guest.clone()) };
                self.world.disks.put(&disk.backing.file, image);
            }
            boots = false;
            devices.push(device);
        }
        for nic in &described.nics {
            let device = self.described_nic(nic, &devices, described.powered_on);
            devices.push(device);
        }
        let home = self.datastore_name(described.disks.first().and_then(|d| d.datastore.as_deref()));
        let id = self.next_id("vm");
        let now = Self::now();
        let vm = Vm {
            template: described.template,
            power: if described.powered_on && !described.template { Power::On } else { Power::Off },
            host: host.to_owned(),
            pool: (!described.template).then(|| pool.to_owned()),
            uuid: self.uuid(0x42),
            instance_uuid: self.uuid(0x50),
            guest_id,
            guest_full_name,
            firmware: described.firmware.clone(),
            secure_boot: false,
            annotation: String::new(),
            cpus: described.cpus,
            cores_per_socket: described.cores_per_socket,
            memory_mib: described.memory_mib,
            change_tracking: described.changed_block_tracking,
            vmx: format!("[{home}] {0}/{0}.{1}", described.name, if described.template { "vmtx" } else { "vmx" }),
            extra_config: BTreeMap::new(),
            devices,
            snapshots: Vec::new(),
            current_snapshot: None,
            created: now.clone(),
            boot_time: described.powered_on.then_some(now),
            boot: 1,
            tools_running: described.powered_on,
            deltas: 0,
            changes: 0,
            connection: "connected".to_owned(),
            config_version: 1,
            busy: None,
        };
        self.add(&id, &described.name, Some(VM_FOLDER), Kind::Vm(Box::new(vm)));
        if let Ok(vm) = self.vm_mut(&id) {
            vm.settle_change_tracking();
        }
    }

    fn datastore_name(&self, wanted: Option<&str>) -> String {
        let first = || self.world.datacenter.vsphere.datastores.first().map(|d| d.name.clone()).unwrap_or_default();
        wanted.map_or_else(first, str::to_owned)
    }

    fn described_disk(&mut self, vm: &VmModel, disk: &DiskModel, number: usize, devices: &mut Vec<Device>) -> Device {
        let controller = ensure_controller(devices, &disk.controller);
        let unit = next_unit(devices, controller);
        let datastore = self.datastore_name(disk.datastore.as_deref());
        let suffix = if number == 0 { String::new() } else { format!("_{number}") };
        Device {
            key: disk_key(devices, controller, unit),
            controller: Some(controller),
            unit: Some(unit),
            label: next_label(devices, "Hard disk"),
            kind: DeviceKind::Disk(Disk {
                backing: Backing {
                    file: format!("[{datastore}] {0}/{0}{suffix}.vmdk", vm.name),
                    datastore: self.named("Datastore", &datastore).map(|d| d.id.clone()).unwrap_or_default(),
                    mode: "persistent".to_owned(),
                    thin: true,
                    eager: false,
                    sharing: "sharingNone".to_owned(),
                    uuid: self.uuid(0x60),
                    change_id: None,
                    parent: None,
                    raw: None,
                },
                capacity_kib: disk.size_gib << 20,
            }),
        }
    }

    fn described_nic(&mut self, nic: &NicModel, devices: &[Device], connected: bool) -> Device {
        let adapter = ADAPTERS.iter().find(|a| a.0 == nic.adapter).map_or("VirtualVmxnet3", |a| a.1);
        let network = self
            .entities
            .values()
            .find(|e| matches!(e.kind, Kind::Network | Kind::Portgroup { .. }) && e.name == nic.network)
            .map(|e| e.id.clone())
            .unwrap_or_default();
        let key = next_key(devices, 4000);
        Device {
            key,
            controller: Some(100),
            unit: Some(key - 4000 + 7),
            label: next_label(devices, "Network adapter"),
            kind: DeviceKind::Nic(Nic {
                adapter,
                mac: self.mac(),
                address_type: "assigned".to_owned(),
                network,
                start_connected: true,
                connected,
                addresses: nic.addresses.clone(),
            }),
        }
    }
}

/// The key of a controller of this kind (a name of the data-centre file); adds one if there is none.
pub fn ensure_controller(devices: &mut Vec<Device>, name: &str) -> i32 {
    let (_, kind, first, label) = CONTROLLERS.iter().find(|c| c.0 == name).copied().unwrap_or(CONTROLLERS[0]);
    if let Some(device) = devices.iter().find(|d| matches!(d.kind, DeviceKind::Controller(k, _) if k == kind)) {
        return device.key;
    }
    let key = next_key(devices, first);
    let _ = label;
    let bus = key - first;
    devices.push(Device {
        key,
        controller: Some(100),
        unit: Some(3 + bus + if first == 1000 { 0 } else { 20 }),
        label: format!("{} {bus}", controller_label(kind)),
        kind: DeviceKind::Controller(kind, bus),
    });
    key
}

/// Stem of a controller's label.
pub fn controller_label(kind: &str) -> &'static str {
    match kind {
        "VirtualAHCIController" => "SATA controller",
        "VirtualNVMEController" => "NVME controller",
        _ => "SCSI controller",
    }
}

/// A UUID in VMware's notation for switches: `50 3c …-… …`.
pub fn vmware_uuid(uuid: &str) -> String {
    let hex: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
    let pairs = |part: &str| part.as_bytes().chunks(2).map(|p| String::from_utf8_lossy(p).into_owned()).collect::<Vec<_>>().join(" ");
    format!("{}-{}", pairs(hex.get(..16).unwrap_or_default()), pairs(hex.get(16..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        datacenter::{DEFAULT, DataCenter},
    };

    #[test]
    fn the_described_machines_stand_there_with_their_disks() {
        let world = World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(1.0));
        let model = Model::new(&world);
        let (entity, vm) = model.vms().find(|(e, _)| e.name == "mtv-rhel8-warm-2disks2nics").unwrap();
        assert!(entity.id.starts_with("vm-"));
        let files: Vec<_> = vm.disks().map(|(d, disk)| (d.key, disk.backing.file.as_str())).collect();
        assert_eq!(
            files,
            [
                (2000, "[nfs-datastore] mtv-rhel8-warm-2disks2nics/mtv-rhel8-warm-2disks2nics.vmdk"),
                (2001, "[block-datastore] mtv-rhel8-warm-2disks2nics/mtv-rhel8-warm-2disks2nics_1.vmdk"),
            ]
        );
        assert_eq!(world.guest(files[0].1).unwrap().os_info, "rhel8.8");
        assert!(world.guest(files[1].1).is_none());
        assert!(vm.nics().all(|(_, nic)| nic.mac.starts_with("00:50:56:")));
        assert_eq!(vmware_uuid("503cec11-9e2c-4c3d-874a-c34e85f2ea95"), "50 3c ec 11 9e 2c 4c 3d-87 4a c3 4e 85 f2 ea 95");
    }
}
