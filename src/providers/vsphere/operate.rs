//! Power, guest information, snapshots and deletion of one VM.

use std::time::Duration;

use mtv_api::xml::Node;

use super::{
    collector::{Awaited, Ended, retrieve, wait},
    describe::{self, has_address, power, tools_run},
    fault::explain,
    props::{filter, properties, start},
    session::{CALL, CallError, Safety, Session},
    task::{self, Outcome},
    wire::{Fault, MoRef, request},
};
use crate::{
    config::scenario::PowerWish,
    providers::{Power, ProviderError, ProviderErrorKind, ProviderResult},
};

/// Powering on or off. Hosts under load take a minute; the suite of old gave up after one.
const POWER: Duration = Duration::from_mins(3);
/// Deleting removes the files of all disks.
const DELETE: Duration = Duration::from_mins(5);
/// A snapshot without memory waits for the disks to be quiet.
const SNAPSHOT: Duration = Duration::from_mins(10);

/// Calls a method that gives a task, and waits for its end. The fault of either comes back as it is.
async fn run(
    session: &Session,
    safety: Safety,
    patience: Duration,
    doing: &str,
    body: impl Fn() -> Node,
) -> ProviderResult<Result<(), Fault>> {
    let mut tries = session.policy().start();
    loop {
        tries.begin();
        let fault = match session.call(safety, CALL, |_| body()).await {
            Ok(response) => {
                let task = task::of_response(&response, doing)?;
                match task::finish(session, &task, doing, patience).await? {
                    Outcome::Success(_) => return Ok(Ok(())),
                    Outcome::Failure(fault) => fault,
                }
            }
            Err(CallError::Fault(fault)) => fault,
            Err(other) => return Err(other.explained(doing)),
        };
        // Another operation on the machine, perhaps our own of a moment ago, is not over yet.
        if fault.kind != "TaskInProgress" || safety == Safety::Once || !tries.again(None).await {
            return Ok(Err(fault));
        }
    }
}

/// Brings a VM to a power state. The method is called without asking first: "it is so already" is a fault of its own.
pub async fn set_power(session: &Session, id: &str, wanted: PowerWish) -> ProviderResult<()> {
    let (method, word, state) = match wanted {
        PowerWish::On => ("PowerOnVM_Task", "on", "poweredOn"),
        PowerWish::Off => ("PowerOffVM_Task", "off", "poweredOff"),
    };
    let doing = format!("power {word} {id}");
    match run(session, Safety::Repeatable, POWER, &doing, || request(method, &MoRef::vm(id))).await? {
        Ok(()) => Ok(()),
        Err(fault) if fault.kind == "InvalidPowerState" && fault.detail.get("existingState") == Some(state) => Ok(()),
        Err(fault) => Err(explain(&fault, &doing)),
    }
}

/// Waits until tools run and the guest reports an address.
pub async fn wait_for_guest(session: &Session, id: &str, patience: Duration) -> ProviderResult<bool> {
    let vm = MoRef::vm(id);
    let awaited = Awaited {
        object: &vm,
        paths: &["guest.net", "guest.toolsRunningStatus", "guest.toolsStatus"],
        what: &format!("guest information of {id}"),
        patience,
    };
    let ended = wait(session, awaited, |props| {
        let text = |path: &str| props.get(path).map(|node| node.text.as_str()).filter(|text| !text.is_empty());
        let ready = tools_run(text("guest.toolsRunningStatus"), text("guest.toolsStatus")) && has_address(props.get("guest.net"));
        ready.then_some(())
    })
    .await?;
    match ended {
        Ended::Done(()) => Ok(true),
        Ended::Gone => Err(ProviderError::not_found(format!("wait for guest information: {id} does not exist (any more)"))),
        Ended::Late(seen) => {
            tracing::debug!(
                vm = id,
                seconds = patience.as_secs(),
                tools = seen.get("guest.toolsRunningStatus").map_or("not said", |node| node.text.as_str()),
                "the guest did not report its network in time"
            );
            Ok(false)
        }
    }
}

/// Takes a snapshot without memory and without quiescing: tools may be missing. When the answer is lost, a snapshot of this
/// name proves that it was taken.
pub async fn snapshot(session: &Session, id: &str, name: &str) -> ProviderResult<()> {
    let doing = format!("snapshot {id} as `{name}`");
    let vm = MoRef::vm(id);
    let body = || request("CreateSnapshot_Task", &vm).field("name", name).field("memory", false).field("quiesce", false);
    let mut tries = session.policy().start();
    loop {
        tries.begin();
        let why = match session.call(Safety::Once, CALL, |_| body()).await {
            Ok(response) => {
                let task = task::of_response(&response, &doing)?;
                return match task::finish(session, &task, &doing, SNAPSHOT).await? {
                    Outcome::Success(_) => Ok(()),
                    Outcome::Failure(fault) => Err(explain(&fault, &doing)),
                };
            }
            Err(CallError::Unclear(why)) => why,
            Err(other) => return Err(other.explained(&doing)),
        };
        tracing::debug!(%why, "the answer to the snapshot request was lost; looking for the snapshot");
        task::settle(session, &vm, "VirtualMachine.createSnapshot", &doing, SNAPSHOT).await?;
        if describe::vm(session, id).await?.snapshots.iter().any(|snapshot| snapshot.name == name) {
            return Ok(());
        }
        if !tries.again(None).await {
            let story = tries.story();
            return Err(ProviderError::unreachable(format!("{doing}: each answer was lost ({why}) and no snapshot is there{story}")));
        }
    }
}

/// Powers off and deletes. What is gone already is success, at every step.
pub async fn delete(session: &Session, id: &str) -> ProviderResult<()> {
    let vm = MoRef::vm(id);
    let doing = format!("delete {id}");
    let state =
        retrieve(session, |_| filter("specSet", [properties("VirtualMachine", &["runtime.powerState"])], [start(&vm, false, [])])).await;
    let objects = match state {
        Ok(objects) => objects,
        Err(CallError::Fault(fault)) if fault.is_gone(id) => return Ok(()),
        Err(error) => return Err(error.explained(&doing)),
    };
    let Some(object) = objects.first() else { return Ok(()) };
    if power(object.text("runtime.powerState")) != Power::Off {
        match set_power(session, id, PowerWish::Off).await {
            Err(error) if error.is(ProviderErrorKind::NotFound) => return Ok(()),
            other => other?,
        }
    }
    match run(session, Safety::Repeatable, DELETE, &doing, || request("Destroy_Task", &vm)).await? {
        Ok(()) => Ok(()),
        Err(fault) if fault.is_gone(id) => Ok(()),
        Err(fault) => Err(explain(&fault, &doing)),
    }
}

/// Changes a VM's configuration.
pub async fn reconfigure(session: &Session, safety: Safety, id: &str, spec: &Node, doing: &str) -> ProviderResult<()> {
    let body = || request("ReconfigVM_Task", &MoRef::vm(id)).with(spec.clone());
    run(session, safety, POWER, doing, body).await?.map_err(|fault| explain(&fault, doing))
}
