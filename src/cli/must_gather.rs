//! `mtv-test must-gather`: what MTV's own image gathers, without `oc`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};

use super::{CliError, CliResult, ClusterOptions, GlobalOptions, SettingsOptions, context};
use crate::{
    cluster::ConnectOptions,
    config::settings_load::{self, Resolved},
    gather::Target,
};

/// Gather logs and objects of MTV, or of one of its plans
///
/// Runs the must-gather image of the installed release in a namespace of its own, fetches what it wrote, and deletes the
/// namespace. Without --plan everything is gathered, which takes minutes. A run does the same by itself once for each scenario
/// that fails, before its teardown.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  mtv-test must-gather\n  mtv-test must-gather --plan mtv-test-x7k2p/sanity-cold --vm web-1")]
pub(super) struct Args {
    /// Plan whose objects and logs are gathered
    #[arg(long, value_name = "NS/NAME", value_parser = parse_plan)]
    plan: Option<(String, String)>,
    /// Only this VM of the plan, by its name or its id on the source
    #[arg(long, value_name = "NAME", requires = "plan")]
    vm: Option<String>,
    /// Folder for what is gathered, new or empty [default: one below the results folder, or below data_collector_path]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dest_dir: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsOptions,
    #[command(flatten)]
    cluster: ClusterOptions,
}

/// Everything that gathering needs to know.
#[derive(Debug, Clone)]
pub struct GatherRequest {
    /// What is gathered.
    pub target: Target,
    /// Where it goes; unset: into a folder of its own, below `data_collector_path` or the results.
    pub folder: Option<PathBuf>,
    /// Settings.
    pub settings: Resolved,
    /// Cluster, as the command line names it.
    pub cluster: ClusterOptions,
    /// How it is reached.
    pub connect: ConnectOptions,
    /// Number of `-v`.
    pub verbose: u8,
}

fn parse_plan(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("write NAMESPACE/NAME".to_owned()),
    }
}

pub(super) fn run(global: &GlobalOptions, args: Args) -> CliResult {
    let settings = settings_load::load(&args.settings.sources())?;
    let connect = context::connect_options(&args.cluster, &settings.settings)?;
    context::require_cluster(&connect)?;
    let folder = args.dest_dir;
    if let Some(folder) = folder.iter().chain(&settings.settings.data_collector_path).find(|folder| folder.is_file()) {
        return Err(CliError::usage(format!("{} is a file", folder.display())).hint("name a folder"));
    }
    if let Some(folder) = folder.as_ref().filter(|folder| std::fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some())) {
        return Err(CliError::usage(format!("{} is not empty", folder.display()))
            .hint("what is gathered must not be mixed up with older files: name a new folder"));
    }
    let target = Target { plan: args.plan, vm: args.vm };
    crate::run::must_gather(GatherRequest { target, folder, settings, cluster: args.cluster, connect, verbose: global.verbose })
}
