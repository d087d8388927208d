//! What a clone is to look like, computed from its source. Pure.
//!
//! The order of elements is that of the schema: vCenter refuses another one.

use mtv_api::xml::Node;

use super::{
    describe::is_disk,
    disk_spec::{self, Empty},
    lookup::MARK,
    placement::Place,
    props::Object,
    slot::{self, Slots},
    wire::MoRef,
};
use crate::providers::{CloneRequest, NewDiskKind, ProviderError, ProviderResult};

/// A `VirtualMachineCloneSpec`. With `edit_nics` each network adapter gets a MAC address of its own even where the source's
/// was set by hand.
pub fn clone_spec(source: &Object, place: &Place, request: &CloneRequest, edit_nics: bool) -> ProviderResult<Node> {
    let devices: Vec<&Node> = source.props.get("config.hardware").map(|h| h.children_named("device").collect()).unwrap_or_default();
    let nics = devices.iter().filter(|d| edit_nics && d.child("macAddress").is_some()).map(|d| generated_mac(d));
    let own_disks = || devices.iter().filter(|d| is_disk(d));
    let layout = request.provisioning;
    let locators = layout.into_iter().flat_map(|layout| own_disks().map(move |d| disk_spec::locator(d, &place.datastore, layout)));
    let location = Node::new("location")
        .with(place.datastore.node("datastore"))
        .with(place.pool.node("pool"))
        .all(place.host.as_ref().map(|host| host.node("host")))
        .all(locators)
        .maybe("transform", layout.map(disk_spec::transform))
        .all(nics);
    let annotation = format!("Clone of {} made by mtv-test, run {}. It can be deleted once that run is over.", request.source, request.run);
    let (added, places) = added_disks(&devices, place, request)?;
    let mut config = Node::new("config").field("annotation", annotation).all(added).with(option(MARK, &request.run));
    if request.changed_block_tracking {
        config = config.with(option("ctkEnabled", "true"));
        let slots = own_disks().filter_map(|disk| slot::name(disk, &devices)).chain(places);
        config = config.all(slots.map(|slot| tracked(&slot))).field("changeTrackingEnabled", true);
    }
    Ok(Node::new("spec").with(location).field("template", false).with(config).field("powerOn", false))
}

/// The option that switches on changed block tracking of a disk.
pub fn tracked(slot: &str) -> Node {
    option(&format!("{slot}.ctkEnabled"), "true")
}

/// Changes that add empty disks, with the controllers that they need before them, and the places of the disks.
fn added_disks(devices: &[&Node], place: &Place, request: &CloneRequest) -> ProviderResult<(Vec<Node>, Vec<String>)> {
    let mut slots = Slots::of(devices);
    let (mut changes, mut places) = (Vec::new(), Vec::new());
    for (number, disk) in request.disks.iter().enumerate() {
        let NewDiskKind::Empty { bytes, provisioning, mode, controller } = disk.kind else { continue };
        let slot = slots.next(controller).ok_or_else(|| {
            ProviderError::unsupported(format!(
                "clone `{}`: its controllers have no room for {} more disks",
                request.source,
                request.disks.len()
            ))
        })?;
        let store = place.store(disk.datastore.as_deref())?;
        let file = match &disk.folder {
            Some(folder) => format!("[{}] {folder}/{}_disk_{number}.vmdk", store.name, request.name),
            None => format!("[{}]", store.name),
        };
        let spec = Empty { number, slot: &slot, datastore: &store.id, file: &file, bytes, provisioning, mode };
        changes.push(disk_spec::empty(&spec));
        places.push(slot.name);
    }
    Ok((slots.added.into_iter().chain(changes).collect(), places))
}

/// What is missing on a finished clone, as a `VirtualMachineConfigSpec`: some servers leave parts of a clone's `config` out.
pub fn repair(mark: Option<&str>, tracking: bool) -> Node {
    let spec = Node::new("spec").all(mark.map(|run| option(MARK, run)));
    if tracking { spec.field("changeTrackingEnabled", true) } else { spec }
}

fn option(key: &str, value: &str) -> Node {
    Node::new("extraConfig").typed("OptionValue").field("key", key).with(Node::text("value", value).typed("xsd:string"))
}

/// Edits an adapter so that vCenter gives it a new address. What an edit leaves out may be lost, so the rest is repeated.
fn generated_mac(device: &Node) -> Node {
    let copy = |name: &str| device.get(name).map(|text| Node::text(name, text));
    let connectable = device.child("connectable").map(|c| {
        let flags = ["startConnected", "allowGuestControl", "connected"];
        Node::new("connectable").all(flags.into_iter().filter_map(|flag| c.get(flag).map(|text| Node::text(flag, text))))
    });
    let edited = Node::new("device")
        .typed(device.xsi_type().unwrap_or("VirtualEthernetCard"))
        .all(copy("key"))
        .all(device.child("backing").and_then(backing))
        .all(connectable)
        .all(copy("controllerKey"))
        .all(copy("unitNumber"))
        .field("addressType", "generated");
    Node::new("deviceChange").typed("VirtualDeviceConfigSpec").field("operation", "edit").with(edited)
}

/// The three ways to be connected that vSphere has. The port key is left out: a port belongs to one adapter.
fn backing(of: &Node) -> Option<Node> {
    let kind = of.xsi_type()?;
    let node = Node::new("backing").typed(kind);
    let copy = |from: &Node, name: &str| from.get(name).map(|text| Node::text(name, text));
    match kind {
        "VirtualEthernetCardNetworkBackingInfo" => {
            Some(node.all(copy(of, "deviceName")).all(of.child("network").and_then(MoRef::read).map(|id| id.node("network"))))
        }
        "VirtualEthernetCardDistributedVirtualPortBackingInfo" => {
            let port = of.child("port")?;
            Some(node.with(Node::new("port").all(copy(port, "switchUuid")).all(copy(port, "portgroupKey"))))
        }
        "VirtualEthernetCardOpaqueNetworkBackingInfo" => Some(node.all(copy(of, "opaqueNetworkId")).all(copy(of, "opaqueNetworkType"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        config::scenario::{DiskController, DiskMode, DiskType},
        providers::{NewDisk, vsphere::placement::Store},
    };

    fn source() -> Object {
        let hardware = Node::parse(
            r#"<val xmlns:xsi="x">
                <device xsi:type="ParaVirtualSCSIController"><key>1000</key><busNumber>0</busNumber></device>
                <device xsi:type="VirtualAHCIController"><key>15000</key><busNumber>1</busNumber></device>
                <device xsi:type="VirtualDisk"><key>2000</key><controllerKey>1000</controllerKey><unitNumber>0</unitNumber></device>
                <device xsi:type="VirtualDisk"><key>2001</key><controllerKey>15000</controllerKey><unitNumber>3</unitNumber></device>
                <device xsi:type="VirtualDisk"><key>2002</key><controllerKey>77</controllerKey><unitNumber>3</unitNumber></device>
                <device xsi:type="VirtualVmxnet3"><key>4000</key>
                  <backing xsi:type="VirtualEthernetCardDistributedVirtualPortBackingInfo">
                    <port><switchUuid>u</switchUuid><portgroupKey>pg</portgroupKey><portKey>7</portKey></port></backing>
                  <connectable><startConnected>true</startConnected><connected>false</connected><status>ok</status></connectable>
                  <controllerKey>100</controllerKey><unitNumber>7</unitNumber><addressType>manual</addressType><macAddress>00:50:56:00:00:01</macAddress></device>
            </val>"#,
        )
        .unwrap();
        Object { id: MoRef::vm("vm-1"), props: BTreeMap::from([("config.hardware".to_owned(), hardware)]), missing: BTreeMap::new() }
    }

    fn place() -> Place {
        Place {
            folder: MoRef::new("Folder", "group-v1"),
            pool: MoRef::new("ResourcePool", "pool-1"),
            datastore: MoRef::new("Datastore", "datastore-1"),
            host: None,
            datacenter: None,
            stores: ["datastore-1", "datastore-2"]
                .map(|id| Store { id: MoRef::new("Datastore", id), name: format!("name of {id}"), free: None })
                .to_vec(),
        }
    }

    fn request(changed_block_tracking: bool) -> CloneRequest {
        CloneRequest { source: "web".into(), name: "web-1".into(), run: "r1".into(), changed_block_tracking, ..CloneRequest::default() }
    }

    fn options(spec: &Node) -> Vec<String> {
        let config = spec.child("config").unwrap();
        config.children_named("extraConfig").map(|o| format!("{}={}", o.get("key").unwrap(), o.get("value").unwrap())).collect()
    }

    #[test]
    fn a_cold_clone_is_marked_and_off() {
        let spec = clone_spec(&source(), &place(), &request(false), true).unwrap();
        assert_eq!(options(&spec), ["mtv-test.run=r1"]);
        assert_eq!(spec.get("powerOn"), Some("false"));
        assert_eq!(spec.at(&["config", "changeTrackingEnabled"]), None);
        assert!(spec.at(&["config", "annotation"]).unwrap().text.contains("run r1"));
        let order: Vec<_> = spec.children.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(order, ["location", "template", "config", "powerOn"]);
    }

    #[test]
    fn a_warm_clone_tracks_each_disk_that_can() {
        let spec = clone_spec(&source(), &place(), &request(true), true).unwrap();
        assert_eq!(options(&spec), ["mtv-test.run=r1", "ctkEnabled=true", "scsi0:0.ctkEnabled=true", "sata1:3.ctkEnabled=true"]);
        assert_eq!(spec.at(&["config", "changeTrackingEnabled"]).unwrap().text, "true");
    }

    #[test]
    fn adapters_keep_all_but_their_address() {
        let spec = clone_spec(&source(), &place(), &request(false), true).unwrap();
        let device = spec.at(&["location", "deviceChange", "device"]).unwrap();
        assert_eq!(
            device.to_string(),
            concat!(
                r#"<device xsi:type="VirtualVmxnet3"><key>4000</key>"#,
                r#"<backing xsi:type="VirtualEthernetCardDistributedVirtualPortBackingInfo">"#,
                "<port><switchUuid>u</switchUuid><portgroupKey>pg</portgroupKey></port></backing>",
                "<connectable><startConnected>true</startConnected><connected>false</connected></connectable>",
                "<controllerKey>100</controllerKey><unitNumber>7</unitNumber><addressType>generated</addressType></device>"
            )
        );
        let without = clone_spec(&source(), &place(), &request(false), false).unwrap();
        assert_eq!(without.at(&["location", "deviceChange"]), None);
    }

    #[test]
    fn added_disks_stand_where_there_is_room_and_are_tracked() {
        let disk = |datastore: Option<&str>, folder: Option<&str>| NewDisk {
            kind: NewDiskKind::Empty {
                bytes: 30 << 30,
                provisioning: DiskType::ThickLazy,
                mode: DiskMode::Persistent,
                controller: DiskController::Scsi,
            },
            datastore: datastore.map(str::to_owned),
            folder: folder.map(str::to_owned),
        };
        let disks = vec![disk(None, None), disk(Some("datastore-2"), Some("shared_disks"))];
        let wanted = CloneRequest { disks, provisioning: Some(DiskType::Thin), ..request(true) };
        let spec = clone_spec(&source(), &place(), &wanted, false).unwrap();
        let config = spec.child("config").unwrap();
        let order: Vec<_> = config.children.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(order[..4], ["annotation", "deviceChange", "deviceChange", "extraConfig"]);
        let files: Vec<_> =
            config.children_named("deviceChange").map(|c| c.at(&["device", "backing", "fileName"]).unwrap().text.clone()).collect();
        assert_eq!(files, ["[name of datastore-1]", "[name of datastore-2] shared_disks/web-1_disk_1.vmdk"]);
        assert!(options(&spec).contains(&"scsi0:2.ctkEnabled=true".to_owned()), "{:?}", options(&spec));
        let location = spec.child("location").unwrap();
        let order: Vec<_> = location.children.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(order, ["datastore", "pool", "disk", "disk", "disk", "transform"]);
        let unknown = CloneRequest { disks: vec![disk(Some("datastore-9"), None)], ..request(false) };
        let error = clone_spec(&source(), &place(), &unknown, false).unwrap_err().to_string();
        assert!(error.contains("`datastore-9`") && error.contains("datastore-2 (`name of datastore-2`)"), "{error}");
    }
}
