//! What of an object counts: conditions, phases, pipelines. Times, ids and texts do not.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::VmDifference;

/// Kinds whose states Forklift writes.
pub const KINDS: &[&str] = &["Provider", "StorageMap", "NetworkMap", "Hook", "Host", "Plan", "Migration", "Conversion"];

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_set(value: &Value, name: &str) -> bool {
    match value.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    }
}

/// An item without the id, which belongs to the source.
fn item(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("id:vm-") {
        out.push_str(&rest[..at]);
        out.push_str("id:");
        rest = rest[at + 3..].trim_start_matches(|c: char| !c.is_whitespace());
    }
    out + rest
}

fn conditions(holder: &Value) -> Value {
    let one = |c: &Value| {
        let items: Vec<String> = list(c, "items").iter().filter_map(Value::as_str).map(item).collect();
        // The destination's VMs and their MAC addresses differ; that there is a conflict is what counts.
        json!([text(c, "type"), text(c, "status"), text(c, "reason"), text(c, "category"), c.get("durable") == Some(&json!(true)), items])
    };
    Value::Array(list(holder, "conditions").iter().map(one).collect())
}

fn step(step: &Value) -> Value {
    let tasks: Vec<Value> = list(step, "tasks").iter().map(task).collect();
    json!({ "name": text(step, "name"), "of": task(step), "tasks": tasks })
}

fn task(task: &Value) -> Value {
    json!([
        text(task, "phase"),
        is_set(task, "started"),
        is_set(task, "completed"),
        is_set(task, "reason"),
        task.pointer("/error/phase").or(task.get("error").filter(|e| e.is_string())).is_some(),
        task.pointer("/annotations/Precopy"),
    ])
}

fn vm(vm: &Value) -> Value {
    let mut state = whole_vm(vm);
    for (difference, _) in left_out(vm) {
        state[&difference.field] = Value::Null;
    }
    state
}

fn whole_vm(vm: &Value) -> Value {
    let warm = vm.get("warm").filter(|w| w.is_object()).map(|warm| {
        let keys = |precopy: &Value| -> Vec<String> {
            let mut keys: Vec<String> = match precopy {
                Value::Object(map) => map.keys().cloned().collect(),
                Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                _ => Vec::new(),
            };
            keys.sort();
            keys
        };
        json!([
            warm.get("successes"),
            warm.get("failures"),
            is_set(warm, "nextPrecopyAt"),
            list(warm, "precopies").iter().map(keys).collect::<Vec<_>>(),
        ])
    });
    json!({
        "name": text(vm, "name"), "phase": text(vm, "phase"), "power": text(vm, "restorePowerState"), "newName": text(vm, "newName"),
        "os": text(vm, "operatingSystem"), "boot": vm.get("detectedBootDisk"),
        "started": is_set(vm, "started"), "completed": is_set(vm, "completed"),
        "conditions": conditions(vm), "error": vm.pointer("/error/phase"), "warm": warm,
        "pipeline": list(vm, "pipeline").iter().map(step).collect::<Vec<_>>(),
    })
}

static LEFT_OUT: OnceLock<Vec<VmDifference>> = OnceLock::new();

/// Says once which fields of machines do not count.
pub fn leave_out(fields: Vec<VmDifference>) {
    let _once = LEFT_OUT.set(fields);
}

/// A machine's fields that do not count, as they stand in its status.
pub fn left_out(raw: &Value) -> Vec<(&'static VmDifference, Value)> {
    let kind = if raw.get("warm").is_some_and(Value::is_object) { "warm" } else { "cold" };
    let state = whole_vm(raw);
    LEFT_OUT.get().into_iter().flatten().filter(|d| d.of == kind).map(|d| (d, state[&d.field].clone())).collect()
}

/// The state in a status, or in an entry of a recording, which has the same fields.
pub fn of(kind: &str, status: &Value) -> Value {
    let mut out = Map::new();
    out.insert("conditions".into(), conditions(status));
    out.insert("phase".into(), json!(text(status, "phase")));
    out.insert("stage".into(), json!(text(status, "stage")));
    let vms = match kind {
        "Plan" => {
            let migration = status.get("migration").cloned().unwrap_or_default();
            let history: Vec<Value> = list(&migration, "history")
                .iter()
                // A recording holds the conditions alone.
                .map(|entry| if entry.is_array() { conditions(&json!({ "conditions": entry })) } else { conditions(entry) })
                .collect();
            out.insert("history".into(), json!(history));
            out.insert("started".into(), json!(is_set(&migration, "started")));
            out.insert("completed".into(), json!(is_set(&migration, "completed")));
            if status.get("vms").is_some() { list(status, "vms").to_vec() } else { list(&migration, "vms").to_vec() }
        }
        "Migration" => {
            out.insert("started".into(), json!(is_set(status, "started")));
            out.insert("completed".into(), json!(is_set(status, "completed")));
            list(status, "vms").to_vec()
        }
        _ => Vec::new(),
    };
    out.insert("vms".into(), Value::Array(vms.iter().map(vm).collect()));
    Value::Object(out)
}

/// Machines in a status of a Plan or Migration, or in an entry of a recording.
pub fn machines(status: &Value) -> &[Value] {
    match (list(status, "vms"), status.get("migration")) {
        ([], Some(migration)) => list(migration, "vms"),
        (vms, _) => vms,
    }
}

/// Adds a state unless it is the last one already.
pub fn push(states: &mut Vec<Value>, state: Value) {
    if states.last() != Some(&state) {
        states.push(state);
    }
}

/// Where two states differ, for people.
pub fn difference(wanted: &Value, found: &Value) -> String {
    let mut out = Vec::new();
    walk("", wanted, found, &mut out);
    out.join("; ")
}

fn walk(path: &str, a: &Value, b: &Value, out: &mut Vec<String>) {
    match (a, b) {
        _ if a == b => {}
        (Value::Object(x), Value::Object(y)) => {
            for key in x.keys().chain(y.keys().filter(|k| !x.contains_key(*k))) {
                let null = Value::Null;
                walk(&format!("{path}/{key}"), x.get(key).unwrap_or(&null), y.get(key).unwrap_or(&null), out);
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (index, (a, b)) in x.iter().zip(y).enumerate() {
                walk(&format!("{path}/{index}"), a, b, out);
            }
        }
        _ => out.push(format!("{path}: recorded {a}, found {b}")),
    }
}
