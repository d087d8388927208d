//! Node placement: a worker node gets the label that the scenario's VMs ask for: the one with the most free memory, as
//! monitoring has it, or the first one where monitoring does not tell.

use kube::api::DynamicObject;
use mtv_api::kinds;
use serde_json::{Value, json};

use super::Scene;
use crate::{
    cluster::ObjectExt as _,
    engine::{Failure, StepCx},
    events::Trouble,
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
    let node = choose(scene, cx).await?;
    let pointer = format!("/metadata/labels/{}", key.replace('~', "~0").replace('/', "~1"));
    let shared = Shared { cluster: session.cluster(), journal: session.journal(), run: session.run() };
    let field = Field { kind: &kinds::NODE, namespace: None, name: &node, pointer: &pointer };
    if let Changed::Refused { by, value: other } = shared.set(field, &json!(value)).await? {
        return Err(Failure::Errored(
            Trouble::new(format!("run {by} has labelled Node {node} with {key}={other}, this run needs {key}={value}"))
                .hint("give the scenario another key in target_node_selector, or a value that is unique"),
        ));
    }
    cx.progress(format!("labelled Node {node} with {key}={value}"), None);
    let node = LabelledNode { node, key, value };
    labelled.push(node.clone());
    Ok(Some(node))
}

async fn choose(scene: &Scene<'_>, cx: &StepCx) -> Result<String, Failure> {
    let cluster = scene.session.cluster();
    let nodes = cluster.list(&kinds::NODE, None, WORKER).await?;
    let mut workers: Vec<&str> = nodes.iter().filter(|node| takes_pods(node)).filter_map(|node| node.metadata.name.as_deref()).collect();
    workers.sort_unstable();
    let Some(first) = workers.first() else {
        return Err(Failure::Errored(
            Trouble::new("the cluster has no worker node that takes pods")
                .detail(format!("{} nodes have the label {WORKER}", nodes.len()))
                .hint("target_node_selector needs one that is Ready and not cordoned"),
        ));
    };
    match cluster.free_memory().await {
        Ok(free) => {
            let most = workers.iter().filter_map(|node| free.get(*node).map(|bytes| (*bytes, *node)));
            // Of equal ones the first.
            let best = most.reduce(|best, next| if next.0 > best.0 { next } else { best });
            Ok(best.map_or(*first, |(_, node)| node).to_owned())
        }
        Err(error) => {
            cx.warn(format!("the worker node with the most free memory is not known, taking {first}: {error:#}"));
            Ok((*first).to_owned())
        }
    }
}

/// Whether new pods may go to a node.
fn takes_pods(node: &DynamicObject) -> bool {
    let ready = node.conditions().iter().any(|c| c.kind == "Ready" && c.is_true());
    let taints = node.at("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
    let kept_off = taints.iter().any(|taint| matches!(taint["effect"].as_str(), Some("NoSchedule" | "NoExecute")));
    ready && !kept_off && node.at("/spec/unschedulable") != Some(&Value::Bool(true))
}
