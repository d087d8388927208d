//! Running a Plan: the Migration, its cutover, its progress and what went wrong in it.

use std::time::Duration;

use jiff::Timestamp;
use mtv_api::{
    forklift::{MigrationSpec, ObjectRef, PlanStatus, VmStatus},
    kinds,
};

use super::{
    execution::{End, Execution, end_of_vm},
    populators::PopulatorFailure,
};
use crate::{
    cluster::{Awaited, Cluster, ObjectExt, state_of},
    diagnosis::{self, Diagnosis, Fact, Id, Speaker},
    engine::{Failure, StepCx},
};

/// How long the controller may take to notice a Migration. It looks every 3 s.
const NOTICE: Duration = Duration::from_mins(2);

/// When a warm migration cuts over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cutover {
    /// Cold: not at all.
    None,
    /// So long from now, by the cluster's clock.
    After(Duration),
}

/// Spec of a Migration that is created now. `now` is the cluster's time: the controller compares the cutover with its own clock.
pub fn migration_spec(plan: ObjectRef, cutover: Cutover, now: Timestamp) -> MigrationSpec {
    let cutover = match cutover {
        Cutover::None => None,
        Cutover::After(delay) => {
            let at = now.checked_add(jiff::SignedDuration::try_from(delay).unwrap_or_default()).unwrap_or(now);
            Some(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        }
    };
    MigrationSpec { plan, cutover, ..MigrationSpec::default() }
}

/// A Plan, and the Migration that executes it.
#[derive(Debug, Clone, Copy)]
pub struct Executed<'a> {
    /// Namespace of both.
    pub namespace: &'a str,
    /// Name of the Plan and of the Migration.
    pub plan: &'a str,
    /// UID of the Migration.
    pub migration: &'a str,
}

/// Waits until Plans run at the same time, which is what they are made for: it fails when one has ended before the others ran.
///
/// # Errors
/// A failed test that says of each Plan where it stands.
pub async fn all_at_once(cluster: &Cluster, cx: &StepCx, namespace: &str, plans: &[Executed<'_>]) -> Result<(), Failure> {
    let names: Vec<&str> = plans.iter().map(|executed| executed.plan).collect();
    cx.progress(format!("waiting for Plans {} to run at the same time", names.join(" and ")), None);
    let mut standing = String::new();
    let awaited = Awaited { kind: &kinds::PLAN, namespace: Some(namespace), name: "", until: "to run at the same time", limit: NOTICE };
    let seen = cluster
        .wait_all(cx, awaited, |all| {
            let states: Vec<(&str, Option<End>, bool)> = plans
                .iter()
                .map(|executed| {
                    let object = all.iter().find(|o| o.metadata.name.as_deref() == Some(executed.plan));
                    let status: PlanStatus = object.map(|o| o.status()).unwrap_or_default();
                    let execution = Execution::of(&status, executed.migration);
                    (executed.plan, execution.end(), execution.executing())
                })
                .collect();
            let words = |(plan, end, executing): &(&str, Option<End>, bool)| {
                format!("{plan} {}", end.map_or(if *executing { "Executing" } else { "not started" }, End::condition))
            };
            standing = states.iter().map(words).collect::<Vec<_>>().join(", ");
            Ok(if states.iter().all(|(_, end, executing)| end.is_none() && *executing) {
                Some(true)
            } else if states.iter().any(|(_, end, _)| end.is_some()) {
                Some(false)
            } else {
                None
            })
        })
        .await;
    let problem = match seen {
        Ok(true) => return Ok(()),
        Ok(false) => "one had ended before all others ran".to_owned(),
        Err(Failure::Errored(trouble)) => trouble.summary,
        Err(other) => return Err(other),
    };
    Err(Failure::Failed(
        Diagnosis::new(Id::MigrationNotConcurrent, format!("Plans of the scenario did not run at the same time: {standing}"))
            .cause(problem)
            .hint("ForkliftController's controller_max_vm_inflight bounds how many VMs are migrated at once"),
    ))
}

/// Follows a Plan until its Migration has ended, telling progress on the way. Returns the Plan's last status, however it ended:
/// see [`Execution::end`].
///
/// The Plan is what is watched: the controller writes it before the Migration, and a canceled Migration never gets a
/// completion time.
///
/// # Errors
/// The Plan was deleted, or the time is up: with the step, phase and percentage of each VM that had not ended.
pub async fn follow(cluster: &Cluster, cx: &StepCx, executed: Executed<'_>, limit: Duration) -> Result<PlanStatus, Failure> {
    let Executed { namespace, plan, migration } = executed;
    cx.progress(format!("waiting for the controller to notice Migration {namespace}/{plan}"), None);
    let awaited = |until, limit| Awaited { kind: &kinds::PLAN, namespace: Some(namespace), name: plan, until, limit };
    let deleted = || {
        Failure::Failed(
            Diagnosis::new(Id::ObjectDeleted, format!("Plan {namespace}/{plan} was deleted while it ran"))
                .about(format!("Plan {namespace}/{plan}")),
        )
    };
    let noticed = cluster
        .wait(cx, awaited("to be executed", NOTICE.min(limit)), |object| {
            let status: PlanStatus = object.ok_or_else(deleted)?.status();
            Ok(Execution::of(&status, migration).begun().then_some(()))
        })
        .await;
    if let Err(failure) = noticed {
        let Failure::Errored(mut trouble) = failure else { return Err(failure) };
        let state = cluster.get(&kinds::MIGRATION, Some(namespace), plan).await?;
        trouble.evidence.push(format!("Migration {namespace}/{plan}: {}", state_of(state.as_ref())));
        trouble.hints.push(format!(
            "is forklift-controller alive? Look at: kubectl get migrations.forklift.konveyor.io -n {namespace} {plan} -o yaml"
        ));
        trouble.id = Id::MigrationTimeout;
        return Err(Failure::Failed(trouble));
    }
    let mut last = String::new();
    let mut standing = Vec::new();
    let ended = cluster
        .wait(cx, awaited("to end", limit), |object| {
            let status: PlanStatus = object.ok_or_else(deleted)?.status();
            let (doing, percent) = progress_of(&status);
            let line = format!("{doing} {percent:?}");
            if line != last {
                cx.progress(doing, percent);
                last = line;
            }
            standing = standing_of(&status);
            Ok(Execution::of(&status, migration).end().is_some().then_some(status))
        })
        .await;
    ended.map_err(|failure| match failure {
        // A migration that does not end in time is the product's failure, not the environment's.
        Failure::Errored(mut trouble) => {
            trouble.id = Id::MigrationTimeout;
            trouble.causes.splice(0..0, standing);
            Failure::Failed(trouble.hint("a longer plan_wait_timeout helps if it was still moving"))
        }
        other => other,
    })
}

/// Whether an execution ended well.
pub fn succeeded(status: &PlanStatus, migration: &str) -> bool {
    Execution::of(status, migration).end() == Some(End::Succeeded)
}

/// The step of the pipeline that a VM failed in.
pub fn failed_step(vm: &VmStatus) -> Option<&str> {
    vm.pipeline.iter().find(|step| step.error.is_some()).map(|step| step.name.as_str())
}

/// Why a VM failed: the reasons of the step and of the VM, each once.
pub fn reasons_of(vm: &VmStatus) -> Vec<&str> {
    let step = vm.pipeline.iter().find_map(|step| step.error.as_ref());
    let reasons = step.into_iter().chain(vm.error.as_ref()).flat_map(|e| &e.reasons);
    reasons.map(String::as_str).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// What an execution does now, and the percentage of the disks that it has moved.
pub fn progress_of(status: &PlanStatus) -> (String, Option<f64>) {
    let vms = status.migration.as_ref().map(|m| m.vms.as_slice()).unwrap_or_default();
    let (done, total) = vms.iter().filter_map(VmStatus::transferred).fold((0, 0), |(d, t), (vd, vt)| (d + vd, t + vt));
    let percent = (total > 0).then(|| (done as f64 / total as f64 * 100.0).clamp(0.0, 100.0));
    let Some(vm) = vms.iter().find(|vm| vm.completed.is_none()).or(vms.first()) else { return ("migrating".to_owned(), None) };
    let step = vm.pipeline.iter().find(|s| s.started.is_some() && s.completed.is_none()).map_or("Initialize", |s| s.name.as_str());
    let precopies = vm.warm.as_ref().map(|w| w.precopies.len()).filter(|n| *n > 0).map(|n| format!(", precopy {n}")).unwrap_or_default();
    let many = if vms.len() > 1 {
        format!(", {} of {} VMs done", vms.iter().filter(|vm| vm.completed.is_some()).count(), vms.len())
    } else {
        String::new()
    };
    (format!("{step}: {}{precopies}{many}", vm.phase), percent)
}

/// Where each VM that has not ended stands: its step, phase, percentage, and why the step waits.
pub fn standing_of(status: &PlanStatus) -> Vec<String> {
    let vms = status.migration.as_ref().map(|m| m.vms.as_slice()).unwrap_or_default();
    let mut lines = Vec::new();
    for vm in vms.iter().filter(|vm| vm.completed.is_none()) {
        let Some(step) = vm.pipeline.iter().find(|step| step.started.is_some() && step.completed.is_none()) else {
            let reasons: Vec<&str> = vm.conditions.iter().filter(|c| c.is_true()).map(|c| c.message.as_str()).collect();
            let why = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
            lines.push(format!("VM {} is in no step of its pipeline, phase {}{why}", vm.name, vm.phase));
            continue;
        };
        let (done, total) = (step.progress.completed, step.progress.total);
        let percent = if total > 1 {
            let unit = if step.annotations.get("unit").is_some_and(|unit| unit == "MB") { " MiB" } else { "" };
            format!(", {:.0}% ({done} of {total}{unit})", done as f64 / total as f64 * 100.0)
        } else {
            String::new()
        };
        let reason = step.reason.as_deref().filter(|reason| !reason.is_empty()).map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("VM {} is in step {}, phase {}{percent}{reason}", vm.name, step.name, vm.phase));
        let waiting = step.tasks.iter().filter(|task| task.completed.is_none());
        lines.extend(waiting.filter_map(|task| {
            let why = task.reason.as_deref().filter(|reason| !reason.is_empty())?;
            Some(format!("  {} {}: {why}", task.name, task.phase.as_deref().unwrap_or("waits")))
        }));
    }
    lines
}

/// The id of a failure in a step of the pipeline.
fn id_of_step(step: Option<&str>) -> Id {
    match step {
        Some("PreHook" | "PostHook") => Id::MigrationHookFailed,
        Some("ImageConversion") => Id::MigrationConversionFailed,
        Some("DiskTransfer" | "DiskTransferV2v") => Id::MigrationDiskTransferFailed,
        Some("PreflightInspection") => Id::MigrationInspectionFailed,
        _ => Id::MigrationFailed,
    }
}

/// How Forklift begins its reason when a populator failed; the populator itself says why.
const REFERENCE: &str = "populator pod failed";

/// What went wrong, VM by VM: the step, its reasons, and how far the others came. `populators` is what failed populators said: the Plan
/// itself only says that a pod failed.
pub fn trouble_of(status: &PlanStatus, executed: Executed<'_>, populators: &[PopulatorFailure]) -> Diagnosis {
    let Executed { namespace, plan, migration } = executed;
    let execution = Execution::of(status, migration);
    let end = execution.end().map_or("ended", End::condition);
    let vms = status.migration.as_ref().map(|m| m.vms.as_slice()).unwrap_or_default();
    let mut causes: Vec<String> = populators.iter().map(ToString::to_string).collect();
    let mut facts: Vec<Fact> = populators.iter().map(|failure| Fact::said(Speaker::Populator, &failure.said)).collect();
    let mut first: Option<(Id, String)> = None;
    for vm in vms {
        let reasons = reasons_of(vm);
        facts.extend(reasons.iter().map(|reason| Fact::said(Speaker::Pipeline, *reason)));
        facts.extend(failed_step(vm).map(|step| Fact::FailedStep(step.to_owned())));
        let place = failed_step(vm).unwrap_or_else(|| vm.error.as_ref().map_or("no step", |e| e.phase.as_str()));
        let told = |end: End| vm.conditions.iter().find(|c| c.kind == end.condition() && c.is_true()).map(|c| c.message.as_str());
        let line = match end_of_vm(vm) {
            _ if !reasons.is_empty() => format!("VM {} failed in step {place}: {}", vm.name, reasons.join("; ")),
            End::Failed => format!("VM {} failed: {}", vm.name, told(End::Failed).unwrap_or("its status gives no reason")),
            End::Canceled => format!("VM {} was canceled: {}", vm.name, told(End::Canceled).unwrap_or_default()),
            End::Succeeded => {
                let conditions: Vec<_> = vm.conditions.iter().filter(|c| c.is_true()).map(|c| c.kind.as_str()).collect();
                causes.push(format!("VM {}: phase {} {}", vm.name, vm.phase, conditions.join(", ")));
                String::new()
            }
        };
        if !line.is_empty() {
            first.get_or_insert_with(|| match populators.first() {
                // The array's reason takes the place of the reference to it.
                Some(failure) if reasons.first().is_some_and(|reason| reason.starts_with(REFERENCE)) => {
                    (diagnosis::of_populator(&failure.said), format!("VM {} failed in step {place}: {failure}", vm.name))
                }
                _ if reasons.is_empty() && end_of_vm(vm) == End::Canceled => (Id::MigrationCanceled, line.clone()),
                _ => (id_of_step(failed_step(vm)), line.clone()),
            });
            causes.push(line);
        }
        let steps: Vec<String> = vm
            .pipeline
            .iter()
            .map(|s| {
                let mark = if s.error.is_some() {
                    "failed"
                } else if s.completed.is_some() {
                    "done"
                } else if s.started.is_some() {
                    "running"
                } else {
                    "not started"
                };
                format!("{} {mark}", s.name)
            })
            .collect();
        causes.push(format!("  pipeline: {}", steps.join(", ")));
        if let Some(warm) = &vm.warm {
            causes.push(format!("  precopies: {} ({} succeeded, {} failed)", warm.precopies.len(), warm.successes, warm.failures));
        }
    }
    let subject = format!("Plan {namespace}/{plan}");
    let (id, summary) = first.unwrap_or_else(|| {
        (
            if execution.end() == Some(End::Canceled) { Id::MigrationCanceled } else { Id::MigrationFailed },
            format!("{subject} ended as {end}"),
        )
    });
    let mut diagnosis = Diagnosis::new(id, summary).about(subject).hint(format!(
        "kubectl get plans.forklift.konveyor.io -n {namespace} {plan} -o yaml; logs of forklift-controller and of the virt-v2v pod tell more"
    ));
    diagnosis.causes = causes;
    diagnosis.facts = facts;
    diagnosis.evidence = execution.messages();
    diagnosis
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_cutover_is_written_in_utc_and_whole_seconds() {
        let now: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let spec = migration_spec(ObjectRef::new("a", "b"), Cutover::After(Duration::from_mins(5)), now);
        assert_eq!(spec.cutover.as_deref(), Some("2026-01-02T03:09:05Z"));
        assert_eq!(migration_spec(ObjectRef::default(), Cutover::None, now).cutover, None);
    }

    #[test]
    fn a_failure_names_vm_step_and_reason() {
        let status: PlanStatus = serde_json::from_value(json!({
            "conditions": [{"type": "Failed", "status": "True", "category": "Advisory", "message": "failed", "lastTransitionTime": ""}],
            "migration": {"vms": [{"id": "vm-1", "name": "a", "phase": "Completed", "error": {"phase": "CopyDisks", "reasons": ["no space"]},
                "pipeline": [{"name": "Initialize", "progress": {"completed": 0, "total": 1}, "started": "x", "completed": "y"},
                    {"name": "DiskTransfer", "progress": {"completed": 3, "total": 10}, "started": "x", "error": {"phase": "Running", "reasons": ["no space"]}},
                    {"name": "VirtualMachineCreation", "progress": {"completed": 0, "total": 1}}]}]}
        }))
        .unwrap();
        let trouble = trouble_of(&status, Executed { namespace: "ns", plan: "p", migration: "" }, &[]);
        assert_eq!(trouble.summary, "VM a failed in step DiskTransfer: no space");
        assert_eq!((trouble.id, trouble.subject.as_str()), (Id::MigrationDiskTransferFailed, "Plan ns/p"));
        assert!(
            trouble.causes[1].contains("Initialize done, DiskTransfer failed, VirtualMachineCreation not started"),
            "{:?}",
            trouble.causes
        );
        let (doing, percent) = progress_of(&status);
        assert!(doing.starts_with("DiskTransfer"), "{doing}");
        assert_eq!(percent, Some(30.0));
    }
}
