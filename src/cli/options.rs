//! Options that several commands share.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum, ValueHint};

use crate::{
    config::{settings_keys::Value, settings_load::Sources},
    select::Selection,
};

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct GlobalOptions {
    /// Show more: -v for each object and state, -vv for requests; RUST_LOG chooses in detail
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
    /// Use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Global options")]
    pub color: ColorChoice,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    /// Makes it the choice of everything that prints.
    pub fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// Which cluster, as kubectl asks.
#[derive(Debug, Clone, Default, Args)]
pub struct ClusterOptions {
    /// Kubeconfig file of the cluster; otherwise KUBECONFIG, ~/.kube/config, or the pod's own service account
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; otherwise its current one
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub context: Option<String>,
}

/// Which scenarios.
#[derive(Debug, Clone, Default, Args)]
pub struct SelectOptions {
    /// Select scenarios by name or alias; `*` stands for any text (can be repeated)
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Select scenarios by markers, such as `tier0 and not (warm or remote)`
    #[arg(short, long, value_name = "EXPR")]
    pub marker: Option<String>,
}

impl From<&SelectOptions> for Selection {
    fn from(options: &SelectOptions) -> Self {
        Self { names: options.names.clone(), marker: options.marker.clone() }
    }
}

/// Where scenarios come from.
#[derive(Debug, Clone, Default, Args)]
pub struct ScenarioOptions {
    /// Folder with scenario files that add to the built-in ones, or replace those of the same name
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Settings")]
    pub scenarios: Option<PathBuf>,
}

impl ScenarioOptions {
    /// Adds what these options say.
    pub fn add_to(&self, sources: &mut Sources) {
        if let Some(scenarios) = &self.scenarios {
            sources.flags.push(("scenarios", Value::Path(scenarios.clone()), "--scenarios"));
        }
    }
}

/// Settings that have an option of their own, and the way to set all others.
#[derive(Debug, Clone, Default, Args)]
pub struct SettingsOptions {
    /// Provider profile to migrate from
    #[arg(long, value_name = "PROFILE", help_heading = "Settings")]
    pub provider: Option<String>,
    /// File with the provider profiles [default: providers.toml]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Settings")]
    pub providers: Option<PathBuf>,
    /// Settings file [default: mtv-test.toml, if it exists]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Settings")]
    pub settings: Option<PathBuf>,
    /// Change a setting; `mtv-test config` shows all (can be repeated)
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Settings")]
    pub set: Vec<String>,
}

impl SettingsOptions {
    /// The layers that these options, the environment and the current folder make.
    pub fn sources(&self) -> Sources {
        let mut sources = Sources { file: self.settings.clone(), set: self.set.clone(), ..Sources::from_process() };
        if let Some(provider) = &self.provider {
            sources.flags.push(("source_provider", Value::Text(provider.clone()), "--provider"));
        }
        if let Some(providers) = &self.providers {
            sources.flags.push(("providers", Value::Path(providers.clone()), "--providers"));
        }
        sources
    }
}
