//! Run settings, layered: command line, environment, file, default.

use std::{path::PathBuf, time::Duration};

/// Settings of a run, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name of the provider profile.
    pub source_provider: Option<String>,
    /// File with the provider profiles.
    pub providers: PathBuf,
    /// Folder with scenario files that add to the embedded ones or replace them.
    pub scenarios: Option<PathBuf>,
    /// StorageClass of all maps.
    pub storage_class: Option<String>,
    /// Namespace of the MTV operator.
    pub mtv_namespace: String,
    /// Prefix of the run's namespace.
    pub target_namespace_prefix: String,
    /// `controller_precopy_interval`, whole minutes.
    pub snapshots_interval: Duration,
    /// From the start of the migrate step to the cutover of a warm migration.
    pub cutover_delay: Duration,
    /// Longest wait for a migration.
    pub plan_wait_timeout: Duration,
    /// Longest wait for a Provider to become Ready.
    pub provider_ready_timeout: Duration,
    /// Longest wait for a Plan to become Ready.
    pub plan_ready_timeout: Duration,
    /// Longest wait for a clone to appear in the inventory.
    pub inventory_timeout: Duration,
    /// Longest wait for one object's deletion, and for a virtual machine to start or stop.
    pub object_timeout: Duration,
    /// Longest time for all attempts to log in to a guest.
    pub ssh_timeout: Duration,
    /// Folder that holds a folder per run.
    pub results_dir: PathBuf,
    /// Scenarios at the same time.
    pub jobs: usize,
    /// Leave everything in place at the end.
    pub skip_teardown: bool,
}

impl Default for Settings {
    /// Durations are those of mtv-api-tests, which labs of this kind are tuned to.
    fn default() -> Self {
        Self {
            source_provider: None,
            providers: PathBuf::from("providers.toml"),
            scenarios: None,
            storage_class: None,
            mtv_namespace: "openshift-mtv".to_owned(),
            target_namespace_prefix: "mtv-test".to_owned(),
            snapshots_interval: Duration::from_mins(2),
            cutover_delay: Duration::from_mins(5),
            plan_wait_timeout: Duration::from_hours(1),
            provider_ready_timeout: Duration::from_mins(10),
            plan_ready_timeout: Duration::from_mins(6),
            inventory_timeout: Duration::from_mins(5),
            object_timeout: Duration::from_mins(4),
            ssh_timeout: Duration::from_mins(5),
            results_dir: PathBuf::from("mtv-test-results"),
            jobs: 4,
            skip_teardown: false,
        }
    }
}
