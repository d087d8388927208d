//! Power, guest information, snapshots and deletion of one VM.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    session::Session,
    wire::{fault, members, search, term, text},
};
use crate::providers::{Power, ProviderError, ProviderResult, http::Safety, poll::Wait};

/// Number of the event that says that a user stopped a VM. A shutdown, by whom ever, has another one.
const USER_STOPPED: &str = "33";
/// Most events that are asked for: a VM of a test has a few dozen.
const EVENTS: u32 = 1000;
/// Starting and stopping: mtv-api-tests' 600 s.
const POWER: Duration = Duration::from_mins(10);
/// Deleting a VM with its disks: mtv-api-tests' 600 s.
const DELETE: Duration = Duration::from_mins(10);
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

/// Calls an action of a VM. What it refuses because the VM is in that state already is decided by the look that follows.
async fn act(session: &Session, id: &str, action: &str, doing: &str) -> ProviderResult<Option<String>> {
    let path = format!("/vms/{id}/{action}");
    let reply = session.call(&format!("POST vms/ID/{action}"), Method::POST, &path, Some(&json!({})), Safety::Repeatable).await?;
    match reply.status {
        status if status.is_success() => Ok(None),
        StatusCode::CONFLICT | StatusCode::BAD_REQUEST => Ok(Some(fault(&reply.body).unwrap_or_default())),
        _ => Err(session.refused(&reply, doing)),
    }
}

/// Brings a VM to a power state. A running guest is asked to shut down and not cut off: the engine writes event 33 for the
/// latter, which is what a check after the migration looks for.
pub async fn set_power(session: &Session, id: &str, wanted: Power) -> ProviderResult<()> {
    let (action, word, state) = match wanted {
        Power::On => ("start", "on", "up"),
        Power::Off => ("shutdown", "off", "down"),
        Power::Other => return Err(ProviderError::Unsupported("a VM can be powered on or off only".into())),
    };
    let doing = format!("power {word} {id}");
    let mut refused = None;
    let mut asked = false;
    let mut wait = Wait::new(format!("to {doing}"), POWER);
    loop {
        let now = match status(session, id, &doing).await? {
            Some(now) if now == state => return Ok(()),
            Some(now) => now,
            None => return Err(ProviderError::NotFound(format!("{doing}: the VM does not exist (any more)"))),
        };
        // While disks are locked the engine refuses, and forgets that it was asked.
        if !asked || (refused.is_some() && now != "image_locked") {
            refused = act(session, id, action, &doing).await?;
            asked = true;
        }
        if let Err(error) = wait.pause(&now).await {
            return Err(with_reason(error, refused));
        }
    }
}

/// Adds what the engine said when it refused the action that was then awaited in vain.
fn with_reason(error: ProviderError, refused: Option<String>) -> ProviderError {
    match (error, refused) {
        (ProviderError::Deadline(text), Some(why)) => ProviderError::Operation(format!("{text}; the engine had answered: {why}")),
        (error, _) => error,
    }
}

async fn wait_for(session: &Session, id: &str, state: &str, doing: &str, patience: Duration) -> ProviderResult<()> {
    let mut wait = Wait::new(format!("to {doing}"), patience);
    loop {
        match status(session, id, doing).await? {
            Some(now) if now == state => return Ok(()),
            Some(now) => wait.pause(&now).await?,
            None => return Err(ProviderError::NotFound(format!("{doing}: the VM does not exist (any more)"))),
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
            Err(ProviderError::Deadline(_)) => return Ok(false),
            Err(other) => return Err(other),
        }
    }
}

/// Takes a snapshot without memory.
pub async fn snapshot(session: &Session, id: &str, name: &str) -> ProviderResult<()> {
    let doing = format!("snapshot {id} as `{name}`");
    let body = json!({"description": name, "persist_memorystate": false});
    let made = session.post("POST vms/ID/snapshots", &format!("/vms/{id}/snapshots"), &body, &doing).await?;
    let path = format!("/vms/{id}/snapshots/{}", text(&made, "/id"));
    let mut wait = Wait::new(format!("to {doing}"), SNAPSHOT);
    loop {
        let found = session.get_if_there("GET vms/ID/snapshots/ID", &path, &doing).await?;
        match found.as_ref().map(|s| text(s, "/snapshot_status")) {
            Some("ok") => return Ok(()),
            Some(status) => wait.pause(status).await?,
            None => return Err(ProviderError::Operation(format!("failed to {doing}: the engine removed it"))),
        }
    }
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
        Some(_) => {
            let refused = act(session, id, "stop", &doing).await?;
            match wait_for(session, id, "down", &doing, POWER).await {
                Err(ProviderError::NotFound(_)) => return Ok(()),
                other => other.map_err(|error| with_reason(error, refused))?,
            }
        }
    }
    let reply = session.call("DELETE vms/ID", Method::DELETE, &format!("/vms/{id}"), None, Safety::Repeatable).await?;
    if !reply.status.is_success() && reply.status != StatusCode::NOT_FOUND {
        return Err(session.refused(&reply, &doing));
    }
    let mut wait = Wait::new(format!("to {doing}"), DELETE);
    while let Some(state) = status(session, id, &doing).await? {
        wait.pause(&state).await?;
    }
    Ok(())
}

/// Events that say that a user stopped a VM.
pub async fn stopped_by_user(session: &Session, id: &str) -> ProviderResult<Option<Vec<String>>> {
    let query = search(&term("Vms.id", id));
    let doing = format!("read the events of VM {id}");
    let events = session.get("GET events", &format!("/events?{query}&max={EVENTS}"), &doing).await?;
    let stops = members(&events, "event").iter().filter(|event| text(event, "/code") == USER_STOPPED);
    Ok(Some(stops.map(|event| text(event, "/description").to_owned()).collect()))
}
