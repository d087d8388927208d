//! StorageMap and NetworkMap: created from what the source says of its VMs, then awaited.

use mtv_api::{
    forklift::{MapSpec, SourceRef},
    kinds,
};
use serde_json::json;

use super::Scene;
use crate::{
    engine::{Failure, StepCx},
    forklift::{self, NetworkTarget},
    providers::VmDescription,
    run::{ScenarioState, names},
};

/// Creates the StorageMap of each Plan.
pub async fn storage(scene: &Scene<'_>, state: &ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    let mut notes = Vec::new();
    for plan in scene.plans() {
        let sources: Vec<_> = state.of_plan(plan).map(|vm| &vm.source).collect();
        let class = &session.facts.storage_class;
        let offload = scene.scenario.plans.get(plan).is_some_and(|plan| plan.copyoffload);
        let map = if offload { super::offload::storage_entries(scene, class)? } else { forklift::storage_entries(&sources, class) };
        let spec = MapSpec { provider: scene.providers()?, map };
        create(scene, cx, &kinds::STORAGE_MAP, plan, &spec).await?;
        notes.extend(spec.map.iter().map(|e| {
            let from = name_of_storage(&sources, &e.source);
            let by = if e.offload_plugin.is_some() { ", copied by the array" } else { "" };
            let to = format!("{from} to {}{by}", e.destination.storage_class);
            scene.of_plan(plan, &to)
        }));
    }
    Ok(notes)
}

/// A storage as people know it: its name, with its id where the map has that.
fn name_of_storage(sources: &[&VmDescription], wanted: &SourceRef) -> String {
    let id = wanted.id.as_deref().unwrap_or_default();
    let named = sources.iter().flat_map(|vm| &vm.disks).find(|disk| !disk.storage.is_empty() && disk.storage_id == id && !id.is_empty());
    match (named, &wanted.name) {
        (Some(disk), _) => format!("{} ({id})", disk.storage),
        (None, Some(name)) => name.clone(),
        (None, None) => id.to_owned(),
    }
}

/// Creates the NetworkAttachmentDefinitions that are needed and the NetworkMap of each Plan. Plans share the networks.
pub async fn network(scene: &Scene<'_>, state: &mut ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    // Forklift takes a NetworkAttachmentDefinition from the VM's own namespace and from `default` only. The namespace of the
    // VMs exists since the step before.
    let nad_namespace = scene.scenario.multus_namespace.as_deref().unwrap_or(&state.target_namespace).to_owned();
    let nad_namespace = nad_namespace.as_str();
    scene.ensure_namespace(nad_namespace, cx).await?;
    let base = names::nad_base(session.run(), &scene.scenario.name);
    let (map, targets) = forklift::network_entries(&state.sources(), nad_namespace, &base);
    if map.is_empty() {
        return Err(Failure::Errored(
            crate::diagnosis::Diagnosis::new(crate::diagnosis::Id::SourceVmUnsuitable, "the source VMs have no network adapter")
                .hint("a migration needs at least one network to map"),
        ));
    }
    for (index, target) in targets.iter().enumerate() {
        if let NetworkTarget::Multus { namespace, name } = &target.1 {
            let body = nad_body(namespace, name, index);
            session.owner.create(&kinds::NAD, body, Some(&scene.scenario.name)).await?;
        }
    }
    for plan in scene.plans() {
        let used: Vec<&str> = state.of_plan(plan).flat_map(|vm| &vm.source.nics).map(|nic| nic.network_id.as_str()).collect();
        let rows = map.iter().zip(&targets).filter(|(_, (id, _))| used.contains(&id.as_str())).map(|(row, _)| row.clone());
        let spec = MapSpec { provider: scene.providers()?, map: rows.collect() };
        create(scene, cx, &kinds::NETWORK_MAP, plan, &spec).await?;
    }
    state.networks = targets;
    Ok(state.networks.iter().map(|(id, target)| format!("{id} to {target}")).collect())
}

/// Creates the map of a Plan and waits until it is Ready.
async fn create(
    scene: &Scene<'_>,
    cx: &StepCx,
    kind: &'static kinds::Kind,
    plan: usize,
    spec: &impl serde::Serialize,
) -> Result<(), Failure> {
    let session = scene.session;
    let name = scene.object(plan);
    let body = forklift::manifest(kind, Some(&session.namespace), &name, spec);
    session.owner.create(kind, body, Some(&scene.scenario.name)).await?;
    forklift::wait_ready(session.cluster(), cx, kind, &session.namespace, &name, session.settings.plan_ready_timeout).await?;
    Ok(())
}

/// A bridge network; the first one is the cluster's `cnv-bridge`, each further one has a bridge of its own name.
pub fn nad_body(namespace: &str, name: &str, index: usize) -> serde_json::Value {
    let config = if index == 1 {
        json!({"cniVersion": "0.3.1", "type": "cnv-bridge", "bridge": "cnv-bridge"})
    } else {
        json!({"cniVersion": "0.3.1", "type": "bridge", "bridge": name})
    };
    forklift::manifest(&kinds::NAD, Some(namespace), name, &json!({"config": config.to_string()}))
}
