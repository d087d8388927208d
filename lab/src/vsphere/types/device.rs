//! Virtual devices as the API shows them.

use crate::vsphere::{
    ids::MoRef,
    model::{
        Kind, Model,
        device::{Backing, CONTROLLERS, Device, DeviceKind, Disk, Nic},
        vm::Vm,
    },
    value::{Object, Value, int, long},
};

/// A device.
pub fn device(model: &Model, vm: &Vm, device: &Device) -> Value {
    let (kind, summary, backing, connectable, own) = match &device.kind {
        DeviceKind::Controller(kind, bus) => controller(vm, device, kind, *bus),
        DeviceKind::Keyboard => ("VirtualKeyboard", "Keyboard".to_owned(), None, None, Object::new("")),
        DeviceKind::Pointing => {
            let backing = Object::new("VirtualPointingDeviceDeviceBackingInfo")
                .set("deviceName", "")
                .set("useAutoDetect", false)
                .set("hostPointingDevice", "autodetect");
            ("VirtualPointingDevice", "Pointing device; Device".to_owned(), Some(backing), None, Object::new(""))
        }
        DeviceKind::Video => (
            "VirtualMachineVideoCard",
            "Video card".to_owned(),
            None,
            None,
            Object::new("").set("videoRamSizeInKB", Value::Long(4096)).set("numDisplays", 1).set("useAutoDetect", false),
        ),
        DeviceKind::Vmci => (
            "VirtualMachineVMCIDevice",
            "Device on the virtual machine PCI bus that provides support for the virtual machine communication interface".to_owned(),
            None,
            None,
            Object::new("").set("id", Value::Long(-1)).set("allowUnrestrictedCommunication", false),
        ),
        DeviceKind::Cdrom => {
            let backing = Object::new("VirtualCdromRemotePassthroughBackingInfo")
                .set("deviceName", "")
                .set("useAutoDetect", false)
                .set("exclusive", false);
            ("VirtualCdrom", "Remote device".to_owned(), Some(backing), Some(connect_info(false, false)), Object::new(""))
        }
        DeviceKind::Disk(disk) => {
            ("VirtualDisk", format!("{} KB", thousands(disk.capacity_kib)), Some(disk_backing(disk)), None, disk_fields(vm, device, disk))
        }
        DeviceKind::Nic(nic) => (
            nic.adapter,
            network_summary(model, nic),
            Some(nic_backing(model, nic)),
            Some(connect_info(nic.start_connected, nic.connected)),
            Object::new("")
                .set("addressType", &nic.address_type)
                .set("macAddress", &nic.mac)
                .set("wakeOnLanEnabled", true)
                .set(
                    "resourceAllocation",
                    Object::new("VirtualEthernetCardResourceAllocation")
                        .set("reservation", Value::Long(0))
                        .set("share", shares(50))
                        .set("limit", Value::Long(-1)),
                )
                .set("uptCompatibilityEnabled", nic.adapter == "VirtualVmxnet3"),
        ),
    };
    let info = Object::new("Description").set("label", &device.label).set("summary", summary);
    let base = Object::new(kind)
        .set("key", device.key)
        .set("deviceInfo", info)
        .opt("backing", backing)
        .opt("connectable", connectable)
        .opt("slotInfo", slot(device))
        .opt("controllerKey", device.controller)
        .opt("unitNumber", device.unit);
    Value::Object(base.extend(own))
}

type Parts = (&'static str, String, Option<Object>, Option<Object>, Object);

fn controller(vm: &Vm, device: &Device, kind: &'static str, bus: i32) -> Parts {
    let summary = CONTROLLERS.iter().find(|c| c.1 == kind).map_or_else(|| device.label.clone(), |c| c.3.to_owned());
    let attached = vm.devices.iter().filter(|d| d.controller == Some(device.key)).map(|d| Value::Int(d.key)).collect::<Vec<_>>();
    let mut own = Object::new("").set("busNumber", bus);
    if !attached.is_empty() {
        own = own.set("device", Value::List("Int", attached));
    }
    if device.label.starts_with("SCSI") {
        own = own.set("hotAddRemove", true).choice("sharedBus", "VirtualSCSISharing", "noSharing").set("scsiCtlrUnitNumber", 7);
    }
    (kind, summary, None, None, own)
}

fn slot(device: &Device) -> Option<Object> {
    let slot = match &device.kind {
        DeviceKind::Nic(_) => 160 + (device.key - 4000) * 32,
        DeviceKind::Controller(_, bus) if device.label.starts_with("SCSI") => 224 + bus * 32,
        _ => return None,
    };
    Some(Object::new("VirtualDevicePciBusSlotInfo").set("pciSlotNumber", slot))
}

fn connect_info(start: bool, connected: bool) -> Object {
    Object::new("VirtualDeviceConnectInfo")
        .choice("migrateConnect", "VirtualDeviceConnectInfoMigrateConnectOp", "unset")
        .set("startConnected", start)
        .set("allowGuestControl", true)
        .set("connected", connected)
        .set("status", "ok")
}

/// Shares of a resource at the normal level.
pub fn shares(shares: i32) -> Object {
    Object::new("SharesInfo").set("shares", shares).choice("level", "SharesLevel", "normal")
}

fn disk_fields(vm: &Vm, device: &Device, disk: &Disk) -> Object {
    let bus =
        device.controller.and_then(|key| vm.device(key)).map_or(0, |c| if let DeviceKind::Controller(_, bus) = c.kind { bus } else { 0 });
    Object::new("")
        .set("capacityInKB", long(disk.capacity_kib))
        .set("capacityInBytes", long(disk.capacity_kib * 1024))
        .set("shares", shares(1000))
        .set(
            "storageIOAllocation",
            Object::new("StorageIOAllocationInfo").set("limit", Value::Long(-1)).set("shares", shares(1000)).set("reservation", 0),
        )
        .set("diskObjectId", format!("{bus}-{}", device.key))
        .set("nativeUnmanagedLinkedClone", false)
}

fn disk_backing(disk: &Disk) -> Object {
    let backing = &disk.backing;
    if let Some((device, lun, mode)) = &backing.raw {
        return Object::new("VirtualDiskRawDiskMappingVer1BackingInfo")
            .set("fileName", &backing.file)
            .set("datastore", MoRef::new("Datastore", &backing.datastore))
            .set("lunUuid", lun)
            .set("deviceName", device)
            .set("compatibilityMode", mode)
            .set("diskMode", &backing.mode)
            .set("uuid", pretty(&backing.uuid))
            .set("sharing", &backing.sharing);
    }
    flat(backing)
}

fn flat(backing: &Backing) -> Object {
    Object::new("VirtualDiskFlatVer2BackingInfo")
        .set("fileName", &backing.file)
        .set("datastore", MoRef::new("Datastore", &backing.datastore))
        .set("backingObjectId", "")
        .set("diskMode", &backing.mode)
        .set("split", false)
        .set("writeThrough", false)
        .set("thinProvisioned", backing.thin)
        .set("eagerlyScrub", backing.eager)
        .set("uuid", pretty(&backing.uuid))
        .set("contentId", backing.uuid.replace('-', ""))
        .opt("changeId", backing.change_id.as_ref())
        .opt("parent", backing.parent.as_ref().map(|p| flat(p)))
        .set("digestEnabled", false)
        .set("sharing", &backing.sharing)
}

/// Upper case with the groups that vCenter shows for disks.
fn pretty(uuid: &str) -> String {
    uuid.to_uppercase()
}

fn network_summary(model: &Model, nic: &Nic) -> String {
    match model.entity(&nic.network).map(|e| (&e.kind, &e.name)) {
        Some((Kind::Portgroup { switch, .. }, _)) => format!("DVSwitch: {}", switch_uuid(model, switch)),
        Some((_, name)) => name.clone(),
        None => String::new(),
    }
}

fn switch_uuid(model: &Model, switch: &str) -> String {
    match model.entity(switch).map(|e| &e.kind) {
        Some(Kind::Switch { uuid }) => uuid.clone(),
        _ => String::new(),
    }
}

fn nic_backing(model: &Model, nic: &Nic) -> Object {
    match model.entity(&nic.network).map(|e| (&e.kind, &e.name)) {
        Some((Kind::Portgroup { switch, .. }, _)) => Object::new("VirtualEthernetCardDistributedVirtualPortBackingInfo").set(
            "port",
            Object::new("DistributedVirtualSwitchPortConnection")
                .set("switchUuid", switch_uuid(model, switch))
                .set("portgroupKey", &nic.network)
                .set("portKey", "12")
                .set("connectionCookie", 1_234_567),
        ),
        Some((_, name)) => Object::new("VirtualEthernetCardNetworkBackingInfo")
            .set("deviceName", name)
            .set("useAutoDetect", false)
            .set("network", MoRef::new("Network", &nic.network)),
        None => Object::new("VirtualEthernetCardNetworkBackingInfo").set("deviceName", "").set("useAutoDetect", false),
    }
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (at, c) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// All devices of a machine.
pub fn devices(model: &Model, vm: &Vm) -> Value {
    Value::List("VirtualDevice", vm.devices.iter().map(|d| device(model, vm, d)).collect())
}

/// The `hardware` of a configuration.
pub fn hardware(model: &Model, vm: &Vm) -> Object {
    Object::new("VirtualHardware")
        .set("numCPU", int(vm.cpus))
        .set("numCoresPerSocket", int(vm.cores_per_socket))
        .set("memoryMB", int(vm.memory_mib))
        .set("virtualICH7MPresent", false)
        .set("virtualSMCPresent", false)
        .set("device", devices(model, vm))
}
