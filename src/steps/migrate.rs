//! Migrate: create the Migration and follow the Plan until it has ended.

use jiff::Timestamp;
use mtv_api::{forklift::ObjectRef, kinds};

use super::Scene;
use crate::{
    engine::{Failure, StepCx, human},
    forklift::{self, Cutover},
    run::{ScenarioState, names},
};

/// Runs the step.
pub async fn run(scene: &Scene<'_>, state: &mut ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    let name = names::object(&scene.scenario.name);
    let cutover = if scene.scenario.warm_migration { Cutover::After(session.settings.cutover_delay) } else { Cutover::None };
    let spec = forklift::migration_spec(ObjectRef::new(&session.namespace, &name), cutover, Timestamp::now());
    let body = forklift::manifest(&kinds::MIGRATION, Some(&session.namespace), &name, &spec);
    session.owner.create(&kinds::MIGRATION, body, Some(&scene.scenario.name)).await?;
    let limit = session.settings.plan_wait_timeout;
    let status = forklift::follow(session.cluster(), cx, &session.namespace, &name, &name, limit).await?;
    let mut notes = Vec::new();
    for vm in status.migration.iter().flat_map(|m| &m.vms) {
        let took = |started: &Option<String>, completed: &Option<String>| {
            let (from, to) = (started.as_ref()?.parse::<Timestamp>().ok()?, completed.as_ref()?.parse::<Timestamp>().ok()?);
            std::time::Duration::try_from(to.duration_since(from)).ok().map(human)
        };
        let steps: Vec<String> = vm
            .pipeline
            .iter()
            .map(|s| format!("{} {}", s.name, took(&s.started, &s.completed).unwrap_or_else(|| "not completed".to_owned())))
            .collect();
        notes.push(format!("VM {}: {}", vm.target_name(), steps.join(", ")));
    }
    state.migrated = Some(status);
    Ok(notes)
}
