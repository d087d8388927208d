//! Kinds that make pods: jobs, deployments and their relatives.

use serde_json::{Map, Value, json};

use super::{
    super::{resource::Resource, status::Cause, write::metadata},
    at_least, default, immutable, list_mut, one_of, pods,
};

/// Annotation of a DaemonSet that counts changes of its template.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn defaults(object: &mut Value, values: &[(&str, Value)]) {
    for (pointer, value) in values {
        default(object, pointer, value.clone());
    }
}

fn template(object: &mut Value, pointer: &str) {
    if let Some(spec) = object.pointer_mut(pointer) {
        pods::fill(spec);
    }
}

/// The defaults of each kind.
pub fn fill(resource: &Resource, object: &mut Value) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("batch", "Job") => {
            let spec = &object["spec"];
            if spec["completions"].is_null() && spec["parallelism"].is_null() {
                default(object, "/spec/completions", 1.into());
            }
            let replacement = if object["spec"]["podFailurePolicy"].is_null() { "TerminatingOrFailed" } else { "Failed" };
            let backoff = if object["spec"]["backoffLimitPerIndex"].is_null() { 6 } else { i32::MAX };
            defaults(
                object,
                &[
                    ("/spec/parallelism", 1.into()),
                    ("/spec/backoffLimit", backoff.into()),
                    ("/spec/completionMode", "NonIndexed".into()),
                    ("/spec/suspend", false.into()),
                    ("/spec/manualSelector", false.into()),
                    ("/spec/podReplacementPolicy", replacement.into()),
                ],
            );
            template(object, "/spec/template/spec");
        }
        ("batch", "CronJob") => {
            defaults(
                object,
                &[
                    ("/spec/concurrencyPolicy", "Allow".into()),
                    ("/spec/suspend", false.into()),
                    ("/spec/successfulJobsHistoryLimit", 3.into()),
                    ("/spec/failedJobsHistoryLimit", 1.into()),
                ],
            );
            template(object, "/spec/jobTemplate/spec/template/spec");
        }
        ("", "ReplicationController") => {
            let labels = object.pointer("/spec/template/metadata/labels").cloned().unwrap_or_default();
            if labels.is_object() {
                defaults(object, &[("/spec/selector", labels.clone()), ("/metadata/labels", labels)]);
            }
            default(object, "/spec/replicas", 1.into());
            template(object, "/spec/template/spec");
        }
        ("", "PodTemplate") => template(object, "/template/spec"),
        ("apps", "ReplicaSet") => {
            default(object, "/spec/replicas", 1.into());
            template(object, "/spec/template/spec");
        }
        ("apps", "Deployment") => {
            default(object, "/spec/strategy", json!({}));
            default(object, "/spec/strategy/type", "RollingUpdate".into());
            if object["spec"]["strategy"]["type"] == "RollingUpdate" {
                default(object, "/spec/strategy/rollingUpdate", json!({}));
                default(object, "/spec/strategy/rollingUpdate/maxUnavailable", "25%".into());
                default(object, "/spec/strategy/rollingUpdate/maxSurge", "25%".into());
            }
            defaults(
                object,
                &[("/spec/replicas", 1.into()), ("/spec/revisionHistoryLimit", 10.into()), ("/spec/progressDeadlineSeconds", 600.into())],
            );
            template(object, "/spec/template/spec");
        }
        ("apps", "DaemonSet") => {
            default(object, "/spec/updateStrategy", json!({}));
            default(object, "/spec/updateStrategy/type", "RollingUpdate".into());
            if object["spec"]["updateStrategy"]["type"] == "RollingUpdate" {
                default(object, "/spec/updateStrategy/rollingUpdate", json!({}));
                default(object, "/spec/updateStrategy/rollingUpdate/maxUnavailable", 1.into());
                default(object, "/spec/updateStrategy/rollingUpdate/maxSurge", 0.into());
            }
            default(object, "/spec/revisionHistoryLimit", 10.into());
            template(object, "/spec/template/spec");
        }
        ("apps", "StatefulSet") => stateful(object),
        _ => {}
    }
}

fn stateful(object: &mut Value) {
    default(object, "/spec/podManagementPolicy", "OrderedReady".into());
    default(object, "/spec/updateStrategy", json!({}));
    default(object, "/spec/updateStrategy/type", "RollingUpdate".into());
    if object["spec"]["updateStrategy"]["type"] == "RollingUpdate" {
        default(object, "/spec/updateStrategy/rollingUpdate", json!({}));
        default(object, "/spec/updateStrategy/rollingUpdate/partition", 0.into());
    }
    defaults(
        object,
        &[
            ("/spec/replicas", 1.into()),
            ("/spec/revisionHistoryLimit", 10.into()),
            ("/spec/persistentVolumeClaimRetentionPolicy", json!({ "whenDeleted": "Retain", "whenScaled": "Retain" })),
        ],
    );
    for claim in object.get_mut("spec").into_iter().flat_map(|spec| list_mut(spec, "volumeClaimTemplates")) {
        for (pointer, value) in
            [("/kind", "PersistentVolumeClaim"), ("/apiVersion", "v1"), ("/spec/volumeMode", "Filesystem"), ("/status/phase", "Pending")]
        {
            default(claim, "/status", json!({}));
            default(claim, pointer, value.into());
        }
    }
    template(object, "/spec/template/spec");
}

/// What a new object gets besides.
pub fn created(resource: &Resource, object: &mut Value) {
    if resource.group == "apps" && resource.kind == "DaemonSet" {
        generation(object, 1);
    }
}

/// What follows from a change.
pub fn changed(resource: &Resource, old: &Value, new: &mut Value) {
    if resource.group == "apps" && resource.kind == "DaemonSet" {
        let text = old.pointer(&format!("/metadata/annotations/{TEMPLATE_GENERATION}")).and_then(Value::as_str);
        let before: i64 = text.and_then(|text| text.parse().ok()).unwrap_or(1);
        generation(new, if old["spec"]["template"] == new["spec"]["template"] { before } else { before + 1 });
    }
}

fn generation(object: &mut Value, number: i64) {
    let annotations = metadata(object).entry("annotations").or_insert_with(|| json!({}));
    if annotations.is_null() {
        *annotations = json!({});
    }
    annotations[TEMPLATE_GENERATION] = number.to_string().into();
}

/// What follows from the UID of a new object: a job finds its pods by it.
pub fn identify(object: &mut Value) {
    if object["spec"]["manualSelector"] == true {
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

/// Takes the labels that the server gives a job out of it.
pub fn without_identity(object: &mut Value) {
    if object["spec"]["manualSelector"] == true {
        return;
    }
    super::without(object, "/spec", "selector");
    for place in ["/spec/template/metadata", "/metadata"] {
        let Some(own) = object.pointer_mut(&format!("{place}/labels")).and_then(Value::as_object_mut) else { continue };
        own.retain(|label, _| !matches!(label.trim_start_matches("batch.kubernetes.io/"), "controller-uid" | "job-name"));
        if own.is_empty() {
            super::without(object, place, "labels");
        }
    }
    if object.pointer("/spec/template/metadata").is_some_and(|metadata| metadata == &json!({})) {
        super::without(object, "/spec/template", "metadata");
    }
}

fn selected(spec: &Value, causes: &mut Vec<Cause>) {
    let labels = &spec["template"]["metadata"]["labels"];
    if spec["selector"].is_null() {
        causes.push(Cause::required("spec.selector", ""));
    } else if spec["selector"] == json!({}) {
        let shown = &spec["selector"];
        causes.push(Cause::invalid("spec.selector", shown, "empty selector is invalid for deployment"));
    }
    let wanted = spec["selector"]["matchLabels"].as_object();
    let matches = !spec["selector"].is_null() && wanted.into_iter().flatten().all(|(key, value)| labels[key] == *value);
    if !matches {
        causes.push(Cause::invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"));
    }
}

/// A spec without some of its fields.
fn besides(object: &Value, fields: &[&str]) -> Map<String, Value> {
    let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
    spec.retain(|field, _| !fields.contains(&field.as_str()));
    spec
}

/// What is wrong with an object of one of these kinds.
pub fn validate(resource: &Resource, old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("batch", "Job") => job(old, object, causes),
        ("batch", "CronJob") => {
            if spec["schedule"].as_str().is_none_or(str::is_empty) {
                causes.push(Cause::required("spec.schedule", ""));
            }
            one_of(&spec["concurrencyPolicy"], &["Allow", "Forbid", "Replace"], "spec.concurrencyPolicy", causes);
            let pod = &spec["jobTemplate"]["spec"]["template"]["spec"];
            let path = "spec.jobTemplate.spec.template.spec";
            pods::validate(pod, path, causes);
            ends(pod, path, causes);
        }
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") => {
            at_least(&spec["replicas"], 0, "spec.replicas", causes);
            selected(spec, causes);
            let pod = &spec["template"]["spec"];
            pods::validate(pod, "spec.template.spec", causes);
            if pod["containers"].is_array() {
                one_of(&pod["restartPolicy"], &["Always"], "spec.template.spec.restartPolicy", causes);
            }
            let strategy = &spec["strategy"];
            if strategy["type"] == "Recreate" && !strategy["rollingUpdate"].is_null() {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                causes.push(Cause::forbidden("spec.strategy.rollingUpdate", detail));
            }
            let Some(old) = old else { return };
            if resource.kind == "StatefulSet" {
                let open = [
                    "replicas",
                    "ordinals",
                    "template",
                    "updateStrategy",
                    "revisionHistoryLimit",
                    "persistentVolumeClaimRetentionPolicy",
                    "minReadySeconds",
                ];
                if besides(old, &open) != besides(object, &open) {
                    let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                                  'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
                    causes.push(Cause::forbidden("spec", detail));
                }
            } else {
                immutable("spec.selector", &old["spec"]["selector"], &spec["selector"], causes);
            }
        }
        _ => {}
    }
}

/// Pods of jobs end.
fn ends(pod: &Value, path: &str, causes: &mut Vec<Cause>) {
    match pod["restartPolicy"].as_str() {
        Some("OnFailure" | "Never") => {}
        None | Some("Always" | "") => {
            causes.push(Cause::required(format!("{path}.restartPolicy"), "valid values: \"OnFailure\", \"Never\""));
        }
        Some(_) => {}
    }
}

fn job(old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    for field in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"] {
        at_least(&spec[field], 0, &format!("spec.{field}"), causes);
    }
    let Some(old) = old else {
        pods::validate(&spec["template"]["spec"], "spec.template.spec", causes);
        ends(&spec["template"]["spec"], "spec.template.spec", causes);
        return;
    };
    if spec["completionMode"] != "Indexed" {
        immutable("spec.completions", &old["spec"]["completions"], &spec["completions"], causes);
    }
    immutable("spec.selector", &old["spec"]["selector"], &spec["selector"], causes);
    // Of a job that has not begun, or stands still, resources and places of its pods may change.
    if old["spec"]["template"] != spec["template"] {
        causes.push(Cause::invalid("spec.template", &spec["template"], "field is immutable"));
    }
    immutable("spec.completionMode", &old["spec"]["completionMode"], &spec["completionMode"], causes);
    status(&object["status"], causes);
}

/// What the status of a finished job must say.
fn status(status: &Value, causes: &mut Vec<Cause>) {
    let is = |kind: &str| status["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == kind && c["status"] == "True");
    let (complete, failed) = (is("Complete"), is("Failed"));
    let ended = !status["completionTime"].is_null();
    if complete && !ended {
        causes.push(Cause::required("status.completionTime", "completionTime is required for Complete jobs"));
    }
    let told = |message: &str| Cause {
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {message}"),
        field: "status.conditions".to_owned(),
    };
    if complete && !is("SuccessCriteriaMet") {
        causes.push(told("cannot set Complete=True condition without the SuccessCriteriaMet=true condition"));
    }
    if failed && !is("FailureTarget") {
        causes.push(told("cannot set Failed=True condition without the FailureTarget=true condition"));
    }
    if let Some(active) = status["active"].as_i64().filter(|active| *active > 0 && (complete || failed)) {
        causes.push(Cause::invalid("status.active", &active.into(), "active>0 is invalid for finished job"));
    }
}
