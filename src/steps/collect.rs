//! What is collected of a scenario that went wrong, before its teardown takes it away: once, bounded in time, and never in the
//! way of the scenario's own verdict.

use crate::{
    engine::{Failure, StepCx},
    gather::{self, Target},
    journal::{Entry, Record},
    run::ScenarioState,
};

use super::Scene;
use mtv_api::kinds;

/// Collects, if there is a reason to. What does not work is a warning.
pub async fn after_failure(scene: &Scene<'_>, state: &mut ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    let settings = &session.settings;
    if !state.went_wrong || std::mem::replace(&mut state.collected, true) || settings.skip_data_collector {
        return Ok(Vec::new());
    }
    let results = session.journal().path().parent().unwrap_or_else(|| std::path::Path::new("."));
    let base = settings.data_collector_path.as_ref().map_or_else(|| results.join("must-gather"), |path| path.join(session.run()));
    let folder = base.join(&scene.scenario.name);
    // The plan that was made last is the one that the scenario was at; without one, everything can be the reason.
    let plan = |record: &Record| match &record.entry {
        Entry::Object { kind, namespace, name, scenario: Some(scenario), .. }
            if *kind == kinds::PLAN.kind && *scenario == scene.scenario.name =>
        {
            Some((namespace.clone(), name.clone()))
        }
        _ => None,
    };
    let plan = session.journal().snapshot().iter().rev().find_map(plan);
    let target = Target { plan, vm: None };
    match gather::gather(&session.owner, cx, &settings.mtv_namespace, &target, &folder, settings.must_gather_timeout).await {
        Ok(gathered) => {
            let notes = gathered.notes.into_iter().map(|note| format!("must-gather: {note}"));
            Ok(std::iter::once(format!("must-gather: {} files in {}", gathered.files, gathered.folder.display())).chain(notes).collect())
        }
        Err(Failure::Interrupted) => Err(Failure::Interrupted),
        Err(Failure::Failed(trouble) | Failure::Errored(trouble)) => {
            let why = std::iter::once(trouble.summary).chain(trouble.details).collect::<Vec<_>>().join(": ");
            cx.warn(format!("nothing could be collected: {why}"));
            Ok(Vec::new())
        }
    }
}
