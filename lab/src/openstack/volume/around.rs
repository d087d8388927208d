//! What is around volumes: types, limits, zones, attachments. Read only.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::{
    Cloud,
    model::Model,
    paging,
    reply::{Answered, Ask, Content, Fault, Reply, Service},
};
use crate::vsphere::model::uuid;

/// Id of a volume type.
pub fn type_id(name: &str) -> String {
    uuid(0x0d, name)
}

/// Volume types.
pub fn types(model: &Model) -> Vec<Value> {
    let kind = |name: &String| {
        json!({ "id": type_id(name), "name": name, "description": null, "extra_specs": {}, "is_public": true,
            "os-volume-type-access:is_public": true, "qos_specs_id": null })
    };
    model.world.datacenter.openstack.volume_types.iter().map(|t| kind(&t.name)).collect()
}

/// Adds the number of all objects to a page, where a client wants it.
pub fn counted(reply: Answered, ask: &Ask<'_>, count: usize) -> Answered {
    let mut reply = reply?;
    if ask.minor >= 45
        && matches!(ask.asked("with_count"), Some("True" | "true" | "1"))
        && let Content::Json(body) = &mut reply.content
    {
        body["count"] = json!(count);
    }
    Ok(reply)
}

/// Answers a request; the path begins after the project.
pub fn answer(cloud: &Cloud, model: &Model, ask: &Ask<'_>, rest: &[&str]) -> Answered {
    let used: u64 = model.volumes.values().map(|volume| volume.size).sum();
    match rest {
        ["types"] => paging::page(Service::Volume, &cloud.inner.address, "volume_types", types(model), ask, |t| t),
        ["types", "default"] => {
            let found = types(model).into_iter().next().ok_or_else(|| Fault::missing("Volume type", "default"))?;
            Ok(Reply::ok(json!({ "volume_type": found })))
        }
        ["types", id] => {
            let found = types(model).into_iter().find(|t| t["id"] == *id);
            let found = found.ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, format!("Volume type {id} could not be found.")))?;
            Ok(Reply::ok(json!({ "volume_type": found })))
        }
        ["types", _, "extra_specs"] => Ok(Reply::ok(json!({ "extra_specs": {} }))),
        ["limits"] => {
            let absolute = json!({
                "maxTotalVolumes": -1, "maxTotalSnapshots": -1, "maxTotalVolumeGigabytes": -1, "maxTotalBackups": 10,
                "maxTotalBackupGigabytes": 1000, "totalVolumesUsed": model.volumes.len(), "totalSnapshotsUsed": model.snapshots.len(),
                "totalGigabytesUsed": used, "totalBackupsUsed": 0, "totalBackupGigabytesUsed": 0,
            });
            Ok(Reply::ok(json!({ "limits": { "rate": [], "absolute": absolute } })))
        }
        ["os-quota-sets", project, ..] => {
            let limits = [
                ("volumes", -1_i64, model.volumes.len() as u64),
                ("snapshots", -1, model.snapshots.len() as u64),
                ("gigabytes", -1, used),
                ("backups", 10, 0),
                ("backup_gigabytes", 1000, 0),
                ("per_volume_gigabytes", -1, 0),
                ("groups", 10, 0),
            ];
            let mut set = json!({ "id": project });
            let usage = matches!(ask.asked("usage"), Some("True" | "true" | "1"));
            for (name, limit, in_use) in limits {
                set[name] = if usage { json!({ "limit": limit, "in_use": in_use, "reserved": 0, "allocated": 0 }) } else { json!(limit) };
            }
            Ok(Reply::ok(json!({ "quota_set": set })))
        }
        ["os-availability-zone"] => {
            Ok(Reply::ok(json!({ "availabilityZoneInfo": [{ "zoneName": "nova", "zoneState": { "available": true } }] })))
        }
        ["os-services"] => {
            let service = |binary: &str, host: &str| {
                json!({ "binary": binary, "host": host, "zone": "nova", "status": "enabled", "state": "up", "disabled_reason": null,
                    "updated_at": "2026-01-01T00:00:00.000000" })
            };
            let all = [service("cinder-scheduler", "controller.lab"), service("cinder-volume", "controller.lab@ceph")];
            Ok(Reply::ok(json!({ "services": all })))
        }
        ["scheduler-stats", "get_pools"] => Ok(Reply::ok(
            json!({ "pools": [{ "name": "controller.lab@ceph#ceph", "capabilities": { "volume_backend_name": "ceph", "storage_protocol": "ceph" } }] }),
        )),
        ["attachments", ..] if ask.minor < 27 => Err(Fault::no_such_path()),
        ["attachments", rest @ ..] => {
            let one = |volume: &super::super::model::Volume| {
                let at = volume.attached.as_ref()?;
                Some(json!({ "id": at.id, "status": "attached", "instance": at.server, "volume_id": volume.id, "attach_mode": "rw" }))
            };
            let mut all = model.volumes.values().filter_map(one);
            match rest {
                [] | ["detail"] => Ok(Reply::ok(json!({ "attachments": all.collect::<Vec<_>>() }))),
                [id, ..] => {
                    let found = all.find(|one| one["id"] == *id);
                    let found = found.ok_or_else(|| {
                        Fault::new(
                            StatusCode::NOT_FOUND,
                            format!("Volume attachment could not be found with filter: attachment_id = {id}."),
                        )
                    })?;
                    Ok(Reply::ok(json!({ "attachment": found })))
                }
            }
        }
        // Nobody has made any of these.
        [kind @ ("backups" | "groups" | "group_snapshots" | "consistencygroups" | "messages" | "clusters"), rest @ ..] => none(kind, rest),
        ["os-volume-transfer" | "volume-transfers", rest @ ..] => none("transfers", rest),
        ["qos-specs", rest @ ..] => none("qos_specs", rest),
        ["extensions"] => Ok(Reply::ok(json!({ "extensions": [] }))),
        _ => Err(Fault::no_such_path()),
    }
}

fn none(kind: &str, rest: &[&str]) -> Answered {
    match rest {
        [] | ["detail"] => Ok(Reply::ok(json!({ kind: [] }))),
        [id, ..] => {
            let one = kind.trim_end_matches('s');
            Err(Fault::missing(&(one[..1].to_uppercase() + &one[1..]), id))
        }
    }
}
