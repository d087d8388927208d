//! Migrate: create the Migration of each Plan and follow the Plans until they have ended, as the scenario expects it.

use futures::future::join_all;
use jiff::Timestamp;
use mtv_api::{
    forklift::{ObjectRef, PlanStatus},
    kinds,
};

use super::{Scene, expected, offload};
use crate::{
    engine::{Failure, StepCx, human},
    events::Trouble,
    forklift::{self, Cutover},
    run::{PlanState, ScenarioState},
    verify::Offloaded,
};

/// Runs the step.
pub async fn run(scene: &Scene<'_>, state: &mut ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    let scenario = scene.scenario;
    let delay = scenario.cutover_delay.unwrap_or(session.settings.cutover_delay);
    let cutover = if scenario.warm_migration { Cutover::After(delay) } else { Cutover::None };
    let plans: Vec<String> = scene.plans().map(|plan| scene.object(plan)).collect();
    let mut migrations = Vec::new();
    for name in &plans {
        let spec = forklift::migration_spec(ObjectRef::new(&session.namespace, name), cutover, Timestamp::now());
        let body = forklift::manifest(&kinds::MIGRATION, Some(&session.namespace), name, &spec);
        let made = session.owner.create(&kinds::MIGRATION, body, Some(&scenario.name)).await?;
        migrations.push(made.metadata.uid.unwrap_or_default());
    }
    let limit = scenario.plan_wait_timeout.unwrap_or(session.settings.plan_wait_timeout);
    if plans.len() > 1 {
        forklift::all_at_once(session.cluster(), cx, &session.namespace, &plans).await?;
    }
    let namespace = state.target_namespace.as_str();
    let follow = |(plan, name): (usize, &String)| {
        let (name, migration) = (name.clone(), migrations[plan].clone());
        async move {
            let following = forklift::follow(session.cluster(), cx, &session.namespace, &name, &name, limit);
            if !scenario.plans.get(plan).is_some_and(|plan| plan.copyoffload) {
                return following.await.map(|status| (status, None));
            }
            Box::pin(offload::follow(scene, cx, namespace, &name, &migration, limit, following))
                .await
                .map(|(status, done)| (status, Some(done)))
        }
    };
    let ended = join_all(plans.iter().enumerate().map(follow)).await;
    let mut notes = Vec::new();
    let mut failures = Vec::new();
    for (plan, (name, result)) in plans.iter().zip(ended).enumerate() {
        let judged = result.and_then(|(status, offload)| {
            let explained = |failure| match (failure, &offload) {
                (Failure::Failed(trouble), Some(offload)) => Failure::Failed(offload::explained(trouble, offload)),
                (failure, _) => failure,
            };
            let (done, told) = judge(scene, name, status, offload.as_ref()).map_err(explained)?;
            Ok((PlanState { offload, ..done }, told))
        });
        match judged {
            Ok((done, told)) => {
                state.plans.push(done);
                notes.extend(told.iter().map(|note| scene.of_plan(plan, note)));
            }
            Err(failure) => failures.push(failure),
        }
    }
    match worst(failures) {
        Some(failure) => Err(failure),
        None => Ok(notes),
    }
}

/// Whether a Plan ended as the scenario expects it, and what is worth telling.
fn judge(scene: &Scene<'_>, name: &str, status: PlanStatus, offload: Option<&Offloaded>) -> Result<(PlanState, Vec<String>), Failure> {
    let namespace = &scene.session.namespace;
    let mut notes = durations(&status);
    let failed_in = match &scene.scenario.expect_failure {
        None if forklift::succeeded(&status) => None,
        None => return Err(Failure::Failed(forklift::trouble_of(&status, namespace, name))),
        Some(wanted) => {
            let told: Vec<String> = offload.iter().flat_map(|o| o.copies.values()).filter_map(|copied| copied.failed.clone()).collect();
            let step = expected::judge(wanted, &status, namespace, name, &told).map_err(Failure::Failed)?;
            notes.push(format!("failed in step {step}, as the scenario expects"));
            notes.extend(told);
            Some(step)
        }
    };
    Ok((PlanState { status: Some(status), failed_in, offload: None }, notes))
}

/// How long each step of each VM took.
fn durations(status: &PlanStatus) -> Vec<String> {
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
    notes
}

/// One failure of several: an interrupt first, then what the environment did, then findings, all of them together.
fn worst(failures: Vec<Failure>) -> Option<Failure> {
    let mut worst: Option<Failure> = None;
    for failure in failures {
        worst = Some(match (worst, failure) {
            (None, only) => only,
            (Some(Failure::Interrupted), _) | (_, Failure::Interrupted) => Failure::Interrupted,
            (Some(Failure::Failed(first)), Failure::Failed(second)) => Failure::Failed(both(first, second)),
            (Some(Failure::Errored(first)), Failure::Errored(second) | Failure::Failed(second)) => Failure::Errored(both(first, second)),
            (Some(Failure::Failed(first)), Failure::Errored(second)) => Failure::Errored(both(second, first)),
        });
    }
    worst
}

/// Two troubles as one: the first is the summary.
fn both(mut first: Trouble, second: Trouble) -> Trouble {
    first.details.push(second.summary);
    first.details.extend(second.details);
    first.hints.extend(second.hints);
    first
}
