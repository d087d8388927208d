//! A virtual machine as the API shows it.

use super::{device, guest, known};
use crate::vsphere::{
    ids::MoRef,
    model::{
        Entity, Model,
        vm::{Power, Snapshot, Vm},
    },
    value::{Object, Value, any, int, long, refs},
};

/// Properties beyond those of every managed entity.
pub const PROPERTIES: &[&str] = &[
    "capability",
    "config",
    "layout",
    "layoutEx",
    "storage",
    "environmentBrowser",
    "resourcePool",
    "parentVApp",
    "resourceConfig",
    "runtime",
    "guest",
    "summary",
    "datastore",
    "network",
    "snapshot",
    "rootSnapshot",
    "guestHeartbeatStatus",
];

/// A property.
pub fn property(model: &Model, entity: &Entity, vm: &Vm, name: &str) -> Option<Value> {
    Some(match name {
        "capability" => Value::Object(capability()),
        // A machine whose files cannot be read has no configuration to show.
        "config" => Value::Object(known(vm.connection == "connected").and(Some(config(model, &entity.name, vm)))?),
        "layout" => Value::Object(Object::new("VirtualMachineFileLayout")),
        "layoutEx" => Value::Object(layout_ex(vm)),
        "storage" => Value::Object(storage(vm)),
        "environmentBrowser" => MoRef::new("EnvironmentBrowser", format!("envbrowser-{}", entity.id.trim_start_matches("vm-"))).into(),
        "resourcePool" => MoRef::new("ResourcePool", vm.pool.as_ref()?).into(),
        "resourceConfig" => Value::Object(
            Object::new("ResourceConfigSpec")
                .set("entity", entity.moref())
                .set("cpuAllocation", allocation(0))
                .set("memoryAllocation", allocation(0)),
        ),
        "runtime" => Value::Object(runtime(vm)),
        "guest" => Value::Object(guest::guest(model, entity, vm)),
        "summary" => Value::Object(summary(model, entity, vm)),
        "datastore" => refs(vm.datastores().iter().map(|id| model.moref(id, "Datastore"))),
        "network" => refs(vm.networks().iter().map(|id| model.moref(id, "Network"))),
        "snapshot" => Value::Object(snapshots(entity, vm)?),
        "rootSnapshot" => refs(vm.snapshots.iter().filter(|s| s.parent.is_none()).map(|s| MoRef::new("VirtualMachineSnapshot", &s.id))),
        "guestHeartbeatStatus" => Value::Enum("ManagedEntityStatus", if vm.tools_running { "green" } else { "gray" }.to_owned()),
        _ => return None,
    })
}

fn capability() -> Object {
    Object::new("VirtualMachineCapability")
        .set("snapshotOperationsSupported", true)
        .set("multipleSnapshotsSupported", true)
        .set("snapshotConfigSupported", true)
        .set("poweredOffSnapshotsSupported", true)
        .set("memorySnapshotsSupported", true)
        .set("revertToSnapshotSupported", true)
        .set("quiescedSnapshotsSupported", true)
        .set("disableSnapshotsSupported", false)
        .set("lockSnapshotsSupported", false)
        .set("consolePreferencesSupported", false)
        .set("cpuFeatureMaskSupported", true)
        .set("s1AcpiManagementSupported", true)
        .set("settingScreenResolutionSupported", false)
        .set("toolsAutoUpdateSupported", false)
        .set("changeTrackingSupported", true)
}

fn allocation(reservation: i64) -> Object {
    Object::new("ResourceAllocationInfo")
        .set("reservation", reservation)
        .set("expandableReservation", false)
        .set("limit", Value::Long(-1))
        .set("shares", device::shares(1000))
}

/// `config` of a machine.
pub fn config(model: &Model, name: &str, vm: &Vm) -> Object {
    let extra = [
        ("nvram".to_owned(), format!("{name}.nvram")),
        ("svga.present".to_owned(), "TRUE".to_owned()),
        ("pciBridge0.present".to_owned(), "TRUE".to_owned()),
        ("disk.EnableUUID".to_owned(), "TRUE".to_owned()),
        ("ctkEnabled".to_owned(), if vm.change_tracking { "TRUE" } else { "FALSE" }.to_owned()),
    ];
    let extra = extra
        .into_iter()
        .filter(|(key, _)| !vm.extra_config.contains_key(key))
        .chain(vm.extra_config.iter().map(|(k, v)| (k.clone(), v.clone())))
        .map(|(key, value)| Object::new("OptionValue").set("key", key).set("value", any(value)));
    let url = |id: &String| {
        let name = model.entity(id).map(|d| d.name.clone()).unwrap_or_default();
        Object::new("VirtualMachineConfigInfoDatastoreUrlPair").set("name", name).set("url", super::datastore::url(id))
    };
    let home = vm.folder();
    Object::new("VirtualMachineConfigInfo")
        .set("changeVersion", vm.config_version.to_string())
        .set("modified", Value::Time("1970-01-01T00:00:00Z".to_owned()))
        .set("name", name)
        .set("guestFullName", &vm.guest_full_name)
        .set("version", "vmx-19")
        .set("uuid", &vm.uuid)
        .set("createDate", Value::Time(vm.created.clone()))
        .set("instanceUuid", &vm.instance_uuid)
        .set("npivTemporaryDisabled", true)
        .set("locationId", format!("564d{}", vm.uuid.get(4..).unwrap_or_default()))
        .set("template", vm.template)
        .set("guestId", &vm.guest_id)
        .set("alternateGuestName", "")
        .set("annotation", &vm.annotation)
        .set(
            "files",
            Object::new("VirtualMachineFileInfo")
                .set("vmPathName", &vm.vmx)
                .set("snapshotDirectory", home)
                .set("suspendDirectory", home)
                .set("logDirectory", home),
        )
        .set(
            "tools",
            Object::new("ToolsConfigInfo")
                .set("toolsVersion", 12389)
                .set("afterPowerOn", true)
                .set("afterResume", true)
                .set("beforeGuestStandby", true)
                .set("beforeGuestShutdown", true)
                .set("toolsUpgradePolicy", "manual")
                .set("syncTimeWithHostAllowed", true)
                .set("syncTimeWithHost", false),
        )
        .set(
            "flags",
            Object::new("VirtualMachineFlagInfo")
                .set("disableAcceleration", false)
                .set("enableLogging", true)
                .set("useToe", false)
                .set("runWithDebugInfo", false)
                .set("monitorType", "release")
                .set("htSharing", "any")
                .set("snapshotDisabled", false)
                .set("snapshotLocked", false)
                .set("diskUuidEnabled", true)
                .set("snapshotPowerOffBehavior", "powerOff")
                .set("recordReplayEnabled", false)
                .set("faultToleranceType", "unset")
                .set("vbsEnabled", false),
        )
        .set(
            "defaultPowerOps",
            Object::new("VirtualMachineDefaultPowerOpInfo")
                .set("powerOffType", "soft")
                .set("suspendType", "hard")
                .set("resetType", "soft")
                .set("defaultPowerOffType", "soft")
                .set("defaultSuspendType", "hard")
                .set("defaultResetType", "soft")
                .set("standbyAction", "checkpoint"),
        )
        .set("hardware", device::hardware(model, vm))
        .set("cpuAllocation", allocation(0))
        .set("memoryAllocation", allocation(0))
        .set("latencySensitivity", Object::new("LatencySensitivity").choice("level", "LatencySensitivitySensitivityLevel", "normal"))
        .set("memoryHotAddEnabled", false)
        .set("cpuHotAddEnabled", false)
        .set("cpuHotRemoveEnabled", false)
        .list("extraConfig", "OptionValue", extra)
        .list("datastoreUrl", "VirtualMachineConfigInfoDatastoreUrlPair", vm.datastores().iter().map(url))
        .set("swapPlacement", "inherit")
        .set(
            "bootOptions",
            Object::new("VirtualMachineBootOptions")
                .set("bootDelay", Value::Long(0))
                .set("enterBIOSSetup", false)
                .set("efiSecureBootEnabled", vm.secure_boot)
                .set("bootRetryEnabled", false)
                .set("bootRetryDelay", Value::Long(10_000))
                .set("networkBootProtocol", "ipv4"),
        )
        .set("vAssertsEnabled", false)
        .set("changeTrackingEnabled", vm.change_tracking)
        .set("firmware", &vm.firmware)
        .set("maxMksConnections", -1)
        .set("guestAutoLockEnabled", true)
        .set("memoryReservationLockedToMax", false)
        .set("nestedHVEnabled", false)
        .set("vPMCEnabled", false)
        .set("messageBusTunnelEnabled", false)
}

fn runtime(vm: &Vm) -> Object {
    let running = vm.power == Power::On;
    Object::new("VirtualMachineRuntimeInfo")
        .set("host", MoRef::new("HostSystem", &vm.host))
        .choice("connectionState", "VirtualMachineConnectionState", &vm.connection)
        .choice("powerState", "VirtualMachinePowerState", vm.power.name())
        .choice("faultToleranceState", "VirtualMachineFaultToleranceState", "notConfigured")
        .set("toolsInstallerMounted", false)
        .opt("bootTime", vm.boot_time.clone().map(Value::Time))
        .set("suspendInterval", Value::Long(0))
        .set("onlineStandby", false)
        .set("maxCpuUsage", int(vm.cpus * 2_400))
        .set("maxMemoryUsage", int(vm.memory_mib))
        .set("numMksConnections", 0)
        .choice("recordReplayState", "VirtualMachineRecordReplayState", "inactive")
        .set("cleanPowerOff", !running)
        .set("consolidationNeeded", false)
        .list("featureRequirement", "VirtualMachineFeatureRequirement", Vec::<Value>::new())
        .set("snapshotInBackground", false)
}

/// Bytes that the machine's disks take: half of a thin one is written.
pub fn committed(vm: &Vm) -> (i64, i64) {
    let mut committed: u64 = 0;
    let mut uncommitted: u64 = 0;
    for (_, disk) in vm.disks() {
        let bytes = disk.capacity_kib * 1024;
        committed += if disk.backing.thin { bytes / 2 } else { bytes };
        uncommitted += if disk.backing.thin { bytes - bytes / 2 } else { 0 };
    }
    (i64::try_from(committed).unwrap_or(i64::MAX), i64::try_from(uncommitted).unwrap_or(i64::MAX))
}

fn storage(vm: &Vm) -> Object {
    let usage = |id: String| {
        let bytes: u64 = vm.disks().filter(|(_, d)| d.backing.datastore == id).map(|(_, d)| d.capacity_kib * 512).sum();
        Object::new("VirtualMachineUsageOnDatastore")
            .set("datastore", MoRef::new("Datastore", id))
            .set("committed", long(bytes))
            .set("uncommitted", long(bytes))
            .set("unshared", long(bytes))
    };
    Object::new("VirtualMachineStorageInfo")
        .list("perDatastoreUsage", "VirtualMachineUsageOnDatastore", vm.datastores().into_iter().map(usage))
        .set("timestamp", Value::Time(vm.created.clone()))
}

fn layout_ex(vm: &Vm) -> Object {
    let mut files = vec![(vm.vmx.clone(), "config", 3_217_i64)];
    for file in vm.backing_files() {
        files.push((file.clone(), "diskDescriptor", 500));
        files.push((file.replace(".vmdk", "-flat.vmdk"), "diskExtent", 1 << 30));
    }
    let file = |(key, (name, kind, size)): (usize, &(String, &'static str, i64))| {
        Object::new("VirtualMachineFileLayoutExFileInfo")
            .set("key", int(key))
            .set("name", name)
            .set("type", *kind)
            .set("size", *size)
            .set("uniqueSize", *size)
            .set("accessible", true)
    };
    let entries: Vec<_> = files.iter().enumerate().map(file).collect();
    let key_of = |name: &str| files.iter().position(|f| f.0 == name);
    let disk = |(device, disk): (&crate::vsphere::model::device::Device, &crate::vsphere::model::device::Disk)| {
        let mut chain: Vec<_> = disk.backing.chain().collect();
        chain.reverse();
        let units = chain.iter().map(|backing| {
            let keys = [key_of(&backing.file), key_of(&backing.file.replace(".vmdk", "-flat.vmdk"))];
            Object::new("VirtualMachineFileLayoutExDiskUnit")
                .set("fileKey", Value::List("Int", keys.into_iter().flatten().map(int).collect()))
        });
        Object::new("VirtualMachineFileLayoutExDiskLayout").set("key", device.key).list(
            "chain",
            "VirtualMachineFileLayoutExDiskUnit",
            units,
        )
    };
    Object::new("VirtualMachineFileLayoutEx")
        .list("file", "VirtualMachineFileLayoutExFileInfo", entries)
        .list("disk", "VirtualMachineFileLayoutExDiskLayout", vm.disks().map(disk))
        .set("timestamp", Value::Time(vm.created.clone()))
}

fn summary(model: &Model, entity: &Entity, vm: &Vm) -> Object {
    let guest = guest::guest(model, entity, vm);
    let part = |name: &str| guest.get(name).cloned();
    let readable = vm.connection == "connected";
    let (committed, uncommitted) = committed(vm);
    let config = Object::new("VirtualMachineConfigSummary")
        .set("name", &entity.name)
        .set("template", vm.template)
        .set("vmPathName", &vm.vmx)
        .set("memorySizeMB", int(vm.memory_mib))
        .set("cpuReservation", 0)
        .set("memoryReservation", 0)
        .set("numCpu", int(vm.cpus))
        .set("numEthernetCards", int(vm.nics().count()))
        .set("numVirtualDisks", int(vm.disks().count()))
        .set("uuid", &vm.uuid)
        .set("instanceUuid", &vm.instance_uuid)
        .set("guestId", &vm.guest_id)
        .set("guestFullName", &vm.guest_full_name)
        .set("annotation", &vm.annotation)
        .set("installBootRequired", false)
        .set("numVmiopBackings", 0)
        .set("tpmPresent", false);
    Object::new("VirtualMachineSummary")
        .set("vm", entity.moref())
        .set("runtime", runtime(vm))
        .set(
            "guest",
            Object::new("VirtualMachineGuestSummary")
                .opt("guestId", part("guestId"))
                .opt("guestFullName", part("guestFullName"))
                .opt("toolsStatus", part("toolsStatus"))
                .opt("toolsVersionStatus", part("toolsVersionStatus"))
                .opt("toolsVersionStatus2", part("toolsVersionStatus2"))
                .opt("toolsRunningStatus", part("toolsRunningStatus"))
                .opt("hostName", part("hostName"))
                .opt("ipAddress", part("ipAddress")),
        )
        .set(
            "config",
            if readable {
                config
            } else {
                Object::new("VirtualMachineConfigSummary").set("name", &entity.name).set("template", vm.template)
            },
        )
        .set(
            "storage",
            Object::new("VirtualMachineStorageSummary")
                .set("committed", committed)
                .set("uncommitted", uncommitted)
                .set("unshared", committed)
                .set("timestamp", Value::Time(vm.created.clone())),
        )
        .set(
            "quickStats",
            Object::new("VirtualMachineQuickStats")
                .set("overallCpuUsage", if vm.power == Power::On { 48 } else { 0 })
                .set("guestMemoryUsage", if vm.power == Power::On { int(vm.memory_mib / 4) } else { int(0) })
                .choice("guestHeartbeatStatus", "ManagedEntityStatus", if vm.tools_running { "green" } else { "gray" })
                .set("balloonedMemory", 0)
                .set("uptimeSeconds", 0),
        )
        .choice("overallStatus", "ManagedEntityStatus", "green")
}

fn snapshots(entity: &Entity, vm: &Vm) -> Option<Object> {
    vm.snapshots.first()?;
    Some(
        Object::new("VirtualMachineSnapshotInfo")
            .opt("currentSnapshot", vm.current_snapshot.as_ref().map(|id| MoRef::new("VirtualMachineSnapshot", id)))
            .set("rootSnapshotList", tree(entity, vm, None)),
    )
}

fn tree(entity: &Entity, vm: &Vm, parent: Option<&str>) -> Value {
    let nodes = vm.snapshots.iter().filter(|s| s.parent.as_deref() == parent).map(|s| {
        let below = tree(entity, vm, Some(&s.id));
        let node = Object::new("VirtualMachineSnapshotTree")
            .set("snapshot", MoRef::new("VirtualMachineSnapshot", &s.id))
            .set("vm", entity.moref())
            .set("name", &s.name)
            .set("description", &s.description)
            .set("id", s.number)
            .set("createTime", Value::Time(s.created.clone()))
            .choice("state", "VirtualMachinePowerState", s.power.name())
            .set("quiesced", s.quiesced);
        let node = match &below {
            Value::List(_, items) if items.is_empty() => node,
            _ => node.set("childSnapshotList", below),
        };
        Value::Object(node.set("replaySupported", false))
    });
    Value::List("VirtualMachineSnapshotTree", nodes.collect())
}

/// Properties of a snapshot.
pub const SNAPSHOT_PROPERTIES: &[&str] = &["availableField", "value", "config", "childSnapshot", "vm"];

/// A property of a snapshot.
pub fn snapshot_property(model: &Model, entity: &Entity, vm: &Vm, snapshot: &Snapshot, name: &str) -> Option<Value> {
    Some(match name {
        "config" => {
            let mut then = vm.clone();
            then.devices.clone_from(&snapshot.devices);
            (then.cpus, then.cores_per_socket, then.memory_mib) = snapshot.sizes;
            Value::Object(config(model, &entity.name, &then))
        }
        "childSnapshot" => refs(
            vm.snapshots.iter().filter(|s| s.parent.as_ref() == Some(&snapshot.id)).map(|s| MoRef::new("VirtualMachineSnapshot", &s.id)),
        ),
        "vm" => entity.moref().into(),
        "availableField" => Value::List("CustomFieldDef", Vec::new()),
        "value" => Value::List("CustomFieldValue", Vec::new()),
        _ => return None,
    })
}
