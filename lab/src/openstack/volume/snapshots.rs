//! Snapshots of volumes.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    super::{
        Cloud,
        compute::metadata,
        identity::USER,
        model::{Model, Snapshot, content},
        paging,
        reply::{Answered, Ask, Fault, Reply, Service, fine_time},
    },
    DELETE, SNAP, around, wanted,
};
use crate::faults::Server as Target;

fn missing(id: &str) -> Fault {
    Fault::missing("Snapshot", id)
}

fn shown(model: &Model, snapshot: &Snapshot, minor: u32, detail: bool) -> Value {
    let mut out = json!({
        "id": snapshot.id, "name": snapshot.name, "description": snapshot.description, "volume_id": snapshot.volume, "size": snapshot.size,
        "status": snapshot.status, "metadata": snapshot.metadata, "created_at": fine_time(snapshot.created),
        "updated_at": fine_time(snapshot.created),
    });
    if detail {
        out["os-extended-snapshot-attributes:progress"] = json!(if snapshot.status == "available" { "100%" } else { "0%" });
        out["os-extended-snapshot-attributes:project_id"] = json!(model.project);
    }
    if minor >= 14 {
        out["group_snapshot_id"] = Value::Null;
    }
    if minor >= 41 {
        out["user_id"] = json!(USER);
    }
    if minor >= 65 {
        out["consumes_quota"] = json!(true);
    }
    out
}

fn find<'m>(model: &'m mut Model, id: &str) -> Result<&'m mut Snapshot, Fault> {
    model.snapshots.get_mut(id).ok_or_else(|| missing(id))
}

/// Answers a request; the path begins after `snapshots`.
pub fn answer(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>, rest: &[&str]) -> Answered {
    match (ask.method, rest) {
        (&Method::GET, [] | ["detail"]) => {
            let detail = !rest.is_empty();
            let fits = |s: &&&Snapshot| {
                wanted(ask, &s.name, s.status, &s.metadata) && ask.asked("volume_id").is_none_or(|volume| volume == s.volume)
            };
            let found = paging::youngest_first(model.snapshots.values(), |s| (s.created, &s.id));
            let whole: Vec<Value> = found.iter().filter(fits).map(|s| shown(model, s, ask.minor, detail)).collect();
            let count = whole.len();
            around::counted(paging::page(Service::Volume, &cloud.inner.address, "snapshots", whole, ask, |s| s), ask, count)
        }
        (&Method::POST, []) => create(cloud, model, ask),
        (&Method::GET, [id]) => {
            let found = model.snapshots.get(*id).ok_or_else(|| missing(id))?;
            Ok(Reply::ok(json!({ "snapshot": shown(model, found, ask.minor, true) })))
        }
        (&Method::PUT, [id]) => {
            let found = find(model, id)?;
            let text = |key: &str| ask.body.pointer(&format!("/snapshot/{key}")).and_then(Value::as_str).map(str::to_owned);
            if let Some(name) = text("name") {
                found.name = name;
            }
            if let Some(description) = text("description") {
                found.description = Some(description);
            }
            let found = found.clone();
            Ok(Reply::ok(json!({ "snapshot": shown(model, &found, ask.minor, false) })))
        }
        (&Method::DELETE, [id]) => {
            let found = find(model, id)?;
            if !matches!(found.status, "available" | "error") {
                return Err(Fault::bad(format!(
                    "Invalid snapshot: Snapshot status must be available or error, but current status is: {}.",
                    found.status
                )));
            }
            found.status = "deleting";
            let id = (*id).to_owned();
            cloud.later(DELETE, move |_, model| {
                model.snapshots.remove(&id);
                model.world.disks.remove(&content(&id));
            });
            Ok(Reply::empty(StatusCode::ACCEPTED))
        }
        (_, [id, "metadata", rest @ ..]) => metadata(&mut find(model, id)?.metadata, ask, rest),
        (&Method::POST, [id, "action"]) => {
            let found = find(model, id)?;
            found.status = match ask.text("/os-reset_status/status") {
                "available" => "available",
                "error" => "error",
                _ => return Err(Fault::bad("There is no such action.")),
            };
            Ok(Reply::empty(StatusCode::ACCEPTED))
        }
        _ => Err(Fault::no_such_path()),
    }
}

fn create(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>) -> Answered {
    let source = ask.text("/snapshot/volume_id").to_owned();
    let found = model.volumes.get(&source).ok_or_else(|| Fault::missing("Volume", &source))?;
    let forced = match ask.body.pointer("/snapshot/force") {
        // Since 3.66 what is in use may always be snapshotted, and only that may be said.
        None => ask.minor >= 66,
        Some(Value::Bool(force)) if ask.minor < 66 => *force,
        Some(Value::Bool(true)) => true,
        Some(Value::String(force)) if matches!(force.to_lowercase().as_str(), "true" | "1" | "t") => true,
        Some(Value::String(_)) if ask.minor < 66 => false,
        Some(_) => {
            return Err(Fault::bad(
                "Invalid input for field/attribute force. Since microversion 3.66 the 'force' parameter is invalid for this request.",
            ));
        }
    };
    match found.status {
        "available" => {}
        "in-use" if forced => {}
        other => {
            return Err(Fault::bad(format!("Invalid volume: Volume {source} status must be available, but current status is: {other}.")));
        }
    }
    let (size, name) = (found.size, ask.text("/snapshot/name").to_owned());
    let id = snap(cloud, model, &name, &source, size, ask.map("/snapshot/metadata"));
    if let Some(taken) = model.snapshots.get_mut(&id) {
        taken.description = ask.body.pointer("/snapshot/description").and_then(Value::as_str).map(str::to_owned);
    }
    Ok(Reply::accepted(json!({ "snapshot": shown(model, &model.snapshots[&id], ask.minor, false) })))
}

/// Begins a snapshot; its id.
pub fn snap(cloud: &Cloud, model: &mut Model, name: &str, volume: &str, size: u64, metadata: Map<String, Value>) -> String {
    let (id, created) = (model.id(), model.now());
    let taken = Snapshot {
        id: id.clone(),
        name: name.to_owned(),
        description: None,
        volume: volume.to_owned(),
        size,
        status: "creating",
        metadata,
        created,
    };
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
