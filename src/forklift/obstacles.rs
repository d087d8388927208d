//! What keeps a Plan from going on, found in the pods, claims, DataVolumes, Jobs and events below it.
//!
//! Forklift's own conditions stay at `Executing` or `ValidatingVDDK` while a pod cannot be scheduled, an image cannot be pulled or a
//! quota refuses an object. Everything that Forklift, CDI and Kubernetes create for a Plan carries the Plan's UID in the label
//! `plan`, or is owned by something that does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use kube::api::DynamicObject;
use mtv_api::kinds::{self, Kind};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    cluster::{Cluster, ObjectExt as _, name_of},
    diagnosis::{self, Diagnosis, Fact, Speaker},
    engine::StepCx,
    secrets::excerpt,
};

/// How long an obstacle must stay before it is reported while the wait goes on. The kubelet retries a pull that failed within this
/// time twice, and schedulers and provisioners get over most troubles of a moment.
const LASTING: Duration = Duration::from_mins(1);

/// Time for the search when a wait has ended: the verdict must not wait for it any longer.
const SEARCH: Duration = Duration::from_secs(30);

/// Longest message that is quoted, in characters.
const MESSAGE: usize = 600;

/// Last lines of the log of a pod that failed, and how many characters of each.
const LOG: (usize, usize) = (10, 300);

/// How many obstacles a report names; the others are counted.
const MOST: usize = 12;

/// Waiting reasons of a container that its image causes.
const IMAGE: [&str; 4] = ["ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"];

/// Waiting reasons of a container that is not simply being created.
const CONTAINER: [&str; 4] = ["CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"];

/// Kinds below a Plan, in the order in which they are reported.
const KINDS: [&Kind; 4] = [&kinds::JOB, &kinds::POD, &kinds::PVC, &kinds::DATA_VOLUME];

/// What kind of obstacle it is, which decides the hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObstacleKind {
    /// A quota or a limit range refuses an object.
    Quota,
    /// The API server refuses an object for another reason.
    Refused,
    /// A node cannot pull an image.
    Image,
    /// No node takes a pod.
    Unschedulable,
    /// A container does not start, or ends again and again.
    Container,
    /// A pod ended with an error.
    PodFailed,
    /// A volume cannot be mounted or attached.
    Mount,
    /// A claim is not bound.
    Claim,
    /// A DataVolume is not finished.
    Volume,
}

impl ObstacleKind {
    /// What the user might do.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Quota => "look at quotas and limit ranges of the namespace: kubectl describe quota,limitrange",
            Self::Refused => {
                "the API server refuses what the controllers create: look at admission webhooks and pod security of the namespace"
            }
            Self::Image => diagnosis::IMAGE,
            Self::Unschedulable => "no node takes the pod: look at free CPU and memory, taints, selectors and volumes of the nodes",
            Self::Container | Self::PodFailed => "look at the pod: kubectl describe pod, kubectl logs",
            Self::Mount => "a node cannot mount a volume of the pod: look at the CSI driver and the storage behind it",
            Self::Claim => "a claim is not bound: look at the storage class, its provisioner and the room that it has",
            Self::Volume => "look at the importer pod and the events of the DataVolume: kubectl describe datavolume",
        }
    }

    /// Whether it means that something is wrong, rather than that work is not finished.
    const fn is_fault(self) -> bool {
        !matches!(self, Self::Volume)
    }
}

/// What keeps a Plan from going on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Obstacle {
    /// Kind.
    pub kind: ObstacleKind,
    /// `Pod ns/name`.
    pub object: String,
    /// A word, such as `ImagePullBackOff`.
    pub reason: String,
    /// What the cluster says.
    pub message: String,
}

impl Obstacle {
    /// What known issues are recognized by.
    fn facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        if matches!(self.kind, ObstacleKind::Image | ObstacleKind::Container) {
            facts.push(Fact::Waiting(self.reason.clone()));
        }
        if !self.message.is_empty() {
            facts.push(Fact::said(Speaker::Cluster, &self.message));
        }
        facts
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.reason)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

/// Where to look: the Plan by its UID, the namespaces of the Plan and of its VMs, and the one of Forklift's controller.
#[derive(Debug, Clone)]
pub struct Below {
    /// UID of the Plan.
    pub plan: String,
    /// Name of the Plan, as the controller's log has it.
    pub name: String,
    /// Namespaces of the Plan and of its VMs.
    pub namespaces: BTreeSet<String>,
    /// Namespace of the controller.
    pub controller: String,
}

/// Objects below a Plan, with the events about them.
#[derive(Debug, Default)]
struct Found {
    /// Objects by UID, with their kind.
    objects: BTreeMap<String, (&'static Kind, DynamicObject)>,
    /// Warnings by the UID of their object, oldest first.
    warnings: BTreeMap<String, Vec<Warning>>,
}

#[derive(Debug)]
struct Warning {
    at: String,
    reason: String,
    message: String,
}

/// Adds what keeps a Plan from going on to what is told of a wait that has ended, with the last log lines of pods that failed.
pub async fn explain(cluster: &Cluster, cx: &StepCx, below: &Below, trouble: Diagnosis) -> Diagnosis {
    let search = async {
        let found = listed(cluster, below).await;
        let mut obstacles = found.obstacles();
        let mut logs = Vec::new();
        for (namespace, name) in found.failed_pods().into_iter().take(MOST) {
            logs.extend(last_lines(cluster, &namespace, &name).await);
        }
        if !obstacles.iter().any(|obstacle| obstacle.kind.is_fault()) {
            // A controller that may not create an object says so nowhere but in its log.
            obstacles.extend(said_by_controller(cluster, below).await);
        }
        (obstacles, logs)
    };
    let searched = tokio::select! {
        () = cx.cancel.cancelled() => return trouble,
        searched = tokio::time::timeout(SEARCH, search) => searched,
    };
    match searched {
        Ok((obstacles, logs)) => add(trouble, obstacles, logs),
        Err(_) => trouble.evidence(format!("what is below Plan {} could not be read within {} s", below.name, SEARCH.as_secs())),
    }
}

/// The obstacles come after the causes that are known already, the logs after the evidence.
fn add(mut trouble: Diagnosis, mut obstacles: Vec<Obstacle>, logs: Vec<String>) -> Diagnosis {
    obstacles.sort();
    obstacles.dedup();
    for obstacle in &obstacles {
        let hint = obstacle.kind.hint();
        if !trouble.hints.iter().any(|known| known == hint) {
            trouble.hints.insert(0, hint.to_owned());
        }
    }
    let more = obstacles.len().saturating_sub(MOST);
    let mut lines: Vec<String> = obstacles.iter().take(MOST).map(ToString::to_string).collect();
    if more > 0 {
        lines.push(format!("and {more} more objects that are not ready"));
    }
    trouble.facts.extend(obstacles.iter().flat_map(Obstacle::facts));
    trouble.causes.extend(lines);
    trouble.evidence.extend(logs);
    trouble
}

/// What becomes of a wait that ended while these objects are below a Plan, for tests of what is known of obstacles.
#[cfg(test)]
pub(crate) fn explained_by(
    plan: &str,
    objects: Vec<(&'static Kind, DynamicObject)>,
    events: &[DynamicObject],
    diagnosis: Diagnosis,
) -> Diagnosis {
    add(diagnosis, Found::of(plan, objects, events).obstacles(), Vec::new())
}

/// Reports obstacles that last, each once, as warnings. Reads the stores of shared watches and sends no requests of its own. Never ends.
pub async fn watch_for(cluster: &Cluster, cx: &StepCx, below: &Below) {
    let mut tick = interval_at(Instant::now() + LASTING / 2, LASTING / 2);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut lasting = Lasting::default();
    loop {
        tick.tick().await;
        let Some(found) = watched(cluster, cx, below).await else {
            // What may not be read is told when the wait ends.
            return std::future::pending().await;
        };
        for obstacle in lasting.news(Instant::now(), found.obstacles()) {
            let hint = obstacle.kind.hint();
            cx.warn_with(format!("{obstacle}; it has been so for more than {} s", LASTING.as_secs()), vec![hint.to_owned()]);
        }
    }
}

/// Does some work, and reports obstacles that last meanwhile.
pub async fn watching<T>(cluster: &Cluster, cx: &StepCx, below: &Below, work: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = work => done,
        () = watch_for(cluster, cx, below) => std::future::pending().await,
    }
}

/// Obstacles and since when they were seen without a break.
#[derive(Debug, Default)]
struct Lasting {
    since: BTreeMap<(String, ObstacleKind), Instant>,
    told: BTreeSet<(String, ObstacleKind)>,
}

impl Lasting {
    /// Takes what there is now; returns what has lasted and was not returned before.
    fn news(&mut self, now: Instant, obstacles: Vec<Obstacle>) -> Vec<Obstacle> {
        let key = |obstacle: &Obstacle| (obstacle.object.clone(), obstacle.kind);
        let faults: Vec<Obstacle> = obstacles.into_iter().filter(|obstacle| obstacle.kind.is_fault()).collect();
        let there: BTreeSet<_> = faults.iter().map(key).collect();
        self.since.retain(|key, _| there.contains(key));
        let mut news = Vec::new();
        for obstacle in faults {
            let since = *self.since.entry(key(&obstacle)).or_insert(now);
            if now.duration_since(since) >= LASTING && self.told.insert(key(&obstacle)) {
                news.push(obstacle);
            }
        }
        news
    }
}

/// What is below a Plan, by lists. What cannot be listed is left out.
async fn listed(cluster: &Cluster, below: &Below) -> Found {
    let mut objects = Vec::new();
    let mut events = Vec::new();
    for namespace in &below.namespaces {
        for kind in KINDS.into_iter().chain([&kinds::EVENT]) {
            match cluster.list(kind, Some(namespace), "").await {
                Ok(all) if kind == &kinds::EVENT => events.extend(all),
                Ok(all) => objects.extend(all.into_iter().map(|object| (kind, object))),
                Err(error) => tracing::debug!("what keeps Plan {} from going on: {error:#}", below.name),
            }
        }
    }
    Found::of(&below.plan, objects, &events)
}

/// The same from shared watches; nothing if one of them does not work.
async fn watched(cluster: &Cluster, cx: &StepCx, below: &Below) -> Option<Found> {
    let mut objects = Vec::new();
    let mut events = Vec::new();
    for namespace in &below.namespaces {
        for kind in KINDS {
            let all = cluster.watched(cx, kind, Some(namespace), |_| true).await.ok()?;
            objects.extend(all.into_iter().map(|object| (kind, object)));
        }
        events.extend(cluster.watched(cx, &kinds::EVENT, Some(namespace), |event| event.text("/type") == Some("Warning")).await.ok()?);
    }
    Some(Found::of(&below.plan, objects, &events))
}

impl Found {
    /// Keeps the objects of a Plan and the warnings about them.
    fn of(plan: &str, objects: Vec<(&'static Kind, DynamicObject)>, events: &[DynamicObject]) -> Self {
        let mut mine: BTreeSet<String> = BTreeSet::from([plan.to_owned()]);
        let mut rest = objects;
        let mut found = Self::default();
        // Owners may come after what they own.
        loop {
            let is_mine = |object: &DynamicObject| {
                let labelled = object.metadata.labels.as_ref().and_then(|l| l.get("plan")).is_some_and(|uid| uid == plan);
                labelled || object.metadata.owner_references.iter().flatten().any(|owner| mine.contains(&owner.uid))
            };
            let (new, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, object)| is_mine(object));
            rest = others;
            if new.is_empty() {
                break;
            }
            for (kind, object) in new {
                let uid = object.metadata.uid.clone().unwrap_or_default();
                mine.insert(uid.clone());
                found.objects.insert(uid, (kind, object));
            }
        }
        for event in events.iter().filter(|event| event.text("/type") == Some("Warning")) {
            let Some(uid) = event.text("/involvedObject/uid").filter(|uid| found.objects.contains_key(*uid)) else { continue };
            let text = |pointer: &str| event.text(pointer).unwrap_or_default().to_owned();
            let at = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
            let at = at.into_iter().find_map(|pointer| event.text(pointer)).unwrap_or_default().to_owned();
            let warning = Warning { at, reason: text("/reason"), message: text("/message") };
            found.warnings.entry(uid.to_owned()).or_default().push(warning);
        }
        for warnings in found.warnings.values_mut() {
            warnings.sort_by(|a, b| a.at.cmp(&b.at));
        }
        found
    }

    /// What keeps them from going on, sorted.
    fn obstacles(&self) -> Vec<Obstacle> {
        let mut all: Vec<Obstacle> = self
            .objects
            .iter()
            .flat_map(|(uid, (kind, object))| {
                let warnings = self.warnings.get(uid).map(Vec::as_slice).unwrap_or_default();
                let name = name_of(kind, object.metadata.namespace.as_deref(), object.metadata.name.as_deref().unwrap_or_default());
                let of = |(kind, reason, message): (ObstacleKind, &str, &str)| Obstacle {
                    kind,
                    object: name.clone(),
                    reason: reason.to_owned(),
                    message: excerpt(message, MESSAGE),
                };
                match kind.kind {
                    "Pod" => of_pod(object, warnings).into_iter().map(of).collect::<Vec<_>>(),
                    "Job" => of_job(object, warnings).into_iter().map(of).collect(),
                    "PersistentVolumeClaim" => of_claim(object, warnings).into_iter().map(of).collect(),
                    _ => of_volume(object, warnings).iter().map(|(kind, reason, message)| of((*kind, reason, message))).collect(),
                }
            })
            .collect();
        all.sort();
        all
    }

    /// Namespaces and names of pods that ended with an error.
    fn failed_pods(&self) -> Vec<(String, String)> {
        let pods = self.objects.values().filter(|(kind, pod)| **kind == kinds::POD && pod.text("/status/phase") == Some("Failed"));
        pods.filter_map(|(_, pod)| Some((pod.metadata.namespace.clone()?, pod.metadata.name.clone()?))).collect()
    }
}

/// Refusals of what a controller wanted to create, which the owner's events are the only sign of.
fn refused(warning: &Warning) -> Option<ObstacleKind> {
    let words = warning.message.to_lowercase();
    if words.contains("quota") || words.contains("limit range") || words.contains("limitrange") || words.contains("maximum") {
        return (words.contains("forbidden") || words.contains("exceeded") || warning.reason == "FailedCreate")
            .then_some(ObstacleKind::Quota);
    }
    (warning.reason == "FailedCreate" || words.contains("forbidden")).then_some(ObstacleKind::Refused)
}

type Words<'o> = (ObstacleKind, &'o str, &'o str);

fn of_pod<'o>(pod: &'o DynamicObject, warnings: &'o [Warning]) -> Vec<Words<'o>> {
    let phase = pod.text("/status/phase").unwrap_or_default();
    let list = |pointer: &str| pod.at(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let text = |value: &'o Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let containers = || list("/status/initContainerStatuses").iter().chain(list("/status/containerStatuses"));
    if phase == "Failed" {
        let ended = containers().find_map(|status| {
            let ended = status.pointer("/state/terminated")?;
            (ended["exitCode"].as_i64() != Some(0)).then(|| (text(ended, "/reason"), text(ended, "/message")))
        });
        let (reason, message) =
            ended.unwrap_or((pod.text("/status/reason").unwrap_or("Failed"), pod.text("/status/message").unwrap_or_default()));
        return vec![(ObstacleKind::PodFailed, if reason.is_empty() { "Failed" } else { reason }, message)];
    }
    if phase == "Succeeded" {
        return Vec::new();
    }
    let mut found = Vec::new();
    for status in containers() {
        let (reason, message) = (text(status, "/state/waiting/reason"), text(status, "/state/waiting/message"));
        if IMAGE.contains(&reason) {
            // While it backs off, older kubelets give the reason in the events only.
            let pull = warnings.iter().rfind(|w| w.reason == "Failed" && w.message.contains("pull"));
            let message =
                if message.is_empty() || message.starts_with("Back-off") { pull.map_or(message, |w| &w.message) } else { message };
            found.push((ObstacleKind::Image, reason, message));
        } else if CONTAINER.contains(&reason) {
            found.push((ObstacleKind::Container, reason, message));
        }
    }
    let unscheduled = list("/status/conditions").iter().find(|c| c["type"] == "PodScheduled" && c["status"] == "False");
    if let Some(condition) = unscheduled {
        found.push((ObstacleKind::Unschedulable, text(condition, "/reason"), text(condition, "/message")));
    }
    if found.is_empty() && phase == "Pending" {
        let mount = |w: &&Warning| matches!(w.reason.as_str(), "FailedMount" | "FailedAttachVolume" | "FailedMapVolume");
        let start = |w: &&Warning| w.reason == "FailedCreatePodSandBox";
        if let Some(warning) = warnings.iter().rfind(mount) {
            found.push((ObstacleKind::Mount, &warning.reason, &warning.message));
        } else if let Some(warning) = warnings.iter().rfind(start) {
            found.push((ObstacleKind::Container, &warning.reason, &warning.message));
        }
    }
    found
}

fn of_job<'o>(job: &'o DynamicObject, warnings: &'o [Warning]) -> Option<Words<'o>> {
    let count = |pointer: &str| job.at(pointer).and_then(Value::as_i64).unwrap_or_default();
    // With a pod of its own, the pod says what is wrong. The Job's status counts the pod that it wants as well.
    let ready = count("/status/ready") > 0 || count("/status/succeeded") > 0;
    let (warning, kind) = warnings.iter().rev().find_map(|warning| Some((warning, refused(warning)?)))?;
    (!ready).then_some((kind, &warning.reason, &warning.message))
}

fn of_claim<'o>(claim: &'o DynamicObject, warnings: &'o [Warning]) -> Option<Words<'o>> {
    let of_importer =
        warnings.iter().rev().find_map(|warning| Some((refused(warning)?, warning.reason.as_str(), warning.message.as_str())));
    match claim.text("/status/phase") {
        Some("Bound") => of_importer.filter(|_| {
            claim.metadata.annotations.as_ref().is_some_and(|a| {
                // CDI's own word on the pod that works on the claim.
                a.get("cdi.kubevirt.io/storage.pod.phase").is_none_or(|phase| phase == "Pending")
            })
        }),
        Some("Lost") => Some((ObstacleKind::Claim, "Lost", "its volume does not exist any more")),
        _ => of_importer.or_else(|| {
            let failed = warnings.iter().rfind(|w| w.reason == "ProvisioningFailed" || w.reason == "FailedBinding");
            failed.map(|w| (ObstacleKind::Claim, w.reason.as_str(), w.message.as_str()))
        }),
    }
}

fn of_volume(volume: &DynamicObject, warnings: &[Warning]) -> Option<(ObstacleKind, String, String)> {
    let phase = volume.text("/status/phase").unwrap_or("without a phase");
    if matches!(phase, "Succeeded" | "Paused") {
        return None;
    }
    if let Some((kind, warning)) = warnings.iter().rev().find_map(|warning| Some((refused(warning)?, warning))) {
        return Some((kind, warning.reason.clone(), warning.message.clone()));
    }
    let progress = volume.text("/status/progress").filter(|progress| *progress != "N/A").map(|progress| format!(" at {progress}"));
    let conditions = volume.at("/status/conditions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let why = conditions.iter().filter(|c| c["status"] != "True").filter_map(|c| c["message"].as_str().filter(|m| !m.is_empty()));
    let why = why.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("; ");
    Some((ObstacleKind::Volume, format!("{phase}{}", progress.unwrap_or_default()), why))
}

/// The last lines of a pod's log.
async fn last_lines(cluster: &Cluster, namespace: &str, name: &str) -> Vec<String> {
    match cluster.pod_log_tail(namespace, name, None, LOG.0).await {
        Ok(log) => {
            let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
            let last = lines[lines.len().saturating_sub(LOG.0)..].iter().map(|line| format!("  {}", excerpt(line, LOG.1)));
            if lines.is_empty() { Vec::new() } else { std::iter::once(format!("log of Pod {namespace}/{name}:")).chain(last).collect() }
        }
        Err(error) => {
            tracing::debug!("the log of a pod that failed cannot be read: {error:#}");
            Vec::new()
        }
    }
}

/// The last error that the controller has logged about a Plan.
async fn said_by_controller(cluster: &Cluster, below: &Below) -> Option<Obstacle> {
    /// How far back the log is read, in lines.
    const BACK: usize = 2000;
    let pods = cluster.list(&kinds::POD, Some(&below.controller), "").await.ok()?;
    let of_controller = |pod: &&DynamicObject| pod.metadata.name.as_deref().is_some_and(|name| name.starts_with("forklift-controller-"));
    for pod in pods.iter().filter(of_controller).filter(|pod| pod.text("/status/phase") == Some("Running")) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let Ok(log) = cluster.pod_log_tail(&below.controller, name, Some("main"), BACK).await else { continue };
        if let Some(line) = refusal_in(&log, &below.name) {
            let object = name_of(&kinds::POD, Some(&below.controller), name);
            // Lines are JSON; of one that is not all is told.
            let error = serde_json::from_str::<Value>(line).ok().and_then(|line| Some(line.get("error")?.as_str()?.to_owned()));
            let said = Warning { at: String::new(), reason: "its log".to_owned(), message: error.unwrap_or_else(|| line.to_owned()) };
            let kind = refused(&said).unwrap_or(ObstacleKind::Refused);
            return Some(Obstacle { kind, object, reason: said.reason, message: excerpt(&said.message, MESSAGE) });
        }
    }
    None
}

/// The last line of a log that names a Plan and says that something was refused.
fn refusal_in<'l>(log: &'l str, plan: &str) -> Option<&'l str> {
    log.lines().rfind(|line| line.contains(plan) && ["forbidden", "exceeded quota", "denied the request"].iter().any(|w| line.contains(w)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagnosis::Id;
    use ObstacleKind::{Claim, Container, Image, Mount, PodFailed, Quota, Refused, Unschedulable, Volume};

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    fn meta(name: &str, owner: Option<&str>) -> Value {
        let owners: Vec<Value> = owner.iter().map(|uid| json!({ "apiVersion": "v1", "kind": "X", "name": "x", "uid": uid })).collect();
        json!({ "name": name, "namespace": "ns", "uid": format!("uid-{name}"), "ownerReferences": owners })
    }

    fn labelled(name: &str) -> Value {
        let mut meta = meta(name, None);
        meta["labels"] = json!({ "plan": "plan-uid" });
        meta
    }

    fn warning(about: &str, reason: &str, message: &str, at: &str) -> DynamicObject {
        object(json!({ "metadata": { "name": format!("{about}.{at}") }, "type": "Warning", "reason": reason, "message": message,
            "lastTimestamp": at, "involvedObject": { "uid": format!("uid-{about}") } }))
    }

    fn told(objects: Vec<(&'static Kind, Value)>, events: &[DynamicObject]) -> Vec<(ObstacleKind, String)> {
        let objects = objects.into_iter().map(|(kind, value)| (kind, object(value))).collect();
        Found::of("plan-uid", objects, events).obstacles().into_iter().map(|found| (found.kind, found.to_string())).collect()
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({ "phase": "Pending", "containerStatuses": [{ "name": "c", "image": "i", "state": { "waiting": { "reason": reason, "message": message } } }] })
    }

    #[test]
    fn every_kind_of_obstacle_is_found_with_its_reason() {
        let pod = |status: Value| vec![(&kinds::POD, json!({ "metadata": labelled("p"), "status": status }))];
        let unscheduled = json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available" }] });
        let failed = json!({ "phase": "Failed", "containerStatuses": [{ "name": "c", "state": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } } }] });
        let job = || vec![(&kinds::JOB, json!({ "metadata": labelled("j"), "status": { "active": 1 } }))];
        let claim = |phase: &str| vec![(&kinds::PVC, json!({ "metadata": labelled("c"), "status": { "phase": phase } }))];
        let volume = |status: Value| vec![(&kinds::DATA_VOLUME, json!({ "metadata": labelled("d"), "status": status }))];
        let pull = || vec![warning("p", "Failed", "Failed to pull image \"i\": unauthorized", "2"), warning("p", "BackOff", "x", "3")];
        let quota = "Error creating: pods \"x\" is forbidden: exceeded quota: team-a";
        let at_40 = json!({ "phase": "ImportInProgress", "progress": "40.00%", "conditions": [{ "type": "Running", "status": "False", "message": "importer waits" }] });
        for (objects, events, expected) in [
            (pod(waiting("ErrImagePull", "no such manifest")), vec![], vec![(Image, "Pod ns/p: ErrImagePull: no such manifest")]),
            (
                pod(waiting("ImagePullBackOff", "Back-off pulling image \"i\"")),
                pull(),
                vec![(Image, "Pod ns/p: ImagePullBackOff: Failed to pull image \"i\": unauthorized")],
            ),
            (pod(waiting("CrashLoopBackOff", "back-off 10s")), vec![], vec![(Container, "Pod ns/p: CrashLoopBackOff: back-off 10s")]),
            (pod(waiting("ContainerCreating", "")), vec![], vec![]),
            (
                pod(waiting("ContainerCreating", "")),
                vec![warning("p", "FailedMount", "no such volume", "1")],
                vec![(Mount, "Pod ns/p: FailedMount: no such volume")],
            ),
            (pod(unscheduled), vec![], vec![(Unschedulable, "Pod ns/p: Unschedulable: 0/3 nodes are available")]),
            (pod(failed), vec![], vec![(PodFailed, "Pod ns/p: OOMKilled")]),
            (pod(json!({ "phase": "Running" })), vec![warning("p", "FailedMount", "over", "1")], vec![]),
            (
                job(),
                vec![warning("j", "FailedCreate", quota, "1")],
                vec![(Quota, "Job ns/j: FailedCreate: Error creating: pods \"x\" is forbidden: exceeded quota: team-a")],
            ),
            (
                job(),
                vec![warning("j", "FailedCreate", "denied by policy", "1")],
                vec![(Refused, "Job ns/j: FailedCreate: denied by policy")],
            ),
            (job(), vec![], vec![]),
            (
                claim("Pending"),
                vec![warning("c", "ProvisioningFailed", "pool is full", "1")],
                vec![(Claim, "PersistentVolumeClaim ns/c: ProvisioningFailed: pool is full")],
            ),
            (claim("Pending"), vec![], vec![]),
            (claim("Bound"), vec![warning("c", "ProvisioningFailed", "over", "1")], vec![]),
            (claim("Lost"), vec![], vec![(Claim, "PersistentVolumeClaim ns/c: Lost: its volume does not exist any more")]),
            (volume(at_40), vec![], vec![(Volume, "DataVolume ns/d: ImportInProgress at 40.00%: importer waits")]),
            (
                volume(json!({ "phase": "Pending" })),
                vec![warning("d", "ErrExceededQuota", "exceeded quota: team-a", "1")],
                vec![(Quota, "DataVolume ns/d: ErrExceededQuota: exceeded quota: team-a")],
            ),
            (volume(json!({ "phase": "Succeeded" })), vec![], vec![]),
            (volume(json!({ "phase": "Paused" })), vec![], vec![]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(kind, text)| (kind, text.to_owned())).collect();
            assert_eq!(told(objects, &events), expected);
        }
    }

    #[test]
    fn only_what_is_below_the_plan_counts() {
        let broken = || waiting("ErrImagePull", "x");
        let objects = vec![
            // Owned by a claim that a DataVolume of the Plan owns, and listed before both.
            (&kinds::POD, json!({ "metadata": meta("importer", Some("uid-claim")), "status": broken() })),
            (&kinds::PVC, json!({ "metadata": meta("claim", Some("uid-volume")), "status": { "phase": "Bound" } })),
            (&kinds::DATA_VOLUME, json!({ "metadata": labelled("volume"), "status": { "phase": "Succeeded" } })),
            (&kinds::POD, json!({ "metadata": meta("foreign", None), "status": broken() })),
            (&kinds::POD, json!({ "metadata": meta("hook", Some("plan-uid")), "status": broken() })),
        ];
        let found: Vec<String> = told(objects, &[]).into_iter().map(|(_, text)| text).collect();
        assert_eq!(found, ["Pod ns/hook: ErrImagePull: x", "Pod ns/importer: ErrImagePull: x"]);
    }

    #[test]
    fn what_lasts_is_reported_once() {
        let obstacle = |object: &str, kind| Obstacle { kind, object: object.to_owned(), reason: "r".to_owned(), message: String::new() };
        let all = || vec![obstacle("a", ObstacleKind::Image), obstacle("b", ObstacleKind::Volume)];
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut lasting = Lasting::default();
        let names = |found: Vec<Obstacle>| found.into_iter().map(|obstacle| obstacle.object).collect::<Vec<_>>();
        assert!(lasting.news(after(0), all()).is_empty());
        assert!(lasting.news(after(30), Vec::new()).is_empty(), "it went away");
        assert!(lasting.news(after(60), all()).is_empty(), "it came again");
        assert_eq!(names(lasting.news(after(120), all())), ["a"], "work that is not finished is no fault");
        assert!(lasting.news(after(180), all()).is_empty(), "told once");
    }

    #[test]
    fn obstacles_come_with_their_hints_after_the_vms() {
        let quota = Obstacle {
            kind: ObstacleKind::Quota,
            object: "Job ns/j".to_owned(),
            reason: "FailedCreate".to_owned(),
            message: "m".to_owned(),
        };
        let trouble = Diagnosis::new(Id::MigrationTimeout, "timed out")
            .cause("VM a is in step DiskTransfer")
            .evidence("last state: Executing")
            .hint("general");
        let trouble = add(trouble, vec![quota.clone(), quota], vec!["log of Pod ns/p:".to_owned()]);
        assert_eq!(
            trouble.details().collect::<Vec<_>>(),
            ["VM a is in step DiskTransfer", "Job ns/j: FailedCreate: m", "last state: Executing", "log of Pod ns/p:"]
        );
        assert_eq!(trouble.hints, [ObstacleKind::Quota.hint(), "general"]);
    }

    #[test]
    fn a_refusal_is_found_in_the_controller_s_log() {
        let log = "{\"msg\":\"Reconcile failed.\",\"plan\":{\"name\":\"other\"},\"error\":\"x is forbidden\"}\n{\"plan\":{\"name\":\"mine\"},\"error\":\"pods \\\"x\\\" is forbidden: failed quota: q\"}\n{\"plan\":{\"name\":\"mine\"},\"msg\":\"started\"}\n";
        assert!(refusal_in(log, "mine").is_some_and(|line| line.contains("failed quota: q")));
        assert_eq!(refusal_in(log, "nobody"), None);
    }
}
