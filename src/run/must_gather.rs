//! `must-gather` as a command: a small run of its own, with a journal, so that `clean` can take away what it had to leave.

use jiff::Timestamp;
use mtv_api::{
    forklift::{PlanSpec, PlanStatus},
    kinds,
};
use tokio_util::sync::CancellationToken;

use super::{
    Owner, Teardown,
    clean::{Lines, environment},
    execute::{again, runtime},
    names, protect,
    session::connect_cluster,
};
use crate::{
    cli::{CliError, CliResult, GatherRequest, say, tell},
    cluster::{Cluster, ObjectExt as _},
    engine::{Deadline, Emitter, Failure, StepCx, signals},
    exit,
    gather::{self, Target},
    journal::{self, Header, Journal},
    report::{self, console::clean_command, log, results, screen::Screen},
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
    let results = results::create(&settings.results_dir, &id).map_err(usage)?;
    let rust_log = std::env::var("RUST_LOG").ok();
    log::init(Some(&results.log), &Screen::of_process(), request.verbose, rust_log.as_deref()).map_err(usage)?;
    log::catch_panics();
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
    tokio::spawn(async move {
        if interrupts.recv().await.is_some() {
            cancel.cancel();
        }
    });
    let cluster = connect_cluster(&request.connect).await.map_err(environment)?;
    protect::check(&cluster, &settings.protect).await.map_err(environment)?;
    let system = cluster.get(&kinds::NAMESPACE, None, "kube-system").await.map_err(|e| environment(e.into()))?;
    let cluster_id = system.and_then(|s| s.metadata.uid).unwrap_or_default();
    journal.connected(journal::Cluster { server: cluster.server(), id: cluster_id }).await.map_err(internal)?;
    let owner = Owner { cluster: cluster.clone(), journal: journal.clone(), run: id.clone() };
    let folder = request.folder.clone().unwrap_or_else(|| results.dir.join("must-gather"));
    let result = match targeted(&cluster, request.target.clone()).await {
        Ok(target) => gather::gather(&owner, &cx, &settings.mtv_namespace, &target, &folder, limit).await,
        Err(failure) => Err(failure),
    };
    // Whatever came of it, and also after an interrupt: nothing stays behind.
    let patient = StepCx { cancel: CancellationToken::new(), ..cx.clone() };
    let teardown = Teardown::new(&cluster, &journal, &id, [].into(), settings.object_timeout);
    let left = teardown.everything(&patient).await.map(|done| done.left);
    drop((cx, patient));
    reports.finish();
    let gathered = result.map_err(environment)?;
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

/// The plan must be there, else the image gathers nothing; the image knows VMs by their id.
async fn targeted(cluster: &Cluster, mut target: Target) -> Result<Target, Failure> {
    let Some((namespace, name)) = &target.plan else { return Ok(target) };
    let plan = cluster.get(&kinds::PLAN, Some(namespace), name).await?;
    let plan = plan.ok_or_else(|| anyhow::anyhow!("Plan {namespace}/{name} does not exist"))?;
    if let Some(vm) = &target.vm {
        let spec: PlanSpec = plan.spec();
        let status: PlanStatus = plan.status();
        let migrated = status.migration.into_iter().flat_map(|m| m.vms).map(|vm| (vm.id, vm.name));
        let planned = spec.vms.into_iter().map(|vm| (vm.id.unwrap_or_default(), vm.name.unwrap_or_default()));
        let id = planned.chain(migrated).find(|(id, name)| id == vm || name == vm).map(|(id, _)| id).filter(|id| !id.is_empty());
        target.vm = Some(id.ok_or_else(|| anyhow::anyhow!("Plan {namespace}/{name} has no VM `{vm}`"))?);
    }
    Ok(target)
}
