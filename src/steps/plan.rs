//! Plan: a node gets its label, its hooks and each Plan of the scenario are created, then awaited; a blocker ends the wait early.

use mtv_api::{
    forklift::{HookRef, ObjectRef},
    kinds,
};

use super::{Scene, place};
use crate::{
    engine::{Failure, StepCx},
    forklift::{self, PlanInput, PlannedVm},
    run::{ScenarioState, names},
};

/// Runs the step.
pub async fn run(scene: &Scene<'_>, state: &mut ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    let limit = session.settings.plan_ready_timeout;
    state.node = place::label_node(scene, cx).await?;
    let hooks = hooks(scene, cx).await?;
    for plan in scene.plans() {
        let name = scene.object(plan);
        let vm = |vm: &crate::run::Migrating| PlannedVm {
            id: vm.source.id.clone(),
            name: vm.source.name.clone(),
            namespace: vm.source.namespace.clone(),
            target_name: vm.wish.target_name.clone(),
        };
        let spec = forklift::plan_spec(PlanInput {
            scenario: scene.scenario,
            plan,
            kind: session.profile.kind(),
            provider: scene.providers()?,
            map: PlanInput::maps(&session.namespace, &name, &name),
            target_namespace: &state.target_namespace,
            vms: state.of_plan(plan).map(vm).collect(),
            hooks: hooks.clone(),
            run: session.run(),
        });
        let body = forklift::manifest(&kinds::PLAN, Some(&session.namespace), &name, &spec);
        let created = session.owner.create(&kinds::PLAN, body, Some(&scene.scenario.name)).await?;
        state.plan_uids.push(created.metadata.uid.unwrap_or_default());
    }
    let mut notes: Vec<String> = hooks.iter().map(|hook| format!("{} {}", hook.step, hook.hook.name)).collect();
    for plan in scene.plans() {
        let name = scene.object(plan);
        let waiting = forklift::wait_ready(session.cluster(), cx, &kinds::PLAN, &session.namespace, &name, limit);
        // Validation starts a pod of its own where there is a VDDK image.
        let ready = explained(scene, &scene.below(state, plan), cx, waiting).await?;
        notes.extend(warnings(&ready).into_iter().map(|warning| scene.of_plan(plan, &warning)));
    }
    Ok(notes)
}

/// Waits for something that Forklift does for a Plan; when it fails, what is below the Plan says why.
pub(super) async fn explained<T>(
    scene: &Scene<'_>,
    below: &forklift::Below,
    cx: &StepCx,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let cluster = scene.session.cluster();
    match forklift::watching(cluster, cx, below, work).await {
        Err(Failure::Failed(trouble)) => Err(Failure::Failed(forklift::explain(cluster, cx, below, trouble).await)),
        Err(Failure::Errored(trouble)) => Err(Failure::Errored(forklift::explain(cluster, cx, below, trouble).await)),
        done => done,
    }
}

/// Creates the scenario's Hooks and waits until they are Ready.
async fn hooks(scene: &Scene<'_>, cx: &StepCx) -> Result<Vec<HookRef>, Failure> {
    let session = scene.session;
    let scenario = scene.scenario;
    let mut made = Vec::new();
    for (step, suffix, hook) in [("PreHook", "pre-hook", &scenario.pre_hook), ("PostHook", "post-hook", &scenario.post_hook)] {
        let Some(hook) = hook else { continue };
        let name = names::plan_object(&scenario.name, Some(suffix));
        let body =
            forklift::manifest(&kinds::HOOK, Some(&session.namespace), &name, &forklift::hook_spec(&session.settings.hook_image, hook));
        session.owner.create(&kinds::HOOK, body, Some(&scenario.name)).await?;
        let limit = session.settings.plan_ready_timeout;
        forklift::wait_ready(session.cluster(), cx, &kinds::HOOK, &session.namespace, &name, limit).await?;
        made.push(HookRef { step: step.to_owned(), hook: ObjectRef::new(&session.namespace, &name) });
    }
    Ok(made)
}

/// Conditions of category Warn are worth a line in the report.
fn warnings(plan: &kube::api::DynamicObject) -> Vec<String> {
    use crate::cluster::ObjectExt as _;
    let warns = |c: &mtv_api::condition::Condition| c.is_true() && c.category == "Warn";
    plan.conditions().iter().filter(|c| warns(c)).map(|c| format!("warning {}: {}", c.kind, c.message)).collect()
}
