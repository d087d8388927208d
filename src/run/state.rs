//! What the steps of one scenario hand to each other.

use std::sync::Arc;

use mtv_api::forklift::PlanStatus;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use crate::{config::scenario::ScenarioVm, forklift::NetworkTarget, providers::VmDescription};

/// Clones that are being made for a scenario. An interrupt drops the step that waits for them, but a source goes on: what
/// cleans up waits until they are finished, else they would appear behind it.
#[derive(Debug, Clone, Default)]
pub struct ClonesUnderWay(Arc<RwLock<()>>);

impl ClonesUnderWay {
    /// Held as long as a clone is being made.
    pub async fn begin(&self) -> OwnedRwLockReadGuard<()> {
        self.0.clone().read_owned().await
    }

    /// Waits until none is being made; the caller bounds the time.
    pub async fn finished(&self) {
        drop(self.0.write().await);
    }
}

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
