//! The status that a kubelet writes.

use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::{Value, json};

/// State of a pod's containers.
pub(super) enum State<'a> {
    /// Scheduled, containers are being made.
    Creating,
    /// An image cannot be pulled.
    NotPulled {
        /// What is wrong with it.
        why: &'a str,
    },
    /// All run.
    Running {
        /// RFC 3339.
        started: &'a str,
    },
    /// All ended.
    Ended {
        /// Exit code.
        code: i32,
        /// RFC 3339.
        started: &'a str,
        /// RFC 3339.
        finished: &'a str,
    },
}

/// The whole status.
pub(super) fn of(pod: &Pod, phase: &str, state: &State<'_>, ip: &str, now: &str) -> Value {
    let spec = pod.spec.clone().unwrap_or_default();
    let ready = matches!(state, State::Running { .. });
    let initialized = !matches!(state, State::Creating | State::NotPulled { .. });
    let succeeded = matches!(state, State::Ended { code: 0, .. });
    let containers: Vec<_> = spec.containers.iter().map(|c| container(c, &main_state(state), ready)).collect();
    let init: Vec<_> = spec.init_containers.iter().flatten().map(|c| container(c, &init_state(state), initialized)).collect();
    let reason = |holds: bool| match (holds, succeeded) {
        (true, _) => Value::Null,
        (false, true) => "PodCompleted".into(),
        (false, false) => "ContainersNotReady".into(),
    };
    let mut conditions: Vec<Value> = Vec::new();
    for (kind, holds) in [
        ("PodReadyToStartContainers", initialized && !matches!(state, State::Ended { .. })),
        ("Initialized", initialized),
        ("Ready", ready),
        ("ContainersReady", ready),
        ("PodScheduled", true),
    ] {
        let mut condition =
            json!({ "type": kind, "status": if holds { "True" } else { "False" }, "lastProbeTime": null, "lastTransitionTime": now });
        if kind.ends_with("Ready") && !reason(holds).is_null() {
            condition["reason"] = reason(holds);
        }
        conditions.push(condition);
    }
    let mut status = json!({
        "phase": phase,
        "conditions": conditions,
        "containerStatuses": containers,
        "hostIP": "192.168.126.11",
        "startTime": pod.status.as_ref().and_then(|s| s.start_time.clone()).map_or_else(|| json!(now), |t| json!(t)),
    });
    if !init.is_empty() {
        status["initContainerStatuses"] = init.into();
    }
    if !ip.is_empty() {
        status["podIP"] = ip.into();
        status["podIPs"] = json!([{ "ip": ip }]);
    }
    status
}

fn container(container: &Container, state: &Value, ready: bool) -> Value {
    let image = container.image.clone().unwrap_or_default();
    json!({
        "name": container.name,
        "image": image,
        "imageID": "",
        "ready": ready,
        "started": ready,
        "restartCount": 0,
        "lastState": {},
        "state": state,
    })
}

fn main_state(state: &State<'_>) -> Value {
    match state {
        State::Creating => json!({ "waiting": { "reason": "ContainerCreating" } }),
        State::NotPulled { why } => json!({ "waiting": { "reason": "ImagePullBackOff", "message": why } }),
        State::Running { started } => json!({ "running": { "startedAt": started } }),
        State::Ended { code, started, finished } => {
            let reason = if *code == 0 { "Completed" } else { "Error" };
            json!({ "terminated": { "exitCode": code, "reason": reason, "startedAt": started, "finishedAt": finished } })
        }
    }
}

/// Init containers are done as soon as the main ones run.
fn init_state(state: &State<'_>) -> Value {
    match state {
        State::Creating | State::NotPulled { .. } => json!({ "waiting": { "reason": "PodInitializing" } }),
        State::Running { started } | State::Ended { started, .. } => {
            json!({ "terminated": { "exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": started } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_containers_are_reported_before_and_after() {
        let pod: Pod =
            serde_json::from_value(json!({ "spec": { "containers": [{ "name": "a" }], "initContainers": [{ "name": "i" }] } })).unwrap();
        let creating = of(&pod, "Pending", &State::Creating, "", "t");
        assert_eq!(creating["initContainerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
        let ended = of(&pod, "Failed", &State::Ended { code: 1, started: "t", finished: "u" }, "127.1.2.3", "u");
        assert_eq!(ended["containerStatuses"][0]["state"]["terminated"]["reason"], "Error");
        assert_eq!(ended["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 0);
        assert_eq!(ended["podIP"], "127.1.2.3");
    }
}
