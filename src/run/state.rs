//! What the steps of one scenario hand to each other.

use mtv_api::forklift::PlanStatus;

use crate::{config::scenario::ScenarioVm, forklift::NetworkTarget, providers::VmDescription};

/// A clone that is to be migrated.
#[derive(Debug, Clone)]
pub struct Migrating {
    /// Its entry in the scenario.
    pub wish: ScenarioVm,
    /// Description right before the migration.
    pub source: VmDescription,
}

/// State of one scenario.
#[derive(Debug, Default)]
pub struct ScenarioState {
    /// Clones in the order of the scenario.
    pub vms: Vec<Migrating>,
    /// Where each source network goes, by its id.
    pub networks: Vec<(String, NetworkTarget)>,
    /// Namespace of the migrated VMs.
    pub target_namespace: String,
    /// Status of the Plan when its Migration had ended.
    pub migrated: Option<PlanStatus>,
}

impl ScenarioState {
    /// Descriptions of the source VMs.
    pub fn sources(&self) -> Vec<&VmDescription> {
        self.vms.iter().map(|vm| &vm.source).collect()
    }
}
