//! `ConfigSpec`: changes of a machine's settings and hardware.

use std::collections::BTreeMap;

use mtv_api::xml::Node;

use super::{
    Kind, Model,
    build::controller_label,
    device::{ADAPTERS, Backing, CONTROLLERS, Device, DeviceKind, Disk, MANY, Nic, disk_key, next_key, next_label, next_unit},
    vm::{Power, Vm},
};
use crate::{
    vsphere::{fault::Fault, ids::MoRef},
    world::DiskImage,
};

/// Reads a boolean of a request.
pub fn flag(node: &Node, name: &str) -> Option<bool> {
    node.get(name).map(|text| matches!(text.trim(), "true" | "1"))
}

/// Reads a number of a request.
pub fn number<T: std::str::FromStr>(node: &Node, name: &str) -> Option<T> {
    node.get(name).and_then(|text| text.trim().parse().ok())
}

/// Reads a reference of a request.
pub fn reference(node: &Node, name: &str) -> Option<MoRef> {
    node.child(name).map(MoRef::read)
}

impl Model {
    /// Changes a machine as a `ConfigSpec` says; nothing is changed if a part of it is refused.
    ///
    /// # Errors
    /// What the API names for the part that is refused.
    pub fn reconfigure(&mut self, id: &str, spec: &Node) -> Result<(), Fault> {
        let mut vm = self.vm(id)?.clone();
        if let Some(version) = spec.get("changeVersion").filter(|v| !v.is_empty())
            && version != vm.config_version.to_string()
        {
            return Err(Fault::new("ConcurrentAccess", "The machine was changed in the meantime."));
        }
        let new_name = spec.get("name").filter(|name| !name.is_empty());
        if let (Some(name), Some(entity)) = (new_name, self.entity(id))
            && name != entity.name
        {
            self.free_name(entity.parent.as_deref().unwrap_or_default(), name)?;
        }
        apply_sizes(&mut vm, spec)?;
        if let Some(text) = spec.get("annotation") {
            text.clone_into(&mut vm.annotation);
        }
        if let Some(guest) = spec.get("guestId") {
            self.set_guest_id(&mut vm, guest);
        }
        if let Some(firmware) = spec.get("firmware") {
            firmware.clone_into(&mut vm.firmware);
        }
        if let Some(uuid) = spec.get("uuid").filter(|u| !u.is_empty()) {
            uuid.clone_into(&mut vm.uuid);
        }
        if let Some(uuid) = spec.get("instanceUuid").filter(|u| !u.is_empty()) {
            uuid.clone_into(&mut vm.instance_uuid);
        }
        if let Some(secure) = spec.child("bootOptions").and_then(|b| flag(b, "efiSecureBootEnabled")) {
            vm.secure_boot = secure;
        }
        if let Some(tracking) = flag(spec, "changeTrackingEnabled") {
            vm.change_tracking = tracking;
        }
        apply_extra_config(&mut vm, spec);
        let name = new_name.map_or_else(|| self.entity(id).map(|e| e.name.clone()).unwrap_or_default(), str::to_owned);
        self.apply_device_changes(&mut vm, &name, spec)?;
        vm.settle_change_tracking();
        vm.config_version += 1;
        let entity = self.find_mut(&MoRef::new("VirtualMachine", id))?;
        if let Some(name) = new_name {
            name.clone_into(&mut entity.name);
        }
        entity.kind = Kind::Vm(Box::new(vm));
        Ok(())
    }

    /// Sets the guest id, and the name that the data centre knows for it.
    pub fn set_guest_id(&self, vm: &mut Vm, guest: &str) {
        guest.clone_into(&mut vm.guest_id);
        if let Some(known) = self.world.datacenter.guests.values().find(|g| g.guest_id == guest) {
            vm.guest_full_name.clone_from(&known.full_name);
        }
    }

    /// Applies `deviceChange`, in its order.
    ///
    /// # Errors
    /// `InvalidDeviceSpec` with the index of the change, `FileAlreadyExists`, `InvalidDatastorePath`.
    pub fn apply_device_changes(&mut self, vm: &mut Vm, name: &str, spec: &Node) -> Result<(), Fault> {
        // Clients name new controllers by negative keys, and attach new disks to them by these.
        let mut renamed = BTreeMap::new();
        for (index, change) in spec.children_named("deviceChange").enumerate() {
            let device = change.child("device").ok_or_else(|| Fault::invalid_device_spec(index, "device"))?;
            match change.get("operation").unwrap_or("edit") {
                "add" => self.add_device(vm, name, index, change, device, &mut renamed)?,
                "remove" => {
                    let key: i32 = number(device, "key").ok_or_else(|| Fault::invalid_device_spec(index, "device.key"))?;
                    let at = vm.devices.iter().position(|d| d.key == key).ok_or_else(|| Fault::invalid_device_spec(index, "device.key"))?;
                    if vm.devices.iter().any(|d| d.controller == Some(key)) {
                        return Err(Fault::invalid_device_spec(index, "device.key"));
                    }
                    let gone = vm.devices.remove(at);
                    if change.get("fileOperation") == Some("destroy")
                        && let Some(disk) = gone.disk()
                    {
                        self.world.disks.remove(&disk.backing.file);
                    }
                }
                "edit" => self.edit_device(vm, index, device)?,
                _ => return Err(Fault::invalid_device_spec(index, "operation")),
            }
        }
        Ok(())
    }

    fn add_device(
        &mut self,
        vm: &mut Vm,
        name: &str,
        index: usize,
        change: &Node,
        device: &Node,
        renamed: &mut BTreeMap<i32, i32>,
    ) -> Result<(), Fault> {
        let kind = device.xsi_type().unwrap_or_default();
        let wanted: i32 = number(device, "key").unwrap_or(-1);
        let key = if kind == "VirtualDisk" {
            let controller: i32 =
                number(device, "controllerKey").ok_or_else(|| Fault::invalid_device_spec(index, "device.controllerKey"))?;
            let controller = renamed.get(&controller).copied().unwrap_or(controller);
            self.add_disk(vm, name, index, change, device, controller)?
        } else if let Some(&(_, adapter)) = ADAPTERS.iter().find(|a| a.1 == kind) {
            self.add_nic(vm, adapter, index, device)?
        } else if let Some(&(_, controller, first, _)) = CONTROLLERS.iter().find(|c| c.1 == kind) {
            let key = next_key(&vm.devices, first);
            let bus = number(device, "busNumber").filter(|bus| {
                !vm.devices.iter().any(
                    |d| matches!(d.kind, DeviceKind::Controller(k, b) if controller_label(k) == controller_label(controller) && b == *bus),
                )
            });
            let bus = bus.unwrap_or(key - first);
            vm.devices.push(Device {
                key,
                controller: Some(100),
                unit: Some(3 + key - first),
                label: format!("{} {bus}", controller_label(controller)),
                kind: DeviceKind::Controller(controller, bus),
            });
            key
        } else if kind == "VirtualCdrom" {
            let key = next_key(&vm.devices, 3000);
            let controller = number(device, "controllerKey").unwrap_or(200);
            let unit = next_unit(&vm.devices, controller);
            let label = next_label(&vm.devices, "CD/DVD drive");
            vm.devices.push(Device { key, controller: Some(controller), unit: Some(unit), label, kind: DeviceKind::Cdrom });
            key
        } else {
            return Err(Fault::new("DeviceUnsupportedForVmVersion", format!("devices of type {kind} are not offered here")));
        };
        renamed.insert(wanted, key);
        Ok(())
    }

    fn add_disk(&mut self, vm: &mut Vm, name: &str, index: usize, change: &Node, device: &Node, controller: i32) -> Result<i32, Fault> {
        if !vm.devices.iter().any(|d| d.key == controller && d.is_disk_controller()) {
            return Err(Fault::invalid_device_spec(index, "device.controllerKey"));
        }
        let unit = number(device, "unitNumber").filter(|u| *u >= 0).unwrap_or_else(|| next_unit(&vm.devices, controller));
        let taken = vm.devices.iter().any(|d| d.controller == Some(controller) && d.unit == Some(unit));
        if taken || (unit == 7 && (1000..1010).contains(&controller)) {
            return Err(Fault::invalid_device_spec(index, "device.unitNumber"));
        }
        let kib = number::<u64>(device, "capacityInBytes").map(|b| b / 1024).or_else(|| number(device, "capacityInKB")).unwrap_or(0);
        let spec = device.child("backing").ok_or_else(|| Fault::invalid_device_spec(index, "device.backing"))?;
        let create = change.get("fileOperation") == Some("create");
        let mut lun_kib = 10 << 20;
        let raw = if spec.xsi_type() == Some("VirtualDiskRawDiskMappingVer1BackingInfo") {
            let text = |name| spec.get(name).unwrap_or_default().to_owned();
            let device = text("deviceName");
            let luns = crate::vsphere::types::host::scsi_disks(self);
            let known = luns.iter().find(|(name, _)| device.rsplit('/').next() == Some(name));
            if let Some((name, bytes)) = known {
                lun_kib = bytes / 1024;
                let uuid = crate::vsphere::types::host::lun_uuid(name);
                Some((device, uuid, text("compatibilityMode")))
            } else if self.world.datacenter.vsphere.luns.is_empty() {
                // A data centre that describes no LUNs has any.
                Some((device, text("lunUuid"), text("compatibilityMode")))
            } else {
                return Err(Fault::invalid_device_spec(index, "device.backing.deviceName"));
            }
        } else {
            None
        };
        if create && kib == 0 && raw.is_none() {
            return Err(Fault::invalid_device_spec(index, "device.capacityInKB"));
        }
        let (datastore, file) = self.place(vm, name, spec)?;
        let exists = self.world.disks.get(&file).is_some();
        if create && exists {
            return Err(Fault::file_already_exists(&file));
        }
        if !create && !exists && raw.is_none() {
            return Err(Fault::file_not_found(&file));
        }
        if !exists {
            self.world.disks.put(&file, DiskImage::default());
        }
        let key = disk_key(&vm.devices, controller, unit);
        vm.devices.push(Device {
            key,
            controller: Some(controller),
            unit: Some(unit),
            label: next_label(&vm.devices, "Hard disk"),
            kind: DeviceKind::Disk(Disk {
                capacity_kib: if raw.is_some() { lun_kib } else { kib },
                backing: Backing {
                    file,
                    datastore,
                    mode: spec.get("diskMode").unwrap_or("persistent").to_owned(),
                    thin: flag(spec, "thinProvisioned").unwrap_or(false),
                    eager: flag(spec, "eagerlyScrub").unwrap_or(false),
                    sharing: spec.get("sharing").unwrap_or("sharingNone").to_owned(),
                    uuid: self.uuid(0x60),
                    change_id: None,
                    parent: None,
                    raw,
                },
            }),
        });
        Ok(key)
    }

    /// Datastore and file name of a new disk: the backing may name a file, a datastore only (`[ds]`), or nothing.
    fn place(&self, vm: &Vm, name: &str, spec: &Node) -> Result<(String, String), Fault> {
        let wanted = spec.get("fileName").unwrap_or_default().trim();
        let (datastore, path) = match (wanted, reference(spec, "datastore")) {
            ("", Some(datastore)) => (self.find(&datastore)?.id.clone(), String::new()),
            ("", None) => {
                let home = self.datastore_path(&vm.vmx)?.0;
                (home, String::new())
            }
            (path, _) => self.datastore_path(path)?,
        };
        let label = self.entity(&datastore).map(|d| d.name.clone()).unwrap_or_default();
        if !path.is_empty() && !path.ends_with('/') {
            return Ok((datastore, format!("[{label}] {path}")));
        }
        let folder = if path.is_empty() { format!("{name}/") } else { path };
        let free = |file: &String| self.world.disks.get(file).is_none();
        let file = std::iter::once(format!("[{label}] {folder}{name}.vmdk"))
            .chain((1..MANY).map(|n| format!("[{label}] {folder}{name}_{n}.vmdk")))
            .find(free)
            .unwrap_or_default();
        Ok((datastore, file))
    }

    fn add_nic(&mut self, vm: &mut Vm, adapter: &'static str, index: usize, device: &Node) -> Result<i32, Fault> {
        let network = self.backing_network(device).ok_or_else(|| Fault::invalid_device_spec(index, "device.backing"))?;
        let manual = device.get("addressType").is_some_and(|t| t.eq_ignore_ascii_case("manual"));
        let mac = device.get("macAddress").filter(|m| manual && !m.is_empty()).map(str::to_lowercase);
        let connectable = device.child("connectable");
        let key = next_key(&vm.devices, 4000);
        let start_connected = connectable.and_then(|c| flag(c, "startConnected")).unwrap_or(true);
        vm.devices.push(Device {
            key,
            controller: Some(100),
            unit: Some(key - 4000 + 7),
            label: next_label(&vm.devices, "Network adapter"),
            kind: DeviceKind::Nic(Nic {
                adapter,
                mac: mac.unwrap_or_else(|| self.mac()),
                address_type: if manual { "manual" } else { "assigned" }.to_owned(),
                network,
                start_connected,
                connected: start_connected && vm.power == Power::On,
                addresses: Vec::new(),
            }),
        });
        Ok(key)
    }

    /// The network that an adapter's backing names: by reference or name, or by the port group's key.
    fn backing_network(&self, device: &Node) -> Option<String> {
        let backing = device.child("backing")?;
        if let Some(group) = backing.child("port").and_then(|p| p.get("portgroupKey")) {
            return self.entity(group).map(|e| e.id.clone());
        }
        if let Some(network) = reference(backing, "network")
            && let Some(entity) = self.entity(&network.id)
        {
            return Some(entity.id.clone());
        }
        self.named("Network", backing.get("deviceName")?).map(|e| e.id.clone())
    }

    fn edit_device(&mut self, vm: &mut Vm, index: usize, device: &Node) -> Result<(), Fault> {
        let invalid = |property| Fault::invalid_device_spec(index, property);
        let key: i32 = number(device, "key").ok_or_else(|| invalid("device.key"))?;
        let network = self.backing_network(device);
        let fresh = self.mac();
        let running = vm.power == Power::On;
        let snapshots = !vm.snapshots.is_empty();
        let target = vm.devices.iter_mut().find(|d| d.key == key).ok_or_else(|| invalid("device.key"))?;
        match &mut target.kind {
            DeviceKind::Nic(nic) => {
                if device.child("backing").is_some() {
                    nic.network = network.ok_or_else(|| invalid("device.backing"))?;
                }
                let given = device.get("macAddress").filter(|m| !m.is_empty()).map(str::to_lowercase);
                match device.get("addressType").map(str::to_ascii_lowercase).as_deref() {
                    Some("manual") => {
                        nic.mac = given.ok_or_else(|| invalid("device.macAddress"))?;
                        "manual".clone_into(&mut nic.address_type);
                    }
                    Some("generated" | "assigned") => {
                        // An address is kept only if it is this adapter's own one.
                        if given.is_none_or(|mac| mac != nic.mac) {
                            nic.mac = fresh;
                        }
                        "assigned".clone_into(&mut nic.address_type);
                    }
                    Some("") | None => {}
                    Some(_) => return Err(invalid("device.addressType")),
                }
                if let Some(connectable) = device.child("connectable") {
                    nic.start_connected = flag(connectable, "startConnected").unwrap_or(nic.start_connected);
                    nic.connected = running && flag(connectable, "connected").unwrap_or(nic.connected);
                }
            }
            DeviceKind::Disk(disk) => {
                let kib = number::<u64>(device, "capacityInBytes").map(|b| b / 1024).or_else(|| number(device, "capacityInKB"));
                if let Some(kib) = kib.filter(|k| *k != disk.capacity_kib) {
                    if kib < disk.capacity_kib || snapshots {
                        return Err(invalid("device.capacityInKB"));
                    }
                    disk.capacity_kib = kib;
                }
                if let Some(mode) = device.child("backing").and_then(|b| b.get("diskMode")) {
                    mode.clone_into(&mut disk.backing.mode);
                }
                if let Some(sharing) = device.child("backing").and_then(|b| b.get("sharing")) {
                    sharing.clone_into(&mut disk.backing.sharing);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn apply_sizes(vm: &mut Vm, spec: &Node) -> Result<(), Fault> {
    let cpus = number(spec, "numCPUs").unwrap_or(vm.cpus);
    let memory = number(spec, "memoryMB").unwrap_or(vm.memory_mib);
    if cpus == 0 {
        return Err(Fault::invalid_argument("configSpec.numCPUs"));
    }
    if memory == 0 || memory % 4 != 0 {
        return Err(Fault::invalid_argument("configSpec.memoryMB"));
    }
    if vm.power == Power::On && cpus != vm.cpus {
        return Err(Fault::new("CpuHotPlugNotSupported", "CPUs cannot be changed while this machine runs."));
    }
    if vm.power == Power::On && memory != vm.memory_mib {
        return Err(Fault::new("MemoryHotPlugNotSupported", "Memory cannot be changed while this machine runs."));
    }
    let per_socket = number(spec, "numCoresPerSocket").unwrap_or(vm.cores_per_socket).max(1);
    if cpus % per_socket != 0 {
        return Err(Fault::invalid_argument("configSpec.numCoresPerSocket"));
    }
    (vm.cpus, vm.memory_mib, vm.cores_per_socket) = (cpus, memory, per_socket);
    Ok(())
}

/// Free-form settings; an empty value removes a key. `ctkEnabled` is the setting behind `changeTrackingEnabled`.
pub fn apply_extra_config(vm: &mut Vm, spec: &Node) {
    for option in spec.children_named("extraConfig") {
        let key = option.get("key").unwrap_or_default();
        let value = option.get("value").unwrap_or_default();
        if key == "ctkEnabled" {
            vm.change_tracking = value.eq_ignore_ascii_case("true");
        }
        if value.is_empty() {
            vm.extra_config.remove(key);
        } else {
            vm.extra_config.insert(key.to_owned(), value.to_owned());
        }
    }
}
