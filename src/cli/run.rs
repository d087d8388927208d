//! `mtv-test run`: resolves everything that can be resolved without contacting anybody, then hands it on.

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueHint};

use super::{
    CliError, CliResult, ClusterOptions, GlobalOptions, ScenarioOptions, SelectOptions, SettingsOptions, context,
    error::{print_warnings, tell},
    list,
};
use crate::{
    analyze,
    cluster::ConnectOptions,
    config::{
        catalogue::Catalogue,
        profile::{Profile, ProviderKind},
        profile_file::ProfileFile,
        settings_keys::{self, Value},
        settings_load::{self, Resolved},
    },
    jira,
    report::junit::Detail,
    secrets::mask,
    select::{self, PlanOfRun, Selection},
};

/// Run scenarios: clone, migrate, verify, and clean up
///
/// Each selected scenario clones its source VMs, migrates them with MTV, compares what arrived with the source, and deletes
/// what it made. Results go into a folder per run below the results folder: junit-report.xml, resources.json, events.ndjson
/// and run.log. Without a cluster, `--lab` runs everything against a simulated data centre on this machine.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  mtv-test run --lab --marker tier0\n  mtv-test run sanity-cold '*hook*' --provider vsphere-8\n  mtv-test run -m 'tier1 and not warm' --provider vsphere-8 --storage-class ocs-storagecluster-ceph-rbd -j 8"
)]
pub(super) struct Args {
    #[command(flatten)]
    select: SelectOptions,
    /// Scenarios to run at the same time [default: 4]
    #[arg(short, long, value_name = "N", value_parser = parse_jobs)]
    jobs: Option<usize>,
    /// End with exit code 0 although everything that was selected is skipped
    #[arg(long)]
    allow_all_skipped: bool,
    /// StorageClass to migrate all disks to [default: the cluster's]
    #[arg(long, value_name = "SC", help_heading = "Settings")]
    storage_class: Option<String>,
    /// Folder that gets a folder for each run [default: $ARTIFACT_DIR, or mtv-test-results]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Settings")]
    results_dir: Option<PathBuf>,
    /// Write the JUnit report to this file as well
    #[arg(long, visible_alias = "junitxml", value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Settings")]
    junit_xml: Option<PathBuf>,
    /// Cases of the JUnit report: one per check of each VM, or one per step
    #[arg(long, value_enum, default_value_t, value_name = "DETAIL", help_heading = "Settings")]
    junit_detail: Detail,
    /// Leave everything in place at the end
    #[arg(long, help_heading = "Settings")]
    skip_teardown: bool,
    /// Collect nothing when a scenario fails
    #[arg(long, help_heading = "Settings")]
    skip_data_collector: bool,
    /// Folder for what is collected of failed scenarios [default: the run's own folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Settings")]
    data_collector_path: Option<PathBuf>,
    /// Send the JUnit report of a failed run to an analysis service and keep its answer
    ///
    /// The service is $JJI_SERVER_URL (or $ROOTCOZ_SERVER_URL), which a file .env in the current folder may set too: the report is
    /// posted to URL/analyze-failures and the answer, the same report with explanations, takes the place of
    /// junit-report.xml. $JJI_AI_PROVIDER, $JJI_AI_MODEL and $JJI_TIMEOUT (seconds) are sent or used along. Whatever goes wrong with it
    /// leaves the report and the exit code as they are.
    #[arg(long, help_heading = "Settings")]
    analyze_with_ai: bool,
    #[command(flatten)]
    scenarios: ScenarioOptions,
    #[command(flatten)]
    settings: SettingsOptions,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// Run against the simulated data centre instead of a cluster and a source
    #[cfg(feature = "lab")]
    #[arg(long, conflicts_with_all = ["kubeconfig", "context", "providers"], help_heading = "Lab")]
    lab: bool,
    #[cfg(feature = "lab")]
    #[command(flatten)]
    lab_options: LabOptions,
}

/// What the lab of a run looks like.
#[cfg(feature = "lab")]
#[derive(Debug, Clone, Default, PartialEq, ClapArgs)]
pub struct LabOptions {
    /// Data centre that the lab simulates, as TOML [default: the built-in one]
    #[arg(long, value_name = "FILE", requires = "lab", value_hint = ValueHint::FilePath, help_heading = "Lab")]
    pub datacenter: Option<PathBuf>,
    /// How much faster than reality time runs in the lab
    #[arg(long, value_name = "FACTOR", requires = "lab", value_parser = super::lab::parse_scale, help_heading = "Lab")]
    pub time_scale: Option<f64>,
}

/// Where the source's profile comes from.
#[derive(Debug, Clone)]
pub enum ProfileChoice {
    /// From a file, complete.
    File(Box<Profile>),
    /// The profile of that name among those that the lab makes.
    #[cfg(feature = "lab")]
    Lab {
        /// Name of the profile.
        name: String,
        /// What the lab looks like.
        options: LabOptions,
    },
}

/// Everything that a run needs to know, resolved and checked.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Scenarios with their steps and skips; at least one.
    pub plan: PlanOfRun,
    /// The source.
    pub profile: ProfileChoice,
    /// Settings. Without `storage_class` the cluster's default one is taken.
    pub settings: Resolved,
    /// Cluster; not used in the lab.
    pub cluster: ClusterOptions,
    /// How it is reached; not used in the lab.
    pub connect: ConnectOptions,
    /// Where to ask about known issues; in the lab its own Jira unless the settings name one.
    pub jira: Option<jira::Options>,
    /// A run of which everything is skipped is a success.
    pub allow_all_skipped: bool,
    /// Second place of the JUnit report.
    pub junit_xml: Option<PathBuf>,
    /// How fine its cases are.
    pub junit_detail: Detail,
    /// Who explains failures after the run.
    pub analysis: Option<analyze::Service>,
    /// Number of `-v`.
    pub verbose: u8,
}

impl RunRequest {
    /// Whether passwords and tokens are somebody's, and not those that the lab makes for itself.
    pub fn has_secrets_of_the_user(&self) -> bool {
        matches!(self.profile, ProfileChoice::File(_))
    }
}

fn parse_jobs(text: &str) -> Result<usize, String> {
    match settings_keys::Takes::Count.parse(text) {
        Ok(Value::Count(jobs)) => Ok(jobs),
        Ok(_) => Err("not a number".to_owned()),
        Err((what, help)) => Err(format!("{what}; {help}")),
    }
}

impl Args {
    fn resolve(&self) -> Result<Resolved, CliError> {
        let mut sources = self.settings.sources();
        self.scenarios.add_to(&mut sources);
        if let Some(jobs) = self.jobs {
            sources.flags.push(("jobs", Value::Count(jobs), "--jobs"));
        }
        if let Some(class) = &self.storage_class {
            sources.flags.push(("storage_class", Value::Text(class.clone()), "--storage-class"));
        }
        if let Some(folder) = &self.results_dir {
            sources.flags.push(("results_dir", Value::Path(folder.clone()), "--results-dir"));
        }
        if self.skip_teardown {
            sources.flags.push(("skip_teardown", Value::Switch(true), "--skip-teardown"));
        }
        if self.skip_data_collector {
            sources.flags.push(("skip_data_collector", Value::Switch(true), "--skip-data-collector"));
        }
        if let Some(folder) = &self.data_collector_path {
            sources.flags.push(("data_collector_path", Value::Path(folder.clone()), "--data-collector-path"));
        }
        #[cfg_attr(not(feature = "lab"), expect(unused_mut, reason = "only a run in the lab changes it"))]
        let mut resolved = settings_load::load(&sources)?;
        #[cfg(feature = "lab")]
        if self.lab {
            // What files and environment say of source, class and namespace is about a real cluster.
            resolved.forget_unless_given(&["source_provider", "storage_class", "mtv_namespace"]);
        }
        Ok(resolved)
    }

    /// Kind and profile of a run in the lab, whose profiles are named after their kinds; behind a dash is what sets one apart.
    #[cfg(feature = "lab")]
    fn lab_profile(&self, resolved: &Resolved) -> Result<Option<(ProviderKind, ProfileChoice)>, CliError> {
        if !self.lab {
            return Ok(None);
        }
        let name = resolved.settings.source_provider.clone().unwrap_or_else(|| ProviderKind::Vsphere.name().to_owned());
        let profiles = mtv_lab::roles::profiles();
        let of_kind = |kind: &&ProviderKind| name.split('-').next() == Some(kind.name());
        let kind = ProviderKind::ALL.iter().find(of_kind).filter(|_| profiles.contains(&name.as_str()));
        let Some(kind) = kind else {
            let hint = format!("it has {}", profiles.join(", "));
            return Err(CliError::usage(format!("the lab has no provider profile `{name}`")).hint(hint));
        };
        Ok(Some((*kind, ProfileChoice::Lab { name, options: self.lab_options.clone() })))
    }

    #[cfg(not(feature = "lab"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the same signature as with the lab")]
    fn lab_profile(&self, _resolved: &Resolved) -> Result<Option<(ProviderKind, ProfileChoice)>, CliError> {
        Ok(None)
    }

    /// Resolves a run. The order of the checks is the order in which a user can act on them: what to run, on which cluster,
    /// from which source.
    fn request(self, global: &GlobalOptions) -> Result<RunRequest, CliError> {
        let resolved = self.resolve()?;
        let catalogue = Catalogue::load(resolved.settings.scenarios.as_deref())?;
        let selection = Selection::from(&self.select);
        let lab = self.lab_profile(&resolved)?;
        let first = context::Known::new(lab.as_ref().map(|(kind, _)| *kind), None, &resolved.settings).with_jira();
        let plan = select::plan(&catalogue, &selection, &first.surroundings())?;
        if plan.scenarios.is_empty() {
            return Err(list::nothing_selected());
        }
        let (plan, profile, connect) = if let Some((_, profile)) = lab {
            (plan, profile, ConnectOptions::default())
        } else {
            let connect = context::connect_options(&self.cluster, &resolved.settings)?;
            context::require_cluster(&connect)?;
            let name = required(&resolved)?;
            let file = ProfileFile::load(&resolved.settings.providers)?;
            let (mut profile, warnings) = file.select(&name, &|name| std::env::var(name).ok())?;
            print_warnings(&warnings);
            profile.override_tls(&resolved.settings);
            let known = context::Known::new(Some(profile.kind()), Some(profile.clone()), &resolved.settings);
            (select::plan(&catalogue, &selection, &known.surroundings())?, ProfileChoice::File(Box::new(profile)), connect)
        };
        let jira = context::jira(&resolved.settings)?;
        let allow_all_skipped = self.allow_all_skipped;
        let junit_xml = self.junit_xml.map(|path| report_file(&path)).transpose()?;
        let analysis = if self.analyze_with_ai { analysis() } else { None };
        Ok(RunRequest {
            plan,
            jira,
            analysis,
            profile,
            settings: resolved,
            cluster: self.cluster,
            connect,
            allow_all_skipped,
            junit_xml,
            junit_detail: self.junit_detail,
            verbose: global.verbose,
        })
    }
}

/// The second place of the JUnit report, checked before anything is contacted: its absolute path.
fn report_file(path: &Path) -> Result<PathBuf, CliError> {
    let wrong = |why: &str| CliError::usage(format!("--junit-xml {}: {why}", path.display())).hint("name a file that the run may write");
    if path.is_dir() {
        return Err(wrong("it is a folder"));
    }
    let file = std::path::absolute(path).map_err(|error| wrong(&error.to_string()))?;
    if file.file_name().is_none() {
        return Err(wrong("it names no file"));
    }
    Ok(file)
}

/// The service of `--analyze-with-ai`; warnings say what is wrong with how it is named. `.env` is read for this alone.
fn analysis() -> Option<analyze::Service> {
    let (service, warnings) = analyze::Service::from_surroundings(&|name| std::env::var(name).ok(), Path::new(analyze::DOTENV));
    for warning in warnings {
        tell(&mask(&format!("warning: --analyze-with-ai: {warning}")));
    }
    service
}

/// The one setting without default that a run on a cluster needs. Without a storage class the cluster's default one is taken.
fn required(resolved: &Resolved) -> Result<String, CliError> {
    resolved.settings.source_provider.clone().ok_or_else(|| {
        CliError::usage("no provider profile is chosen to migrate from").hint(format!(
            "set `source_provider` with `--provider PROFILE`, {}SOURCE_PROVIDER, or a line in mtv-test.toml",
            settings_keys::ENV_PREFIX
        ))
    })
}

pub(super) fn run(global: &GlobalOptions, args: Args) -> CliResult {
    crate::run::execute(args.request(global)?)
}
