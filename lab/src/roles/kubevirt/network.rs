//! Network interfaces of an instance.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{faults::GuestChange, guests::Interface, roles::write};

/// An interface: what the specification says and what the guest has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nic {
    /// Name in the specification.
    pub(super) name: String,
    /// On the pod network, behind the pod's address.
    pub(super) pod_network: bool,
    /// Address as others see it.
    pub(super) visible: String,
    /// As the guest has it.
    pub(super) guest: Interface,
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Gives a MAC address to every interface that has none: locally administered, made from UID and name so that it stays.
pub(super) fn give_macs(spec: &mut Value, uid: &str) {
    let Some(interfaces) = spec.pointer_mut("/domain/devices/interfaces").and_then(Value::as_array_mut) else { return };
    for interface in interfaces.iter_mut().filter(|i| i.get("macAddress").is_none()) {
        let mac = hex(&format!("{uid}/{}", write::text(interface, "/name")));
        let bytes: Vec<_> = (0..5).map(|at| &mac[2 * at..2 * at + 2]).collect();
        interface["macAddress"] = format!("02:{}", bytes.join(":")).into();
    }
}

/// The interfaces of an instance. `pod_ip` is the launcher's; `fixed` are addresses configured in the guest, by MAC address.
pub(super) fn interfaces(instance: &Value, pod_ip: &str, fixed: &BTreeMap<String, Vec<String>>, windows: bool) -> Vec<Nic> {
    let networks = write::list(instance, "/spec/networks");
    let devices = write::list(instance, "/spec/domain/devices/interfaces").iter().enumerate();
    devices
        .map(|(index, device)| {
            let name = write::text(device, "/name").to_owned();
            let mac = write::text(device, "/macAddress").to_lowercase();
            let pod_network = networks.iter().any(|n| n["name"] == name.as_str() && n.get("pod").is_some());
            let own = fixed.get(&mac).filter(|list| !list.is_empty());
            let addresses = own.cloned().unwrap_or_else(|| vec![if pod_network { format!("{pod_ip}/23") } else { leased(&mac) }]);
            let first = addresses.first().map_or("", |a| a.split('/').next().unwrap_or_default()).to_owned();
            let interface = if windows { format!("Ethernet Instance {index}") } else { format!("enp{}s0", index + 1) };
            Nic {
                name,
                pod_network,
                visible: if pod_network { pod_ip.to_owned() } else { first },
                guest: Interface { name: interface, mac, addresses, fixed: own.is_some(), gateway: None },
            }
        })
        .collect()
}

/// Gives adapters the names and gateways of the guest's configuration, and what turns out otherwise on purpose.
pub(super) fn configure(nics: &mut [Nic], names: &BTreeMap<String, String>, gateways: &BTreeMap<String, String>, change: &GuestChange) {
    for nic in nics {
        let guest = &mut nic.guest;
        if let Some(name) = names.get(&guest.mac) {
            guest.name.clone_from(name);
        }
        guest.gateway = gateways.get(&guest.mac).filter(|_| !change.lose_gateway).cloned();
        guest.addresses.retain(|address| !change.lose_addresses.contains(address));
        if let Some(name) = change.rename.get(&guest.name) {
            guest.name.clone_from(name);
        }
    }
}

/// What the DHCP server of a bridged network gives out: made from the MAC address, so that it stays.
fn leased(mac: &str) -> String {
    let [a, b, ..] = hash(mac);
    format!("10.200.{a}.{}/16", b.clamp(2, 254))
}

/// `status.interfaces`. `agent` is none before the guest has booted, then whether its agent tells.
pub(super) fn status(nics: &[Nic], agent: Option<bool>) -> Vec<Value> {
    let told = agent == Some(true);
    nics.iter()
        .map(|nic| {
            let mut status = json!({ "name": nic.name, "mac": nic.guest.mac, "linkState": "up", "queueCount": 1, "infoSource": if told { "domain, guest-agent" } else { "domain" },
                "podInterfaceName": if nic.pod_network { "eth0".to_owned() } else { format!("pod{}", &hex(&nic.name)[..11]) } });
            if told {
                status["interfaceName"] = nic.guest.name.as_str().into();
            }
            // The pod's address is known without the guest; others only the agent tells.
            if nic.pod_network {
                status["ipAddress"] = nic.visible.as_str().into();
                status["ipAddresses"] = json!([nic.visible]);
            } else if told {
                let addresses: Vec<_> = nic.guest.addresses.iter().filter_map(|a| a.split('/').next()).collect();
                status["ipAddress"] = nic.visible.as_str().into();
                status["ipAddresses"] = json!(addresses);
            }
            status
        })
        .collect()
}

fn hex(text: &str) -> String {
    use std::fmt::Write as _;
    hash(text).iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Value {
        json!({ "spec": {
            "networks": [{ "name": "net-0", "pod": {} }, { "name": "net-1", "multus": { "networkName": "a/b" } }],
            "domain": { "devices": { "interfaces": [
                { "name": "net-0", "macAddress": "00:50:56:00:00:01", "masquerade": {} },
                { "name": "net-1", "macAddress": "00:50:56:00:00:02", "bridge": {} } ] } },
        } })
    }

    #[test]
    fn preserved_addresses_stay_in_the_guest() {
        let fixed = [("00:50:56:00:00:02".to_owned(), vec!["192.168.7.5/24".to_owned()])].into();
        let nics = interfaces(&instance(), "10.128.0.9", &fixed, false);
        assert_eq!(nics[0].visible, "10.128.0.9");
        assert_eq!((nics[1].visible.as_str(), nics[1].guest.fixed), ("192.168.7.5", true));
        let told = status(&nics, Some(true));
        assert_eq!(told[1]["ipAddress"], "192.168.7.5");
        assert_eq!(told[0]["interfaceName"], "enp1s0");
        let early = status(&nics, None);
        assert!(early[1].get("ipAddress").is_none() && early[0]["ipAddress"] == "10.128.0.9");
    }

    #[test]
    fn a_mac_address_is_made_once() {
        let mut spec =
            json!({ "domain": { "devices": { "interfaces": [{ "name": "a" }, { "name": "b", "macAddress": "00:50:56:00:00:01" }] } } });
        give_macs(&mut spec, "uid");
        let first = spec.clone();
        give_macs(&mut spec, "other");
        assert_eq!(spec, first);
        assert!(write::text(&spec, "/domain/devices/interfaces/0/macAddress").starts_with("02:"));
    }
}
