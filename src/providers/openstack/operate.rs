//! Power, snapshots and deletion of one server.

use std::time::Duration;

use futures::FutureExt as _;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    lookup::{self, IMAGE_MARK, MARK},
    remains,
    session::{New, Request, Service, Session},
    wire::{escaped, fault, text},
};
use crate::{
    config::scenario::PowerWish,
    providers::{
        Leaving, Power, ProviderError, ProviderResult,
        poll::{Wait, until_quiet},
    },
};

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
pub async fn set_power(session: &Session, id: &str, wanted: PowerWish) -> ProviderResult<()> {
    let (action, word, state) = match wanted {
        PowerWish::On => ("os-start", "on", "ACTIVE"),
        PowerWish::Off => ("os-stop", "off", "SHUTOFF"),
    };
    let doing = format!("power {word} {id}");
    let mut tries = session.rest().policy().start();
    // Whether Nova has taken the action.
    let mut taken = false;
    let mut wait = Wait::new(format!("to {doing}"), POWER);
    loop {
        let Some(server) = find(session, id, &doing).await? else {
            return Err(ProviderError::not_found(format!("{doing}: the server does not exist (any more)")));
        };
        match text(&server, "/status") {
            now if now == state => return Ok(()),
            "ERROR" => {
                let why = text(&server, "/fault/message");
                return Err(ProviderError::operation(format!("failed to {doing}: the server is in state ERROR: {why}")));
            }
            // What is refused may be refused for a moment only, while Nova does something else with the server.
            _ if !taken && busy(&server).is_none() => {
                tries.begin();
                let Some(why) = act(session, id, action, &doing).await? else {
                    taken = true;
                    continue;
                };
                if !tries.again(None).await {
                    return Err(ProviderError::operation(format!("failed to {doing}: Nova answered: {why}")));
                }
            }
            now => wait.pause(busy(&server).unwrap_or(now)).await?,
        }
    }
}

/// What Nova is doing with a server.
fn busy(server: &Value) -> Option<&str> {
    server["OS-EXT-STS:task_state"].as_str()
}

/// Asks for an action; Nova's words if it refuses because of the state that the server is in.
async fn act(session: &Session, id: &str, action: &str, doing: &str) -> ProviderResult<Option<String>> {
    let path = format!("/servers/{id}/action");
    let name = format!("POST servers/ID/{action}");
    let reply = session.call(&Request::post(Service::Compute, &name, &path, &json!({action: null}))).await?;
    match reply.status {
        status if status.is_success() => Ok(None),
        StatusCode::CONFLICT => Ok(Some(fault(&reply.body).unwrap_or_default())),
        _ => Err(session.refused(&reply, doing)),
    }
}

/// Begins an image of a server that carries the run's mark; its id.
pub async fn image(session: &Session, server: &str, name: &str, run: &str, doing: &str) -> ProviderResult<String> {
    let body = json!({"createImage": {"name": name, "metadata": {IMAGE_MARK: run}}});
    let path = format!("/servers/{server}/action");
    let list = format!("/images?name={}", escaped(name));
    let look = || {
        async {
            let all = session.list(Service::Image, "images", &list, doing).await?;
            let mine = all.iter().find(|found| text(found, "/name") == name && found[IMAGE_MARK].as_str() == Some(run));
            Ok(mine.map(|found| text(found, "/id").to_owned()))
        }
        .boxed()
    };
    let name = "POST servers/ID/createImage";
    session.make(New { service: Service::Compute, name, path: &path, body: &body, id: "/image_id", doing }, &look).await
}

/// Takes an image of a server, which for volumes means snapshots of them.
pub async fn snapshot(session: &Session, id: &str, name: &str) -> ProviderResult<()> {
    let doing = format!("snapshot {id} as `{name}`");
    let server = find(session, id, &doing).await?.unwrap_or_default();
    let run = server["metadata"][MARK].as_str().unwrap_or_default();
    let path = format!("/images/{}", image(session, id, name, run, &doing).await?);
    let mut wait = Wait::new(format!("to {doing}"), SNAPSHOT);
    loop {
        let image = session.get_if_there(Service::Image, "GET images/ID", &path, &doing).await?;
        match image.as_ref().map(|image| text(image, "/status")) {
            Some("active") => return Ok(()),
            Some("killed" | "deleted") | None => {
                return Err(ProviderError::operation(format!("failed to {doing}: the image was given up")));
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
    while let Some(server) = find(session, id, &doing).await? {
        match text(&server, "/status") {
            "DELETED" => break,
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
    Err(ProviderError::operation(format!("failed to {doing}: what it was made of stays: {}", swept.left.join(", "))))
}

/// Removes a clone that may still be in the making: the process that asked for its parts has died, and what it asked for last may
/// come yet. It is through when nothing came for a while.
pub async fn remove_in_the_making(session: &Session, leaving: Leaving<'_>) -> ProviderResult<bool> {
    until_quiet(session.rest().policy(), || remove(session, leaving).boxed()).await
}

/// What [`remove`] would take.
pub async fn remains(session: &Session, leaving: Leaving<'_>) -> ProviderResult<Vec<String>> {
    let mut all = Vec::new();
    for server in lookup::named(session, &[leaving.name.to_owned()]).await? {
        if leaving.is_it(text(&server, "/id"), server["metadata"][MARK].as_str())? {
            all.push(format!("VM {}", leaving.name));
        }
    }
    all.extend(remains::left(session, leaving.run, &|clone| clone == leaving.name).await?);
    Ok(all)
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
