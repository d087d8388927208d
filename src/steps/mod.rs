//! Steps of a scenario: a closed list. A new flow adds a kind or a parameter here, not a special case in the engine.

mod clean_up;
pub mod collect;
mod expected;
mod maps;
mod migrate;
mod offload;
mod place;
mod plan;
mod prepare;
mod verify;

pub use maps::nad_body;
pub use offload::offload_rows;

use std::time::Duration;

use mtv_api::forklift::ProviderPair;

use serde::Serialize;

use crate::{
    config::{scenario::Scenario, settings::Settings},
    engine::{Failure, PlannedStep, StepCx},
    forklift::Below,
    run::{ClonesUnderWay, ScenarioState, Session, names, namespace_body},
};

/// One step of a scenario's pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Clone the source VMs, bring them to the wanted power, describe them, wait for the inventory.
    Prepare,
    /// Create the StorageMap.
    StorageMap,
    /// Create the networks that are needed and the NetworkMap.
    NetworkMap,
    /// Create the Plan and wait until it is Ready.
    Plan,
    /// Create the Migration and wait until it ends.
    Migrate,
    /// Check the migrated VMs against the source VMs.
    Verify,
    /// Delete the migrated VMs and the clones.
    CleanUp,
}

/// Time on top of a step's own waits, for requests and retries.
const SLACK: Duration = Duration::from_mins(3);

/// A source needs up to 20 minutes for a clone (mtv-api-tests); guests and inventory come on top.
const CLONE: Duration = Duration::from_mins(20);

impl Step {
    /// Stable name, used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::StorageMap => "storage_map",
            Self::NetworkMap => "network_map",
            Self::Plan => "plan",
            Self::Migrate => "migrate",
            Self::Verify => "verify",
            Self::CleanUp => "clean_up",
        }
    }

    /// The step as the engine runs it.
    pub fn planned(self, scenario: &Scenario, settings: &Settings) -> PlannedStep {
        let vms = u32::try_from(scenario.virtual_machines.len()).unwrap_or(u32::MAX);
        let plans = u32::try_from(scenario.plans.len()).unwrap_or(u32::MAX);
        let limit = match self {
            Self::Prepare => CLONE + scenario.inventory_timeout.unwrap_or(settings.inventory_timeout),
            Self::StorageMap | Self::NetworkMap | Self::Plan => settings.plan_ready_timeout.saturating_mul(plans),
            Self::Migrate => scenario.plan_wait_timeout.unwrap_or(settings.plan_wait_timeout),
            Self::Verify => {
                let addresses = if scenario.preserve_static_ips { settings.static_ips_timeout } else { Duration::ZERO };
                (scenario.guest_agent_timeout + settings.ssh_timeout + addresses + settings.object_timeout).saturating_mul(vms)
            }
            // What is collected of a failure comes before the deletions.
            Self::CleanUp if settings.skip_data_collector => settings.object_timeout.saturating_mul(4),
            Self::CleanUp => settings.object_timeout.saturating_mul(4) + settings.must_gather_timeout,
        };
        PlannedStep { name: self.name(), always: self == Self::CleanUp, limit: limit + SLACK }
    }

    /// Runs the step.
    pub async fn run(self, scene: &Scene<'_>, state: &mut ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
        let done = match self {
            Self::Prepare => prepare::run(scene, state, cx).await,
            Self::StorageMap => maps::storage(scene, state, cx).await,
            Self::NetworkMap => maps::network(scene, state, cx).await,
            Self::Plan => plan::run(scene, state, cx).await,
            Self::Migrate => migrate::run(scene, state, cx).await,
            Self::Verify => verify::run(scene, state, cx).await,
            Self::CleanUp => clean_up::run(scene, state, cx).await,
        };
        done.map_err(Failure::advised)
    }
}

/// Where a step plays: the run's session, its scenario and the scenario's place in the run.
pub struct Scene<'a> {
    /// What all scenarios share.
    pub session: &'a Session,
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Its number in the run.
    pub index: usize,
    /// Clones that are being made for it.
    pub clones: &'a ClonesUnderWay,
}

impl Scene<'_> {
    /// The scenario's Plans by number.
    fn plans(&self) -> std::ops::Range<usize> {
        0..self.scenario.plans.len()
    }

    /// Source and destination of its Plans.
    fn providers(&self) -> Result<ProviderPair, Failure> {
        let session = self.session;
        let pair = if self.scenario.remote { session.remote.as_ref() } else { Some(&session.providers) };
        pair.cloned().ok_or_else(|| anyhow::anyhow!("the set-up made no destination by URL and token").into())
    }

    /// Name of the objects that belong to one of its Plans.
    fn object(&self, plan: usize) -> String {
        names::plan_object(&self.scenario.name, self.scenario.plans.get(plan).and_then(|plan| plan.name.as_deref()))
    }

    /// Where to look for what keeps one of its Plans from going on.
    fn below(&self, state: &ScenarioState, plan: usize) -> Below {
        let session = self.session;
        Below {
            plan: state.plan_uids.get(plan).cloned().unwrap_or_default(),
            name: self.object(plan),
            namespaces: [session.namespace.clone(), state.target_namespace.clone()].into(),
            controller: session.settings.mtv_namespace.clone(),
        }
    }

    /// A note about one of its Plans: with the Plan's name where there are several.
    fn of_plan(&self, plan: usize, note: &str) -> String {
        match self.scenario.plans.get(plan).and_then(|plan| plan.name.as_deref()) {
            Some(name) => format!("{name}: {note}"),
            None => note.to_owned(),
        }
    }

    /// Creates a namespace of the scenario if it does not exist. One that another run of mtv-test has made is shared with it: the
    /// last one to leave deletes it. Any other that exists is used and left alone.
    async fn ensure_namespace(&self, name: &str, cx: &StepCx) -> Result<(), Failure> {
        let session = self.session;
        if name == session.namespace {
            return Ok(());
        }
        let _one_at_a_time = session.namespaces.lock().await;
        session.owner.shared_namespace(namespace_body(name), cx).await
    }
}
