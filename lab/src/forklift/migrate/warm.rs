//! Warm migrations: snapshots on the source, checkpoints of the DataVolumes, cutover.

use mtv_api::{
    forklift::{Precopy, VmStatus},
    kinds::DATA_VOLUME,
};
use serde_json::{Value, json};

use super::{Fatal, Outcome, Run, itinerary::Facts, step, steps};
use crate::forklift::{builder::disks, cluster::Look, source::TaskState};

impl Run<'_, '_> {
    /// Phases that only warm migrations have.
    pub(super) async fn warm_phase(&mut self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<Outcome> {
        match vm.phase.clone().as_str() {
            "CreateInitialSnapshot" | "CreateSnapshot" | "CreateFinalSnapshot" => {
                let task = self.snapshots().await?.create(&vm.id).await?;
                let now = self.work.now();
                let mut precopy = Precopy { start: Some(now.clone()), ..Precopy::default() };
                precopy.rest.insert("createTaskId".to_owned(), json!(task));
                let warm = vm.warm.get_or_insert_default();
                warm.precopies.push(precopy);
                let number = warm.precopies.len();
                if let Some(step) = step(facts, vm) {
                    step.completed = None;
                    for task in &mut step.tasks {
                        task.annotations.insert("Precopy".to_owned(), number.to_string());
                        (task.started, task.completed) = (None, None);
                        steps::start(task, &now);
                    }
                }
                Ok(Outcome::Next)
            }
            "WaitForInitialSnapshot" | "WaitForSnapshot" | "WaitForFinalSnapshot" => match self.task(last(vm), "createTaskId").await? {
                TaskState::Done(result) => {
                    if let Some(precopy) = vm.warm.as_mut().and_then(|w| w.precopies.last_mut()) {
                        precopy.snapshot = Some(result);
                    }
                    Ok(Outcome::Next)
                }
                TaskState::Failed(text) => Err(Fatal(format!("the snapshot failed: {text}")).into()),
                TaskState::Forgotten => Err(Fatal("the source does not know the task of the snapshot any more".to_owned()).into()),
                TaskState::Running => Ok(Outcome::Stay),
            },
            "StoreInitialSnapshotDeltas" | "StoreSnapshotDeltas" => {
                let snapshot = last(vm).and_then(|p| p.snapshot.clone()).unwrap_or_default();
                let deltas = self.snapshots().await?.deltas(&snapshot).await?;
                if let Some(precopy) = vm.warm.as_mut().and_then(|w| w.precopies.last_mut()) {
                    precopy.rest.insert("deltas".to_owned(), json!(deltas));
                }
                Ok(Outcome::Next)
            }
            "CopyingPaused" => Ok(self.paused(vm)),
            "RemovePreviousSnapshot" | "RemovePenultimateSnapshot" | "RemoveFinalSnapshot" => {
                let snapshot = last(vm).and_then(|p| p.snapshot.clone()).unwrap_or_default();
                let task = self.snapshots().await?.remove(&vm.id, &snapshot).await?;
                if let Some(precopy) = vm.warm.as_mut().and_then(|w| w.precopies.last_mut()) {
                    precopy.rest.insert("removeTaskId".to_owned(), json!(task));
                }
                Ok(Outcome::Next)
            }
            "WaitForPreviousSnapshotRemoval" | "WaitForPenultimateSnapshotRemoval" | "WaitForFinalSnapshotRemoval" => {
                match self.task(last(vm), "removeTaskId").await? {
                    // A task that vCenter forgot is over: it keeps them for ten minutes.
                    TaskState::Done(_) | TaskState::Forgotten => Ok(Outcome::Next),
                    TaskState::Failed(text) => Err(Fatal(format!("the snapshot was not removed: {text}")).into()),
                    TaskState::Running => Ok(Outcome::Stay),
                }
            }
            "AddCheckpoint" => {
                self.checkpoints(vm, false).await?;
                Ok(Outcome::Goto("CopyDisks"))
            }
            "AddFinalCheckpoint" => {
                self.checkpoints(vm, true).await?;
                Ok(Outcome::Goto("Finalize"))
            }
            other => Err(Fatal(format!("phase {other} is not known")).into()),
        }
    }

    /// Whether the time for the cutover or for the next precopy has come.
    fn paused(&self, vm: &VmStatus) -> Outcome {
        let own = self.migration.items("/spec/vmCutover").iter().find(|c| c.text("/id") == vm.id).map(|c| c.text("/cutover"));
        let cutover = own.unwrap_or_else(|| self.migration.text("/spec/cutover"));
        if !cutover.is_empty() && self.work.context.cutover_is_due(self.migration.uid(), cutover) {
            return Outcome::Goto("StorePowerState");
        }
        let now = self.work.context.world.clock.moment();
        let due = |time: &str| time.parse::<jiff::Timestamp>().is_ok_and(|at| at <= now);
        let next = vm.warm.as_ref().and_then(|w| w.next_precopy_at.as_deref());
        if next.is_some_and(due) { Outcome::Next } else { Outcome::Stay }
    }

    /// A precopy is through: the next one comes after the interval.
    pub(super) fn precopy_done(&self, vm: &mut VmStatus) {
        let now = self.work.now();
        let interval = self.work.context.scaled(self.work.settings.precopy_interval);
        let next = self.work.context.world.clock.moment().saturating_add(jiff::SignedDuration::try_from(interval).unwrap_or_default());
        let warm = vm.warm.get_or_insert_default();
        if let Some(precopy) = warm.precopies.last_mut() {
            precopy.end = Some(now);
        }
        warm.next_precopy_at = next.ok().map(|next| next.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        warm.successes += 1;
    }

    async fn task(&mut self, precopy: Option<&Precopy>, field: &str) -> anyhow::Result<TaskState> {
        let id = precopy.and_then(|p| p.rest.get(field)).and_then(Value::as_str).unwrap_or_default().to_owned();
        self.snapshots().await?.task(&id).await
    }

    /// Names the newest snapshot to the DataVolumes. `previous` is the change id that the snapshot before recorded.
    async fn checkpoints(&self, vm: &VmStatus, last_one: bool) -> anyhow::Result<()> {
        let precopies = vm.warm.as_ref().map(|w| w.precopies.as_slice()).unwrap_or_default();
        let current = precopies.last().and_then(|p| p.snapshot.clone()).unwrap_or_default();
        let before = precopies.len().checked_sub(2).and_then(|i| precopies.get(i));
        for volume in disks::data_volumes(self.work, self.migration.uid(), &vm.id).await? {
            let file = volume.text("/spec/source/vddk/backingFile");
            let deltas = before.and_then(|p| p.rest.get("deltas")).map(|d| d.items("")).unwrap_or_default();
            let previous = deltas.iter().find(|d| d.text("/disk") == file).map(|d| d.text("/deltaId")).unwrap_or_default();
            let mut list = volume.items("/spec/checkpoints").to_vec();
            if !list.iter().any(|c| c.text("/current") == current) {
                list.push(json!({ "current": current, "previous": previous }));
            }
            let mut spec = json!({ "checkpoints": list });
            if last_one {
                spec["finalCheckpoint"] = json!(true);
            }
            let (namespace, name) = (volume.text("/metadata/namespace"), volume.text("/metadata/name"));
            self.work.context.cluster.merge(&DATA_VOLUME, namespace, name, &json!({ "spec": spec })).await?;
        }
        Ok(())
    }
}

fn last(vm: &VmStatus) -> Option<&Precopy> {
    vm.warm.as_ref()?.precopies.last()
}
