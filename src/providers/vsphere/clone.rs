//! Cloning: find the source, see that it is whole, clone it once and only once, see that the clone is what was asked for.

use std::time::Duration;

use mtv_api::xml::Node;
use tokio::time::Instant;

use super::{
    clone_spec::{clone_spec, repair},
    collector::retrieve,
    disks,
    fault::{explain, words},
    lookup, operate, place,
    placement::Place,
    props::{Object, along, encoded, filter, properties, start},
    session::{CALL, CallError, Live, Safety, Session},
    task::{self, Outcome},
    wire::{Fault, MoRef, request},
};
use crate::providers::{CloneRequest, Concerns, ProviderError, ProviderErrorKind, ProviderResult};

/// A full clone copies all disks; twenty minutes is what the suite of old allowed, and what its labs need.
const CLONE: Duration = Duration::from_mins(20);

/// Clones a VM or template. Returns the clone's id.
pub async fn clone(session: &Session, wanted: &CloneRequest) -> ProviderResult<String> {
    let live = session.live().await;
    if !live.vcenter {
        return Err(ProviderError::unsupported(format!(
            "{} cannot clone; its vCenter can (`clone_provider` of the profile)",
            live.product
        )));
    }
    let source = lookup::one(session, &wanted.source).await?;
    let (source, place) = place::locate(session, &MoRef::vm(&source.id), wanted).await?;
    place.check_space(&source, wanted)?;
    disks::make_folders(session, &place, wanted).await?;
    let id = make(session, &source, &place, wanted).await?;
    complete(session, &id, wanted).await?;
    disks::map_luns(session, &id, &place, wanted).await?;
    Ok(id)
}

/// Clones; once without new MAC addresses if vCenter says that one is in use.
async fn make(session: &Session, source: &Object, place: &Place, wanted: &CloneRequest) -> ProviderResult<String> {
    let doing = format!("clone `{}` to `{}`", wanted.source, wanted.name);
    match attempt(session, source, place, wanted, true, &doing).await? {
        Ok(id) => Ok(id),
        Err(fault) if words(&fault).contains("in use") => {
            tracing::debug!(fault = %words(&fault), "cloning again without new MAC addresses");
            attempt(session, source, place, wanted, false, &doing).await?.map_err(|fault| explain(&fault, &doing))
        }
        Err(fault) => Err(explain(&fault, &doing)),
    }
}

/// Sends the request, again only when the one before left no trace. A name is unique in its folder, so that even a trace that
/// came too late to be seen makes the next request fail instead of giving a second clone.
async fn attempt(
    session: &Session,
    source: &Object,
    place: &Place,
    wanted: &CloneRequest,
    edit_nics: bool,
    doing: &str,
) -> ProviderResult<Result<String, Fault>> {
    let spec = clone_spec(source, place, wanted, edit_nics)?;
    let body =
        || request("CloneVM_Task", &source.id).with(place.folder.node("folder")).field("name", encoded(&wanted.name)).with(spec.clone());
    let mut tries = session.policy().start();
    let mut lost = false;
    loop {
        tries.begin();
        let fault = match session.call(Safety::Once, CALL, |_| body()).await {
            Ok(response) => {
                let task = task::of_response(&response, doing)?;
                match task::finish(session, &task, doing, CLONE).await? {
                    Outcome::Success(Some(id)) => return Ok(Ok(id.value)),
                    // Some servers name no result; the clone has its name all the same.
                    Outcome::Success(None) => match trace(session, &source.id, wanted).await? {
                        Some(id) => return Ok(Ok(id)),
                        None => return Err(ProviderError::operation(format!("{doing}: {} succeeded but no clone is there", task.value))),
                    },
                    Outcome::Failure(fault) => fault,
                }
            }
            Err(CallError::Fault(fault)) => fault,
            Err(CallError::Unclear(why)) => {
                tracing::debug!(%why, "the answer to the clone request was lost; looking for the clone");
                if let Some(id) = trace(session, &source.id, wanted).await? {
                    return Ok(Ok(id));
                }
                lost = true;
                if tries.again(None).await {
                    continue;
                }
                let story = tries.story();
                return Err(ProviderError::unreachable(format!("{doing}: each answer was lost ({why}) and no clone is there{story}")));
            }
            Err(CallError::Other(error)) => return Err(error),
        };
        if lost
            && fault.kind == "DuplicateName"
            && let Some(id) = trace(session, &source.id, wanted).await?
        {
            return Ok(Ok(id));
        }
        return Ok(Err(fault));
    }
}

/// What a lost request left behind: waits for clone tasks of the source that run, then looks for the clone by name and mark.
async fn trace(session: &Session, source: &MoRef, wanted: &CloneRequest) -> ProviderResult<Option<String>> {
    let doing = format!("look for the clone `{}`", wanted.name);
    let tasks = under_way(session, &doing, |_| start(source, true, [along("VirtualMachine", "recentTask", [])])).await?;
    for task in &tasks {
        // Whether it was ours shows below; how it ended is its own affair.
        let _ = task::finish(session, &task.id, &doing, CLONE).await?;
    }
    let found = lookup::by_names(session, std::slice::from_ref(&wanted.name)).await?;
    match found.into_iter().next() {
        None => Ok(None),
        Some(vm) if vm.run.as_deref() == Some(wanted.run.as_str()) => Ok(Some(vm.id)),
        Some(vm) => {
            Err(ProviderError::operation(format!("{doing}: {} has this name but is not of run {}; it stays as it is", vm.id, wanted.run)))
        }
    }
}

/// Clone tasks that are queued or run, of the VMs that `from` leads to.
async fn under_way(session: &Session, doing: &str, from: impl Fn(&Live) -> Node) -> ProviderResult<Vec<Object>> {
    let paths = ["info.state", "info.descriptionId", "info.entityName"];
    let tasks = retrieve(session, |live| filter("specSet", [properties("Task", &paths)], [from(live)]))
        .await
        .map_err(|error| error.explained(doing))?;
    let runs = |task: &Object| {
        task.text("info.descriptionId").is_some_and(|id| id.starts_with("VirtualMachine.clone"))
            && matches!(task.text("info.state"), Some("queued" | "running"))
    };
    Ok(tasks.into_iter().filter(runs).collect())
}

/// Waits for the clone tasks of all VMs whose name `concerns`. A task does not tell the name of what it makes before its end, so
/// none is cancelled: it may be somebody else's.
pub async fn settle(session: &Session, concerns: &Concerns<'_>, patience: Duration) -> ProviderResult<Vec<String>> {
    const DOING: &str = "look for clones that are being made";
    let until = Instant::now() + patience;
    let tasks = under_way(session, DOING, |live| {
        start(&live.view, true, [along("ContainerView", "view", [along("VirtualMachine", "recentTask", [])])])
    })
    .await?;
    let mut left = Vec::new();
    for task in &tasks {
        let source = task.text("info.entityName").unwrap_or_default();
        if !concerns(source) {
            continue;
        }
        match task::finish(session, &task.id, DOING, until.saturating_duration_since(Instant::now())).await {
            Ok(_) => {}
            Err(error) if error.is(ProviderErrorKind::Deadline) => {
                left.push(format!("{} still makes a clone of VM {source}", task.id.value));
            }
            // It has ended and is forgotten already.
            Err(why) if why.is(ProviderErrorKind::Operation) => tracing::debug!(%why, "a clone task could not be followed to its end"),
            Err(error) => return Err(error),
        }
    }
    Ok(left)
}

/// Sees that the clone carries what was asked for, and adds what the server left out of it.
async fn complete(session: &Session, id: &str, wanted: &CloneRequest) -> ProviderResult<()> {
    let vm = MoRef::vm(id);
    let doing = format!("check the clone `{}` ({id})", wanted.name);
    let objects = retrieve(session, |_| {
        filter(
            "specSet",
            [properties("VirtualMachine", &["runtime.connectionState", "config.changeTrackingEnabled", lookup::MARK_PATH])],
            [start(&vm, false, [])],
        )
    })
    .await
    .map_err(|error| error.explained(&doing))?;
    let clone = objects.first().ok_or_else(|| ProviderError::not_found(format!("{doing}: it does not exist (any more)")))?;
    if let Some(state @ ("inaccessible" | "invalid" | "orphaned")) = clone.text("runtime.connectionState") {
        return Err(ProviderError::operation(format!("{doing}: its connection state is `{state}`")));
    }
    let unmarked = lookup::run_of(clone).as_deref() != Some(wanted.run.as_str());
    let untracked = wanted.changed_block_tracking && clone.text("config.changeTrackingEnabled") != Some("true");
    if unmarked || untracked {
        let spec = repair(unmarked.then_some(wanted.run.as_str()), untracked);
        operate::reconfigure(session, Safety::Repeatable, id, &spec, &doing).await?;
    }
    Ok(())
}
