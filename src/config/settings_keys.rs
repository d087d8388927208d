//! The one table of run settings: name, type, meaning, and where the value lands. The settings file, `MTV_TEST_*`, `--set`,
//! `mtv-test config` and the JSON schema all follow it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{duration, names::is_namespace, settings::Settings};
use crate::net::without_login;

/// Prefix of the environment variables: `MTV_TEST_STORAGE_CLASS` is `storage_class`.
pub const ENV_PREFIX: &str = "MTV_TEST_";

/// Variables with the prefix that are no settings: they belong to programs that start mtv-test.
pub const ENV_IGNORED: &[&str] = &[
    "MTV_TEST_ASSETS",
    "MTV_TEST_BIN",
    "MTV_TEST_CATALOGUE",
    "MTV_TEST_CRDS",
    "MTV_TEST_GOLDEN",
    "MTV_TEST_INTERACTIONS",
    "MTV_TEST_KILLS",
    "MTV_TEST_KILLS_AT_ONCE",
    "MTV_TEST_PAYLOADS",
    "MTV_TEST_ROWS",
    "MTV_TEST_SOAK",
    "MTV_TEST_VICTIMS",
    PASSWORD_ENV,
    JIRA_TOKEN_ENV,
    crate::kill_points::AT,
    crate::kill_points::LOG,
];

/// Environment variable with the password of a login by user and password.
pub const PASSWORD_ENV: &str = "MTV_TEST_CLUSTER_PASSWORD";

/// Environment variable with the token of Jira.
pub const JIRA_TOKEN_ENV: &str = "MTV_TEST_JIRA_TOKEN";

/// Variables that jobs of mtv-api-tests set, and the settings that they are.
pub const ENV_OF_JOBS: &[(&str, &str)] = &[("CLUSTER_HOST", "cluster_host"), ("CLUSTER_USERNAME", "cluster_username")];

/// The variable by which jobs of mtv-api-tests say whether the cluster's certificate is verified: the opposite of
/// `insecure_verify_skip`.
pub const VERIFY_ENV_OF_JOBS: (&str, &str) = ("CLUSTER_VERIFY_SSL", "insecure_verify_skip");

/// The variable in which jobs of mtv-api-tests put the password.
pub const PASSWORD_ENV_OF_JOBS: &str = "CLUSTER_PASSWORD";

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A text.
    Text,
    /// Name of a namespace, or the beginning of one.
    Namespace,
    /// A path.
    Path,
    /// A duration such as `5m`, longer than zero.
    Time,
    /// A duration of whole minutes, at least one.
    Minutes,
    /// A whole number of minutes, as mtv-api-tests has it.
    MinuteCount,
    /// A whole number from 1.
    Count,
    /// True or false.
    Switch,
}

/// A value of the right type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// For [`Takes::Text`] and [`Takes::Namespace`].
    Text(String),
    /// For [`Takes::Path`].
    Path(PathBuf),
    /// For the three of time.
    Time(Duration),
    /// For [`Takes::Count`].
    Count(usize),
    /// For [`Takes::Switch`].
    Switch(bool),
}

/// A run setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Name in files, in `--set`, and in lower case of the environment variable.
    pub name: &'static str,
    /// Type.
    pub takes: Takes,
    /// What it means.
    pub about: &'static str,
    /// Another name that is accepted: the key that it sets.
    pub sets: Option<&'static str>,
    /// Writes a value of the right type.
    pub(super) write: fn(&mut Settings, Value),
    /// Brings the default back.
    pub(super) reset: fn(&mut Settings),
    /// The value as text, empty if there is none.
    pub(super) show: fn(&Settings) -> String,
}

/// A row of the table: name, type, variant of the value, field, how to show the field, meaning. A value of another variant
/// cannot come out of [`Takes::parse`].
macro_rules! key {
    ($name:literal, $takes:ident, $variant:ident, $field:ident, $show:expr, $about:literal) => {
        key!($name, $takes, $variant, $field, $show, $about, None)
    };
    ($name:literal, $takes:ident, $variant:ident, $field:ident, $show:expr, $about:literal, $sets:expr) => {
        Key {
            name: $name,
            takes: Takes::$takes,
            about: $about,
            sets: $sets,
            write: |settings, value| {
                if let Value::$variant(value) = value {
                    settings.$field = value.into();
                }
            },
            reset: |settings| settings.$field = Settings::default().$field,
            show: |settings| $show(&settings.$field),
        }
    };
}

fn text(value: &str) -> String {
    value.to_owned()
}

#[expect(clippy::ref_option, reason = "the table calls it with the field as it is")]
fn maybe_text(value: &Option<String>) -> String {
    value.clone().unwrap_or_default()
}

/// A URL, without the login that may stand in it.
#[expect(clippy::ref_option, reason = "as `maybe_text`")]
fn maybe_url(value: &Option<String>) -> String {
    value.as_deref().map(without_login).unwrap_or_default()
}

fn path(value: &Path) -> String {
    value.display().to_string()
}

#[expect(clippy::ref_option, reason = "as `maybe_text`")]
fn maybe_path(value: &Option<PathBuf>) -> String {
    value.as_deref().map(path).unwrap_or_default()
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "as `maybe_text`")]
fn maybe_switch(value: &Option<bool>) -> String {
    value.map(|on| on.to_string()).unwrap_or_default()
}

fn time(value: &Duration) -> String {
    duration::format(*value)
}

fn minutes(value: &Duration) -> String {
    (value.as_secs() / 60).to_string()
}

/// All settings in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key!("source_provider", Text, Text, source_provider, maybe_text, "Name of the provider profile to migrate from"),
    key!("providers", Path, Path, providers, path, "File with the provider profiles"),
    key!("scenarios", Path, Path, scenarios, maybe_path, "Folder with scenario files that add to the built-in ones or replace them"),
    key!(
        "storage_class",
        Text,
        Text,
        storage_class,
        maybe_text,
        "StorageClass that all disks are migrated to; unset: the cluster's default"
    ),
    key!("mtv_namespace", Namespace, Text, mtv_namespace, text, "Namespace of the MTV operator"),
    key!("target_namespace_prefix", Namespace, Text, target_namespace_prefix, text, "Prefix of the namespace that a run makes"),
    key!("snapshots_interval", Minutes, Time, snapshots_interval, time, "Time between the precopies of a warm migration, whole minutes"),
    key!("cutover_delay", Time, Time, cutover_delay, time, "Time from the start of a warm migration to its cutover"),
    key!(
        "mins_before_cutover",
        MinuteCount,
        Time,
        cutover_delay,
        minutes,
        "`cutover_delay` in whole minutes, as mtv-api-tests spells it",
        Some("cutover_delay")
    ),
    key!("plan_wait_timeout", Time, Time, plan_wait_timeout, time, "Longest wait for a migration to end"),
    key!("provider_ready_timeout", Time, Time, provider_ready_timeout, time, "Longest wait for a Provider to become Ready"),
    key!("plan_ready_timeout", Time, Time, plan_ready_timeout, time, "Longest wait for a Plan to become Ready"),
    key!("inventory_timeout", Time, Time, inventory_timeout, time, "Longest wait for a clone to appear in Forklift's inventory"),
    key!(
        "object_timeout",
        Time,
        Time,
        object_timeout,
        time,
        "Longest wait for one object to be deleted, or a virtual machine to start or stop"
    ),
    key!("ssh_timeout", Time, Time, ssh_timeout, time, "Longest time for all attempts to log in to a guest"),
    key!(
        "static_ips_timeout",
        Time,
        Time,
        static_ips_timeout,
        time,
        "Longest time after the login until a guest has the static addresses that are to be kept"
    ),
    key!("hook_image", Text, Text, hook_image, text, "Image that runs the playbooks of hooks"),
    key!(
        "remote_ocp_cluster",
        Text,
        Text,
        remote_ocp_cluster,
        maybe_text,
        "Run remote scenarios; a part of the API server's host name, so that they cannot meet another cluster"
    ),
    key!("jira_url", Text, Text, jira_url, maybe_url, "Jira that is asked whether the known issue of a scenario is resolved"),
    key!("jira_token_file", Path, Path, jira_token_file, maybe_path, "File with its token; unset: MTV_TEST_JIRA_TOKEN, else none"),
    key!("jira_ca_file", Path, Path, jira_ca_file, maybe_path, "PEM certificates to trust for it beside the system's"),
    key!("results_dir", Path, Path, results_dir, path, "Folder that gets a folder for each run"),
    key!("jobs", Count, Count, jobs, usize::to_string, "Scenarios that run at the same time"),
    key!("skip_teardown", Switch, Switch, skip_teardown, bool::to_string, "Leave everything in place at the end of a run"),
    key!(
        "skip_data_collector",
        Switch,
        Switch,
        skip_data_collector,
        bool::to_string,
        "Collect nothing when a scenario fails; otherwise MTV's must-gather runs before its teardown"
    ),
    key!("data_collector_path", Path, Path, data_collector_path, maybe_path, "Folder for what is collected; unset: the run's own"),
    key!("must_gather_timeout", Time, Time, must_gather_timeout, time, "Longest time of one must-gather"),
    key!(
        "cluster_host",
        Text,
        Text,
        cluster_host,
        maybe_url,
        "URL of the API server, to log in by user and password instead of a kubeconfig; also $CLUSTER_HOST"
    ),
    key!("cluster_username", Text, Text, cluster_username, maybe_text, "User of that login; also $CLUSTER_USERNAME"),
    key!(
        "cluster_password_env",
        Text,
        Text,
        cluster_password_env,
        maybe_text,
        "Environment variable with its password; unset: MTV_TEST_CLUSTER_PASSWORD, else CLUSTER_PASSWORD"
    ),
    key!("cluster_password_file", Path, Path, cluster_password_file, maybe_path, "File with its password"),
    key!(
        "cluster_ca_file",
        Path,
        Path,
        cluster_ca_file,
        maybe_path,
        "PEM certificates to trust for that login beside the system's: the cluster's and the ingress CA"
    ),
    key!(
        "insecure_verify_skip",
        Switch,
        Switch,
        insecure_verify_skip,
        bool::to_string,
        "Do not verify the TLS certificates of the cluster and of what it serves; also $CLUSTER_VERIFY_SSL, which says the opposite"
    ),
    key!(
        "cluster_allow_plain_http",
        Switch,
        Switch,
        cluster_allow_plain_http,
        bool::to_string,
        "Send the login of the cluster to an http:// address, without encryption, as for `kubectl proxy`"
    ),
    key!(
        "source_provider_insecure_skip_verify",
        Switch,
        Switch,
        source_provider_insecure_skip_verify,
        maybe_switch,
        "Wins over `insecure_skip_verify` of the provider profile"
    ),
];

/// Keys of mtv-api-tests that are no settings here, and what to do instead.
pub const REFUSED: &[(&str, &str)] = &[
    ("check_vms_signals", "remove it: it has no effect in mtv-api-tests either"),
    ("cluster_password", "put it into the environment as MTV_TEST_CLUSTER_PASSWORD, or into a file that `cluster_password_file` names"),
    ("number_of_vms", "remove it: it has no effect in mtv-api-tests either"),
    ("jira_token", "put it into the environment as MTV_TEST_JIRA_TOKEN, or into a file that `jira_token_file` names"),
    ("target_ocp_version", "remove it: the cluster tells its version"),
    ("mtv_upgrade_image_index", "remove it: this release does not upgrade the operator"),
    ("mtv_upgrade_to_source", "remove it: this release does not upgrade the operator"),
    ("mtv_upgrade_to_version", "remove it: this release does not upgrade the operator"),
    ("tests_params", "write scenarios as TOML and name their folder with `--scenarios`"),
    ("vm_name_search_pattern", "remove it: it has no effect in mtv-api-tests either"),
];

/// A setting by name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Key {
    /// Name of its environment variable.
    pub fn env(&self) -> String {
        format!("{ENV_PREFIX}{}", self.name.to_uppercase())
    }

    /// The value as text, empty if there is none.
    pub fn show(&self, settings: &Settings) -> String {
        (self.show)(settings)
    }
}

impl Takes {
    /// Reads a text from the environment or the command line. The error says what is wrong and how to write it.
    pub fn parse(self, text: &str) -> Result<Value, (String, String)> {
        match self {
            Self::Count | Self::MinuteCount => {
                let number = text.trim().parse::<i64>();
                let number = number.map_err(|_| (format!("`{text}` is no whole number"), "write a number such as 4".to_owned()))?;
                self.number(number)
            }
            Self::Switch => match text.trim().to_lowercase().as_str() {
                "true" | "yes" | "1" => Ok(Value::Switch(true)),
                "false" | "no" | "0" => Ok(Value::Switch(false)),
                _ => Err((format!("`{text}` is neither true nor false"), "write `true` or `false`".to_owned())),
            },
            _ => self.string(text),
        }
    }

    /// Reads a TOML string.
    pub(super) fn string(self, text: &str) -> Result<Value, (String, String)> {
        let trimmed = text.trim();
        if trimmed.is_empty() && !matches!(self, Self::Time | Self::Minutes) {
            return Err(("the value is empty".to_owned(), "leave the setting out for its default".to_owned()));
        }
        match self {
            Self::Text => {
                // A password that stands in a URL is masked before anything shows it.
                if trimmed.contains("://") {
                    let _shown = without_login(trimmed);
                }
                Ok(Value::Text(trimmed.to_owned()))
            }
            Self::Path => Ok(Value::Path(PathBuf::from(text))),
            Self::Namespace if is_namespace(trimmed) => Ok(Value::Text(trimmed.to_owned())),
            Self::Namespace => Err((
                format!("`{text}` is no name for a namespace"),
                "use a-z, 0-9 and `-`, at most 63 characters, a letter or digit at both ends".to_owned(),
            )),
            Self::Time | Self::Minutes => {
                let time = duration::parse(trimmed)?;
                if time.is_zero() {
                    return Err(("the time must not be zero".to_owned(), "write a time such as \"5m\"".to_owned()));
                }
                if self == Self::Minutes && time.as_millis() % 60_000 != 0 {
                    return Err((
                        format!("`{text}` is not a whole number of minutes"),
                        "Forklift counts this time in minutes: write \"2m\"".to_owned(),
                    ));
                }
                Ok(Value::Time(time))
            }
            Self::Count | Self::MinuteCount => Err(("expected a whole number".to_owned(), "write the number without quotes".to_owned())),
            Self::Switch => Err(("expected a boolean".to_owned(), "write `true` or `false` without quotes".to_owned())),
        }
    }

    /// Reads a TOML integer.
    pub(super) fn number(self, number: i64) -> Result<Value, (String, String)> {
        match self {
            Self::Count => match usize::try_from(number) {
                Ok(number @ 1..=1000) => Ok(Value::Count(number)),
                _ => Err((format!("`{number}` is out of range"), "write a number from 1 to 1000".to_owned())),
            },
            // A day is longer than any cutover delay that makes sense.
            Self::MinuteCount => match u64::try_from(number) {
                Ok(number @ 0..=1440) => Ok(Value::Time(Duration::from_secs(number * 60))),
                _ => Err((format!("`{number}` is out of range"), "write minutes from 0 to 1440".to_owned())),
            },
            Self::Minutes => Err((format!("`{number}` has no unit"), format!("write \"{number}m\" for minutes"))),
            Self::Time => Err((format!("`{number}` has no unit"), format!("write \"{number}s\" for seconds, \"{number}m\" for minutes"))),
            Self::Switch => Err(("expected a boolean, found an integer".to_owned(), "write `true` or `false`".to_owned())),
            Self::Text | Self::Path | Self::Namespace => {
                Err(("expected a string, found an integer".to_owned(), "put the value between quotes".to_owned()))
            }
        }
    }
}
