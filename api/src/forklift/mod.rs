//! Forklift's custom resources, `forklift.konveyor.io/v1beta1`: the fields that client or lab write or read.
//!
//! Every field is optional on reading, so that one binary works with several MTV releases; what is unset is not written.

mod migration;
mod plan;
mod provider;
mod status;

pub use migration::{MigrationSpec, MigrationStatus, VmCutover};
pub use plan::{HookRef, PlanMap, PlanSpec, PlanVm};
pub use provider::{
    HookSpec, MapSpec, NetworkDestination, NetworkEntry, OffloadPlugin, ProviderPair, ProviderSpec, ProviderStatus, SourceRef, Status,
    StorageDestination, StorageEntry, VsphereXcopyConfig,
};
pub use status::{HistoryEntry, PlanMigration, PlanStatus, Precopy, Progress, StepError, StepStatus, VmStatus, WarmStatus};

use serde::{Deserialize, Serialize};

/// A reference to an object of a known kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct ObjectRef {
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

impl ObjectRef {
    /// Builds one.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { name: name.into(), namespace: namespace.into() }
    }
}
