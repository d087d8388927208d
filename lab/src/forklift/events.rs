//! Events about conditions: one when a condition comes, changes or goes.

use mtv_api::kinds::{EVENT, Kind};
use serde_json::{Value, json};

use super::{
    cluster::{Cluster, Key, Look},
    conditions::Changes,
};

/// Writes the events of a reconcile. An event that cannot be written is no reason to fail the reconcile.
pub async fn record(cluster: &Cluster, kind: &Kind, component: &str, object: &Value, changes: &Changes, now: &str) {
    for (index, condition) in changes.set.iter().chain(&changes.gone).enumerate() {
        let key = Key::of(object);
        let warning = matches!(condition.category.as_str(), "Critical" | "Error" | "Warn") && index < changes.set.len();
        let event = json!({
            "metadata": { "generateName": format!("{}.", key.name) },
            "involvedObject": {
                "apiVersion": kind.api_version(), "kind": kind.kind, "namespace": key.namespace, "name": key.name, "uid": object.uid(),
                "resourceVersion": object.text("/metadata/resourceVersion"),
            },
            "type": if warning { "Warning" } else { "Normal" },
            "reason": condition.kind,
            "message": condition.message,
            "source": { "component": component },
            "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        });
        if let Err(error) = cluster.create(&EVENT, &key.namespace, event).await {
            tracing::debug!(%key, %error, "event was not written");
        }
    }
}
