//! `must-gather` as a command: a small run of its own, with a journal, so that `clean` can take away what it had to leave.

use std::time::Duration;

use jiff::Timestamp;
use mtv_api::{
    forklift::{PlanSpec, PlanStatus},
    kinds,
};
use tokio_util::sync::CancellationToken;

use super::{
    Owner, Teardown,
    clean::{Lines, environment},
    execute::{again, new_results, runtime},
    names, protect,
    session::connect_cluster,
};
use crate::{
    cli::{CliError, CliResult, GatherRequest, say, tell},
    cluster::{Cluster, ObjectExt as _},
    config::suggest::nearest,
    diagnosis::{Diagnosis, Id},
    engine::{Deadline, Emitter, Failure, StepCx, human, signals},
    exit::{self, ExitCode},
    gather::{self, Target},
    journal::{self, Header, Journal},
    report::{self, console::clean_command, log, screen::Screen},
    secrets::mask,
};

/// Gathers, deletes, and says where everything is.
pub fn must_gather(request: GatherRequest) -> CliResult {
    runtime()?.block_on(carry_out(request))
}

async fn carry_out(request: GatherRequest) -> CliResult {
    let settings = &request.settings.settings;
    let usage = |error: anyhow::Error| CliError::usage(format!("{error:#}"));
    let internal = |error: anyhow::Error| CliError::internal(format!("{error:#}"));
    let mut interrupts = signals::from_system().map_err(|e| CliError::internal(format!("failed to listen for signals: {e}")))?;
    let id = names::run_id().map_err(internal)?;
    let results = new_results(settings, &id)?;
    let rust_log = std::env::var("RUST_LOG").ok();
    log::init(Some(&results.log), &Screen::of_process(), request.verbose, rust_log.as_deref()).map_err(usage)?;
    log::catch_panics();
    if let Some(warning) = &results.warning {
        tell(&format!("warning: {warning}"));
    }
    let header = Header {
        run: id.clone(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        started: Timestamp::now(),
        label: format!("{}={id}", names::RUN_LABEL),
        cluster: None,
        profiles: Vec::new(),
        providers_file: None,
        ephemeral: false,
    };
    let journal = Journal::create(&results.resources, &header).map_err(usage)?;
    let (events, reports) = report::start(vec![Box::new(Lines { verbose: request.verbose })]).map_err(internal)?;
    let cancel = CancellationToken::new();
    let limit = settings.must_gather_timeout;
    let deadline = Deadline::after(limit + settings.object_timeout * 2);
    let cx = StepCx { emitter: Emitter::new(&id, events), deadline, cancel: cancel.clone() };
    let stop = CancellationToken::new();
    let second = stop.clone();
    tokio::spawn(async move {
        let mut counted = signals::Counted::default();
        for token in [cancel, second] {
            if counted.next(&mut interrupts).await.is_none() {
                return;
            }
            token.cancel();
        }
    });
    let connecting = async {
        let cluster = connect_cluster(&request.connect).await?;
        protect::check(&cluster, &settings.protect).await?;
        let system = cluster.get(&kinds::NAMESPACE, None, "kube-system").await?;
        Ok((cluster, system.and_then(|s| s.metadata.uid).unwrap_or_default()))
    };
    let connected: Result<(Cluster, String), Failure> = tokio::select! {
        connected = deadline.within(limit).scope(connecting) => connected,
        () = cx.cancel.cancelled() => Err(Failure::Interrupted),
        () = tokio::time::sleep(limit) => Err(Failure::Errored(
            Diagnosis::new(Id::MustGatherTimeout, format!("the cluster was not reached within {}", human(limit))).hint("must_gather_timeout gives it more time"),
        )),
    };
    let (cluster, cluster_id) = match connected {
        Ok(connected) => connected,
        Err(failure) => {
            let error = environment(failure);
            note_end(&journal, error.exit()).await;
            return Err(error);
        }
    };
    journal.connected(journal::Cluster { server: cluster.server(), id: cluster_id }).await.map_err(internal)?;
    let owner = Owner { cluster: cluster.clone(), journal: journal.clone(), run: id.clone() };
    let collector = settings.data_collector_path.as_ref().map(|path| path.join(&id));
    let folder = request.folder.clone().or(collector).unwrap_or_else(|| results.dir.join("must-gather"));
    let target = tokio::select! {
        target = deadline.within(limit).scope(targeted(&cluster, request.target.clone())) => target,
        () = cx.cancel.cancelled() => Err(Failure::Interrupted),
    };
    let result = match target {
        Ok(target) => gather::gather(&owner, &cx, &settings.mtv_namespace, &target, &folder, limit).await,
        Err(failure) => Err(failure),
    };
    // Whatever came of it, and also after an interrupt: nothing stays behind, unless a second one says so.
    let patient = StepCx { cancel: stop, ..cx.clone() };
    let teardown = Teardown::new(&cluster, &journal, &id, [].into(), settings.object_timeout);
    let left = tokio::select! {
        done = deadline.scope(teardown.everything(&patient)) => done.map(|done| done.left),
        () = tokio::time::sleep_until(deadline.at() + GRACE) => Err(Failure::Errored(
            Diagnosis::new(Id::TeardownTimeout, format!("the deletion was not done within {}", human(settings.object_timeout * 2)))
                .hint(format!("mtv-test clean {}", results.resources.display())),
        )),
    };
    drop((cx, patient));
    reports.finish();
    let exit = match (&result, &left) {
        (Err(Failure::Interrupted), _) | (_, Err(Failure::Interrupted)) => exit::INTERRUPTED,
        (Ok(_), Ok(left)) if left.is_empty() => exit::PASSED,
        (Ok(_), Ok(_)) => exit::LEFT_BEHIND,
        _ => exit::ENVIRONMENT,
    };
    note_end(&journal, exit).await;
    let gathered = result.map_err(|failure| environment(failure.advised()))?;
    for note in &gathered.notes {
        tell(&format!("note: {note}"));
    }
    say(&format!("{} files in {}", gathered.files, gathered.folder.display()));
    let left = left.map_err(environment)?;
    if left.is_empty() {
        return Ok(exit::PASSED);
    }
    for left in left {
        say(&format!("left behind: {}: {}", left.object, mask(&left.reason)));
    }
    say(&clean_command(&results.resources, &again(&request.cluster, &request.connect, &settings.providers)));
    Ok(exit::LEFT_BEHIND)
}

/// How far beyond its time a deletion may go: a wait that ends by itself tells more.
const GRACE: Duration = Duration::from_secs(2);

/// Notes that the small run is over. What cannot be written keeps nothing from being cleaned up later.
async fn note_end(journal: &Journal, exit: ExitCode) {
    if let Err(error) = journal.ended(exit.code).await {
        tracing::warn!(error = format!("{error:#}"), "the end was not noted");
    }
}

/// Most Plans that a hint lists.
const MOST_SHOWN: usize = 5;

/// A Plan that is not there, with those that are.
async fn no_plan(cluster: &Cluster, namespace: &str, name: &str) -> Failure {
    let trouble = Diagnosis::new(Id::ObjectMissing, format!("Plan {namespace}/{name} does not exist"));
    let Ok(all) = cluster.list(&kinds::PLAN, None, "").await else { return Failure::Errored(trouble) };
    let told = |plan: &kube::api::DynamicObject| {
        let metadata = &plan.metadata;
        format!("{}/{}", metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
    };
    let names: Vec<String> = all.iter().map(told).collect();
    let near = nearest(&format!("{namespace}/{name}"), names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
    Failure::Errored(match (near, names.len()) {
        (Some(near), _) => trouble.hint(near),
        (None, 0) => trouble.hint("the cluster has no Plan; without --plan the whole of MTV is gathered"),
        (None, 1..=MOST_SHOWN) => trouble.hint(format!("the cluster has {}", names.join(", "))),
        (None, many) => trouble.hint(format!("the cluster has {many} Plans, such as {}", names[..MOST_SHOWN].join(", "))),
    })
}

/// The plan must be there, else the image gathers nothing; the image knows VMs by their id.
async fn targeted(cluster: &Cluster, mut target: Target) -> Result<Target, Failure> {
    let Some((namespace, name)) = &target.plan else { return Ok(target) };
    let plan = cluster.get(&kinds::PLAN, Some(namespace), name).await?;
    let Some(plan) = plan else { return Err(no_plan(cluster, namespace, name).await) };
    if let Some(vm) = &target.vm {
        let spec: PlanSpec = plan.spec();
        let status: PlanStatus = plan.status();
        let migrated = status.migration.into_iter().flat_map(|m| m.vms).map(|vm| (vm.id, vm.name));
        let planned = spec.vms.into_iter().map(|vm| (vm.id.unwrap_or_default(), vm.name.unwrap_or_default()));
        let known: Vec<(String, String)> = planned.chain(migrated).collect();
        let id = known.iter().find(|(id, name)| id == vm || name == vm).map(|(id, _)| id.clone()).filter(|id| !id.is_empty());
        let names = || known.iter().flat_map(|(id, name)| [name.as_str(), id.as_str()]).filter(|word| !word.is_empty());
        let Some(id) = id else {
            let all: Vec<&str> = names().collect();
            let trouble = Diagnosis::new(Id::ObjectMissing, format!("Plan {namespace}/{name} has no VM `{vm}`"));
            let near = nearest(vm, names()).map(|near| format!("did you mean `{near}`?"));
            return Err(Failure::Errored(trouble.hint(near.unwrap_or_else(|| format!("it has {}", all.join(", "))))));
        };
        target.vm = Some(id);
    }
    Ok(target)
}
