//! The shape of every role: one watch per kind, and for each object one task that is told of every change.
//!
//! A task looks at its object, brings it on by one or more writes, and either returns (it is run again when the object
//! changes) or waits for the next change itself. It ends with the object. Two objects never wait for each other.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api, Resource, ResourceExt,
    runtime::{WatchStreamExt, reflector, watcher},
};
use serde::de::DeserializeOwned;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Context, write};

/// Objects that a role can look after.
pub trait Object: Resource<DynamicType: Eq + Hash + Clone> + Clone + DeserializeOwned + Debug + Send + Sync + 'static {}
impl<K: Resource<DynamicType: Eq + Hash + Clone> + Clone + DeserializeOwned + Debug + Send + Sync + 'static> Object for K {}

/// How long a task waits after an error: what controllers start their back-off with.
const RETRY: Duration = Duration::from_secs(1);

/// An object as it was seen last.
#[derive(Clone)]
pub struct Latest<K>(watch::Receiver<Arc<K>>);

impl<K> Latest<K> {
    /// The object.
    pub fn get(&mut self) -> Arc<K> {
        self.0.borrow_and_update().clone()
    }

    /// Waits until the object, or something that its task should know of, changes.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The object is gone; its task is about to be ended.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the object is as wanted.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(&K) -> Option<T>) -> T {
        loop {
            let object = self.get();
            if let Some(found) = wanted(&object) {
                return found;
            }
            self.changed().await;
        }
    }

    /// Waits that long, or until a change.
    pub async fn changed_within(&mut self, time: Duration) {
        let _elapsed = tokio::time::timeout(time, self.changed()).await;
    }
}

type Key = (String, String);

struct Life<K> {
    uid: String,
    object: watch::Sender<Arc<K>>,
    end: CancellationToken,
}

/// The objects of one kind and their tasks.
pub struct Lives<K>(Arc<Mutex<HashMap<Key, Life<K>>>>);

impl<K> Clone for Lives<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Object> Lives<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Life<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the task of an object, because something that it depends on has changed.
    pub fn poke(&self, namespace: &str, name: &str) {
        if let Some(life) = self.lock().get(&(namespace.to_owned(), name.to_owned())) {
            life.object.send_modify(|_| ());
        }
    }

    /// Wakes all tasks.
    pub fn poke_all(&self) {
        for life in self.lock().values() {
            life.object.send_modify(|_| ());
        }
    }

    /// The object, as seen last.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.lock().get(&(namespace.to_owned(), name.to_owned())).map(|life| life.object.borrow().clone())
    }

    /// All objects, as seen last.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.lock().values().map(|life| life.object.borrow().clone()).collect()
    }

    fn apply<F, Fut>(&self, cx: &Context, object: K, life: &Arc<F>)
    where
        F: Fn(Latest<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let key = key(&object);
        let uid = object.uid().unwrap_or_default();
        let mut lives = self.lock();
        if let Some(known) = lives.get(&key) {
            if known.uid == uid {
                known.object.send_replace(Arc::new(object));
                return;
            }
            // Deleted and made again while the watch was away.
            known.end.cancel();
        }
        let (sender, receiver) = watch::channel(Arc::new(object));
        let end = cx.cancel.child_token();
        cx.tasks.spawn(run(cx.clone(), receiver, Arc::clone(life), end.clone()));
        lives.insert(key, Life { uid, object: sender, end });
    }

    fn end(&self, key: &Key) {
        if let Some(life) = self.lock().remove(key) {
            life.end.cancel();
        }
    }

    fn keep_only(&self, seen: &HashSet<Key>) {
        self.lock().retain(|key, life| {
            let keep = seen.contains(key);
            if !keep {
                life.end.cancel();
            }
            keep
        });
    }
}

fn key<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Runs one object's task, again and again, until the object is gone.
async fn run<K, F, Fut>(cx: Context, mut receiver: watch::Receiver<Arc<K>>, life: Arc<F>, end: CancellationToken)
where
    K: Object,
    F: Fn(Latest<K>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let work = async {
        loop {
            let object = key(&**receiver.borrow_and_update());
            match life(Latest(receiver.clone())).await {
                Ok(()) => {
                    if receiver.changed().await.is_err() {
                        return;
                    }
                }
                // Somebody else wrote first: look again with what the watch brings, or soon.
                Err(error) if write::is_conflict(&error) => {
                    let _elapsed = tokio::time::timeout(cx.world.clock.scaled(RETRY), receiver.changed()).await;
                }
                Err(error) => {
                    if write::is_gone(&error) {
                        tracing::debug!(namespace = object.0, name = object.1, "{error:#}");
                    } else {
                        tracing::warn!(namespace = object.0, name = object.1, "{error:#}");
                    }
                    cx.world.clock.sleep(RETRY).await;
                }
            }
        }
    };
    tokio::select! {
        () = end.cancelled() => {}
        () = work => {}
    }
}

/// Gives each object of a watch a task; returns when the first list is in.
///
/// # Errors
/// The lab ended before the list came.
pub async fn each<K, F, Fut>(cx: &Context, api: Api<K>, config: watcher::Config, life: F) -> anyhow::Result<Lives<K>>
where
    K: Object,
    F: Fn(Latest<K>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let lives = Lives(Arc::default());
    let (life, context, mine) = (Arc::new(life), cx.clone(), lives.clone());
    let mut listed = HashSet::new();
    events(cx, api, config, move |event| match event {
        watcher::Event::Init => listed.clear(),
        watcher::Event::InitApply(object) => {
            listed.insert(key(&object));
            mine.apply(&context, object, &life);
        }
        watcher::Event::InitDone => mine.keep_only(&listed),
        watcher::Event::Apply(object) => mine.apply(&context, object, &life),
        watcher::Event::Delete(object) => mine.end(&key(&object)),
    })
    .await?;
    Ok(lives)
}

/// Keeps a copy of all objects of a watch and tells of every change; returns when the first list is in.
///
/// # Errors
/// The lab ended before the list came.
pub async fn observe<K>(
    cx: &Context,
    api: Api<K>,
    dynamic: K::DynamicType,
    mut changed: impl FnMut(&K) + Send + 'static,
) -> anyhow::Result<reflector::Store<K>>
where
    K: Object,
{
    let mut writer = reflector::store::Writer::new(dynamic);
    let store = writer.as_reader();
    events(cx, api, watcher::Config::default(), move |event| {
        writer.apply_watcher_event(&event);
        match &event {
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) | watcher::Event::Delete(object) => changed(object),
            watcher::Event::Init | watcher::Event::InitDone => {}
        }
    })
    .await?;
    Ok(store)
}

/// Watches for as long as the lab runs; returns when the first list is in.
async fn events<K: Object>(
    cx: &Context,
    api: Api<K>,
    config: watcher::Config,
    mut handle: impl FnMut(watcher::Event<K>) + Send + 'static,
) -> anyhow::Result<()> {
    let (sender, receiver) = oneshot::channel();
    let mut synced = Some(sender);
    cx.spawn(async move {
        let mut stream = std::pin::pin!(watcher(api, config).default_backoff());
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => {
                    let done = matches!(event, watcher::Event::InitDone);
                    handle(event);
                    if let Some(synced) = synced.take_if(|_| done) {
                        let _nobody_waits = synced.send(());
                    }
                }
                Err(error) => tracing::warn!("a watch broke and starts again: {error}"),
            }
        }
    });
    receiver.await.map_err(|_| anyhow::anyhow!("the lab ended while a watch was starting"))
}
