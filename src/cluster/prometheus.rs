//! OpenShift's monitoring: how much memory the nodes have left.

use std::collections::BTreeMap;

use anyhow::Context as _;
use http::StatusCode;
use serde::Deserialize;

use super::{Cluster, Service};

/// Namespace and Route of the querier.
const QUERIER: (&str, &str) = ("openshift-monitoring", "thanos-querier");

/// Memory that pods can have, node by node.
const ALLOCATABLE: &str = r#"kube_node_status_allocatable{resource="memory"}"#;

/// Memory that running pods have asked for, node by node.
const REQUESTED: &str = r#"sum by (node) (kube_pod_container_resource_requests{resource="memory"} and on (namespace, pod) (kube_pod_status_phase{phase="Running"} == 1))"#;

/// An answer of the query API, as far as it is an instant vector.
#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    result: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    /// Time, and the value as text.
    value: (f64, String),
}

impl Cluster {
    /// Bytes of memory that no running pod has asked for, by node; never less than zero.
    ///
    /// # Errors
    /// The cluster has no monitoring, or it does not answer this login.
    pub async fn free_memory(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        let monitoring = self.service(QUERIER.0, QUERIER.1, "monitoring").await?;
        let allocatable = query(&monitoring, ALLOCATABLE).await?;
        let requested = query(&monitoring, REQUESTED).await?;
        anyhow::ensure!(!allocatable.is_empty(), "monitoring knows no node's memory");
        Ok(free(allocatable, &requested))
    }
}

fn free(allocatable: BTreeMap<String, f64>, requested: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let left = |node: &str, all: f64| (all - requested.get(node).copied().unwrap_or_default()).max(0.0);
    allocatable.into_iter().map(|(node, all)| (node.clone(), left(&node, all))).collect()
}

async fn query(monitoring: &Service, query: &str) -> anyhow::Result<BTreeMap<String, f64>> {
    let what = || format!("failed to ask monitoring for `{query}`");
    let encoded: String =
        query.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
    let (status, body) = monitoring.read(&format!("/api/v1/query?query={encoded}")).await.with_context(what)?;
    if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
        return Err(anyhow::anyhow!("it refuses the cluster login ({status}); the role cluster-monitoring-view lets one in"))
            .with_context(what);
    }
    let answer: Answer = serde_json::from_slice(&body).with_context(|| format!("it answered {status}")).with_context(what)?;
    if answer.status != "success" {
        return Err(anyhow::anyhow!("it answered {status}: {}", answer.error)).with_context(what);
    }
    read(answer.data.result).with_context(what)
}

fn read(samples: Vec<Sample>) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut values = BTreeMap::new();
    for mut sample in samples {
        let value: f64 = sample.value.1.parse().with_context(|| format!("`{}` is no number", sample.value.1))?;
        if let Some(node) = sample.metric.remove("node") {
            // Several exporters may tell of one node: they tell the same.
            values.insert(node, value);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_read() {
        let answer: Answer = serde_json::from_str(
            r#"{"status":"success","data":{"resultType":"vector","result":[
                {"metric":{"node":"a","resource":"memory"},"value":[1700000000.1,"1e3"]},
                {"metric":{"node":"b"},"value":[1700000000.1,"500"]},
                {"metric":{},"value":[1700000000.1,"7"]}]}}"#,
        )
        .unwrap();
        let all = read(answer.data.result).unwrap();
        assert_eq!(all, BTreeMap::from([("a".to_owned(), 1000.0), ("b".to_owned(), 500.0)]));
        let left = free(all, &BTreeMap::from([("a".to_owned(), 300.0), ("b".to_owned(), 600.0)]));
        assert_eq!(left, BTreeMap::from([("a".to_owned(), 700.0), ("b".to_owned(), 0.0)]));
    }
}
