//! Steps of a scenario: a closed list. A new flow adds a kind or a parameter here, not a special case in the engine.

use serde::Serialize;

/// One step of a scenario's pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Clone the source VMs, bring them to the wanted power, describe them, wait for the inventory, make networks.
    Prepare,
    /// Create the StorageMap.
    StorageMap,
    /// Create the NetworkMap.
    NetworkMap,
    /// Create the Plan and wait until it is Ready.
    Plan,
    /// Create the Migration and wait until it ends.
    Migrate,
    /// Check the migrated VMs against the source VMs.
    Verify,
    /// Delete the migrated VMs and the clones.
    CleanUp,
}

impl Step {
    /// Stable name, used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::StorageMap => "storage_map",
            Self::NetworkMap => "network_map",
            Self::Plan => "plan",
            Self::Migrate => "migrate",
            Self::Verify => "verify",
            Self::CleanUp => "clean_up",
        }
    }
}
