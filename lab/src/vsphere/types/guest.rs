//! What the guest's tools report: `guest` of a machine.

use crate::{
    datacenter::GuestModel,
    vsphere::{
        model::{
            Entity, Model,
            device::{Device, Nic},
            vm::{Power, Vm},
        },
        value::{Object, Value, int, long, strings},
    },
};

/// Whether the tools have anything to say now.
fn reporting(vm: &Vm) -> bool {
    vm.power == Power::On && vm.tools_running
}

/// The guest operating system on the boot disk.
pub fn system(model: &Model, vm: &Vm) -> Option<GuestModel> {
    vm.boot_file().and_then(|file| model.world.guest(file))
}

/// An address of a guest.
struct Address {
    ip: String,
    prefix: i32,
    dynamic: bool,
}

/// Addresses of an adapter: those that the data-centre file names, or one by DHCP, made of the MAC address.
fn addresses(nic: &Nic) -> Vec<Address> {
    if nic.addresses.is_empty() {
        let (high, low) = mac_tail(&nic.mac);
        // The lowest addresses of the network belong to its router.
        return vec![Address { ip: format!("10.131.{high}.{}", low.clamp(10, 250)), prefix: 16, dynamic: true }];
    }
    let parse = |text: &String| {
        let (ip, prefix) = text.split_once('/').unwrap_or((text, "24"));
        Address { ip: ip.to_owned(), prefix: prefix.parse().unwrap_or(24), dynamic: false }
    };
    nic.addresses.iter().map(parse).collect()
}

/// Addresses of an adapter with prefix length.
pub fn configured(nic: &Nic) -> Vec<String> {
    addresses(nic).into_iter().map(|address| format!("{}/{}", address.ip, address.prefix)).collect()
}

/// PCI slots in which a machine gets its adapters, which Linux calls them by: `ens192`.
const SLOTS: [u16; 10] = [192, 224, 256, 161, 193, 225, 257, 162, 194, 226];

/// What the guest calls its adapters, in their order.
pub fn names(vm: &Vm, system: &GuestModel) -> Vec<String> {
    let windows = system.family == "windows";
    let name =
        |at: usize| if windows { format!("Ethernet{at}") } else { format!("ens{}", SLOTS.get(at).map_or(at, |slot| usize::from(*slot))) };
    (0..vm.nics().count()).map(name).collect()
}

fn mac_tail(mac: &str) -> (u8, u8) {
    let mut bytes = mac.rsplit(':').map(|b| u8::from_str_radix(b, 16).unwrap_or(0));
    let low = bytes.next().unwrap_or(0);
    (bytes.next().unwrap_or(0), low)
}

/// The IPv6 address that every adapter gives itself: `fe80::` and the MAC address with `fffe` in its middle.
fn link_local(mac: &str) -> String {
    let mut octets: Vec<u8> = mac.split(':').map(|octet| u8::from_str_radix(octet, 16).unwrap_or(0)).collect();
    octets.resize(6, 0);
    octets.splice(3..3, [0xff, 0xfe]);
    if let Some(first) = octets.first_mut() {
        *first ^= 2;
    }
    let groups: Vec<String> =
        octets.chunks(2).map(|pair| format!("{:x}", pair.iter().fold(0_u16, |n, o| n << 8 | u16::from(*o)))).collect();
    format!("fe80::{}", groups.join(":"))
}

/// The network that an address is in, for addresses with whole numbers of bits.
fn network(ip: &str, prefix: i32) -> Option<String> {
    let address: std::net::Ipv4Addr = ip.parse().ok()?;
    let mask = if prefix <= 0 { 0 } else { u32::MAX << (32 - prefix.min(32)) };
    Some(std::net::Ipv4Addr::from(u32::from(address) & mask).to_string())
}

fn gateway(ip: &str, prefix: i32) -> Option<String> {
    let base: std::net::Ipv4Addr = network(ip, prefix)?.parse().ok()?;
    Some(std::net::Ipv4Addr::from(u32::from(base) + 1).to_string())
}

/// `guest` of a machine.
pub fn guest(model: &Model, entity: &Entity, vm: &Vm) -> Object {
    let system = system(model, vm);
    let installed = system.as_ref().is_some_and(|g| g.agent);
    let reporting = reporting(vm);
    let status = match (installed, reporting) {
        (false, _) => "toolsNotInstalled",
        (true, false) => "toolsNotRunning",
        (true, true) => "toolsOk",
    };
    let version = if installed { "guestToolsUnmanaged" } else { "guestToolsNotInstalled" };
    let mut guest = Object::new("GuestInfo")
        .choice("toolsStatus", "VirtualMachineToolsStatus", status)
        .set("toolsVersionStatus", version)
        .set("toolsVersionStatus2", version)
        .set("toolsRunningStatus", if reporting { "guestToolsRunning" } else { "guestToolsNotRunning" })
        .set("toolsVersion", if installed { "12389" } else { "0" });
    if installed {
        guest = guest.set("toolsInstallType", "guestToolsTypeOpenVMTools");
    }
    if let Some(system) = system.filter(|_| reporting) {
        let first = vm.nics().next().and_then(|(_, nic)| addresses(nic).into_iter().next());
        guest = guest
            .set("guestId", &vm.guest_id)
            .set("guestFamily", if system.family == "windows" { "windowsGuest" } else { "linuxGuest" })
            .set("guestFullName", &system.full_name)
            .set("hostName", &system.host_name)
            .opt("ipAddress", first.map(|a| a.ip));
        if system.tells_addresses {
            guest = guest.set("net", Value::List("GuestNicInfo", vm.nics().map(|(d, nic)| net(model, d, nic)).collect())).list(
                "ipStack",
                "GuestStackInfo",
                [ip_stack(vm, &system)],
            );
        }
        guest = guest.set("disk", disks(vm, &system)).set("screen", Object::new("GuestScreenInfo").set("width", 1024).set("height", 768));
    }
    let state = match vm.power {
        Power::On if reporting => "running",
        Power::On => "unknown",
        _ => "notRunning",
    };
    let _ = entity;
    guest
        .set("guestState", state)
        .set("appHeartbeatStatus", "appStatusGray")
        .set("guestKernelCrashed", false)
        .set("appState", "none")
        .set("guestOperationsReady", reporting)
        .set("interactiveGuestOperationsReady", false)
        .set("guestStateChangeSupported", reporting)
}

fn net(model: &Model, device: &Device, nic: &Nic) -> Value {
    let all = addresses(nic);
    let link = link_local(&nic.mac);
    let address = |ip: &str, prefix: i32, origin: &str| {
        Object::new("NetIpConfigInfoIpAddress")
            .set("ipAddress", ip)
            .set("prefixLength", prefix)
            .set("origin", origin)
            .set("state", "preferred")
    };
    let dynamic = all.iter().any(|a| a.dynamic);
    let configured =
        all.iter().map(|a| address(&a.ip, a.prefix, if a.dynamic { "dhcp" } else { "manual" })).chain([address(&link, 64, "linklayer")]);
    let dns = dns_config(dynamic, "");
    Value::Object(
        Object::new("GuestNicInfo")
            .set("network", model.entity(&nic.network).map(|e| e.name.clone()).unwrap_or_default())
            .set("ipAddress", strings(all.iter().map(|a| a.ip.clone()).chain([link.clone()])))
            .set("macAddress", &nic.mac)
            .set("connected", nic.connected)
            .set("deviceConfigId", device.key)
            .set("dnsConfig", dns)
            .set("ipConfig", Object::new("NetIpConfigInfo").list("ipAddress", "NetIpConfigInfoIpAddress", configured)),
    )
}

fn dns_config(dhcp: bool, host: &str) -> Object {
    Object::new("NetDnsConfigInfo")
        .set("dhcp", dhcp)
        .set("hostName", host)
        .set("domainName", "lab")
        .set("ipAddress", strings(["10.131.0.2"]))
        .set("searchDomain", strings(["lab"]))
}

fn ip_stack(vm: &Vm, system: &GuestModel) -> Object {
    let route = |network: &str, prefix: i32, gateway: Option<String>, device: i32| {
        let via = Object::new("NetIpRouteConfigInfoGateway").opt("ipAddress", gateway).set("device", device.to_string());
        Object::new("NetIpRouteConfigInfoIpRoute").set("network", network).set("prefixLength", prefix).set("gateway", via)
    };
    let any_dhcp = vm.nics().any(|(_, nic)| nic.addresses.is_empty());
    let mut routes = Vec::new();
    for (at, (device, nic)) in vm.nics().enumerate() {
        let number = device.key - 4000;
        for address in addresses(nic) {
            // DHCP brings a default route; without it the first adapter has one.
            if address.dynamic || (!any_dhcp && at == 0) {
                routes.push(route("0.0.0.0", 0, gateway(&address.ip, address.prefix), number));
            }
            if let Some(net) = network(&address.ip, address.prefix) {
                routes.push(route(&net, address.prefix, None, number));
            }
        }
    }
    Object::new("GuestStackInfo")
        .set("dnsConfig", dns_config(any_dhcp, &system.host_name))
        .set("ipRouteConfig", Object::new("NetIpRouteConfigInfo").list("ipRoute", "NetIpRouteConfigInfoIpRoute", routes))
}

fn disks(vm: &Vm, system: &GuestModel) -> Value {
    let windows = system.family == "windows";
    let disk = |(at, (device, disk)): (usize, (&Device, &crate::vsphere::model::device::Disk))| {
        let path = match (windows, at) {
            (true, n) => format!("{}:\\", char::from(b'C' + u8::try_from(n).unwrap_or(0).min(20))),
            (false, 0) => "/".to_owned(),
            (false, n) => format!("/mnt/disk{n}"),
        };
        let bytes = disk.capacity_kib * 1024;
        Value::Object(
            Object::new("GuestDiskInfo")
                .set("diskPath", path)
                .set("capacity", long(bytes))
                .set("freeSpace", long(bytes / 10 * 7))
                .set("filesystemType", if windows { "NTFS" } else { "xfs" })
                .list("mappings", "GuestInfoVirtualDiskMapping", [Object::new("GuestInfoVirtualDiskMapping").set("key", int(device.key))]),
        )
    };
    Value::List("GuestDiskInfo", vm.disks().enumerate().map(disk).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_gateways() {
        assert_eq!(network("172.20.5.10", 16).as_deref(), Some("172.20.0.0"));
        assert_eq!(gateway("192.168.77.10", 24).as_deref(), Some("192.168.77.1"));
        assert_eq!(network("fe80::1", 64), None);
        assert_eq!(link_local("00:50:56:80:00:01"), "fe80::250:56ff:fe80:1");
    }
}
