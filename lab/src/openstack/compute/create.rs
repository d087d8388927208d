//! Creating servers: what a request must say, what a server boots from, its networks.

use std::{net::Ipv4Addr, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    super::{
        Cloud,
        model::{Flavor, Model, Server, content},
        reply::{Answered, Ask, Fault, Reply},
    },
    Locked, invalid,
    server::links,
    unexpected,
};
use crate::faults::Server as Target;

/// Building a server.
const BUILD: Duration = Duration::from_secs(10);
/// `networks` must be said, and may be `auto` or `none`, from this minor version on.
const NETWORKS: u32 = 37;
/// Names of what a request may have, with the minor version that brought it.
const KEYS: &[(&str, u32)] = &[
    ("name", 1),
    ("flavorRef", 1),
    ("imageRef", 1),
    ("networks", 1),
    ("metadata", 1),
    ("block_device_mapping_v2", 1),
    ("block_device_mapping", 1),
    ("security_groups", 1),
    ("availability_zone", 1),
    ("key_name", 1),
    ("user_data", 1),
    ("config_drive", 1),
    ("min_count", 1),
    ("max_count", 1),
    ("adminPass", 1),
    ("accessIPv4", 1),
    ("accessIPv6", 1),
    ("OS-DCF:diskConfig", 1),
    ("return_reservation_id", 1),
    ("personality", 1),
    ("description", 19),
    ("tags", 52),
    ("trusted_image_certificates", 63),
    ("host", 74),
    ("hypervisor_hostname", 74),
    ("hostname", 90),
];
const NO_BOOT: &str =
    "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.";

/// What a server gets, checked before anything is made.
struct Order {
    name: String,
    flavor: Flavor,
    image: Option<String>,
    disks: Vec<Wanted>,
    networks: Vec<Nic>,
    groups: Option<Vec<String>>,
}

/// A volume that a server gets.
struct Wanted {
    from: From,
    device: String,
    goes: bool,
    boots: bool,
}

enum From {
    Volume(String),
    Snapshot(String, u64),
    Image(String, u64),
    Blank(u64),
}

enum Nic {
    Network(String, Option<Ipv4Addr>),
    Port(String),
}

/// Begins to create one or more.
pub fn create(cloud: &Cloud, mut model: Locked<'_>, ask: &Ask<'_>) -> Answered {
    let order = read(&model, ask)?;
    let count = ask.number("/server/min_count").unwrap_or(1).max(ask.number("/server/max_count").unwrap_or(1)).clamp(1, 100);
    let given =
        order.disks.iter().any(|disk| matches!(disk.from, From::Volume(_))) || order.networks.iter().any(|nic| matches!(nic, Nic::Port(_)));
    if count > 1 && given {
        return Err(Fault::bad("Invalid volume or port: it cannot be given to more than one server."));
    }
    let mut first = String::new();
    for number in 1..=count {
        let name = if count > 1 { format!("{}-{number}", order.name) } else { order.name.clone() };
        let id = make(&mut model, ask, &order, name)?;
        if first.is_empty() {
            first.clone_from(&id);
        }
        build_later(cloud, id);
    }
    if ask.body.pointer("/server/return_reservation_id") == Some(&json!(true)) {
        return Ok(Reply::accepted(json!({ "reservation_id": format!("r-{}", &first[..8]) })));
    }
    let location = format!("{}/compute/v2.1/servers/{first}", cloud.inner.address);
    let groups = order.groups.unwrap_or_else(|| vec!["default".to_owned()]);
    let password: String = first.chars().filter(char::is_ascii_alphanumeric).skip(20).take(12).collect();
    Ok(Reply::accepted(json!({ "server": {
        "id": first, "adminPass": password, "links": links(cloud, "servers", &first), "OS-DCF:diskConfig": "AUTO",
        "security_groups": groups.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
    } }))
    .with("Location", location))
}

fn read(model: &Model, ask: &Ask<'_>) -> Result<Order, Fault> {
    let wanted = &ask.body["server"];
    let Some(fields) = wanted.as_object() else { return Err(invalid(&ask.body.to_string(), "'server' is a required property")) };
    for key in fields.keys() {
        if !KEYS.iter().any(|(known, from)| known == key && *from <= ask.minor) {
            return Err(unexpected("server", wanted, key));
        }
    }
    for key in ["name", "flavorRef"] {
        if fields.get(key).and_then(Value::as_str).is_none_or(|text| text.trim().is_empty()) {
            return Err(invalid(&wanted.to_string(), &format!("'{key}' is a required property")));
        }
    }
    let flavor = ask.text("/server/flavorRef").rsplit('/').next().unwrap_or_default().to_owned();
    let flavor = model.flavors.iter().find(|f| f.id == flavor).ok_or_else(|| Fault::bad(format!("Flavor {flavor} could not be found.")))?;
    if let Some((key, value)) = ask.map("/server/metadata").iter().find(|(_, value)| !value.is_string()) {
        return Err(Fault::bad(format!("Invalid input for field/attribute {key}. Value: {value}. {value} is not of type 'string'")));
    }
    let key = ask.text("/server/key_name");
    if !key.is_empty() && !model.keys.contains_key(key) {
        return Err(Fault::bad("Invalid key_name provided."));
    }
    let zone = ask.text("/server/availability_zone");
    if !zone.is_empty() && zone.split(':').next() != Some("nova") {
        return Err(Fault::bad("The requested availability zone is not available"));
    }
    let (image, disks) = disks(model, ask)?;
    if let Some(image) = image.as_ref().and_then(|id| model.images.get(id)) {
        if image.status != "active" {
            return Err(Fault::bad(format!("Image {} is not active.", image.id)));
        }
        if flavor.disk != 0 && flavor.disk < image.min_disk {
            return Err(Fault::bad(
                "Flavor's disk is too small for requested image. Flavor disk is smaller than the minimum size specified in image metadata.",
            ));
        }
        if flavor.ram < image.min_ram {
            return Err(Fault::bad("Flavor's memory is too small for requested image."));
        }
    }
    Ok(Order {
        name: ask.text("/server/name").trim().to_owned(),
        flavor: flavor.clone(),
        image,
        disks,
        networks: networks(model, ask)?,
        groups: groups(model, ask)?,
    })
}

fn groups(model: &Model, ask: &Ask<'_>) -> Result<Option<Vec<String>>, Fault> {
    let Some(wanted) = ask.body.pointer("/server/security_groups").and_then(Value::as_array) else { return Ok(None) };
    let mut names = Vec::new();
    for name in wanted.iter().filter_map(|group| group["name"].as_str()) {
        let found = model.groups.iter().find(|group| group.name == name || group.id == name);
        let found = found.ok_or_else(|| Fault::bad(format!("Security group {name} not found for project {}.", model.project)))?;
        names.push(found.name.clone());
    }
    Ok(Some(names).filter(|names| !names.is_empty()))
}

/// What the server boots from if that is an image, and its volumes.
fn disks(model: &Model, ask: &Ask<'_>) -> Result<(Option<String>, Vec<Wanted>), Fault> {
    let named = Some(ask.text("/server/imageRef").rsplit('/').next().unwrap_or_default().to_owned()).filter(|image| !image.is_empty());
    let mappings = ask.body.pointer("/server/block_device_mapping_v2").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut image = None;
    let mut disks = Vec::new();
    let mut boots = 0;
    for mapping in &mappings {
        let text = |key: &str| mapping[key].as_str().unwrap_or_default().to_owned();
        let index = mapping["boot_index"].as_i64().or_else(|| mapping["boot_index"].as_str()?.parse().ok());
        let is_first = index == Some(0);
        boots += u32::from(is_first);
        let size = mapping["volume_size"].as_u64().or_else(|| mapping["volume_size"].as_str()?.parse().ok());
        let uuid = text("uuid");
        let from = match (text("source_type").as_str(), text("destination_type").as_str()) {
            ("image", "local" | "") => {
                exists(model, &uuid)?;
                if !is_first {
                    return Err(Fault::bad("Mapping image to local is not supported."));
                }
                image = Some(uuid);
                continue;
            }
            ("image", "volume") => {
                exists(model, &uuid)?;
                let size =
                    size.ok_or_else(|| Fault::bad("Images with destination_type 'volume' need to have a non-zero size specified"))?;
                From::Image(uuid, size)
            }
            ("snapshot", _) => match model.snapshots.get(&uuid) {
                Some(snapshot) => From::Snapshot(uuid, size.unwrap_or(snapshot.size)),
                None => return Err(Fault::bad(format!("Block Device Mapping is Invalid: failed to get snapshot {uuid}."))),
            },
            ("blank", "volume") => {
                From::Blank(size.ok_or_else(|| Fault::bad("Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size"))?)
            }
            ("blank", _) => continue,
            ("volume", _) => match model.volumes.get(&uuid) {
                Some(volume) if volume.status == "available" => From::Volume(uuid),
                Some(volume) => {
                    return Err(Fault::bad(format!(
                        "Invalid volume: volume '{uuid}' status must be 'available'. Currently in '{}'",
                        volume.status
                    )));
                }
                None => return Err(Fault::bad(format!("Block Device Mapping is Invalid: failed to get volume {uuid}."))),
            },
            (other, _) => {
                return Err(Fault::bad(format!(
                    "Invalid input for field/attribute source_type. Value: {other}. '{other}' is not one of ['volume', 'image', 'snapshot', 'blank']"
                )));
            }
        };
        let goes = matches!(&mapping["delete_on_termination"], Value::Bool(true)) || mapping["delete_on_termination"] == "true";
        disks.push(Wanted { from, device: text("device_name"), goes, boots: is_first });
    }
    if let Some(named) = named {
        exists(model, &named)?;
        match &image {
            Some(mapped) if *mapped != named => return Err(Fault::bad(NO_BOOT)),
            Some(_) => {}
            // An image that is named has the first place by itself.
            None if boots == 0 => (image, boots) = (Some(named), 1),
            None => return Err(Fault::bad(NO_BOOT)),
        }
    }
    if boots != 1 {
        return Err(Fault::bad(NO_BOOT));
    }
    // What boots comes first, whatever the order of the request.
    disks.sort_by_key(|disk| !disk.boots);
    Ok((image, disks))
}

fn exists(model: &Model, image: &str) -> Result<(), Fault> {
    if model.images.contains_key(image) { Ok(()) } else { Err(Fault::bad(format!("Image {image} could not be found."))) }
}

fn networks(model: &Model, ask: &Ask<'_>) -> Result<Vec<Nic>, Fault> {
    let all = || match model.networks.as_slice() {
        [] => Ok(Vec::new()),
        [one] => Ok(vec![Nic::Network(one.id.clone(), None)]),
        _ => Err(Fault::conflict("Multiple possible networks found, use a Network ID to be more specific.")),
    };
    match ask.body.pointer("/server/networks") {
        None if ask.minor >= NETWORKS => Err(invalid(&ask.body["server"].to_string(), "'networks' is a required property")),
        Some(Value::String(word)) if ask.minor >= NETWORKS && word == "none" => Ok(Vec::new()),
        Some(Value::String(word)) if ask.minor >= NETWORKS && word == "auto" => all(),
        Some(Value::Array(list)) if !list.is_empty() => list.iter().map(|nic| network(model, nic)).collect(),
        None | Some(Value::Array(_)) => all(),
        Some(other) => Err(Fault::bad(format!(
            "Invalid input for field/attribute networks. Value: {other}. {other} is not valid under any of the given schemas"
        ))),
    }
}

fn network(model: &Model, nic: &Value) -> Result<Nic, Fault> {
    if let Some(port) = nic["port"].as_str() {
        return match model.ports.get(port) {
            Some(found) if found.device.is_empty() => Ok(Nic::Port(port.to_owned())),
            Some(_) => Err(Fault::conflict(format!("Port {port} is still in use."))),
            None => Err(Fault::bad(format!("Port id {port} could not be found."))),
        };
    }
    let id = nic["uuid"].as_str().unwrap_or_default();
    if !model.networks.iter().any(|n| n.id == id) {
        return Err(Fault::bad(format!("Network {id} could not be found.")));
    }
    Ok(Nic::Network(id.to_owned(), nic["fixed_ip"].as_str().and_then(|ip| ip.parse().ok())))
}

/// Puts a server into the model, with its ports and volumes.
fn make(model: &mut Model, ask: &Ask<'_>, order: &Order, name: String) -> Result<String, Fault> {
    let (id, created) = (model.id(), model.now());
    let request = format!("req-{}", model.id());
    let mut ports = Vec::new();
    for nic in &order.networks {
        ports.push(match nic {
            Nic::Network(network, wanted) => model
                .port(network, &id, *wanted)
                .ok_or_else(|| Fault::bad(format!("No more IP addresses available on network {network}.")))?,
            Nic::Port(port) => {
                if let Some(port) = model.ports.get_mut(port) {
                    port.device.clone_from(&id);
                }
                port.clone()
            }
        });
    }
    if let Some(names) = &order.groups {
        let ids: Vec<String> = model.groups.iter().filter(|group| names.contains(&group.name)).map(|group| group.id.clone()).collect();
        for port in &ports {
            if let Some(port) = model.ports.get_mut(port).filter(|port| port.of_server) {
                port.groups.clone_from(&ids);
            }
        }
    }
    let text = |key: &str| Some(ask.text(&format!("/server/{key}")).to_owned()).filter(|text| !text.is_empty());
    let tags = ask.body.pointer("/server/tags").and_then(Value::as_array).cloned().unwrap_or_default();
    let server = Server {
        id: id.clone(),
        name,
        status: "BUILD",
        task: Some("spawning"),
        flavor: order.flavor.clone(),
        flavor_before: None,
        image: order.image.clone(),
        metadata: ask.map("/server/metadata"),
        ports,
        fault: None,
        key: text("key_name"),
        description: text("description"),
        tags: tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect(),
        locked: false,
        actions: vec![(request, "create", created)],
        created,
        updated: created,
    };
    model.servers.insert(id.clone(), server);
    for wanted in &order.disks {
        let volume = volume(model, &wanted.from);
        if let Some(volume) = model.volumes.get_mut(&volume) {
            volume.bootable |= wanted.boots;
        }
        model.attach(&volume, &id, Some(&wanted.device), wanted.goes);
    }
    let group = ask.body.pointer("/os:scheduler_hints/group").or_else(|| ask.body.pointer("/OS-SCH-HNT:scheduler_hints/group"));
    if let Some(group) = group.and_then(Value::as_str) {
        let found = model.server_groups.iter_mut().find(|own| own.id == group);
        found.ok_or_else(|| Fault::bad(format!("Instance group {group} could not be found.")))?.members.push(id.clone());
    }
    Ok(id)
}

/// A volume of what it is to be made of. Those that Nova makes have no name.
fn volume(model: &mut Model, from: &From) -> String {
    let kind = model.default_type();
    match from {
        From::Volume(id) => id.clone(),
        From::Blank(size) => model.volume("", *size, &kind, Map::new()),
        From::Image(image, size) => {
            let id = model.volume("", *size, &kind, Map::new());
            let said = model.image_metadata(image);
            if let Some(volume) = model.volumes.get_mut(&id) {
                (volume.image_metadata, volume.bootable) = (said, true);
            }
            model.world.disks.copy(&content(image), content(&id));
            id
        }
        From::Snapshot(snapshot, size) => {
            let origin = model.snapshots.get(snapshot).and_then(|s| model.volumes.get(&s.volume)).cloned();
            let kind = origin.as_ref().map_or(kind, |origin| origin.kind.clone());
            let id = model.volume("", *size, &kind, Map::new());
            if let (Some(volume), Some(origin)) = (model.volumes.get_mut(&id), origin) {
                (volume.image_metadata, volume.bootable, volume.snapshot) =
                    (origin.image_metadata, origin.bootable, Some(snapshot.clone()));
            }
            model.world.disks.copy(&content(snapshot), content(&id));
            id
        }
    }
}

fn build_later(cloud: &Cloud, id: String) {
    cloud.later(BUILD, move |cloud, model| {
        let now = model.now();
        let Some(server) = model.servers.get_mut(&id).filter(|server| server.task == Some("spawning")) else { return };
        (server.task, server.updated) = (None, now);
        if let Some(why) = cloud.inner.world.faults.fails(Target::Openstack, "server", &server.name) {
            server.status = "ERROR";
            server.fault = Some(why);
        } else {
            server.status = "ACTIVE";
        }
    });
}
