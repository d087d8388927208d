//! Running a Plan: the Migration, its cutover, its progress and what went wrong in it.

use std::time::Duration;

use jiff::Timestamp;
use mtv_api::{
    condition::Conditions as _,
    forklift::{MigrationSpec, ObjectRef, PlanStatus, VmStatus},
    kinds,
};

use crate::{
    cluster::{Awaited, Cluster, ObjectExt, state_of},
    engine::{Failure, StepCx},
    events::Trouble,
};

/// How long the controller may take to notice a Migration. It looks every 3 s.
const NOTICE: Duration = Duration::from_mins(2);

/// When a warm migration cuts over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cutover {
    /// Cold: not at all.
    None,
    /// So long from now.
    After(Duration),
}

/// Spec of a Migration that is created now.
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

/// Waits until Plans run at the same time, which is what they are made for: it fails when one has ended before the others ran.
///
/// # Errors
/// A failed test that says of each Plan where it stands.
pub async fn all_at_once(cluster: &Cluster, cx: &StepCx, namespace: &str, plans: &[String]) -> Result<(), Failure> {
    cx.progress(format!("waiting for Plans {} to run at the same time", plans.join(" and ")), None);
    let mut standing = String::new();
    let awaited = Awaited { kind: &kinds::PLAN, namespace: Some(namespace), name: "", until: "to run at the same time", limit: NOTICE };
    let seen = cluster
        .wait_all(cx, awaited, |all| {
            let states: Vec<(&str, Option<&str>, bool)> = plans
                .iter()
                .map(|plan| {
                    let object = all.iter().find(|o| o.metadata.name.as_ref() == Some(plan));
                    let status = object.map(|o| o.status::<PlanStatus>()).unwrap_or_default();
                    (plan.as_str(), end_of(&status), status.conditions.holds("Executing").is_some())
                })
                .collect();
            let words = |(plan, end, executing): &(&str, Option<&str>, bool)| {
                format!("{plan} {}", end.unwrap_or(if *executing { "Executing" } else { "not started" }))
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
        Trouble::new(format!("Plans of the scenario did not run at the same time: {standing}"))
            .detail(problem)
            .hint("ForkliftController's controller_max_vm_inflight bounds how many VMs are migrated at once"),
    ))
}

/// Follows a Plan until its Migration has ended, telling progress on the way. Returns the Plan's last status, however it ended:
/// see [`succeeded`].
///
/// The Plan is what is watched: the controller writes it before the Migration, and a canceled Migration never gets a
/// completion time.
pub async fn follow(
    cluster: &Cluster,
    cx: &StepCx,
    namespace: &str,
    plan: &str,
    migration: &str,
    limit: Duration,
) -> Result<PlanStatus, Failure> {
    cx.progress(format!("waiting for the controller to notice Migration {namespace}/{migration}"), None);
    let awaited = |until, limit| Awaited { kind: &kinds::PLAN, namespace: Some(namespace), name: plan, until, limit };
    let noticed = cluster
        .wait(cx, awaited("to be executed", NOTICE), |object| {
            Ok(object.map(ObjectExt::status::<PlanStatus>).filter(|s| s.migration.is_some() || end_of(s).is_some()).map(drop))
        })
        .await;
    if let Err(failure) = noticed {
        let Failure::Errored(mut trouble) = failure else { return Err(failure) };
        let state = cluster.get(&kinds::MIGRATION, Some(namespace), migration).await?;
        trouble.details.push(format!("Migration {namespace}/{migration}: {}", state_of(state.as_ref())));
        trouble.hints.push(format!(
            "is forklift-controller alive? Look at: kubectl get migrations.forklift.konveyor.io -n {namespace} {migration} -o yaml"
        ));
        return Err(Failure::Failed(trouble));
    }
    let mut last = String::new();
    cluster
        .wait(cx, awaited("to end", limit), |object| {
            let Some(object) = object else {
                return Err(Failure::Failed(Trouble::new(format!("Plan {namespace}/{plan} was deleted while it ran"))));
            };
            let status: PlanStatus = object.status();
            let (doing, percent) = progress_of(&status);
            let line = format!("{doing} {percent:?}");
            if line != last {
                cx.progress(doing, percent);
                last = line;
            }
            Ok(end_of(&status).is_some().then_some(status))
        })
        .await
        .map_err(|failure| match failure {
            // A migration that does not end in time is the product's failure, not the environment's.
            Failure::Errored(trouble) => Failure::Failed(trouble.hint("a longer plan_wait_timeout helps if it was still moving")),
            other => other,
        })
}

/// Whether an execution ended well.
pub fn succeeded(status: &PlanStatus) -> bool {
    end_of(status) == Some("Succeeded")
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

/// Type of the condition that says how an execution ended.
fn end_of(status: &PlanStatus) -> Option<&'static str> {
    ["Succeeded", "Failed", "Canceled"].into_iter().find(|kind| status.conditions.holds(kind).is_some())
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

/// What went wrong, VM by VM: the step, its reasons, and how far the others came.
pub fn trouble_of(status: &PlanStatus, namespace: &str, plan: &str) -> Trouble {
    let end = end_of(status).unwrap_or("ended");
    let vms = status.migration.as_ref().map(|m| m.vms.as_slice()).unwrap_or_default();
    let mut details = Vec::new();
    let mut first = None;
    for vm in vms {
        let reasons = reasons_of(vm);
        let place = failed_step(vm).unwrap_or_else(|| vm.error.as_ref().map_or("no step", |e| e.phase.as_str()));
        if reasons.is_empty() {
            let conditions: Vec<_> = vm.conditions.iter().filter(|c| c.is_true()).map(|c| c.kind.as_str()).collect();
            details.push(format!("VM {}: phase {} {}", vm.name, vm.phase, conditions.join(", ")));
        } else {
            let line = format!("VM {} failed in step {place}: {}", vm.name, reasons.join("; "));
            first.get_or_insert_with(|| line.clone());
            details.push(line);
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
        details.push(format!("  pipeline: {}", steps.join(", ")));
        if let Some(warm) = &vm.warm {
            details.push(format!("  precopies: {} ({} succeeded, {} failed)", warm.precopies.len(), warm.successes, warm.failures));
        }
    }
    let blockers: Vec<_> =
        status.conditions.iter().filter(|c| c.is_blocker() || c.kind == end).map(|c| format!("{}: {}", c.kind, c.message)).collect();
    details.extend(blockers);
    Trouble {
        summary: first.unwrap_or_else(|| format!("Plan {namespace}/{plan} ended as {end}")),
        details,
        hints: vec![format!(
            "kubectl get plans.forklift.konveyor.io -n {namespace} {plan} -o yaml; logs of forklift-controller and of the virt-v2v pod tell more"
        )],
    }
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
        let trouble = trouble_of(&status, "ns", "p");
        assert_eq!(trouble.summary, "VM a failed in step DiskTransfer: no space");
        assert!(
            trouble.details[1].contains("Initialize done, DiskTransfer failed, VirtualMachineCreation not started"),
            "{:?}",
            trouble.details
        );
        let (doing, percent) = progress_of(&status);
        assert!(doing.starts_with("DiskTransfer"), "{doing}");
        assert_eq!(percent, Some(30.0));
    }
}
