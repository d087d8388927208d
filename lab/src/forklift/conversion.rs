//! Conversions: a pod each, and the stages that it goes through.

use std::time::Duration;

use mtv_api::{
    condition::Condition,
    kinds::{CONVERSION, POD, SECRET},
};
use serde_json::{Value, json};

use super::{
    Context, SLOW,
    builder::pod,
    cluster::{Key, Look},
    conditions::{Staged, condition},
    pods::{self, Port},
};

/// Looks at a Conversion.
pub async fn reconcile(context: &Context, key: &Key) -> anyhow::Result<Option<Duration>> {
    let Some(conversion) = context.cluster.get(&CONVERSION, &key.namespace, &key.name).await? else { return Ok(None) };
    if matches!(conversion.text("/status/phase"), "Succeeded" | "Failed" | "Canceled")
        || conversion.pointer("/metadata/deletionTimestamp").is_some()
    {
        return Ok(None);
    }
    let now = context.now();
    let written: Vec<Condition> = serde_json::from_value(conversion["status"]["conditions"].clone()).unwrap_or_default();
    let mut staged = Staged::begin(&written);
    let mut status = conversion.get("status").filter(|s| s.is_object()).cloned().unwrap_or_else(|| json!({}));
    if status.text("/startTime").is_empty() {
        status["startTime"] = json!(now);
    }
    status["phase"] = json!("Running");
    status["observedGeneration"] = json!(conversion.number("/metadata/generation"));
    let pod = ensure_pod(context, &conversion).await?;
    if let Some(pod) = &pod {
        status["pod"] = json!({ "namespace": pod.text("/metadata/namespace"), "name": pod.text("/metadata/name") });
    }
    let again = if let Some(pod) = &pod {
        follow(&conversion, pod, &mut status).await
    } else {
        status["phase"] = json!("Failed");
        None
    };
    let told = match (status.text("/phase"), status.text("/stage")) {
        ("Succeeded", _) => condition("Ready", "Required", "", "The conversion succeeded."),
        ("Failed", _) => condition("ConversionFailed", "Critical", "", "The conversion failed."),
        (_, stage) => condition("Advisory", "Advisory", "", said(stage)),
    };
    status["message"] = json!(told.message);
    staged.set(told, &now);
    staged.end();
    status["conditions"] = json!(staged.list());
    if again.is_none() {
        status["completionTime"] = json!(now);
    }
    context.publish(&CONVERSION, "conversion", &conversion, &written, &staged, status).await?;
    Ok(again)
}

/// What a stage says for people.
fn said(stage: &str) -> &'static str {
    match stage {
        "CreatingPod" => "The pod is being created.",
        "PodRunning" => "The pod runs.",
        "FetchingResults" => "The results are being read.",
        "RemovingSnapshot" => "The snapshot is being removed.",
        _ => "The conversion is ending.",
    }
}

/// Goes on by what the pod does.
async fn follow(conversion: &Value, pod: &Value, status: &mut Value) -> Option<Duration> {
    if conversion.text("/spec/type") != "DeepInspection" {
        return convert(pod, status);
    }
    let snapshot = conversion.text("/spec/settings/SNAPSHOT_MOREF");
    status["snapshot"] = json!({ "moref": snapshot });
    inspect(pod, status).await
}

/// The pod of a Conversion, created unless it is there; nothing if what it needs is gone.
async fn ensure_pod(context: &Context, conversion: &Value) -> anyhow::Result<Option<Value>> {
    let namespace = conversion.text("/spec/targetNamespace");
    let selector = format!("conversion={}", conversion.text("/metadata/name"));
    if let Some(pod) = context.cluster.list(&POD, namespace, &selector).await?.into_iter().next() {
        return Ok(Some(pod));
    }
    let secret = (conversion.text("/spec/connection/secret/namespace"), conversion.text("/spec/connection/secret/name"));
    if !secret.1.is_empty() && context.cluster.get(&SECRET, secret.0, secret.1).await?.is_none() {
        return Ok(None);
    }
    let pod = match conversion.text("/spec/type") {
        "DeepInspection" => pod::inspection(conversion, &context.options.inspection_image),
        _ => pod::virt_v2v(conversion),
    };
    Ok(Some(context.cluster.create(&POD, namespace, pod).await?))
}

/// Stages of virt-v2v. The look after the pod's end tells how it ended.
fn convert(pod: &Value, status: &mut Value) -> Option<Duration> {
    let phase = pod.text("/status/phase");
    let ended = matches!(phase, "Succeeded" | "Failed");
    if status.text("/stage") == "Finished" && ended {
        status["phase"] = json!(phase);
        return None;
    }
    status["stage"] = json!(match phase {
        "Running" => "PodRunning",
        _ if ended => "Finished",
        _ => "CreatingPod",
    });
    Some(SLOW)
}

/// Stages of an inspection. The snapshot belongs to the migration, so that its removal is passed through only.
async fn inspect(pod: &Value, status: &mut Value) -> Option<Duration> {
    let phase = pod.text("/status/phase").to_owned();
    let ended = matches!(phase.as_str(), "Succeeded" | "Failed");
    let stage = status.text("/stage").to_owned();
    match stage.as_str() {
        "FetchingResults" => match pods::get(pod, Port::Results, "/results").await {
            Some((200, body)) => {
                let raw: Value = serde_json::from_str(&body).unwrap_or_default();
                status["inspectionResult"] = result(&raw);
                pods::post(pod, Port::Results, "/shutdown").await;
                status["stage"] = json!("RemovingSnapshot");
            }
            _ if phase == "Failed" => {
                status["phase"] = json!("Failed");
                return None;
            }
            _ => {}
        },
        "RemovingSnapshot" if !ended => {}
        "RemovingSnapshot" => {
            status["stage"] = json!("Finished");
            status["phase"] = json!(phase);
            return None;
        }
        _ => {
            let running = phase == "Running";
            let known = stage == "PodRunning";
            status["stage"] = json!(if running { "PodRunning" } else { "CreatingPod" });
            if ended || (running && known && matches!(pods::get(pod, Port::Results, "/ready").await, Some((200, _)))) {
                status["stage"] = json!("FetchingResults");
            }
        }
    }
    Some(SLOW)
}

/// What the inspection found, in the words of the Conversion's status.
fn result(raw: &Value) -> Value {
    let mut found = json!({ "allChecksPassed": raw["passed"] == json!(true) });
    if raw.get("os_info").is_some_and(Value::is_object) {
        let text = |name: &str| raw.text(&format!("/os_info/{name}"));
        found["osInfo"] =
            json!({ "name": text("name"), "distro": text("distro"), "version": text("major_version"), "arch": text("architecture") });
    }
    let concerns = raw.items("/all_concerns");
    if !concerns.is_empty() {
        found["concerns"] = json!(concerns);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversion_ends_one_look_after_its_pod() {
        let pod = |phase: &str| json!({ "status": { "phase": phase } });
        let mut status = json!({ "phase": "Running" });
        assert!(convert(&pod("Pending"), &mut status).is_some());
        assert_eq!(status["stage"], "CreatingPod");
        convert(&pod("Running"), &mut status);
        assert_eq!(status["stage"], "PodRunning");
        assert!(convert(&pod("Succeeded"), &mut status).is_some());
        assert_eq!((status["stage"].clone(), status["phase"].clone()), (json!("Finished"), json!("Running")));
        assert!(convert(&pod("Succeeded"), &mut status).is_none());
        assert_eq!(status["phase"], "Succeeded");
    }

    #[test]
    fn results_are_renamed() {
        let raw = json!({ "passed": true, "all_concerns": [], "os_info": { "name": "linux", "distro": "rhel", "major_version": "9", "architecture": "x86_64" } });
        let wanted = json!({ "allChecksPassed": true, "osInfo": { "name": "linux", "distro": "rhel", "version": "9", "arch": "x86_64" } });
        assert_eq!(result(&raw), wanted);
    }
}
