//! What the inventory service shows of an engine.

use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::client::Engine;
use crate::{
    clock::Clock,
    forklift::{
        cluster::Look,
        source::{Login, reader::Reader},
    },
    inventory::News,
};

/// Collections of the service, with where they are in the API, how members are called there, and what is fetched along.
const COLLECTIONS: &[(&str, &str, &str)] = &[
    ("datacenters", "/datacenters", "data_center"),
    ("clusters", "/clusters", "cluster"),
    ("hosts", "/hosts", "host"),
    ("networks", "/networks", "network"),
    ("nicprofiles", "/vnicprofiles", "vnic_profile"),
    ("storagedomains", "/storagedomains", "storage_domain"),
    ("diskprofiles", "/diskprofiles", "disk_profile"),
    ("disks", "/disks", "disk"),
    ("vms", "/vms?follow=nics,disk_attachments,snapshots,reported_devices", "vm"),
];

/// Everything that was read, as the engine writes it: collection, then id.
pub type Model = BTreeMap<&'static str, BTreeMap<String, Value>>;

/// Reads an engine again and again, with a login that is renewed when a reading failed.
pub fn follow(provider: String, login: Login, clock: Clock, changed: broadcast::Sender<News>) -> Arc<Reader<Model>> {
    let session = Arc::new(tokio::sync::Mutex::new(None::<Engine>));
    Reader::start(provider, clock, changed, move || {
        let (login, session) = (login.clone(), Arc::clone(&session));
        async move {
            let mut session = session.lock().await;
            let engine = match session.take() {
                Some(engine) => engine,
                None => Engine::connect(&login).await.map_err(|refused| anyhow::anyhow!(refused.text))?,
            };
            let model = read(&engine).await?;
            *session = Some(engine);
            Ok(model)
        }
        .boxed()
    })
}

async fn read(engine: &Engine) -> anyhow::Result<Model> {
    let mut model = Model::new();
    for (name, path, member) in COLLECTIONS {
        let body = engine.get(path).await?;
        let members = body.items(&format!("/{member}")).iter().map(|object| (object.text("/id").to_owned(), object.clone()));
        model.insert(name, members.collect());
    }
    Ok(model)
}

/// Whether the service has such a collection.
pub fn known(name: &str) -> Option<&'static str> {
    COLLECTIONS.iter().map(|(name, _, _)| *name).chain(["workloads"]).find(|known| *known == name)
}

/// Objects of a collection by id.
pub fn all<'m>(model: &'m Model, name: &str) -> impl Iterator<Item = &'m Value> {
    model.get(if name == "workloads" { "vms" } else { name }).into_iter().flat_map(BTreeMap::values)
}

/// The path of an object by which maps can name it.
pub fn path(model: &Model, name: &str, object: &Value) -> String {
    match name {
        "networks" | "clusters" => {
            let center = all(model, "datacenters").find(|c| c.text("/id") == object.text("/data_center/id"));
            format!("{}/{}", center.map(|c| c.text("/name")).unwrap_or_default(), object.text("/name"))
        }
        _ => object.text("/name").to_owned(),
    }
}

/// Numbers are text at the engine and numbers at the service.
pub fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(|v| v.as_i64().or_else(|| v.as_str()?.parse().ok())).unwrap_or_default()
}

fn flag(object: &Value, pointer: &str) -> bool {
    object.text(pointer) == "true"
}

/// An object as the service shows it.
pub fn json(model: &Model, provider: &str, name: &str, object: &Value, detail: u8) -> Value {
    let id = object.text("/id");
    let mut out = json!({
        "id": id, "revision": 1, "path": path(model, name, object), "name": object.text("/name"),
        "description": object.text("/description"), "selfLink": format!("providers/ovirt/{provider}/{name}/{id}"),
    });
    if detail == 0 {
        return out;
    }
    let reference = |key: &str| object.text(&format!("/{key}/id")).to_owned();
    let more = match name {
        "networks" => json!({
            "dataCenter": reference("data_center"), "vlan": object.text("/vlan/id"), "usages": object.items("/usages/usage"),
            "nicProfiles": all(model, "nicprofiles").filter(|p| p.text("/network/id") == id).map(|p| p.text("/id")).collect::<Vec<_>>(),
        }),
        "nicprofiles" => json!({
            "network": reference("network"), "networkFilter": "", "portMirroring": flag(object, "/port_mirroring"), "qos": "",
            "properties": [], "passThrough": object.text("/pass_through/mode") == "enabled",
        }),
        "storagedomains" => json!({
            "dataCenter": object.items("/data_centers/data_center").first().map(|c| c.text("/id")), "type": object.text("/type"),
            "capacity": number(object, "/available") + number(object, "/used"), "free": number(object, "/available"),
            "storage": { "type": object.text("/storage/type") },
        }),
        "disks" => json!({
            "shared": flag(object, "/shareable"), "storageDomain": object.items("/storage_domains/storage_domain").first().map(|d| d.text("/id")),
            "profile": reference("disk_profile"), "provisionedSize": number(object, "/provisioned_size"),
            "actualSize": number(object, "/actual_size"), "storageType": object.text("/storage_type"), "status": object.text("/status"),
            "lunStorage": { "logicalUnit": Value::Null },
        }),
        "diskprofiles" => json!({ "storageDomain": reference("storage_domain"), "qos": "" }),
        "clusters" => json!({
            "dataCenter": reference("data_center"), "haReservation": flag(object, "/ha_reservation"), "ksmEnabled": flag(object, "/ksm/enabled"),
            "biosType": object.text("/bios_type"),
        }),
        "hosts" => json!({
            "cluster": reference("cluster"), "status": object.text("/status"), "productName": object.text("/os/type"),
            "productVersion": object.text("/os/version/full_version"), "inMaintenance": object.text("/status") == "maintenance",
            "cpuSockets": number(object, "/cpu/topology/sockets"), "cpuCores": number(object, "/cpu/topology/cores"),
            "networkAttachments": [], "nics": [],
        }),
        "vms" | "workloads" => vm(object),
        _ => json!({}),
    };
    if let (Value::Object(out), Value::Object(more)) = (&mut out, more) {
        out.extend(more);
    }
    out
}

fn vm(object: &Value) -> Value {
    let reported = object.items("/reported_devices/reported_device");
    let addresses = |mac: &str| {
        let of = reported.iter().filter(|d| d.text("/mac/address").eq_ignore_ascii_case(mac)).flat_map(|d| d.items("/ips/ip"));
        of.map(|ip| json!({ "address": ip.text("/address"), "version": ip.text("/version") })).collect::<Vec<_>>()
    };
    let nic = |nic: &Value| {
        json!({
            "id": nic.text("/id"), "name": nic.text("/name"), "interface": nic.text("/interface"), "plugged": flag(nic, "/plugged"),
            "ipAddress": addresses(nic.text("/mac/address")), "profile": nic.text("/vnic_profile/id"), "mac": nic.text("/mac/address"), "properties": [],
        })
    };
    let attachment = |disk: &Value| {
        json!({
            "id": disk.text("/id"), "interface": disk.text("/interface"), "scsiReservation": flag(disk, "/uses_scsi_reservation"),
            "disk": disk.text("/disk/id"), "bootable": flag(disk, "/bootable"),
        })
    };
    let snapshot = |s: &Value| json!({ "id": s.text("/id"), "description": s.text("/description"), "type": s.text("/snapshot_type"), "persistMemory": flag(s, "/persist_memorystate") });
    json!({
        "policyVersion": 5, "guestName": object.text("/guest_operating_system/distribution"), "cluster": object.text("/cluster/id"),
        "status": object.text("/status"), "host": object.text("/host/id"), "revisionValidated": 1,
        "nics": object.items("/nics/nic").iter().map(nic).collect::<Vec<_>>(),
        "diskAttachments": object.items("/disk_attachments/disk_attachment").iter().map(attachment).collect::<Vec<_>>(),
        "concerns": [],
        "cpuSockets": number(object, "/cpu/topology/sockets"), "cpuCores": number(object, "/cpu/topology/cores"),
        "cpuThreads": number(object, "/cpu/topology/threads"), "cpuShares": number(object, "/cpu_shares"), "cpuAffinity": [],
        "memory": number(object, "/memory"), "balloonedMemory": flag(object, "/memory_policy/ballooning"),
        "ioThreads": number(object, "/io/threads"), "bios": object.text("/bios/type"), "display": object.text("/display/type"),
        "haEnabled": flag(object, "/high_availability/enabled"), "usbEnabled": flag(object, "/usb/enabled"),
        "bootMenuEnabled": flag(object, "/bios/boot_menu/enabled"), "timezone": object.text("/time_zone/name"), "serialNumber": "",
        "statelessEnabled": flag(object, "/stateless"), "placementPolicyAffinity": object.text("/placement_policy/affinity"),
        "hasIllegalImages": false, "numaNodeAffinity": [], "leaseStorageDomain": "", "hostDevices": [], "cdroms": [], "watchDogs": [],
        "properties": [], "snapshots": object.items("/snapshots/snapshot").iter().map(snapshot).collect::<Vec<_>>(),
        "guest": { "distribution": object.text("/guest_operating_system/distribution"), "fullVersion": object.text("/guest_operating_system/version/full_version") },
        "osType": object.text("/os/type"), "customCpuModel": object.text("/custom_cpu_model"),
    })
}
