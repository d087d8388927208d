//! How the execution of one Migration stands: judged by its own entry of the Plan's history and by its VMs.
//!
//! The conditions of the Plan alone are not enough. They are those of the newest Migration at best, one of an older Migration may
//! stay beside them, and a Plan of which one VM was canceled still counts as succeeded for Forklift.

use jiff::Timestamp;
use mtv_api::{
    condition::{Condition, Conditions as _},
    forklift::{HistoryEntry, PlanStatus, VmStatus},
};

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Every VM was migrated.
    Succeeded,
    /// The Plan or one of its VMs failed.
    Failed,
    /// The Plan or one of its VMs was canceled, and nothing failed.
    Canceled,
}

/// Types of the conditions that end an execution; a failure wins over everything else.
const ENDS: [End; 3] = [End::Failed, End::Canceled, End::Succeeded];

impl End {
    /// Type of its condition.
    pub const fn condition(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
        }
    }
}

/// The execution of one Migration, as its Plan's status describes it.
#[derive(Debug, Clone, Copy)]
pub struct Execution<'a> {
    status: &'a PlanStatus,
    /// Conditions of its own entry of the history; of the Plan where there is no history.
    own: Option<&'a [Condition]>,
    /// Whether no other Migration began later, so that the Plan's conditions are about this one.
    newest: bool,
}

impl<'a> Execution<'a> {
    /// The execution of the Migration with this UID.
    pub fn of(status: &'a PlanStatus, migration: &str) -> Self {
        let history = status.migration.as_ref().map(|m| m.history.as_slice()).unwrap_or_default();
        let entry = history.iter().rposition(|entry| uid_of(entry) == Some(migration));
        let own = match entry {
            Some(at) => Some(history[at].conditions.as_slice()),
            // Conditions of a Plan that never executed a Migration are its own: a blocker that was there too long.
            None if history.is_empty() => Some(status.conditions.as_slice()),
            None => None,
        };
        Self { status, own, newest: entry.is_none_or(|at| at + 1 == history.len()) }
    }

    /// Whether the controller has begun with it.
    pub fn begun(&self) -> bool {
        self.own.is_some_and(|own| own.holds("Executing").is_some()) || self.end().is_some()
    }

    /// Whether it runs.
    pub fn executing(&self) -> bool {
        self.begun() && self.end().is_none()
    }

    /// How it ended; none while it runs, and before it began.
    ///
    /// Failures win: an execution succeeded only if no condition of its own, of the Plan or of a VM says otherwise.
    pub fn end(&self) -> Option<End> {
        let own = self.own?;
        let runs = own.holds("Executing").is_some() || self.newest && self.status.conditions.holds("Executing").is_some();
        if runs {
            return None;
        }
        let end = ENDS.into_iter().find(|end| own.holds(end.condition()).is_some())?;
        if end != End::Succeeded {
            return Some(end);
        }
        let of_plan = ENDS.into_iter().find(|end| self.plan_says(*end)).unwrap_or(end);
        let of_vms = self.vms().iter().map(end_of_vm);
        let worst = of_vms.chain([of_plan]).min_by_key(|end| ENDS.iter().position(|other| other == end));
        worst.or(Some(end))
    }

    /// What the conditions say that end it, with their messages.
    pub fn messages(&self) -> Vec<String> {
        let of_plan = self.status.conditions.iter().filter(|c| c.is_blocker() || ENDS.iter().any(|end| c.kind == end.condition()));
        let own = self.own.unwrap_or_default().iter().filter(|c| c.is_true());
        let mut messages: Vec<String> = Vec::new();
        for condition in own.chain(of_plan.filter(|c| c.is_true())) {
            let message = format!("{}: {}", condition.kind, condition.message);
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
        messages
    }

    fn vms(&self) -> &'a [VmStatus] {
        self.status.migration.as_ref().map(|m| m.vms.as_slice()).unwrap_or_default()
    }

    /// Whether the Plan itself has this condition, and did not get it before this execution began.
    fn plan_says(&self, end: End) -> bool {
        let Some(condition) = self.newest.then(|| self.status.conditions.holds(end.condition())).flatten() else { return false };
        let time = |text: Option<&str>| text.and_then(|text| text.parse::<Timestamp>().ok());
        let started = time(self.status.migration.as_ref().and_then(|m| m.started.as_deref()));
        match (time(Some(&condition.last_transition_time)), started) {
            (Some(since), Some(started)) => since >= started,
            // What has no time cannot be proved to be old.
            _ => true,
        }
    }
}

/// How a VM ended, of an execution that has ended.
pub fn end_of_vm(vm: &VmStatus) -> End {
    if vm.error.is_some() || vm.pipeline.iter().any(|step| step.error.is_some()) {
        return End::Failed;
    }
    ENDS.into_iter().find(|end| vm.conditions.holds(end.condition()).is_some()).unwrap_or(End::Succeeded)
}

/// UID of the Migration that an entry of the history is about.
fn uid_of(entry: &HistoryEntry) -> Option<&str> {
    entry.refs.get("migration")?.get("uid")?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use End::{Canceled, Failed, Succeeded};

    fn conditions(kinds: &[&str]) -> Value {
        kinds.iter().map(|kind| json!({ "type": kind, "status": "True", "category": "Advisory", "message": format!("m {kind}") })).collect()
    }

    fn entry(migration: &str, kinds: &[&str]) -> Value {
        json!({ "migration": { "uid": migration }, "conditions": conditions(kinds) })
    }

    fn vm(kinds: &[&str]) -> Value {
        json!({ "id": "vm-1", "name": "a", "phase": "Completed", "pipeline": [], "conditions": conditions(kinds) })
    }

    fn status(plan: &[&str], history: Vec<Value>, vms: Vec<Value>) -> PlanStatus {
        serde_json::from_value(json!({
            "conditions": conditions(plan),
            "migration": { "started": "2026-01-01T00:00:00Z", "history": history, "vms": vms },
        }))
        .unwrap()
    }

    #[test]
    fn judges_a_migration_by_its_own_history_and_its_vms() {
        let failed = || vec![entry("old", &["Failed"])];
        let with = |mut history: Vec<Value>, kinds: &[&str]| {
            history.push(entry("mine", kinds));
            history
        };
        let broken = json!({ "id": "vm-1", "name": "a", "phase": "Completed", "error": { "phase": "CopyDisks", "reasons": ["x"] }, "pipeline": [], "conditions": conditions(&["Succeeded"]) });
        let broken_step = json!({ "id": "vm-1", "name": "a", "phase": "Completed", "pipeline": [
            { "name": "DiskTransfer", "progress": { "completed": 0, "total": 1 }, "error": { "phase": "Running", "reasons": ["x"] } }] });
        for (name, status, begun, end) in [
            ("nothing happened yet", status(&["Ready"], vec![], vec![]), false, None),
            ("only an older one ran", status(&["Ready", "Failed"], failed(), vec![vm(&["Failed"])]), false, None),
            ("it runs", status(&["Executing"], with(vec![], &["Executing"]), vec![vm(&[])]), true, None),
            ("a stale Failed beside Executing", status(&["Executing", "Failed"], with(vec![], &["Executing"]), vec![]), true, None),
            ("a stale Failed while it runs", status(&["Failed"], with(failed(), &["Executing"]), vec![]), true, None),
            ("the entry is written before the Plan", status(&["Executing"], with(vec![], &["Succeeded"]), vec![]), false, None),
            ("success", status(&["Succeeded"], with(vec![], &["Succeeded"]), vec![vm(&["Succeeded"])]), true, Some(Succeeded)),
            (
                "success after a failure",
                status(&["Succeeded"], with(failed(), &["Succeeded"]), vec![vm(&["Succeeded"])]),
                true,
                Some(Succeeded),
            ),
            ("both", status(&["Succeeded", "Failed"], with(vec![], &["Succeeded"]), vec![vm(&["Succeeded"])]), true, Some(Failed)),
            ("both in the entry", status(&["Succeeded"], with(vec![], &["Succeeded", "Failed"]), vec![]), true, Some(Failed)),
            ("a VM with an error", status(&["Succeeded"], with(vec![], &["Succeeded"]), vec![broken]), true, Some(Failed)),
            ("a step with an error", status(&["Succeeded"], with(vec![], &["Succeeded"]), vec![broken_step]), true, Some(Failed)),
            ("a VM that failed", status(&["Succeeded"], with(vec![], &["Succeeded"]), vec![vm(&["Failed"])]), true, Some(Failed)),
            (
                "one of two VMs was canceled",
                status(&["Succeeded"], with(vec![], &["Succeeded"]), vec![vm(&["Succeeded"]), vm(&["Canceled"])]),
                true,
                Some(Canceled),
            ),
            ("canceled", status(&["Canceled"], with(vec![], &["Canceled"]), vec![vm(&["Canceled"])]), true, Some(Canceled)),
            ("its Migration was deleted", status(&["Ready"], with(vec![], &["Canceled"]), vec![vm(&["Canceled"])]), true, Some(Canceled)),
            ("failed", status(&["Failed"], with(vec![], &["Failed"]), vec![vm(&["Failed"])]), true, Some(Failed)),
            (
                "another Migration began after it",
                status(&["Executing"], vec![entry("mine", &["Failed"]), entry("new", &["Executing"])], vec![vm(&[])]),
                true,
                Some(Failed),
            ),
            ("a Plan without history that failed", status(&["Failed"], vec![], vec![]), true, Some(Failed)),
        ] {
            let execution = Execution::of(&status, "mine");
            assert_eq!((execution.begun(), execution.end()), (begun, end), "{name}");
        }
    }

    /// Plan states that a real forklift-controller (main of August 2026) wrote, in their order; see `recorded_plans.json`.
    #[test]
    fn recordings_of_a_real_controller_are_judged_migration_by_migration() {
        let recorded: std::collections::BTreeMap<String, Vec<PlanStatus>> =
            serde_json::from_str(include_str!("recorded_plans.json")).unwrap();
        for (name, migrations) in [
            ("cold-success-two-vms", vec![Succeeded]),
            ("warm-success", vec![Succeeded]),
            ("failure-then-retry", vec![Failed, Succeeded]),
            ("delete-migration-while-running", vec![Canceled, Succeeded]),
            ("cancel-cold-during-disk-transfer", vec![Canceled]),
            ("cancel-warm-during-disk-transfer", vec![Canceled]),
            ("prehook-fails", vec![Failed]),
            ("posthook-fails-then-archive", vec![Failed]),
            ("archive-after-success", vec![Succeeded]),
            ("migration-for-a-succeeded-plan", vec![Succeeded]),
        ] {
            let states = &recorded[name];
            let last = states.last().unwrap();
            let history = &last.migration.as_ref().unwrap().history;
            let uids: Vec<&str> = history.iter().map(|entry| uid_of(entry).unwrap()).collect();
            assert_eq!(uids.len(), migrations.len(), "{name}");
            for (uid, expected) in uids.iter().zip(migrations) {
                let ends: Vec<Option<End>> = states.iter().map(|status| Execution::of(status, uid).end()).collect();
                let first = ends.iter().position(Option::is_some).unwrap();
                assert!(first > 0, "{name}: ended before it began");
                assert!(ends[first..].iter().all(|end| *end == Some(expected)), "{name} {uid}: {ends:?}");
                let begun: Vec<bool> = states.iter().map(|status| Execution::of(status, uid).begun()).collect();
                assert!(begun.is_sorted(), "{name} {uid}: {begun:?}");
            }
            assert!(!states.iter().any(|status| Execution::of(status, "another").begun() && status.migration.is_some()), "{name}");
        }
    }

    #[test]
    fn a_condition_from_before_the_execution_does_not_count() {
        let judged = |since: &str| {
            let mut status = status(&["Succeeded", "Failed"], vec![entry("mine", &["Succeeded"])], vec![vm(&["Succeeded"])]);
            status.conditions[1].last_transition_time = since.to_owned();
            Execution::of(&status, "mine").end()
        };
        assert_eq!(judged("2025-12-31T23:59:59Z"), Some(End::Succeeded));
        assert_eq!(judged("2026-01-01T00:00:00Z"), Some(End::Failed));
        assert_eq!(judged("no time"), Some(End::Failed));
    }
}
