//! Spec of a Plan from a scenario: what the CRD knows and nothing else.

use mtv_api::forklift::{ObjectRef, PlanMap, PlanSpec, PlanVm, ProviderPair};

use crate::config::scenario::{PowerWish, Scenario};

/// What a Plan is made of beside its scenario.
#[derive(Debug, Clone)]
pub struct PlanInput<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Source and destination.
    pub provider: ProviderPair,
    /// Maps.
    pub map: PlanMap,
    /// Where VMs are created.
    pub target_namespace: &'a str,
    /// Inventory id and name of each VM.
    pub vms: Vec<(String, String)>,
    /// Run id, the value of labels that are given none.
    pub run: &'a str,
}

/// Builds the spec.
pub fn plan_spec(input: PlanInput<'_>) -> PlanSpec {
    let scenario = input.scenario;
    PlanSpec {
        target_namespace: input.target_namespace.to_owned(),
        warm: scenario.warm_migration,
        provider: input.provider,
        map: input.map,
        vms: input.vms.into_iter().map(|(id, name)| PlanVm { id: Some(id), name: Some(name), ..PlanVm::default() }).collect(),
        preserve_static_ips: Some(scenario.preserve_static_ips),
        target_power_state: scenario.target_power_state.map(|p| if p == PowerWish::On { "on" } else { "off" }.to_owned()),
        target_labels: scenario.labels(input.run),
        ..PlanSpec::default()
    }
}

impl PlanInput<'_> {
    /// References to the maps, both of one name and namespace.
    pub fn maps(namespace: &str, storage: &str, network: &str) -> PlanMap {
        PlanMap { network: ObjectRef::new(namespace, network), storage: ObjectRef::new(namespace, storage) }
    }
}
