//! A run against a cluster and a source: its names, its session, what it owns, and how that is taken away again.

pub mod alive;
mod clean;
mod content;
mod execute;
mod migrated;
mod must_gather;
pub mod names;
mod offload;
mod owned;
pub(crate) mod proof;
mod protect;
mod remote;
mod removal;
mod session;
mod shared;
mod state;
mod teardown;
mod workload;

pub use clean::clean;
pub use execute::{execute, runtime};
pub use must_gather::must_gather;
pub use offload::{Offload, storage_secret};
pub use owned::Owner;
pub use session::{ClusterFacts, Session, cannot, connect_cluster, namespace_body, provider_failure, source_secret};
pub use shared::{Changed, Field, Shared};
pub use state::{ClonesUnderWay, Migrating, PlanState, ScenarioState};
pub use teardown::{Done, Sources, Teardown};
pub use workload::{MigrationRun, Planned};
