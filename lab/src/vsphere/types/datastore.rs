//! Datastores as the API shows them.

use crate::vsphere::{
    ids::MoRef,
    model::{Entity, Kind, Model},
    value::{Object, Value, long, refs},
};

/// Properties beyond those of every managed entity.
pub const PROPERTIES: &[&str] = &["info", "summary", "host", "vm", "browser", "capability", "iormConfiguration"];

/// Name of a datastore's volume on the hosts: the UUID of its file system, in the notation of VMFS.
pub fn volume(id: &str) -> String {
    let hex = crate::vsphere::model::uuid(0x5f, id).replace('-', "");
    format!("{}-{}-{}-{}", &hex[..8], &hex[8..16], &hex[16..20], &hex[20..32])
}

/// URL of a datastore.
pub fn url(id: &str) -> String {
    format!("ds:///vmfs/volumes/{}/", volume(id))
}

/// Server and path of an NFS datastore.
pub fn export(name: &str) -> (&'static str, String) {
    ("nfs.lab", format!("/exports/{name}"))
}

/// Bytes that machines' disks take.
fn used(model: &Model, id: &str) -> u64 {
    model
        .vms()
        .flat_map(|(_, vm)| vm.disks())
        .filter(|(_, disk)| disk.backing.datastore == id)
        .map(|(_, disk)| disk.capacity_kib * if disk.backing.thin { 512 } else { 1024 })
        .sum()
}

/// A property.
pub fn property(model: &Model, entity: &Entity, name: &str) -> Option<Value> {
    let Kind::Datastore { capacity, .. } = entity.kind else { return None };
    let free = capacity.saturating_sub(used(model, &entity.id));
    let nfs = is_nfs(&entity.name);
    Some(match name {
        "summary" => Value::Object(
            Object::new("DatastoreSummary")
                .set("datastore", entity.moref())
                .set("name", &entity.name)
                .set("url", url(&entity.id))
                .set("capacity", long(capacity))
                .set("freeSpace", long(free))
                .set("uncommitted", long(0_i64))
                .set("accessible", true)
                .set("multipleHostAccess", true)
                .set("type", if nfs { "NFS" } else { "VMFS" })
                .set("maintenanceMode", "normal"),
        ),
        "info" => Value::Object(info(model, entity, nfs, capacity, free)),
        "host" => {
            let mount = |host: &Entity| {
                let info = Object::new("HostMountInfo")
                    .set("path", url(&entity.id).trim_start_matches("ds://"))
                    .set("accessMode", "readWrite")
                    .set("mounted", true)
                    .set("accessible", true);
                Value::Object(Object::new("DatastoreHostMount").set("key", host.moref()).set("mountInfo", info))
            };
            Value::List("DatastoreHostMount", model.of_type("HostSystem").map(mount).collect())
        }
        "vm" => refs(model.vms().filter(|(_, vm)| vm.datastores().contains(&entity.id)).map(|(e, _)| e.moref())),
        "browser" => MoRef::new("HostDatastoreBrowser", format!("datastoreBrowser-{}", entity.id)).into(),
        "capability" => Value::Object(
            Object::new("DatastoreCapability")
                .set("directoryHierarchySupported", true)
                .set("rawDiskMappingsSupported", !nfs)
                .set("perFileThinProvisioningSupported", true)
                .set("storageIORMSupported", true)
                .set("nativeSnapshotSupported", false),
        ),
        "iormConfiguration" => Value::Object(
            Object::new("StorageIORMInfo").set("enabled", false).set("congestionThreshold", 30).set("statsCollectionEnabled", false),
        ),
        _ => return None,
    })
}

/// Whether a datastore is an NFS export. The name decides, as an administrator's naming would tell a person.
pub fn is_nfs(name: &str) -> bool {
    name.to_ascii_lowercase().contains("nfs")
}

/// Canonical name of the device that a VMFS datastore lies on: of its array, or a disk of the host's own.
pub fn device(model: &Model, entity: &Entity) -> String {
    let hex = crate::vsphere::model::uuid(0x38, &entity.id).replace('-', "");
    match model.world.datacenter.array_of_datastore(&entity.name) {
        Some(array) => format!("naa.{}{}", array.naa, hex.get(..32 - array.naa.len().min(32)).unwrap_or_default()),
        None => format!("t10.ATA_____LAB_DISK________________________{}", hex.get(..16).unwrap_or_default()),
    }
}

fn info(model: &Model, entity: &Entity, nfs: bool, capacity: u64, free: u64) -> Object {
    let base = Object::new(if nfs { "NasDatastoreInfo" } else { "VmfsDatastoreInfo" })
        .set("name", &entity.name)
        .set("url", url(&entity.id))
        .set("freeSpace", long(free))
        .set("maxFileSize", Value::Long(70_368_744_177_664))
        .set("timestamp", Value::Time(Model::now()));
    if nfs {
        return base.set(
            "nas",
            Object::new("HostNasVolume")
                .set("type", "NFS")
                .set("name", &entity.name)
                .set("capacity", long(capacity))
                .set("remoteHost", export(&entity.name).0)
                .set("remotePath", export(&entity.name).1)
                .set("userName", ""),
        );
    }
    let disk = device(model, entity);
    base.set(
        "vmfs",
        Object::new("HostVmfsVolume")
            .set("type", "VMFS")
            .set("name", &entity.name)
            .set("capacity", long(capacity))
            .set("blockSizeMb", 1)
            .set("maxBlocks", 63_963_136)
            .set("majorVersion", 6)
            .set("version", "6.82")
            .set("uuid", volume(&entity.id))
            .list("extent", "HostScsiDiskPartition", [Object::new("HostScsiDiskPartition").set("diskName", disk).set("partition", 1)])
            .set("vmfsUpgradable", false),
    )
    .set("maxPhysicalRDMFileSize", Value::Long(70_368_744_177_664))
    .set("maxVirtualRDMFileSize", Value::Long(68_169_720_922_112))
}
