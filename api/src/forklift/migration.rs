//! Migration.

use serde::{Deserialize, Serialize};

use super::{ObjectRef, SourceRef, VmStatus};
use crate::condition::Condition;

/// Spec of a Migration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MigrationSpec {
    /// The Plan to run.
    pub plan: ObjectRef,
    /// VMs to cancel, by id or name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cancel: Vec<SourceRef>,
    /// When a warm migration cuts over, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cutover: Option<String>,
    /// Cutover of single VMs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vm_cutover: Vec<VmCutover>,
    /// Go on at the conversion of an earlier, failed Migration.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub resume_conversion: bool,
}

/// Cutover of one VM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VmCutover {
    /// Inventory id.
    pub id: String,
    /// RFC 3339.
    pub cutover: String,
}

/// Status of a Migration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MigrationStatus {
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// RFC 3339; not set on a canceled Migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Generation that the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Copy of the Plan's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vms: Vec<VmStatus>,
}
