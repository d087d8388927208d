//! Progress of a Plan's execution as events: the difference between two statuses of the Plan.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mtv_api::forklift::{PlanStatus, StepStatus, VmStatus};

use super::execution::End;
use crate::events::{MigrationEnd, What};

/// Bytes of the unit in which Forklift counts copied data: it writes `MB` and means mebibytes.
const MEBIBYTE: u64 = 1 << 20;

impl From<End> for MigrationEnd {
    fn from(end: End) -> Self {
        match end {
            End::Succeeded => Self::Succeeded,
            End::Failed => Self::Failed,
            End::Canceled => Self::Canceled,
        }
    }
}

/// What was reported of an execution so far.
#[derive(Debug, Default)]
pub struct Progress {
    plan: String,
    begun: bool,
    ended: bool,
    vms: BTreeMap<String, Reported>,
}

/// What was reported of a VM.
#[derive(Debug, Default)]
struct Reported {
    /// Stages that started, and whether they ended.
    stages: BTreeMap<String, bool>,
    /// Last progress of each stage.
    copied: BTreeMap<String, (u64, u64)>,
    /// Precopies that ended.
    precopies: usize,
}

impl Progress {
    /// Of the Plan `namespace/name`.
    pub fn new(namespace: &str, plan: &str) -> Self {
        Self { plan: format!("{namespace}/{plan}"), ..Self::default() }
    }

    /// Events for everything that is new in a status of the Plan. `end` says how the execution ended, if it has.
    pub fn news(&mut self, status: &PlanStatus, end: Option<End>) -> Vec<What> {
        let vms = status.migration.as_ref().map(|migration| migration.vms.as_slice()).unwrap_or_default();
        let mut events = Vec::new();
        if !self.begun {
            self.begun = true;
            let vms = vms.iter().map(|vm| vm.name.clone()).collect();
            events.push(What::MigrationStarted { plan: self.plan.clone(), vms });
        }
        for vm in vms {
            let reported = self.vms.entry(vm.id.clone()).or_default();
            reported.news(&self.plan, vm, end.is_some(), &mut events);
        }
        if let Some(end) = end.filter(|_| !self.ended) {
            self.ended = true;
            events.push(What::MigrationFinished { plan: self.plan.clone(), end: end.into() });
        }
        events
    }
}

impl Reported {
    fn news(&mut self, plan: &str, vm: &VmStatus, over: bool, events: &mut Vec<What>) {
        let (plan, name) = (plan.to_owned(), vm.name.clone());
        let ended = vm.warm.iter().flat_map(|warm| &warm.precopies).filter(|precopy| precopy.end.is_some()).count();
        for number in self.precopies..ended {
            let number = u32::try_from(number + 1).unwrap_or(u32::MAX);
            events.push(What::PrecopyFinished { plan: plan.clone(), vm: name.clone(), number });
        }
        self.precopies = self.precopies.max(ended);
        for stage in vm.pipeline.iter().filter(|stage| stage.started.is_some()) {
            let started = || What::StageStarted { plan: plan.clone(), vm: name.clone(), stage: stage.name.clone() };
            let finished = self.stages.entry(stage.name.clone()).or_insert_with(|| {
                events.push(started());
                false
            });
            if let Some((done, total)) = copied(stage)
                && self.copied.insert(stage.name.clone(), (done, total)) != Some((done, total))
            {
                events.push(What::DiskProgress { plan: plan.clone(), vm: name.clone(), stage: stage.name.clone(), done, total });
            }
            // A failed stage never completes: it is over when it has an error and the execution is over.
            let end = match (&stage.error, &stage.completed) {
                (Some(_), completed) if completed.is_some() || over => Some(MigrationEnd::Failed),
                (None, Some(_)) => Some(MigrationEnd::Succeeded),
                _ => None,
            };
            if let Some(end) = end.filter(|_| !*finished) {
                *finished = true;
                events.push(What::StageFinished {
                    plan: plan.clone(),
                    vm: name.clone(),
                    stage: stage.name.clone(),
                    end,
                    took: took(stage),
                    reasons: stage.error.iter().flat_map(|error| error.reasons.clone()).collect(),
                });
            }
        }
    }
}

/// Bytes copied and to copy, for stages that count data.
fn copied(stage: &StepStatus) -> Option<(u64, u64)> {
    let counts_data = stage.annotations.get("unit").is_some_and(|unit| unit == "MB") && stage.progress.total > 0;
    let bytes = |count: i64| u64::try_from(count).unwrap_or_default().saturating_mul(MEBIBYTE);
    counts_data.then(|| (bytes(stage.progress.completed), bytes(stage.progress.total)))
}

fn took(stage: &StepStatus) -> Option<f64> {
    let time = |text: &Option<String>| text.as_ref()?.parse::<Timestamp>().ok();
    Some(time(&stage.completed)?.duration_since(time(&stage.started)?).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(pipeline: Value, warm: Value) -> PlanStatus {
        let vm = json!({ "id": "vm-1", "name": "a", "phase": "CopyDisks", "pipeline": pipeline, "warm": warm });
        serde_json::from_value(json!({ "migration": { "vms": [vm] } })).unwrap()
    }

    fn lines(events: &[What]) -> Vec<String> {
        events.iter().map(|event| serde_json::to_string(event).unwrap()).collect()
    }

    #[test]
    fn each_change_is_reported_once() {
        let mut progress = Progress::new("ns", "p");
        let initialize = json!({ "name": "Initialize", "started": "2026-01-01T10:00:00Z", "completed": "2026-01-01T10:00:05Z" });
        let disks = |completed: i64| {
            json!({ "name": "DiskTransfer", "started": "2026-01-01T10:00:05Z", "annotations": { "unit": "MB" },
                "progress": { "completed": completed, "total": 1024 } })
        };
        let later = json!({ "name": "ImageConversion" });
        let first = status(json!([initialize, disks(0), later]), Value::Null);
        assert_eq!(
            lines(&progress.news(&first, None)),
            [
                r#"{"event":"migration_started","plan":"ns/p","vms":["a"]}"#,
                r#"{"event":"stage_started","plan":"ns/p","vm":"a","stage":"Initialize"}"#,
                r#"{"event":"stage_finished","plan":"ns/p","vm":"a","stage":"Initialize","end":"succeeded","took":5.0}"#,
                r#"{"event":"stage_started","plan":"ns/p","vm":"a","stage":"DiskTransfer"}"#,
                r#"{"event":"disk_progress","plan":"ns/p","vm":"a","stage":"DiskTransfer","done":0,"total":1073741824}"#,
            ]
        );
        assert_eq!(lines(&progress.news(&first, None)), [""; 0]);
        let second = status(json!([initialize, disks(512), later]), Value::Null);
        assert_eq!(
            lines(&progress.news(&second, None)),
            [r#"{"event":"disk_progress","plan":"ns/p","vm":"a","stage":"DiskTransfer","done":536870912,"total":1073741824}"#]
        );
    }

    #[test]
    fn a_failed_stage_ends_with_the_execution() {
        let mut progress = Progress::new("ns", "p");
        let failed = status(
            json!([{ "name": "PreHook", "started": "2026-01-01T10:00:00Z", "error": { "phase": "PreHook", "reasons": ["boom"] } }]),
            Value::Null,
        );
        assert_eq!(progress.news(&failed, None).len(), 2, "Forklift may still try again");
        assert_eq!(
            lines(&progress.news(&failed, Some(End::Failed))),
            [
                r#"{"event":"stage_finished","plan":"ns/p","vm":"a","stage":"PreHook","end":"failed","reasons":["boom"]}"#,
                r#"{"event":"migration_finished","plan":"ns/p","end":"failed"}"#,
            ]
        );
        assert_eq!(lines(&progress.news(&failed, Some(End::Failed))), [""; 0]);
    }

    #[test]
    fn precopies_are_counted_when_they_end() {
        let mut progress = Progress::new("ns", "p");
        let warm = |ends: &[bool]| {
            let precopies: Vec<Value> = ends
                .iter()
                .map(|ended| json!({ "start": "2026-01-01T10:00:00Z", "end": ended.then_some("2026-01-01T10:01:00Z") }))
                .collect();
            status(json!([]), json!({ "successes": 0, "failures": 0, "consecutiveFailures": 0, "precopies": precopies }))
        };
        assert_eq!(progress.news(&warm(&[false]), None).len(), 1, "only that it started");
        assert_eq!(
            lines(&progress.news(&warm(&[true, false]), None)),
            [r#"{"event":"precopy_finished","plan":"ns/p","vm":"a","number":1}"#]
        );
        assert_eq!(
            lines(&progress.news(&warm(&[true, true]), None)),
            [r#"{"event":"precopy_finished","plan":"ns/p","vm":"a","number":2}"#]
        );
    }
}
