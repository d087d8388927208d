//! Progress of DataVolumes, as their tasks show it.

use mtv_api::{
    forklift::{StepStatus, VmStatus},
    kinds::{Kind, POD, PVC},
};
use serde_json::Value;

use super::{Fatal, Run, itinerary::Facts, step, steps};
use crate::forklift::{builder::disks, cluster::Look, plan::Work};

/// Prefix of the annotation that CDI puts on a PVC when a checkpoint is copied.
const COPIED: &str = "cdi.kubevirt.io/storage.checkpoint.copied";

/// How many DataVolumes are where.
#[derive(Debug, Default)]
struct Count {
    pending: usize,
    running: usize,
    completed: usize,
    reason: String,
}

impl Run<'_, '_> {
    /// Updates the current step from its DataVolumes, or from its claims once those are gone.
    pub(super) async fn copy_progress(&mut self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<()> {
        let now = self.work.now();
        let volumes = disks::data_volumes(self.work, self.migration.uid(), &vm.id).await?;
        let claims = disks::claims(self.work, self.migration.uid(), &vm.id).await?;
        let Some(step) = step(facts, vm) else { return Ok(()) };
        let mut count = Count::default();
        let total = if volumes.is_empty() { claims.len() } else { volumes.len() };
        if volumes.is_empty() {
            for claim in &claims {
                let Some(task) = find(step, claim.annotation(disks::SOURCE)) else { continue };
                if claim.text("/status/phase") == "Bound" {
                    count.completed += 1;
                    steps::transferred(task, &now);
                } else {
                    populating(self.work, task, claim, &mut count, &now).await?;
                }
            }
        }
        for volume in &volumes {
            let Some(task) = find(step, volume.annotation(disks::SOURCE)) else { continue };
            let claim = match volume.text("/status/phase") {
                "Paused" => {
                    let cluster = &self.work.context.cluster;
                    cluster.get(&PVC, volume.text("/metadata/namespace"), volume.text("/status/claimName")).await?
                }
                _ => None,
            };
            update(task, volume, claim.as_ref(), &mut count, &now);
        }
        steps::reflect_tasks(step, &now);
        if count.pending > 0 {
            steps::phase(step, "Pending");
            step.reason = Some(count.reason).filter(|r| !r.is_empty());
        } else if count.running > 0 {
            steps::phase(step, "Running");
            step.reason = None;
        } else if count.completed == total || (!volumes.is_empty() && count.completed == 0) {
            // The real controller compares with the claims as well, which it does not count where there are volumes: a step
            // can read Completed before the first volume is, and without being completed.
            steps::phase(step, "Completed");
            step.reason = None;
        }
        Ok(())
    }
}

fn find<'s>(step: &'s mut StepStatus, source: Option<&str>) -> Option<&'s mut StepStatus> {
    let source = source?;
    step.tasks.iter_mut().find(|task| task.name == source)
}

/// Updates a task from its DataVolume.
fn update(task: &mut StepStatus, volume: &Value, claim: Option<&Value>, count: &mut Count, now: &str) {
    let cnd = |kind: &str| volume.items("/status/conditions").iter().find(|c| c.text("/type") == kind);
    let words = |c: &Value| format!("{}; {}", c.text("/reason"), c.text("/message"));
    match volume.text("/status/phase") {
        "Succeeded" | "PendingPopulation" => {
            count.completed += 1;
            steps::transferred(task, now);
        }
        "Paused" => {
            let snapshot = volume.items("/spec/checkpoints").last().map(|c| c.text("/current")).unwrap_or_default();
            if claim.is_some_and(|c| c.annotation(&format!("{COPIED}.{snapshot}")).is_some()) {
                count.completed += 1;
                steps::transferred(task, now);
            } else if claim.is_some() {
                count.pending += 1;
                steps::phase(task, "Pending");
                task.reason = Some("Waits for the checkpoint to be applied.".to_owned());
            }
        }
        "Pending" | "ImportScheduled" => {
            count.pending += 1;
            steps::phase(task, "Pending");
            let bound = cnd("Bound");
            let told = if bound.is_some_and(|c| c.text("/status") == "True") { cnd("Running") } else { bound };
            if let Some(told) = told {
                count.reason = words(told);
            }
            task.reason = Some(count.reason.clone()).filter(|r| !r.is_empty());
        }
        "ImportInProgress" => {
            count.running += 1;
            steps::phase(task, "Running");
            steps::start(task, now);
            if let Some(told) = cnd("Running") {
                task.reason = Some(words(told));
            }
            task.progress.completed = transferred(volume.text("/status/progress"), task.progress.total);
        }
        // A volume that failed is told by its importer's pod only.
        _ => {}
    }
}

/// Updates a task from the populator of its claim and the populator's pod.
async fn populating(work: &Work<'_>, task: &mut StepStatus, claim: &Value, count: &mut Count, now: &str) -> anyhow::Result<()> {
    let cluster = &work.context.cluster;
    let namespace = claim.text("/metadata/namespace");
    let source = claim.pointer("/spec/dataSourceRef").unwrap_or(&Value::Null);
    let api_version = format!("{}/v1beta1", source.text("/apiGroup"));
    let populator = match Kind::find(&api_version, source.text("/kind")) {
        Some(kind) => cluster.get(kind, namespace, source.text("/name")).await?,
        None => None,
    };
    let progress = populator.as_ref().map(|p| p.text("/status/progress")).unwrap_or_default();
    let pod = cluster.get(&POD, namespace, &format!("populate-{}", claim.uid())).await?;
    if progress.is_empty() && pod.is_some_and(|pod| pod.text("/status/phase") == "Failed") {
        let text = format!("populator pod failed for PVC {}. Please check the pod logs", claim.uid());
        steps::fail(task, &text);
        return Err(Fatal(text).into());
    }
    count.running += 1;
    steps::phase(task, "Running");
    steps::start(task, now);
    task.progress.completed = transferred(progress, task.progress.total);
    Ok(())
}

/// Mebibytes behind CDI's `12.34%`.
#[expect(clippy::cast_possible_truncation, reason = "between zero and the total")]
fn transferred(progress: &str, total: i64) -> i64 {
    let percent: f64 = progress.trim_end_matches('%').parse().unwrap_or_default();
    (percent.clamp(0.0, 100.0) / 100.0 * total as f64) as i64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::itinerary, *};

    fn volume(phase: &str, conditions: &Value) -> Value {
        json!({
            "spec": { "checkpoints": [{ "current": "s1" }, { "current": "s2" }] },
            "status": { "phase": phase, "progress": "50.00%", "conditions": conditions },
        })
    }

    #[test]
    fn a_task_follows_its_volume() {
        let mut task = itinerary::task("a", 100 << 20);
        let mut count = Count::default();
        update(
            &mut task,
            &volume("ImportScheduled", &json!([{ "type": "Bound", "status": "False", "reason": "r", "message": "m" }])),
            None,
            &mut count,
            "1",
        );
        assert_eq!((task.phase.as_deref(), task.reason.as_deref(), task.started.as_deref()), (Some("Pending"), Some("r; m"), None));
        update(&mut task, &volume("ImportInProgress", &json!([])), None, &mut count, "2");
        assert_eq!((task.progress.completed, task.started.as_deref()), (50, Some("2")));
        let claim = json!({ "metadata": { "annotations": { "cdi.kubevirt.io/storage.checkpoint.copied.s1": "x" } } });
        update(&mut task, &volume("Paused", &json!([])), Some(&claim), &mut count, "3");
        assert_eq!(task.completed, None, "an earlier checkpoint does not count");
        update(&mut task, &volume("Succeeded", &json!([])), None, &mut count, "4");
        assert_eq!((task.completed.as_deref(), task.progress.completed), (Some("4"), 100));
        assert_eq!((count.pending, count.running, count.completed), (2, 1, 1));
    }

    #[test]
    fn percent_is_read() {
        assert_eq!(transferred("12.50%", 1000), 125);
        assert_eq!(transferred("N/A", 1000), 0);
        assert_eq!(transferred("-0.00%", 1000), 0);
    }
}
