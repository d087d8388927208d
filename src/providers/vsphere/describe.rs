//! From a VM's properties to its description. One collection brings VM, networks and datastores; the rest is pure.

use std::{collections::BTreeMap, net::IpAddr};

use mtv_api::{forklift::SourceRef, xml::Node};

use super::{
    collector::retrieve,
    health,
    props::{Object, along, filter, properties, start},
    session::Session,
    slot,
    wire::MoRef,
};
use crate::{
    config::scenario::{DiskMode, DiskType, RdmType},
    providers::{Boot, Disk, GuestAddress, Nic, Power, ProviderError, ProviderResult, Snapshot, VmDescription},
};

/// Everything that a description is made of.
const VM: [&str; 14] = [
    "name",
    "config.uuid",
    "config.guestId",
    "config.hardware",
    "config.firmware",
    "config.bootOptions",
    "runtime.powerState",
    "runtime.connectionState",
    "guest.net",
    "guest.ipStack",
    "guest.toolsRunningStatus",
    "guest.toolsStatus",
    "snapshot.rootSnapshotList",
    "datastore",
];

/// Describes a VM.
pub async fn vm(session: &Session, id: &str) -> ProviderResult<VmDescription> {
    let vm = MoRef::vm(id);
    let doing = format!("describe {id}");
    let objects = retrieve(session, |_| {
        let further = || [along("VirtualMachine", "network", []), along("VirtualMachine", "datastore", [])];
        filter(
            "specSet",
            [
                properties("VirtualMachine", &VM),
                properties("Network", &["name"]),
                properties("DistributedVirtualPortgroup", &["name", "key"]),
                properties("Datastore", &["name", "summary.accessible"]),
            ],
            [start(&vm, false, further())],
        )
    })
    .await
    .map_err(|error| error.explained(&doing))?;
    let object =
        objects.iter().find(|o| o.id == vm).ok_or_else(|| ProviderError::not_found(format!("{doing}: {id} does not exist (any more)")))?;
    health::check(object, &objects)?;
    Ok(describe(object, &objects))
}

/// The description, from the VM and what stands around it.
fn describe(vm: &Object, around: &[Object]) -> VmDescription {
    let empty = Node::default();
    let hardware = vm.props.get("config.hardware").unwrap_or(&empty);
    let number = |name: &str| hardware.get(name).and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or_default();
    let cpus = number("numCPU");
    // Unset on old virtual hardware, and "0: automatic" on vSphere 8: one core per socket is what the guest sees.
    let cores_per_socket = number("numCoresPerSocket").max(1);
    let devices: Vec<&Node> = hardware.children_named("device").collect();
    let names: BTreeMap<&MoRef, &str> = around.iter().filter_map(|o| Some((&o.id, o.text("name")?))).collect();
    let guest_nics = vm.array("guest.net");
    let mut snapshots = Vec::new();
    collect_snapshots(vm.array("snapshot.rootSnapshotList"), &mut snapshots);
    snapshots.sort_by_key(|snapshot| (instant(snapshot), snapshot.id));
    VmDescription {
        id: vm.id.value.clone(),
        name: vm.text("name").unwrap_or_default().to_owned(),
        namespace: None,
        serial: None,
        boot: boot(vm, &devices),
        uuid: vm.text("config.uuid").unwrap_or_default().to_lowercase(),
        power: power(vm.text("runtime.powerState")),
        sockets: cpus / cores_per_socket,
        cores_per_socket,
        memory_mib: hardware.get("memoryMB").and_then(|text| text.trim().parse().ok()).unwrap_or_default(),
        nics: devices
            .iter()
            .filter(|d| d.child("macAddress").is_some())
            .map(|d| nic(d, around, &names, guest_nics, vm.array("guest.ipStack")))
            .collect(),
        disks: devices.iter().filter(|d| is_disk(d)).map(|d| disk(d, &devices, &names)).collect(),
        snapshots,
        tools_running: tools_run(vm.text("guest.toolsRunningStatus"), vm.text("guest.toolsStatus")),
        windows: vm.text("config.guestId").is_some_and(|id| id.starts_with("win")),
    }
}

/// Firmware, secure boot and TPM; simulators of a vCenter may not tell.
fn boot(vm: &Object, devices: &[&Node]) -> Option<Boot> {
    let efi = vm.text("config.firmware")? == "efi";
    let secure = vm.props.get("config.bootOptions").and_then(|options| options.get("efiSecureBootEnabled")) == Some("true");
    let tpm = devices.iter().any(|device| device.xsi_type() == Some("VirtualTPM"));
    Some(Boot { efi, secure: efi && secure, tpm })
}

/// `VirtualMachinePowerState` in the tool's terms.
pub fn power(state: Option<&str>) -> Power {
    match state {
        Some("poweredOn") => Power::On,
        Some("poweredOff") => Power::Off,
        _ => Power::Other,
    }
}

/// Whether tools run. `toolsStatus` is the older of the two properties and the only one of old or simple servers.
pub fn tools_run(running: Option<&str>, status: Option<&str>) -> bool {
    match running {
        Some(running) => running == "guestToolsRunning",
        None => matches!(status, Some("toolsOk" | "toolsOld")),
    }
}

pub fn is_disk(device: &Node) -> bool {
    device.xsi_type() == Some("VirtualDisk")
}

fn label(device: &Node) -> String {
    device.at(&["deviceInfo", "label"]).map(|l| l.text.clone()).unwrap_or_default()
}

fn nic(device: &Node, around: &[Object], names: &BTreeMap<&MoRef, &str>, guest: &[Node], stacks: &[Node]) -> Nic {
    let backing = device.child("backing").cloned().unwrap_or_default();
    let port_group = backing.at(&["port", "portgroupKey"]).map(|key| key.text.trim());
    let reference = match port_group {
        // A port group is named by its key, which is not always its id.
        Some(key) => around
            .iter()
            .find(|o| o.id.kind == "DistributedVirtualPortgroup" && (o.text("key") == Some(key) || o.id.value == key))
            .map(|o| o.id.clone()),
        None => backing.child("network").and_then(MoRef::read),
    };
    let network = reference.as_ref().and_then(|id| names.get(id)).map(|name| (*name).to_owned());
    let fallback = || backing.get("deviceName").or(port_group).or(backing.get("opaqueNetworkId")).unwrap_or("unknown").to_owned();
    let mac = device.get("macAddress").unwrap_or_default().to_lowercase();
    let mine: Vec<&Node> = guest.iter().filter(|g| g.get("macAddress").is_some_and(|m| m.eq_ignore_ascii_case(&mac))).collect();
    Nic {
        name: label(device),
        network: network.unwrap_or_else(fallback),
        network_id: reference.map(|id| id.value).or_else(|| port_group.map(str::to_owned)).unwrap_or_default(),
        addresses: mine.iter().flat_map(|guest| addresses(guest)).collect(),
        configured: mine.iter().flat_map(|guest| configured(guest, &mac)).collect(),
        gateway: gateway(device, stacks),
        guest_name: None,
        mac,
        network_ref: None,
    }
}

/// A guest adapter's addresses that reach beyond its link, IPv4 first, each once.
fn addresses(guest: &Node) -> Vec<String> {
    let configured = guest.child("ipConfig").into_iter().flat_map(|c| c.children_named("ipAddress")).filter_map(|a| a.get("ipAddress"));
    let plain = guest.children_named("ipAddress").map(|a| a.text.as_str());
    let mut all: Vec<IpAddr> = configured.chain(plain).filter_map(|text| text.trim().parse().ok()).filter(|ip| !link_local(ip)).collect();
    all.sort_by_key(|ip| (ip.is_ipv6(), *ip));
    all.dedup();
    all.iter().map(ToString::to_string).collect()
}

/// The same with prefix and origin. Tools of Linux guests often leave the origin out.
fn configured(guest: &Node, mac: &str) -> Vec<GuestAddress> {
    let all = guest.child("ipConfig").into_iter().flat_map(|c| c.children_named("ipAddress"));
    let read = |address: &Node| {
        let ip = address.get("ipAddress")?.trim().parse().ok()?;
        Some(GuestAddress {
            ip,
            prefix: address.get("prefixLength").and_then(|p| p.trim().parse().ok()),
            fixed: match address.get("origin") {
                Some("manual") => Some(true),
                Some("dhcp" | "linklayer" | "random") => Some(false),
                // Somebody gave it for some time, or the adapter made it of its own MAC address.
                _ if address.child("lifetime").is_some() || is_autoconfigured(&ip, mac) => Some(false),
                _ => None,
            },
        })
    };
    all.filter_map(read).filter(|address| !link_local(&address.ip)).collect()
}

/// Whether an address is one that an adapter makes of a router's prefix and its MAC address (SLAAC with EUI-64, RFC 4291 appendix A).
fn is_autoconfigured(ip: &IpAddr, mac: &str) -> bool {
    let IpAddr::V6(ip) = ip else { return false };
    let bytes: Vec<u8> = mac.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    let Ok(mac) = <[u8; 6]>::try_from(bytes) else { return false };
    ip.octets()[8..] == [mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]]
}

/// Key of a VM's first network adapter: tools number adapters from there.
const FIRST_NIC: i64 = 4000;

/// The default gateway by way of an adapter.
fn gateway(device: &Node, stacks: &[Node]) -> Option<IpAddr> {
    let key: i64 = device.get("key")?.trim().parse().ok()?;
    let number = (key - FIRST_NIC).to_string();
    let routes = stacks.iter().filter_map(|stack| stack.child("ipRouteConfig")).flat_map(|config| config.children_named("ipRoute"));
    let default = |route: &&Node| {
        route.get("network") == Some("0.0.0.0") && route.at(&["gateway", "device"]).is_some_and(|d| d.text.trim() == number)
    };
    routes.filter(default).find_map(|route| route.at(&["gateway", "ipAddress"])?.text.trim().parse().ok())
}

fn link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Whether the guest reports an address that reaches beyond its link.
pub fn has_address(guest_net: Option<&Node>) -> bool {
    guest_net.is_some_and(|net| net.children.iter().any(|guest| !addresses(guest).is_empty()))
}

fn disk(device: &Node, devices: &[&Node], names: &BTreeMap<&MoRef, &str>) -> Disk {
    let number = |name: &str| device.get(name).and_then(|text| text.trim().parse::<u64>().ok());
    let backing = device.child("backing").cloned().unwrap_or_default();
    // Below all snapshots stands the file that the disk was made with.
    let base = std::iter::successors(Some(&backing), |b| b.child("parent")).last().unwrap_or(&backing);
    let datastore = base.child("datastore").or(backing.child("datastore")).and_then(MoRef::read);
    // `[datastore] folder/file.vmdk`
    let in_file = || backing.get("fileName").and_then(|file| Some(file.strip_prefix('[')?.split_once(']')?.0.to_owned()));
    let signed = |name: &str| device.get(name).and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    Disk {
        name: label(device),
        bytes: number("capacityInBytes").or_else(|| Some(number("capacityInKB")? * 1024)).unwrap_or_default(),
        storage: datastore.as_ref().and_then(|id| names.get(id)).map(|name| (*name).to_owned()).or_else(in_file).unwrap_or_default(),
        key: device.get("key").and_then(|key| key.trim().parse().ok()).unwrap_or_default(),
        // By id: names are unique within one data centre only, and Forklift refuses an ambiguous one. An ESXi
        // host's id of an NFS export holds its path; the inventory has a hash in its place, and on one host
        // the name is unique.
        storage_ref: datastore.as_ref().filter(|id| !id.value.contains('/')).map(|id| SourceRef::by_id(&id.value)),
        storage_id: datastore.map(|id| id.value).unwrap_or_default(),
        file: base.get("fileName").unwrap_or_default().to_owned(),
        provisioning: provisioning(base),
        mode: match backing.get("diskMode") {
            Some("persistent") => Some(DiskMode::Persistent),
            Some("independent_persistent") => Some(DiskMode::IndependentPersistent),
            Some("independent_nonpersistent") => Some(DiskMode::IndependentNonpersistent),
            _ => None,
        },
        rdm: match base.get("compatibilityMode") {
            Some("physicalMode") => Some(RdmType::Physical),
            Some(_) => Some(RdmType::Virtual),
            None => None,
        },
        bus: slot::bus(device, devices).unwrap_or_default().to_owned(),
        on_snapshot: backing.child("parent").is_some(),
        controller: signed("controllerKey"),
        unit: signed("unitNumber"),
    }
}

/// Layout of a backing; what it leaves unset is false. Only files that vSphere can lay out in these ways say so.
fn provisioning(backing: &Node) -> Option<DiskType> {
    let flag = |name: &str| backing.get(name) == Some("true");
    match backing.xsi_type() {
        Some("VirtualDiskFlatVer2BackingInfo") if flag("thinProvisioned") => Some(DiskType::Thin),
        Some("VirtualDiskFlatVer2BackingInfo") if flag("eagerlyScrub") => Some(DiskType::ThickEager),
        Some("VirtualDiskFlatVer2BackingInfo") => Some(DiskType::ThickLazy),
        _ => None,
    }
}

/// All branches, without recursion into the server's hands: chains can be 32 deep, trees as wide as users like.
fn collect_snapshots(roots: &[Node], out: &mut Vec<Snapshot>) {
    let mut open: Vec<&Node> = roots.iter().collect();
    while let Some(node) = open.pop() {
        let text = |name: &str| node.get(name).unwrap_or_default().trim().to_owned();
        out.push(Snapshot {
            id: text("id").parse().unwrap_or_default(),
            name: text("name"),
            created: text("createTime"),
            state: text("state"),
        });
        open.extend(node.children_named("childSnapshotList"));
    }
}

fn instant(snapshot: &Snapshot) -> Option<jiff::Timestamp> {
    snapshot.created.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autoconfigured_addresses_are_known_by_their_mac() {
        let mac = "00:50:56:80:00:01";
        for (ip, expected) in
            [("2001:db8:5:7:250:56ff:fe80:1", true), ("2001:db8:5:7:250:56ff:fe80:2", false), ("2001:db8::7", false), ("10.0.0.7", false)]
        {
            assert_eq!(is_autoconfigured(&ip.parse().unwrap(), mac), expected, "{ip}");
        }
        assert!(!is_autoconfigured(&"2001:db8::7".parse().unwrap(), "no mac"));
        let guest = Node::parse(
            "<g><ipConfig><ipAddress><ipAddress>2001:db8:5:7:250:56ff:fe80:1</ipAddress><prefixLength>64</prefixLength></ipAddress>
             <ipAddress><ipAddress>10.0.0.7</ipAddress><lifetime>2026-01-01T00:00:00Z</lifetime></ipAddress>
             <ipAddress><ipAddress>10.0.0.8</ipAddress></ipAddress></ipConfig></g>",
        )
        .unwrap();
        assert_eq!(configured(&guest, mac).iter().map(|a| a.fixed).collect::<Vec<_>>(), [Some(false), Some(false), None]);
    }

    fn object(kind: &str, id: &str, props: &str) -> Object {
        let text = format!(r#"<objects xmlns:xsi="x"><obj type="{kind}">{id}</obj>{props}</objects>"#);
        Object::read(&Node::parse(&text).unwrap()).unwrap()
    }

    fn prop(name: &str, val: &str) -> String {
        format!("<propSet><name>{name}</name><val>{val}</val></propSet>")
    }

    fn hardware(devices: &str) -> String {
        prop("config.hardware", &format!("<numCPU>8</numCPU><numCoresPerSocket>4</numCoresPerSocket><memoryMB>2048</memoryMB>{devices}"))
    }

    #[test]
    fn a_vm_is_described() {
        let props = [
            prop("name", "web"),
            prop("config.uuid", "4234ABCD-0000-1111-2222-333344445555"),
            prop("config.guestId", "rhel9_64Guest"),
            prop("config.firmware", "efi"),
            prop("config.bootOptions", "<efiSecureBootEnabled>true</efiSecureBootEnabled>"),
            prop("runtime.powerState", "poweredOn"),
            prop("guest.toolsRunningStatus", "guestToolsRunning"),
            prop(
                "guest.net",
                "<GuestNicInfo><macAddress>00:50:56:AA:00:01</macAddress>
                   <ipAddress>fe80::1</ipAddress><ipAddress>2001:db8::7</ipAddress><ipAddress>10.0.0.7</ipAddress><ipAddress>169.254.1.1</ipAddress>
                   <ipConfig><ipAddress><ipAddress>10.0.0.7</ipAddress><prefixLength>24</prefixLength></ipAddress>
                     <ipAddress><ipAddress>fe80::1</ipAddress><prefixLength>64</prefixLength><origin>linklayer</origin></ipAddress>
                     <ipAddress><ipAddress>10.0.0.8</ipAddress><prefixLength>16</prefixLength><origin>manual</origin></ipAddress></ipConfig></GuestNicInfo>",
            ),
            prop(
                "guest.ipStack",
                "<GuestStackInfo><ipRouteConfig>
                   <ipRoute><network>10.0.0.0</network><prefixLength>24</prefixLength><gateway><device>0</device></gateway></ipRoute>
                   <ipRoute><network>0.0.0.0</network><prefixLength>0</prefixLength>
                     <gateway><ipAddress>10.0.0.1</ipAddress><device>0</device></gateway></ipRoute></ipRouteConfig></GuestStackInfo>",
            ),
            hardware(
                r#"<device xsi:type="VirtualPCIController"><key>100</key></device>
                   <device xsi:type="VirtualVmxnet3"><key>4000</key><deviceInfo><label>Network adapter 1</label></deviceInfo>
                     <backing xsi:type="VirtualEthernetCardNetworkBackingInfo"><deviceName>VM Network</deviceName><network type="Network">network-7</network></backing>
                     <macAddress>00:50:56:AA:00:01</macAddress></device>
                   <device xsi:type="VirtualE1000e"><key>4001</key><deviceInfo><label>Network adapter 2</label></deviceInfo>
                     <backing xsi:type="VirtualEthernetCardDistributedVirtualPortBackingInfo"><port><portgroupKey>key-9</portgroupKey></port></backing>
                     <macAddress>00:50:56:aa:00:02</macAddress></device>
                   <device xsi:type="VirtualE1000"><key>4002</key><backing><port><portgroupKey>lost</portgroupKey></port></backing><macAddress>x</macAddress></device>
                   <device xsi:type="VirtualDisk"><key>2000</key><deviceInfo><label>Hard disk 1</label></deviceInfo>
                     <backing><fileName>[elsewhere] web/web.vmdk</fileName><datastore type="Datastore">datastore-1</datastore></backing>
                     <capacityInKB>1024</capacityInKB><capacityInBytes>1048576</capacityInBytes></device>
                   <device xsi:type="VirtualDisk"><key>2001</key><backing><fileName>[other] web/b.vmdk</fileName></backing><capacityInKB>2</capacityInKB></device>"#,
            ),
        ]
        .concat();
        let vm = object("VirtualMachine", "vm-1", &props);
        let around = [
            object("Network", "network-7", &prop("name", "VM Network")),
            object("DistributedVirtualPortgroup", "dvportgroup-3", &(prop("name", "blue") + &prop("key", "key-9"))),
            object("Datastore", "datastore-1", &prop("name", "nfs")),
        ];
        let got = describe(&vm, &around);
        assert_eq!(
            (got.id.as_str(), got.name.as_str(), got.power, got.windows, got.tools_running),
            ("vm-1", "web", Power::On, false, true)
        );
        assert_eq!(got.uuid, "4234abcd-0000-1111-2222-333344445555");
        assert_eq!(got.boot, Some(Boot { efi: true, secure: true, tpm: false }));
        assert_eq!((got.sockets, got.cores_per_socket, got.memory_mib), (2, 4, 2048));
        let nics: Vec<_> = got.nics.iter().map(|n| (n.name.as_str(), n.mac.as_str(), n.network.as_str(), n.network_id.as_str())).collect();
        assert_eq!(
            nics,
            [
                ("Network adapter 1", "00:50:56:aa:00:01", "VM Network", "network-7"),
                ("Network adapter 2", "00:50:56:aa:00:02", "blue", "dvportgroup-3"),
                ("", "x", "lost", "lost"),
            ]
        );
        assert_eq!(got.nics[0].addresses, ["10.0.0.7", "10.0.0.8", "2001:db8::7"]);
        let configured: Vec<_> = got.nics[0].configured.iter().map(|a| (a.ip.to_string(), a.prefix, a.fixed)).collect();
        assert_eq!(configured, [("10.0.0.7".to_owned(), Some(24), None), ("10.0.0.8".to_owned(), Some(16), Some(true))]);
        assert_eq!((got.nics[0].gateway, got.nics[1].gateway), ("10.0.0.1".parse().ok(), None));
        let disks: Vec<_> = got.disks.iter().map(|d| (d.name.as_str(), d.bytes, d.storage.as_str(), d.key)).collect();
        assert_eq!(disks, [("Hard disk 1", 1_048_576, "nfs", 2000), ("", 2048, "other", 2001)]);
    }

    #[test]
    fn snapshots_of_all_branches_oldest_first() {
        let snap = |id: u8, minute: u8, below: &str| {
            format!("<id>{id}</id><name>s{id}</name><state>poweredOff</state><createTime>2026-01-01T00:0{minute}:00Z</createTime>{below}")
        };
        let tree = format!(
            "<VirtualMachineSnapshotTree>{}</VirtualMachineSnapshotTree><VirtualMachineSnapshotTree>{}</VirtualMachineSnapshotTree>",
            snap(
                1,
                1,
                &format!(
                    "<childSnapshotList>{}</childSnapshotList><childSnapshotList>{}</childSnapshotList>",
                    snap(4, 4, ""),
                    snap(2, 2, "")
                )
            ),
            snap(3, 3, "")
        );
        let vm = object("VirtualMachine", "vm-1", &prop("snapshot.rootSnapshotList", &tree));
        let got = describe(&vm, &[]);
        assert_eq!(got.snapshots.iter().map(|s| s.id).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(got.snapshots[0].created, "2026-01-01T00:01:00Z");
    }

    #[test]
    fn windows_power_and_tools() {
        for (id, windows) in
            [("windows2019srv_64Guest", true), ("winXPProGuest", true), ("darwin20_64Guest", false), ("rhel9_64Guest", false)]
        {
            let vm = object("VirtualMachine", "vm-1", &prop("config.guestId", id));
            assert_eq!(describe(&vm, &[]).windows, windows, "{id}");
        }
        for (state, expected) in
            [(Some("poweredOn"), Power::On), (Some("poweredOff"), Power::Off), (Some("suspended"), Power::Other), (None, Power::Other)]
        {
            assert_eq!(power(state), expected, "{state:?}");
        }
        let cases = [
            (Some("guestToolsRunning"), Some("toolsOld"), true),
            (Some("guestToolsNotRunning"), Some("toolsOk"), false),
            (Some("guestToolsExecutingScripts"), None, false),
            (None, Some("toolsOk"), true),
            (None, Some("toolsOld"), true),
            (None, Some("toolsNotInstalled"), false),
            (None, None, false),
        ];
        for (running, status, expected) in cases {
            assert_eq!(tools_run(running, status), expected, "{running:?} {status:?}");
        }
    }
}
