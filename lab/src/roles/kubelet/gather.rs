//! MTV's must-gather: writes what it finds of a plan, or of everything, into the pod's folder.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use kube::{
    ResourceExt,
    api::{ListParams, TypeMeta},
};
use mtv_api::kinds::{self, Kind};
use serde_json::json;

use super::{MANAGER, Running, schedule, status, status::State};
use crate::roles::write;

/// How long the scripts of the image take for one plan.
const TARGETED: Duration = Duration::from_secs(20);
/// How long they take for a whole cluster.
const FULL: Duration = Duration::from_mins(3);
/// Where the image writes.
const FOLDER: &str = "/must-gather";

/// Kinds of MTV and of what it makes.
const KINDS: &[&Kind] = &[
    &kinds::PLAN,
    &kinds::MIGRATION,
    &kinds::PROVIDER,
    &kinds::STORAGE_MAP,
    &kinds::NETWORK_MAP,
    &kinds::HOOK,
    &kinds::HOST,
    &kinds::CONVERSION,
    &kinds::FORKLIFT_CONTROLLER,
    &kinds::VM,
    &kinds::VMI,
    &kinds::DATA_VOLUME,
    &kinds::PVC,
    &kinds::POD,
    &kinds::EVENT,
];

/// What the scripts were asked for.
struct Wish {
    targeted: bool,
    namespace: String,
    plan: String,
    vm: String,
}

/// Runs the container that gathers; the others go on until the pod is deleted.
pub(super) async fn run(running: &Running<'_>) -> anyhow::Result<()> {
    let spec = running.pod.spec.clone().unwrap_or_default();
    let words =
        |c: &k8s_openapi::api::core::v1::Container| c.command.iter().chain(&c.args).flatten().cloned().collect::<Vec<_>>().join(" ");
    let scripts = ["/usr/bin/targeted", "/usr/bin/gather"];
    let Some(container) = spec.containers.iter().find(|c| scripts.iter().any(|script| words(c).contains(script))) else { return Ok(()) };
    let command = words(container);
    // `NS=a PLAN=b /usr/bin/targeted`, or the same in the container's environment.
    let value = |name: &str| {
        let inline = command
            .split_whitespace()
            .find_map(|word| word.strip_prefix(&format!("{name}=")).map(|v| v.trim_matches(['"', '\'']).to_owned()));
        let variable = || container.env.iter().flatten().find(|e| e.name == name).and_then(|e| e.value.clone());
        inline.or_else(variable).unwrap_or_default()
    };
    let wish = Wish { targeted: command.contains(scripts[0]), namespace: value("NS"), plan: value("PLAN"), vm: value("VM") };
    let ip = schedule::address(&running.pod);
    running.up(&ip).await?;
    let clock = &running.cx.world.clock;
    clock.sleep(if wish.targeted { TARGETED } else { FULL }).await;
    let (files, code) = gather(running, &wish).await?;
    let (uid, name) = (running.pod.uid().unwrap_or_default(), running.pod.name_any());
    running.cx.world.containers.with(&uid, &name, |inside| {
        inside.files.extend(files.into_iter().map(|(path, text)| (format!("{FOLDER}/{path}"), text.into_bytes())));
    });
    let finished = clock.now();
    let mut written = status::of(&running.pod, "Running", &State::Running { started: &running.started }, &ip, &finished);
    for status in written["containerStatuses"].as_array_mut().into_iter().flatten().filter(|s| s["name"] == container.name) {
        status["ready"] = false.into();
        status["started"] = false.into();
        status["state"] = json!({ "terminated": { "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
            "startedAt": running.started, "finishedAt": finished } });
    }
    write::status(&running.api, MANAGER, &name, written).await.map(drop)
}

/// Files and the exit code.
async fn gather(running: &Running<'_>, wish: &Wish) -> anyhow::Result<(BTreeMap<String, String>, i32)> {
    let mut files = BTreeMap::new();
    let mut log = format!("Gathering data for ns/{} plan/{} vm/{}\n", wish.namespace, wish.plan, wish.vm);
    let plan = if wish.plan.is_empty() {
        None
    } else {
        write::missing(write::api(&running.cx.client, &kinds::PLAN, &wish.namespace).get(&wish.plan).await)?
    };
    let code = i32::from(wish.targeted && plan.is_none());
    if code != 0 {
        let _infallible = writeln!(log, "Plan {}/{} not found", wish.namespace, wish.plan);
    }
    let (uid, target) = plan
        .as_ref()
        .map(|plan| (plan.uid().unwrap_or_default(), write::text(&plan.data, "/spec/targetNamespace").to_owned()))
        .unwrap_or_default();
    for kind in KINDS {
        let Some(found) = write::missing(write::all(&running.cx.client, kind).list(&ListParams::default()).await)? else { continue };
        for mut object in found {
            // Lists of built-in kinds leave it out.
            object.types = Some(TypeMeta { api_version: kind.api_version(), kind: kind.kind.to_owned() });
            let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
            // What Forklift makes carries the plan's UID; maps, Providers and Migrations lie beside the plan.
            let of_plan = object.labels().get("plan").map_or(namespace == wish.namespace, |plan| *plan == uid);
            let of_vm = wish.vm.is_empty() || object.labels().get("vmID").is_none_or(|id| *id == wish.vm);
            let here = namespace == wish.namespace || namespace == target;
            if wish.targeted && !(here && of_plan && of_vm && plan.is_some()) {
                continue;
            }
            let folder = if kind.group.is_empty() { "core" } else { "crs" };
            let text = serde_saphyr::to_string(&serde_json::to_value(&object)?)?;
            let _infallible = writeln!(log, "  {} {namespace}/{name}", kind.kind);
            files.insert(format!("namespaces/{namespace}/{folder}/{}/{name}.yaml", kind.plural), text);
        }
    }
    let controller = running.cx.world.datacenter.cluster.mtv_namespace.clone();
    let line = |message: &str| {
        json!({ "level": "info", "ts": running.started, "logger": "plan", "msg": message, "plan": { "name": wish.plan, "namespace": wish.namespace } }).to_string()
    };
    files.insert(
        format!("namespaces/{controller}/logs/forklift-controller/main/current.log"),
        format!("{}\n{}\n", line("Reconcile started."), line("Reconcile ended.")),
    );
    files.insert(
        "version".to_owned(),
        format!("Migration Toolkit for Virtualization must-gather\n{}\n", running.cx.world.datacenter.cluster.mtv_version),
    );
    files.insert("must-gather.log".to_owned(), log);
    Ok((files, code))
}
