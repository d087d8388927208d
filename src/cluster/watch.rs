//! A watch that keeps a store in step with the cluster, whatever happens to its connection.
//!
//! List, then watch from the list's version; a watch that ends is resumed from the newest version that was seen, one whose
//! version is too old begins with a list again. Silence for as long as an answer may take (a minute; bookmarks come about as
//! often) counts as a dead connection: list and watch anew. Requests are paced: what a server that closes every watch at once
//! can provoke is three requests a second.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt as _;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams, WatchEvent, WatchParams},
};
use mtv_api::kinds::Kind;
use tokio::{sync::watch, time::Instant};

use super::{
    Cluster,
    error::{fate_of_list, hints_of, id_of, is_expired, words},
    timed, wire,
};
use crate::{
    diagnosis::Id,
    limits::{Total, weight},
    retry::{Fate, Policy, Tries},
};

/// How long one watch request lasts at the most, seconds.
const WATCH_SECONDS: u32 = 120;
/// Requests that one watch may make in a second.
const PER_SECOND: usize = 3;
/// UIDs of deleted objects that are remembered, so that an event that comes late does not bring one back.
const DELETED: usize = 1024;

/// What a watch knows: objects by name. A watch is of one namespace or of a kind that has none.
#[derive(Debug, Clone, Default)]
pub(super) struct Store {
    /// When the newest list was asked for; none: there was no list yet. Objects that existed then and were not deleted since are
    /// in the store.
    pub listed: Option<Instant>,
    pub objects: BTreeMap<String, Arc<DynamicObject>>,
    /// Why the watch does not work at the moment.
    pub trouble: Option<Broken>,
    /// Since when it does not.
    broken: Option<Instant>,
    /// Whether the server refuses the login, or what it asks for.
    refused: bool,
}

/// Why a watch does not work.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    /// What the server said, or why it said nothing.
    pub words: String,
    /// The id of the failure.
    pub id: Id,
    /// What the user might do.
    pub hints: Vec<String>,
}

/// Longest outage that a wait sits out, in patiences of the policy: 5 min. Control planes of one node come back within that.
const OUTAGE: u32 = 5;

/// Versions grow (KEP-5504); one that is no number is never older.
fn older(new: Option<&str>, than: Option<&str>) -> bool {
    let number = |version: Option<&str>| version.and_then(|v| v.parse::<u64>().ok());
    matches!((number(new), number(than)), (Some(new), Some(than)) if new < than)
}

impl Store {
    /// Takes a list over that was asked for at `asked`; says whether anything changed. What is the same stays the same, so that
    /// nobody looks at it again.
    fn replace(&mut self, items: Vec<DynamicObject>, asked: Instant) -> bool {
        let mut changed = self.listed.is_none() || self.trouble.is_some();
        let mut before = std::mem::take(&mut self.objects);
        self.objects = items
            .into_iter()
            .map(|object| {
                let name = object.metadata.name.clone().unwrap_or_default();
                let same = |known: &Arc<DynamicObject>| {
                    known.metadata.uid == object.metadata.uid && known.metadata.resource_version == object.metadata.resource_version
                };
                match before.remove(&name).filter(same) {
                    Some(known) => (name, known),
                    None => {
                        changed = true;
                        (name, Arc::new(object))
                    }
                }
            })
            .collect();
        self.listed = Some(asked);
        self.well();
        changed || !before.is_empty()
    }

    /// The watch works; whether it did not before.
    fn well(&mut self) -> bool {
        (self.broken, self.refused) = (None, false);
        self.trouble.take().is_some()
    }

    /// When there is no hope left: it is refused for as long as an answer may take, or nobody has answered for much longer.
    pub fn hopeless(&self, policy: &Policy) -> Option<Instant> {
        Some(self.broken? + policy.patience * if self.refused { 1 } else { OUTAGE })
    }

    /// The watch does not work, for this reason.
    fn broken(&mut self, error: &kube::Error) {
        self.trouble = Some(Broken { words: words(error), id: id_of(error), hints: hints_of(error) });
        self.broken.get_or_insert_with(Instant::now);
        self.refused = matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403));
    }

    /// Takes an object over, unless what is known is newer.
    fn apply(&mut self, object: DynamicObject) {
        let name = object.metadata.name.clone().unwrap_or_default();
        let stale = self.objects.get(&name).is_some_and(|known| {
            known.metadata.uid == object.metadata.uid
                && older(object.metadata.resource_version.as_deref(), known.metadata.resource_version.as_deref())
        });
        if !stale {
            self.objects.insert(name, Arc::new(object));
        }
    }

    /// Takes an object away, unless another one has its name by now.
    fn remove(&mut self, object: &DynamicObject) {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        if self.objects.get(name).is_some_and(|known| known.metadata.uid == object.metadata.uid) {
            self.objects.remove(name);
        }
    }
}

/// At most [`PER_SECOND`] requests in any second.
#[derive(Debug, Default)]
struct Pace(VecDeque<Instant>);

impl Pace {
    async fn turn(&mut self) {
        if self.0.len() >= PER_SECOND
            && let Some(first) = self.0.pop_front()
        {
            tokio::time::sleep_until(first + Duration::from_secs(1)).await;
        }
        self.0.push_back(Instant::now());
    }
}

/// Why a round of a watch is over.
enum Over {
    /// It can go on from the newest version.
    Resume,
    /// The version is too old, or nothing came for too long.
    Anew,
    /// It could not be opened, or not be read.
    Broken(kube::Error),
}

/// A watch at work.
pub(super) struct Keeper {
    client: Client,
    kind: &'static Kind,
    namespace: Option<String>,
    api: Api<DynamicObject>,
    policy: Policy,
    store: watch::Sender<Store>,
    /// A wait needs a list that was asked for at this moment or later.
    wanted: watch::Receiver<Option<Instant>>,
    pace: Pace,
    /// Newest version seen; none: a list has to come first.
    version: Option<String>,
    deleted: VecDeque<String>,
    /// What came since the last list.
    since_list: Total,
    /// When the server last said something of the objects: a list, an event, a bookmark.
    heard: Instant,
    /// Attempts since the last that worked.
    failing: Option<Tries>,
}

impl Keeper {
    pub(super) fn new(
        cluster: &Cluster,
        kind: &'static Kind,
        namespace: Option<&str>,
        store: watch::Sender<Store>,
        wanted: watch::Receiver<Option<Instant>>,
    ) -> Self {
        // A watch never gives up: those who wait for it have deadlines.
        let policy = Policy { attempts: u32::MAX, budget: Duration::from_hours(24 * 365), ..cluster.policy };
        Self {
            client: cluster.client.clone(),
            kind,
            namespace: namespace.map(str::to_owned),
            api: cluster.api(kind, namespace),
            policy,
            store,
            wanted,
            pace: Pace::default(),
            version: None,
            deleted: VecDeque::new(),
            since_list: Total::default(),
            heard: Instant::now(),
            failing: None,
        }
    }

    /// Whether a wait needs a newer list than the store has.
    fn outdated(wanted: Option<Instant>, listed: Option<Instant>) -> bool {
        wanted > listed
    }

    /// Keeps the store until nobody wants it any more.
    pub(super) async fn run(mut self) {
        loop {
            let over = match self.version.clone() {
                Some(version) if !Self::outdated(*self.wanted.borrow(), self.store.borrow().listed) => self.follow(&version).await,
                _ => self.list().await,
            };
            match over {
                Over::Resume => self.failing = None,
                Over::Anew => {
                    self.failing = None;
                    self.version = None;
                }
                Over::Broken(error) => self.broken(error).await,
            }
        }
    }

    /// Tells what is wrong, and waits as long as the policy says.
    async fn broken(&mut self, error: kube::Error) {
        tracing::debug!(%error, "watch interrupted, will be resumed");
        let after = match fate_of_list(&error) {
            Fate::NotNow(after) | Fate::Unclear(after) => after,
            Fate::Final => None,
        };
        self.store.send_modify(|store| store.broken(&error));
        let tries = self.failing.get_or_insert_with(|| self.policy.start());
        tries.begin();
        tries.again(after).await;
    }

    async fn list(&mut self) -> Over {
        self.pace.turn().await;
        let asked = Instant::now();
        let params = ListParams::default();
        match timed(self.policy.patience, wire::list(&self.client, self.kind, self.namespace.as_deref(), &params)).await {
            Ok(list) => {
                self.heard = Instant::now();
                self.since_list = Total::default();
                self.version = list.version;
                let wanted = *self.wanted.borrow();
                self.store.send_if_modified(|store| {
                    // Who waits for a newer list has to hear of one that changes nothing, too.
                    let awaited = Self::outdated(wanted, store.listed);
                    store.replace(list.items, asked) || awaited
                });
                Over::Resume
            }
            Err(error) => Over::Broken(error),
        }
    }

    async fn follow(&mut self, version: &str) -> Over {
        self.pace.turn().await;
        let params = WatchParams::default().timeout(WATCH_SECONDS);
        let events = match timed(self.policy.patience, self.api.watch(&params, version)).await {
            Ok(events) => events,
            Err(error) if is_expired(&error) => return Over::Anew,
            Err(error) => return Over::Broken(error),
        };
        self.failing = None;
        self.store.send_if_modified(Store::well);
        let mut events = std::pin::pin!(events);
        loop {
            let silence = self.heard + self.policy.patience;
            let listed = self.store.borrow().listed;
            let event = tokio::select! {
                event = tokio::time::timeout_at(silence, events.next()) => event,
                Ok(_) = self.wanted.wait_for(|wanted| Self::outdated(*wanted, listed)) => return Over::Anew,
            };
            let Ok(event) = event else { return Over::Anew };
            if matches!(event, Some(Ok(_))) {
                self.heard = Instant::now();
            }
            match event {
                // Whatever ends every watch before it has said anything must not keep the changes from us.
                None if Instant::now() >= silence => return Over::Anew,
                None => return Over::Resume,
                // An event without name or UID cannot be applied, and may have been about anything: only a list tells.
                Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object)))
                    if wire::identified(self.kind, &object).is_err() =>
                {
                    return Over::Anew;
                }
                Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                    // A list is bounded; a server that adds objects without an end must not be.
                    if self.since_list.add(weight(&object.data)).is_err() {
                        return Over::Anew;
                    }
                    self.seen(object.metadata.resource_version.as_deref());
                    let back = object.metadata.uid.as_ref().is_some_and(|uid| self.deleted.contains(uid));
                    if !back {
                        self.store.send_modify(|store| store.apply(object));
                    }
                }
                Some(Ok(WatchEvent::Deleted(object))) => {
                    self.seen(object.metadata.resource_version.as_deref());
                    self.store.send_modify(|store| store.remove(&object));
                    self.deleted.extend(object.metadata.uid);
                    if self.deleted.len() > DELETED {
                        self.deleted.pop_front();
                    }
                }
                Some(Ok(WatchEvent::Bookmark(mark))) => self.seen(Some(&mark.metadata.resource_version)),
                Some(Ok(WatchEvent::Error(status))) if status.code == 410 => return Over::Anew,
                Some(Ok(WatchEvent::Error(status))) => return Over::Broken(kube::Error::Api(status)),
                // What cannot be read may have been a change: only a list tells.
                Some(Err(kube::Error::SerdeError(_))) => return Over::Anew,
                Some(Err(error)) if is_expired(&error) => return Over::Anew,
                Some(Err(error)) => return Over::Broken(error),
            }
        }
    }

    fn seen(&mut self, version: Option<&str>) {
        if let Some(version) = version
            && !older(Some(version), self.version.as_deref())
        {
            self.version = Some(version.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(uid: &str, version: &str) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": "x", "uid": uid, "resourceVersion": version}})).unwrap()
    }

    fn known(store: &Store) -> Option<(&str, &str)> {
        store.objects.get("x").map(|o| (o.metadata.uid.as_deref().unwrap(), o.metadata.resource_version.as_deref().unwrap()))
    }

    #[test]
    fn late_events_change_nothing() {
        let mut store = Store::default();
        store.apply(object("a", "9"));
        store.apply(object("a", "8"));
        assert_eq!(known(&store), Some(("a", "9")));
        store.apply(object("a", "10"));
        assert_eq!(known(&store), Some(("a", "10")));
        // Another object of the same name.
        store.apply(object("b", "11"));
        store.remove(&object("a", "12"));
        assert_eq!(known(&store), Some(("b", "11")));
        store.remove(&object("b", "13"));
        assert_eq!(known(&store), None);
    }

    #[tokio::test(start_paused = true)]
    async fn three_requests_a_second() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        let mut turns = Vec::new();
        for _ in 0..10 {
            pace.turn().await;
            turns.push(start.elapsed());
        }
        assert!(turns.windows(4).all(|w| w[3] >= w[0] + Duration::from_secs(1)), "{turns:?}");
        assert_eq!(turns[2], Duration::ZERO);
    }
}
