//! `mtv-test clean`: deletes what a run left.

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, ValueHint};

use super::{CliError, CliResult, ClusterOptions, GlobalOptions, SettingsOptions, context};
use crate::{
    cluster::ConnectOptions,
    config::{
        duration,
        settings_load::{self, Resolved},
    },
};

/// Delete what a run left on the cluster and on the source
///
/// Reads the resources.json of a run and deletes what still exists, in the right order. Only objects that are provably the
/// run's own are deleted, whatever the file says: they carry the run's label or mark under a name that the run gives. Shared
/// settings that the run holds are put back unless somebody else changed them since. What cannot be deleted is listed with the
/// reason, and the exit code is 8. Copies that people made are listed and stay. The command can be repeated and interrupted. Rules
/// of `protect` do not stop it, because it only deletes what runs made; it says that the cluster is protected.
///
/// Profiles come from --providers, the settings or providers.toml in this folder, never from a path in resources.json.
///
/// A run that is still running is left alone (exit code 4): its journal is locked while it runs, its process may be seen, and it
/// renews a sign of life on the cluster, which a copy of the journal and --orphans go by. A sign of life of the last minute is
/// watched until it is renewed or a minute old.
///
/// With --orphans no file is needed: objects carry the label `mtv-test.io/run`, and clones a mark. A resources.json of
/// mtv-api-tests holds names only: what holds the id of the listed session and is older than the list is deleted, anything else
/// only with --by-name.
#[derive(Debug, ClapArgs)]
#[command(
    override_usage = "mtv-test clean [OPTIONS] <PATH>\n       mtv-test clean [OPTIONS] --orphans",
    after_help = "Examples:\n  mtv-test clean mtv-test-results/latest --dry-run\n  mtv-test clean mtv-test-results/latest\n  mtv-test clean --orphans --older-than 2h --provider vsphere-8"
)]
pub(super) struct Args {
    /// resources.json of the run, or the folder that holds it
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath, required_unless_present = "orphans")]
    path: Option<PathBuf>,
    /// Read the cluster and the sources, show what would be deleted and restored, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Find what runs have left that are over, without their files; with --provider on the source too
    #[arg(long, conflicts_with = "path")]
    orphans: bool,
    /// With --orphans: leave runs alone that made something within this time, by the cluster's clock
    #[arg(long, value_name = "TIME", requires = "orphans", default_value = "24h", value_parser = parse_time)]
    older_than: Duration,
    /// For lists of mtv-api-tests: let the name alone prove whose an object is
    #[arg(long, conflicts_with = "orphans")]
    by_name: bool,
    /// Longest time for the whole clean-up, the first connections included
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_time)]
    timeout: Duration,
    #[command(flatten)]
    settings: SettingsOptions,
    #[command(flatten)]
    cluster: ClusterOptions,
}

/// What is cleaned up.
#[derive(Debug, Clone)]
pub enum CleanTarget {
    /// What a file lists.
    Journal {
        /// resources.json of the run; it exists.
        path: PathBuf,
        /// Names alone are proof, in lists of mtv-api-tests.
        by_name: bool,
    },
    /// What carries labels and marks of runs that are over.
    Orphans {
        /// Runs that made something within this time are left alone.
        older_than: Duration,
    },
}

/// Everything that a clean-up needs to know.
#[derive(Debug, Clone)]
pub struct CleanRequest {
    /// What is cleaned up.
    pub target: CleanTarget,
    /// Delete nothing.
    pub dry_run: bool,
    /// Longest time for all of it.
    pub timeout: Duration,
    /// Settings. `source_provider` is a profile that the user chose; the journal names one too.
    pub settings: Resolved,
    /// Cluster.
    pub cluster: ClusterOptions,
    /// How it is reached.
    pub connect: ConnectOptions,
    /// Number of `-v`.
    pub verbose: u8,
}

fn parse_time(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|(what, mend)| format!("{what}; {mend}"))
}

pub(super) fn run(global: &GlobalOptions, args: Args) -> CliResult {
    let settings = settings_load::load(&args.settings.sources())?;
    if args.timeout.is_zero() {
        return Err(CliError::usage("--timeout must be longer than zero"));
    }
    let target = match args.path {
        Some(path) => CleanTarget::Journal { path: journal_of(path)?, by_name: args.by_name },
        None => CleanTarget::Orphans { older_than: args.older_than },
    };
    let connect = context::connect_options(&args.cluster, &settings.settings)?;
    if args.cluster.kubeconfig.is_some() || args.cluster.context.is_some() {
        context::require_kubeconfig(&connect)?;
    }
    crate::run::clean(CleanRequest {
        target,
        dry_run: args.dry_run,
        timeout: args.timeout,
        settings,
        cluster: args.cluster,
        connect,
        verbose: global.verbose,
    })
}

fn journal_of(path: PathBuf) -> Result<PathBuf, CliError> {
    let journal = if path.is_dir() { path.join("resources.json") } else { path };
    // Anything but a regular file is refused when it is opened, which says what it is.
    if journal.exists() {
        return Ok(journal);
    }
    Err(CliError::usage(format!("{} does not exist", journal.display()))
        .hint("a run writes it as resources.json into its folder below the results folder")
        .hint("if it is lost: mtv-test clean --orphans"))
}
