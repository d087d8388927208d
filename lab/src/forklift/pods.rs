//! HTTP to what runs in a pod: short requests to its address.

use std::{sync::LazyLock, time::Duration};

use serde_json::Value;

use super::cluster::Look;

/// Deadline of a request. The real controller sets none, and hangs where packets are dropped.
const DEADLINE: Duration = Duration::from_secs(2);

/// A port that a pod serves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Metrics of virt-v2v.
    Metrics,
    /// Results of virt-v2v or of an inspection.
    Results,
}

impl Port {
    fn number(self) -> u16 {
        match self {
            Self::Metrics => 2112,
            Self::Results => 8080,
        }
    }

    fn annotation(self) -> &'static str {
        match self {
            Self::Metrics => "lab.mtv-test.io/metrics-port",
            Self::Results => "lab.mtv-test.io/results-port",
        }
    }
}

/// URL of a path in a pod, if the pod has an address. Where the lab's kubelet cannot bind the real port it names another one
/// in an annotation.
pub fn url(pod: &Value, port: Port, path: &str) -> Option<String> {
    let address = pod.text("/status/podIP");
    let number = pod.annotation(port.annotation()).and_then(|p| p.parse().ok()).unwrap_or(port.number());
    (!address.is_empty()).then(|| format!("http://{address}:{number}{path}"))
}

static CLIENT: LazyLock<Option<reqwest::Client>> = LazyLock::new(|| {
    // No TLS is spoken, but the client wants to know of a way to.
    let (tls, _) = super::vcenter::insecure_tls().ok()?;
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(DEADLINE).build().ok()
});

/// Gets a path of a pod: status and body, or nothing if nobody answers yet.
pub async fn get(pod: &Value, port: Port, path: &str) -> Option<(u16, String)> {
    let answer = CLIENT.as_ref()?.get(url(pod, port, path)?).send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.text().await.ok()?))
}

/// Posts to a path of a pod. One that does not answer ends by itself or is deleted.
pub async fn post(pod: &Value, port: Port, path: &str) {
    if let (Some(client), Some(url)) = (CLIENT.as_ref(), url(pod, port, path))
        && let Err(error) = client.post(url).send().await
    {
        tracing::debug!(%error, "pod did not take the request");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_come_from_annotations_where_there_are_any() {
        let plain = json!({ "status": { "podIP": "127.0.0.2" } });
        assert_eq!(url(&plain, Port::Metrics, "/metrics").as_deref(), Some("http://127.0.0.2:2112/metrics"));
        let moved =
            json!({ "metadata": { "annotations": { "lab.mtv-test.io/results-port": "4711" } }, "status": { "podIP": "127.0.0.1" } });
        assert_eq!(url(&moved, Port::Results, "/vm").as_deref(), Some("http://127.0.0.1:4711/vm"));
        assert_eq!(url(&json!({}), Port::Results, "/vm"), None);
    }
}
