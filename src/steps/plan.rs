//! Plan: created from the scenario, then awaited; a blocker ends the wait early.

use mtv_api::kinds;

use super::Scene;
use crate::{
    engine::{Failure, StepCx},
    forklift::{self, PlanInput},
    run::{ScenarioState, names},
};

/// Runs the step.
pub async fn run(scene: &Scene<'_>, state: &ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    let name = names::object(&scene.scenario.name);
    let spec = forklift::plan_spec(PlanInput {
        scenario: scene.scenario,
        provider: session.providers.clone(),
        map: PlanInput::maps(&session.namespace, &name, &name),
        target_namespace: &state.target_namespace,
        vms: state.sources().iter().map(|vm| (vm.id.clone(), vm.name.clone())).collect(),
        run: session.run(),
    });
    let body = forklift::manifest(&kinds::PLAN, Some(&session.namespace), &name, &spec);
    session.owner.create(&kinds::PLAN, body, Some(&scene.scenario.name)).await?;
    let limit = session.settings.plan_ready_timeout;
    let plan = forklift::wait_ready(session.cluster(), cx, &kinds::PLAN, &session.namespace, &name, limit).await?;
    Ok(warnings(&plan))
}

/// Conditions of category Warn are worth a line in the report.
fn warnings(plan: &kube::api::DynamicObject) -> Vec<String> {
    use crate::cluster::ObjectExt as _;
    let warns = |c: &mtv_api::condition::Condition| c.is_true() && c.category == "Warn";
    plan.conditions().iter().filter(|c| warns(c)).map(|c| format!("warning {}: {}", c.kind, c.message)).collect()
}
