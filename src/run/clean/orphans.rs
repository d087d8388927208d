//! `clean --orphans`: what runs have left whose journal is lost. Labels and marks prove whose it is, its age that the run is over.

use std::{fs, time::Duration};

use futures::StreamExt as _;

use super::{
    connect, connect_source, disconnect, environment,
    found::{self, Found, Left},
    in_its_share,
    life::Lives,
    load_profile, supervised, told,
};
use crate::{
    cli::{CleanRequest, CliError, CliResult, say, tell},
    cluster::Cluster,
    diagnosis::Diagnosis,
    engine::{Failure, Leftover, StepCx, human},
    exit,
    journal::{self, Header, Holder, Journal},
    run::{Done, Sources, Teardown, names::RUN_LABEL},
    secrets::mask,
};

/// So many runs are cleaned up at the same time.
const SIDE_BY_SIDE: usize = 4;

/// A run that has left something.
struct Orphan {
    run: String,
    left: Left,
}

/// Finds what dead runs have left and deletes it.
pub async fn clean(request: &CleanRequest, older_than: Duration) -> CliResult {
    let cluster = connect(request).await?;
    let mut sources = Sources::new();
    if let Some(name) = &request.settings.settings.source_provider {
        let profile = load_profile(request, None, name).map_err(|diagnosis| CliError::diagnosed(exit::USAGE, diagnosis))?;
        sources.insert(name.clone(), connect_source(&profile, &cluster).await);
    }
    // A source that cannot be searched keeps its clones; the cluster is cleaned all the same.
    let mut unsearched = Vec::new();
    let look = async {
        let mut found = found::on_cluster(&cluster, None).await;
        for (profile, source) in &sources {
            let searched = match source {
                Ok(source) => in_its_share(found.add_source(source.as_ref(), profile), Diagnosis::from).await,
                Err(reason) => Err(reason.clone()),
            };
            if let Err(diagnosis) = searched {
                let reason = diagnosis.one_line();
                unsearched.push(Leftover { object: format!("clones on the source `{profile}`, if there are any"), reason });
            }
        }
        found
    };
    let found = look.await;
    for why in &found.blind {
        tell(&format!("warning: {why}; objects of this kind are not looked for"));
    }
    if found.blind.len() > 1 && found.runs.is_empty() {
        let why = found.blind.first().map(|why| format!(": {}", mask(why))).unwrap_or_default();
        return Err(CliError::environment(format!("{} cannot be searched{why}", cluster.server()))
            .hint("is it an API server, and is the login allowed to list objects in all namespaces?"));
    }
    told::kept(&found.kept);
    if sources.is_empty() {
        tell("no source was looked at for clones: name one with --provider PROFILE");
    }
    let orphans = dead(request, &cluster, found, older_than).await?;
    if orphans.is_empty() && unsearched.is_empty() {
        say("nothing is left of runs that are over");
        return Ok(exit::PASSED);
    }
    let object_limit = request.settings.settings.object_timeout;
    let result = supervised(request, "orphans", async |cx| {
        let mut all = Done { left: unsearched.clone(), ..Done::default() };
        let work: Vec<_> = orphans.iter().map(|orphan| clean_one(&cluster, orphan, &sources, object_limit, request.dry_run, cx)).collect();
        let results: Vec<_> = futures::stream::iter(work).buffer_unordered(SIDE_BY_SIDE).collect().await;
        for result in results {
            all.add(result?);
        }
        Ok(all)
    })
    .await?;
    disconnect(&sources).await;
    match result {
        Err(failure @ (Failure::Failed(_) | Failure::Errored(_))) => Err(environment(failure)),
        other if request.dry_run => told::planned(&whose(orphans.len()), other),
        other => told::ending(&whose(orphans.len()), other),
    }
}

async fn clean_one(
    cluster: &Cluster,
    orphan: &Orphan,
    sources: &Sources,
    limit: Duration,
    dry: bool,
    cx: &StepCx,
) -> Result<Done, Failure> {
    say(&format!("run {}: {}", orphan.run, describe(&orphan.left)));
    let journal = journal(orphan);
    Teardown::new(cluster, &journal, &orphan.run, sources.clone(), limit).dry_run(dry).everything(cx).await
}

/// Runs that are over: whatever they have made is older than the time given, no process here has their journal open, and they show
/// no sign of life. All times are the cluster's.
async fn dead(request: &CleanRequest, cluster: &Cluster, found: Found, older_than: Duration) -> Result<Vec<Orphan>, CliError> {
    if found.runs.is_empty() {
        return Ok(Vec::new());
    }
    let lives = Lives::read(cluster).await?;
    let here = running_here(request);
    let mut old = Vec::new();
    for (run, left) in found.runs {
        if let Some(holder) = here.iter().find(|holder| holder.run == run) {
            say(&format!("run {run}: {} kept, it still goes on ({holder})", describe(&left)));
        } else if left.newest.is_none_or(|newest| lives.age(newest) < older_than) {
            say(&format!("run {run}: {} kept, younger than {}", describe(&left), human(older_than)));
        } else {
            old.push(Orphan { run, left });
        }
    }
    let runs: Vec<&str> = old.iter().map(|orphan| orphan.run.as_str()).collect();
    let kept = lives.kept(cluster, &runs, request.timeout).await.map_err(environment)?;
    let mut orphans = Vec::new();
    for (orphan, why) in old.into_iter().zip(kept) {
        match why {
            Some(why) => say(&format!("run {}: {} kept, {why}", orphan.run, describe(&orphan.left))),
            None => orphans.push(orphan),
        }
    }
    Ok(orphans)
}

/// Runs whose journals in the results folder are held by a process.
fn running_here(request: &CleanRequest) -> Vec<Holder> {
    let Ok(folders) = fs::read_dir(&request.settings.settings.results_dir) else { return Vec::new() };
    folders.flatten().filter_map(|folder| journal::holder(&folder.path().join("resources.json"))).collect()
}

fn journal(orphan: &Orphan) -> Journal {
    let header = Header {
        run: orphan.run.clone(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        started: orphan.left.newest.unwrap_or_default(),
        label: format!("{RUN_LABEL}={}", orphan.run),
        cluster: None,
        profiles: Vec::new(),
        providers_file: None,
        ephemeral: false,
    };
    Journal::in_memory(&header, orphan.left.entries.iter().cloned())
}

fn describe(left: &Left) -> String {
    let newest = left.newest.map_or_else(String::new, |newest| format!(", the youngest of {newest:.0}"));
    format!("{}{newest}", plural(left.entries.len(), "object"))
}

/// What the end of the clean-up is about. Without runs, only sources that could not be searched are left.
fn whose(runs: usize) -> String {
    if runs == 0 { "the runs that are over".to_owned() } else { format!("{} that were over", plural(runs, "run")) }
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
