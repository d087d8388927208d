//! A run from the resolved request to the exit code.

use std::{io, path::Path, sync::Arc};

use anyhow::Context as _;
use jiff::Timestamp;

use super::{
    MigrationRun, Planned, names,
    workload::{NothingBegun, unmet},
};
use crate::{
    cli::{CliError, CliResult, ClusterOptions, ProfileChoice, RunRequest, tell},
    cluster::ConnectOptions,
    config::{profile::Profile, settings::Settings},
    engine::{self, Emitter, Interrupts, PlannedRun, signals},
    exit::{self, ExitCode},
    jira,
    journal::{Header, Journal, ProfileRef},
    report::{
        self, Sink,
        console::{ConsoleOptions, ConsoleSink, clean_command},
        junit::JunitSink,
        log::{self, LogSink},
        ndjson::NdjsonSink,
        results::{self, Results},
        screen::Screen,
    },
    secrets,
};

/// Runs the plan.
pub fn execute(request: RunRequest) -> CliResult {
    runtime()?.block_on(run(request))
}

/// The async runtime of commands that talk to somebody.
pub fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::internal(format!("failed to start the async runtime: {error}")))
}

/// Where a run plays: the cluster, the profile, and what has to stay alive meanwhile.
struct Place {
    connect: ConnectOptions,
    profile: Profile,
    /// Where to ask about known issues.
    jira: Option<jira::Options>,
    /// It ends with the process: the built-in lab.
    ephemeral: bool,
    /// Options that bring `clean` to the same place.
    again: Vec<String>,
    #[cfg(feature = "lab")]
    lab: Option<crate::cli::lab::Started>,
}

async fn run(request: RunRequest) -> CliResult {
    let settings = request.settings.settings.clone();
    let interrupts = signals::from_system().map_err(|e| CliError::internal(format!("failed to listen for signals: {e}")))?;
    let id = names::run_id().map_err(internal)?;
    let results = new_results(&settings, &id)?;
    let screen = Screen::of_process();
    let rust_log = std::env::var("RUST_LOG").ok();
    log::init(Some(&results.log), &screen, request.verbose, rust_log.as_deref()).map_err(|e| CliError::usage(format!("{e:#}")))?;
    log::catch_panics();
    let ordinary = request.has_secrets_of_the_user().then(secrets::ordinary).flatten();
    for warning in results.warning.iter().chain(&ordinary) {
        tell(&format!("warning: {warning}"));
    }
    let (place, interrupts) = match Box::pin(unless_interrupted(place(&request, &settings), interrupts)).await {
        Ok((place, interrupts)) => (place?, interrupts),
        Err(interrupts) => return nothing_begun(&request, &id, &results, screen, interrupts).await,
    };
    let journal = Journal::create(&results.resources, &header(&id, &place, &settings)).map_err(|e| CliError::usage(format!("{e:#}")))?;
    if let Some(folder) = &settings.data_collector_path {
        link_journal(folder, &results.resources).map_err(|e| CliError::usage(format!("{e:#}")))?;
    }
    let clean = (!place.ephemeral).then(|| clean_command(&results.resources, &place.again));
    let (events, reports) = report::start(sinks(&request, &results, screen, clean).map_err(internal)?).map_err(internal)?;
    let emitter = Emitter::new(&id, events);
    let scenarios = request
        .plan
        .scenarios
        .iter()
        .map(|s| Planned { scenario: s.scenario.clone(), steps: s.steps.clone(), wanted: s.skip.is_none() })
        .collect();
    let options = options(&request, &results);
    let planned = planned(&request, &settings);
    let mut workload =
        MigrationRun::new(id, place.connect.clone(), place.profile.clone(), settings, scenarios, journal, place.jira.clone());
    workload.chosen = request.plan.chosen;
    let workload = Arc::new(workload);
    let outcome = engine::run(planned, Arc::clone(&workload) as Arc<_>, options, emitter, interrupts).await;
    workload.end(outcome.exit().code).await;
    let exit = with_reports(outcome.exit(), &reports.finish());
    #[cfg(feature = "lab")]
    if let Some(lab) = place.lab {
        lab.shut_down().await;
    }
    if let Some(service) = &request.analysis {
        service.after_run(&results.junit, request.junit_xml.as_deref(), exit).await;
    }
    Ok(exit)
}

/// The scenarios as the engine takes them.
fn planned(request: &RunRequest, settings: &Settings) -> Vec<PlannedRun> {
    let scenarios = request.plan.scenarios.iter();
    scenarios
        .map(|s| PlannedRun {
            name: s.scenario.name.clone(),
            aliases: s.scenario.aliases.clone(),
            steps: s.steps.iter().map(|step| step.planned(&s.scenario, settings)).collect(),
            closed: s.skip.as_ref().map(unmet),
        })
        .collect()
}

/// The folder for a run's results.
pub(super) fn new_results(settings: &Settings, run: &str) -> Result<Results, CliError> {
    results::create(&settings.results_dir, run)
        .map_err(|e| CliError::usage(format!("{e:#}")).hint("name a folder that can be written with --results-dir or $ARTIFACT_DIR"))
}

fn options(request: &RunRequest, results: &Results) -> engine::Options {
    let settings = &request.settings.settings;
    engine::Options {
        jobs: settings.jobs,
        skip_teardown: settings.skip_teardown,
        allow_all_skipped: request.allow_all_skipped,
        results: results.dir.clone(),
        ..engine::Options::default()
    }
}

/// Says which reports could not be written. A run without them must not look like a pass, and keeps any other exit code: the
/// summary has shown it already.
fn with_reports(exit: ExitCode, unwritten: &[String]) -> ExitCode {
    for problem in unwritten {
        tell(&format!("error: {problem}"));
    }
    if unwritten.is_empty() || exit != exit::PASSED {
        return exit;
    }
    tell(&format!("error: the run passed, but not everything is in its reports: exit code {}", exit::USAGE.code));
    exit::USAGE
}

/// Does something that takes its time before the engine runs. An interrupt ends it, and comes back for the engine to see.
async fn unless_interrupted<T>(work: impl Future<Output = T>, mut interrupts: Interrupts) -> Result<(T, Interrupts), Interrupts> {
    let first = tokio::select! {
        biased;
        done = work => return Ok((done, interrupts)),
        Some(first) = interrupts.recv() => first,
    };
    Err(signals::once_more(first, interrupts))
}

/// A run that was interrupted before there was a place for it: its reports say so, like those of any other.
async fn nothing_begun(request: &RunRequest, id: &str, results: &Results, screen: Screen, interrupts: Interrupts) -> CliResult {
    let settings = &request.settings.settings;
    let (events, reports) = report::start(sinks(request, results, screen, None).map_err(internal)?).map_err(internal)?;
    let emitter = Emitter::new(id, events);
    let outcome = engine::run(planned(request, settings), Arc::new(NothingBegun), options(request, results), emitter, interrupts).await;
    Ok(with_reports(outcome.exit(), &reports.finish()))
}

/// Jobs of mtv-api-tests look for `resources.json` in the folder of what is collected. The journal stays where it is, so that it is
/// whole at any moment; the folder gets a link to it. Unlike there, nothing in the folder is deleted.
fn link_journal(folder: &Path, journal: &Path) -> anyhow::Result<()> {
    let what = || format!("failed to use the folder {} for what is collected", folder.display());
    std::fs::create_dir_all(folder).with_context(what)?;
    let link = folder.join("resources.json");
    let target = std::path::absolute(journal).with_context(what)?;
    match std::fs::symlink_metadata(&link) {
        Ok(found) if found.is_symlink() => std::fs::remove_file(&link).with_context(what)?,
        Ok(_) => {
            let (link, target) = (link.display(), target.display());
            tell(&format!("warning: {link} is a file of somebody else and stays as it is; the list of this run is {target}"));
            return Ok(());
        }
        Err(_) => {}
    }
    std::os::unix::fs::symlink(target, link).with_context(what)
}

fn internal(error: anyhow::Error) -> CliError {
    CliError::internal(format!("{error:#}"))
}

async fn place(request: &RunRequest, settings: &Settings) -> Result<Place, CliError> {
    match &request.profile {
        ProfileChoice::File(profile) => Ok(Place {
            connect: request.connect.clone(),
            jira: request.jira.clone(),
            profile: (**profile).clone(),
            ephemeral: false,
            again: again(&request.cluster, &request.connect, &settings.providers),
            #[cfg(feature = "lab")]
            lab: None,
        }),
        #[cfg(feature = "lab")]
        ProfileChoice::Lab { name, options } => {
            let lab = crate::cli::lab::start(options, name).await?;
            let connect = ConnectOptions { kubeconfig: Some(lab.kubeconfig.clone()), ..ConnectOptions::default() };
            let jira = request.jira.clone().or_else(|| lab.jira.clone());
            Ok(Place { connect, profile: lab.profile.clone(), jira, ephemeral: true, again: Vec::new(), lab: Some(lab) })
        }
    }
}

/// Options that bring `clean` to the same cluster and profiles.
pub(super) fn again(cluster: &ClusterOptions, connect: &ConnectOptions, providers: &Path) -> Vec<String> {
    let mut options = Vec::new();
    if let Some(file) = &cluster.kubeconfig {
        options.extend(["--kubeconfig".to_owned(), file.display().to_string()]);
    }
    if let Some(context) = &cluster.context {
        options.extend(["--context".to_owned(), context.clone()]);
    }
    if let Some(login) = &connect.login {
        // The password stays where it was found: in a file or the environment.
        for (key, value) in [("cluster_host", &login.host), ("cluster_username", &login.username)] {
            options.extend(["--set".to_owned(), format!("{key}={value}")]);
        }
    }
    options.extend(["--providers".to_owned(), providers.display().to_string()]);
    options
}

fn header(run: &str, place: &Place, settings: &Settings) -> Header {
    Header {
        run: run.to_owned(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        started: Timestamp::now(),
        label: format!("{}={run}", names::RUN_LABEL),
        cluster: None,
        profiles: vec![ProfileRef {
            name: place.profile.name.clone(),
            kind: place.profile.kind(),
            endpoint: place.profile.api_url.clone(),
        }],
        // `clean` may be called from another folder.
        providers_file: (!place.ephemeral).then(|| std::path::absolute(&settings.providers).unwrap_or_else(|_| settings.providers.clone())),
        ephemeral: place.ephemeral,
    }
}

fn sinks(request: &RunRequest, results: &Results, screen: Screen, clean: Option<String>) -> anyhow::Result<Vec<Box<dyn Sink>>> {
    let color = |stream: anstream::ColorChoice| stream != anstream::ColorChoice::Never;
    let console = ConsoleOptions {
        screen_color: color(anstream::AutoStream::choice(&io::stderr())),
        summary_color: color(anstream::AutoStream::choice(&io::stdout())),
        verbosity: request.verbose,
        clean,
    };
    let junit = std::iter::once(results.junit.clone()).chain(request.junit_xml.clone()).collect();
    Ok(vec![
        Box::new(NdjsonSink::create(&results.events).context("failed to create events.ndjson")?),
        Box::new(LogSink),
        Box::new(JunitSink::new(junit, request.junit_detail)),
        Box::new(ConsoleSink::new(screen, io::stdout(), console)),
    ])
}
