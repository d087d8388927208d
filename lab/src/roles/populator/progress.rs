//! What a populator's pod tells on its metrics port, carried to the populator's status.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::DynamicObject};
use serde_json::{Map, Value, json};

use super::MANAGER;
use crate::roles::{kubelet::METRICS_PORT, write};

/// Start of the names of all metrics.
const METRICS: &str = "vsphere_xcopy_volume_populator_";

/// Reads the metrics of a pod that runs and writes what they say. What cannot be read is tried again with the next look.
pub(super) async fn read(pod: &Pod, owner: &str, populators: &Api<DynamicObject>, name: &str) {
    let Some(ip) = pod.status.as_ref().and_then(|s| s.pod_ip.clone()) else { return };
    if pod.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Running") {
        return;
    }
    let port = pod.annotations().get(METRICS_PORT).and_then(|port| port.parse::<u16>().ok()).unwrap_or(8443);
    let answer =
        async { reqwest::Client::builder().no_proxy().build()?.get(format!("http://{ip}:{port}/metrics")).send().await?.text().await };
    let Ok(Ok(text)) = tokio::time::timeout(std::time::Duration::from_secs(5), answer).await else { return };
    let status = status(&text, owner);
    if status.is_empty() {
        return;
    }
    let mut patch = json!({ "status": status });
    if patch["status"].get("result").is_some() {
        patch["metadata"]["labels"]["forklift.konveyor.io/offload-completed"] = json!("true");
    }
    // The kind has no status subresource.
    if let Err(error) = write::merge(populators, MANAGER, name, patch).await {
        tracing::debug!("status of populator {name} was not written: {error:#}");
    }
}

/// The status that the metrics of one claim say.
fn status(text: &str, owner: &str) -> Map<String, Value> {
    let mut status = Map::new();
    let mut put = |key: &str, value: &str| {
        if !value.is_empty() {
            status.insert(key.to_owned(), json!(value));
        }
    };
    for line in text.lines() {
        let Some((name, rest)) = line.strip_prefix(METRICS).and_then(|line| line.split_once('{')) else { continue };
        let Some((labels, value)) = rest.split_once("} ") else { continue };
        if label(labels, "owner_uid") != owner {
            continue;
        }
        match name {
            "progress" => put("progress", value.split('.').next().unwrap_or_default()),
            "xcopy_used" => put("xcopyUsed", value),
            "vib_version" => put("vibVersion", label(labels, "version")),
            "source_disk_bytes" if label(labels, "type") == "provisioned" => put("provisionedBytes", value),
            "source_disk_bytes" => put("allocatedBytes", value),
            "copy_duration_seconds" => {
                put("copyDurationSeconds", value);
                put("result", label(labels, "result"));
                put("storageVendor", label(labels, "storage_vendor"));
                put("cloneMethod", label(labels, "clone_method"));
                put("storageProtocol", label(labels, "storage_protocol"));
            }
            _ => {}
        }
    }
    status
}

fn label<'t>(labels: &'t str, name: &str) -> &'t str {
    let found = labels.split(',').find_map(|l| l.trim().strip_prefix(name)?.strip_prefix("=\""));
    found.and_then(|value| value.split('"').next()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_other_claims_are_left_out() {
        let text = "# HELP x\nvsphere_xcopy_volume_populator_progress{owner_uid=\"b\"} 90\n\
            vsphere_xcopy_volume_populator_progress{owner_uid=\"a\"} 40\nvsphere_xcopy_volume_populator_xcopy_used{owner_uid=\"a\",storage_vendor=\"ontap\"} 1\n\
            vsphere_xcopy_volume_populator_copy_duration_seconds{owner_uid=\"a\",result=\"success\",clone_method=\"vib\",storage_protocol=\"fc\",storage_vendor=\"ontap\"} 3.5\n";
        let status = Value::Object(status(text, "a"));
        assert_eq!(
            status,
            json!({ "progress": "40", "xcopyUsed": "1", "copyDurationSeconds": "3.5", "result": "success", "cloneMethod": "vib",
                "storageProtocol": "fc", "storageVendor": "ontap" })
        );
    }
}
