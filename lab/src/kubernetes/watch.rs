//! watch.

use std::{borrow::Cow, collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::{sync::watch::Receiver, time::Instant};

use super::{
    Inner,
    operation::Operation,
    read,
    request::Shape,
    resource::Resource,
    response::{self, Body},
    selector::Selector,
    status::{Answer, Cause, Failure},
    store::{Change, Event},
    table,
};

/// How long a watch lasts if the client does not say: the real server chooses between 30 and 60 minutes.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);
/// How often a watch that asked for bookmarks gets one: about once a minute, as the real server does.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);
/// How long before its end a watch gets a last bookmark, so that its client can go on from there instead of listing again.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// One open watch.
struct Watcher {
    server: Arc<Inner>,
    resource: Arc<Resource>,
    namespace: String,
    selector: Selector,
    shape: Shape,
    include: String,
    /// Everything up to here was sent.
    cursor: u64,
    newest: Receiver<u64>,
    pending: VecDeque<Bytes>,
    bookmarks: bool,
    next_bookmark: Option<Instant>,
    deadline: Instant,
    /// The first table of a watch carries the column definitions.
    headed: bool,
    done: bool,
}

impl Watcher {
    fn push(&mut self, kind: &str, object: &Value) {
        // Assembled as text: a tree of both would copy the object.
        let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        self.pending.push_back(line.into());
    }

    fn push_object(&mut self, kind: &str, object: &Value) {
        let object = self.resource.present(object);
        let shown = match self.shape {
            Shape::Whole => object,
            Shape::Metadata => Cow::Owned(table::metadata_only(&object)),
            Shape::Table => {
                let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
                let shown = table::table(&self.resource, &[object], &metadata, &self.include, !self.headed);
                self.headed = true;
                Cow::Owned(shown)
            }
        };
        self.push(kind, &shown);
    }

    fn push_bookmark(&mut self, initial_end: bool) {
        let mut metadata = json!({ "resourceVersion": self.cursor.to_string() });
        if initial_end {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let object = json!({ "kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": metadata });
        match self.shape {
            Shape::Whole => self.push("BOOKMARK", &object),
            Shape::Metadata => self.push("BOOKMARK", &table::metadata_only(&object)),
            Shape::Table => {
                let metadata = json!({ "resourceVersion": self.cursor.to_string() });
                let table = table::table(&self.resource, &[Cow::Owned(object)], &metadata, &self.include, !self.headed);
                self.headed = true;
                self.push("BOOKMARK", &table);
            }
        }
        self.next_bookmark = next_bookmark(self.deadline);
    }

    /// Whether a change can mean anything for this watch, by its key alone: versions of the past are not unpacked for nothing.
    fn concerns(&self, event: &Event) -> bool {
        event.key.resource == self.resource.storage && event.key.within(&self.namespace) && self.selector.fields.admit(event.key.name())
    }

    /// What a change means for this watch: an object that no longer matches goes, one that starts to match comes.
    fn translate(&self, event: &Event) -> Option<(&'static str, Arc<Value>)> {
        let object = event.object.whole();
        // The version before is only unpacked where it decides.
        let before = event.previous.as_ref().is_some_and(|previous| self.selector.is_empty() || self.selector.matches(&previous.whole()));
        let after = event.change != Change::Deleted && self.selector.matches(&object);
        match (before, after) {
            (false, true) => Some(("ADDED", object)),
            (true, true) => Some(("MODIFIED", object)),
            (true, false) if event.change == Change::Deleted => Some(("DELETED", object)),
            (true, false) => {
                let mut last = event.previous.as_ref().map(|previous| Value::clone(&previous.whole())).unwrap_or_default();
                last["metadata"]["resourceVersion"] = event.revision.to_string().into();
                Some(("DELETED", Arc::new(last)))
            }
            (false, false) => None,
        }
    }

    /// Takes what happened since the cursor.
    fn advance(&mut self) {
        self.newest.mark_unchanged();
        let server = self.server.clone();
        // Only taken under the lock: everybody else waits meanwhile.
        let taken = server.store.read(|state| {
            let events: Vec<_> = state.since(self.cursor)?.filter(|event| self.concerns(event)).cloned().collect();
            Ok::<_, super::store::Compacted>((events, state.revision()))
        });
        match taken {
            Ok((events, revision)) => {
                // A watch may begin at a version that is still to come.
                self.cursor = self.cursor.max(revision);
                for event in events {
                    if let Some((kind, object)) = self.translate(&event) {
                        self.push_object(kind, &object);
                    }
                }
            }
            Err(compacted) => {
                let failure = too_old(self.cursor, compacted.oldest);
                self.push("ERROR", &failure.status());
                self.done = true;
            }
        }
    }

    /// The next piece of the answer; none ends it.
    async fn next(mut self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        loop {
            if let Some(line) = self.pending.pop_front() {
                return Some((Ok(line), self));
            }
            if self.done {
                return None;
            }
            let bookmark = self.next_bookmark.unwrap_or(self.deadline);
            tokio::select! {
                changed = self.newest.changed() => match changed {
                    Ok(()) => self.advance(),
                    Err(_) => return None,
                },
                () = tokio::time::sleep_until(self.deadline) => self.done = true,
                () = tokio::time::sleep_until(bookmark), if self.bookmarks && self.next_bookmark.is_some() => self.push_bookmark(false),
            }
        }
    }
}

/// When the next bookmark is due, if the watch lasts that long.
fn next_bookmark(deadline: Instant) -> Option<Instant> {
    let now = Instant::now();
    let last = deadline.checked_sub(LAST_BOOKMARK).filter(|last| *last > now)?;
    Some(last.min(now + BOOKMARK_INTERVAL))
}

fn too_old(wanted: u64, oldest: u64) -> Failure {
    Failure::expired(format!("too old resource version: {wanted} ({oldest})"))
}

fn check(op: &Operation) -> Answer<()> {
    let matching = op.query.get("resourceVersionMatch");
    let mut causes = Vec::new();
    if op.query.has("sendInitialEvents") {
        if matching != "NotOlderThan" {
            causes
                .push(Cause::forbidden("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
        }
    } else if !matching.is_empty() {
        causes.push(Cause::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ));
    }
    if !matching.is_empty() && !op.query.get("continue").is_empty() {
        causes.push(Cause::forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
    }
    if !matching.is_empty() && matching != "NotOlderThan" {
        causes.push(Cause::not_supported("resourceVersionMatch", &matching.into(), &["NotOlderThan".to_owned()]));
    }
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid("meta.k8s.io", "ListOptions", "", &causes)) }
}

/// `GET …?watch=1`.
pub fn watch(op: &Operation) -> Answer<Response<Body>> {
    let mut selector = read::selector(op)?;
    check(op)?;
    read::check_times(op)?;
    if op.format.yaml {
        return Err(Failure::not_acceptable(&["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"]));
    }
    if !op.target.name.is_empty() {
        // The old way to watch one object.
        let field = format!("metadata.name={}", op.target.name);
        selector.fields = super::selector::Fields::parse(&field, &op.resource)?;
    }
    let asked = op.query.get("resourceVersion");
    let from = read::version(asked).map_err(|failure| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "", failure.message.clone()))?;
    let initial_list = op.query.flag("sendInitialEvents");
    let timeout = op.query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).map_or(DEFAULT_TIMEOUT, Duration::from_secs);
    let server = op.server;
    // Subscribed before the first look, so that nothing falls between.
    let newest = server.store.subscribe();
    // Without a version, and from 0, the watch begins with what is there, unless the client refuses that explicitly.
    let initial = initial_list || (from.is_none() && !op.query.has("sendInitialEvents"));
    let (objects, cursor, oldest) = server.store.read(|state| {
        let objects = if initial { state.list(&op.resource.storage, &op.target.namespace) } else { Vec::new() };
        let oldest = from.and_then(|from| state.since(from).err());
        (objects, state.revision(), oldest)
    });
    let deadline = Instant::now() + timeout;
    let mut watcher = Watcher {
        server: server.clone(),
        resource: op.resource.clone(),
        namespace: op.target.namespace.clone(),
        selector,
        shape: op.format.shape,
        include: op.query.get("includeObject").to_owned(),
        cursor: if initial { cursor } else { from.unwrap_or(cursor) },
        newest,
        pending: VecDeque::new(),
        bookmarks: op.query.flag("allowWatchBookmarks"),
        next_bookmark: next_bookmark(deadline),
        deadline,
        headed: false,
        done: false,
    };
    for (_, object) in objects {
        if watcher.selector.matches(&object) {
            watcher.push_object("ADDED", &object);
        }
    }
    match oldest {
        Some(compacted) if !initial => {
            let failure = too_old(watcher.cursor, compacted.oldest);
            watcher.push("ERROR", &failure.status());
            watcher.done = true;
        }
        _ => {
            if initial_list && watcher.bookmarks {
                watcher.push_bookmark(true);
            }
            watcher.advance();
        }
    }
    let body = response::stream(stream::unfold(watcher, Watcher::next));
    Ok(response::with(StatusCode::OK, "application/json", body))
}
