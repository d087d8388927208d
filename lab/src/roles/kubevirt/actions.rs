//! start, stop and restart, as virt-api translates them: into the run strategy, or into a request to the controller.

use http::StatusCode;
use kube::{ResourceExt, api::DynamicObject};
use mtv_api::kinds;
use serde_json::{Value, json};

use super::{MANAGER, Shared, vm::RunStrategy};
use crate::roles::write;

/// Why an action is refused.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn conflict(name: &str, why: &str) -> Self {
        Self {
            status: StatusCode::CONFLICT,
            message: format!("Operation cannot be fulfilled on virtualmachine.kubevirt.io \"{name}\": {why}"),
        }
    }

    pub(super) fn not_found(kind: &str, name: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: format!("{kind}.kubevirt.io \"{name}\" not found") }
    }

    pub(super) fn internal(error: &anyhow::Error) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: format!("Internal error occurred: {error:#}") }
    }
}

/// What to write for an action.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Strategy(&'static str),
    Requests(Value),
}

fn decide(action: &str, strategy: RunStrategy, instance: Option<&str>) -> Result<Change, String> {
    let stop = |uid: &str| json!({ "action": "Stop", "uid": uid });
    let start = || json!({ "action": "Start" });
    match (action, strategy, instance) {
        ("start", _, Some(_)) => Err("VM is already running".to_owned()),
        ("start", RunStrategy::Halted, None) => Ok(Change::Strategy("Always")),
        ("start", RunStrategy::Manual | RunStrategy::RerunOnFailure, None) => Ok(Change::Requests(json!([start()]))),
        ("start", RunStrategy::Always, None) => Err("Always does not support manual start requests".to_owned()),
        ("stop", RunStrategy::Halted, _) => Err("VM is not running: Halted".to_owned()),
        ("stop", RunStrategy::Manual | RunStrategy::RerunOnFailure, None) => Err("VM is not running".to_owned()),
        ("stop", RunStrategy::Manual, Some(uid)) => Ok(Change::Requests(json!([stop(uid)]))),
        ("stop", RunStrategy::Always | RunStrategy::RerunOnFailure, _) => Ok(Change::Strategy("Halted")),
        ("restart", RunStrategy::Halted, _) => Err("RunStrategy Halted does not support manual restart requests".to_owned()),
        ("restart", _, None) => Err("VM is not running".to_owned()),
        ("restart", _, Some(uid)) => Ok(Change::Requests(json!([stop(uid), start()]))),
        (other, ..) => Err(format!("{other} is not supported")),
    }
}

/// Carries an action out.
pub(super) async fn run(shared: &Shared, namespace: &str, name: &str, action: &str) -> Result<(), Refusal> {
    let api = write::api(&shared.cx.client, &kinds::VM, namespace);
    let vm = api.get_opt(name).await.map_err(|e| Refusal::internal(&e.into()))?;
    let Some(vm) = vm else { return Err(Refusal::not_found("virtualmachine", name)) };
    let instances = write::api(&shared.cx.client, &kinds::VMI, namespace);
    let instance = instances.get_opt(name).await.map_err(|e| Refusal::internal(&e.into()))?;
    let is_final = |i: &DynamicObject| matches!(write::text(&i.data, "/status/phase"), "Succeeded" | "Failed");
    let uid = instance.filter(|i| !is_final(i)).and_then(|i| i.uid());
    let change = decide(action, RunStrategy::of(&vm.data), uid.as_deref()).map_err(|why| Refusal::conflict(name, &why))?;
    let written = match change {
        Change::Strategy(strategy) => {
            let spec = if vm.data.pointer("/spec/running").is_some() {
                json!({ "running": strategy == "Always" })
            } else {
                json!({ "runStrategy": strategy })
            };
            write::merge(&api, MANAGER, name, json!({ "spec": spec })).await
        }
        Change::Requests(requests) => write::status(&api, MANAGER, name, json!({ "stateChangeRequests": requests })).await,
    };
    written.map(drop).map_err(|e| Refusal::internal(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_become_strategies_or_requests() {
        use RunStrategy::{Always, Halted, Manual, RerunOnFailure};
        assert_eq!(decide("start", Halted, None), Ok(Change::Strategy("Always")));
        assert_eq!(decide("start", Always, Some("u")).unwrap_err(), "VM is already running");
        assert_eq!(decide("start", Manual, None), Ok(Change::Requests(json!([{ "action": "Start" }]))));
        assert_eq!(decide("stop", Always, Some("u")), Ok(Change::Strategy("Halted")));
        assert_eq!(decide("stop", Halted, None).unwrap_err(), "VM is not running: Halted");
        assert_eq!(decide("stop", RerunOnFailure, Some("u")), Ok(Change::Strategy("Halted")));
        assert!(matches!(decide("restart", Always, Some("u")), Ok(Change::Requests(list)) if list.as_array().map(Vec::len) == Some(2)));
        assert!(decide("restart", Always, None).is_err() && decide("dance", Always, None).is_err());
    }
}
