//! Scheduler and kubelet: pods get a node, run what they stand for, and end.

mod container;
mod exec;
mod gather;
mod inspection;
mod playbook;
mod populate;
mod schedule;
mod serve;
mod status;
mod v2v;
mod workload;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    runtime::{reflector::Store, watcher},
};
use serde_json::json;

use super::{
    Context,
    life::{self, Latest},
    write,
};
use crate::tls::Authority;
use status::State;
use workload::{Exit, Workload};

pub use container::Containers;
pub use serve::{METRICS_PORT, RESULTS_PORT, hold_metrics_port};

const MANAGER: &str = "lab-kubelet";
/// Annotation of a conversion pod that keeps it from coming to its end, as long as it stands.
pub const HOLD: &str = "lab.mtv-test.io/hold";
/// From the binding to running containers: image pulled before, volumes attached.
const START: Duration = Duration::from_secs(2);
/// What containers of the lab take to end when asked to, well within any grace period.
const STOP: Duration = Duration::from_secs(1);
/// How often a pod that fits nowhere is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Starts the role.
///
/// # Errors
/// The lab ended meanwhile.
pub async fn start(cx: &Context, authority: &Authority) -> anyhow::Result<()> {
    exec::start(cx, authority).await?;
    let nodes = life::observe(cx, Api::<Node>::all(cx.client.clone()), (), |_| {}).await?;
    let context = cx.clone();
    life::each(cx, Api::all(cx.client.clone()), watcher::Config::default(), move |pod| tend(context.clone(), nodes.clone(), pod)).await?;
    Ok(())
}

/// A pod as the kubelet works with it.
pub(crate) struct Running<'a> {
    cx: &'a Context,
    api: Api<Pod>,
    pod: Pod,
    /// RFC 3339.
    started: String,
    latest: Latest<Pod>,
}

impl Running<'_> {
    /// Says that the containers run, with the pod's address.
    async fn up(&self, ip: &str) -> anyhow::Result<()> {
        let state = State::Running { started: &self.started };
        self.say("Running", &state, ip).await
    }

    async fn say(&self, phase: &str, state: &State<'_>, ip: &str) -> anyhow::Result<()> {
        let written = status::of(&self.pod, phase, state, ip, &self.cx.world.clock.now());
        write::status(&self.api, MANAGER, &self.pod.name_any(), written).await.map(drop)
    }

    /// Waits until nobody holds the pod.
    async fn released(&self) {
        self.latest.clone().until(|pod| (!pod.annotations().contains_key(HOLD)).then_some(())).await;
    }

    /// Publishes a port in an annotation.
    async fn publish(&self, annotation: &str, port: u16) -> anyhow::Result<()> {
        let patch = json!({ "metadata": { "annotations": { annotation: port.to_string() } } });
        write::merge(&self.api, MANAGER, &self.pod.name_any(), patch).await.map(drop)
    }
}

fn deleting(pod: &Pod) -> Option<()> {
    pod.metadata.deletion_timestamp.as_ref().map(|_| ())
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or("Pending")
}

async fn tend(cx: Context, nodes: Store<Node>, mut latest: Latest<Pod>) -> anyhow::Result<()> {
    let seen = latest.get();
    let api: Api<Pod> = Api::namespaced(cx.client.clone(), &seen.namespace().unwrap_or_default());
    // Read again: the watch may not have brought what this task wrote last, and a pod must not run twice.
    let Some(pod) = api.get_opt(&seen.name_any()).await?.filter(|pod| pod.uid() == seen.uid()) else { return Ok(()) };
    if deleting(&pod).is_some() {
        if phase(&pod) == "Running" {
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
            cx.world.clock.sleep(STOP.min(grace)).await;
        }
        cx.world.containers.remove(&pod.uid().unwrap_or_default());
        return write::delete(&api, &pod.name_any(), pod.uid(), Some(0)).await;
    }
    if matches!(phase(&pod), "Succeeded" | "Failed") {
        return Ok(());
    }
    let mut waiting = latest.clone();
    tokio::select! {
        biased;
        () = waiting.until(deleting) => Ok(()),
        done = run(&cx, &api, &nodes, &pod, latest) => done,
    }?;
    // The next look deletes it, if that is why it ended.
    if deleting(&waiting.get()).is_some() { Box::pin(tend(cx, nodes, waiting)).await } else { Ok(()) }
}

async fn run(cx: &Context, api: &Api<Pod>, nodes: &Store<Node>, pod: &Pod, mut latest: Latest<Pod>) -> anyhow::Result<()> {
    let name = pod.name_any();
    let workload = Workload::of(pod);
    let now = cx.world.clock.now();
    if phase(pod) == "Running" && workload == Workload::Service {
        return Ok(());
    }
    if pod.spec.as_ref().is_none_or(|s| s.node_name.is_none()) {
        let Some(node) = schedule::choose(pod, &nodes.state()) else {
            let condition = json!([{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": now,
                "message": format!("0/{} nodes are available: none matches the pod's node selector and affinity", nodes.len()) }]);
            write::status(api, MANAGER, &name, json!({ "phase": "Pending", "conditions": condition })).await?;
            latest.changed_within(cx.world.clock.scaled(RETRY)).await;
            anyhow::bail!("pod {name} fits on no node");
        };
        schedule::bind(cx, pod, &node).await?;
    }
    let Some(pod) = api.get_opt(&name).await? else { return Ok(()) };
    let mut running = Running { cx, api: api.clone(), pod, started: now, latest };
    let containers = running.pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers));
    if let Some(why) = cx.world.faults.pull(containers.filter_map(|c| c.image.as_deref())) {
        running.say("Pending", &State::NotPulled { why: &why }, "").await?;
        running.latest.changed_within(cx.world.clock.scaled(RETRY)).await;
        anyhow::bail!("pod {name}: {why}");
    }
    if phase(&running.pod) != "Running" {
        running.say("Pending", &State::Creating, "").await?;
        cx.world.clock.sleep(START).await;
    }
    let (exit, ip) = match workload {
        Workload::Service => return running.up(&schedule::address(&running.pod)).await,
        Workload::Conversion => v2v::run(&running).await?,
        Workload::Inspection => inspection::run(&running).await?,
        Workload::Population => populate::run(&running).await?,
        Workload::Hook => brief(&running, playbook::run(&running).await?).await?,
        Workload::Brief => brief(&running, Exit::Success).await?,
        Workload::Gather => return gather::run(&running).await,
    };
    let finished = cx.world.clock.now();
    let (phase, code) = match exit {
        Exit::Success => ("Succeeded", 0),
        Exit::Failure => ("Failed", 1),
    };
    running.say(phase, &State::Ended { code, started: &running.started, finished: &finished }, &ip).await
}

/// Runs a container that does its work in a few seconds.
async fn brief(running: &Running<'_>, exit: Exit) -> anyhow::Result<(Exit, String)> {
    let ip = schedule::address(&running.pod);
    running.up(&ip).await?;
    running.cx.world.clock.sleep(workload::BRIEF).await;
    Ok((exit, ip))
}
