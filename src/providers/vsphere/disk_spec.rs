//! Disks that a clone gets beside those of its source, and the layout of those that it has. Pure.
//!
//! The order of elements is that of the schema: vCenter refuses another one.

use mtv_api::xml::Node;

use super::{slot::Slot, wire::MoRef};
use crate::config::scenario::{DiskMode, DiskType, RdmType};

/// Key of the first disk that is added; the server gives another one.
const FIRST_DISK: i32 = -101;

/// An empty disk that is to be made.
#[derive(Debug, Clone)]
pub struct Empty<'a> {
    /// Its number among the added ones, from zero.
    pub number: usize,
    /// Its place.
    pub slot: &'a Slot,
    /// Its datastore.
    pub datastore: &'a MoRef,
    /// `[datastore]`, or with a path where it is to lie elsewhere than beside the clone.
    pub file: &'a str,
    /// Size.
    pub bytes: u64,
    /// Layout.
    pub provisioning: DiskType,
    /// Mode.
    pub mode: DiskMode,
}

/// The change that makes an empty disk.
pub fn empty(disk: &Empty<'_>) -> Node {
    let backing = Node::new("backing")
        .typed("VirtualDiskFlatVer2BackingInfo")
        .field("fileName", disk.file)
        .with(disk.datastore.node("datastore"))
        .field("diskMode", mode(disk.mode))
        .field("thinProvisioned", disk.provisioning == DiskType::Thin)
        .field("eagerlyScrub", disk.provisioning == DiskType::ThickEager);
    change(disk.number, disk.slot, backing, Some(disk.bytes))
}

/// The change that maps a LUN.
pub fn raw(number: usize, slot: &Slot, datastore: &MoRef, file: &str, lun: &str, uuid: Option<&str>, compatibility: RdmType) -> Node {
    let (compatibility, mode) = match compatibility {
        RdmType::Virtual => ("virtualMode", "persistent"),
        // A device of its own takes no part in snapshots.
        RdmType::Physical => ("physicalMode", "independent_persistent"),
    };
    let backing = Node::new("backing")
        .typed("VirtualDiskRawDiskMappingVer1BackingInfo")
        .field("fileName", file)
        .with(datastore.node("datastore"))
        .all(uuid.map(|uuid| Node::text("lunUuid", uuid)))
        .field("deviceName", device_path(lun))
        .field("compatibilityMode", compatibility)
        .field("diskMode", mode);
    change(number, slot, backing, None)
}

/// Path of a LUN on its hosts.
pub fn device_path(lun: &str) -> String {
    format!("/vmfs/devices/disks/{lun}")
}

fn mode(mode: DiskMode) -> &'static str {
    match mode {
        DiskMode::Persistent => "persistent",
        DiskMode::IndependentPersistent => "independent_persistent",
        DiskMode::IndependentNonpersistent => "independent_nonpersistent",
    }
}

fn change(number: usize, slot: &Slot, backing: Node, bytes: Option<u64>) -> Node {
    let key = FIRST_DISK - i32::try_from(number).unwrap_or_default();
    let device = Node::new("device")
        .typed("VirtualDisk")
        .field("key", key)
        .with(backing)
        .field("controllerKey", slot.controller)
        .field("unitNumber", slot.unit)
        // A LUN brings its own size, but the field is not optional.
        .field("capacityInKB", bytes.unwrap_or_default() / 1024)
        .all(bytes.map(|bytes| Node::text("capacityInBytes", bytes.to_string())));
    Node::new("deviceChange").typed("VirtualDeviceConfigSpec").field("operation", "add").field("fileOperation", "create").with(device)
}

/// The `transform` of a relocation: thin or not. Thick is told apart disk by disk, with [`locator`].
pub fn transform(provisioning: DiskType) -> &'static str {
    if provisioning == DiskType::Thin { "sparse" } else { "flat" }
}

/// Where a disk of the source goes, with the layout that a transform cannot name.
pub fn locator(disk: &Node, datastore: &MoRef, provisioning: DiskType) -> Node {
    let mode = disk.at(&["backing", "diskMode"]).map_or("persistent", |mode| mode.text.as_str());
    let backing = Node::new("diskBackingInfo")
        .typed("VirtualDiskFlatVer2BackingInfo")
        .field("fileName", "")
        .field("diskMode", mode)
        .field("thinProvisioned", provisioning == DiskType::Thin)
        .field("eagerlyScrub", provisioning == DiskType::ThickEager);
    Node::new("disk").field("diskId", disk.get("key").unwrap_or_default()).with(datastore.node("datastore")).with(backing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_as_the_schema_wants_them() {
        let slot = Slot { controller: 1000, name: "scsi0:3".into(), unit: 3 };
        let datastore = MoRef::new("Datastore", "datastore-1");
        let disk = empty(&Empty {
            number: 1,
            slot: &slot,
            datastore: &datastore,
            file: "[ds] shared/clone_disk_3.vmdk",
            bytes: 30 << 30,
            provisioning: DiskType::ThickEager,
            mode: DiskMode::IndependentNonpersistent,
        });
        assert_eq!(
            disk.to_string(),
            concat!(
                r#"<deviceChange xsi:type="VirtualDeviceConfigSpec"><operation>add</operation><fileOperation>create</fileOperation>"#,
                r#"<device xsi:type="VirtualDisk"><key>-102</key><backing xsi:type="VirtualDiskFlatVer2BackingInfo">"#,
                r#"<fileName>[ds] shared/clone_disk_3.vmdk</fileName><datastore type="Datastore">datastore-1</datastore>"#,
                "<diskMode>independent_nonpersistent</diskMode><thinProvisioned>false</thinProvisioned><eagerlyScrub>true</eagerlyScrub></backing>",
                "<controllerKey>1000</controllerKey><unitNumber>3</unitNumber>",
                "<capacityInKB>31457280</capacityInKB><capacityInBytes>32212254720</capacityInBytes></device></deviceChange>"
            )
        );
        let lun = raw(0, &slot, &datastore, "[ds]", "naa.600a", Some("0200"), RdmType::Physical);
        assert_eq!(
            lun.at(&["device", "backing"]).unwrap().to_string(),
            concat!(
                r#"<backing xsi:type="VirtualDiskRawDiskMappingVer1BackingInfo"><fileName>[ds]</fileName>"#,
                r#"<datastore type="Datastore">datastore-1</datastore><lunUuid>0200</lunUuid>"#,
                "<deviceName>/vmfs/devices/disks/naa.600a</deviceName><compatibilityMode>physicalMode</compatibilityMode>",
                "<diskMode>independent_persistent</diskMode></backing>"
            )
        );
    }

    #[test]
    fn eager_disks_need_a_locator_each() {
        let disk =
            Node::parse(r#"<device xmlns:xsi="x"><key>2000</key><backing><diskMode>persistent</diskMode></backing></device>"#).unwrap();
        let locator = locator(&disk, &MoRef::new("Datastore", "d"), DiskType::ThickEager);
        assert_eq!(locator.get("diskId"), Some("2000"));
        assert_eq!(locator.at(&["diskBackingInfo", "eagerlyScrub"]).unwrap().text, "true");
        assert_eq!((transform(DiskType::Thin), transform(DiskType::ThickEager)), ("sparse", "flat"));
    }
}
