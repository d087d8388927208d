//! A server as Nova shows it, by the minor version that is asked for.

use serde_json::{Map, Value, json};

use super::super::{
    Cloud,
    identity::USER,
    model::{Flavor, Model, Server},
    reply::time,
};

/// The only host.
pub const HOST: &str = "compute-0.lab";
/// Flavors are part of servers from this minor version on.
const EMBEDDED_FLAVOR: u32 = 47;

/// The status that people see, of a server's state and of what is being done.
pub fn status(server: &Server) -> &'static str {
    match (server.status, server.task) {
        ("ACTIVE", Some("rebooting")) => "REBOOT",
        ("ACTIVE" | "SHUTOFF", Some("rebooting_hard")) => "HARD_REBOOT",
        ("ACTIVE" | "SHUTOFF", Some("resize_prep")) => "RESIZE",
        ("VERIFY_RESIZE", Some("resize_reverting")) => "REVERT_RESIZE",
        (status, _) => status,
    }
}

/// The state as actions know it.
pub fn vm_state(server: &Server) -> &'static str {
    match server.status {
        "ACTIVE" => "active",
        "SHUTOFF" => "stopped",
        "PAUSED" => "paused",
        "SUSPENDED" => "suspended",
        "VERIFY_RESIZE" => "resized",
        "RESCUE" => "rescued",
        "SHELVED_OFFLOADED" => "shelved_offloaded",
        "ERROR" => "error",
        _ => "building",
    }
}

fn power_state(server: &Server) -> u8 {
    match server.status {
        "ACTIVE" | "VERIFY_RESIZE" | "RESCUE" => 1,
        "PAUSED" => 3,
        "SHUTOFF" | "SUSPENDED" | "SHELVED_OFFLOADED" => 4,
        _ => 0,
    }
}

/// Links of a resource.
pub fn links(cloud: &Cloud, kind: &str, id: &str) -> Value {
    let address = &cloud.inner.address;
    json!([
        { "rel": "self", "href": format!("{address}/compute/v2.1/{kind}/{id}") },
        { "rel": "bookmark", "href": format!("{address}/compute/{kind}/{id}") },
    ])
}

fn bookmark(cloud: &Cloud, kind: &str, id: &str) -> Value {
    json!([{ "rel": "bookmark", "href": format!("{}/compute/{kind}/{id}", cloud.inner.address) }])
}

/// Addresses by the names of their networks.
pub fn addresses(model: &Model, server: &Server) -> Map<String, Value> {
    let mut out = Map::new();
    for port in server.ports.iter().filter_map(|id| model.ports.get(id)) {
        let name = model.networks.iter().find(|n| n.id == port.network).map_or("", |n| n.name.as_str());
        for (_, ip) in &port.addresses {
            let address = json!({ "addr": ip.to_string(), "version": 4, "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": port.mac });
            if let Some(list) = out.entry(name).or_insert_with(|| json!([])).as_array_mut() {
                list.push(address);
            }
        }
    }
    out
}

fn flavor(cloud: &Cloud, flavor: &Flavor, minor: u32) -> Value {
    if minor < EMBEDDED_FLAVOR {
        return json!({ "id": flavor.id, "links": bookmark(cloud, "flavors", &flavor.id) });
    }
    json!({
        "original_name": flavor.name, "vcpus": flavor.vcpus, "ram": flavor.ram, "disk": flavor.disk, "ephemeral": flavor.ephemeral,
        "swap": flavor.swap, "extra_specs": flavor.extra_specs,
    })
}

/// The server.
pub fn shown(cloud: &Cloud, model: &Model, server: &Server, minor: u32) -> Value {
    let volumes = model.volumes_of(&server.id).into_iter().map(|volume| {
        let mut one = json!({ "id": volume.id });
        if minor >= 3 {
            one["delete_on_termination"] = json!(volume.attached.as_ref().is_some_and(|at| at.goes));
        }
        one
    });
    let groups: Vec<Value> = server
        .ports
        .iter()
        .filter_map(|port| model.ports.get(port))
        .flat_map(|port| model.groups.iter().filter(|group| port.groups.contains(&group.id)))
        .map(|group| json!({ "name": group.name }))
        .collect();
    let launched = (server.status != "BUILD" && server.status != "ERROR").then(|| fine(server.created));
    let mut out = json!({
        "id": server.id, "name": server.name, "status": status(server), "tenant_id": model.project, "user_id": USER,
        "metadata": server.metadata, "hostId": crate::vsphere::model::uuid(0x10, HOST).replace('-', ""),
        "image": server.image.as_ref().map_or(json!(""), |id| json!({ "id": id, "links": bookmark(cloud, "images", id) })),
        "flavor": flavor(cloud, &server.flavor, minor), "created": time(server.created), "updated": time(server.updated),
        "addresses": addresses(model, server), "accessIPv4": "", "accessIPv6": "", "links": links(cloud, "servers", &server.id),
        "OS-DCF:diskConfig": "AUTO", "OS-EXT-AZ:availability_zone": "nova", "config_drive": "", "key_name": server.key,
        "OS-SRV-USG:launched_at": launched, "OS-SRV-USG:terminated_at": null, "OS-EXT-SRV-ATTR:host": HOST,
        "OS-EXT-SRV-ATTR:instance_name": format!("instance-{}", &server.id[..8]), "OS-EXT-SRV-ATTR:hypervisor_hostname": HOST,
        "OS-EXT-STS:task_state": server.task, "OS-EXT-STS:vm_state": vm_state(server), "OS-EXT-STS:power_state": power_state(server),
        "os-extended-volumes:volumes_attached": volumes.collect::<Vec<_>>(),
    });
    if !groups.is_empty() {
        out["security_groups"] = json!(groups);
    }
    if matches!(status(server), "ACTIVE" | "BUILD" | "REBOOT" | "HARD_REBOOT" | "RESIZE" | "VERIFY_RESIZE" | "PAUSED") {
        out["progress"] = json!(0);
    }
    if let Some(fault) = &server.fault {
        out["fault"] = json!({ "code": 500, "created": time(server.created), "message": fault, "details": fault });
    }
    let name = &server.name;
    let since: [(u32, &str, Value); 16] = [
        (3, "OS-EXT-SRV-ATTR:hostname", json!(name.to_lowercase().replace(' ', "-"))),
        (3, "OS-EXT-SRV-ATTR:reservation_id", json!(format!("r-{}", &server.id[..8]))),
        (3, "OS-EXT-SRV-ATTR:launch_index", json!(0)),
        (3, "OS-EXT-SRV-ATTR:kernel_id", json!("")),
        (3, "OS-EXT-SRV-ATTR:ramdisk_id", json!("")),
        (3, "OS-EXT-SRV-ATTR:root_device_name", json!("/dev/vda")),
        (3, "OS-EXT-SRV-ATTR:user_data", Value::Null),
        (9, "locked", json!(server.locked)),
        (16, "host_status", json!("UP")),
        (19, "description", json!(server.description)),
        (26, "tags", json!(server.tags)),
        (63, "trusted_image_certificates", Value::Null),
        (71, "server_groups", groups_of(model, server)),
        (73, "locked_reason", Value::Null),
        (90, "hostname", json!(name.to_lowercase().replace(' ', "-"))),
        (96, "pinned_availability_zone", Value::Null),
    ];
    for (from, key, value) in since {
        if minor >= from {
            out[key] = value;
        }
    }
    out
}

fn groups_of(model: &Model, server: &Server) -> Value {
    model.server_groups.iter().filter(|group| group.members.contains(&server.id)).map(|group| json!(group.id)).collect()
}

fn fine(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}
