//! What makes an object come round: changes of itself and of what it refers to.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use futures::{Stream, StreamExt};
use kube::runtime::{WatchStreamExt, watcher};
use mtv_api::kinds::{CONVERSION, HOOK, HOST, Kind, MIGRATION, NAD, NETWORK_MAP, PLAN, PROVIDER, SECRET, STORAGE_MAP};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Context,
    cluster::{Key, Look},
};
use crate::inventory::News;

/// How long the destination's inventory takes to notice a new NetworkAttachmentDefinition, as recorded.
const NAD_DELAY: Duration = Duration::from_secs(8);

/// Newest known versions of watched objects, by kind and key: to tell what a change was, and who refers to what.
#[derive(Default)]
pub struct Watched(RwLock<HashMap<(&'static str, Key), Value>>);

impl Watched {
    fn put(&self, kind: &'static str, object: Value) -> Option<Value> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert((kind, Key::of(&object)), object)
    }

    fn remove(&self, kind: &'static str, key: &Key) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&(kind, key.clone()));
    }

    /// Keys of objects of a kind that a test picks.
    fn keys(&self, kind: &str, pick: impl Fn(&Value) -> bool) -> Vec<Key> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|((k, _), object)| *k == kind && pick(object)).map(|((_, key), _)| key.clone()).collect()
    }

    /// Keys of Migrations of a Plan.
    pub fn migrations_of(&self, plan: &Key) -> Vec<Key> {
        self.keys(MIGRATION.kind, |migration| refers(migration, "/spec/plan", plan))
    }

    /// Whether an object of one of these kinds waits for its own controller.
    pub fn any_unreconciled(&self, kinds: &[&Kind]) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().any(|((k, _), object)| kinds.iter().any(|kind| kind.kind == *k) && !object.reconciled())
    }

    fn uids(&self, kind: &str) -> Vec<String> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|((k, _), _)| *k == kind).map(|(_, object)| object.uid().to_owned()).collect()
    }
}

/// A change of an object.
struct Change {
    old: Option<Value>,
    new: Value,
    deleted: bool,
}

impl Change {
    fn key(&self) -> Key {
        Key::of(&self.new)
    }

    fn is_new(&self) -> bool {
        self.old.is_none() && !self.deleted
    }

    /// Whether the spec changed, or the object came or went.
    fn of_spec(&self) -> bool {
        self.deleted || self.old.as_ref().is_none_or(|old| old.number("/metadata/generation") != self.new.number("/metadata/generation"))
    }

    /// Whether a controller wrote a status that is about the newest spec, or the object went.
    fn of_status(&self) -> bool {
        self.deleted || (self.new.reconciled() && self.old.as_ref().is_none_or(|old| old.get("status") != self.new.get("status")))
    }
}

fn refers(object: &Value, pointer: &str, key: &Key) -> bool {
    object.text(&format!("{pointer}/name")) == key.name && object.text(&format!("{pointer}/namespace")) == key.namespace
}

/// Starts all watches.
pub fn start(context: &Context, tasks: &mut JoinSet<()>, cancel: &CancellationToken) {
    for kind in [&PROVIDER, &SECRET, &STORAGE_MAP, &NETWORK_MAP, &NAD, &HOOK, &HOST, &PLAN, &MIGRATION, &CONVERSION] {
        let (context, cancel) = (context.clone(), cancel.clone());
        tasks.spawn(async move {
            tokio::select! { () = cancel.cancelled() => {}, () = follow(&context, kind) => {} }
        });
    }
    let (context, cancel) = (context.clone(), cancel.clone());
    tasks.spawn(async move {
        let mut changes = context.inventories.changes();
        loop {
            let news = tokio::select! { () = cancel.cancelled() => break, news = changes.recv() => news };
            match news {
                Ok(news) => source_changed(&context, &news),
                Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => break,
            }
        }
    });
}

async fn follow(context: &Context, kind: &'static Kind) {
    let api = context.cluster.api(kind, "");
    let stream = watcher(api, watcher::Config::default()).default_backoff();
    follow_stream(context, kind, stream).await;
}

async fn follow_stream<S>(context: &Context, kind: &'static Kind, stream: S)
where
    S: Stream<Item = Result<watcher::Event<kube::core::DynamicObject>, watcher::Error>>,
{
    let mut stream = std::pin::pin!(stream);
    // Keys of a list that is being read again: what it does not hold is gone.
    let mut listed: Option<Vec<Key>> = None;
    while let Some(event) = stream.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                tracing::debug!(kind = kind.kind, %error, "watch broke, will be tried again");
                continue;
            }
        };
        match event {
            watcher::Event::Init => listed = Some(Vec::new()),
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
                let Ok(new) = serde_json::to_value(object) else { continue };
                if let Some(listed) = &mut listed {
                    listed.push(Key::of(&new));
                }
                let old = context.watched.put(kind.kind, new.clone());
                react(context, kind, &Change { old, new, deleted: false });
            }
            watcher::Event::InitDone => {
                let listed = listed.take().unwrap_or_default();
                for key in context.watched.keys(kind.kind, |o| !listed.contains(&Key::of(o))) {
                    let new = serde_json::json!({ "metadata": { "namespace": key.namespace, "name": key.name } });
                    context.watched.remove(kind.kind, &key);
                    react(context, kind, &Change { old: None, new, deleted: true });
                }
            }
            watcher::Event::Delete(object) => {
                let Ok(new) = serde_json::to_value(object) else { continue };
                context.watched.remove(kind.kind, &Key::of(&new));
                react(context, kind, &Change { old: None, new, deleted: true });
            }
        }
    }
}

fn react(context: &Context, kind: &Kind, change: &Change) {
    let key = change.key();
    let queues = &context.queues;
    let watched = &context.watched;
    let plans = |pick: &dyn Fn(&Value) -> bool| watched.keys(PLAN.kind, pick).into_iter().for_each(|key| queues.plans.add(key));
    match kind.kind {
        "Provider" => {
            if change.of_spec() {
                queues.providers.add(key.clone());
            }
            if change.deleted {
                context.inventories.keep(&watched.uids(PROVIDER.kind));
            }
            if change.of_status() {
                let uses = |o: &Value| refers(o, "/spec/provider/source", &key) || refers(o, "/spec/provider/destination", &key);
                watched.keys(STORAGE_MAP.kind, uses).into_iter().for_each(|key| queues.storage_maps.add(key));
                watched.keys(NETWORK_MAP.kind, uses).into_iter().for_each(|key| queues.network_maps.add(key));
                watched.keys(HOST.kind, |o| refers(o, "/spec/provider", &key)).into_iter().for_each(|key| queues.hosts.add(key));
                plans(&uses);
            }
        }
        "Secret" => {
            let same = change.old.as_ref().is_some_and(|old| old.get("data") == change.new.get("data"));
            if !same {
                let uses = |o: &Value| refers(o, "/spec/secret", &key);
                watched.keys(PROVIDER.kind, uses).into_iter().for_each(|key| queues.providers.add(key));
            }
        }
        "StorageMap" | "NetworkMap" => {
            let (queue, pointer) = if kind == &STORAGE_MAP {
                (&queues.storage_maps, "/spec/map/storage")
            } else {
                (&queues.network_maps, "/spec/map/network")
            };
            if change.of_spec() && !change.deleted {
                queue.add(key.clone());
            }
            if change.of_status() {
                plans(&|plan| refers(plan, pointer, &key));
            }
        }
        "NetworkAttachmentDefinition" => {
            for map in watched.keys(NETWORK_MAP.kind, |map| !map.holds("Ready")) {
                queues.network_maps.add_after(map, context.scaled(NAD_DELAY));
            }
        }
        "Hook" => {
            if change.of_spec() && !change.deleted {
                queues.hooks.add(key.clone());
            }
            if change.of_status() {
                plans(&|plan| plan.items("/spec/vms").iter().flat_map(|vm| vm.items("/hooks")).any(|hook| refers(hook, "/hook", &key)));
            }
        }
        "Host" if change.of_spec() && !change.deleted => queues.hosts.add(key),
        "Plan" => {
            if change.of_spec() {
                queues.plans.add(key.clone());
            }
            let uses = |migration: &Value| refers(migration, "/spec/plan", &key);
            watched.keys(MIGRATION.kind, uses).into_iter().for_each(|key| queues.migrations.add(key));
        }
        "Migration" => {
            if change.of_spec() && !change.deleted {
                queues.migrations.add(key);
            }
            let started = !change.new.text("/status/started").is_empty();
            let pending = change.is_new() && change.new.text("/status/completed").is_empty();
            if pending || (change.deleted && started) || (!change.deleted && !change.is_new() && change.of_spec()) {
                queues.plans.add(Key::new(change.new.text("/spec/plan/namespace"), change.new.text("/spec/plan/name")));
            }
        }
        "Conversion" if change.of_spec() && !change.deleted => queues.conversions.add(key),
        _ => {}
    }
}

/// A VM, network or datastore of a source changed: what runs or waits for it looks again. A plan looks for its own VMs only.
fn source_changed(context: &Context, news: &News) {
    let watched = &context.watched;
    let provider = news.provider.as_str();
    let about = |plan: &Value| {
        let of_plan = |vm: &Value| vm.text("/id").is_empty() || news.vms.iter().flatten().any(|id| id == vm.text("/id"));
        news.vms.is_none() || plan.items("/spec/vms").iter().any(of_plan)
    };
    for source in watched.keys(PROVIDER.kind, |p| p.uid() == provider) {
        let uses = |o: &Value| refers(o, "/spec/provider/source", &source);
        watched.keys(PLAN.kind, |plan| uses(plan) && about(plan)).into_iter().for_each(|key| context.queues.plans.add(key));
        let unready = |o: &Value| uses(o) && (!o.holds("Ready") || o.items("/status/references").len() < o.items("/spec/map").len());
        watched.keys(STORAGE_MAP.kind, unready).into_iter().for_each(|key| context.queues.storage_maps.add(key));
        watched.keys(NETWORK_MAP.kind, unready).into_iter().for_each(|key| context.queues.network_maps.add(key));
    }
}
