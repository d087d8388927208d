//! `clean`: takes away what a run left, from its journal alone.

use std::{collections::BTreeMap, io::Write as _, path::Path, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Sources, Teardown, execute::runtime, names::RUN_LABEL, session::connect_cluster};
use crate::{
    cli::{CleanRequest, CliError, CliResult},
    cluster::{Cluster, ConnectOptions},
    config::{profile::Profile, profile_file::ProfileFile, settings_load::Origin},
    engine::{Deadline, Emitter, Failure, StepCx, signals},
    events::{Event, Trouble, What},
    exit,
    journal::{self, Entry, Header, Journal, Read, Record, State, order},
    providers::{self, SourceProvider},
    report::{self, Sink},
};

/// Longest time for a whole clean-up. Every wait in it has its own, shorter limit.
const LIMIT: Duration = Duration::from_hours(1);

/// Deletes what the journal lists.
pub fn clean(request: CleanRequest) -> CliResult {
    if request.dry_run {
        let found = journal::read(&request.journal).map_err(|e| CliError::usage(format!("{e:#}")))?;
        return dry_run(&request.journal, &found);
    }
    runtime()?.block_on(carry_out(request))
}

/// Shows what would be deleted, in order.
fn dry_run(path: &Path, found: &Read) -> CliResult {
    tell_damage(found);
    let mut out = anstream::stdout().lock();
    let mut write = |text: String| writeln!(out, "{text}").map_err(|e| CliError::internal(format!("cannot write to stdout: {e}")));
    let stages = order::order(&found.records);
    if stages.is_empty() {
        write(format!("{}: nothing is left of this run", path.display()))?;
    }
    for stage in stages {
        let (verb, condition) = match stage.action {
            order::Action::Cancel => ("would cancel", " if it still runs"),
            order::Action::Archive => ("would archive", " if it was executed"),
            order::Action::Delete => ("would delete", ""),
            order::Action::Restore => ("would restore", " if nobody else changed it since"),
        };
        for record in &stage.records {
            write(format!("{verb} {}{condition}", record.entry))?;
        }
    }
    Ok(exit::PASSED)
}

fn tell_damage(found: &Read) {
    for damage in &found.damage {
        anstream::eprintln!("warning: {damage}");
    }
}

async fn carry_out(request: CleanRequest) -> CliResult {
    let (journal, found) = Journal::resume(&request.journal).map_err(|e| CliError::usage(format!("{e:#}")))?;
    tell_damage(&found);
    let header = journal.header().ok_or_else(|| {
        CliError::usage(format!("{} does not say which run it is of, so nothing in it can be proved to be ours", request.journal.display()))
            .hint(format!("objects of runs carry the label {RUN_LABEL}; look for them with: kubectl get namespaces -L {RUN_LABEL}"))
    })?;
    if header.ephemeral {
        println!("the run used the built-in lab, which ended with it: nothing is left to delete");
        return Ok(exit::PASSED);
    }
    let left = journal.snapshot().iter().any(|r| r.state != State::Gone);
    if !left {
        println!("nothing is left of run {}", header.run);
        return Ok(exit::PASSED);
    }
    let connect = ConnectOptions { kubeconfig: request.cluster.kubeconfig.clone(), context: request.cluster.context.clone() };
    let cluster = connect_cluster(&connect).await.map_err(environment)?;
    check_cluster(&cluster, &header).await?;
    let sources = connect_sources(&request, &header, &journal.snapshot()).await;
    let (events, reports) =
        report::start(vec![Box::new(Lines { verbose: request.verbose })]).map_err(|e| CliError::internal(format!("{e:#}")))?;
    let cancel = CancellationToken::new();
    let cx = StepCx { emitter: Emitter::new(&header.run, events), deadline: Deadline::after(LIMIT), cancel: cancel.clone() };
    if let Ok(mut interrupts) = signals::from_system() {
        tokio::spawn(async move {
            if interrupts.recv().await.is_some() {
                cancel.cancel();
            }
        });
    }
    let teardown = Teardown {
        cluster: &cluster,
        journal: &journal,
        run: header.run.clone(),
        sources,
        limit: request.settings.settings.object_timeout,
    };
    let result = teardown.everything(&cx).await;
    for source in teardown.sources.values().flatten() {
        source.disconnect().await;
    }
    drop(cx);
    reports.finish();
    match result {
        Ok(done) if done.left.is_empty() => {
            println!("nothing is left of run {}", header.run);
            Ok(exit::PASSED)
        }
        Ok(done) => {
            println!("{} of run {} could not be removed:", done.left.len(), header.run);
            for left in done.left {
                println!("  {}: {}", left.object, left.reason);
            }
            println!("the same command tries again");
            Ok(exit::LEFT_BEHIND)
        }
        Err(Failure::Interrupted) => {
            println!("interrupted; the same command goes on");
            Ok(exit::INTERRUPTED)
        }
        Err(failure) => Err(environment(failure)),
    }
}

/// Refuses another cluster than the run's: names may exist there too.
async fn check_cluster(cluster: &Cluster, header: &Header) -> Result<(), CliError> {
    let system = cluster.get(&mtv_api::kinds::NAMESPACE, None, "kube-system").await.map_err(|e| environment(e.into()))?;
    let id = system.and_then(|n| n.metadata.uid).unwrap_or_default();
    match &header.cluster {
        Some(of_run) if of_run.id != id => Err(CliError::environment(format!(
            "the journal is of cluster {} (id {}), but {} is another one (id {id}); nothing was deleted",
            of_run.server,
            of_run.id,
            cluster.server()
        ))
        .hint("choose the right one with --kubeconfig and --context")),
        _ => Ok(()),
    }
}

/// Connects to every source that still has something of the run. One that cannot be reached leaves its clones, with the reason.
async fn connect_sources(request: &CleanRequest, header: &Header, records: &[Record]) -> Sources {
    let mut sources: Sources = BTreeMap::new();
    for record in records.iter().filter(|r| r.state != State::Gone) {
        if let Entry::Clone { profile, .. } = &record.entry
            && !sources.contains_key(profile)
        {
            let source = match load_profile(request, header, profile) {
                Ok(profile) => providers::connect(&profile).await.map(Arc::<dyn SourceProvider>::from).map_err(|e| e.to_string()),
                Err(reason) => Err(reason),
            };
            sources.insert(profile.clone(), source);
        }
    }
    sources
}

/// The profile of a clone: from the file that the user names now, else from the one that the run had.
fn load_profile(request: &CleanRequest, header: &Header, name: &str) -> Result<Profile, String> {
    let settings = &request.settings;
    let chosen = *settings.origin("providers") != Origin::Default;
    let file = header.providers_file.clone().filter(|_| !chosen).unwrap_or_else(|| settings.settings.providers.clone());
    let load = || ProfileFile::load(&file)?.select(name, &|name| std::env::var(name).ok());
    load().map(|(profile, _)| profile).map_err(|e| format!("profile `{name}` cannot be used: {e}"))
}

fn environment(failure: Failure) -> CliError {
    match failure {
        Failure::Failed(Trouble { summary, details, hints }) | Failure::Errored(Trouble { summary, details, hints }) => {
            let text = std::iter::once(summary).chain(details).collect::<Vec<_>>().join(": ");
            hints.into_iter().fold(CliError::environment(text), CliError::hint)
        }
        Failure::Interrupted => CliError::new(exit::INTERRUPTED, "interrupted"),
    }
}

/// Says what is deleted as it goes.
struct Lines {
    verbose: u8,
}

impl Sink for Lines {
    fn name(&self) -> &'static str {
        "the messages"
    }

    fn event(&mut self, event: &Event) -> anyhow::Result<()> {
        match &event.what {
            What::Deleted { object } => println!("deleted {object}"),
            What::Warning { message } => anstream::eprintln!("warning: {message}"),
            What::StepProgress { doing, .. } if self.verbose > 0 => anstream::eprintln!("{doing}"),
            _ => {}
        }
        Ok(())
    }
}
