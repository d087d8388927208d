//! Status of a Plan: what a migration does, VM by VM and step by step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::condition::Condition;

/// Status of a Plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanStatus {
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Generation that the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<PlanMigration>,
}

/// Execution of a Plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanMigration {
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
    /// One per Migration that ran, the last is the active one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// Virtual machines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vms: Vec<VmStatus>,
}

/// A Migration that ran or runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryEntry {
    /// Executing, Succeeded, Failed or Canceled.
    pub conditions: Vec<Condition>,
    /// References of that time: plan, migration, provider, map.
    #[serde(flatten)]
    pub refs: serde_json::Map<String, Value>,
}

/// A virtual machine of an execution. Fields of the Plan's VM are inlined by the controller; they land in `rest`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VmStatus {
    /// Inventory id.
    pub id: String,
    /// Name in the source.
    pub name: String,
    /// Name in the destination where it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_name: Option<String>,
    /// Itinerary phase, such as `CopyDisks`.
    pub phase: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
    /// Steps.
    pub pipeline: Vec<StepStatus>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// Precopies of a warm migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm: Option<WarmStatus>,
    /// `On`, `Off` or `Unknown`: what the source's power was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_power_state: Option<String>,
    /// Guest id found by virt-v2v.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operating_system: Option<String>,
    /// Pending, Succeeded, Failed, Canceled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Everything else, kept on a round trip.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

impl VmStatus {
    /// Name of the VirtualMachine that is or will be created.
    pub fn target_name(&self) -> &str {
        self.new_name.as_deref().filter(|n| !n.is_empty()).unwrap_or(&self.name)
    }

    /// Transferred and total mebibytes over the steps that move disks; the step that is furthest counts.
    pub fn transferred(&self) -> Option<(i64, i64)> {
        self.pipeline
            .iter()
            .filter(|s| s.name.starts_with("DiskTransfer") || s.name == "DiskAllocation" && s.progress.total > 1)
            .map(|s| (s.progress.completed, s.progress.total))
            .rfind(|(_, total)| *total > 0)
    }
}

/// A step of the pipeline, or a task (one disk) of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepStatus {
    /// Such as `DiskTransfer`; a disk's identity for a task.
    pub name: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `Pending`, `Running`, `Completed`; not monotonic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Why it waits, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// RFC 3339; the only reliable sign that a step is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
    /// Done and total, in mebibytes where `annotations.unit` is `MB`.
    pub progress: Progress,
    /// Such as `unit`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// Disks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<StepStatus>,
}

/// Done and total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Done.
    pub completed: i64,
    /// Total.
    pub total: i64,
}

/// What went wrong in a step or VM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepError {
    /// Phase at that moment.
    pub phase: String,
    /// Texts.
    pub reasons: Vec<String>,
}

/// Precopies of a warm migration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WarmStatus {
    /// Precopies that worked.
    pub successes: i64,
    /// Precopies that failed.
    pub failures: i64,
    /// Of these, the last ones in a row.
    pub consecutive_failures: i64,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_precopy_at: Option<String>,
    /// One per snapshot.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub precopies: Vec<Precopy>,
}

/// One precopy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Precopy {
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Managed object reference of the snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Everything else, kept on a round trip.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}
