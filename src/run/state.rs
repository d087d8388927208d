//! What the steps of one scenario hand to each other.

use std::sync::Arc;

use mtv_api::forklift::PlanStatus;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use tokio_util::sync::CancellationToken;

use crate::{
    config::scenario::ScenarioVm,
    forklift::NetworkTarget,
    providers::VmDescription,
    verify::{LabelledNode, Offloaded},
};

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
    /// Whether the file with the run's text was written into its guest.
    pub marked: bool,
}

/// What the steps know of one Plan of the scenario.
#[derive(Debug, Clone, Default)]
pub struct PlanState {
    /// Its status when its Migration had ended.
    pub status: Option<PlanStatus>,
    /// The step of the pipeline that all its VMs failed in, as the scenario expects it.
    pub failed_in: Option<String>,
    /// How the array copied its disks; `None` without copy-offload.
    pub offload: Option<Offloaded>,
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
    /// The node that was labelled for its VMs.
    pub node: Option<LabelledNode>,
    /// UIDs of its Plans, in the same order as `plans`; empty before they are created.
    pub plan_uids: Vec<String>,
    /// Its Plans in the order of [`crate::config::scenario::Scenario::plans`]; empty before the migration.
    pub plans: Vec<PlanState>,
    /// A step did not pass, and nobody interrupted it.
    pub went_wrong: bool,
    /// What there is to collect of that has been collected.
    pub collected: bool,
    /// Of the step that runs, or was the last one and did not pass: what tells an interrupt from a failure.
    unfinished: Option<CancellationToken>,
}

impl ScenarioState {
    /// A step begins. One before that was dropped when its time was up has left its mark.
    pub fn begin(&mut self, cancel: &CancellationToken) {
        let failed = self.unfinished.replace(cancel.clone()).is_some_and(|earlier| !earlier.is_cancelled());
        self.went_wrong |= failed;
    }

    /// The step passed.
    pub fn passed(&mut self) {
        self.unfinished = None;
    }

    /// Descriptions of all source VMs.
    pub fn sources(&self) -> Vec<&VmDescription> {
        self.vms.iter().map(|vm| &vm.source).collect()
    }

    /// The clones of one Plan.
    pub fn of_plan(&self, plan: usize) -> impl Iterator<Item = &Migrating> {
        self.vms.iter().filter(move |vm| vm.wish.plan == plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_known_to_the_next_step_and_an_interrupt_is_none() {
        let cancel = CancellationToken::new();
        let mut state = ScenarioState::default();
        state.begin(&cancel);
        state.passed();
        state.begin(&cancel);
        assert!(!state.went_wrong, "the step before passed");
        state.begin(&cancel);
        assert!(state.went_wrong, "the step before ended without having passed");
        let mut state = ScenarioState::default();
        state.begin(&cancel);
        cancel.cancel();
        state.begin(&CancellationToken::new());
        assert!(!state.went_wrong, "the step before was interrupted");
    }
}
