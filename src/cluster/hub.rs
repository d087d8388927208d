//! One shared watch per kind and namespace for the whole process. Waits look at its store; waiting costs no requests.
//!
//! A quiet or half-open watch must not make a wait miss the end: watches are renewed every two minutes, and each wait reads
//! its object once a minute by itself.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use kube::{
    api::DynamicObject,
    runtime::{WatchStreamExt as _, watcher},
};
use mtv_api::kinds::Kind;
use tokio::{sync::watch, task::AbortHandle, time::Instant};

use super::{Awaited, Cluster, name_of, state_of};
use crate::{
    engine::{Failure, StepCx},
    events::{Trouble, What},
};

/// How long one watch request lasts at the most. kube's watcher notices a dead connection five seconds later.
const WATCH_SECONDS: u32 = 120;

/// How often a wait reads its object by itself.
const SAFETY_READ: Duration = Duration::from_mins(1);

type Key = (&'static Kind, Option<String>);

/// What a watch knows: objects by name. A watch is of one namespace or of a kind that has none.
#[derive(Debug, Clone, Default)]
struct Store {
    listed: bool,
    objects: BTreeMap<String, Arc<DynamicObject>>,
    /// Why the watch does not work at the moment.
    trouble: Option<String>,
}

/// A running watch; it ends with the hub.
struct Watch {
    store: watch::Receiver<Store>,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All watches of the process.
#[derive(Clone, Default)]
pub(super) struct Hub(Arc<Mutex<HashMap<Key, Watch>>>);

impl Hub {
    /// Starts the watch of a kind and namespace if it does not run yet.
    fn subscribe(&self, cluster: &Cluster, kind: &'static Kind, namespace: Option<&str>) -> watch::Receiver<Store> {
        let key = (kind, namespace.map(str::to_owned));
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = watches.entry(key).or_insert_with(|| {
            let (sender, store) = watch::channel(Store::default());
            let api = cluster.api(kind, namespace);
            let task = tokio::spawn(keep(api, sender)).abort_handle();
            Watch { store, task }
        });
        running.store.clone()
    }

    /// Waits until `look` finds what it wants in the store; `state` says what was seen last, `refresh` names what the plain
    /// read in between is about: one object, or all of the kind.
    async fn wait<T>(
        &self,
        cluster: &Cluster,
        cx: &StepCx,
        awaited: &Awaited<'_>,
        mut look: impl FnMut(&Store) -> Result<Option<T>, Failure>,
        state: impl Fn(&Store) -> String,
    ) -> Result<T, Failure> {
        let Awaited { kind, namespace, name, until, limit } = *awaited;
        let subject = name_of(kind, namespace, name);
        let started = Instant::now();
        let deadline = cx.deadline.within(limit);
        let mut store = self.subscribe(cluster, kind, namespace);
        let mut last_state = String::new();
        let mut read_at = started + SAFETY_READ;
        loop {
            {
                let now = store.borrow_and_update();
                if now.listed {
                    let state = state(&now);
                    if state != last_state {
                        cx.emitter.emit(What::StateChanged { object: subject.clone(), state: state.clone() });
                        last_state = state;
                    }
                    if let Some(found) = look(&now)? {
                        return Ok(found);
                    }
                } else if let Some(trouble) = &now.trouble {
                    last_state.clone_from(trouble);
                }
            }
            tokio::select! {
                () = cx.cancel.cancelled() => return Err(Failure::Interrupted),
                changed = store.changed() => if changed.is_err() {
                    return Err(Failure::Errored(Trouble::new("the shared watch ended unexpectedly")));
                },
                () = tokio::time::sleep_until(deadline.at()) => {
                    return Err(timed_out(&format!("{subject} {until}"), started.elapsed(), &last_state));
                }
                () = tokio::time::sleep_until(read_at) => {
                    read_at = Instant::now() + SAFETY_READ;
                    let fresh = read(cluster, kind, namespace, name).await?;
                    if let Some(found) = look(&fresh)? {
                        cx.warn(format!("the watch of {} missed a change of {subject}; a plain read found it", kind.plural));
                        return Ok(found);
                    }
                }
            }
        }
    }

    pub(super) async fn wait_one<T>(
        &self,
        cluster: &Cluster,
        cx: &StepCx,
        awaited: Awaited<'_>,
        mut look: impl FnMut(Option<&DynamicObject>) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let name = awaited.name;
        let one = |store: &Store| store.objects.get(name).map(|o| (**o).clone());
        self.wait(cluster, cx, &awaited, |store| look(one(store).as_ref()), |store| state_of(one(store).as_ref())).await
    }

    pub(super) async fn wait_all<T>(
        &self,
        cluster: &Cluster,
        cx: &StepCx,
        awaited: Awaited<'_>,
        mut look: impl FnMut(&[&DynamicObject]) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let kind = awaited.kind;
        let all = |store: &Store| look(&store.objects.values().map(Arc::as_ref).collect::<Vec<_>>());
        self.wait(cluster, cx, &awaited, all, |store| format!("{} {}", store.objects.len(), kind.plural)).await
    }
}

/// The store as a plain read sees it: one object, or all where no name is given.
async fn read(cluster: &Cluster, kind: &'static Kind, namespace: Option<&str>, name: &str) -> anyhow::Result<Store> {
    let objects = if name.is_empty() {
        cluster.list(kind, namespace, "").await?
    } else {
        cluster.get(kind, namespace, name).await?.into_iter().collect()
    };
    let objects = objects.into_iter().map(|o| (o.metadata.name.clone().unwrap_or_default(), Arc::new(o))).collect();
    Ok(Store { listed: true, objects, trouble: None })
}

/// What a wait says when its time is up.
fn timed_out(what: &str, waited: Duration, state: &str) -> Failure {
    Failure::Errored(Trouble {
        summary: format!("timed out after {} waiting for {what}", crate::engine::human(waited)),
        details: vec![format!("last state: {state}")],
        hints: Vec::new(),
    })
}

/// Keeps a store in step with the cluster until nobody wants it any more.
async fn keep(api: kube::Api<DynamicObject>, store: watch::Sender<Store>) {
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut listing = BTreeMap::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listing.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                listing.insert(object.metadata.name.clone().unwrap_or_default(), Arc::new(object));
            }
            Ok(watcher::Event::InitDone) => {
                let objects = std::mem::take(&mut listing);
                store.send_modify(|s| *s = Store { listed: true, objects, trouble: None });
            }
            Ok(watcher::Event::Apply(object)) => store.send_modify(|s| {
                s.objects.insert(object.metadata.name.clone().unwrap_or_default(), Arc::new(object));
            }),
            Ok(watcher::Event::Delete(object)) => store.send_modify(|s| {
                s.objects.remove(&object.metadata.name.clone().unwrap_or_default());
            }),
            Err(error) => {
                tracing::debug!(%error, "watch interrupted, will be resumed");
                store.send_modify(|s| s.trouble = Some(error.to_string()));
            }
        }
    }
}
