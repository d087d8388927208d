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

/// Follows a Plan until its Migration has ended, telling progress on the way. Returns the Plan's last status.
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
    let status = cluster
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
        })?;
    match end_of(&status) {
        Some("Succeeded") => Ok(status),
        end => Err(Failure::Failed(trouble_of(&status, namespace, plan, end.unwrap_or("ended")))),
    }
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
fn trouble_of(status: &PlanStatus, namespace: &str, plan: &str, end: &str) -> Trouble {
    let vms = status.migration.as_ref().map(|m| m.vms.as_slice()).unwrap_or_default();
    let mut details = Vec::new();
    let mut first = None;
    for vm in vms {
        let step = vm.pipeline.iter().find(|s| s.error.is_some());
        let reasons: Vec<&str> = step
            .and_then(|s| s.error.as_ref())
            .into_iter()
            .chain(vm.error.as_ref())
            .flat_map(|e| &e.reasons)
            .map(String::as_str)
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        let place = step.map_or_else(|| vm.error.as_ref().map_or("no step", |e| e.phase.as_str()), |s| s.name.as_str());
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
        let trouble = trouble_of(&status, "ns", "p", end_of(&status).unwrap());
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
