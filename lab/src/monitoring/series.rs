//! Series of kube-state-metrics, from the cluster's nodes and pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};

use super::Sample;
use crate::{roles::quantity, world::World};

/// Bytes of a MiB.
const MIB: f64 = 1_048_576.0;

/// All series at this moment.
pub(super) async fn collect(client: &Client, world: &World) -> anyhow::Result<Vec<Sample>> {
    let every = ListParams::default();
    let nodes = Api::<Node>::all(client.clone()).list(&every).await?;
    let pods = Api::<Pod>::all(client.clone()).list(&every).await?;
    let mut series = Vec::new();
    for node in &nodes {
        let memory = node.status.as_ref().and_then(|s| s.allocatable.as_ref()).and_then(|a| a.get("memory"));
        if let Some(bytes) = memory.and_then(|quantity| quantity::bytes(&quantity.0)) {
            let labels = [("node", node.name_any()), ("resource", "memory".to_owned()), ("unit", "byte".to_owned())];
            series.push(sample("kube_node_status_allocatable", labels, bytes as f64));
        }
    }
    for pod in &pods {
        tell(pod, &mut series);
    }
    // The cluster's own pods, which are no objects of the lab.
    for (node, mebibytes) in &world.datacenter.cluster.requested_mib {
        let pod = format!("prometheus-{node}");
        requested(&mut series, "openshift-monitoring", &pod, "prometheus", node, *mebibytes as f64 * MIB);
        phase(&mut series, "openshift-monitoring", &pod, "Running", true);
    }
    Ok(series)
}

fn tell(pod: &Pod, series: &mut Vec<Sample>) {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default();
    for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
        let memory = container.resources.as_ref().and_then(|r| r.requests.as_ref()).and_then(|r| r.get("memory"));
        if let Some(bytes) = memory.and_then(|quantity| quantity::bytes(&quantity.0)) {
            requested(series, &namespace, &name, &container.name, &node, bytes as f64);
        }
    }
    let now = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    for known in ["Pending", "Running", "Succeeded", "Failed", "Unknown"] {
        phase(series, &namespace, &name, known, known == now);
    }
}

fn requested(series: &mut Vec<Sample>, namespace: &str, pod: &str, container: &str, node: &str, bytes: f64) {
    let labels =
        [("namespace", namespace), ("pod", pod), ("container", container), ("node", node), ("resource", "memory"), ("unit", "byte")];
    series.push(sample("kube_pod_container_resource_requests", labels.map(|(key, value)| (key, value.to_owned())), bytes));
}

fn phase(series: &mut Vec<Sample>, namespace: &str, pod: &str, phase: &str, holds: bool) {
    let labels = [("namespace", namespace), ("pod", pod), ("phase", phase)].map(|(key, value)| (key, value.to_owned()));
    series.push(sample("kube_pod_status_phase", labels, f64::from(u8::from(holds))));
}

fn sample<const N: usize>(name: &str, labels: [(&str, String); N], value: f64) -> Sample {
    let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value));
    let labels: BTreeMap<_, _> = labels.chain([("__name__".to_owned(), name.to_owned())]).collect();
    Sample { labels, value }
}
