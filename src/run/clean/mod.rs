//! `clean`: takes away what a run left: from its journal, from a list of mtv-api-tests, or from labels and marks alone.

mod by_name;
mod found;
mod life;
mod orphans;
mod told;

pub(super) use told::Lines;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::{
    Done, Sources, Teardown,
    execute::runtime,
    names::{self, RUN_LABEL},
    protect,
};
use crate::{
    cli::{CleanRequest, CleanTarget, CliError, CliResult, say, tell},
    cluster::Cluster,
    config::{
        profile::{Profile, ProviderKind},
        profile_file::ProfileFile,
    },
    diagnosis::{Diagnosis, Id},
    engine::{Deadline, Emitter, Failure, Leftover, StepCx, human, signals},
    exit,
    journal::{self, Entry, Header, Journal, Record, State},
    providers::{self, Source, SourceVm},
    report,
    secrets::mask,
};

/// How long a removal may take to come back after an interrupt, so that answers that are under way are written down.
const GRACE: Duration = Duration::from_millis(1500);

/// Carries a clean-up out.
pub fn clean(request: CleanRequest) -> CliResult {
    match request.target.clone() {
        CleanTarget::Orphans { older_than } => bounded(&request, orphans::clean(&request, older_than)),
        CleanTarget::Journal { path, by_name } => {
            let found = journal::read(&path).map_err(|e| CliError::usage(format!("{e:#}")))?;
            if found.foreign {
                return bounded(&request, by_name::clean(&request, &path, &found, by_name));
            }
            told::damage(&found);
            if found.is_unwritten() {
                say(&format!("{} holds no record: the run was stopped before it made anything", path.display()));
                return Ok(exit::PASSED);
            }
            bounded(&request, from_journal(&request, &path, found))
        }
    }
}

/// Does all of a clean-up within its time, the first connections included, and ends it after an interrupt. What [`supervised`]
/// does ends by itself before.
fn bounded(request: &CleanRequest, work: impl Future<Output = CliResult>) -> CliResult {
    let runtime = runtime()?;
    let result = runtime.block_on(async {
        let mut interrupts = signals::from_system().map_err(|e| CliError::internal(format!("failed to listen for signals: {e}")))?;
        let deadline = Deadline::after(request.timeout);
        let interrupted = async {
            if interrupts.recv().await.is_none() {
                return std::future::pending().await;
            }
            tokio::time::sleep(GRACE + GRACE / 3).await;
        };
        tokio::select! {
            biased;
            result = deadline.scope(work) => result,
            () = interrupted => {
                say("interrupted; the same command goes on");
                Ok(exit::INTERRUPTED)
            }
            () = tokio::time::sleep_until(deadline.at() + 2 * GRACE) => Err(not_done(request)),
        }
    });
    // A name that is looked up, or a program that logs in, must not keep the process.
    runtime.shutdown_background();
    result
}

fn not_done(request: &CleanRequest) -> CliError {
    CliError::environment(format!("not done within {}", human(request.timeout))).hint("--timeout sets the time")
}

/// The journal, to be continued; where it cannot be written, what it says must be enough.
fn opened(path: &Path) -> anyhow::Result<(Journal, journal::Read)> {
    use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let unwritable = |error: &anyhow::Error| {
        let kinds = [FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull];
        error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|cause| kinds.contains(&cause.kind()))
    };
    Journal::resume(path).or_else(|error| {
        if !unwritable(&error) {
            return Err(error);
        }
        let opened = Journal::read_only(path)?;
        tell(&format!("warning: {error:#}; what is deleted will not be noted there, and the command can be repeated all the same"));
        Ok(opened)
    })
}

async fn from_journal(request: &CleanRequest, path: &Path, read: journal::Read) -> CliResult {
    let dry = request.dry_run;
    let opened = || if dry { Ok((Journal::of(&read), read)) } else { opened(path) };
    let (journal, found) = opened().map_err(|e| CliError::usage(format!("{e:#}")))?;
    let orphans = format!("objects of runs carry the label {RUN_LABEL}; `mtv-test clean --orphans` finds those of runs that are over");
    let header = journal.header().ok_or_else(|| {
        CliError::usage(format!("{} does not say which run it is of, so nothing in it can be proved to be ours", path.display()))
            .hint(orphans.clone())
    })?;
    if !names::is_run_id(&header.run) {
        let text =
            format!("{}: `{}` is not the ID of a run, so nothing can be proved to be its", path.display(), header.run.escape_debug());
        return Err(CliError::usage(text));
    }
    if header.ephemeral {
        say("the run used the built-in lab, which ended with it: nothing is left to delete");
        return Ok(exit::PASSED);
    }
    // A record that was lost may be of a clone: then every source of the run is searched for its mark.
    let damaged = !found.damage.is_empty();
    let records = journal.snapshot();
    if !damaged && records.iter().all(|r| r.state == State::Gone) {
        say(&format!("nothing is left of run {}", header.run));
        return Ok(exit::PASSED);
    }
    if header.cluster.is_none() && !damaged && records.iter().any(is_made_on_cluster) {
        let text = format!("{} names objects on a cluster and does not say which cluster; nothing was deleted", path.display());
        return Err(CliError::usage(text).hint(orphans));
    }
    let whose = format!("run {}", header.run);
    let (cluster, greeted) = match reach(request).await {
        Ok((_, Err(failure))) if dry => return unchecked(&environment(failure).to_string(), &records),
        Ok(reached) => reached,
        Err(error) if dry => return unchecked(&error.to_string(), &records),
        Err(error) => return Err(error),
    };
    match life::must_be_over(&cluster, &header.run, &found, request.timeout).await {
        Err(error) if dry && error.exit() == exit::ENVIRONMENT => return unchecked(&error.to_string(), &records),
        judged => judged?,
    }
    let mut silent = None;
    let result = supervised(request, &header.run, async |cx| {
        let checked = match greeted {
            Ok(()) => check_cluster(&cluster, &header).await,
            Err(unreached) => Err(Unusable::Silent(unreached)),
        };
        let reached = match checked {
            Ok(()) if header.cluster.is_none() && records.iter().any(is_made_on_cluster) => {
                carries_label(&cluster, &header.run, path).await
            }
            reached => reached,
        };
        match reached {
            Err(Unusable::Another(failure)) => return Err(failure),
            Err(Unusable::Silent(failure)) if dry => {
                silent = Some(failure);
                return Ok(Done::default());
            }
            _ => {}
        }
        let sources = connect_sources(request, &cluster, &header, &journal.snapshot(), damaged).await;
        let teardown = Teardown::new(&cluster, &journal, &header.run, sources, request.settings.settings.object_timeout).dry_run(dry);
        if let Err(Unusable::Silent(failure)) = reached {
            // A cluster may be gone for good; what is on its sources need not stay for that.
            let done = teardown.on_sources(cx).await?;
            disconnect(&teardown.sources).await;
            return Err(without_cluster(failure, &done));
        }
        let mut done = teardown.everything(cx).await?;
        let (rest, kept) = unlisted(&cluster, &header, &teardown, &records, damaged, &done, cx).await;
        if let Some(rest) = rest {
            let sources = teardown.sources.clone();
            let more = Teardown::new(&cluster, &rest, &header.run, sources, teardown.limit).dry_run(dry);
            done.add(more.everything(cx).await?);
        }
        done.kept.extend(kept);
        disconnect(&teardown.sources).await;
        Ok(done)
    })
    .await?;
    match silent {
        Some(failure) => unchecked(&environment(failure).to_string(), &records),
        None if dry => told::planned(&whose, result),
        None => told::ending(&whose, result),
    }
}

/// Whether a record says that something was made or changed on the cluster.
fn is_made_on_cluster(record: &Record) -> bool {
    record.state != State::Intent && matches!(record.entry, Entry::Object { .. } | Entry::Patch { .. })
}

/// Lists by the file alone what would be deleted: nobody could be asked.
fn unchecked(why: &str, records: &[Record]) -> CliResult {
    tell(&format!("warning: {}", mask(why)));
    say("by the file alone, not checked on cluster and sources:");
    told::order("nothing", records)
}

/// A damaged journal may have lost which cluster it is of. Then the cluster itself has to show something of the run.
async fn carries_label(cluster: &Cluster, run: &str, path: &Path) -> Result<(), Unusable> {
    let found = found::on_cluster(cluster, Some(run)).await;
    if found.runs.contains_key(run) {
        return Ok(());
    }
    Err(Unusable::Another(Failure::Errored(
        Diagnosis::new(
            Id::ClusterMismatch,
            format!(
                "{} has lost which cluster it is of, and nothing on {} carries the label of run {run}; nothing was deleted",
                path.display(),
                cluster.server()
            ),
        )
        .hint("choose another cluster with --kubeconfig and --context"),
    )))
}

/// What carries the run's label or mark although the journal did not lead to it: a request that arrived after its sender had died,
/// or a record that was lost to damage. And what carries them and is a copy, which stays.
async fn unlisted(
    cluster: &Cluster,
    header: &Header,
    teardown: &Teardown<'_>,
    records: &[Record],
    damaged: bool,
    done: &Done,
    cx: &StepCx,
) -> (Option<Journal>, Vec<Leftover>) {
    cx.progress("looking for what carries the run's label", None);
    let look = async {
        let mut found = found::on_cluster(cluster, Some(&header.run)).await;
        let mut entries = found.runs.remove(&header.run).unwrap_or_default().entries;
        for why in found.blind {
            tracing::debug!(%why, "the cluster could not be searched for the run's label");
        }
        let mut kept = found.kept;
        for (profile, source) in &teardown.sources {
            let searched = match source {
                Ok(source) => match source.cloner() {
                    Some(cloner) => cloner.of_run(&header.run).await.map(|vms| (source.kind(), vms)).map_err(Diagnosis::from),
                    None => continue,
                },
                Err(why) => Err(why.clone()),
            };
            match searched {
                Ok((kind, vms)) => {
                    for vm in vms {
                        if is_named(&header.run, &vm, records, damaged) {
                            entries.push((found::clone_entry(profile, kind, vm.name), vm.id));
                        } else {
                            kept.push(found::copy(profile, &vm.name, &vm.id, &header.run));
                        }
                    }
                }
                Err(why) => cx.warn_with(
                    format!("source `{profile}` could not be searched for what carries the run's mark: {}", why.line(": ")),
                    why.hints,
                ),
            }
        }
        (entries, kept)
    };
    let (mut entries, mut kept) = timeout_at(cx.deadline.at(), look).await.unwrap_or_default();
    // What could not be removed a moment ago would only take its time again, and a dry run has told of what it found.
    let told = |object: &str| {
        let looked_at = |record: &Record| teardown.dry && record.state != State::Gone && record.entry.to_string() == object;
        done.left.iter().any(|left| left.object == object) || records.iter().any(looked_at)
    };
    entries.retain(|(entry, _)| !told(&entry.to_string()));
    kept.retain(|kept| !told(&kept.object));
    ((!entries.is_empty()).then(|| Journal::in_memory(header, entries)), kept)
}

/// Whether something that carries the run's mark has a name that the run gave. A clone is in the journal before it is asked for, so
/// only damage lets others count; and one that was finished and is recorded by its id has been seen to.
fn is_named(run: &str, vm: &SourceVm, records: &[Record], damaged: bool) -> bool {
    let recorded = records.iter().find(|record| matches!(&record.entry, Entry::Clone { name, .. } if *name == vm.name));
    match recorded {
        Some(record) => vm.id.is_empty() || record.reference.as_ref().is_none_or(|id| *id == vm.id),
        None => vm.name == names::source_namespace(run) || (damaged && names::is_clone(run, &vm.name)),
    }
}

/// Runs a clean-up within its time, tells what it does, and stops it when it is interrupted: the first time in order, the second
/// time at once.
async fn supervised(
    request: &CleanRequest,
    run: &str,
    work: impl AsyncFnOnce(&StepCx) -> Result<Done, Failure>,
) -> Result<Result<Done, Failure>, CliError> {
    let sinks: Vec<Box<dyn report::Sink>> = vec![Box::new(told::Lines { verbose: request.verbose })];
    let (events, reports) = report::start(sinks).map_err(|e| CliError::internal(format!("{e:#}")))?;
    let cancel = CancellationToken::new();
    let cx = StepCx {
        emitter: Emitter::new(run, events),
        deadline: Deadline::current().unwrap_or_else(|| Deadline::after(request.timeout)),
        cancel: cancel.clone(),
    };
    let mut interrupts = signals::from_system().map_err(|e| CliError::internal(format!("failed to listen for signals: {e}")))?;
    let interrupted = async {
        let mut counted = signals::Counted::default();
        if counted.next(&mut interrupts).await.is_none() {
            return std::future::pending().await;
        }
        cancel.cancel();
        let _ = tokio::time::timeout(GRACE, counted.next(&mut interrupts)).await;
    };
    let result = tokio::select! {
        biased;
        result = work(&cx) => result,
        () = interrupted => Err(Failure::Interrupted),
        // Waits end by themselves before; this is for a server that does not answer.
        () = tokio::time::sleep_until(cx.deadline.at() + GRACE) => Err(Failure::Errored(
            Diagnosis::new(Id::TeardownTimeout, format!("not done within {}", human(request.timeout))).hint("--timeout sets the time"),
        )),
    };
    drop(cx);
    reports.finish();
    Ok(result)
}

/// Connects to the cluster, and says whether it answers and takes the login.
async fn reach(request: &CleanRequest) -> Result<(Cluster, Result<(), Failure>), CliError> {
    let unusable = |error: anyhow::Error| environment(error.into());
    let cluster = Cluster::connect(&request.connect).await.map_err(unusable)?;
    if let Err(unreached) = cluster.greet().await {
        return Ok((cluster, Err(anyhow::Error::from(unreached).into())));
    }
    // A clean-up only takes away what runs made: it is not stopped, but it is told.
    if let Err(Failure::Failed(trouble) | Failure::Errored(trouble)) = protect::check(&cluster, &request.settings.settings.protect).await {
        tell(&format!("warning: {}; only what runs made there is deleted", mask(&trouble.summary)));
    }
    Ok((cluster, Ok(())))
}

/// The same where nothing can be done without the cluster.
async fn connect(request: &CleanRequest) -> Result<Cluster, CliError> {
    let (cluster, reached) = reach(request).await?;
    reached.map_err(environment)?;
    Ok(cluster)
}

async fn disconnect(sources: &Sources) {
    for source in sources.values().flatten() {
        source.disconnect().await;
    }
}

/// Why nothing can be done on a cluster.
enum Unusable {
    /// It is not the run's: names may exist there too.
    Another(Failure),
    /// It does not answer, or not this login.
    Silent(Failure),
}

/// Refuses another cluster than the run's.
async fn check_cluster(cluster: &Cluster, header: &Header) -> Result<(), Unusable> {
    let system = cluster.get(&mtv_api::kinds::NAMESPACE, None, "kube-system").await.map_err(|error| Unusable::Silent(error.into()))?;
    let id = system.and_then(|n| n.metadata.uid).unwrap_or_default();
    match &header.cluster {
        Some(of_run) if of_run.id != id => Err(Unusable::Another(Failure::Errored(
            Diagnosis::new(
                Id::ClusterMismatch,
                format!(
                    "the journal is of cluster {} (id {}), but {} is another one (id {id}); nothing was deleted",
                    of_run.server,
                    of_run.id,
                    cluster.server()
                ),
            )
            .hint("choose the right one with --kubeconfig and --context"),
        ))),
        _ => Ok(()),
    }
}

/// What keeps a clean-up from the cluster, with what was done beside it.
fn without_cluster(failure: Failure, done: &Done) -> Failure {
    let (Failure::Failed(mut trouble) | Failure::Errored(mut trouble)) = failure else { return failure };
    for left in &done.left {
        trouble.evidence.push(format!("{} is left: {}", left.object, left.reason));
    }
    let sources = if done.left.is_empty() { "nothing is left on the sources; " } else { "" };
    Failure::Errored(trouble.hint(format!("{sources}the same command takes the rest when the cluster can be used again")))
}

/// Connects to every source that still has something of the run, or to all that it had. One that cannot be reached leaves its
/// clones, with the reason.
async fn connect_sources(request: &CleanRequest, cluster: &Cluster, header: &Header, records: &[Record], all: bool) -> Sources {
    let left = records.iter().filter(|record| record.state != State::Gone).filter_map(|record| match &record.entry {
        Entry::Clone { profile, .. } | Entry::VolumeSnapshot { profile, .. } | Entry::AuthorizedKey { profile, .. } => Some(profile),
        Entry::Object { .. } | Entry::Patch { .. } => None,
    });
    let of_run = header.profiles.iter().filter(|_| all).map(|profile| &profile.name);
    let names: BTreeSet<&String> = left.chain(of_run).collect();
    let mut sources: Sources = BTreeMap::new();
    for name in names {
        let source = match load_profile(request, Some(header), name) {
            Ok(profile) => connect_source(&profile, cluster).await,
            Err(reason) => Err(reason),
        };
        sources.insert(name.clone(), source);
    }
    sources
}

async fn connect_source(profile: &Profile, cluster: &Cluster) -> Result<Arc<dyn Source>, Diagnosis> {
    // Boxed: each source has a large future of its own.
    let connect = Box::pin(async { providers::connect_at(profile, Some(cluster)).await.map(Arc::<dyn Source>::from) });
    in_its_share(connect, Diagnosis::from).await
}

/// Does something that a source must not take all of the time for: a third of what is left.
async fn in_its_share<T, E>(work: impl Future<Output = Result<T, E>>, diagnosed: impl FnOnce(E) -> Diagnosis) -> Result<T, Diagnosis> {
    let Some(whole) = Deadline::current() else { return work.await.map_err(diagnosed) };
    let share = whole.left() / 3;
    let done = tokio::time::timeout(share + GRACE, whole.within(share).scope(work)).await;
    match done {
        Ok(result) => result.map_err(diagnosed),
        Err(_) => {
            let text = format!("no answer within {}, a third of the time; --timeout sets it", human(share));
            Err(Diagnosis::new(Id::SourceTimeout, text))
        }
    }
}

/// The profile of a clone, from the user's own file only: `--providers`, a setting or the default. A path in a journal could be
/// anybody's, and a profile decides which secrets are read and where they are sent. A profile of the same name that is of another
/// source than the run's is refused before anybody is contacted.
fn load_profile(request: &CleanRequest, journal: Option<&Header>, name: &str) -> Result<Profile, Diagnosis> {
    let unusable = |text: String| Diagnosis::new(Id::TeardownProfileUnusable, text);
    let settings = &request.settings.settings;
    let file = &settings.providers;
    let shown = name.escape_debug();
    let load = || ProfileFile::load(file)?.select(name, &|name| std::env::var(name).ok());
    let (mut profile, _) = load().map_err(|error| {
        let of_run = journal.and_then(|header| header.providers_file.as_deref()).filter(|of_run| !same_file(of_run, file));
        let hint = of_run.map(|of_run| {
            let of_run = of_run.display().to_string();
            let of_run = of_run.escape_debug();
            format!("the run used profiles from {of_run}: if you trust that file, pass it with --providers")
        });
        unusable(format!("profile `{shown}` cannot be used: {error}")).hints(hint)
    })?;
    let known = journal.map(|header| header.profiles.as_slice()).unwrap_or_default();
    match known.iter().find(|known| known.name == name) {
        Some(of_run) if of_run.kind != profile.kind() || address(&of_run.endpoint) != address(&profile.api_url) => {
            return Err(unusable(format!(
                "profile `{shown}` of {} is of another source ({}) than that of the run ({}), which was not contacted",
                file.display(),
                place(profile.kind(), &profile.api_url),
                place(of_run.kind, &of_run.endpoint),
            ))
            .hint("choose the run's file with --providers")
            .hint(format!("`clean --orphans --provider {shown}` takes what carries the mark of runs that are over")));
        }
        None if !known.is_empty() => return Err(unusable(format!("the journal does not say that the run used profile `{shown}`"))),
        _ => {}
    }
    profile.override_tls(settings);
    Ok(profile)
}

fn same_file(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    whole(one) == whole(other)
}

/// An endpoint as it is compared.
fn address(endpoint: &str) -> &str {
    endpoint.trim().trim_end_matches('/')
}

/// A source for messages.
fn place(kind: ProviderKind, endpoint: &str) -> String {
    if endpoint.is_empty() {
        format!("{kind}, the cluster of the run")
    } else {
        format!("{kind}, {}", mask(&endpoint.escape_debug().to_string()))
    }
}

/// What keeps a command from its work, as the error that it ends with.
pub(super) fn environment(failure: Failure) -> CliError {
    match failure {
        Failure::Failed(diagnosis) | Failure::Errored(diagnosis) => CliError::diagnosed(exit::ENVIRONMENT, diagnosis),
        Failure::Interrupted => CliError::new(exit::INTERRUPTED, "interrupted"),
    }
}
