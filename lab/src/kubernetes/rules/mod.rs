//! What the built-in kinds add of their own: defaults, rules between old and new, and what no client may change.

mod config;
mod network;
mod pods;
mod roles;
mod storage;
mod workloads;

use serde_json::{Value, json};

use super::{
    meta,
    resource::Resource,
    status::{Answer, Cause},
    write::metadata,
};

/// Sets a default.
fn default(object: &mut Value, pointer: &str, value: Value) {
    let Some((parent, field)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(map)) = object.pointer_mut(parent)
        && map.get(field).is_none_or(Value::is_null)
    {
        map.insert(field.to_owned(), value);
    }
}

/// The elements of a list, if it is there. (An index would put a null in its place.)
fn list_mut<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

fn without(object: &mut Value, pointer: &str, field: &str) {
    if let Some(Value::Object(map)) = object.pointer_mut(pointer) {
        map.shift_remove(field);
    }
}

fn immutable(field: &str, old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    if old != new {
        causes.push(Cause::invalid(field, new, "field is immutable"));
    }
}

/// A text out of a closed set; nothing at all is left to others.
fn one_of(value: &Value, known: &[&str], field: &str, causes: &mut Vec<Cause>) {
    if value.as_str().is_some_and(|text| !text.is_empty() && !known.contains(&text)) {
        let known: Vec<String> = known.iter().map(|&text| text.to_owned()).collect();
        causes.push(Cause::not_supported(field, value, &known));
    }
}

/// A number that may not be smaller.
fn at_least(value: &Value, least: i64, field: &str, causes: &mut Vec<Cause>) {
    if let Some(number) = value.as_i64().filter(|number| *number < least) {
        causes.push(Cause::invalid(field, &number.into(), &format!("must be greater than or equal to {least}")));
    }
}

/// Takes out what the server adds to a new object after it has written down who owns what: such fields are nobody's.
pub fn without_additions(resource: &Resource, object: &mut Value) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace") => without(object, "", "spec"),
        ("", "Node") => without(object, "/spec", "taints"),
        ("", "Pod") => {
            for field in ["priority", "preemptionPolicy", "tolerations"] {
                without(object, "/spec", field);
            }
        }
        ("", "PersistentVolumeClaim" | "PersistentVolume") => without(object, "/metadata", "finalizers"),
        ("", "Event") => {
            for field in ["eventTime", "firstTimestamp", "lastTimestamp", "reportingComponent", "reportingInstance", "source"] {
                if object[field].is_null() || object[field] == "" || object[field] == json!({}) {
                    without(object, "", field);
                }
            }
        }
        ("batch", "Job") => workloads::without_identity(object),
        _ => {}
    }
}

/// What a new object gets besides its defaults.
pub fn admit(resource: &Resource, object: &mut Value) -> Answer<()> {
    if resource.custom {
        return Ok(());
    }
    storage::protect(resource, object);
    workloads::created(resource, object);
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("batch", "Job") => workloads::identify(object),
        ("", "Service") => network::allocate(None, object)?,
        ("", "PersistentVolume") => storage::phase_changed(None, object),
        ("", "Node") => {
            // The admission plugin TaintNodesByCondition: until the node says that it is ready, nothing comes there.
            default(object, "/spec", json!({}));
            default(object, "/spec/taints", json!([]));
            if let Some(taints) = object.pointer_mut("/spec/taints").and_then(Value::as_array_mut) {
                taints.push(json!({ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" }));
            }
        }
        _ => {}
    }
    Ok(())
}

/// What follows from a change.
pub fn follow(resource: &Resource, old: &Value, new: &mut Value) -> Answer<()> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Service") => network::allocate(Some(old), new)?,
        ("", "PersistentVolume") => storage::phase_changed(Some(old), new),
        ("apps", "DaemonSet") => workloads::changed(resource, old, new),
        _ => {}
    }
    Ok(())
}

/// Fills in what the kind fills in.
pub fn fill(resource: &Resource, object: &mut Value) {
    if resource.custom {
        return;
    }
    workloads::fill(resource, object);
    storage::fill(resource, object);
    network::fill(resource, object);
    roles::fill(resource, object);
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace") => namespace(object),
        ("", "Secret") => config::fill_secret(object),
        ("", "Pod") => pods::fill_pod(object),
        ("", "Node") => {
            let capacity = object["status"]["capacity"].clone();
            if capacity.is_object() {
                default(object, "/status/allocatable", capacity);
            }
        }
        ("", "LimitRange") => {
            for item in object.get_mut("spec").into_iter().flat_map(|spec| list_mut(spec, "limits")) {
                limits(item);
            }
        }
        ("", "Event") => {
            for field in ["firstTimestamp", "lastTimestamp", "eventTime"] {
                default(object, &format!("/{field}"), Value::Null);
            }
            default(object, "/source", json!({}));
            default(object, "/reportingComponent", "".into());
            default(object, "/reportingInstance", "".into());
        }
        ("scheduling.k8s.io", "PriorityClass") => default(object, "/preemptionPolicy", "PreemptLowerPriority".into()),
        ("autoscaling", _) => default(object, "/spec/minReplicas", 1.into()),
        _ => {}
    }
}

fn namespace(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    default(object, "/spec", json!({}));
    // Only a new namespace gets the finalizer: an old one loses it through /finalize and must not get it back.
    if object["metadata"]["uid"].is_null() || object["status"].is_null() {
        default(object, "/spec/finalizers", json!([]));
        if let Some(finalizers) = object.pointer_mut("/spec/finalizers").and_then(Value::as_array_mut)
            && !finalizers.iter().any(|known| known == "kubernetes")
        {
            finalizers.push("kubernetes".into());
        }
    }
    default(object, "/status", json!({}));
    default(object, "/status/phase", "Active".into());
    let metadata = metadata(object);
    if !metadata.get("labels").is_some_and(Value::is_object) {
        metadata.insert("labels".to_owned(), json!({}));
    }
    if let Some(labels) = metadata.get_mut("labels") {
        labels["kubernetes.io/metadata.name"] = name;
    }
}

/// What a limit range says of containers follows in part from the rest of it.
fn limits(item: &mut Value) {
    if item["type"] != "Container" {
        return;
    }
    for (field, from) in [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")] {
        for (what, amount) in item[from].as_object().cloned().unwrap_or_default() {
            default(item, &format!("/{field}"), json!({}));
            if item[field][&what].is_null() {
                item[field][what] = amount;
            }
        }
    }
}

/// Puts back what this subresource must not change.
pub fn keep(resource: &Resource, subresource: &str, old: &Value, new: &mut Value) {
    if resource.is_core("namespaces") && subresource != "finalize" {
        new["spec"] = old["spec"].clone();
    }
    if resource.is_core("pods") && subresource != "ephemeralcontainers" && old["spec"]["ephemeralContainers"].is_array() {
        new["spec"]["ephemeralContainers"] = old["spec"]["ephemeralContainers"].clone();
    }
}

/// How often the real server looks at the metadata of an update: its registry does twice, and each kind once more or
/// not, in part or as a whole.
struct Looks {
    /// The kind looks at what an update may not change.
    update: bool,
    /// The kind looks at all of it.
    whole: bool,
    /// The kind looks at the finalizers.
    finalizers: bool,
}

impl Looks {
    fn of(resource: &Resource) -> Self {
        let looks = |update: bool, whole: bool, finalizers: bool| Self { update, whole, finalizers };
        match (resource.group.as_str(), resource.kind.as_str()) {
            _ if resource.custom => looks(true, false, false),
            ("", "Event") | ("policy" | "events.k8s.io", _) => looks(false, false, false),
            ("coordination.k8s.io" | "apiextensions.k8s.io", _) => looks(true, false, false),
            ("apiregistration.k8s.io", _) => looks(true, true, false),
            ("", "Service") | ("apps" | "networking.k8s.io", _) => looks(true, false, true),
            _ => looks(true, true, true),
        }
    }
}

/// What is wrong with the metadata of a new object or of a changed one.
pub fn validate_metadata(resource: &Resource, old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    let looks = Looks::of(resource);
    let first = meta::validate(object, resource.name_rule);
    let finalizers = if looks.finalizers { unqualified(object) } else { Vec::new() };
    let Some(old) = old else {
        causes.extend(first);
        causes.extend(finalizers);
        return;
    };
    let mut again = Vec::new();
    metadata_update(old, object, &mut again);
    again.extend(first.iter().filter(|cause| told_again(&cause.field)).cloned());
    let whole: Vec<Cause> = first.iter().cloned().chain(finalizers.iter().cloned()).collect();
    causes.extend(first);
    causes.extend(again.iter().cloned());
    if looks.update {
        causes.extend(again);
        causes.extend(finalizers);
    }
    if looks.whole {
        causes.extend(whole);
    }
}

/// Finalizers that are neither Kubernetes' own nor anybody's.
fn unqualified(object: &Value) -> Vec<Cause> {
    let detail = "name is neither a standard finalizer name nor is it fully qualified";
    let all = object["metadata"]["finalizers"].as_array().into_iter().flatten().enumerate();
    let odd = all.filter(|(_, finalizer)| {
        let name = finalizer.as_str().unwrap_or_default();
        !name.contains('/') && !matches!(name, "orphan" | "foregroundDeletion" | "kubernetes")
    });
    odd.map(|(index, finalizer)| Cause::invalid(format!("metadata.finalizers[{index}]"), finalizer, detail)).collect()
}

/// Rules between the old and the new metadata.
fn metadata_update(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let finalizers = |object: &Value| -> Vec<String> {
        object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        immutable(&format!("metadata.{field}"), &old["metadata"][field], &new["metadata"][field], causes);
    }
    if !old["metadata"]["deletionTimestamp"].is_null() {
        let before = finalizers(old);
        let fresh: Vec<String> = finalizers(new).into_iter().filter(|finalizer| !before.contains(finalizer)).collect();
        if !fresh.is_empty() {
            let shown = fresh.iter().map(|finalizer| format!("{finalizer:?}")).collect::<Vec<_>>().join(", ");
            let detail = format!("no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}");
            causes.push(Cause::forbidden("metadata.finalizers", &detail));
        }
    }
}

/// Whether the cause of an invalid update is told as often as the real server looks at it.
fn told_again(field: &str) -> bool {
    matches!(field, "metadata.labels" | "metadata.annotations") || field.starts_with("metadata.ownerReferences")
}

/// What is wrong with an object of a built-in kind.
pub fn validate(resource: &Resource, subresource: &str, old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    if resource.custom {
        return;
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "ConfigMap") => config::validate_map(old, object, causes),
        ("", "Secret") => config::validate_secret(old, object, causes),
        ("", "Pod") => match old {
            None => pods::validate(&object["spec"], "spec", causes),
            Some(old) if subresource.is_empty() => pods::validate_update(old, object, causes),
            Some(_) => {}
        },
        ("", "Namespace") => of_namespace(object, causes),
        ("", "Node") => {
            for (index, taint) in object["spec"]["taints"].as_array().into_iter().flatten().enumerate() {
                let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
                one_of(&taint["effect"], &effects, &format!("metadata.taints[{index}].effect"), causes);
            }
        }
        ("", "Event") => event(object, "", causes),
        ("events.k8s.io", _) => new_event(old, object, causes),
        ("apiextensions.k8s.io", _) => {
            let (spec, name) = (&object["spec"], object["metadata"]["name"].as_str().unwrap_or_default());
            let wanted = format!("{}.{}", spec["names"]["plural"].as_str().unwrap_or_default(), spec["group"].as_str().unwrap_or_default());
            if name != wanted {
                causes.push(Cause::invalid("metadata.name", &name.into(), "must be spec.names.plural+\".\"+spec.group"));
            }
            if spec["versions"].as_array().is_none_or(Vec::is_empty) {
                causes.push(Cause::required("spec.versions", "must have exactly one version marked as storage version"));
            }
        }
        ("rbac.authorization.k8s.io", _) => roles::validate(resource, old, object, causes),
        _ => {
            workloads::validate(resource, old, object, causes);
            storage::validate(resource, old, object, causes);
            network::validate(resource, old, object, causes);
        }
    }
}

fn of_namespace(object: &Value, causes: &mut Vec<Cause>) {
    for finalizer in object["spec"]["finalizers"].as_array().into_iter().flatten() {
        let name = finalizer.as_str().unwrap_or_default();
        if !name.contains('/') && !matches!(name, "orphan" | "foregroundDeletion" | "kubernetes") {
            causes.push(Cause::invalid(
                "spec.finalizers",
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
    let phase = &object["status"]["phase"];
    let leaving = !object["metadata"]["deletionTimestamp"].is_null();
    if leaving && phase != "Terminating" {
        let detail = "may only be 'Terminating' if `deletionTimestamp` is not empty";
        causes.push(Cause::invalid("status.Phase", phase, detail));
    } else if !leaving && phase != "Active" {
        causes.push(Cause::invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty"));
    }
    for mode in ["enforce", "warn", "audit"] {
        let label = format!("pod-security.kubernetes.io/{mode}");
        let value = &object["metadata"]["labels"][&label];
        if value.as_str().is_some_and(|level| !matches!(level, "privileged" | "baseline" | "restricted")) {
            causes.push(Cause::invalid(format!("metadata.labels[{label}]"), value, "must be one of privileged, baseline, restricted"));
        }
    }
}

/// What an event is about lies in its own namespace; what lies in none is told in the default one.
fn event(object: &Value, prefix: &str, causes: &mut Vec<Cause>) {
    let field = if prefix.is_empty() { "involvedObject" } else { prefix };
    let (about, own) = (object[field]["namespace"].as_str().unwrap_or_default(), &object["metadata"]["namespace"]);
    let good = if about.is_empty() { matches!(own.as_str(), Some("default" | "kube-system")) } else { own == about };
    if !good {
        causes.push(Cause::invalid("involvedObject.namespace", &about.into(), "does not match event.namespace"));
    }
}

fn new_event(old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    event(object, "regarding", causes);
    if old.is_some() {
        return;
    }
    if object["eventTime"].is_null() {
        causes.push(Cause::required("eventTime", ""));
        return;
    }
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let controller = text("reportingController");
    if controller.is_empty() {
        causes.push(Cause::required("reportingController", ""));
    }
    causes.extend(meta::qualified_name(controller).iter().map(|p| Cause::invalid("reportingController", &controller.into(), p)));
    for field in ["reportingInstance", "action", "reason"] {
        if text(field).is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    let kind = text("type");
    if !matches!(kind, "Normal" | "Warning") {
        causes.push(Cause::invalid("type", &"".into(), &format!("has invalid value: {kind}")));
    }
}
