//! Hosts, clusters and resource pools as the API shows them.

use super::{datastore, device};
use crate::vsphere::{
    ids::MoRef,
    model::{Entity, Kind, Model, uuid},
    value::{Object, Value, int, refs},
};

/// Properties of hosts.
pub const HOST: &[&str] = &[
    "runtime",
    "summary",
    "hardware",
    "capability",
    "licensableResource",
    "configManager",
    "config",
    "vm",
    "datastore",
    "network",
    "datastoreBrowser",
    "systemResources",
    "answerFileValidationState",
    "remediationState",
    "precheckRemediationResult",
    "remediationResult",
    "complianceCheckState",
    "complianceCheckResult",
];
/// Properties of clusters.
pub const CLUSTER: &[&str] = &[
    "resourcePool",
    "host",
    "datastore",
    "network",
    "summary",
    "environmentBrowser",
    "configurationEx",
    "lifecycleManaged",
    "configuration",
    "recommendation",
    "drsRecommendation",
    "migrationHistory",
    "actionHistory",
    "drsFault",
    "hciConfig",
    "summaryEx",
];
/// Properties of resource pools.
pub const POOL: &[&str] = &["summary", "runtime", "owner", "resourcePool", "vm", "config", "namespace", "childConfiguration"];

/// Memory of a host: 256 GiB.
const MEMORY: i64 = 256 << 30;
/// Cores and their speed in MHz.
const CORES: (i16, i32) = (32, 2_400);

/// A property.
pub fn property(model: &Model, entity: &Entity, name: &str) -> Option<Value> {
    let datastores = || refs(model.of_type("Datastore").map(Entity::moref));
    let networks = || {
        let networks = model.entities.values().filter(|e| matches!(e.kind, Kind::Network | Kind::Portgroup { .. }));
        refs(networks.map(Entity::moref))
    };
    match (&entity.kind, name) {
        (Kind::Host | Kind::Cluster { .. }, "datastore") => Some(datastores()),
        (Kind::Host | Kind::Cluster { .. }, "network") => Some(networks()),
        (Kind::Host, _) => host(model, entity, name),
        (Kind::Cluster { pool }, _) => cluster(model, entity, pool, name),
        (Kind::Pool, _) => pool(model, entity, name),
        _ => None,
    }
}

fn host(model: &Model, entity: &Entity, name: &str) -> Option<Value> {
    let version = &model.world.datacenter.vsphere.version;
    Some(match name {
        "runtime" => Value::Object(runtime()),
        "vm" => refs(model.vms().filter(|(_, vm)| vm.host == entity.id).map(|(e, _)| e.moref())),
        "summary" => Value::Object(
            Object::new("HostListSummary")
                .set("host", entity.moref())
                .set("hardware", hardware_summary(entity))
                .set("runtime", runtime())
                .set(
                    "config",
                    Object::new("HostConfigSummary")
                        .set("name", &entity.name)
                        .set("port", 443)
                        .set("sslThumbprint", thumbprint(&entity.id))
                        .set("product", product(version))
                        .set("vmotionEnabled", true)
                        .set("faultToleranceEnabled", false),
                )
                .set("quickStats", Object::new("HostListSummaryQuickStats").set("overallCpuUsage", 480).set("overallMemoryUsage", 16_384))
                .choice("overallStatus", "ManagedEntityStatus", "green")
                .set("rebootRequired", false)
                .set("managementServerIp", "127.0.0.1"),
        ),
        "hardware" => Value::Object(
            Object::new("HostHardwareInfo")
                .set(
                    "systemInfo",
                    Object::new("HostSystemInfo").set("vendor", "Lab").set("model", "Simulated").set("uuid", uuid(0x44, &entity.id)),
                )
                .set(
                    "cpuInfo",
                    Object::new("HostCpuInfo")
                        .set("numCpuPackages", Value::Short(2))
                        .set("numCpuCores", Value::Short(CORES.0))
                        .set("numCpuThreads", Value::Short(CORES.0 * 2))
                        .set("hz", Value::Long(i64::from(CORES.1) * 1_000_000)),
                )
                .set("memorySize", Value::Long(MEMORY)),
        ),
        "capability" => Value::Object(
            Object::new("HostCapability")
                .set("recursiveResourcePoolsSupported", true)
                .set("storageVMotionSupported", true)
                .set("vmotionSupported", true)
                .set("vmotionWithStorageVMotionSupported", true),
        ),
        "configManager" => {
            let number = entity.id.trim_start_matches("host-");
            Value::Object(
                Object::new("HostConfigManager")
                    .set("datastoreSystem", MoRef::new("HostDatastoreSystem", format!("datastoreSystem-{number}")))
                    .set("networkSystem", MoRef::new("HostNetworkSystem", format!("networkSystem-{number}")))
                    .set("storageSystem", MoRef::new("HostStorageSystem", format!("storageSystem-{number}")))
                    .set("advancedOption", MoRef::new("OptionManager", format!("EsxHostAdvSettings-{number}"))),
            )
        }
        "config" => Value::Object(
            Object::new("HostConfigInfo")
                .set("host", entity.moref())
                .set("product", product(version))
                .set("network", network(model, entity))
                .set("storageDevice", storage(model, entity))
                .set(
                    "dateTimeInfo",
                    Object::new("HostDateTimeInfo").set(
                        "timeZone",
                        Object::new("HostDateTimeSystemTimeZone")
                            .set("key", "UTC")
                            .set("name", "UTC")
                            .set("description", "UTC")
                            .set("gmtOffset", 0),
                    ),
                ),
        ),
        "datastoreBrowser" => MoRef::new("HostDatastoreBrowser", format!("datastoreBrowser-{}", entity.id)).into(),
        _ => return None,
    })
}

fn runtime() -> Object {
    Object::new("HostRuntimeInfo")
        .choice("connectionState", "HostSystemConnectionState", "connected")
        .choice("powerState", "HostSystemPowerState", "poweredOn")
        .set("standbyMode", "none")
        .set("inMaintenanceMode", false)
        .set("inQuarantineMode", false)
        .set("bootTime", Value::Time("2026-01-01T00:00:00Z".to_owned()))
}

fn hardware_summary(entity: &Entity) -> Object {
    Object::new("HostHardwareSummary")
        .set("vendor", "Lab")
        .set("model", "Simulated")
        .set("uuid", uuid(0x44, &entity.id))
        .set("memorySize", Value::Long(MEMORY))
        .set("cpuModel", "Simulated CPU")
        .set("cpuMhz", CORES.1)
        .set("numCpuPkgs", Value::Short(2))
        .set("numCpuCores", Value::Short(CORES.0))
        .set("numCpuThreads", Value::Short(CORES.0 * 2))
        .set("numNics", 2)
        .set("numHBAs", 1)
}

/// A SHA-1 in the notation of fingerprints; made of the name, the hosts have no TLS server.
fn thumbprint(id: &str) -> String {
    let hex = format!("{}{}", uuid(0xa1, id), uuid(0xa2, id)).replace('-', "").to_uppercase();
    hex.as_bytes().chunks(2).take(20).map(|b| String::from_utf8_lossy(b).into_owned()).collect::<Vec<_>>().join(":")
}

/// `about` of a host, and its product as the vCenter shows it.
pub fn product(version: &str) -> Object {
    Object::new("AboutInfo")
        .set("name", "VMware ESXi")
        .set("fullName", format!("VMware ESXi {version} build-24022510"))
        .set("vendor", "VMware, Inc.")
        .set("version", version)
        .set("build", "24022510")
        .set("localeVersion", "INTL")
        .set("localeBuild", "000")
        .set("osType", "vmnix-x86")
        .set("productLineId", "embeddedEsx")
        .set("apiType", "HostAgent")
        .set("apiVersion", super::service::api_version(version))
        .set("licenseProductName", "VMware ESX Server")
        .set("licenseProductVersion", "8.0")
}

fn network(model: &Model, entity: &Entity) -> Object {
    let number: i32 = entity.id.trim_start_matches("host-").parse().unwrap_or(0);
    let address = format!("10.131.1.{number}");
    let ip = Object::new("HostIpConfig").set("dhcp", false).set("ipAddress", address).set("subnetMask", "255.255.0.0");
    let vnic = Object::new("HostVirtualNic")
        .set("device", "vmk0")
        .set("key", "key-vim.host.VirtualNic-vmk0")
        .set("portgroup", "Management Network")
        .set("spec", Object::new("HostVirtualNicSpec").set("ip", ip).set("mac", format!("00:50:56:60:00:{number:02x}")).set("mtu", 1500));
    let pnics = (0..2).map(|index| {
        Object::new("PhysicalNic")
            .set("key", format!("key-vim.host.PhysicalNic-vmnic{index}"))
            .set("device", format!("vmnic{index}"))
            .set("pci", format!("0000:00:0{}.0", 6 + index))
            .set("linkSpeed", Object::new("PhysicalNicLinkInfo").set("speedMb", 25_000).set("duplex", true))
            .set("mac", format!("00:50:56:6{}:00:{number:02x}", 1 + index))
    });
    let names: Vec<&str> = model.of_type("Network").map(|n| n.name.as_str()).chain(["Management Network"]).collect();
    let key = |name: &str| format!("key-vim.host.PortGroup-{name}");
    let groups = names.iter().map(|name| {
        let spec = Object::new("HostPortGroupSpec")
            .set("name", *name)
            .set("vlanId", 0)
            .set("vswitchName", "vSwitch0")
            .set("policy", Object::new("HostNetworkPolicy"));
        Object::new("HostPortGroup")
            .set("key", key(name))
            .set("vswitch", "key-vim.host.VirtualSwitch-vSwitch0")
            .set("computedPolicy", Object::new("HostNetworkPolicy"))
            .set("spec", spec)
    });
    let keys = names.iter().map(|name| Value::Str(key(name))).collect();
    let switch = Object::new("HostVirtualSwitch")
        .set("name", "vSwitch0")
        .set("key", "key-vim.host.VirtualSwitch-vSwitch0")
        .set("numPorts", 1536)
        .set("numPortsAvailable", 1530)
        .set("mtu", 1500)
        .set("portgroup", Value::List("String", keys))
        .set("pnic", Value::List("String", vec!["key-vim.host.PhysicalNic-vmnic0".into()]));
    Object::new("HostNetworkInfo")
        .list("vswitch", "HostVirtualSwitch", [switch])
        .list("portgroup", "HostPortGroup", groups)
        .list("pnic", "PhysicalNic", pnics)
        .list("vnic", "HostVirtualNic", [vnic])
}

/// Disks that every host sees: those of VMFS datastores, and the LUNs.
pub fn scsi_disks(model: &Model) -> Vec<(String, u64)> {
    let datastores = model.of_type("Datastore").filter(|d| !datastore::is_nfs(&d.name)).filter_map(|d| match d.kind {
        Kind::Datastore { capacity, .. } => Some((datastore::device(model, d), capacity)),
        _ => None,
    });
    let luns = model.world.datacenter.vsphere.luns.iter().map(|lun| (lun.name.clone(), lun.capacity_gib << 30));
    datastores.chain(luns).collect()
}

/// `ScsiLun.uuid`, of which raw device mappings repeat a part.
pub fn lun_uuid(name: &str) -> String {
    format!("0200000000{}4c554e202020", name.trim_start_matches("naa."))
}

/// The disk that a host boots from, and those that all hosts share.
fn storage(model: &Model, entity: &Entity) -> Object {
    let boot = uuid(0x45, &entity.id).replace('-', "");
    let boot = scsi_disk("mpx.vmhba0:C0:T0:L0", boot, 32 << 30, ("VMware  ", "Virtual disk    ")).set("localDisk", true);
    let shared =
        scsi_disks(model).into_iter().map(|(name, bytes)| scsi_disk(&name, lun_uuid(&name), bytes, ("LAB     ", "LUN             ")));
    let disks: Vec<Object> = std::iter::once(boot).chain(shared).collect();
    Object::new("HostStorageDeviceInfo").list("scsiLun", "ScsiLun", disks).set("softwareInternetScsiEnabled", true)
}

fn scsi_disk(name: &str, uuid: String, bytes: u64, (vendor, model): (&str, &str)) -> Object {
    let blocks = i64::try_from(bytes / 512).unwrap_or(i64::MAX);
    let capacity = Object::new("HostDiskDimensionsLba").set("blockSize", 512).set("block", Value::Long(blocks));
    Object::new("HostScsiDisk")
        .set("deviceName", format!("/vmfs/devices/disks/{name}"))
        .set("deviceType", "disk")
        .set("key", format!("key-vim.host.ScsiDisk-{uuid}"))
        .set("uuid", uuid)
        .set("canonicalName", name)
        .set("displayName", format!("{} Disk ({name})", vendor.trim()))
        .set("lunType", "disk")
        .set("vendor", vendor)
        .set("model", model)
        .set("operationalState", Value::List("String", vec!["ok".into()]))
        .set("capacity", capacity)
        .set("devicePath", format!("/vmfs/devices/disks/{name}"))
        .set("ssd", false)
}

fn cluster(model: &Model, entity: &Entity, pool: &str, name: &str) -> Option<Value> {
    let hosts = || model.children(&entity.id).filter(|e| matches!(e.kind, Kind::Host)).map(Entity::moref);
    let configuration = |kind| {
        Object::new(kind)
            .set("dasConfig", Object::new("ClusterDasConfigInfo").set("enabled", false).set("vmMonitoring", "vmMonitoringDisabled"))
            .set(
                "drsConfig",
                Object::new("ClusterDrsConfigInfo").set("enabled", false).choice("defaultVmBehavior", "DrsBehavior", "manual"),
            )
    };
    Some(match name {
        "resourcePool" => MoRef::new("ResourcePool", pool).into(),
        "host" => refs(hosts()),
        "summary" => Value::Object(compute_summary("ClusterComputeResourceSummary", hosts().count())),
        "environmentBrowser" => MoRef::new("EnvironmentBrowser", format!("envbrowser-{}", entity.id)).into(),
        "configurationEx" => Value::Object(configuration("ClusterConfigInfoEx")),
        "configuration" => Value::Object(configuration("ClusterConfigInfo")),
        "lifecycleManaged" => false.into(),
        _ => return None,
    })
}

/// Summary of a compute resource of so many hosts.
pub fn compute_summary(kind: &'static str, hosts: usize) -> Object {
    let long = i64::try_from(hosts).unwrap_or(0);
    let cores = i16::try_from(hosts).unwrap_or(0) * CORES.0;
    Object::new(kind)
        .set("totalCpu", i32::from(cores) * CORES.1)
        .set("totalMemory", Value::Long(MEMORY * long))
        .set("numCpuCores", Value::Short(cores))
        .set("numCpuThreads", Value::Short(cores * 2))
        .set("effectiveCpu", i32::from(cores) * CORES.1)
        .set("effectiveMemory", Value::Long((MEMORY >> 20) * long))
        .set("numHosts", int(hosts))
        .set("numEffectiveHosts", int(hosts))
        .choice("overallStatus", "ManagedEntityStatus", "green")
}

fn pool(model: &Model, entity: &Entity, name: &str) -> Option<Value> {
    let usage = || {
        Object::new("ResourcePoolResourceUsage")
            .set("reservationUsed", Value::Long(0))
            .set("reservationUsedForVm", Value::Long(0))
            .set("unreservedForPool", Value::Long(MEMORY))
            .set("unreservedForVm", Value::Long(MEMORY))
            .set("overallUsage", Value::Long(0))
            .set("maxUsage", Value::Long(MEMORY))
    };
    let runtime = || {
        Object::new("ResourcePoolRuntimeInfo").set("memory", usage()).set("cpu", usage()).choice(
            "overallStatus",
            "ManagedEntityStatus",
            "green",
        )
    };
    let allocation = || {
        Object::new("ResourceAllocationInfo")
            .set("reservation", Value::Long(0))
            .set("expandableReservation", true)
            .set("limit", Value::Long(-1))
            .set("shares", device::shares(4000))
    };
    let config = || {
        Object::new("ResourceConfigSpec")
            .set("entity", entity.moref())
            .set("cpuAllocation", allocation())
            .set("memoryAllocation", allocation())
    };
    Some(match name {
        "summary" => {
            Value::Object(Object::new("ResourcePoolSummary").set("name", &entity.name).set("config", config()).set("runtime", runtime()))
        }
        "runtime" => Value::Object(runtime()),
        "config" => Value::Object(config()),
        "owner" => model.ancestors(&entity.id).find(|e| matches!(e.kind, Kind::Cluster { .. }))?.moref().into(),
        "resourcePool" => refs(model.children(&entity.id).filter(|e| matches!(e.kind, Kind::Pool)).map(Entity::moref)),
        "vm" => refs(model.vms().filter(|(_, vm)| vm.pool.as_ref() == Some(&entity.id)).map(|(e, _)| e.moref())),
        _ => return None,
    })
}
