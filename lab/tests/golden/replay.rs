//! Repeats a recording in a lab of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use mtv_api::kinds::{self, Kind};
use mtv_lab::{
    forklift::vcenter::{Access, MoRef, Vcenter},
    inventory::vsphere::model,
    roles::write,
    vsphere::model::power::PowerOp,
};
use serde_json::{Value, json};

use crate::{
    bench::{Bench, HOME, holds, pair},
    outside, state, time,
    user::User,
};

/// How much faster than recorded.
const SCALE: f64 = 1.0;
/// How long a state may take beyond its scaled time, while the machine is busy.
const PATIENCE: Duration = Duration::from_secs(25);

const WATCHED: &[&Kind] = &[
    &kinds::PROVIDER,
    &kinds::STORAGE_MAP,
    &kinds::NETWORK_MAP,
    &kinds::HOOK,
    &kinds::HOST,
    &kinds::PLAN,
    &kinds::MIGRATION,
    &kinds::CONVERSION,
];

/// Recorded states by object, with their seconds.
type Wanted = BTreeMap<String, Vec<(f64, Value)>>;

/// States by object, in order.
pub type Seen = Arc<Mutex<BTreeMap<String, Vec<Value>>>>;

/// Repeats a file.
pub fn run(file: &Path, left_out: &BTreeMap<String, Vec<usize>>, strict: bool) -> Result<(), String> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let recording: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    time::run(replay(&recording, left_out, strict.then_some(name.as_str())))?
}

/// Recorded states by object, with the second at which each came.
fn wanted(recording: &Value) -> Wanted {
    let mut out = BTreeMap::new();
    let mut numbers = Numbers::default();
    // Names of Conversions are drawn: the VM, the type and a number take their place.
    let conversions: BTreeMap<String, String> = recording["sequence"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|entry| entry["kind"] == "Conversion" && entry["event"] == "ADDED")
        .map(|entry| (format!("Conversion {}", text(entry, "/name")), numbers.name(entry)))
        .collect();
    for (object, states) in recording["collapsed"].as_object().into_iter().flatten() {
        let kind = object.split(' ').next().unwrap_or_default();
        if !state::KINDS.contains(&kind) {
            continue;
        }
        let mut list: Vec<(f64, Value)> = Vec::new();
        for entry in states.as_array().into_iter().flatten().filter(|e| e.get("deleted").is_none()) {
            let state = state::of(kind, entry);
            if list.last().map(|(_, last)| last) != Some(&state) {
                list.push((entry["at"].as_f64().unwrap_or_default(), state));
            }
        }
        out.insert(conversions.get(object).unwrap_or(object).clone(), list);
    }
    out
}

/// Counts Conversions of a VM and type.
#[derive(Default)]
pub struct Numbers(BTreeMap<String, usize>);

impl Numbers {
    pub fn name(&mut self, object: &Value) -> String {
        let start = format!("Conversion {} {}", text(object, "/spec/vm/name"), text(object, "/spec/type"));
        let number = self.0.entry(start.clone()).or_default();
        *number += 1;
        format!("{start} {number}")
    }
}

/// `strict` is the name of a recording that must show each difference that is told of it.
async fn replay(recording: &Value, left_out: &BTreeMap<String, Vec<usize>>, strict: Option<&str>) -> Result<(), String> {
    let whole = wanted(recording);
    let mut wanted = whole.clone();
    for (object, states) in left_out {
        let Some(list) = wanted.get_mut(object) else {
            if strict.is_some() {
                return Err(format!("{object} is among the differences, but not in the recording"));
            }
            continue;
        };
        if strict.is_some() && states.iter().any(|index| *index >= list.len()) {
            return Err(format!("{object} has {} states, but {states:?} are among the differences", list.len()));
        }
        let mut index = 0;
        list.retain(|_| (!states.contains(&index), index += 1).0);
    }
    let wanted = wanted;
    let bench = Bench::start(include_str!("../golden.toml"), SCALE).await;
    bench.start_roles_without_cdi().await;
    let settings = json!({ "metadata": { "name": "forklift-controller", "namespace": "openshift-mtv" }, "spec": { "controller_precopy_interval": 1 } });
    let _ = write::create(bench.client(), "test", &kinds::FORKLIFT_CONTROLLER, settings).await;
    let seen = Seen::default();
    let fields = Fields::default();
    watch(&bench, &seen, &fields);
    bench.start_forklift();
    power_off(&bench, &wanted);
    prepare(&bench, recording, &wanted).await;
    let mut user = User::new(&bench, recording);
    outside::start(&bench, recording, &seen);
    let sequence: Vec<&Value> = recording["sequence"].as_array().into_iter().flatten().collect();
    let actions: Vec<&Value> = sequence.iter().copied().filter(|s| s["kind"] == "Action").collect();
    for (index, action) in actions.iter().enumerate() {
        let at = action["at"].as_f64().unwrap_or_default();
        // What the user makes later cannot be there yet.
        let later: Vec<&str> = actions[index..].iter().filter_map(|a| text(a, "/name").strip_prefix("create ")).collect();
        let before: Wanted =
            wanted.iter().filter(|(name, _)| !later.contains(&name.as_str())).map(|(n, s)| (n.clone(), s.clone())).collect();
        let _ = until(&seen, &before, at).await;
        // The user may have waited longer than anything took.
        let idle = at - before.values().flatten().map(|(when, _)| *when).filter(|when| *when <= at).fold(0.0, f64::max);
        // But not before a cancel: the recorded copy was held, this one goes on.
        let held = text(action, "/name").contains("spec.cancel");
        tokio::time::sleep(Duration::from_secs_f64(if held { 0.0 } else { idle.max(0.0) / SCALE })).await;
        user.act(action).await?;
    }
    let reached = until(&seen, &wanted, f64::MAX).await;
    // What comes after the end must not differ from it: two more looks.
    if reached.is_ok() {
        tokio::time::sleep(Duration::from_secs_f64(6.0 / SCALE)).await;
    }
    compare(&seen, &wanted)?;
    let Some(file) = strict else { return Ok(()) };
    // What is no difference (any more) is not to be told as one.
    for object in left_out.keys() {
        let found = seen.lock().unwrap().get(object).cloned().unwrap_or_default();
        if whole[object].iter().map(|(_, state)| state).eq(found.iter()) {
            return Err(format!("{object} is among the differences, but is as recorded"));
        }
    }
    let mut recorded = BTreeMap::new();
    recording["collapsed"]
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(_, states)| states.as_array().into_iter().flatten())
        .for_each(|state| note(state, &mut recorded));
    for (difference, values) in recorded.iter().filter(|((name, _), _)| name == file) {
        if fields.lock().unwrap().get(difference) == Some(values) {
            return Err(format!("{} is among the differences of machines, but is as recorded", difference.1));
        }
    }
    Ok(())
}

/// Values of the machines' fields that do not count, by the recording that is told to show the difference, and field.
type Noted = BTreeMap<(String, String), BTreeSet<String>>;
type Fields = Arc<Mutex<Noted>>;

fn note(status: &Value, values: &mut Noted) {
    for (difference, value) in state::machines(status).iter().flat_map(state::left_out) {
        values.entry((difference.file.clone(), difference.field.clone())).or_default().insert(value.to_string());
    }
}

/// What stood there before the recording began.
async fn prepare(bench: &Bench, recording: &Value, wanted: &Wanted) {
    let text = recording["input"].to_string();
    let own = |kind: &str, name: &str| wanted.contains_key(&format!("{kind} {HOME}/{name}"));
    if !own("Provider", "host") && !wanted.contains_key("Provider openshift-mtv/host") {
        let host = json!({ "metadata": { "name": "host", "namespace": "openshift-mtv" }, "spec": { "type": "openshift", "url": "", "secret": {} } });
        bench.make(&kinds::PROVIDER, host).await;
        bench.until(&kinds::PROVIDER, "openshift-mtv", "host", |o| holds(o, "Ready")).await;
    }
    if text.contains("br5") {
        let nad = json!({ "metadata": { "name": "br5", "namespace": "default" }, "spec": { "config": "{}" } });
        bench.make(&kinds::NAD, nad).await;
    }
    let named = |name: &str| text.contains(&format!("\"name\":\"{name}\""));
    // A plan whose provider does not exist has maps of one that does.
    let orphan = named("network") && !own("NetworkMap", "network") && !named("vsphere");
    let source = ["vsphere", "vsphere-vddk"].into_iter().find(|name| (named(name) && !own("Provider", name)) || orphan);
    let Some(source) = source else {
        let no_status = wanted.values().all(|states| states.len() == 1);
        if !text.contains("\"kind\":\"Secret\"") && text.contains("\"vcenter\"") && !no_status {
            secret(bench, "vcenter").await;
        }
        return;
    };
    secret(bench, "vcenter").await;
    let vddk = recording["collapsed"].to_string().contains("ValidatingVDDK");
    let mut provider = json!({
        "metadata": { "name": source, "namespace": HOME },
        "spec": { "type": "vsphere", "url": bench.url, "secret": { "name": "vcenter", "namespace": HOME }, "settings": { "sdkEndpoint": "vcenter" } },
    });
    if vddk {
        provider["spec"]["settings"]["vddkInitImage"] = json!("quay.io/lab/vddk:8");
    }
    bench.make(&kinds::PROVIDER, provider).await;
    bench.until(&kinds::PROVIDER, HOME, source, |o| holds(o, "Ready")).await;
    let mut providers = pair();
    providers["source"]["name"] = json!(source);
    for (kind, names, rows) in [
        (
            &kinds::NETWORK_MAP,
            ["network", "nm-vddk"],
            json!([{ "source": { "name": "DC0_DVPG0" }, "destination": { "type": "pod" } }, { "source": { "name": "VM Network" }, "destination": { "type": "ignored" } }]),
        ),
        (
            &kinds::STORAGE_MAP,
            ["storage", "sm-vddk"],
            json!([{ "source": { "name": "LocalDS_0" }, "destination": { "storageClass": "standard" } }]),
        ),
    ] {
        for name in names {
            if text.contains(&format!("\"name\":\"{name}\"")) && !own(kind.kind, name) {
                let map = json!({ "metadata": { "name": name, "namespace": HOME }, "spec": { "provider": providers, "map": rows } });
                bench.make(kind, map).await;
                bench.until(kind, HOME, name, |o| holds(o, "Ready")).await;
            }
        }
    }
    if text.contains("p-snap") {
        snapshot(bench, "DC0_H0_VM1").await;
    }
    hooks(bench, recording, wanted).await;
}

/// Hooks that a plan names and nobody created while it was recorded: what became of the plan tells what they were like.
async fn hooks(bench: &Bench, recording: &Value, wanted: &Wanted) {
    let plans: Vec<(&String, &Vec<(f64, Value)>)> = wanted.iter().filter(|(name, _)| name.starts_with("Plan ")).collect();
    let missing = plans.iter().any(|(_, states)| states.len() == 1) || recording["collapsed"].to_string().contains("\"HookNotValid\"");
    let named = recording["input"].as_array().into_iter().flatten().flat_map(|input| write::list(input, "/spec/vms"));
    for hook in named.flat_map(|vm| write::list(vm, "/hooks")) {
        let name = text(hook, "/hook/name");
        if name.is_empty() || missing || wanted.contains_key(&format!("Hook {HOME}/{name}")) {
            continue;
        }
        let told = recording["collapsed"].to_string();
        let ready = !told.contains("\"HookNotReady\"");
        let mut spec = json!({ "image": if ready { "quay.io/konveyor/hook-runner:latest" } else { "" } });
        if let Some((_, rest)) = told.split_once(" ServiceAccount '") {
            spec["serviceAccount"] = rest.split('\'').next().unwrap_or_default().into();
        }
        let object = json!({ "metadata": { "name": name, "namespace": HOME }, "spec": spec });
        let _ = write::create(bench.client(), "test", &kinds::HOOK, object).await;
        bench.until(&kinds::HOOK, HOME, name, |hook| hook["status"]["conditions"].is_array() && (!ready || holds(hook, "Ready"))).await;
    }
}

async fn secret(bench: &Bench, name: &str) {
    let secret = json!({
        "metadata": { "name": name, "namespace": HOME },
        "stringData": { "user": "admin", "password": "hunter2", "insecureSkipVerify": "true", "url": bench.url },
    });
    bench.make(&kinds::SECRET, secret).await;
}

/// Turns machines off that were off before the recording began: their first migration says so.
fn power_off(bench: &Bench, wanted: &Wanted) {
    let mut first = BTreeMap::new();
    for vm in
        wanted.iter().filter(|(name, _)| name.starts_with("Plan ")).flat_map(|(_, states)| states).flat_map(|(_, s)| write::list(s, "/vms"))
    {
        if !text(vm, "/power").is_empty() {
            first.entry(text(vm, "/name").to_owned()).or_insert_with(|| text(vm, "/power").to_owned());
        }
    }
    for name in first.iter().filter(|(_, power)| *power == "Off").map(|(name, _)| name) {
        let off = bench.vcenter.change(|model| {
            let id = model.entities.values().find(|entity| entity.name == *name).map(|entity| entity.id.clone()).unwrap();
            model.power(&id, PowerOp::Off, "user")
        });
        off.unwrap();
    }
}

async fn snapshot(bench: &Bench, name: &str) {
    let access = Access { url: bench.url.clone(), user: "admin".into(), password: "hunter2".into(), ca: None };
    let vcenter = Vcenter::connect(&access).await.unwrap();
    let id = source_id(bench, "vms", name);
    let text = mtv_api::xml::Node::text;
    let parameters = vec![text("name", "old"), text("memory", "false"), text("quiesce", "false")];
    let task = vcenter.task(&MoRef::new("VirtualMachine", &id), "CreateSnapshot_Task", parameters).await.unwrap();
    while vcenter.task_state(&task).await.unwrap().0 != "success" {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..100 {
        let collector = collector(bench);
        if collector.is_some_and(|c| c.model().vms().any(|vm| vm.name == name && !vm.snapshot.id.is_empty())) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the inventory does not see the snapshot");
}

fn collector(bench: &Bench) -> Option<Arc<mtv_lab::inventory::vsphere::Collector>> {
    bench.inventories.any()
}

pub fn source_id(bench: &Bench, collection: &str, name: &str) -> String {
    let collector = collector(bench).unwrap();
    let found = collector.model().find(model::collection(collection).unwrap(), "", name);
    found[0].0.clone()
}

fn watch(bench: &Bench, seen: &Seen, fields: &Fields) {
    for kind in WATCHED {
        let (api, seen, fields) = (bench.api(kind, ""), Arc::clone(seen), Arc::clone(fields));
        tokio::spawn(async move {
            let (mut numbers, mut names) = (Numbers::default(), BTreeMap::new());
            let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
            while let Some(event) = stream.next().await {
                let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = event else { continue };
                let object = serde_json::to_value(object).unwrap();
                let full = format!("{} {}/{}", kind.kind, text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
                let name = match kind.kind {
                    "Conversion" => names.entry(full).or_insert_with(|| numbers.name(&object)).clone(),
                    _ => full,
                };
                let state = state::of(kind.kind, &object["status"]);
                note(&object["status"], &mut fields.lock().unwrap());
                let mut seen = seen.lock().unwrap();
                state::push(seen.entry(name).or_default(), state);
            }
        });
    }
}

pub fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Waits for the states that came until a second of the recording.
async fn until(seen: &Seen, wanted: &Wanted, at: f64) -> Result<(), ()> {
    let last = wanted.values().flatten().map(|(at, _)| *at).fold(0.0, f64::max).min(at);
    let deadline = tokio::time::Instant::now() + PATIENCE + Duration::from_secs_f64(last.max(0.0) / SCALE);
    loop {
        let there = {
            let seen = seen.lock().unwrap();
            wanted.iter().all(|(name, states)| {
                let due: Vec<&Value> = states.iter().filter(|(when, _)| *when <= at).map(|(_, state)| state).collect();
                let found = seen.get(name).map(Vec::as_slice).unwrap_or_default();
                due.last().is_none_or(|last| found.iter().any(|state| state == *last) && found.len() >= due.len().min(2))
            })
        };
        if there {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn compare(seen: &Seen, wanted: &Wanted) -> Result<(), String> {
    let seen = seen.lock().unwrap();
    let mut differences = Vec::new();
    for (name, states) in wanted {
        let found = seen.get(name).map(Vec::as_slice).unwrap_or_default();
        // A recording may end before the image was tried.
        // Or before the next look at a plan, three seconds later.
        let open = name.starts_with("Plan ")
            || name.starts_with("Migration ")
            || states.last().is_some_and(|(_, s)| s.to_string().contains("ValidatingVDDK"));
        for (index, (at, state)) in states.iter().enumerate() {
            match found.get(index) {
                Some(other) if other == state => {}
                Some(other) => {
                    differences.push(format!("{name}, state {index} (second {at}): {}", state::difference(state, other)));
                    break;
                }
                None => {
                    differences.push(format!(
                        "{name}: state {index} (second {at}) never came; of {} states {} came",
                        states.len(),
                        found.len()
                    ));
                    break;
                }
            }
        }
        if found.len() > states.len() && !open && found.starts_with(&states.iter().map(|(_, s)| s.clone()).collect::<Vec<_>>()) {
            let last = &states[states.len() - 1].1;
            differences.push(format!("{name}: went on after the recorded end: {}", state::difference(last, &found[states.len()])));
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}
