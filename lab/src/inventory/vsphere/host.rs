//! A host's network and disks as the service shows them.

use mtv_api::xml::Node;
use serde_json::{Value, json};

use crate::forklift::vcenter::Properties;

fn text<'n>(node: &'n Node, path: &[&str]) -> &'n str {
    node.at(path).map_or("", |found| found.text.as_str())
}

fn number(node: &Node, path: &[&str]) -> i64 {
    text(node, path).parse().unwrap_or_default()
}

fn texts(node: &Node, name: &str) -> Vec<String> {
    node.children_named(name).map(|child| child.text.clone()).collect()
}

/// `networking`.
pub fn networking(host: &Properties) -> Value {
    let none = Node::default();
    let network = host.get("config.network").unwrap_or(&none);
    let all = |name: &str, show: fn(&Node) -> Value| network.children_named(name).map(show).collect::<Vec<_>>();
    json!({
        "pNICs": all("pnic", |nic| json!({ "key": text(nic, &["key"]), "linkSpeed": number(nic, &["linkSpeed", "speedMb"]) })),
        "vNICs": all("vnic", |nic| json!({
            "key": text(nic, &["key"]), "device": text(nic, &["device"]), "portGroup": text(nic, &["portgroup"]),
            "dPortGroup": text(nic, &["spec", "distributedVirtualPort", "portgroupKey"]),
            "ipAddress": text(nic, &["spec", "ip", "ipAddress"]), "ipV6Address": null,
            "subnetMask": text(nic, &["spec", "ip", "subnetMask"]), "mtu": number(nic, &["spec", "mtu"]),
        })),
        "portGroups": all("portgroup", |group| json!({
            "key": text(group, &["key"]), "name": text(group, &["spec", "name"]), "vSwitch": text(group, &["vswitch"]),
            "vlanId": number(group, &["spec", "vlanId"]),
        })),
        "switches": all("vswitch", |switch| json!({
            "key": text(switch, &["key"]), "name": text(switch, &["name"]), "portGroups": texts(switch, "portgroup"), "pNICs": texts(switch, "pnic"),
        })),
    })
}

/// `networkAdapters`: the host's own addresses, as fast as the fastest way out of their switch.
pub fn adapters(networking: &Value) -> Value {
    let list = |of: &Value, name: &str| of[name].as_array().cloned().unwrap_or_default();
    let speed_of = |group: &str| {
        let group = list(networking, "portGroups").into_iter().find(|g| g["name"] == group)?;
        let switch = list(networking, "switches").into_iter().find(|s| s["key"] == group["vSwitch"])?;
        let ways = list(&switch, "pNICs");
        list(networking, "pNICs").iter().filter(|nic| ways.contains(&nic["key"])).filter_map(|nic| nic["linkSpeed"].as_i64()).max()
    };
    let shown = list(networking, "vNICs").into_iter().map(|nic| {
        let group = nic["portGroup"].as_str().unwrap_or_default();
        json!({ "name": group, "ipAddress": nic["ipAddress"], "subnetMask": nic["subnetMask"], "linkSpeed": speed_of(group).unwrap_or_default(), "mtu": nic["mtu"] })
    });
    shown.collect()
}

/// `hostScsiDisks`.
pub fn disks(host: &Properties) -> Value {
    let none = Node::default();
    let luns = host.get("config.storageDevice.scsiLun").unwrap_or(&none);
    let disks = luns.children.iter().filter(|lun| lun.xsi_type() == Some("HostScsiDisk"));
    let shown = disks.map(|disk| {
        json!({ "canonicalName": text(disk, &["canonicalName"]), "vendor": text(disk, &["vendor"]).trim_end(),
            "model": text(disk, &["model"]).trim_end(), "key": text(disk, &["key"]) })
    });
    shown.collect()
}
