//! What clones leave beside servers: volumes that no server has, volume snapshots, images. Known by the run's mark and the
//! clone's name in theirs.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{
    lookup::{IMAGE_MARK, MARK},
    session::{Service, Session},
    wire::text,
};
use crate::providers::{ProviderError, ProviderResult, http::Safety, poll::Wait};

/// Longest wait for a volume or a snapshot to be gone.
const GONE: Duration = Duration::from_mins(5);

/// Beginning of the names of volume snapshots that Nova takes with an image.
const OF_IMAGE: &str = "snapshot for ";

/// The clone that an object was made for, by its name: what clones make is called `CLONE-vol-0`, `CLONE-vol-0-snapshot`,
/// `CLONE-image`, `CLONE-snapshot-1` and, by Nova, `snapshot for CLONE-snapshot-1`.
fn clone_of(name: &str) -> &str {
    let name = name.strip_prefix(OF_IMAGE).unwrap_or(name);
    for end in ["-vol-", "-image", "-snapshot-"] {
        if let Some((clone, _)) = name.rsplit_once(end) {
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

/// Removes what carries the run's mark and was made for a clone that `ours` names.
pub async fn sweep(session: &Session, run: &str, ours: &(dyn Fn(&str) -> bool + Send + Sync)) -> ProviderResult<Swept> {
    let mut swept = Swept::default();
    // Snapshots of the clone's volumes keep those volumes, and these may keep the snapshots that they were made of.
    let order = [
        (Service::Volume, "snapshots", "/metadata", OF_IMAGE),
        (Service::Volume, "volumes", "/metadata", ""),
        (Service::Volume, "snapshots", "/metadata", ""),
        (Service::Image, "images", "", ""),
    ];
    for (service, member, key, beginning) in order {
        let path = if service == Service::Image { "/images?limit=1000".to_owned() } else { format!("/{member}/detail") };
        let all = session.list(service, member, &path, &format!("list the {member} of a run")).await?;
        for object in all.iter().filter(|object| {
            let name = text(object, "/name");
            name.starts_with(beginning) && marked(object, key, run) && ours(clone_of(name))
        }) {
            if text(object, "/status") == "in-use" {
                continue;
            }
            match remove(session, service, member, object).await {
                Ok(()) => swept.removed += 1,
                Err(error) => swept.left.push(format!("{} `{}`: {error}", member.trim_end_matches('s'), text(object, "/name"))),
            }
        }
    }
    Ok(swept)
}

/// Whether an object is of this run. Snapshots that Nova makes with an image carry no mark of their own: their name, which holds
/// the run's id, is the proof.
fn marked(object: &Value, key: &str, run: &str) -> bool {
    let mark = if key.is_empty() { object[IMAGE_MARK].as_str() } else { object.pointer(key).and_then(|m| m[MARK].as_str()) };
    mark == Some(run) || (text(object, "/name").starts_with(OF_IMAGE) && text(object, "/name").contains(run))
}

/// Deletes something and waits until it is gone. What is being deleted already is waited for; what cannot go yet, such as a
/// snapshot whose volume is still being deleted, is asked for again.
async fn remove(session: &Session, service: Service, member: &str, object: &Value) -> ProviderResult<()> {
    let (id, one) = (text(object, "/id"), member.trim_end_matches('s'));
    let (path, doing) = (format!("/{member}/{id}"), format!("delete {one} {id}"));
    let mut going = text(object, "/status") == "deleting";
    let mut refused = None;
    let mut wait = Wait::new(format!("to {doing}"), GONE);
    loop {
        if !going {
            let name = format!("DELETE {member}/ID");
            let reply = session.call(service, &name, Method::DELETE, &path, None, Safety::Repeatable).await?;
            match reply.status {
                StatusCode::NOT_FOUND => return Ok(()),
                status if status.is_success() => refused = None,
                StatusCode::BAD_REQUEST | StatusCode::CONFLICT => refused = Some(session.refused(&reply, &doing)),
                _ => return Err(session.refused(&reply, &doing)),
            }
        }
        let Some(found) = session.get_if_there(service, &format!("GET {member}/ID"), &path, &doing).await? else { return Ok(()) };
        let status = found.pointer(&format!("/{one}/status")).and_then(Value::as_str).unwrap_or_else(|| text(&found, "/status"));
        match status {
            "deleted" => return Ok(()),
            "error_deleting" => return Err(ProviderError::Operation(format!("failed to {doing}: it is in state error_deleting"))),
            state => {
                going = state == "deleting";
                wait.pause(state).await.map_err(|error| refused.take().unwrap_or(error))?;
            }
        }
    }
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
    }

    #[test]
    fn only_marks_of_the_run_count() {
        assert!(marked(&json!({"name": "x", "metadata": {MARK: "r1"}}), "/metadata", "r1"));
        assert!(!marked(&json!({"name": "r1-x", "metadata": {MARK: "r2"}}), "/metadata", "r1"));
        assert!(!marked(&json!({"name": "r1-x", "metadata": {}}), "/metadata", "r1"));
        assert!(marked(&json!({"name": "x", IMAGE_MARK: "r1"}), "", "r1"));
        assert!(marked(&json!({"name": "snapshot for r1-a-snapshot-1", "metadata": {}}), "/metadata", "r1"));
    }
}
