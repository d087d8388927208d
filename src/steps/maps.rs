//! StorageMap and NetworkMap: created from what the source says of its VMs, then awaited.

use mtv_api::{forklift::MapSpec, kinds};
use serde_json::json;

use super::Scene;
use crate::{
    engine::{Failure, StepCx},
    forklift::{self, NetworkTarget},
    run::{ScenarioState, names},
};

/// Creates the StorageMap.
pub async fn storage(scene: &Scene<'_>, state: &ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    let spec =
        MapSpec { provider: session.providers.clone(), map: forklift::storage_entries(&state.sources(), &session.facts.storage_class) };
    let name = names::object(&scene.scenario.name);
    let body = forklift::manifest(&kinds::STORAGE_MAP, Some(&session.namespace), &name, &spec);
    session.owner.create(&kinds::STORAGE_MAP, body, Some(&scene.scenario.name)).await?;
    forklift::wait_ready(session.cluster(), cx, &kinds::STORAGE_MAP, &session.namespace, &name, session.settings.plan_ready_timeout)
        .await?;
    Ok(spec.map.iter().map(|e| format!("{} to {}", e.source.name.as_deref().unwrap_or_default(), e.destination.storage_class)).collect())
}

/// Creates the NetworkAttachmentDefinitions that are needed and the NetworkMap.
pub async fn network(scene: &Scene<'_>, state: &mut ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    let nad_namespace = scene.scenario.multus_namespace.as_deref().unwrap_or(&session.namespace);
    scene.ensure_namespace(nad_namespace, cx).await?;
    let base = names::nad_base(session.run(), &scene.scenario.name);
    let (map, targets) = forklift::network_entries(&state.sources(), nad_namespace, &base);
    if map.is_empty() {
        return Err(Failure::Errored(
            crate::events::Trouble::new("the source VMs have no network adapter").hint("a migration needs at least one network to map"),
        ));
    }
    for (index, target) in targets.iter().enumerate() {
        if let NetworkTarget::Multus { namespace, name } = &target.1 {
            let body = nad_body(namespace, name, index);
            session.owner.create(&kinds::NAD, body, Some(&scene.scenario.name)).await?;
        }
    }
    let spec = MapSpec { provider: session.providers.clone(), map };
    let name = names::object(&scene.scenario.name);
    let body = forklift::manifest(&kinds::NETWORK_MAP, Some(&session.namespace), &name, &spec);
    session.owner.create(&kinds::NETWORK_MAP, body, Some(&scene.scenario.name)).await?;
    forklift::wait_ready(session.cluster(), cx, &kinds::NETWORK_MAP, &session.namespace, &name, session.settings.plan_ready_timeout)
        .await?;
    state.networks = targets;
    Ok(state.networks.iter().map(|(id, target)| format!("{id} to {target}")).collect())
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
