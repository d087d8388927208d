//! `mtv-test clean`: deletes what a run left.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};

use super::{CliError, CliResult, ClusterOptions, GlobalOptions, SettingsOptions};
use crate::config::settings_load::{self, Resolved};

/// Delete what a run left on the cluster and on the source
///
/// Reads the resources.json of a run and deletes what still exists, in the right order. Only objects that are provably the
/// run's own are deleted; what cannot be deleted is listed with the reason, and the exit code is 8.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// resources.json of the run, or the folder that holds it
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    path: PathBuf,
    /// Show what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    settings: SettingsOptions,
    #[command(flatten)]
    cluster: ClusterOptions,
}

/// Everything that a clean-up needs to know.
#[derive(Debug, Clone)]
pub struct CleanRequest {
    /// resources.json of the run; it exists.
    pub journal: PathBuf,
    /// Delete nothing.
    pub dry_run: bool,
    /// Settings. `source_provider` is a profile that the user chose; the journal names one too.
    pub settings: Resolved,
    /// Cluster.
    pub cluster: ClusterOptions,
    /// Number of `-v`.
    pub verbose: u8,
}

pub(super) fn run(global: &GlobalOptions, args: Args) -> CliResult {
    let settings = settings_load::load(&args.settings.sources())?;
    let journal = if args.path.is_dir() { args.path.join("resources.json") } else { args.path };
    if !journal.is_file() {
        return Err(CliError::usage(format!("{} does not exist", journal.display()))
            .hint("a run writes it as resources.json into its folder below the results folder"));
    }
    crate::run::clean(CleanRequest { journal, dry_run: args.dry_run, settings, cluster: args.cluster, verbose: global.verbose })
}
