//! What clones leave beside servers: volumes that no server has, volume snapshots, images. Known by the run's mark and the
//! clone's name in theirs.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use reqwest::StatusCode;
use serde_json::Value;

use super::{
    lookup::{IMAGE_MARK, MARK},
    session::{Request, Service, Session},
    wire::{items, text},
};
use crate::providers::{MarkedVm, ProviderError, ProviderResult, SourceVm, poll::Wait};

/// Longest wait for a volume or a snapshot to be gone.
const GONE: Duration = Duration::from_mins(5);

/// Beginning of the names of volume snapshots that Nova takes with an image.
const OF_IMAGE: &str = "snapshot for ";

/// The clone that an object was made for, by its name: what clones make is called `CLONE-vol-0`, `CLONE-vol-0-snapshot`,
/// `CLONE-image`, `CLONE-snapshot-1` and, by Nova, `snapshot for CLONE-snapshot-1`. Any other name is taken as it is: copies that
/// people make inherit the mark, and keep names of their own.
fn clone_of(name: &str) -> &str {
    let name = name.strip_prefix(OF_IMAGE).unwrap_or(name);
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(clone) = name.strip_suffix("-image") {
        return clone;
    }
    for (end, rest) in [("-vol-", name.strip_suffix("-snapshot").unwrap_or(name)), ("-snapshot-", name)] {
        if let Some((clone, tail)) = rest.rsplit_once(end)
            && number(tail)
        {
            return clone;
        }
    }
    name
}

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Objects that went.
    pub removed: usize,
    /// What stays, and why.
    pub left: Vec<String>,
}

/// Where such objects are listed. Snapshots of the clone's volumes keep those volumes, and these may keep the snapshots that they
/// were made of; so snapshots come first and last, and which of them is told by the beginning of their names.
const ORDER: [(Service, &str, &str); 4] = [
    (Service::Volume, "snapshots", OF_IMAGE),
    (Service::Volume, "volumes", ""),
    (Service::Volume, "snapshots", ""),
    (Service::Image, "images", ""),
];

async fn all_of(session: &Session, service: Service, member: &str) -> ProviderResult<Vec<Value>> {
    let path = if service == Service::Image { "/images?limit=1000".to_owned() } else { format!("/{member}/detail") };
    session.list(service, member, &path, &format!("list the {member} that runs have made")).await
}

/// The clones of which something is there beside a server, with their runs; once each.
pub async fn clones(session: &Session) -> ProviderResult<Vec<MarkedVm>> {
    let mut found: BTreeMap<(String, String), Option<Timestamp>> = BTreeMap::new();
    for (service, member, _) in &ORDER[1..] {
        for object in all_of(session, *service, member).await? {
            let Some(run) = run_of(&object, *service) else { continue };
            let made = text(&object, "/created_at");
            // Cinder writes no time zone; it is UTC.
            let made = made.parse().ok().or_else(|| format!("{made}Z").parse().ok());
            let newest = found.entry((clone_of(text(&object, "/name")).to_owned(), run.to_owned())).or_default();
            *newest = (*newest).max(made);
        }
    }
    let marked = |((name, run), created)| MarkedVm { vm: SourceVm { id: String::new(), name, run: Some(run) }, created };
    Ok(found.into_iter().map(marked).collect())
}

/// Removes what carries the run's mark and was made for a clone that `ours` names.
pub async fn sweep(session: &Session, run: &str, ours: &(dyn Fn(&str) -> bool + Send + Sync)) -> ProviderResult<Swept> {
    let mut swept = Swept::default();
    for (service, member, beginning) in ORDER {
        let all = all_of(session, service, member).await?;
        for object in all.iter().filter(|object| {
            let name = text(object, "/name");
            name.starts_with(beginning) && marked(object, service, run) && ours(clone_of(name))
        }) {
            match remove(session, service, member, text(object, "/id")).await {
                Ok(()) => swept.removed += 1,
                Err(error) => swept.left.push(format!("{} `{}`: {error}", member.trim_end_matches('s'), text(object, "/name"))),
            }
        }
    }
    Ok(swept)
}

/// What [`sweep`] would remove, a line each.
pub async fn left(session: &Session, run: &str, ours: &(dyn Fn(&str) -> bool + Send + Sync)) -> ProviderResult<Vec<String>> {
    let mut left = Vec::new();
    for (service, member, _) in &ORDER[1..] {
        let all = all_of(session, *service, member).await?;
        let of_run = all.iter().filter(|object| marked(object, *service, run) && ours(clone_of(text(object, "/name"))));
        left.extend(of_run.map(|object| format!("{} {}", member.trim_end_matches('s'), text(object, "/name"))));
    }
    Ok(left)
}

/// Name of a volume snapshot.
pub async fn snapshot(session: &Session, id: &str) -> ProviderResult<Option<String>> {
    let path = format!("/snapshots/{id}");
    let found = session.get_if_there(Service::Volume, "GET snapshots/ID", &path, &format!("look up volume snapshot {id}")).await?;
    Ok(found.map(|found| text(&found, "/snapshot/name").to_owned()))
}

/// Deletes a volume snapshot.
pub async fn delete_snapshot(session: &Session, id: &str) -> ProviderResult<()> {
    remove(session, Service::Volume, "snapshots", id).await
}

/// The run in an object's mark. A mark that names no run is none.
fn run_of(object: &Value, service: Service) -> Option<&str> {
    let run = if service == Service::Image { object[IMAGE_MARK].as_str() } else { object["metadata"][MARK].as_str() };
    run.filter(|run| !run.is_empty())
}

/// Whether an object is of this run. Snapshots that Nova makes with an image carry no mark of their own: their name, which holds
/// the run's id, is the proof.
fn marked(object: &Value, service: Service, run: &str) -> bool {
    let name = text(object, "/name");
    run_of(object, service) == Some(run) || (!run.is_empty() && name.starts_with(OF_IMAGE) && name.contains(run))
}

/// Deletes an object and waits until it is gone. Nothing of Cinder can be deleted while something is done with it.
async fn remove(session: &Session, service: Service, member: &str, id: &str) -> ProviderResult<()> {
    let one = member.trim_end_matches('s');
    let (name, path, doing) = (format!("{member}/ID"), format!("/{member}/{id}"), format!("delete {one} {id}"));
    let mut wait = Wait::new(format!("to {doing}"), GONE);
    let mut tries = session.rest().policy().start();
    let mut asked = false;
    while let Some(found) = session.get_if_there(service, &format!("GET {name}"), &path, &doing).await? {
        let found = found.get(one).unwrap_or(&found);
        match text(found, "/status") {
            "deleted" => break,
            state @ "error_deleting" => return Err(ProviderError::operation(format!("{doing}: it is in state {state}"))),
            // Also by a request whose answer was lost.
            state if asked || state == "deleting" => wait.pause(state).await?,
            state @ "in-use" => {
                if let Some(server) = user_of(session, found, &doing).await? {
                    return Err(ProviderError::operation(format!("it is attached to server {server}, which is not of this run")));
                }
                wait.pause(state).await?;
            }
            state if service == Service::Volume && !matches!(state, "available" | "error") => wait.pause(state).await?,
            _ => {
                tries.begin();
                let reply = session.call(&Request::delete(service, &format!("DELETE {name}"), &path)).await?;
                match reply.status {
                    status if status.is_success() => asked = true,
                    StatusCode::NOT_FOUND => break,
                    // What Cinder thinks of the state decides, and it may change between look and request; the next look tells.
                    StatusCode::BAD_REQUEST | StatusCode::CONFLICT if tries.again(None).await => {}
                    _ => return Err(session.refused(&reply, &doing)),
                }
            }
        }
    }
    Ok(())
}

/// A server that has a volume. One that is gone leaves its volumes a moment later.
async fn user_of(session: &Session, volume: &Value, doing: &str) -> ProviderResult<Option<String>> {
    for attachment in items(volume, "/attachments") {
        let server = text(attachment, "/server_id");
        let path = format!("/servers/{server}");
        if session.get_if_there(Service::Compute, "GET servers/ID", &path, doing).await?.is_some() {
            return Ok(Some(server.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_tell_the_clone() {
        for name in
            ["run1-a", "run1-a-vol-0", "run1-a-vol-0-snapshot", "run1-a-image", "run1-a-snapshot-2", "snapshot for run1-a-snapshot-2"]
        {
            assert_eq!(clone_of(name), "run1-a", "{name}");
        }
        for name in ["run1-a-vol-0-mine", "run1-a-vol-copy", "run1-a-image-copy", "run1-a-snapshot-of-mine", "my-precious-copy"] {
            assert_eq!(clone_of(name), name, "a copy has a name of its own");
        }
    }

    #[test]
    fn only_marks_of_the_run_count() {
        let of_volume = |object| marked(&object, Service::Volume, "r1");
        assert!(of_volume(json!({"name": "x", "metadata": {MARK: "r1"}})));
        assert!(!of_volume(json!({"name": "r1-x", "metadata": {MARK: "r2"}})));
        assert!(!of_volume(json!({"name": "r1-x", "metadata": {}})));
        assert!(of_volume(json!({"name": "snapshot for r1-a-snapshot-1", "metadata": {}})));
        let nobody_s = json!({"name": "snapshot for a-snapshot-1", "metadata": {}});
        assert!(!marked(&nobody_s, Service::Volume, ""), "what is of no run proves nothing");
        assert!(marked(&json!({"name": "x", IMAGE_MARK: "r1"}), Service::Image, "r1"));
    }
}
