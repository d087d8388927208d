//! Actions on a server: power, images, resizing and what else is asked for by `POST /servers/ID/action`.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    super::{
        Cloud,
        model::{Model, Server, content},
        reply::{Answered, Ask, Fault, Reply},
        volume,
    },
    Locked, find_mut, no_instance,
    server::vm_state,
};
use crate::faults::Server as Target;

/// Starting a server.
const START: Duration = Duration::from_secs(4);
/// A guest that shuts itself down.
const STOP: Duration = Duration::from_secs(6);
/// Pausing and going on.
const PAUSE: Duration = Duration::from_secs(1);
/// Another flavor.
const RESIZE: Duration = Duration::from_secs(8);
/// An image of a server.
const IMAGE: Duration = Duration::from_secs(6);
/// How much longer than its image a server is busy with it.
const AFTER_IMAGE: Duration = Duration::from_secs(1);
/// The answer of `createImage` names the image from this minor version on.
const IMAGE_ID: u32 = 45;

/// A change of state: states that it begins in, its task, how long it takes, the state that it ends in.
struct Change {
    name: &'static str,
    from: &'static [&'static str],
    task: &'static str,
    pause: Duration,
    to: &'static str,
}

const CHANGES: &[(&str, Change)] = &[
    ("os-start", Change { name: "start", from: &["SHUTOFF"], task: "powering-on", pause: START, to: "ACTIVE" }),
    ("os-stop", Change { name: "stop", from: &["ACTIVE", "ERROR"], task: "powering-off", pause: STOP, to: "SHUTOFF" }),
    ("pause", Change { name: "pause", from: &["ACTIVE"], task: "pausing", pause: PAUSE, to: "PAUSED" }),
    ("unpause", Change { name: "unpause", from: &["PAUSED"], task: "unpausing", pause: PAUSE, to: "ACTIVE" }),
    ("suspend", Change { name: "suspend", from: &["ACTIVE"], task: "suspending", pause: PAUSE, to: "SUSPENDED" }),
    ("resume", Change { name: "resume", from: &["SUSPENDED"], task: "resuming", pause: PAUSE, to: "ACTIVE" }),
    ("unrescue", Change { name: "unrescue", from: &["RESCUE"], task: "unrescuing", pause: START, to: "ACTIVE" }),
    ("shelve", Change { name: "shelve", from: &["ACTIVE", "SHUTOFF"], task: "shelving", pause: IMAGE, to: "SHELVED_OFFLOADED" }),
    ("unshelve", Change { name: "unshelve", from: &["SHELVED_OFFLOADED"], task: "unshelving", pause: START, to: "ACTIVE" }),
    ("confirmResize", Change { name: "confirmResize", from: &["VERIFY_RESIZE"], task: "deleting", pause: PAUSE, to: "ACTIVE" }),
];
const RESCUE: Change = Change { name: "rescue", from: &["ACTIVE", "SHUTOFF"], task: "rescuing", pause: START, to: "RESCUE" };
const SOFT: Change = Change { name: "reboot", from: &["ACTIVE"], task: "rebooting", pause: START, to: "ACTIVE" };
const HARD: Change = Change {
    name: "reboot",
    from: &["ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED", "ERROR"],
    task: "rebooting_hard",
    pause: START,
    to: "ACTIVE",
};

fn accepted() -> Reply {
    Reply::empty(StatusCode::ACCEPTED)
}

/// 409 unless a server is in one of these states and nothing is being done to it.
fn ready(server: &Server, name: &str, from: &[&str]) -> Result<(), Fault> {
    let id = &server.id;
    if !from.contains(&server.status) {
        return Err(Fault::conflict(format!("Cannot '{name}' instance {id} while it is in vm_state {}", vm_state(server))));
    }
    match server.task {
        Some(task) => Err(Fault::conflict(format!("Cannot '{name}' instance {id} while it is in task_state {task}"))),
        None => Ok(()),
    }
}

fn note(model: &mut Model, id: &str, action: &'static str) {
    let (request, now) = (format!("req-{}", model.id()), model.now());
    if let Some(server) = model.servers.get_mut(id) {
        server.actions.push((request, action, now));
        server.updated = now;
    }
}

/// Does an action.
pub fn act(cloud: &Cloud, mut model: Locked<'_>, ask: &Ask<'_>, id: &str) -> Answered {
    let (action, detail) = match ask.body.as_object() {
        Some(body) if body.len() == 1 => body.iter().next().map_or(("", &Value::Null), |(key, value)| (key.as_str(), value)),
        Some(body) if body.len() > 1 => return Err(Fault::bad("There are multiple actions in the body.")),
        _ => return Err(Fault::bad("Malformed request body")),
    };
    if let Some((_, change)) = CHANGES.iter().find(|(name, _)| *name == action) {
        return begin(cloud, model, id, change);
    }
    let server = find_mut(&mut model, id)?;
    match action {
        "reboot" => match detail["type"].as_str().unwrap_or_default() {
            kind if kind.eq_ignore_ascii_case("soft") => begin(cloud, model, id, &SOFT),
            kind if kind.eq_ignore_ascii_case("hard") => begin(cloud, model, id, &HARD),
            kind => Err(Fault::bad(format!(
                "Invalid input for field/attribute type. Value: {kind}. '{kind}' is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']"
            ))),
        },
        "rescue" => {
            begin(cloud, model, id, &RESCUE)?;
            Ok(Reply::ok(json!({ "adminPass": id.chars().filter(char::is_ascii_alphanumeric).take(12).collect::<String>() })))
        }
        "lock" | "unlock" => {
            server.locked = action == "lock";
            Ok(accepted())
        }
        "createImage" => create_image(cloud, model, ask, id),
        "resize" => resize(cloud, model, ask, id),
        "revertResize" => {
            ready(server, "revertResize", &["VERIFY_RESIZE"])?;
            server.task = Some("resize_reverting");
            let id = id.to_owned();
            drop(model);
            cloud.later(RESIZE, move |_, model| {
                let Some(server) = model.servers.get_mut(&id) else { return };
                if let Some(before) = server.flavor_before.take() {
                    server.flavor = before;
                }
                (server.status, server.task) = ("ACTIVE", None);
            });
            Ok(accepted())
        }
        "os-resetState" => {
            server.status = if detail["state"] == "active" { "ACTIVE" } else { "ERROR" };
            server.task = None;
            Ok(accepted())
        }
        "os-getConsoleOutput" => {
            ready(server, "get_console_output", &["ACTIVE", "PAUSED", "ERROR"])?;
            let lines = format!("{} login: \n", server.name);
            Ok(Reply::ok(json!({ "output": lines })))
        }
        "forceDelete" => {
            drop(model);
            super::remove(cloud, cloud.model(), id)?;
            Ok(accepted())
        }
        "restore" => Err(Fault::conflict(format!("Cannot 'restore' instance {id} while it is in vm_state {}", vm_state(server)))),
        "addSecurityGroup" | "removeSecurityGroup" => {
            group(&mut model, id, detail["name"].as_str().unwrap_or_default(), action.starts_with("add"))
        }
        other => Err(Fault::bad(format!("There is no such action: {other}"))),
    }
}

fn begin(cloud: &Cloud, mut model: Locked<'_>, id: &str, change: &'static Change) -> Answered {
    let server = find_mut(&mut model, id)?;
    ready(server, change.name, change.from)?;
    server.task = Some(change.task);
    note(&mut model, id, change.name);
    drop(model);
    let id = id.to_owned();
    cloud.later(change.pause, move |_, model| {
        let now = model.now();
        if let Some(server) = model.servers.get_mut(&id).filter(|server| server.task == Some(change.task)) {
            (server.status, server.task, server.updated, server.fault) = (change.to, None, now, None);
            if change.name == "confirmResize" {
                server.flavor_before = None;
            }
        }
    });
    Ok(if change.name == "confirmResize" { Reply::empty(StatusCode::NO_CONTENT) } else { accepted() })
}

fn resize(cloud: &Cloud, mut model: Locked<'_>, ask: &Ask<'_>, id: &str) -> Answered {
    let wanted = ask.text("/resize/flavorRef").rsplit('/').next().unwrap_or_default().to_owned();
    let flavor = model.flavors.iter().find(|flavor| flavor.id == wanted).cloned();
    let flavor = flavor.ok_or_else(|| Fault::bad("Unable to locate requested flavor."))?;
    let server = find_mut(&mut model, id)?;
    ready(server, "resize", &["ACTIVE", "SHUTOFF"])?;
    if flavor.id == server.flavor.id {
        return Err(Fault::bad("When resizing, instances must change flavor!"));
    }
    server.task = Some("resize_prep");
    note(&mut model, id, "resize");
    drop(model);
    let id = id.to_owned();
    cloud.later(RESIZE, move |_, model| {
        let Some(server) = model.servers.get_mut(&id).filter(|server| server.task == Some("resize_prep")) else { return };
        server.flavor_before = Some(std::mem::replace(&mut server.flavor, flavor));
        (server.status, server.task) = ("VERIFY_RESIZE", None);
    });
    Ok(accepted())
}

fn group(model: &mut Model, id: &str, name: &str, add: bool) -> Answered {
    let found = model.groups.iter().find(|group| group.name == name || group.id == name).map(|group| group.id.clone());
    let Some(group) = found else {
        let text = format!("Security group {name} not found for project {}.", model.project);
        return Err(Fault::new(StatusCode::NOT_FOUND, text));
    };
    let ports = model.servers.get(id).ok_or_else(|| no_instance(id))?.ports.clone();
    for port in ports {
        let Some(port) = model.ports.get_mut(&port) else { continue };
        port.groups.retain(|own| *own != group);
        if add {
            port.groups.push(group.clone());
        }
    }
    Ok(accepted())
}

/// An image of a server. One that boots from an image gives its own disk, and its volumes stay as they are; of one that boots
/// from a volume all volumes get a snapshot, and the image only names them.
fn create_image(cloud: &Cloud, mut model: Locked<'_>, ask: &Ask<'_>, id: &str) -> Answered {
    let name = ask.text("/createImage/name").to_owned();
    if name.trim().is_empty() {
        return Err(Fault::bad("Invalid input for field/attribute name. Value: . '' is too short"));
    }
    let server = find_mut(&mut model, id)?;
    ready(server, "createImage", &["ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED"])?;
    let server = server.clone();
    if server.image.is_none() && cloud.inner.world.faults.fails(Target::Openstack, "image", &name).is_some() {
        // Here the service itself takes the snapshots before it answers.
        return Err(Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "Unexpected API Error."));
    }
    note(&mut model, id, "createImage");
    let mut properties = match server.image.as_ref().and_then(|id| model.images.get(id)) {
        Some(image) => image.properties.clone(),
        None => said(model.volumes_of(id).first().map(|v| v.image_metadata.clone()).unwrap_or_default()),
    };
    properties.extend(ask.map("/createImage/metadata"));
    let image = match &server.image {
        Some(own) => of_image(cloud, &mut model, &server, own, &name, properties),
        None => of_volumes(cloud, &mut model, &server, &name, properties),
    };
    drop(model);
    let location = format!("{}/image/v2/images/{image}", cloud.inner.address);
    Ok(if ask.minor >= IMAGE_ID {
        Reply::accepted(json!({ "image_id": image }))
    } else {
        Reply::empty(StatusCode::ACCEPTED).with("Location", location)
    })
}

/// What a volume knows of its image without what concerns the image itself.
fn said(mut of_volume: Map<String, Value>) -> Map<String, Value> {
    for own in ["image_id", "image_name", "min_disk", "min_ram", "size", "disk_format", "container_format", "checksum"] {
        of_volume.remove(own);
    }
    of_volume
}

fn of_image(cloud: &Cloud, model: &mut Model, server: &Server, own: &str, name: &str, mut properties: Map<String, Value>) -> String {
    properties.insert("image_type".to_owned(), json!("snapshot"));
    properties.insert("instance_uuid".to_owned(), json!(server.id));
    properties.insert("base_image_ref".to_owned(), json!(own));
    let id = model.image(name, properties);
    if let Some(image) = model.images.get_mut(&id) {
        (image.status, image.size, image.min_disk) = ("queued", None, server.flavor.disk);
    }
    if let Some(server) = model.servers.get_mut(&server.id) {
        server.task = Some("image_snapshot");
    }
    model.world.disks.copy(&content(own), content(&id));
    let (server, size) = (server.id.clone(), server.flavor.disk << 30);
    let (saving, busy) = (id.clone(), server.clone());
    cloud.later(IMAGE / 2, move |_, model| {
        // The end may have come first: tasks that are due at nearly the same time run in any order.
        if let Some(image) = model.images.get_mut(&saving).filter(|image| image.status == "queued") {
            image.status = "saving";
        }
        if let Some(server) = model.servers.get_mut(&busy).filter(|server| server.task == Some("image_snapshot")) {
            server.task = Some("image_uploading");
        }
    });
    let saved = id.clone();
    cloud.later(IMAGE, move |cloud, model| {
        let Some(image) = model.images.get_mut(&saved) else { return };
        let title = image.name.clone().unwrap_or_default();
        if cloud.inner.world.faults.fails(Target::Openstack, "image", &title).is_some() {
            // Nova takes an image away that it could not make.
            model.images.remove(&saved);
            model.world.disks.remove(&content(&saved));
        } else {
            (image.status, image.size) = ("active", Some(size));
        }
    });
    cloud.later(IMAGE + AFTER_IMAGE, move |_, model| {
        if let Some(server) = model.servers.get_mut(&server).filter(|server| server.task.is_some_and(|task| task.starts_with("image_"))) {
            server.task = None;
        }
    });
    id
}

fn of_volumes(cloud: &Cloud, model: &mut Model, server: &Server, name: &str, mut properties: Map<String, Value>) -> String {
    let volumes: Vec<(String, u64, String, bool)> = model
        .volumes_of(&server.id)
        .into_iter()
        .map(|v| {
            (
                v.id.clone(),
                v.size,
                v.attached.as_ref().map(|at| at.device.clone()).unwrap_or_default(),
                v.attached.as_ref().is_some_and(|at| at.goes),
            )
        })
        .collect();
    let mut mapping = Vec::new();
    for (index, (volume, size, device, goes)) in volumes.iter().enumerate() {
        let snapshot = volume::snap(cloud, model, &format!("snapshot for {name}"), volume, *size, Map::new());
        mapping.push(json!({
            "device_name": device, "source_type": "snapshot", "destination_type": "volume", "snapshot_id": snapshot, "volume_size": size,
            "boot_index": if index == 0 { json!(0) } else { Value::Null }, "delete_on_termination": goes, "device_type": "disk", "disk_bus": "virtio",
            "guest_format": null, "image_id": null, "no_device": null, "tag": null, "volume_id": null, "volume_type": null,
        }));
    }
    properties.insert("root_device_name".to_owned(), json!("/dev/vda"));
    properties.insert("bdm_v2".to_owned(), json!("True"));
    properties.insert("block_device_mapping".to_owned(), json!(Value::Array(mapping).to_string()));
    let id = model.image(name, properties);
    if let Some(image) = model.images.get_mut(&id) {
        image.size = Some(0);
    }
    id
}
