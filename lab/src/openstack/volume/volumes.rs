//! Volumes.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    super::{
        Cloud,
        compute::metadata,
        identity::USER,
        model::{Model, Volume, content},
        paging,
        reply::{Answered, Ask, Fault, Reply, Service, fine_time},
    },
    CREATE, DELETE, UPLOAD,
    around::{type_id, types},
    wanted,
};
use crate::faults::Server as Target;

/// Host of the only back end.
const BACKEND: &str = "controller.lab@ceph#ceph";

fn missing(id: &str) -> Fault {
    Fault::missing("Volume", id)
}

fn links(cloud: &Cloud, model: &Model, id: &str) -> Value {
    let (address, project) = (&cloud.inner.address, &model.project);
    json!([
        { "rel": "self", "href": format!("{address}/volume/v3/{project}/volumes/{id}") },
        { "rel": "bookmark", "href": format!("{address}/volume/{project}/volumes/{id}") },
    ])
}

fn shown(cloud: &Cloud, model: &Model, volume: &Volume, minor: u32) -> Value {
    let attachment = |at: &super::super::model::Attached| {
        json!({ "id": volume.id, "attachment_id": at.id, "volume_id": volume.id, "server_id": at.server, "device": at.device,
            "host_name": super::super::compute::HOST, "attached_at": fine_time(volume.created) })
    };
    let mut out = json!({
        "id": volume.id, "name": volume.name, "description": volume.description, "size": volume.size, "status": volume.status,
        "volume_type": volume.kind, "bootable": volume.bootable.to_string(), "metadata": volume.metadata, "snapshot_id": volume.snapshot,
        "source_volid": volume.source, "attachments": volume.attached.iter().map(attachment).collect::<Vec<_>>(),
        "availability_zone": "nova", "created_at": fine_time(volume.created), "updated_at": fine_time(volume.created), "encrypted": false,
        "multiattach": false, "replication_status": null, "consistencygroup_id": null, "user_id": USER,
        "os-vol-tenant-attr:tenant_id": model.project, "os-vol-host-attr:host": BACKEND, "os-vol-mig-status-attr:migstat": null,
        "os-vol-mig-status-attr:name_id": null, "migration_status": null, "links": links(cloud, model, &volume.id),
    });
    if !volume.image_metadata.is_empty() {
        out["volume_image_metadata"] = json!(volume.image_metadata);
    }
    let since: [(u32, &str, Value); 7] = [
        (13, "group_id", Value::Null),
        (21, "provider_id", Value::Null),
        (48, "service_uuid", Value::Null),
        (48, "shared_targets", json!(false)),
        (61, "cluster_name", Value::Null),
        (63, "volume_type_id", json!(type_id(&volume.kind))),
        (65, "consumes_quota", json!(true)),
    ];
    for (from, key, value) in since {
        if minor >= from {
            out[key] = value;
        }
    }
    out
}

fn find<'m>(model: &'m mut Model, id: &str) -> Result<&'m mut Volume, Fault> {
    model.volumes.get_mut(id).ok_or_else(|| missing(id))
}

/// Answers a request; the path begins after `volumes`.
pub fn answer(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>, rest: &[&str]) -> Answered {
    match (ask.method, rest) {
        (&Method::GET, [] | ["detail"]) => {
            let fits = |v: &&&Volume| {
                wanted(ask, &v.name, v.status, &v.metadata)
                    && ask.asked("bootable").is_none_or(|wanted| wanted.eq_ignore_ascii_case(&v.bootable.to_string()))
                    && ask.asked("id").is_none_or(|id| id == v.id)
            };
            let found = paging::youngest_first(model.volumes.values(), |v| (v.created, &v.id));
            let whole: Vec<Value> = found.iter().filter(fits).map(|v| shown(cloud, model, v, ask.minor)).collect();
            let (count, detail) = (whole.len(), !rest.is_empty());
            let brief = |v: Value| json!({ "id": v["id"], "name": v["name"], "links": v["links"] });
            let reply = paging::page(Service::Volume, &cloud.inner.address, "volumes", whole, ask, |v| if detail { v } else { brief(v) });
            super::around::counted(reply, ask, count)
        }
        (&Method::GET, ["summary"]) if ask.minor >= 12 => {
            let size: u64 = model.volumes.values().map(|volume| volume.size).sum();
            Ok(Reply::ok(json!({ "volume-summary": { "total_count": model.volumes.len(), "total_size": size, "metadata": {} } })))
        }
        (&Method::POST, []) => create(cloud, model, ask),
        (&Method::GET, [id]) => {
            let found = model.volumes.get(*id).ok_or_else(|| missing(id))?;
            Ok(Reply::ok(json!({ "volume": shown(cloud, model, found, ask.minor) })))
        }
        (&Method::PUT, [id]) => {
            let found = find(model, id)?;
            let text = |key: &str| ask.body.pointer(&format!("/volume/{key}")).and_then(Value::as_str).map(str::to_owned);
            if let Some(name) = text("name").or_else(|| text("display_name")) {
                found.name = name;
            }
            if let Some(description) = text("description") {
                found.description = Some(description);
            }
            if let Some(wanted) = ask.body.pointer("/volume/metadata").and_then(Value::as_object) {
                found.metadata.clone_from(wanted);
            }
            let found = found.clone();
            Ok(Reply::ok(json!({ "volume": shown(cloud, model, &found, ask.minor) })))
        }
        (&Method::DELETE, [id]) => remove(cloud, model, ask, id),
        (&Method::POST, [id, "action"]) => act(cloud, model, ask, id),
        (_, [id, "metadata", rest @ ..]) => metadata(&mut find(model, id)?.metadata, ask, rest),
        _ => Err(Fault::no_such_path()),
    }
}

/// What a new volume is made of.
enum Origin {
    Nothing,
    Snapshot(String),
    Volume(String),
    Image(String),
}

fn create(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>) -> Answered {
    if !ask.body["volume"].is_object() {
        return Err(Fault::bad("Invalid input for field/attribute volume. Value: None. None is not of type 'object'"));
    }
    let text = |key: &str| Some(ask.text(&format!("/volume/{key}")).to_owned()).filter(|text| !text.is_empty());
    let image = text("imageRef").map(|image| image.rsplit('/').next().unwrap_or_default().to_owned());
    let origin = match (text("snapshot_id"), text("source_volid"), image) {
        (Some(id), _, _) => Origin::Snapshot(id),
        (_, Some(id), _) => Origin::Volume(id),
        (_, _, Some(id)) => Origin::Image(id),
        _ => Origin::Nothing,
    };
    let (least, of) = match &origin {
        Origin::Nothing => (None, None),
        Origin::Snapshot(id) => {
            let found = model.snapshots.get(id).ok_or_else(|| Fault::missing("Snapshot", id))?;
            if found.status != "available" {
                return Err(Fault::bad(format!(
                    "Invalid snapshot: Originating snapshot status must be one of 'available' values, not '{}'",
                    found.status
                )));
            }
            (Some(found.size), model.volumes.get(&found.volume).cloned())
        }
        Origin::Volume(id) => {
            let found = model.volumes.get(id).ok_or_else(|| missing(id))?;
            (Some(found.size), Some(found.clone()))
        }
        Origin::Image(id) => {
            let found = model
                .images
                .get(id)
                .ok_or_else(|| Fault::bad(format!("Invalid image identifier or unable to access requested image {id}.")))?;
            if found.status != "active" {
                return Err(Fault::bad(format!("Invalid input received: Image {id} is not active.")));
            }
            (None, None)
        }
    };
    let size = match ask.number("/volume/size").or(least) {
        Some(0) | None => {
            return Err(Fault::bad(
                "Invalid input received: Invalid volume size provided for create request: None (size argument must be an integer (or string representation of an integer) and greater than zero).",
            ));
        }
        Some(size) => size,
    };
    if let Some(least) = least.filter(|least| size < *least) {
        let what = if matches!(origin, Origin::Volume(_)) { "source volume size" } else { "snapshot size" };
        return Err(Fault::bad(format!(
            "Invalid input received: Volume size '{size}'GB cannot be smaller than the {what} {least}GB. They must be >= original size."
        )));
    }
    let kind = match text("volume_type") {
        Some(asked) => {
            let found = types(model).into_iter().find(|t| t["name"] == asked || t["id"] == asked);
            let found =
                found.ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, format!("Volume type with name {asked} could not be found.")))?;
            found["name"].as_str().unwrap_or_default().to_owned()
        }
        None => of.as_ref().map_or_else(|| model.default_type(), |of| of.kind.clone()),
    };
    let id = model.volume(ask.text("/volume/name"), size, &kind, ask.map("/volume/metadata"));
    let (source, said) = match &origin {
        Origin::Nothing => (None, Map::new()),
        Origin::Image(image) => (Some(image), model.image_metadata(image)),
        Origin::Snapshot(id) | Origin::Volume(id) => (Some(id), of.as_ref().map(|of| of.image_metadata.clone()).unwrap_or_default()),
    };
    if let Some(source) = source {
        model.world.disks.copy(&content(source), content(&id));
    }
    if let Some(volume) = model.volumes.get_mut(&id) {
        volume.description = text("description");
        volume.bootable = matches!(origin, Origin::Image(_)) || of.as_ref().is_some_and(|of| of.bootable);
        volume.image_metadata = said;
        match origin {
            Origin::Snapshot(snapshot) => volume.snapshot = Some(snapshot),
            Origin::Volume(source) => volume.source = Some(source),
            Origin::Nothing | Origin::Image(_) => {}
        }
    }
    let body = shown(cloud, model, &model.volumes[&id], ask.minor);
    cloud.later(CREATE, move |cloud, model| {
        if let Some(volume) = model.volumes.get_mut(&id).filter(|volume| volume.status == "creating") {
            let failed = cloud.inner.world.faults.fails(Target::Openstack, "volume", &volume.name).is_some();
            volume.status = if failed { "error" } else { "available" };
        }
    });
    Ok(Reply::accepted(json!({ "volume": body })))
}

fn remove(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>, id: &str) -> Answered {
    let all_of_it = matches!(ask.asked("cascade"), Some("True" | "true" | "1"));
    let snapshots: Vec<String> = model.snapshots.values().filter(|s| s.volume == id).map(|s| s.id.clone()).collect();
    let found = find(model, id)?;
    if found.attached.is_some() || !matches!(found.status, "available" | "error") {
        return Err(Fault::bad(format!(
            "Invalid volume: Volume status must be available or error or error_restoring or error_extending or error_managing and must not \
             be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume \
             transfer. Current status: {}",
            found.status
        )));
    }
    if !snapshots.is_empty() && !all_of_it {
        return Err(Fault::bad(format!("Invalid volume: Volume {id} still has {} dependent snapshots.", snapshots.len())));
    }
    found.status = "deleting";
    let id = id.to_owned();
    cloud.later(DELETE, move |_, model| {
        for snapshot in &snapshots {
            model.snapshots.remove(snapshot);
            model.world.disks.remove(&content(snapshot));
        }
        model.remove_volume(&id);
    });
    Ok(Reply::empty(StatusCode::ACCEPTED))
}

fn act(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>, id: &str) -> Answered {
    let (action, detail) =
        ask.body.as_object().and_then(|body| body.iter().next()).map(|(key, value)| (key.as_str(), value.clone())).unwrap_or_default();
    let found = find(model, id)?;
    let free = |found: &Volume| match found.status {
        "available" => Ok(()),
        other => Err(Fault::bad(format!("Invalid volume: Volume {id} status must be available, but current status is: {other}."))),
    };
    match action {
        "os-volume_upload_image" => upload(cloud, model, &detail, id),
        "os-extend" => {
            let size = detail["new_size"].as_u64().unwrap_or_default();
            free(found)?;
            if size <= found.size {
                return Err(Fault::bad(format!(
                    "Invalid input received: New size for extend must be greater than current size. (current: {}, extended: {size}).",
                    found.size
                )));
            }
            found.size = size;
            Ok(Reply::empty(StatusCode::ACCEPTED))
        }
        "os-set_bootable" => {
            found.bootable = detail["bootable"] == true;
            Ok(Reply::empty(StatusCode::OK))
        }
        "os-update_readonly_flag" => {
            found.metadata.insert("readonly".to_owned(), json!(if detail["readonly"] == true { "True" } else { "False" }));
            Ok(Reply::empty(StatusCode::ACCEPTED))
        }
        "os-reset_status" => {
            found.status = match detail["status"].as_str().unwrap_or_default() {
                "available" => "available",
                "in-use" => "in-use",
                "error" => "error",
                other => return Err(Fault::bad(format!("Invalid input for field/attribute status. Value: {other}."))),
            };
            Ok(Reply::empty(StatusCode::ACCEPTED))
        }
        "os-force_delete" => {
            found.attached = None;
            found.status = "available";
            remove(cloud, model, ask, id)
        }
        "os-set_image_metadata" => {
            found.image_metadata.extend(detail["metadata"].as_object().cloned().unwrap_or_default());
            Ok(Reply::ok(json!({ "metadata": found.image_metadata })))
        }
        "os-unset_image_metadata" => {
            let key = detail["key"].as_str().unwrap_or_default();
            match found.image_metadata.remove(key) {
                Some(_) => Ok(Reply::empty(StatusCode::OK)),
                None => Err(Fault::new(StatusCode::NOT_FOUND, "Metadata item was not found.")),
            }
        }
        "os-show_image_metadata" => Ok(Reply::ok(json!({ "metadata": found.image_metadata }))),
        other => Err(Fault::bad(format!("There is no such action: {other}"))),
    }
}

/// Makes an image of a volume.
fn upload(cloud: &Cloud, model: &mut Model, asked: &Value, id: &str) -> Answered {
    let source = find(model, id)?.clone();
    let name = asked["image_name"].as_str().unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(Fault::bad("Invalid input for field/attribute image_name. Value: . '' is too short"));
    }
    let forced = asked["force"] == true || asked["force"] == "True";
    if source.status != "available" && !(forced && source.status == "in-use") {
        return Err(Fault::bad(format!("Invalid volume: Volume {id} status must be available, but current status is: {}.", source.status)));
    }
    let text = |key: &str, otherwise: &str| asked[key].as_str().unwrap_or(otherwise).to_owned();
    let (disk_format, container_format) = (text("disk_format", "raw"), text("container_format", "bare"));
    let own = ["image_id", "image_name", "min_disk", "min_ram", "size", "disk_format", "container_format", "checksum"];
    let said = source.image_metadata.iter().filter(|(key, _)| !own.contains(&key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    let image = model.image(&name, said);
    if let Some(image) = model.images.get_mut(&image) {
        (image.status, image.size) = ("queued", None);
        (image.disk_format, image.container_format) = (Some(disk_format.clone()), Some(container_format.clone()));
    }
    if let Some(volume) = model.volumes.get_mut(id) {
        volume.status = "uploading";
    }
    model.world.disks.copy(&content(id), content(&image));
    let (saving, saved, volume) = (image.clone(), image.clone(), id.to_owned());
    cloud.later(UPLOAD / 3, move |_, model| {
        // The end may have come first: tasks that are due at nearly the same time run in any order.
        if let Some(image) = model.images.get_mut(&saving).filter(|image| image.status == "queued") {
            image.status = "saving";
        }
    });
    let size = source.size << 30;
    cloud.later(UPLOAD, move |cloud, model| {
        if let Some(volume) = model.volumes.get_mut(&volume).filter(|volume| volume.status == "uploading") {
            volume.status = source.status;
        }
        let Some(image) = model.images.get_mut(&saved) else { return };
        if cloud.inner.world.faults.fails(Target::Openstack, "image", image.name.as_deref().unwrap_or_default()).is_some() {
            image.status = "killed";
        } else {
            (image.status, image.size) = ("active", Some(size));
        }
    });
    Ok(Reply::accepted(json!({ "os-volume_upload_image": {
        "image_id": image, "image_name": name, "status": "uploading", "id": id, "size": source.size, "disk_format": disk_format,
        "container_format": container_format, "display_description": source.description, "updated_at": fine_time(source.created),
        "volume_type": { "id": type_id(&source.kind), "name": source.kind },
    } })))
}
