//! Power, snapshots and deletion of one server.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    lookup::{self, IMAGE_MARK, MARK},
    remains,
    session::{Service, Session},
    wire::{fault, text},
};
use crate::providers::{Leaving, Power, ProviderError, ProviderResult, http::Safety, poll::Wait};

/// Starting and stopping; Nova gives a guest 60 s to shut down before it cuts it off.
const POWER: Duration = Duration::from_mins(5);
/// Deleting a server: mtv-api-tests' 180 s, and its volumes after it.
const DELETE: Duration = Duration::from_mins(5);
/// An image of a server.
const SNAPSHOT: Duration = Duration::from_mins(15);

/// The power of a server by its status.
pub fn power(status: &str) -> Power {
    match status {
        "ACTIVE" => Power::On,
        "SHUTOFF" => Power::Off,
        _ => Power::Other,
    }
}

async fn find(session: &Session, id: &str, doing: &str) -> ProviderResult<Option<Value>> {
    let body = session.get_if_there(Service::Compute, "GET servers/ID", &format!("/servers/{id}"), doing).await?;
    Ok(body.map(|body| body["server"].clone()))
}

/// Brings a server to a power state.
pub async fn set_power(session: &Session, id: &str, wanted: Power) -> ProviderResult<()> {
    let (action, word, state) = match wanted {
        Power::On => ("os-start", "on", "ACTIVE"),
        Power::Off => ("os-stop", "off", "SHUTOFF"),
        Power::Other => return Err(ProviderError::Unsupported("a server can be powered on or off only".into())),
    };
    let doing = format!("power {word} {id}");
    let mut refused = None;
    let mut asked = false;
    let mut wait = Wait::new(format!("to {doing}"), POWER);
    loop {
        let Some(server) = find(session, id, &doing).await? else {
            return Err(ProviderError::NotFound(format!("{doing}: the server does not exist (any more)")));
        };
        match text(&server, "/status") {
            now if now == state => return Ok(()),
            "ERROR" => {
                let why = text(&server, "/fault/message");
                return Err(ProviderError::Operation(format!("failed to {doing}: the server is in state ERROR: {why}")));
            }
            now => {
                // Nova refuses while it does something else, such as making an image, and forgets that it was asked.
                let idle = text(&server, "/OS-EXT-STS:task_state").is_empty();
                if !asked || (refused.is_some() && idle) {
                    refused = act(session, id, action, &doing).await?;
                    asked = true;
                }
                wait.pause(now).await.map_err(|error| match &refused {
                    Some(why) => ProviderError::Operation(format!("{error}; Nova had answered: {why}")),
                    None => error,
                })?;
            }
        }
    }
}

/// Asks for an action. What Nova refuses because of the state that the server is in is decided by the next look.
async fn act(session: &Session, id: &str, action: &str, doing: &str) -> ProviderResult<Option<String>> {
    let path = format!("/servers/{id}/action");
    let name = format!("POST servers/ID/{action}");
    let reply = session.call(Service::Compute, &name, Method::POST, &path, Some(&json!({action: null})), Safety::Repeatable).await?;
    match reply.status {
        status if status.is_success() => Ok(None),
        StatusCode::CONFLICT => Ok(Some(fault(&reply.body).unwrap_or_default())),
        _ => Err(session.refused(&reply, doing)),
    }
}

/// Takes an image of a server, which for volumes means snapshots of them.
pub async fn snapshot(session: &Session, id: &str, name: &str) -> ProviderResult<()> {
    let doing = format!("snapshot {id} as `{name}`");
    let server = find(session, id, &doing).await?.unwrap_or_default();
    let run = server["metadata"][MARK].as_str().unwrap_or_default();
    let body = json!({"createImage": {"name": name, "metadata": {IMAGE_MARK: run}}});
    let path = format!("/servers/{id}/action");
    let made = session.post(Service::Compute, "POST servers/ID/createImage", &path, &body, &doing).await?;
    let path = format!("/images/{}", text(&made, "/image_id"));
    let mut wait = Wait::new(format!("to {doing}"), SNAPSHOT);
    loop {
        let image = session.get_if_there(Service::Image, "GET images/ID", &path, &doing).await?;
        match image.as_ref().map(|image| text(image, "/status")) {
            Some("active") => return Ok(()),
            Some("killed" | "deleted") | None => {
                return Err(ProviderError::Operation(format!("failed to {doing}: the image was given up")));
            }
            Some(status) => wait.pause(status).await?,
        }
    }
}

/// Deletes a server, and then what its cloning made beside it. What is gone already is success.
pub async fn delete(session: &Session, id: &str) -> ProviderResult<()> {
    let doing = format!("delete {id}");
    let Some(server) = find(session, id, &doing).await? else { return Ok(()) };
    session.delete(Service::Compute, "DELETE servers/ID", &format!("/servers/{id}"), &doing).await?;
    let mut wait = Wait::new(format!("to {doing}"), DELETE);
    let mut forced = false;
    while let Some(server) = find(session, id, &doing).await? {
        match text(&server, "/status") {
            "DELETED" => break,
            // Clouds that can give deleted servers back keep them, and what is attached to them, for a while.
            "SOFT_DELETED" if !forced => {
                act(session, id, "forceDelete", &doing).await?;
                forced = true;
            }
            state => wait.pause(state).await?,
        }
    }
    let Some(run) = server["metadata"][MARK].as_str() else { return Ok(()) };
    sweep(session, run, text(&server, "/name"), &doing).await.map(drop)
}

/// Removes what the cloning of a server made beside it; whether there was anything.
async fn sweep(session: &Session, run: &str, name: &str, doing: &str) -> ProviderResult<bool> {
    let swept = remains::sweep(session, run, &|clone| clone == name).await?;
    if swept.left.is_empty() {
        return Ok(swept.removed > 0);
    }
    Err(ProviderError::Operation(format!("failed to {doing}: what it was made of stays: {}", swept.left.join(", "))))
}

/// Removes a clone by its name and mark, with all that its making left.
pub async fn remove(session: &Session, leaving: Leaving<'_>) -> ProviderResult<bool> {
    let mut removed = false;
    for server in lookup::named(session, &[leaving.name.to_owned()]).await? {
        let (id, run) = (text(&server, "/id"), server["metadata"][MARK].as_str());
        if leaving.is_it(id, run)? {
            delete(session, id).await?;
            removed = true;
        }
    }
    let doing = format!("remove what is left of {}", leaving.name);
    Ok(sweep(session, leaving.run, leaving.name, &doing).await? || removed)
}
