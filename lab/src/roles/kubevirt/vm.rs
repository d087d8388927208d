//! Virtual machines: whether there has to be an instance, and what people see of it.

use std::time::Duration;

use anyhow::Context as _;
use kube::{ResourceExt, api::DynamicObject};
use mtv_api::kinds;
use serde_json::{Value, json};

use super::{MANAGER, Shared, status};
use crate::roles::{life::Latest, write};

/// Keeps a virtual machine until its instance is gone.
const FINALIZER: &str = "kubevirt.io/virtualMachineControllerFinalize";
/// Keeps an instance until its domain is gone.
pub(super) const INSTANCE_FINALIZER: &str = "foregroundDeleteVirtualMachine";
/// A crashed instance is started again after this time; the real back-off grows from here.
const RESTART: Duration = Duration::from_secs(10);
/// Machine type of OpenShift Virtualization 4.20.
const MACHINE: &str = "pc-q35-rhel9.6.0";

/// When there is an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunStrategy {
    Always,
    Halted,
    Manual,
    RerunOnFailure,
}

impl RunStrategy {
    /// The strategy of a virtual machine; `running` is its older spelling.
    pub(super) fn of(vm: &Value) -> Self {
        match write::text(vm, "/spec/runStrategy") {
            "Always" | "Once" => Self::Always,
            "Manual" | "WaitAsReceiver" => Self::Manual,
            "RerunOnFailure" => Self::RerunOnFailure,
            "Halted" => Self::Halted,
            _ if vm.pointer("/spec/running") == Some(&Value::Bool(true)) => Self::Always,
            _ => Self::Halted,
        }
    }

    /// As KubeVirt spells it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::Halted => "Halted",
            Self::Manual => "Manual",
            Self::RerunOnFailure => "RerunOnFailure",
        }
    }
}

/// What to do about the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    Start,
    Stop,
    Restart,
}

fn step(strategy: RunStrategy, vm: &Value, instance: Option<&Value>) -> Step {
    let requests = write::list(vm, "/status/stateChangeRequests");
    let action = requests.first().map_or("", |r| write::text(r, "/action"));
    let phase = instance.map(|i| write::text(i, "/status/phase"));
    let stop_asked = action == "Stop" && instance.is_some_and(|i| write::text(i, "/metadata/uid") == write::text(&requests[0], "/uid"));
    match (strategy, phase) {
        (strategy, Some(_)) if stop_asked || strategy == RunStrategy::Halted => Step::Stop,
        (RunStrategy::Always | RunStrategy::RerunOnFailure, None) => Step::Start,
        (RunStrategy::Manual, None) if action == "Start" => Step::Start,
        (RunStrategy::Manual, Some("Succeeded" | "Failed")) if action == "Start" => Step::Restart,
        (RunStrategy::Always, Some("Succeeded" | "Failed")) | (RunStrategy::RerunOnFailure, Some("Failed")) => Step::Restart,
        _ => Step::Nothing,
    }
}

/// Looks after one virtual machine.
pub(super) async fn tend(shared: Shared, mut latest: Latest<DynamicObject>) -> anyhow::Result<()> {
    let vm = latest.get();
    let (namespace, name, uid) = (vm.namespace().unwrap_or_default(), vm.name_any(), vm.uid().unwrap_or_default());
    let client = &shared.cx.client;
    let vms = write::api(client, &kinds::VM, &namespace);
    let instances = write::api(client, &kinds::VMI, &namespace);
    let instance = shared.instance(&namespace, &name).filter(|i| i.owner_references().iter().any(|o| o.uid == uid));
    let deleting = vm.metadata.deletion_timestamp.is_some();
    if deleting && instance.is_none() {
        return write::finalizer(&vms, MANAGER, &*vm, FINALIZER, false).await;
    }
    if !deleting && !vm.finalizers().iter().any(|f| f == FINALIZER) {
        // The write brings this task back.
        return write::finalizer(&vms, MANAGER, &*vm, FINALIZER, true).await;
    }
    if !deleting {
        super::templates::data_volumes(&shared, &vm).await?;
    }
    let strategy = RunStrategy::of(&vm.data);
    let instance_value = instance.as_deref().map(serde_json::to_value).transpose()?;
    let step = if deleting { Step::Stop } else { step(strategy, &vm.data, instance_value.as_ref()) };
    let stopping = instance.as_ref().is_some_and(|i| i.metadata.deletion_timestamp.is_some());
    match step {
        Step::Start => start(&shared, &vm).await?,
        Step::Stop if !stopping => write::delete(&instances, &name, instance.as_ref().and_then(|i| i.uid()), None).await?,
        Step::Restart if !stopping => {
            shared.cx.world.clock.sleep(RESTART).await;
            write::delete(&instances, &name, instance.as_ref().and_then(|i| i.uid()), None).await?;
        }
        _ => {}
    }
    let view = status::of(&vm.data, strategy, instance_value.as_ref(), deleting, step == Step::Start, &shared.cx.world.clock.now());
    let mut view = view;
    view["observedGeneration"] = json!(vm.metadata.generation);
    view["desiredGeneration"] = json!(vm.metadata.generation);
    let requests = write::list(&vm.data, "/status/stateChangeRequests");
    if !requests.is_empty() {
        view["stateChangeRequests"] = left(requests, instance_value.as_ref(), step);
    }
    if status::differs(vm.data.get("status"), &view) {
        write::status(&vms, MANAGER, &name, view).await?;
    }
    Ok(())
}

/// The requests that are not served yet.
fn left(requests: &[Value], instance: Option<&Value>, step: Step) -> Value {
    let gone = |request: &Value| instance.is_none_or(|i| write::text(i, "/metadata/uid") != write::text(request, "/uid"));
    let served = |request: &Value| match write::text(request, "/action") {
        "Stop" => gone(request),
        _ => step == Step::Start || (instance.is_some() && requests.len() == 1),
    };
    let left: Vec<_> = requests.iter().filter(|r| !served(r)).cloned().collect();
    if left.is_empty() { Value::Null } else { left.into() }
}

async fn start(shared: &Shared, vm: &DynamicObject) -> anyhow::Result<()> {
    let (namespace, name, uid) = (vm.namespace().unwrap_or_default(), vm.name_any(), vm.uid().unwrap_or_default());
    let template = vm.data.pointer("/spec/template").with_context(|| format!("virtualmachine {namespace}/{name} has no template"))?;
    let mut spec = template.get("spec").cloned().unwrap_or_default();
    let defaults = [("architecture", json!("amd64")), ("evictionStrategy", json!("LiveMigrate"))];
    for (key, value) in defaults {
        if spec.get(key).is_none() {
            spec[key] = value;
        }
    }
    if spec.pointer("/domain/machine").is_none() {
        spec["domain"]["machine"] = json!({ "type": MACHINE });
    }
    if spec.pointer("/domain/firmware/uuid").is_none() {
        // Made from the name by KubeVirt as well, so that it stays; here from the virtual machine's own UID.
        spec["domain"]["firmware"]["uuid"] = json!(uid);
    }
    super::templates::instance_type(shared, vm, &mut spec).await?;
    super::network::give_macs(&mut spec, &uid);
    let mut annotations = template.pointer("/metadata/annotations").cloned().unwrap_or_else(|| json!({}));
    annotations["kubevirt.io/latest-observed-api-version"] = "v1".into();
    let instance = json!({
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": template.pointer("/metadata/labels").cloned().unwrap_or_else(|| json!({})),
            "annotations": annotations,
            "finalizers": [INSTANCE_FINALIZER],
            "ownerReferences": [write::controller_of(&kinds::VM, &name, &uid)],
        },
        "spec": spec,
    });
    write::create(&shared.cx.client, MANAGER, &kinds::VMI, instance).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_decide_about_the_instance() {
        use RunStrategy::{Always, Halted, Manual, RerunOnFailure};
        let vm = |request: &Value| json!({ "status": { "stateChangeRequests": request } });
        let none = vm(&json!([]));
        let instance = |phase: &str| json!({ "metadata": { "uid": "i" }, "status": { "phase": phase } });
        let (running, failed) = (instance("Running"), instance("Failed"));
        let stop = vm(&json!([{ "action": "Stop", "uid": "i" }]));
        let start = vm(&json!([{ "action": "Start" }]));
        let table = [
            (Always, &none, None, Step::Start),
            (Always, &none, Some(&running), Step::Nothing),
            (Always, &none, Some(&failed), Step::Restart),
            (Always, &stop, Some(&running), Step::Stop),
            (Halted, &none, Some(&running), Step::Stop),
            (Halted, &none, None, Step::Nothing),
            (Manual, &none, None, Step::Nothing),
            (Manual, &start, None, Step::Start),
            (Manual, &none, Some(&failed), Step::Nothing),
            (RerunOnFailure, &none, Some(&failed), Step::Restart),
        ];
        for (strategy, vm, instance, expected) in table {
            assert_eq!(step(strategy, vm, instance), expected, "{strategy:?} {vm} {instance:?}");
        }
    }

    #[test]
    fn a_restart_is_two_requests() {
        let requests = [json!({ "action": "Stop", "uid": "old" }), json!({ "action": "Start" })];
        let old = json!({ "metadata": { "uid": "old" } });
        assert_eq!(left(&requests, Some(&old), Step::Stop).as_array().map(Vec::len), Some(2));
        assert_eq!(left(&requests, None, Step::Nothing).as_array().map(Vec::len), Some(1));
        assert_eq!(left(&requests[1..], None, Step::Start), Value::Null);
    }

    #[test]
    fn the_older_spelling_counts() {
        assert_eq!(RunStrategy::of(&json!({ "spec": { "running": true } })), RunStrategy::Always);
        assert_eq!(RunStrategy::of(&json!({ "spec": { "runStrategy": "Manual" } })), RunStrategy::Manual);
        assert_eq!(RunStrategy::of(&json!({ "spec": {} })), RunStrategy::Halted);
    }
}
