//! Cinder: volumes, their snapshots and types.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    Cloud,
    model::{Model, Snapshot, Volume, content},
    reply::{Ask, Reply, fine_time},
};
use crate::faults::Server as Target;

/// Making a volume.
const CREATE: Duration = Duration::from_secs(5);
/// Taking a snapshot.
const SNAP: Duration = Duration::from_secs(3);
/// Making an image of a volume.
const UPLOAD: Duration = Duration::from_secs(6);
/// Removing any of them.
const DELETE: Duration = Duration::from_secs(2);

fn volume(cloud: &Cloud, model: &Model, volume: &Volume) -> Value {
    let attachments: Vec<Value> = volume
        .attached
        .iter()
        .map(|(server, device, _)| {
            json!({ "id": volume.id, "attachment_id": volume.id, "volume_id": volume.id, "server_id": server, "device": device,
                "host_name": "lab-host", "attached_at": fine_time(volume.created) })
        })
        .collect();
    let mut out = json!({
        "id": volume.id, "name": volume.name, "size": volume.size, "status": volume.status, "volume_type": volume.kind,
        "bootable": volume.bootable.to_string(), "metadata": volume.metadata, "snapshot_id": volume.snapshot, "source_volid": null,
        "attachments": attachments, "availability_zone": "nova", "created_at": fine_time(volume.created), "updated_at": fine_time(volume.created),
        "description": "", "encrypted": false, "multiattach": false, "replication_status": null, "consistencygroup_id": null,
        "user_id": "0a5eb0a5eb0a5eb0a5eb0a5eb0a5eb0a", "os-vol-tenant-attr:tenant_id": model.project, "migration_status": null,
        "links": [{ "rel": "self", "href": format!("{}/volume/v3/{}/volumes/{}", cloud.inner.address, model.project, volume.id) }],
    });
    if !volume.image_metadata.is_empty() {
        out["volume_image_metadata"] = json!(volume.image_metadata);
    }
    out
}

fn snapshot(model: &Model, snapshot: &Snapshot) -> Value {
    json!({
        "id": snapshot.id, "name": snapshot.name, "volume_id": snapshot.volume, "size": snapshot.size, "status": snapshot.status,
        "metadata": snapshot.metadata, "created_at": fine_time(snapshot.created), "updated_at": fine_time(snapshot.created),
        "description": "", "os-extended-snapshot-attributes:progress": "100%", "os-extended-snapshot-attributes:project_id": model.project,
    })
}

fn named<'q>(ask: &'q Ask<'_>) -> impl Fn(&str) -> bool + 'q {
    move |name: &str| ask.query.get("name").is_none_or(|wanted| wanted == name)
}

/// Answers a request; the path begins after the project.
pub fn answer(cloud: &Cloud, ask: &Ask<'_>) -> Reply {
    let mut model = cloud.model();
    let root = format!("{}/volume/v3/{}", cloud.inner.address, model.project);
    match (ask.method, ask.path) {
        (&Method::GET, ["volumes"]) => ask.page(
            "volumes",
            &format!("{root}/volumes"),
            model.volumes.values().filter(|v| named(ask)(&v.name)).map(|v| json!({ "id": v.id, "name": v.name, "links": [] })).collect(),
        ),
        (&Method::GET, ["volumes", "detail"]) => {
            let list = model.volumes.values().filter(|v| named(ask)(&v.name)).map(|v| volume(cloud, &model, v)).collect();
            ask.page("volumes", &format!("{root}/volumes/detail"), list)
        }
        (&Method::GET, ["volumes", id]) => match model.volumes.get(*id) {
            Some(found) => Reply::ok(json!({ "volume": volume(cloud, &model, found) })),
            None => Reply::missing("Volume", id),
        },
        (&Method::GET, ["snapshots"] | ["snapshots", "detail"]) => {
            let of = |s: &&Snapshot| named(ask)(&s.name) && ask.query.get("volume_id").is_none_or(|id| *id == s.volume);
            ask.page(
                "snapshots",
                &format!("{root}/snapshots/detail"),
                model.snapshots.values().filter(of).map(|s| snapshot(&model, s)).collect(),
            )
        }
        (&Method::GET, ["snapshots", id]) => match model.snapshots.get(*id) {
            Some(found) => Reply::ok(json!({ "snapshot": snapshot(&model, found) })),
            None => Reply::missing("Snapshot", id),
        },
        (&Method::GET, ["types"]) => Reply::ok(json!({ "volume_types": types(&model) })),
        (&Method::GET, ["types", id]) => match types(&model).into_iter().find(|t| t["id"] == *id || t["name"] == *id) {
            Some(found) => Reply::ok(json!({ "volume_type": found })),
            None => Reply::missing("Volume type", id),
        },
        (&Method::POST, ["volumes"]) => create(cloud, &mut model, ask),
        (&Method::POST, ["volumes", id, "action"]) => act(cloud, &mut model, ask, id),
        (&Method::POST, ["snapshots"]) => {
            let (source, name) = (ask.text("/snapshot/volume_id").to_owned(), ask.text("/snapshot/name").to_owned());
            let Some(found) = model.volumes.get(&source) else { return Reply::missing("Volume", &source) };
            let (size, in_use) = (found.size, found.status == "in-use");
            if in_use && ask.body.pointer("/snapshot/force") != Some(&json!(true)) {
                return Reply::refused(
                    StatusCode::BAD_REQUEST,
                    "Invalid volume: Volume status must be available, but current status is: in-use.",
                );
            }
            let id = snap(cloud, &mut model, &name, &source, size, ask.map("/snapshot/metadata"));
            Reply::accepted(json!({ "snapshot": snapshot(&model, &model.snapshots[&id]) }))
        }
        (&Method::DELETE, ["volumes", id]) => remove_volume(cloud, &mut model, id),
        (&Method::DELETE, ["snapshots", id]) => {
            let Some(found) = model.snapshots.get_mut(*id) else { return Reply::missing("Snapshot", id) };
            if !matches!(found.status, "available" | "error") {
                return Reply::refused(StatusCode::BAD_REQUEST, "Invalid snapshot: Volume Snapshot status must be available or error.");
            }
            found.status = "deleting";
            let id = (*id).to_owned();
            cloud.later(DELETE, move |_, model| {
                model.snapshots.remove(&id);
                model.world.disks.remove(&content(&id));
            });
            Reply::empty(StatusCode::ACCEPTED)
        }
        _ => Reply::missing("Resource", &ask.path.join("/")),
    }
}

fn types(model: &Model) -> Vec<Value> {
    let kind = |t: &crate::datacenter::DatastoreModel| json!({ "id": crate::vsphere::model::uuid(0x0d, &t.name), "name": t.name, "description": null, "extra_specs": {}, "is_public": true, "os-volume-type-access:is_public": true, "qos_specs_id": null });
    model.world.datacenter.openstack.volume_types.iter().map(kind).collect()
}

fn create(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>) -> Reply {
    let source = Some(ask.text("/volume/snapshot_id").to_owned()).filter(|id| !id.is_empty());
    let origin = match &source {
        Some(id) => match model.snapshots.get(id).map(|s| (s.volume.clone(), s.size)) {
            Some(origin) => Some(origin),
            None => return Reply::missing("Snapshot", id),
        },
        None => None,
    };
    let size = ask.body.pointer("/volume/size").and_then(Value::as_u64).or(origin.as_ref().map(|o| o.1)).unwrap_or_default();
    if size == 0 {
        return Reply::refused(StatusCode::BAD_REQUEST, "Invalid input for field/attribute size.");
    }
    let asked = ask.text("/volume/volume_type");
    let of_origin = origin.as_ref().and_then(|(volume, _)| model.volumes.get(volume)).cloned();
    let kind = if asked.is_empty() { of_origin.as_ref().map(|v| v.kind.clone()).unwrap_or_default() } else { asked.to_owned() };
    let id = model.volume(ask.text("/volume/name"), size, &kind, ask.map("/volume/metadata"), source.clone());
    if let (Some(volume), Some(origin)) = (model.volumes.get_mut(&id), of_origin) {
        volume.bootable = origin.bootable;
        volume.image_metadata = origin.image_metadata;
    }
    if let Some(source) = source {
        model.world.disks.copy(&content(&source), content(&id));
    }
    let shown = volume(cloud, model, &model.volumes[&id]);
    cloud.later(CREATE, move |cloud, model| {
        if let Some(volume) = model.volumes.get_mut(&id).filter(|volume| volume.status == "creating") {
            let failed = cloud.inner.world.faults.fails(Target::Openstack, "volume", &volume.name).is_some();
            volume.status = if failed { "error" } else { "available" };
        }
    });
    Reply::accepted(json!({ "volume": shown }))
}

/// Begins a snapshot; its id.
pub fn snap(cloud: &Cloud, model: &mut Model, name: &str, volume: &str, size: u64, metadata: Map<String, Value>) -> String {
    let (id, created) = (model.id(), model.now());
    let taken = Snapshot { id: id.clone(), name: name.to_owned(), volume: volume.to_owned(), size, status: "creating", metadata, created };
    model.snapshots.insert(id.clone(), taken);
    model.world.disks.copy(&content(volume), content(&id));
    let snapped = id.clone();
    cloud.later(SNAP, move |cloud, model| {
        if let Some(taken) = model.snapshots.get_mut(&snapped) {
            let failed = cloud.inner.world.faults.fails(Target::Openstack, "snapshot", &taken.name).is_some();
            taken.status = if failed { "error" } else { "available" };
        }
    });
    id
}

/// Makes an image of a volume.
fn act(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>, id: &str) -> Reply {
    let Some(source) = model.volumes.get(id).cloned() else { return Reply::missing("Volume", id) };
    let name = ask.text("/os-volume_upload_image/image_name").to_owned();
    if name.is_empty() {
        return Reply::refused(StatusCode::BAD_REQUEST, "There is no such action.");
    }
    let image = model.image(&name, source.image_metadata.clone());
    if let Some(image) = model.images.get_mut(&image) {
        (image.status, image.size) = ("saving", source.size << 30);
    }
    model.world.disks.copy(&content(id), content(&image));
    let saved = image.clone();
    cloud.later(UPLOAD, move |_, model| {
        if let Some(image) = model.images.get_mut(&saved) {
            image.status = "active";
        }
    });
    Reply::accepted(
        json!({ "os-volume_upload_image": { "image_id": image, "image_name": name, "status": "uploading", "id": id, "size": source.size, "disk_format": "raw", "container_format": "bare" } }),
    )
}

fn remove_volume(cloud: &Cloud, model: &mut Model, id: &str) -> Reply {
    let snapped = model.snapshots.values().any(|s| s.volume == id);
    let Some(found) = model.volumes.get_mut(id) else { return Reply::missing("Volume", id) };
    // One sentence for all that stands in the way.
    if snapped || found.attached.is_some() || !matches!(found.status, "available" | "error") {
        return Reply::refused(
            StatusCode::BAD_REQUEST,
            "Invalid volume: Volume status must be available or error or error_restoring or error_extending or error_managing and must \
             not be migrating, attached, belong to a group, have snapshots, be awaiting a transfer, or be disassociated from snapshots \
             after volume transfer.",
        );
    }
    found.status = "deleting";
    let id = id.to_owned();
    cloud.later(DELETE, move |_, model| {
        model.volumes.remove(&id);
        model.world.disks.remove(&content(&id));
    });
    Reply::empty(StatusCode::ACCEPTED)
}
