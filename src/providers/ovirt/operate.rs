//! Power, guest information, snapshots and deletion of one VM.

use std::time::Duration;

use futures::FutureExt as _;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    lookup,
    session::{New, Request, Session},
    wire::{fault, members, search, term, text},
};
use crate::{
    config::scenario::PowerWish,
    providers::{Leaving, Power, ProviderError, ProviderErrorKind, ProviderResult, poll::Wait},
};

/// Number of the event that says that a user stopped a VM. A shutdown, by whom ever, has another one.
const USER_STOPPED: &str = "33";
/// Most events that are asked for: a VM of a test has a few dozen.
const EVENTS: u32 = 1000;
/// Starting and stopping: mtv-api-tests' 600 s.
const POWER: Duration = Duration::from_mins(10);
/// Deleting a VM with its disks: mtv-api-tests' 600 s.
const DELETE: Duration = Duration::from_mins(10);
/// What the engine says where another operation holds a VM or its disks: "Please try again later", "… in a few minutes".
const LOCKED: &str = "try again";
/// A snapshot without memory.
const SNAPSHOT: Duration = Duration::from_mins(10);

/// The power of a VM by its status.
pub fn power(status: &str) -> Power {
    match status {
        "up" => Power::On,
        "down" => Power::Off,
        _ => Power::Other,
    }
}

async fn status(session: &Session, id: &str, doing: &str) -> ProviderResult<Option<String>> {
    let vm = session.get_if_there("GET vms/ID", &format!("/vms/{id}"), doing).await?;
    Ok(vm.map(|vm| text(&vm, "/status").to_owned()))
}

/// Calls an action of a VM; the engine's words if it refuses because of the state that the VM is in.
async fn act(session: &Session, id: &str, action: &str, doing: &str) -> ProviderResult<Option<String>> {
    let path = format!("/vms/{id}/{action}");
    let reply = session.call(&Request::post((), &format!("POST vms/ID/{action}"), &path, &json!({}))).await?;
    match reply.status {
        status if status.is_success() => Ok(None),
        StatusCode::CONFLICT | StatusCode::BAD_REQUEST => Ok(Some(fault(&reply.body).unwrap_or_default())),
        _ => Err(session.refused(&reply, doing)),
    }
}

/// Brings a VM to a power state. A running guest is asked to shut down and not cut off: the engine writes event 33 for the
/// latter, which is what a check after the migration looks for.
pub async fn set_power(session: &Session, id: &str, wanted: PowerWish) -> ProviderResult<()> {
    let (action, word, from, to) = match wanted {
        PowerWish::On => ("start", "on", "down", "up"),
        PowerWish::Off => ("shutdown", "off", "up", "down"),
    };
    let doing = format!("power {word} {id}");
    switch(session, id, action, (from, to), &doing).await.map(drop)
}

/// Calls an action and waits until the VM has the state that it leads to. A refusal may be about a moment, an operation that ends
/// just now, so it is asked for again a few times as long as the VM stays where it was; what is refused for good is told.
async fn switch(session: &Session, id: &str, action: &str, (from, to): (&str, &str), doing: &str) -> ProviderResult<()> {
    let mut wait = Wait::new(format!("to {doing}"), POWER);
    let mut tries = session.rest().policy().start();
    // Whether the engine has taken the action.
    let mut taken = false;
    loop {
        match status(session, id, doing).await?.as_deref() {
            None => return Err(ProviderError::not_found(format!("{doing}: the VM does not exist (any more)"))),
            Some(now) if now == to => return Ok(()),
            Some(now) if !taken && (now == from || action == "stop") => {
                tries.begin();
                let Some(why) = act(session, id, action, doing).await? else {
                    taken = true;
                    continue;
                };
                if !tries.again(None).await {
                    return Err(ProviderError::operation(format!("failed to {doing}: the engine answered: {why}")));
                }
            }
            Some(now) => wait.pause(now).await?,
        }
    }
}

/// Addresses that a guest reports, by MAC address.
pub async fn reported(session: &Session, id: &str) -> ProviderResult<Vec<(String, Vec<String>)>> {
    let body = session.get("GET vms/ID/reporteddevices", &format!("/vms/{id}/reporteddevices"), "read guest information").await?;
    Ok(reported_devices(members(&body, "reported_device")))
}

/// Reads reported devices.
pub fn reported_devices(devices: &[Value]) -> Vec<(String, Vec<String>)> {
    let addresses = |device: &Value| members(&device["ips"], "ip").iter().map(|ip| text(ip, "/address").to_owned()).collect();
    devices.iter().map(|device| (text(device, "/mac/address").to_lowercase(), addresses(device))).collect()
}

/// Waits until the guest agent reports an address.
pub async fn wait_for_guest(session: &Session, id: &str, patience: Duration) -> ProviderResult<bool> {
    let mut wait = Wait::new(format!("for guest information of {id}"), patience);
    loop {
        if reported(session, id).await?.iter().any(|(_, addresses)| !addresses.is_empty()) {
            return Ok(true);
        }
        match wait.pause("no address yet").await {
            Ok(()) => {}
            Err(error) if error.is(ProviderErrorKind::Deadline) => return Ok(false),
            Err(other) => return Err(other),
        }
    }
}

/// Takes a snapshot without memory.
pub async fn snapshot(session: &Session, id: &str, name: &str) -> ProviderResult<()> {
    let doing = format!("snapshot {id} as `{name}`");
    let body = json!({"description": name, "persist_memorystate": false});
    let all = format!("/vms/{id}/snapshots");
    // Its description is the run's own, so that it tells whether a request without an answer has made it.
    let look = || taken(session, &all, name, &doing).boxed();
    let made =
        session.make(New { service: (), name: "POST vms/ID/snapshots", path: &all, body: &body, id: "/id", doing: &doing }, &look).await?;
    let path = format!("{all}/{made}");
    let mut wait = Wait::new(format!("to {doing}"), SNAPSHOT);
    loop {
        let found = session.get_if_there("GET vms/ID/snapshots/ID", &path, &doing).await?;
        match found.as_ref().map(|s| text(s, "/snapshot_status")) {
            Some("ok") => return Ok(()),
            Some(status) => wait.pause(status).await?,
            None => return Err(ProviderError::operation(format!("failed to {doing}: the engine removed it"))),
        }
    }
}

/// The snapshot of a VM with this description.
async fn taken(session: &Session, path: &str, name: &str, doing: &str) -> ProviderResult<Option<String>> {
    let all = session.get("GET vms/ID/snapshots", path, doing).await?;
    Ok(members(&all, "snapshot").iter().find(|s| text(s, "/description") == name).map(|s| text(s, "/id").to_owned()))
}

/// Removes a clone by its name and mark.
pub async fn remove(session: &Session, leaving: Leaving<'_>) -> ProviderResult<bool> {
    let mut removed = false;
    for vm in lookup::by_names(session, &[leaving.name.to_owned()]).await? {
        if leaving.is_it(&vm.id, vm.run.as_deref())? {
            delete(session, &vm.id).await?;
            removed = true;
        }
    }
    Ok(removed)
}

/// Stops and deletes a VM with its disks. What is gone already is success, at every step.
pub async fn delete(session: &Session, id: &str) -> ProviderResult<()> {
    let doing = format!("delete {id}");
    // While disks are copied or a snapshot is made, neither stop nor delete is taken.
    let mut wait = Wait::new(format!("to {doing}, for its disks to be unlocked"), DELETE);
    let state = loop {
        match status(session, id, &doing).await? {
            Some(state) if state == "image_locked" => wait.pause(&state).await?,
            state => break state,
        }
    };
    match state.as_deref() {
        None => return Ok(()),
        Some("down") => {}
        Some(now) => match switch(session, id, "stop", (now, "down"), &doing).await {
            Err(error) if error.is(ProviderErrorKind::NotFound) => return Ok(()),
            other => other?,
        },
    }
    let mut wait = Wait::new(format!("to {doing}"), DELETE);
    loop {
        let reply = session.call(&Request::delete((), "DELETE vms/ID", &format!("/vms/{id}"))).await?;
        match reply.status {
            status if status.is_success() => break,
            StatusCode::NOT_FOUND => return session.missing(&reply).await,
            // A snapshot that is being made locks the disks of a VM that is down.
            StatusCode::CONFLICT if fault(&reply.body).is_some_and(|why| why.contains(LOCKED)) => {
                wait.pause(&fault(&reply.body).unwrap_or_default()).await?;
            }
            _ => return Err(session.refused(&reply, &doing)),
        }
    }
    while let Some(state) = status(session, id, &doing).await? {
        wait.pause(&state).await?;
    }
    Ok(())
}

/// Events that say that a user stopped a VM.
pub async fn stopped_by_user(session: &Session, id: &str) -> ProviderResult<Vec<String>> {
    let query = search(&term("Vms.id", id));
    let doing = format!("read the events of VM {id}");
    let events = session.get("GET events", &format!("/events?{query}&max={EVENTS}"), &doing).await?;
    let stops = members(&events, "event").iter().filter(|event| text(event, "/code") == USER_STOPPED);
    Ok(stops.map(|event| text(event, "/description").to_owned()).collect())
}
