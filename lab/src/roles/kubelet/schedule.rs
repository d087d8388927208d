//! Which node a pod goes to, and its address there.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::roles::{Context, write};

/// Labels that say what a node can do, not where a user wants a pod: they need not be on the lab's nodes.
const CAPABILITIES: [&str; 2] = ["kubevirt.io/schedulable", "kubernetes.io/arch"];

/// The node for a pod: one that matches selector and required affinity, spread by the pod's UID.
pub(super) fn choose(pod: &Pod, nodes: &[Arc<Node>]) -> Option<String> {
    let mut fitting: Vec<_> = nodes.iter().filter(|node| fits(pod, node)).map(|node| node.name_any()).collect();
    fitting.sort();
    let spread = pod.uid().unwrap_or_default().bytes().map(usize::from).sum::<usize>();
    (!fitting.is_empty()).then(|| fitting.swap_remove(spread % fitting.len()))
}

fn fits(pod: &Pod, node: &Node) -> bool {
    let Some(spec) = &pod.spec else { return true };
    if node.spec.as_ref().is_some_and(|s| s.unschedulable == Some(true)) {
        return false;
    }
    let labels = node.labels();
    let selected = spec
        .node_selector
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key).map_or_else(|| CAPABILITIES.contains(&key.as_str()), |found| found == value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|r| r.node_selector_terms.iter().any(|term| matches(term, node)))
}

fn matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    let by_label = term.match_expressions.iter().flatten().all(|r| holds(r, node.labels().get(&r.key).map(String::as_str)));
    let name = node.name_any();
    by_label && term.match_fields.iter().flatten().all(|r| holds(r, (r.key == "metadata.name").then_some(name.as_str())))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|v| values.iter().any(|w| w == v));
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<i64>().ok());
    let bound = number(values.first().map(String::as_str));
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number(value).zip(bound).is_some_and(|(v, b)| v > b),
        "Lt" => number(value).zip(bound).is_some_and(|(v, b)| v < b),
        _ => false,
    }
}

/// Tells the API server the node, as a scheduler does.
pub(super) async fn bind(cx: &Context, pod: &Pod, node: &str) -> anyhow::Result<()> {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": { "name": name, "namespace": namespace, "uid": pod.uid() },
        "target": { "apiVersion": "v1", "kind": "Node", "name": node },
    });
    write::missing(post(&cx.client, format!("/api/v1/namespaces/{namespace}/pods/{name}/binding"), &binding).await?)?;
    Ok(())
}

async fn post(client: &Client, path: String, body: &Value) -> anyhow::Result<kube::Result<Value>> {
    let request = http::Request::post(path).header("content-type", "application/json").body(serde_json::to_vec(body)?)?;
    Ok(client.request(request).await)
}

/// An address in the cluster's pod network for a pod that nobody outside talks to: made from its UID, so that it stays.
pub(super) fn address(pod: &Pod) -> String {
    let uid = pod.uid().unwrap_or_default();
    let hash = uid.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, _] = hash.to_be_bytes();
    // OpenShift's default pod network is 10.128.0.0/14; .0 and .1 of a node's /23 are its own.
    format!("10.{}.{}.{}", 128 + (a % 4), b, c.clamp(2, 254))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, labels: &Value) -> Arc<Node> {
        Arc::new(serde_json::from_value(json!({ "metadata": { "name": name, "labels": labels } })).unwrap())
    }

    fn pod(spec: &Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "uid": "u" }, "spec": spec })).unwrap()
    }

    #[test]
    fn selector_and_affinity_decide() {
        let nodes = [node("a", &json!({ "zone": "1" })), node("b", &json!({ "zone": "2" }))];
        let selected = pod(&json!({ "containers": [], "nodeSelector": { "zone": "2", "kubevirt.io/schedulable": "true" } }));
        assert_eq!(choose(&selected, &nodes).as_deref(), Some("b"));
        let nowhere = pod(&json!({ "containers": [], "nodeSelector": { "zone": "3" } }));
        assert_eq!(choose(&nowhere, &nodes), None);
        let affine = |operator: &str, values: &Value| {
            let term = json!([{ "matchExpressions": [{ "key": "zone", "operator": operator, "values": values }] }]);
            pod(
                &json!({ "containers": [], "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": term } } } }),
            )
        };
        assert_eq!(choose(&affine("NotIn", &json!(["1"])), &nodes).as_deref(), Some("b"));
        assert_eq!(choose(&affine("Gt", &json!(["2"])), &nodes), None);
        assert_eq!(choose(&affine("DoesNotExist", &json!([])), &nodes), None);
    }
}
