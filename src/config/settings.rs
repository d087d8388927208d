//! Run settings, layered: command line, environment, file, default.

use std::{path::PathBuf, time::Duration};

use super::protect::Rule;

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
    /// Longest time after the login until a guest has its static addresses.
    pub static_ips_timeout: Duration,
    /// Image that runs the playbooks of hooks.
    pub hook_image: String,
    /// Part of the API server's host name; given, remote scenarios run.
    pub remote_ocp_cluster: Option<String>,
    /// URL of the Jira that knows whether an issue is resolved.
    pub jira_url: Option<String>,
    /// File with the token of that Jira.
    pub jira_token_file: Option<PathBuf>,
    /// PEM file of certificates to trust for that Jira beside the system's.
    pub jira_ca_file: Option<PathBuf>,
    /// Folder that holds a folder per run.
    pub results_dir: PathBuf,
    /// Scenarios at the same time.
    pub jobs: usize,
    /// Leave everything in place at the end.
    pub skip_teardown: bool,
    /// URL of the API server, for a login by user and password.
    pub cluster_host: Option<String>,
    /// User of that login.
    pub cluster_username: Option<String>,
    /// Environment variable with the password of that login.
    pub cluster_password_env: Option<String>,
    /// File with the password of that login.
    pub cluster_password_file: Option<PathBuf>,
    /// PEM file of certificates to trust for that login.
    pub cluster_ca_file: Option<PathBuf>,
    /// Leave the certificates of the cluster, and of what it serves, unverified.
    pub insecure_verify_skip: bool,
    /// Send the login to an API server by `http://`.
    pub cluster_allow_plain_http: bool,
    /// Wins over `insecure_skip_verify` of the provider profile.
    pub source_provider_insecure_skip_verify: Option<bool>,
    /// Collect nothing when a scenario fails.
    pub skip_data_collector: bool,
    /// Folder for what is collected; unset: the run's own.
    pub data_collector_path: Option<PathBuf>,
    /// Longest time of one must-gather.
    pub must_gather_timeout: Duration,
    /// Clusters on which nothing may be created.
    pub protect: Vec<Rule>,
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
            static_ips_timeout: Duration::from_mins(11),
            hook_image: "quay.io/konveyor/hook-runner:latest".to_owned(),
            remote_ocp_cluster: None,
            jira_url: None,
            jira_token_file: None,
            jira_ca_file: None,
            results_dir: PathBuf::from("mtv-test-results"),
            jobs: 4,
            skip_teardown: false,
            cluster_host: None,
            cluster_username: None,
            cluster_password_env: None,
            cluster_password_file: None,
            cluster_ca_file: None,
            insecure_verify_skip: false,
            cluster_allow_plain_http: false,
            source_provider_insecure_skip_verify: None,
            skip_data_collector: false,
            data_collector_path: None,
            // `oc adm must-gather` gives up after the same time.
            must_gather_timeout: Duration::from_mins(10),
            protect: Vec::new(),
        }
    }
}
