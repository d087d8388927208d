//! The world around Forklift, in the recorded order: volumes move on, and conversions fail, when the plan has shown the
//! states that it showed before. No clock decides what a look at a volume finds.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    api::DynamicObject,
    runtime::{WatchStreamExt, watcher},
};
use mtv_api::kinds::{self, Kind};
use mtv_lab::{
    roles::{self, kubelet::HOLD, write},
    world::DiskImage,
};
use serde_json::{Value, json};

use crate::{
    bench::Bench,
    replay::{Numbers, Seen, text},
    state,
};

/// Who writes here.
const MANAGER: &str = "fake";
/// How often a gate is looked at, in the test's time.
const LOOK: Duration = Duration::from_millis(100);
/// Annotation of a claim: the checkpoint is copied.
const COPIED: &str = "cdi.kubevirt.io/storage.checkpoint.copied.";

/// How many distinct states each plan and conversion has shown.
type Gate = BTreeMap<String, usize>;

/// What was recorded of one object from its creation to its end.
#[derive(Debug)]
struct Life {
    /// Namespace and name, up to the part that is drawn.
    name: String,
    drawn: bool,
    steps: Vec<(Gate, Value)>,
}

impl Life {
    fn is_of(&self, name: &str) -> bool {
        match name.strip_prefix(&self.name) {
            Some("") => !self.drawn,
            Some(rest) => self.drawn && rest.starts_with('-'),
            None => false,
        }
    }
}

/// Lives of a kind, in the order of their beginning, with the writes of the recording's own fakes that change `field`.
fn lives(recording: &Value, kind: &str, field: &str) -> Vec<Life> {
    let mut gate = Gate::new();
    let mut plans: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut out: Vec<Life> = Vec::new();
    let mut open: HashMap<String, usize> = HashMap::new();
    let (mut numbers, mut conversions) = (Numbers::default(), HashMap::new());
    for entry in recording["sequence"].as_array().into_iter().flatten() {
        let name = text(entry, "/name");
        match (text(entry, "/kind"), text(entry, "/event")) {
            ("Conversion", event) if event == "ADDED" || entry["status"].is_object() => {
                if event == "ADDED" {
                    conversions.insert(name.to_owned(), numbers.name(entry));
                }
                let Some(shown) = conversions.get(name) else { continue };
                let states = plans.entry(shown.clone()).or_insert_with(|| vec![state::of("Conversion", &Value::Null)]);
                if entry["status"].is_object() {
                    state::push(states, state::of("Conversion", &entry["status"]));
                }
                gate.insert(shown.clone(), states.len());
            }
            ("Plan", _) if entry["status"].is_object() => {
                let states = plans.entry(format!("Plan {name}")).or_insert_with(|| vec![state::of("Plan", &Value::Null)]);
                state::push(states, state::of("Plan", &entry["status"]));
                gate.insert(format!("Plan {name}"), states.len());
            }
            (found, "ADDED") if found == kind => {
                let (stem, drawn) = name.split_once("-<rnd").map_or((name, false), |(stem, _)| (stem, true));
                open.insert(name.to_owned(), out.len());
                out.push(Life { name: stem.to_owned(), drawn, steps: Vec::new() });
            }
            (found, "MODIFIED") if found == kind && text(entry, "/by").contains("fake") => {
                let Some(life) = open.get(name).and_then(|index| out.get_mut(*index)) else { continue };
                let (before, now) = (life.steps.last().map(|(_, status)| text(status, field).to_owned()), text(&entry["status"], field));
                if !now.is_empty() && before.as_deref() != Some(now) {
                    life.steps.push((gate.clone(), entry["status"].clone()));
                }
            }
            _ => {}
        }
    }
    out
}

/// Waits until the plans have come as far.
async fn pass(seen: &Seen, gate: &Gate) {
    let open = || {
        let seen = seen.lock().unwrap();
        gate.iter().all(|(plan, states)| seen.get(plan).map_or(0, Vec::len) >= *states)
    };
    while !open() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Calls `live` for each new object with the life that was recorded of it.
fn each<F>(bench: &Bench, kind: &'static Kind, mut lives: Vec<Life>, live: impl Fn(DynamicObject, Life) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let api = bench.api(kind, "");
    tokio::spawn(async move {
        let mut known = Vec::new();
        let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
        while let Some(event) = stream.next().await {
            let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event else { continue };
            if known.contains(&object.uid()) {
                continue;
            }
            known.push(object.uid());
            let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
            if let Some(index) = lives.iter().position(|life| life.is_of(&name)) {
                tokio::spawn(live(object, lives.remove(index)));
            }
        }
    });
}

/// Starts what the recording's fakes did to volumes and to conversion pods that failed.
pub fn start(bench: &Bench, recording: &Value, seen: &Seen) {
    let (cx, states) = (bench.cx.clone(), Arc::clone(seen));
    each(bench, &kinds::DATA_VOLUME, lives(recording, "DataVolume", "/phase"), move |volume, life| {
        let (cx, states) = (cx.clone(), Arc::clone(&states));
        async move { import(&cx, &states, &volume, life).await.unwrap() }
    });
    // Jobs fail by their playbook.
    let mut pods = lives(recording, "Pod", "/phase");
    pods.retain_mut(|life| {
        // The number of the source's machine is another one here.
        let Some(at) = life.name.find("-vm-") else { return false };
        life.name.truncate(at + "-vm".len());
        true
    });
    if recording["collapsed"].to_string().contains("\"VDDKInvalid\"") {
        refuse_libraries(bench);
    }
    let (cx, states) = (bench.cx.clone(), Arc::clone(seen));
    each(bench, &kinds::POD, pods, move |pod, life| {
        let (cx, states) = (cx.clone(), Arc::clone(&states));
        async move {
            let Some((gate, status)) = life.steps.last() else { return };
            let api: Api<DynamicObject> = write::api(&cx.client, &kinds::POD, &pod.namespace().unwrap_or_default());
            match text(status, "/phase") {
                "Succeeded" => {}
                "Failed" => {
                    pass(&states, gate).await;
                    write::status(&api, MANAGER, &pod.name_any(), json!({ "phase": "Failed" })).await.unwrap();
                }
                // It was held until it was deleted.
                _ => drop(write::merge(&api, MANAGER, &pod.name_any(), json!({ "metadata": { "annotations": { HOLD: "" } } })).await),
            }
        }
    });
}

/// Lets the pods fail that try VMware's disk library.
fn refuse_libraries(bench: &Bench) {
    let (cx, api) = (bench.cx.clone(), bench.api(&kinds::POD, ""));
    tokio::spawn(async move {
        let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
        while let Some(event) = stream.next().await {
            let Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) = event else { continue };
            let phase = pod.data.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
            if !pod.name_any().starts_with("vddk-validator") || matches!(phase, "Failed" | "Succeeded") {
                continue;
            }
            let init = json!([{ "name": "vddk-side-car", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": { "terminated": { "exitCode": 0 } } }]);
            let api = write::api(&cx.client, &kinds::POD, &pod.namespace().unwrap_or_default());
            // A pod that went meanwhile has failed enough.
            let _ = write::status(&api, MANAGER, &pod.name_any(), json!({ "phase": "Failed", "initContainerStatuses": init })).await;
        }
    });
}

/// What CDI does to a volume.
async fn import(cx: &roles::Context, seen: &Seen, volume: &DynamicObject, life: Life) -> anyhow::Result<()> {
    let (namespace, name) = (volume.namespace().unwrap_or_default(), volume.name_any());
    let volumes = write::api(&cx.client, &kinds::DATA_VOLUME, &namespace);
    let claims: Api<DynamicObject> = write::api(&cx.client, &kinds::PVC, &namespace);
    for (gate, mut status) in life.steps {
        pass(seen, &gate).await;
        // Deleted meanwhile.
        let Some(now) = volumes.get_opt(&name).await?.filter(|v| v.uid() == volume.uid()) else { return Ok(()) };
        if claims.get_opt(&name).await?.is_none() {
            let storage = now.data.pointer("/spec/storage").or_else(|| now.data.pointer("/spec/pvc")).cloned().unwrap_or_default();
            let claim = json!({
                "metadata": {
                    "name": name, "namespace": namespace, "labels": now.metadata.labels, "annotations": now.metadata.annotations,
                    "ownerReferences": [write::controller_of(&kinds::DATA_VOLUME, &name, &now.uid().unwrap_or_default())],
                },
                "spec": {
                    "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem", "resources": storage["resources"],
                    "storageClassName": storage["storageClassName"],
                },
            });
            write::create(&cx.client, MANAGER, &kinds::PVC, claim).await?;
        }
        let phase = text(&status, "/phase").to_owned();
        if phase == "Paused" || phase == "Succeeded" {
            let claim = claims.get(&name).await?;
            let target = format!("pvc:{}", claim.uid().unwrap_or_default());
            match now.annotations().get("forklift.konveyor.io/disk-source").filter(|_| now.data.pointer("/spec/source/blank").is_none()) {
                Some(source) => drop(cx.world.disks.copy(source, target)),
                None => cx.world.disks.put(target, DiskImage::default()),
            }
        }
        if phase == "Paused"
            && let Some(current) = write::list(&now.data, "/spec/checkpoints").last().map(|c| write::text(c, "/current"))
        {
            let patch = json!({ "metadata": { "annotations": { format!("{COPIED}{current}"): "x" } } });
            write::merge(&claims, MANAGER, &name, patch).await?;
        }
        status["claimName"] = json!(name);
        write::status(&volumes, MANAGER, &name, status).await?;
    }
    Ok(())
}
