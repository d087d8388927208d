//! Status of a virtual machine.

use serde_json::{Map, Value, json};

use super::vm::RunStrategy;
use crate::roles::write;

/// Conditions of the instance that a virtual machine shows as its own.
const COPIED: [&str; 7] =
    ["AgentConnected", "AgentVersionNotSupported", "LiveMigratable", "StorageLiveMigratable", "DataVolumesReady", "Paused", "Synchronized"];

/// The status as a merge patch: `null` takes a field away. `created` and `ready` are true or absent, never false.
pub(super) fn of(vm: &Value, strategy: RunStrategy, instance: Option<&Value>, deleting: bool, starting: bool, now: &str) -> Value {
    let phase = instance.map_or("", |i| write::text(i, "/status/phase"));
    let stopping = instance.is_some_and(|i| i.pointer("/metadata/deletionTimestamp").is_some_and(|t| !t.is_null()));
    let conditions = instance.map_or(&[][..], |i| write::list(i, "/status/conditions"));
    let ready = write::holds(conditions, "Ready") && !stopping;
    let printable = match phase {
        _ if deleting => "Terminating",
        _ if stopping => "Stopping",
        "Running" if write::holds(conditions, "Paused") => "Paused",
        "Running" => "Running",
        "Failed" if strategy != RunStrategy::Halted => "CrashLoopBackOff",
        "Succeeded" | "Failed" => "Stopped",
        _ if instance.is_some() => waiting_for(conditions),
        _ if starting => "Starting",
        _ => "Stopped",
    };
    let known: Vec<Value> = write::list(vm, "/status/conditions").iter().filter(|c| c["type"] == "Ready").cloned().collect();
    let mut list = match (instance, ready) {
        (_, true) => write::condition(&known, "Ready", true, "", "", now),
        (None, _) => write::condition(&known, "Ready", false, "VMINotExists", "VMI does not exist", now),
        (Some(_), false) => write::condition(&known, "Ready", false, "GuestNotRunning", "Guest VM is not reported as running", now),
    };
    list.extend(conditions.iter().filter(|c| COPIED.iter().any(|kind| c["type"] == *kind)).cloned());
    let yes = |holds: bool| if holds { Value::Bool(true) } else { Value::Null };
    let volumes = write::list(vm, "/spec/template/spec/volumes");
    let snapshots: Vec<_> = volumes
        .iter()
        .map(|v| json!({ "name": v["name"], "enabled": false, "reason": "No VolumeSnapshotClass: Volume snapshots are not configured for this StorageClass" }))
        .collect();
    json!({
        "created": yes(instance.is_some()),
        "ready": yes(ready),
        "printableStatus": printable,
        "runStrategy": strategy.name(),
        "conditions": list,
        "volumeSnapshotStatuses": snapshots,
    })
}

/// What people see of an instance that is not up yet.
fn waiting_for(conditions: &[Value]) -> &'static str {
    let reason =
        |kind: &str| conditions.iter().find(|c| c["type"] == kind && c["status"] == "False").map_or("", |c| write::text(c, "/reason"));
    match (reason("Synchronized"), reason("PodScheduled")) {
        ("FailedPvcNotFound", _) => "ErrorPvcNotFound",
        (_, "Unschedulable") => "ErrorUnschedulable",
        _ => "Starting",
    }
}

/// Whether merging the patch would change the status.
pub(super) fn differs(status: Option<&Value>, patch: &Value) -> bool {
    let empty = Map::new();
    let status = status.and_then(Value::as_object).unwrap_or(&empty);
    patch.as_object().is_some_and(|patch| {
        patch.iter().any(|(key, value)| match status.get(key) {
            Some(known) => known != value,
            None => !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(instance: Option<&Value>) -> Value {
        of(&json!({ "spec": {} }), RunStrategy::Always, instance, false, false, "t")
    }

    #[test]
    fn ready_is_absent_not_false() {
        let stopped = view(None);
        assert_eq!(
            (stopped["printableStatus"].as_str(), &stopped["ready"], &stopped["created"]),
            (Some("Stopped"), &Value::Null, &Value::Null)
        );
        let running = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }, { "type": "AgentConnected", "status": "True" }] } });
        let running = view(Some(&running));
        assert_eq!((running["printableStatus"].as_str(), &running["ready"]), (Some("Running"), &Value::Bool(true)));
        assert!(write::holds(write::list(&running, "/conditions"), "AgentConnected"));
    }

    #[test]
    fn what_is_missing_is_told() {
        let waiting = |kind: &str, reason: &str| {
            let instance =
                json!({ "status": { "phase": "Pending", "conditions": [{ "type": kind, "status": "False", "reason": reason }] } });
            view(Some(&instance))["printableStatus"].as_str().unwrap().to_owned()
        };
        assert_eq!(waiting("Synchronized", "FailedPvcNotFound"), "ErrorPvcNotFound");
        assert_eq!(waiting("PodScheduled", "Unschedulable"), "ErrorUnschedulable");
        assert_eq!(waiting("Ready", "GuestNotRunning"), "Starting");
        let stopping = json!({ "metadata": { "deletionTimestamp": "t" }, "status": { "phase": "Running" } });
        assert_eq!(view(Some(&stopping))["printableStatus"], "Stopping");
    }

    #[test]
    fn only_differences_are_written() {
        let status = json!({ "printableStatus": "Stopped", "conditions": [] });
        assert!(!differs(Some(&status), &json!({ "printableStatus": "Stopped", "ready": null, "volumeSnapshotStatuses": [] })));
        assert!(differs(Some(&status), &json!({ "ready": true })));
        assert!(differs(None, &json!({ "printableStatus": "Stopped" })));
    }
}
