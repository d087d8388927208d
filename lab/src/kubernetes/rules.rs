//! What the built-in kinds add of their own: defaults, rules between old and new, and what no client may change.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::{meta, resource::Resource, status::Cause, write::metadata};

/// Reads metadata as its type and writes it again.
pub fn metadata_round_trip(object: &Value) -> Result<Value, String> {
    let typed = ObjectMeta::deserialize(&object["metadata"]).map_err(|error| error.to_string())?;
    serde_json::to_value(typed).map_err(|error| error.to_string())
}

/// Maps of quantities, whose numbers may be written without quotes.
const QUANTITIES: &[&str] = &["limits", "requests", "capacity", "allocatable", "allocatedResources", "hard", "used"];

/// Writes quantities as text, as the real types do.
pub fn normalize(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                if QUANTITIES.contains(&key.as_str())
                    && let Value::Object(quantities) = value
                {
                    for quantity in quantities.values_mut().filter(|quantity| quantity.is_number()) {
                        *quantity = quantity.to_string().into();
                    }
                }
                normalize(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        _ => {}
    }
}

/// Removes what is missing in `known`, and nulls; tells the paths of the former.
pub fn drop_unknown(value: &mut Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (value, known) {
        (Value::Object(map), Value::Object(known)) => {
            let keys: Vec<String> = map.keys().cloned().collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match (map.get_mut(&key), known.get(&key)) {
                    (Some(Value::Null), _) => {
                        map.shift_remove(&key);
                    }
                    (Some(value), Some(known)) => drop_unknown(value, known, &path, unknown),
                    _ => {
                        map.shift_remove(&key);
                        unknown.push(path);
                    }
                }
            }
        }
        (Value::Array(items), Value::Array(known)) => {
            for (index, (item, known)) in items.iter_mut().zip(known).enumerate() {
                drop_unknown(item, known, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

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
fn list_mut<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

fn container_defaults(pod: &mut Value) {
    for list in ["initContainers", "containers"] {
        for container in list_mut(pod, list) {
            let latest = container["image"]
                .as_str()
                .is_some_and(|image| image.ends_with(":latest") || !image.rsplit('/').next().unwrap_or_default().contains([':', '@']));
            default(container, "/resources", json!({}));
            default(container, "/terminationMessagePath", "/dev/termination-log".into());
            default(container, "/terminationMessagePolicy", "File".into());
            default(container, "/imagePullPolicy", if latest { "Always" } else { "IfNotPresent" }.into());
            for port in list_mut(container, "ports") {
                default(port, "/protocol", "TCP".into());
            }
            for variable in list_mut(container, "env") {
                default(variable, "/valueFrom/fieldRef/apiVersion", "v1".into());
            }
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                default(container, &format!("/{probe}/httpGet/scheme"), "HTTP".into());
                for (field, value) in [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)] {
                    default(container, &format!("/{probe}/{field}"), value.into());
                }
            }
        }
    }
}

fn pod_defaults(object: &mut Value, restart: &str) {
    if !object.is_object() {
        return;
    }
    container_defaults(object);
    for (field, value) in [
        ("/restartPolicy", Value::from(restart)),
        ("/terminationGracePeriodSeconds", 30.into()),
        ("/dnsPolicy", "ClusterFirst".into()),
        ("/securityContext", json!({})),
        ("/schedulerName", "default-scheduler".into()),
    ] {
        default(object, field, value);
    }
    for volume in list_mut(object, "volumes") {
        for source in ["secret", "configMap", "projected", "downwardAPI"] {
            // 0644, octal, as Go's types write it.
            default(volume, &format!("/{source}/defaultMode"), 420.into());
        }
    }
}

fn without(object: &mut Value, pointer: &str, field: &str) {
    if let Some(Value::Object(map)) = object.pointer_mut(pointer) {
        map.shift_remove(field);
    }
}

/// Takes out what the server adds to a new object after it has written down who owns what: such fields are nobody's.
pub fn without_additions(resource: &Resource, object: &mut Value) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace") => without(object, "", "spec"),
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
        ("batch", "Job") if object["spec"]["manualSelector"] != true => {
            without(object, "/spec", "selector");
            without(object, "/metadata", "labels");
            without(object, "/spec/template/metadata", "labels");
            if object.pointer("/spec/template/metadata").is_some_and(|metadata| metadata == &json!({}))
                && let Some(Value::Object(template)) = object.pointer_mut("/spec/template")
            {
                template.shift_remove("metadata");
            }
        }
        _ => {}
    }
}

/// What admission adds to a pod.
fn admit_pod(spec: &mut Value) {
    default(spec, "/priority", 0.into());
    default(spec, "/preemptionPolicy", "PreemptLowerPriority".into());
    default(spec, "/tolerations", json!([]));
    let Some(tolerations) = spec.get_mut("tolerations").and_then(Value::as_array_mut) else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        // Five minutes, the default of the admission plugin DefaultTolerationSeconds.
        if tolerations.iter().all(|toleration| toleration["key"] != key) {
            tolerations.push(json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }));
        }
    }
}

/// How a pod is treated when memory runs short: by the requests and limits of its containers.
fn quality_of_service(spec: &Value) -> &'static str {
    let containers = || ["containers", "initContainers"].into_iter().filter_map(|list| spec[list].as_array()).flatten();
    let asked = |kind: &'static str| move |container: &Value, what: &str| container["resources"][kind][what].clone();
    let (request, limit) = (asked("requests"), asked("limits"));
    let guaranteed = |container: &Value| {
        ["cpu", "memory"].into_iter().all(|what| {
            let (request, limit) = (request(container, what), limit(container, what));
            !limit.is_null() && (request.is_null() || request == limit)
        })
    };
    let nothing = |container: &Value| {
        ["cpu", "memory"].into_iter().all(|what| request(container, what).is_null() && limit(container, what).is_null())
    };
    if containers().all(nothing) {
        "BestEffort"
    } else if containers().all(guaranteed) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// Finalizers that admission gives to new storage objects; a controller takes them away when nobody uses the object.
pub fn protect(resource: &Resource, object: &mut Value) {
    let finalizer = match resource.plural.as_str() {
        "persistentvolumeclaims" => "kubernetes.io/pvc-protection",
        "persistentvolumes" => "kubernetes.io/pv-protection",
        _ => return,
    };
    let finalizers = metadata(object).entry("finalizers").or_insert_with(|| json!([]));
    if let Some(finalizers) = finalizers.as_array_mut().filter(|finalizers| !finalizers.iter().any(|known| known == finalizer)) {
        finalizers.push(finalizer.into());
    }
}

/// What follows from the UID of a new object: a job finds its pods by it.
pub fn identify(resource: &Resource, object: &mut Value) {
    if resource.group != "batch" || resource.kind != "Job" || object["spec"]["manualSelector"] == true {
        return;
    }
    let (uid, name) = (object["metadata"]["uid"].clone(), object["metadata"]["name"].clone());
    default(object, "/spec/selector", json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } }));
    default(object, "/spec/template/metadata", json!({}));
    default(object, "/spec/template/metadata/labels", json!({}));
    if let Some(Value::Object(labels)) = object.pointer_mut("/spec/template/metadata/labels") {
        for prefix in ["batch.kubernetes.io/", ""] {
            labels.insert(format!("{prefix}controller-uid"), uid.clone());
            labels.insert(format!("{prefix}job-name"), name.clone());
        }
    }
    // A Job without labels of its own carries those of its pods.
    if let Some(labels) = object.pointer("/spec/template/metadata/labels").cloned() {
        default(object, "/metadata/labels", labels);
    }
}

/// Fills in what the kind fills in.
pub fn fill(resource: &Resource, object: &mut Value) {
    if resource.custom {
        return;
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace") => {
            let name = object["metadata"]["name"].clone();
            default(object, "/spec", json!({}));
            // Only a new namespace gets the finalizer: an old one loses it through /finalize and must not get it back.
            if object["metadata"]["uid"].is_null() || object["status"].is_null() {
                default(object, "/spec/finalizers", json!(["kubernetes"]));
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
        ("", "Secret") => {
            default(object, "/type", "Opaque".into());
            if let Some(Value::Object(texts)) = object.as_object_mut().and_then(|map| map.shift_remove("stringData")) {
                use base64::Engine as _;
                default(object, "/data", json!({}));
                for (key, text) in texts {
                    let text = text.as_str().unwrap_or_default();
                    object["data"][key] = base64::prelude::BASE64_STANDARD.encode(text).into();
                }
            }
        }
        ("", "Pod") => {
            if let Some(spec) = object.get_mut("spec") {
                pod_defaults(spec, "Always");
                default(spec, "/enableServiceLinks", true.into());
                admit_pod(spec);
            }
            let quality = quality_of_service(&object["spec"]);
            default(object, "/status", json!({}));
            default(object, "/status/phase", "Pending".into());
            default(object, "/status/qosClass", quality.into());
        }
        ("", "PersistentVolumeClaim") => {
            default(object, "/spec/volumeMode", "Filesystem".into());
            default(object, "/status", json!({}));
            default(object, "/status/phase", "Pending".into());
        }
        ("", "PersistentVolume") => {
            default(object, "/spec/volumeMode", "Filesystem".into());
            default(object, "/spec/persistentVolumeReclaimPolicy", "Retain".into());
            default(object, "/status", json!({}));
            default(object, "/status/phase", "Pending".into());
        }
        ("", "Service") => {
            default(object, "/spec", json!({}));
            default(object, "/spec/type", "ClusterIP".into());
            default(object, "/spec/sessionAffinity", "None".into());
            for port in object.get_mut("spec").into_iter().flat_map(|spec| list_mut(spec, "ports")) {
                default(port, "/protocol", "TCP".into());
                let target = port["port"].clone();
                default(port, "/targetPort", target);
            }
            default(object, "/status", json!({ "loadBalancer": {} }));
        }
        ("batch", "Job") => {
            for (field, value) in [
                ("/spec/parallelism", Value::from(1)),
                ("/spec/completions", 1.into()),
                ("/spec/backoffLimit", 6.into()),
                ("/spec/completionMode", "NonIndexed".into()),
                ("/spec/suspend", false.into()),
                ("/spec/manualSelector", false.into()),
                ("/spec/podReplacementPolicy", "TerminatingOrFailed".into()),
            ] {
                default(object, field, value);
            }
            if let Some(spec) = object.pointer_mut("/spec/template/spec") {
                pod_defaults(spec, "Never");
            }
            default(object, "/status", json!({}));
        }
        ("", "Event") => {
            for field in ["firstTimestamp", "lastTimestamp", "eventTime"] {
                default(object, &format!("/{field}"), Value::Null);
            }
            default(object, "/source", json!({}));
            default(object, "/reportingComponent", "".into());
            default(object, "/reportingInstance", "".into());
        }
        ("apps", "Deployment") => {
            default(object, "/spec/replicas", 1.into());
            default(
                object,
                "/spec/strategy",
                json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "25%", "maxSurge": "25%" } }),
            );
            default(object, "/spec/revisionHistoryLimit", 10.into());
            default(object, "/spec/progressDeadlineSeconds", 600.into());
            if let Some(spec) = object.pointer_mut("/spec/template/spec") {
                pod_defaults(spec, "Always");
            }
            default(object, "/status", json!({}));
        }
        ("storage.k8s.io", "StorageClass") => {
            default(object, "/reclaimPolicy", "Delete".into());
            default(object, "/volumeBindingMode", "Immediate".into());
        }
        _ => {}
    }
}

/// Puts back what this subresource must not change.
pub fn keep(resource: &Resource, subresource: &str, old: &Value, new: &mut Value) {
    if resource.is_core("namespaces") && subresource != "finalize" {
        new["spec"] = old["spec"].clone();
    }
}

/// Rules between the old and the new metadata.
pub fn metadata_update(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let finalizers = |object: &Value| -> Vec<String> {
        object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
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
pub fn told_again(field: &str) -> bool {
    matches!(field, "metadata.labels" | "metadata.annotations") || field.starts_with("metadata.ownerReferences")
}

fn immutable(field: &str, old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    if old != new {
        causes.push(Cause::invalid(field, new, "field is immutable"));
    }
}

fn config(old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    for field in ["data", "binaryData"] {
        for key in object[field].as_object().into_iter().flatten().map(|(key, _)| key) {
            causes.extend(
                meta::config_key(key).iter().map(|problem| Cause::invalid(format!("{field}[{key}]"), &key.as_str().into(), problem)),
            );
        }
    }
    if let Some(old) = old.filter(|old| old["immutable"] == true) {
        let detail = "field is immutable when `immutable` is set";
        if object["immutable"] != true {
            causes.push(Cause::forbidden("immutable", detail));
        }
        for field in ["data", "binaryData"].into_iter().filter(|field| old[*field] != object[*field]) {
            causes.push(Cause::forbidden(field, detail));
        }
    }
}

fn pod_template(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let containers = spec["containers"].as_array();
    if containers.is_none_or(Vec::is_empty) {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    for (index, container) in containers.into_iter().flatten().enumerate() {
        let at = format!("{path}.containers[{index}]");
        match container["name"].as_str().unwrap_or_default() {
            "" => causes.push(Cause::required(format!("{at}.name"), "")),
            name => {
                causes.extend(meta::NameRule::Label.problems(name).iter().map(|p| Cause::invalid(format!("{at}.name"), &name.into(), p)));
            }
        }
        if container["image"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(format!("{at}.image"), ""));
        }
    }
}

/// What is wrong with an object of a built-in kind.
pub fn validate(resource: &Resource, old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    if resource.custom {
        return;
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "ConfigMap") => {
            for (index, finalizer) in object["metadata"]["finalizers"].as_array().into_iter().flatten().enumerate() {
                let name = finalizer.as_str().unwrap_or_default();
                let standard = matches!(name, "orphan" | "foregroundDeletion" | "kubernetes");
                if !name.contains('/') && !standard {
                    let detail = "name is neither a standard finalizer name nor is it fully qualified";
                    causes.push(Cause::invalid(format!("metadata.finalizers[{index}]"), finalizer, detail));
                }
            }
            config(old, object, causes);
        }
        ("", "Secret") => {
            config(old, object, causes);
            if let Some(old) = old {
                immutable("type", &old["type"], &object["type"], causes);
            }
        }
        ("", "Pod")
            if old.is_none() && !matches!(object["spec"]["restartPolicy"].as_str(), None | Some("Always" | "OnFailure" | "Never")) =>
        {
            let supported = ["Always", "OnFailure", "Never"].map(str::to_owned);
            causes.push(Cause::not_supported("spec.restartPolicy", &object["spec"]["restartPolicy"], &supported));
        }
        ("", "Pod") if old.is_none() => pod_template(&object["spec"], "spec", causes),
        ("", "PersistentVolumeClaim") => claim(old, object, causes),
        ("", "Event") => {
            let (about, own) = (&object["involvedObject"]["namespace"], &object["metadata"]["namespace"]);
            if about.as_str().is_some_and(|about| !about.is_empty()) && about != own {
                causes.push(Cause::invalid("involvedObject.namespace", about, "does not match event.namespace"));
            }
        }
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
        ("batch", "Job") => {
            if let Some(old) = old {
                immutable("spec.template", &old["spec"]["template"], &object["spec"]["template"], causes);
                immutable("spec.selector", &old["spec"]["selector"], &object["spec"]["selector"], causes);
            } else {
                pod_template(&object["spec"]["template"]["spec"], "spec.template.spec", causes);
            }
        }
        ("storage.k8s.io", "StorageClass") => match old {
            None if object["provisioner"].as_str().is_none_or(str::is_empty) => causes.push(Cause::required("provisioner", "")),
            None => {}
            Some(old) => {
                if old["parameters"] != object["parameters"] {
                    causes.push(Cause::forbidden("parameters", "updates to parameters are forbidden."));
                }
                immutable("provisioner", &old["provisioner"], &object["provisioner"], causes);
                if old["reclaimPolicy"] != object["reclaimPolicy"] {
                    causes.push(Cause::forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden."));
                }
                immutable("volumeBindingMode", &old["volumeBindingMode"], &object["volumeBindingMode"], causes);
            }
        },
        _ => {}
    }
}

fn claim(old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    let Some(old) = old else {
        let modes = object["spec"]["accessModes"].as_array();
        if modes.is_none_or(Vec::is_empty) {
            causes.push(Cause::required("spec.accessModes", "at least 1 access mode is required"));
        }
        let supported = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"].map(str::to_owned);
        for mode in modes.into_iter().flatten().filter(|mode| !supported.iter().any(|known| mode == &known)) {
            causes.push(Cause::not_supported("spec.accessModes", mode, &supported));
        }
        if object["spec"]["resources"]["requests"]["storage"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required("spec.resources[storage]", ""));
        }
        return;
    };
    let rest = |claim: &Value| {
        let mut spec = claim["spec"].as_object().cloned().unwrap_or_default();
        spec.shift_remove("resources");
        spec.shift_remove("volumeAttributesClassName");
        // A default class may be found later.
        if old["spec"]["storageClassName"].is_null() {
            spec.shift_remove("storageClassName");
        }
        // The binder may set the volume of a claim that has none yet.
        if old["spec"]["volumeName"].as_str().is_none_or(str::is_empty) {
            spec.shift_remove("volumeName");
        }
        spec
    };
    if rest(old) != rest(object) {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        causes.push(Cause::forbidden("spec", detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        let both = json!({ "cpu": "1", "memory": "1Gi" });
        for (resources, quality) in [
            (json!({}), "BestEffort"),
            (json!({ "limits": both }), "Guaranteed"),
            (json!({ "limits": both, "requests": both }), "Guaranteed"),
            (json!({ "limits": both, "requests": { "cpu": "2" } }), "Burstable"),
            (json!({ "requests": { "cpu": "1" } }), "Burstable"),
        ] {
            assert_eq!(quality_of_service(&json!({ "containers": [{ "resources": resources }] })), quality, "{resources}");
        }
    }

    #[test]
    fn unknown_fields_are_told_and_nulls_go_silently() {
        let mut object = json!({ "data": { "k": "v" }, "immutable": null, "dataa": {}, "list": [{ "a": 1, "b": 2 }] });
        let mut unknown = Vec::new();
        drop_unknown(&mut object, &json!({ "data": { "k": "v" }, "list": [{ "a": 1 }] }), "", &mut unknown);
        assert_eq!(unknown, ["dataa", "list[0].b"]);
        assert_eq!(object, json!({ "data": { "k": "v" }, "list": [{ "a": 1 }] }));
    }
}
