//! One VM as checks need it: the VM with what belongs to it, and the two lists that names come from.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    operate::{power, reported_devices},
    session::Session,
    wire::{date, members, number, text},
};
use crate::providers::{Disk, Nic, ProviderResult, Snapshot, VmDescription};

/// Describes a VM in three requests, whatever it has.
pub async fn vm(session: &Session, id: &str) -> ProviderResult<VmDescription> {
    let doing = format!("describe {id}");
    let path = format!("/vms/{id}?follow=nics,disk_attachments.disk,snapshots,reported_devices&all_content=true");
    let (vm, profiles, domains) = tokio::try_join!(
        session.get("GET vms/ID", &path, &doing),
        session.get("GET vnicprofiles", "/vnicprofiles?follow=network", &doing),
        session.get("GET storagedomains", "/storagedomains", &doing),
    )?;
    Ok(read(&vm, &profiles, &domains))
}

fn read(vm: &Value, profiles: &Value, domains: &Value) -> VmDescription {
    let topology = |key: &str| u32::try_from(number(vm, &format!("/cpu/topology/{key}"))).unwrap_or_default().max(1);
    let reported: BTreeMap<String, Vec<String>> =
        reported_devices(members(&vm["reported_devices"], "reported_device")).into_iter().collect();
    VmDescription {
        boot: None,
        id: text(vm, "/id").to_owned(),
        name: text(vm, "/name").to_owned(),
        namespace: None,
        serial: Some(
            [text(vm, "/serial_number/value"), text(vm, "/id")].into_iter().find(|s| !s.is_empty()).unwrap_or_default().to_owned(),
        ),
        uuid: None,
        power: power(text(vm, "/status")),
        sockets: Some(topology("sockets")),
        cores_per_socket: Some(topology("cores")),
        memory_mib: Some(number(vm, "/memory") >> 20).filter(|size| *size > 0),
        nics: members(&vm["nics"], "nic").iter().map(|nic| read_nic(nic, profiles, &reported)).collect(),
        disks: members(&vm["disk_attachments"], "disk_attachment").iter().map(|disk| read_disk(disk, domains)).collect(),
        snapshots: snapshots(members(&vm["snapshots"], "snapshot")),
        tools_running: !reported.is_empty(),
        windows: text(vm, "/os/type").to_lowercase().contains("windows"),
    }
}

fn read_nic(nic: &Value, profiles: &Value, reported: &BTreeMap<String, Vec<String>>) -> Nic {
    let mac = text(nic, "/mac/address").to_lowercase();
    let profile = text(nic, "/vnic_profile/id");
    let network = members(profiles, "vnic_profile").iter().find(|p| text(p, "/id") == profile).map(|p| &p["network"]);
    let of_network = |key: &str| network.map(|n| text(n, key).to_owned()).unwrap_or_default();
    Nic {
        name: text(nic, "/name").to_owned(),
        addresses: reported.get(&mac).cloned().unwrap_or_default(),
        mac,
        network: of_network("/name"),
        network_id: of_network("/id"),
        ..Nic::default()
    }
}

fn read_disk(attachment: &Value, domains: &Value) -> Disk {
    let disk = &attachment["disk"];
    let domain = members(&disk["storage_domains"], "storage_domain").first().map(|d| text(d, "/id")).unwrap_or_default();
    let name = members(domains, "storage_domain").iter().find(|d| text(d, "/id") == domain).map(|d| text(d, "/name"));
    let label = [text(disk, "/alias"), text(disk, "/name"), text(attachment, "/id")].into_iter().find(|l| !l.is_empty());
    Disk {
        name: label.unwrap_or_default().to_owned(),
        // A LUN has no size of its own here, its unit has.
        bytes: match number(disk, "/provisioned_size") {
            0 => number(disk, "/lun_storage/logical_units/logical_unit/0/size"),
            size => size,
        },
        storage: name.unwrap_or_default().to_owned(),
        key: 0,
        ..Disk::default()
    }
}

/// Snapshots that somebody took, oldest first. The engine lists the running state as one of type `active`, which is none.
fn snapshots(all: &[Value]) -> Vec<Snapshot> {
    let mut taken: Vec<(String, &Value)> =
        all.iter().filter(|s| text(s, "/snapshot_type") != "active").map(|s| (date(s, "/date"), s)).collect();
    taken.sort_by(|a, b| a.0.cmp(&b.0));
    let number = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
    let read = |(index, (created, snapshot)): (usize, (String, &Value))| Snapshot {
        id: number(index) + 1,
        name: text(snapshot, "/description").to_owned(),
        created,
        state: text(snapshot, "/snapshot_status").to_owned(),
    };
    taken.into_iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::providers::Power;

    #[test]
    fn a_vm_reads_with_names_from_the_lists() {
        let vm = json!({
            "id": "v1", "name": "rhel8", "status": "up", "memory": "2147483648", "os": {"type": "rhel_8x64"},
            "cpu": {"topology": {"sockets": "2", "cores": "1", "threads": "1"}},
            "nics": {"nic": [{"name": "nic1", "mac": {"address": "56:6F:AA:00:00:01"}, "vnic_profile": {"id": "p1"}}]},
            "disk_attachments": {"disk_attachment": [{
                "id": "d1", "disk": {"alias": "rhel8_Disk1", "provisioned_size": "10737418240", "storage_domains": {"storage_domain": [{"id": "s1"}]}},
            }]},
            "snapshots": {"snapshot": [
                {"snapshot_type": "active", "description": "Active VM", "date": 3},
                {"snapshot_type": "regular", "description": "second", "date": 2000, "snapshot_status": "ok"},
                {"snapshot_type": "regular", "description": "first", "date": 1000, "snapshot_status": "ok"},
            ]},
            "reported_devices": {"reported_device": [{"mac": {"address": "56:6f:aa:00:00:01"}, "ips": {"ip": [{"address": "192.0.2.7", "version": "v4"}]}}]},
        });
        let profiles = json!({"vnic_profile": [{"id": "p1", "network": {"id": "n1", "name": "ovirtmgmt"}}]});
        let domains = json!({"storage_domain": [{"id": "s1", "name": "data"}]});
        let read = read(&vm, &profiles, &domains);
        assert_eq!((read.power, read.sockets, read.cores_per_socket, read.memory_mib), (Power::On, Some(2), Some(1), Some(2048)));
        assert_eq!((read.nics[0].network.as_str(), read.nics[0].network_id.as_str()), ("ovirtmgmt", "n1"));
        assert_eq!(read.nics[0].addresses, ["192.0.2.7"]);
        assert_eq!((read.disks[0].storage.as_str(), read.disks[0].bytes), ("data", 10 << 30));
        assert_eq!(read.snapshots.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
        assert!(read.tools_running && !read.windows);
    }
}
