//! Nova: servers, flavors, actions.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    Cloud,
    model::{Flavor, Model, Server, content},
    reply::{Ask, Reply, time},
};
use crate::faults::Server as Target;

/// Building a server.
const BUILD: Duration = Duration::from_secs(10);
/// Starting one.
const START: Duration = Duration::from_secs(4);
/// A guest that shuts itself down.
const STOP: Duration = Duration::from_secs(6);
/// Deleting one.
const DELETE: Duration = Duration::from_secs(3);
/// An image of one.
const IMAGE: Duration = Duration::from_secs(6);
/// Flavors are part of servers from this minor version on.
const EMBEDDED_FLAVOR: u32 = 47;
/// The answer of `createImage` names the image from this minor version on.
const IMAGE_ID: u32 = 45;

fn flavor(flavor: &Flavor) -> Value {
    json!({
        "id": flavor.id, "name": flavor.name, "vcpus": flavor.vcpus, "ram": flavor.ram, "disk": flavor.disk, "swap": 0,
        "OS-FLV-EXT-DATA:ephemeral": 0, "OS-FLV-DISABLED:disabled": false, "os-flavor-access:is_public": true, "rxtx_factor": 1.0,
        "extra_specs": {}, "description": null, "links": [],
    })
}

fn server(cloud: &Cloud, model: &Model, server: &Server, minor: u32) -> Value {
    let mut addresses = Map::new();
    for port in server.ports.iter().filter_map(|id| model.ports.get(id)) {
        let name = model.networks.iter().find(|n| n.id == port.network).map_or("", |n| n.name.as_str());
        let address = json!({ "addr": port.address, "version": 4, "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": port.mac });
        if let Some(list) = addresses.entry(name).or_insert_with(|| json!([])).as_array_mut() {
            list.push(address);
        }
    }
    let found = model.flavors.iter().find(|f| f.id == server.flavor);
    let flavor = match found {
        Some(f) if minor >= EMBEDDED_FLAVOR => {
            json!({ "original_name": f.name, "vcpus": f.vcpus, "ram": f.ram, "disk": f.disk, "ephemeral": 0, "swap": 0, "extra_specs": {} })
        }
        _ => json!({ "id": server.flavor, "links": [] }),
    };
    let volumes: Vec<Value> = model
        .volumes_of(&server.id)
        .into_iter()
        .map(|volume| json!({ "id": volume.id, "delete_on_termination": volume.attached.as_ref().is_some_and(|at| at.2) }))
        .collect();
    let active = server.status == "ACTIVE";
    let url = format!("{}/compute/v2.1/servers/{}", cloud.inner.address, server.id);
    let mut out = json!({
        "id": server.id, "name": server.name, "status": server.status, "tenant_id": model.project,
        "user_id": "0a5eb0a5eb0a5eb0a5eb0a5eb0a5eb0a", "metadata": server.metadata, "hostId": "lab-host", "flavor": flavor,
        "image": server.image.as_ref().map_or(json!(""), |id| json!({ "id": id, "links": [] })), "addresses": addresses,
        "created": time(server.created), "updated": time(server.created), "accessIPv4": "", "accessIPv6": "", "key_name": null,
        "config_drive": "", "progress": if active { 100 } else { 0 }, "security_groups": [{ "name": "default" }], "tags": [],
        "OS-DCF:diskConfig": "AUTO", "OS-EXT-AZ:availability_zone": "nova", "OS-EXT-STS:task_state": server.task,
        "OS-EXT-STS:vm_state": match server.status { "ACTIVE" => "active", "SHUTOFF" => "stopped", "ERROR" => "error", _ => "building" },
        "OS-EXT-STS:power_state": if active { 1 } else { 4 }, "os-extended-volumes:volumes_attached": volumes,
        "OS-SRV-USG:launched_at": null, "OS-SRV-USG:terminated_at": null, "description": null, "locked": false,
        "links": [{ "rel": "self", "href": url }],
    });
    if let Some(fault) = &server.fault {
        out["fault"] = json!({ "code": 500, "created": time(server.created), "message": fault });
    }
    out
}

/// Answers a request.
pub fn answer(cloud: &Cloud, ask: &Ask<'_>) -> Reply {
    let model = cloud.model();
    match (ask.method, ask.path) {
        (&Method::GET, ["servers"]) => list(cloud, &model, ask, false),
        (&Method::GET, ["servers", "detail"]) => list(cloud, &model, ask, true),
        (&Method::GET, ["servers", id]) => match model.servers.get(*id) {
            Some(found) => Reply::ok(json!({ "server": server(cloud, &model, found, ask.minor) })),
            None => Reply::refused(StatusCode::NOT_FOUND, &format!("Instance {id} could not be found.")),
        },
        (&Method::GET, ["servers", id, "os-volume_attachments"]) => {
            let one = |v: &super::model::Volume| json!({ "id": v.id, "volumeId": v.id, "serverId": id, "device": v.attached.as_ref().map(|at| at.1.clone()) });
            Reply::ok(json!({ "volumeAttachments": model.volumes_of(id).into_iter().map(one).collect::<Vec<_>>() }))
        }
        (&Method::GET, ["servers", id, "os-interface"]) => {
            let ports = model.ports.values().filter(|p| p.server == *id);
            let one = |p: &super::model::Port| json!({ "port_id": p.id, "net_id": p.network, "mac_addr": p.mac, "port_state": "ACTIVE", "fixed_ips": [{ "ip_address": p.address }] });
            Reply::ok(json!({ "interfaceAttachments": ports.map(one).collect::<Vec<_>>() }))
        }
        (&Method::GET, ["servers", id, "metadata"]) => match model.servers.get(*id) {
            Some(found) => Reply::ok(json!({ "metadata": found.metadata })),
            None => Reply::missing("Instance", id),
        },
        (&Method::GET, ["flavors"]) => ask.page(
            "flavors",
            &format!("{}/compute/v2.1/flavors", cloud.inner.address),
            model.flavors.iter().map(|f| json!({ "id": f.id, "name": f.name, "links": [] })).collect(),
        ),
        (&Method::GET, ["flavors", "detail"]) => Reply::ok(json!({ "flavors": model.flavors.iter().map(flavor).collect::<Vec<_>>() })),
        (&Method::GET, ["flavors", id]) => match model.flavors.iter().find(|f| f.id == *id) {
            Some(found) => Reply::ok(json!({ "flavor": flavor(found) })),
            None => Reply::missing("Flavor", id),
        },
        (&Method::GET, ["flavors", _, "os-extra_specs"]) => Reply::ok(json!({ "extra_specs": {} })),
        (&Method::GET, ["os-keypairs"]) => Reply::ok(json!({ "keypairs": [] })),
        (&Method::GET, ["os-availability-zone"]) => {
            Reply::ok(json!({ "availabilityZoneInfo": [{ "zoneName": "nova", "zoneState": { "available": true }, "hosts": null }] }))
        }
        (&Method::GET, ["extensions"]) => Reply::ok(json!({ "extensions": [] })),
        (&Method::POST, ["servers"]) => create(cloud, model, ask),
        (&Method::POST, ["servers", id, "action"]) => act(cloud, model, ask, id),
        (&Method::DELETE, ["servers", id]) => remove(cloud, model, id),
        _ => Reply::missing("Resource", &ask.path.join("/")),
    }
}

type Locked<'a> = std::sync::MutexGuard<'a, Model>;

fn list(cloud: &Cloud, model: &Model, ask: &Ask<'_>, detail: bool) -> Reply {
    // Nova reads the name as a regular expression; one that is none finds nothing.
    let name = ask.query.get("name").map(|name| regex::Regex::new(name));
    let wanted = |s: &&Server| {
        let named = match &name {
            Some(Ok(name)) => name.is_match(&s.name),
            Some(Err(_)) => false,
            None => true,
        };
        named && ask.query.get("status").is_none_or(|status| status.eq_ignore_ascii_case(s.status))
    };
    let show = |s: &Server| if detail { server(cloud, model, s, ask.minor) } else { json!({ "id": s.id, "name": s.name, "links": [] }) };
    let url = format!("{}/compute/v2.1/servers{}", cloud.inner.address, if detail { "/detail" } else { "" });
    ask.page("servers", &url, model.servers.values().filter(wanted).map(show).collect())
}

fn create(cloud: &Cloud, mut model: Locked<'_>, ask: &Ask<'_>) -> Reply {
    let bad = |text: &str| Reply::refused(StatusCode::BAD_REQUEST, text);
    let flavor = ask.text("/server/flavorRef").rsplit('/').next().unwrap_or_default().to_owned();
    if !model.flavors.iter().any(|f| f.id == flavor) {
        return bad(&format!("Flavor {flavor} could not be found."));
    }
    let name = ask.text("/server/name").to_owned();
    if name.is_empty() {
        return bad("Invalid input for field/attribute name.");
    }
    let networks: Vec<String> = ask
        .body
        .pointer("/server/networks")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(|n| Some(n["uuid"].as_str()?.to_owned())).collect())
        .unwrap_or_default();
    if let Some(unknown) = networks.iter().find(|id| !model.networks.iter().any(|n| n.id == **id)) {
        return bad(&format!("Network {unknown} could not be found."));
    }
    let id = model.id();
    let mut image = Some(ask.text("/server/imageRef").to_owned()).filter(|image| !image.is_empty());
    let mappings = ask.body.pointer("/server/block_device_mapping_v2").and_then(Value::as_array).cloned().unwrap_or_default();
    for (index, mapping) in mappings.iter().enumerate() {
        let source = mapping["uuid"].as_str().unwrap_or_default().to_owned();
        if mapping["source_type"] == "image" {
            image = Some(source);
            continue;
        }
        let device = format!("/dev/vd{}", char::from(b'a' + u8::try_from(index).unwrap_or(25)));
        let goes = mapping["delete_on_termination"] == true;
        match model.volumes.get_mut(&source) {
            Some(volume) if volume.status == "available" => {
                volume.status = "in-use";
                volume.bootable |= mapping["boot_index"] == 0;
                volume.attached = Some((id.clone(), device, goes));
            }
            Some(volume) => {
                return bad(&format!("Invalid volume: volume {source} status must be 'available'. Currently in '{}'", volume.status));
            }
            None => return bad(&format!("Volume {source} could not be found.")),
        }
    }
    if let Some(image) = image.as_ref().filter(|image| !model.images.contains_key(*image)) {
        return bad(&format!("Image {image} could not be found."));
    }
    if image.is_none() && mappings.is_empty() {
        return bad(
            "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.",
        );
    }
    let ports = networks.iter().map(|network| model.port(network, &id)).collect();
    let created = model.now();
    let made = Server {
        id: id.clone(),
        name,
        status: "BUILD",
        task: Some("spawning"),
        flavor,
        image,
        metadata: ask.map("/server/metadata"),
        ports,
        fault: None,
        created,
    };
    model.servers.insert(id.clone(), made);
    drop(model);
    let built = id.clone();
    cloud.later(BUILD, move |cloud, model| {
        let Some(server) = model.servers.get_mut(&built) else { return };
        server.task = None;
        if let Some(why) = cloud.inner.world.faults.fails(Target::Openstack, "server", &server.name) {
            server.status = "ERROR";
            server.fault = Some(why);
        } else {
            server.status = "ACTIVE";
        }
    });
    let url = format!("{}/compute/v2.1/servers/{id}", cloud.inner.address);
    Reply::accepted(
        json!({ "server": { "id": id, "adminPass": "", "links": [{ "rel": "self", "href": url }], "OS-DCF:diskConfig": "AUTO", "security_groups": [{ "name": "default" }] } }),
    )
}

fn act(cloud: &Cloud, mut model: Locked<'_>, ask: &Ask<'_>, id: &str) -> Reply {
    let action = ask.body.as_object().and_then(|body| body.keys().next()).cloned().unwrap_or_default();
    let Some(server) = model.servers.get_mut(id) else {
        return Reply::refused(StatusCode::NOT_FOUND, &format!("Instance {id} could not be found."));
    };
    let conflict = |server: &Server| {
        let text = format!("Cannot '{action}' instance {id} while it is in vm_state {}", server.status.to_lowercase());
        Reply::refused(StatusCode::CONFLICT, &text)
    };
    match action.as_str() {
        "os-start" | "os-stop" => {
            let (from, to, task, pause) = if action == "os-start" {
                ("SHUTOFF", "ACTIVE", "powering-on", START)
            } else {
                ("ACTIVE", "SHUTOFF", "powering-off", STOP)
            };
            if server.status != from || server.task.is_some() {
                return conflict(server);
            }
            server.task = Some(task);
            let id = id.to_owned();
            drop(model);
            cloud.later(pause, move |_, model| {
                if let Some(server) = model.servers.get_mut(&id).filter(|server| server.task == Some(task)) {
                    (server.status, server.task) = (to, None);
                }
            });
            Reply::empty(StatusCode::ACCEPTED)
        }
        "createImage" => {
            let server = server.clone();
            create_image(cloud, model, ask, &server)
        }
        _ => Reply::refused(StatusCode::BAD_REQUEST, &format!("There is no such action: {action}")),
    }
}

/// An image of a server: its own content if it boots from an image, and snapshots of all its volumes.
fn create_image(cloud: &Cloud, mut model: Locked<'_>, ask: &Ask<'_>, server: &Server) -> Reply {
    let name = ask.text("/createImage/name").to_owned();
    let mut properties = match server.image.as_ref().and_then(|id| model.images.get(id)) {
        Some(image) => image.properties.clone(),
        None => model.volumes_of(&server.id).first().map(|v| v.image_metadata.clone()).unwrap_or_default(),
    };
    properties.extend(ask.map("/createImage/metadata"));
    properties.insert("image_type".to_owned(), json!("snapshot"));
    let volumes: Vec<(String, u64)> = model.volumes_of(&server.id).into_iter().map(|v| (v.id.clone(), v.size)).collect();
    let snapshots: Vec<String> = volumes
        .iter()
        .map(|(volume, size)| super::volume::snap(cloud, &mut model, &format!("snapshot for {name}"), volume, *size, Map::new()))
        .collect();
    let id = model.image(&name, properties);
    if let Some(image) = model.images.get_mut(&id) {
        image.status = "saving";
        if server.image.is_none() {
            image.size = 0;
            image.properties.insert("block_device_mapping".to_owned(), json!(json!(snapshots).to_string()));
        }
    }
    if let Some(own) = &server.image {
        model.world.disks.copy(&content(own), content(&id));
    }
    drop(model);
    let saved = id.clone();
    cloud.later(IMAGE, move |cloud, model| {
        let Some(image) = model.images.get_mut(&saved) else { return };
        let failed = cloud.inner.world.faults.fails(Target::Openstack, "image", &image.name).is_some();
        image.status = if failed { "killed" } else { "active" };
    });
    if ask.minor >= IMAGE_ID { Reply::accepted(json!({ "image_id": id })) } else { Reply::empty(StatusCode::ACCEPTED) }
}

fn remove(cloud: &Cloud, mut model: Locked<'_>, id: &str) -> Reply {
    let Some(server) = model.servers.get_mut(id) else {
        return Reply::refused(StatusCode::NOT_FOUND, &format!("Instance {id} could not be found."));
    };
    server.task = Some("deleting");
    drop(model);
    let id = id.to_owned();
    cloud.later(DELETE, move |_, model| model.remove_server(&id));
    Reply::empty(StatusCode::NO_CONTENT)
}
