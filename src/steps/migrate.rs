//! Migrate: create the Migration of each Plan and follow the Plans until they have ended, as the scenario expects it.

use futures::future::join_all;
use jiff::Timestamp;
use mtv_api::{
    forklift::{ObjectRef, PlanStatus},
    kinds,
};

use super::{Scene, expected, offload};
use crate::{
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx, human},
    forklift::{self, Below, Cutover, Executed},
    run::{PlanState, ScenarioState},
    verify::Offloaded,
};

/// Runs the step.
pub async fn run(scene: &Scene<'_>, state: &mut ScenarioState, cx: &StepCx) -> Result<Vec<String>, Failure> {
    let session = scene.session;
    let scenario = scene.scenario;
    let delay = scenario.cutover_delay.unwrap_or(session.settings.cutover_delay);
    let cutover = if scenario.warm_migration { Cutover::After(delay) } else { Cutover::None };
    let names: Vec<String> = scene.plans().map(|plan| scene.object(plan)).collect();
    let mut made = Vec::new();
    for name in &names {
        // The controller compares the cutover with the cluster's clock, which this machine's may differ from.
        let now = session.cluster().clock().now().unwrap_or_else(Timestamp::now);
        let spec = forklift::migration_spec(ObjectRef::new(&session.namespace, name), cutover, now);
        let body = forklift::manifest(&kinds::MIGRATION, Some(&session.namespace), name, &spec);
        let created = session.owner.create(&kinds::MIGRATION, body, Some(&scenario.name)).await?;
        made.push((created.metadata.uid.unwrap_or_default(), spec.cutover));
    }
    let plans: Vec<Executed<'_>> =
        names.iter().zip(&made).map(|(plan, (migration, _))| Executed { namespace: &session.namespace, plan, migration }).collect();
    let limit = scenario.plan_wait_timeout.unwrap_or(session.settings.plan_wait_timeout);
    if plans.len() > 1 {
        forklift::all_at_once(session.cluster(), cx, &session.namespace, &plans).await?;
    }
    let namespace = state.target_namespace.as_str();
    let below: Vec<Below> = scene.plans().map(|plan| scene.below(state, plan)).collect();
    let following = plans.iter().copied().zip(&below).enumerate().map(|(plan, (executed, below))| async move {
        let following = forklift::follow(session.cluster(), cx, executed, limit);
        let following = forklift::watching(session.cluster(), cx, below, following);
        if !scenario.plans.get(plan).is_some_and(|plan| plan.copyoffload) {
            return following.await.map(|status| (status, None));
        }
        Box::pin(offload::follow(scene, cx, namespace, executed.plan, executed.migration, limit, following))
            .await
            .map(|(status, done)| (status, Some(done)))
    });
    let ended = join_all(following).await;
    let mut notes = Vec::new();
    let mut failures = Vec::new();
    for (plan, (executed, result)) in plans.iter().zip(ended).enumerate() {
        let judged = result.and_then(|(status, offload)| {
            let (done, told) = judge(scene, *executed, status, offload.as_ref())?;
            Ok((PlanState { offload, ..done }, told))
        });
        match judged {
            Ok((done, told)) => {
                let cutover = made[plan].1.as_deref();
                let precopies = done.status.iter().flat_map(|status| precopies(status, cutover));
                for precopy in precopies {
                    if let Some(warning) = precopy.warning {
                        cx.warn(scene.of_plan(plan, &warning));
                    }
                    notes.push(scene.of_plan(plan, &precopy.note));
                }
                state.plans.push(done);
                notes.extend(told.iter().map(|note| scene.of_plan(plan, note)));
            }
            Err(Failure::Failed(trouble)) => {
                failures.push(Failure::Failed(forklift::explain(session.cluster(), cx, &below[plan], trouble).await));
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
fn judge(
    scene: &Scene<'_>,
    executed: Executed<'_>,
    status: PlanStatus,
    offload: Option<&Offloaded>,
) -> Result<(PlanState, Vec<String>), Failure> {
    let mut notes = durations(&status);
    let populators = offload.map(|offload| forklift::failures(&offload.copies)).unwrap_or_default();
    let failed_in = match &scene.scenario.expect_failure {
        None if forklift::succeeded(&status, executed.migration) => {
            no_precopy(scene.scenario.warm_migration, &status)?;
            None
        }
        None => return Err(Failure::Failed(forklift::trouble_of(&status, executed, &populators))),
        Some(wanted) => {
            let step = expected::judge(wanted, &status, executed, &populators).map_err(Failure::Failed)?;
            notes.push(format!("failed in step {step}, as the scenario expects"));
            notes.extend(populators.into_iter().map(|failure| failure.said));
            Some(step)
        }
    };
    Ok((PlanState { status: Some(status), failed_in, offload: None }, notes))
}

/// A warm migration copies the disks at least once while the source runs. One that succeeded without was not a warm one.
fn no_precopy(warm: bool, status: &PlanStatus) -> Result<(), Failure> {
    let vms = status.migration.iter().flat_map(|m| &m.vms);
    let without: Vec<&str> =
        vms.filter(|vm| warm && vm.warm.as_ref().is_none_or(|warm| warm.successes < 1)).map(|vm| vm.name.as_str()).collect();
    if without.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(
        Diagnosis::new(Id::MigrationNoPrecopy, format!("the Plan is warm and succeeded, but no precopy of VM {} did", without.join(", ")))
            .hint("a warm migration copies the disks while the source VM runs; look at status.migration.vms[].warm of the Plan"),
    ))
}

/// What is told of the precopies of a VM.
#[derive(Debug, PartialEq, Eq)]
struct Precopies {
    note: String,
    warning: Option<String>,
}

/// How many precopies each VM of a warm migration had. Forklift cuts over only after a precopy: a cutover that lies before the end
/// of the first one leaves no changes to be copied while the source runs, which is a warm migration in name only.
fn precopies(status: &PlanStatus, cutover: Option<&str>) -> Vec<Precopies> {
    let time = |text: Option<&str>| text.and_then(|text| text.parse::<Timestamp>().ok());
    let vms = status.migration.iter().flat_map(|m| &m.vms);
    vms.filter_map(|vm| {
        let warm = vm.warm.as_ref()?;
        let first_ended = time(warm.precopies.first().and_then(|precopy| precopy.end.as_deref()));
        let at = cutover.map(|cutover| format!(", cutover set to {cutover}")).unwrap_or_default();
        let note = format!("VM {}: {} precopies succeeded, {} failed{at}", vm.name, warm.successes, warm.failures);
        let early = matches!((time(cutover), first_ended), (Some(cutover), Some(ended)) if cutover < ended);
        let warning = (early && warm.successes < 2).then(|| {
            format!(
                "VM {}: the cutover came before the first precopy had ended, so no changes were copied while the source ran; a longer cutover_delay tests more",
                vm.name
            )
        });
        Some(Precopies { note, warning })
    })
    .collect()
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
            (Some(Failure::Failed(first)), Failure::Failed(second)) => Failure::Failed(first.and(second)),
            (Some(Failure::Errored(first)), Failure::Errored(second) | Failure::Failed(second)) => Failure::Errored(first.and(second)),
            (Some(Failure::Failed(first)), Failure::Errored(second)) => Failure::Errored(second.and(first)),
        });
    }
    worst
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(warm: Value) -> PlanStatus {
        serde_json::from_value(
            json!({ "migration": { "vms": [{ "id": "vm-1", "name": "a", "phase": "Completed", "pipeline": [], "warm": warm }] } }),
        )
        .unwrap()
    }

    #[test]
    fn a_cutover_before_the_first_precopy_ended_is_reported() {
        let warm = |successes: i64| {
            json!({ "successes": successes, "failures": 0, "consecutiveFailures": 0,
                "precopies": [{ "start": "2026-01-01T10:00:00Z", "end": "2026-01-01T10:05:00Z" }, { "start": "2026-01-01T10:06:00Z" }] })
        };
        for (successes, cutover, early) in [
            (1, "2026-01-01T10:04:59Z", true),
            (1, "2026-01-01T10:05:00Z", false),
            (1, "2026-01-01T12:00:00Z", false),
            (2, "2026-01-01T10:00:00Z", false),
        ] {
            let told = precopies(&status(warm(successes)), Some(cutover));
            assert_eq!(told.len(), 1);
            assert_eq!(told[0].note, format!("VM a: {successes} precopies succeeded, 0 failed, cutover set to {cutover}"));
            assert_eq!(told[0].warning.is_some(), early, "{successes} {cutover}");
        }
        assert_eq!(precopies(&status(Value::Null), None), []);
    }

    #[test]
    fn a_warm_success_without_a_precopy_is_a_failure() {
        let none = json!({ "successes": 0, "failures": 0, "consecutiveFailures": 0 });
        let one = json!({ "successes": 1, "failures": 0, "consecutiveFailures": 0 });
        for (warm, told, passes) in [(true, &one, true), (true, &none, false), (true, &Value::Null, false), (false, &Value::Null, true)] {
            assert_eq!(no_precopy(warm, &status(told.clone())).is_ok(), passes, "{warm} {told}");
        }
    }
}
