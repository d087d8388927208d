//! Forklift's words: maps, plans, migrations and the inventory, as payloads and as things to wait for.

mod access;
mod execution;
mod inventory;
mod maps;
mod migration;
mod obstacles;
mod plan;
mod populators;
mod ready;

pub use access::{access, settings};
pub use execution::Execution;
pub use inventory::Inventory;
pub use maps::{NetworkTarget, network_entries, storage_entries};
pub use migration::{
    Cutover, Executed, all_at_once, failed_step, follow, migration_spec, progress_of, reasons_of, standing_of, succeeded, trouble_of,
};
#[cfg(test)]
pub(crate) use obstacles::explained_by;
pub use obstacles::{Below, explain, watching};
pub use plan::{PlanInput, PlannedVm, hook_spec, plan_spec};
pub use populators::{Copied, Copies, PopulatorFailure, add_tasks, failures, read_last_logs, read_logs, wait_for_secret};
#[cfg(test)]
pub(crate) use ready::not_ready_of;
pub use ready::{SETTLE, wait_ready, wait_ready_unless};

use mtv_api::kinds::Kind;
use serde::Serialize;
use serde_json::{Value, json};

/// A manifest of a kind: what a create sends, before the owner's labels are added.
pub fn manifest(kind: &Kind, namespace: Option<&str>, name: &str, spec: &impl Serialize) -> Value {
    let mut metadata = json!({ "name": name });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.kind,
        "metadata": metadata,
        "spec": serde_json::to_value(spec).unwrap_or_default(),
    })
}
