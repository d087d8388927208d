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
const SAFETY_READ: Duration = Duration::from_secs(60);

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

    pub(super) async fn all(
        &self,
        cluster: &Cluster,
        cx: &StepCx,
        kind: &'static Kind,
        namespace: Option<&str>,
    ) -> Result<Vec<DynamicObject>, Failure> {
        let mut store = self.subscribe(cluster, kind, namespace);
        let glance = store.clone();
        tokio::select! {
            () = cx.cancel.cancelled() => Err(Failure::Interrupted),
            () = tokio::time::sleep_until(cx.deadline.at()) => {
                let trouble = glance.borrow().trouble.clone().unwrap_or_else(|| "no answer yet".to_owned());
                Err(timed_out(&format!("the list of {}", name_of(kind, namespace, "")), Duration::ZERO, &trouble))
            }
            listed = store.wait_for(|s| s.listed) => match listed {
                Ok(store) => Ok(store.objects.values().map(|o| (**o).clone()).collect()),
                Err(_) => Err(Failure::Errored(Trouble::new("the shared watch ended unexpectedly"))),
            },
        }
    }

    pub(super) async fn wait<T>(
        &self,
        cluster: &Cluster,
        cx: &StepCx,
        awaited: Awaited<'_>,
        mut look: impl FnMut(Option<&DynamicObject>) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let Awaited { kind, namespace, name, until, limit } = awaited;
        let object_name = name_of(kind, namespace, name);
        let started = Instant::now();
        let deadline = cx.deadline.within(limit);
        let mut store = self.subscribe(cluster, kind, namespace);
        let mut last_state = String::new();
        let mut read_at = started + SAFETY_READ;
        loop {
            let (listed, object, trouble) = {
                let now = store.borrow_and_update();
                (now.listed, now.objects.get(name).cloned(), now.trouble.clone())
            };
            if listed {
                let state = state_of(object.as_deref());
                if state != last_state {
                    cx.emitter.emit(What::StateChanged { object: object_name.clone(), state: state.clone() });
                    last_state = state;
                }
                if let Some(found) = look(object.as_deref())? {
                    return Ok(found);
                }
            }
            tokio::select! {
                () = cx.cancel.cancelled() => return Err(Failure::Interrupted),
                changed = store.changed() => if changed.is_err() {
                    return Err(Failure::Errored(Trouble::new("the shared watch ended unexpectedly")));
                },
                () = tokio::time::sleep_until(deadline.at()) => {
                    let state = trouble.filter(|_| !listed).unwrap_or_else(|| state_of(object.as_deref()));
                    return Err(timed_out(&format!("{object_name} {until}"), started.elapsed(), &state));
                }
                () = tokio::time::sleep_until(read_at) => {
                    read_at = Instant::now() + SAFETY_READ;
                    let object = cluster.get(kind, namespace, name).await.map_err(Failure::from)?;
                    if let Some(found) = look(object.as_ref())? {
                        cx.warn(format!("the watch of {} missed a change of {object_name}; a plain read found it", kind.plural));
                        return Ok(found);
                    }
                }
            }
        }
    }
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
