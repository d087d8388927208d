//! How the API shows what is in the model: documents with links, numbers as text as the engine writes them.

use serde_json::{Map, Value, json};

use super::{
    model::{BLANK, Disk, Event, Job, Model, Named, Nic, Snapshot, Vm},
    xml::moment,
};

/// Where the API begins.
pub const API: &str = "/ovirt-engine/api";

/// A document as the router finds it.
#[derive(Debug, Clone)]
pub struct Document {
    /// Name of its root element, `vms` or `vm`.
    pub name: &'static str,
    /// Name of the members if it is a list.
    pub member: Option<&'static str>,
    /// Content: the members of a list, else the object.
    pub value: Value,
}

impl Document {
    /// One object.
    pub fn one(name: &'static str, value: Value) -> Self {
        Self { name, member: None, value }
    }

    /// A list.
    pub fn list(name: &'static str, member: &'static str, members: Vec<Value>) -> Self {
        Self { name, member: Some(member), value: Value::Array(members) }
    }

    /// The whole document: a list is under the name of its members, and an empty one has none.
    pub fn body(self) -> Value {
        match (self.member, self.value) {
            (Some(_), Value::Array(list)) if list.is_empty() => json!({}),
            (Some(member), list) => json!({ member: list }),
            (None, value) => value,
        }
    }
}

/// A reference to something: id and address.
fn reference(collection: &str, id: &str) -> Value {
    json!({"id": id, "href": format!("{API}/{collection}/{id}")})
}

fn object(collection: &str, id: &str, name: &str, links: &[&str], rest: Value) -> Value {
    let href = format!("{API}/{collection}/{id}");
    let mut map = Map::from_iter([("name".to_owned(), json!(name)), ("id".to_owned(), json!(id))]);
    if !links.is_empty() {
        let link = |rel: &&str| json!({"rel": rel, "href": format!("{href}/{rel}")});
        map.insert("link".to_owned(), links.iter().map(link).collect());
    }
    map.insert("href".to_owned(), json!(href));
    if let Value::Object(rest) = rest {
        map.extend(rest);
    }
    Value::Object(map)
}

fn actions(href: &str, names: &[&str]) -> Value {
    json!({"link": names.iter().map(|name| json!({"rel": name, "href": format!("{href}/{name}")})).collect::<Vec<_>>()})
}

/// The root of the API.
pub fn root(model: &Model) -> Value {
    let version = &model.world.datacenter.ovirt.version;
    let mut parts = version.split('.').chain(std::iter::repeat("0"));
    let mut part = || parts.next().unwrap_or("0").to_owned();
    let (major, minor, build) = (part(), part(), part());
    let collections = [
        "clusters",
        "datacenters",
        "disks",
        "diskprofiles",
        "events",
        "hosts",
        "jobs",
        "networks",
        "storagedomains",
        "templates",
        "vms",
        "vnicprofiles",
    ];
    let count = |template: bool| model.vms.values().filter(|vm| vm.template == template).count();
    let total = |n: usize| json!({"active": n.to_string(), "total": n.to_string()});
    json!({
        "product_info": {
            "name": "oVirt Engine", "vendor": "ovirt.org",
            "version": {"build": build, "full_version": format!("{version}-1.el8"), "major": major, "minor": minor, "revision": "0"},
        },
        "special_objects": {"blank_template": reference("templates", BLANK)},
        "summary": {"hosts": total(model.hosts.len()), "storage_domains": total(model.domains.len()), "vms": total(count(false))},
        "time": moment(model.world.clock.moment()),
        "link": collections.iter().map(|c| json!({"rel": c, "href": format!("{API}/{c}")})).collect::<Vec<_>>(),
    })
}

/// The data center.
pub fn center(center: &Named) -> Value {
    object(
        "datacenters",
        &center.id,
        &center.name,
        &["clusters", "networks", "storagedomains"],
        json!({
            "status": "up", "local": "false", "storage_format": "v5", "version": {"major": "4", "minor": "7"}, "quota_mode": "disabled",
        }),
    )
}

/// The cluster.
pub fn cluster(model: &Model, cluster: &Named) -> Value {
    object(
        "clusters",
        &cluster.id,
        &cluster.name,
        &["networks"],
        json!({
            "data_center": reference("datacenters", &model.center.id),
            "cpu": {"architecture": "x86_64", "type": "Secure Intel Cascadelake Server Family"},
            "version": {"major": "4", "minor": "7"}, "ballooning_enabled": "true", "ha_reservation": "false",
            "ksm": {"enabled": "true", "merge_across_nodes": "true"}, "bios_type": "q35_sea_bios",
        }),
    )
}

/// A host.
pub fn host(model: &Model, host: &Named) -> Value {
    object(
        "hosts",
        &host.id,
        &host.name,
        &["nics", "networkattachments"],
        json!({
            "cluster": reference("clusters", &model.cluster.id), "status": "up", "address": host.name, "type": "rhel",
            "cpu": {"topology": {"cores": "16", "sockets": "2", "threads": "2"}, "type": "Secure Intel Cascadelake Server Family"},
            "memory": (256_u64 << 30).to_string(), "os": {"type": "RHEL", "version": {"full_version": "8.6"}},
        }),
    )
}

/// A storage domain.
pub fn domain(model: &Model, domain: &Named) -> Value {
    let file = model.world.datacenter.ovirt.storage_domains.iter().find(|d| d.name == domain.name);
    let capacity = file.map_or(0, |d| d.capacity_gib << 30);
    let used: u64 = model.disks.values().filter(|d| d.domain == domain.id).map(|d| d.size).sum();
    let master = model.domains.first().is_some_and(|first| first.id == domain.id);
    object(
        "storagedomains",
        &domain.id,
        &domain.name,
        &["disks", "diskprofiles", "templates", "vms"],
        json!({
            "type": "data", "master": master.to_string(), "external_status": "ok", "status": "active",
            "available": capacity.saturating_sub(used).to_string(), "used": used.to_string(), "committed": used.to_string(),
            "storage": {"type": "nfs", "address": "nfs.lab", "path": format!("/exports/{}", domain.name)}, "storage_format": "v5",
            "data_centers": {"data_center": [reference("datacenters", &model.center.id)]},
        }),
    )
}

/// A network.
pub fn network(model: &Model, network: &Named) -> Value {
    let management = model.networks.first().is_some_and(|first| first.id == network.id);
    let usages = if management { json!(["management", "vm"]) } else { json!(["vm"]) };
    object(
        "networks",
        &network.id,
        &network.name,
        &["vnicprofiles"],
        json!({
            "data_center": reference("datacenters", &model.center.id), "mtu": "0", "stp": "false", "usages": {"usage": usages},
        }),
    )
}

/// A vNIC profile: there is one per network, of its name.
pub fn profile(model: &Model, profile: &Named) -> Value {
    let network = model.networks.iter().find(|network| network.name == profile.name).map_or("", |n| n.id.as_str());
    object(
        "vnicprofiles",
        &profile.id,
        &profile.name,
        &[],
        json!({
            "network": reference("networks", network), "port_mirroring": "false", "pass_through": {"mode": "disabled"},
        }),
    )
}

/// A disk profile: there is one per storage domain, of its name.
pub fn disk_profile(domain: &Named) -> Value {
    object("diskprofiles", &domain.id, &domain.name, &[], json!({"storage_domain": reference("storagedomains", &domain.id)}))
}

/// A disk.
pub fn disk(model: &Model, disk: &Disk) -> Value {
    let shared = "false";
    object(
        "disks",
        &disk.id,
        &disk.alias,
        &["permissions"],
        json!({
            "alias": disk.alias, "format": disk.format, "sparse": disk.sparse.to_string(), "shareable": shared, "storage_type": "image", "content_type": "data",
            "provisioned_size": disk.size.to_string(), "actual_size": (disk.size / 4).to_string(), "total_size": disk.size.to_string(),
            "status": disk.status, "image_id": disk.id, "propagate_errors": "false", "wipe_after_delete": "false", "backup": "none",
            "disk_profile": reference("diskprofiles", &disk.domain),
            "storage_domains": {"storage_domain": [reference("storagedomains", &disk.domain)]},
            "qcow_version": "qcow2_v3",
            "vms": {"vm": model.vms.values().filter(|vm| vm.disks.contains(&disk.id)).map(|vm| reference("vms", &vm.id)).collect::<Vec<_>>()},
        }),
    )
}

/// Collection that a VM or template stands in.
pub const fn collection(vm: &Vm) -> &'static str {
    if vm.template { "templates" } else { "vms" }
}

/// A VM or a template, without what belongs to it.
pub fn vm(model: &Model, vm: &Vm) -> Value {
    let guest = model.world.datacenter.guests.get(&vm.guest);
    let windows = guest.is_some_and(|g| g.family == "windows");
    let os = if windows {
        "windows_2019x64".to_owned()
    } else {
        guest.map_or_else(|| "other".to_owned(), |g| format!("{}x64", g.os_info.replace('.', "_")))
    };
    let mut rest = json!({
        "comment": vm.comment, "description": vm.description, "status": vm.status, "type": "server", "origin": "ovirt",
        "memory": vm.memory.to_string(),
        "memory_policy": {"guaranteed": vm.guaranteed.to_string(), "max": (vm.memory * 4).to_string(), "ballooning": "true"},
        "cpu": {
            "architecture": "x86_64",
            "topology": {"cores": vm.cores.to_string(), "sockets": vm.sockets.to_string(), "threads": "1"},
        },
        "cpu_shares": "0",
        "os": {"type": os, "boot": {"devices": {"device": ["hd"]}}},
        "bios": {"type": if vm.firmware == "efi" { "q35_ovmf" } else { "q35_sea_bios" }, "boot_menu": {"enabled": "false"}},
        "creation_time": moment(vm.created), "delete_protected": "false", "stateless": "false",
        "high_availability": {"enabled": "false", "priority": "1"}, "io": {"threads": "1"}, "usb": {"enabled": "false"},
        "display": {"type": "vnc", "monitors": "1"}, "time_zone": {"name": if windows { "GMT Standard Time" } else { "Etc/GMT" }},
        "placement_policy": {"affinity": "migratable"}, "custom_emulated_machine": "", "custom_cpu_model": "",
    });
    // The blank template is of every cluster.
    if vm.id != BLANK {
        rest["cluster"] = reference("clusters", &model.cluster.id);
    }
    let href = format!("{API}/{}/{}", collection(vm), vm.id);
    let links: &[&str] = if vm.template {
        rest["version"] = json!({"version_name": "base version", "version_number": "1"});
        rest["actions"] = actions(&href, &["export"]);
        &["diskattachments", "nics"]
    } else {
        let origin = vm.origin.as_deref().unwrap_or(BLANK);
        rest["template"] = reference("templates", origin);
        rest["original_template"] = reference("templates", origin);
        rest["actions"] = actions(&href, &["start", "stop", "shutdown", "reboot", "suspend"]);
        if !matches!(vm.status.as_str(), "down" | "image_locked" | "suspended") {
            rest["host"] = reference("hosts", model.hosts.first().map_or("", |h| h.id.as_str()));
        }
        if vm.reports
            && let Some(guest) = guest
        {
            rest["fqdn"] = json!(guest.host_name);
            rest["guest_operating_system"] = json!({
                "family": if windows { "Windows" } else { "Linux" }, "distribution": guest.full_name, "version": {"full_version": guest.os_info},
            });
        }
        &["diskattachments", "nics", "snapshots", "reporteddevices", "cdroms", "hostdevices", "watchdogs"]
    };
    object(collection(vm), &vm.id, &vm.name, links, rest)
}

/// An adapter of a VM or template.
pub fn nic(vm: &Vm, nic: &Nic) -> Value {
    object(
        &format!("{}/{}/nics", collection(vm), vm.id),
        &nic.id,
        &nic.name,
        &[],
        json!({
            "interface": "virtio", "linked": "true", "plugged": "true", "mac": {"address": nic.mac},
            "vnic_profile": reference("vnicprofiles", &nic.profile), collection(vm).trim_end_matches('s'): reference(collection(vm), &vm.id),
        }),
    )
}

/// A disk in its place at a VM or template.
pub fn attachment(vm: &Vm, disk: &str) -> Value {
    let place = format!("{}/{}/diskattachments", collection(vm), vm.id);
    let boots = vm.disks.first().is_some_and(|first| first == disk);
    let mut out = object(
        &place,
        disk,
        "",
        &[],
        json!({
            "active": "true", "bootable": boots.to_string(), "interface": "virtio_scsi", "pass_discard": "false", "read_only": "false",
            "uses_scsi_reservation": "false", "disk": reference("disks", disk), collection(vm).trim_end_matches('s'): reference(collection(vm), &vm.id),
        }),
    );
    if let Some(map) = out.as_object_mut() {
        map.remove("name");
    }
    out
}

/// A snapshot.
pub fn snapshot(vm: &Vm, snapshot: &Snapshot, kind: &str) -> Value {
    let mut out = object(
        &format!("vms/{}/snapshots", vm.id),
        &snapshot.id,
        "",
        &["disks", "nics"],
        json!({
            "description": snapshot.description, "date": moment(snapshot.date), "persist_memorystate": "false",
            "snapshot_status": snapshot.status, "snapshot_type": kind, "vm": reference("vms", &vm.id),
        }),
    );
    if let Some(map) = out.as_object_mut() {
        map.remove("name");
    }
    out
}

/// All snapshots of a VM: those that were taken, and the running state, which the engine lists first.
pub fn snapshots(vm: &Vm) -> Vec<Value> {
    let active =
        Snapshot { id: format!("{}-active", vm.id), description: "Active VM".to_owned(), date: vm.created, status: "ok".to_owned() };
    std::iter::once(snapshot(vm, &active, "active")).chain(vm.snapshots.iter().map(|s| snapshot(vm, s, "regular"))).collect()
}

/// What the guest's agent reports.
pub fn reported(vm: &Vm) -> Vec<Value> {
    if !vm.reports {
        return Vec::new();
    }
    let device = |(index, nic): (usize, &Nic)| {
        let dhcp = [format!("192.0.2.{}", 10 + index)];
        let addresses = if nic.addresses.is_empty() { &dhcp[..] } else { &nic.addresses[..] };
        let ip =
            |a: &String| json!({"address": a.split('/').next().unwrap_or_default(), "version": if a.contains(':') { "v6" } else { "v4" }});
        object(
            &format!("vms/{}/reporteddevices", vm.id),
            &nic.id,
            &format!("eth{index}"),
            &[],
            json!({
                "type": "network", "mac": {"address": nic.mac}, "ips": {"ip": addresses.iter().map(ip).collect::<Vec<_>>()},
            }),
        )
    };
    vm.nics.iter().enumerate().map(device).collect()
}

/// An event.
pub fn event(event: &Event) -> Value {
    let id = event.id.to_string();
    let mut out = json!({
        "id": id, "href": format!("{API}/events/{id}"), "index": id, "code": event.code.to_string(), "severity": event.severity,
        "description": event.description, "time": moment(event.time), "origin": "oVirt", "custom_id": "-1", "flood_rate": "30",
    });
    if !event.correlation.is_empty() {
        out["correlation_id"] = json!(event.correlation);
    }
    if let Some(vm) = &event.vm {
        out["vm"] = json!({"id": vm.id, "href": format!("{API}/vms/{}", vm.id), "name": vm.name});
    }
    out
}

/// A job.
pub fn job(job: &Job) -> Value {
    json!({
        "id": job.id, "href": format!("{API}/jobs/{}", job.id), "description": job.description, "status": job.status,
        "correlation_id": job.correlation, "start_time": moment(job.started), "external": "false", "auto_cleared": "true",
    })
}
