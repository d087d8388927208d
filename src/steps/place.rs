//! Node placement: a worker node gets the label that the scenario's VMs ask for: the one with the most free memory, as
//! monitoring has it, or the first one where monitoring does not tell. A node has one value of a label, so where another run has
//! given it another one, the next node is taken.

use kube::api::DynamicObject;
use mtv_api::kinds;
use serde_json::{Value, json};

use super::Scene;
use crate::{
    cluster::ObjectExt as _,
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx},
    run::{Changed, Field, Shared},
    verify::LabelledNode,
};

/// Label of worker nodes.
const WORKER: &str = "node-role.kubernetes.io/worker";

/// Labels a node, if the scenario has a target_node_selector. Scenarios of one run that ask for the same label share its node.
pub async fn label_node(scene: &Scene<'_>, cx: &StepCx) -> Result<Option<LabelledNode>, Failure> {
    let session = scene.session;
    let Some((key, value)) = scene.scenario.node_label(session.run()) else { return Ok(None) };
    let mut labelled = session.labelled_nodes.lock().await;
    if let Some(node) = labelled.iter().find(|node| node.key == key && node.value == value) {
        return Ok(Some(node.clone()));
    }
    let pointer = format!("/metadata/labels/{}", key.replace('~', "~0").replace('/', "~1"));
    let shared = Shared { cluster: session.cluster(), journal: session.journal(), run: session.run() };
    let mut refused = None;
    for node in by_memory(scene, cx).await? {
        let field = Field { kind: &kinds::NODE, namespace: None, name: &node, pointer: &pointer };
        if let Changed::Refused { by, value: other } = shared.set(field, &json!(value)).await? {
            refused = Some(format!("run {by} has labelled Node {node} with {key}={other}, this run needs {key}={value}"));
            continue;
        }
        cx.progress(format!("labelled Node {node} with {key}={value}"), None);
        let node = LabelledNode { node, key, value };
        labelled.push(node.clone());
        return Ok(Some(node));
    }
    Err(Failure::Errored(
        Diagnosis::new(Id::ClusterNoNode, refused.unwrap_or_default())
            .hint("no worker is left for this run: give the scenario another key in target_node_selector, or a value that is unique"),
    ))
}

/// Workers that take pods, the one with the most free memory first.
async fn by_memory(scene: &Scene<'_>, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let cluster = scene.session.cluster();
    let nodes = cluster.list(&kinds::NODE, None, WORKER).await?;
    let mut workers: Vec<&str> = nodes.iter().filter(|node| takes_pods(node)).filter_map(|node| node.metadata.name.as_deref()).collect();
    workers.sort_unstable();
    if workers.is_empty() {
        return Err(Failure::Errored(
            Diagnosis::new(Id::ClusterNoNode, "the cluster has no worker node that takes pods")
                .evidence(format!("{} nodes have the label {WORKER}", nodes.len()))
                .hint("target_node_selector needs one that is Ready and not cordoned"),
        ));
    }
    match cluster.free_memory().await {
        Ok(free) => {
            let bytes = |node: &str| free.get(node).copied().unwrap_or(-1.0);
            // Of equal ones the first: the order of names stays where memory does not tell.
            workers.sort_by(|a, b| bytes(b).total_cmp(&bytes(a)));
        }
        Err(error) => {
            let why = Diagnosis::of_error(&error);
            cx.warn_with(
                format!("the worker node with the most free memory is not known, taking {}: {}", workers[0], why.line(": ")),
                why.hints,
            );
        }
    }
    Ok(workers.into_iter().map(str::to_owned).collect())
}

/// Whether new pods may go to a node.
fn takes_pods(node: &DynamicObject) -> bool {
    let ready = node.conditions().iter().any(|c| c.kind == "Ready" && c.is_true());
    let taints = node.at("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
    let kept_off = taints.iter().any(|taint| matches!(taint["effect"].as_str(), Some("NoSchedule" | "NoExecute")));
    ready && !kept_off && node.at("/spec/unschedulable") != Some(&Value::Bool(true))
}
