//! Garbage collection: what is owned goes with its owner, in the background, in the foreground, or stays as an orphan.
//!
//! One watch per kind feeds a graph of owners and dependents; one worker acts on it. Before anything is deleted the
//! object is read again, and the deletion names the version that was read: owners may have been replaced meanwhile, as
//! Forklift does with the claims of a migrated VM.

mod graph;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt, future::try_join_all};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, PartialObjectMeta, Patch, PatchParams, Preconditions},
    discovery::{Scope, verbs},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use self::graph::{Graph, Node};
use super::{Context, namespace, write};

const MANAGER: &str = "lab-gc";
const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
/// Kinds that come and go by themselves and own nothing.
const IGNORED: [&str; 3] = ["events", "leases", "endpointslices"];

/// A kind, and whether its objects live in namespaces.
#[derive(Clone)]
struct Served {
    resource: ApiResource,
    namespaced: bool,
}

struct Collector {
    client: Client,
    kinds: HashMap<(String, String), Served>,
    graph: Mutex<Graph>,
    queue: mpsc::UnboundedSender<String>,
}

/// Starts the role.
///
/// # Errors
/// The server's discovery, or the lab ended meanwhile.
pub async fn start(cx: &Context) -> anyhow::Result<()> {
    let (queue, mut work) = mpsc::unbounded_channel();
    let kinds = served(&cx.client).await?;
    let collector = Arc::new(Collector { client: cx.client.clone(), kinds: kinds.clone(), graph: Mutex::default(), queue });
    try_join_all(kinds.into_values().map(|kind| watch(cx, &collector, kind))).await?;
    let clock = cx.world.clock;
    cx.spawn(async move {
        while let Some(uid) = work.recv().await {
            if let Err(error) = collector.look(&uid).await {
                if !write::is_gone(&error) && !write::is_conflict(&error) {
                    tracing::warn!(uid, "garbage collection: {error:#}");
                }
                let again = Arc::clone(&collector);
                tokio::spawn(async move {
                    clock.sleep(std::time::Duration::from_secs(1)).await;
                    again.enqueue(uid);
                });
            }
        }
    });
    Ok(())
}

async fn served(client: &Client) -> anyhow::Result<HashMap<(String, String), Served>> {
    let discovery = namespace::discover(client).await?;
    let mut kinds = HashMap::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let wanted = [verbs::LIST, verbs::WATCH, verbs::DELETE].iter().all(|verb| capabilities.supports_operation(verb));
            if wanted && !IGNORED.contains(&resource.plural.as_str()) {
                let key = (resource.group.clone(), resource.kind.clone());
                kinds.insert(key, Served { resource, namespaced: capabilities.scope == Scope::Namespaced });
            }
        }
    }
    Ok(kinds)
}

async fn watch(cx: &Context, collector: &Arc<Collector>, kind: Served) -> anyhow::Result<()> {
    let (sender, receiver) = oneshot::channel();
    let mut synced = Some(sender);
    let collector = Arc::clone(collector);
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(cx.client.clone(), &kind.resource);
    cx.spawn(async move {
        let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
        while let Some(event) = stream.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => collector.seen(&kind, &object.metadata),
                Ok(watcher::Event::Delete(object)) => collector.gone(&object.metadata.uid.unwrap_or_default()),
                Ok(watcher::Event::InitDone) => {
                    if let Some(synced) = synced.take() {
                        let _nobody_waits = synced.send(());
                    }
                }
                Ok(watcher::Event::Init) => {}
                Err(error) => tracing::debug!(kind = kind.resource.kind, "a watch broke and starts again: {error}"),
            }
        }
    });
    receiver.await.map_err(|_| anyhow::anyhow!("the lab ended while a watch was starting"))
}

impl Collector {
    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, uid: String) {
        let _ended = self.queue.send(uid);
    }

    fn seen(&self, kind: &Served, meta: &kube::core::ObjectMeta) {
        let node = Node::new(&kind.resource, meta);
        let uid = node.uid.clone();
        let interesting = !node.owners.is_empty() || node.deleting;
        let blocked: Vec<String> = if node.deleting { node.owners.iter().map(|o| o.uid.clone()).collect() } else { Vec::new() };
        self.graph().put(node);
        if interesting {
            self.enqueue(uid);
        }
        // An owner that waits for this one looks again.
        for owner in blocked {
            self.enqueue(owner);
        }
    }

    fn gone(&self, uid: &str) {
        let (dependents, owners) = {
            let mut graph = self.graph();
            let dependents = graph.dependents(uid);
            let owners: Vec<_> =
                graph.get(uid).into_iter().flat_map(|n| n.owners.iter().map(|o| o.uid.clone()).collect::<Vec<_>>()).collect();
            graph.remove(uid);
            (dependents, owners)
        };
        for uid in dependents.into_iter().chain(owners) {
            self.enqueue(uid);
        }
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, resource)
        }
    }

    async fn look(&self, uid: &str) -> anyhow::Result<()> {
        let Some(node) = self.graph().get(uid).cloned() else { return Ok(()) };
        if node.deleting {
            if node.finalizers.iter().any(|f| f == ORPHAN) {
                return self.orphan(&node).await;
            }
            if node.finalizers.iter().any(|f| f == FOREGROUND) {
                return self.foreground(&node).await;
            }
            return Ok(());
        }
        self.collect(&node).await
    }

    /// Deletes an object whose owners are all gone; takes the gone ones out where others are left.
    async fn collect(&self, node: &Node) -> anyhow::Result<()> {
        if node.owners.is_empty() {
            return Ok(());
        }
        let api = self.api(&node.resource, &node.namespace);
        let Some(live) = write::missing(api.get_metadata(&node.name).await)? else { return Ok(()) };
        if live.metadata.uid.as_deref() != Some(&node.uid) {
            return Ok(());
        }
        let (mut solid, mut waiting, mut dangling) = (Vec::new(), false, Vec::new());
        for owner in live.owner_references() {
            match self.owner_state(&node.namespace, owner).await? {
                Owner::Solid => solid.push(owner.clone()),
                Owner::Waiting => waiting |= owner.block_owner_deletion == Some(true),
                Owner::Absent => dangling.push(owner.clone()),
            }
        }
        if live.owner_references().is_empty() || (dangling.is_empty() && !waiting) {
            return Ok(());
        }
        if !solid.is_empty() {
            let patch = json!({ "metadata": { "ownerReferences": solid, "resourceVersion": live.resource_version(), "uid": node.uid } });
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            write::missing(api.patch_metadata(&node.name, &params, &Patch::Merge(patch)).await)?;
            return Ok(());
        }
        // In the foreground if the owner waits for this one, which may have dependents itself.
        let base =
            if waiting && !self.graph().dependents(&node.uid).is_empty() { DeleteParams::foreground() } else { DeleteParams::background() };
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: Some(node.uid.clone()), resource_version: live.resource_version() }),
            ..base
        };
        write::missing(api.delete(&node.name, &params).await)?;
        Ok(())
    }

    async fn owner_state(
        &self,
        namespace: &str,
        owner: &k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference,
    ) -> anyhow::Result<Owner> {
        if let Some(known) = self.graph().get(&owner.uid) {
            let waits = known.deleting && known.finalizers.iter().any(|f| f == FOREGROUND);
            return Ok(if waits { Owner::Waiting } else { Owner::Solid });
        }
        let group = owner.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        // An owner of an unknown kind may be of one that is served later: the real collector waits as well.
        let Some(kind) = self.kinds.get(&(group.to_owned(), owner.kind.clone())) else { return Ok(Owner::Solid) };
        let api = self.api(&kind.resource, if kind.namespaced { namespace } else { "" });
        let live = write::missing(api.get_metadata(&owner.name).await)?;
        Ok(if live.is_some_and(|l| l.metadata.uid.as_deref() == Some(&owner.uid)) { Owner::Solid } else { Owner::Absent })
    }

    /// An owner that wants its dependents gone first.
    async fn foreground(&self, node: &Node) -> anyhow::Result<()> {
        let (dependents, blocking) = {
            let graph = self.graph();
            let dependents = graph.dependents(&node.uid);
            let blocks = |uid: &String| graph.get(uid).is_some_and(|d| d.owners.iter().any(|o| o.uid == node.uid && o.blocks));
            let blocking = dependents.iter().any(blocks);
            (dependents, blocking)
        };
        for uid in dependents {
            let Some(dependent) = self.graph().get(&uid).cloned() else { continue };
            if !dependent.deleting {
                self.collect(&dependent).await?;
            }
        }
        if blocking { Ok(()) } else { self.drop_finalizer(node, FOREGROUND).await }
    }

    /// An owner that wants its dependents to stay.
    async fn orphan(&self, node: &Node) -> anyhow::Result<()> {
        let dependents = self.graph().dependents(&node.uid);
        for uid in dependents {
            let Some(dependent) = self.graph().get(&uid).cloned() else { continue };
            let api = self.api(&dependent.resource, &dependent.namespace);
            let Some(live) = write::missing(api.get_metadata(&dependent.name).await)? else { continue };
            let left: Vec<_> = live.owner_references().iter().filter(|o| o.uid != node.uid).collect();
            if left.len() < live.owner_references().len() {
                let patch = json!({ "metadata": { "ownerReferences": left, "resourceVersion": live.resource_version() } });
                write::missing(api.patch_metadata(&dependent.name, &PatchParams::default(), &Patch::Merge(patch)).await)?;
            }
        }
        self.drop_finalizer(node, ORPHAN).await
    }

    async fn drop_finalizer(&self, node: &Node, finalizer: &str) -> anyhow::Result<()> {
        let api = self.api(&node.resource, &node.namespace);
        let Some(live) = write::missing(api.get_metadata(&node.name).await)? else { return Ok(()) };
        let left: Vec<_> = live.finalizers().iter().filter(|f| *f != finalizer).collect();
        if left.len() == live.finalizers().len() || live.metadata.uid.as_deref() != Some(&node.uid) {
            return Ok(());
        }
        let patch = json!({ "metadata": { "finalizers": left, "resourceVersion": live.resource_version() } });
        write::missing(api.patch_metadata(&node.name, &PatchParams::default(), &Patch::Merge(patch)).await)?;
        Ok(())
    }
}

/// How an owner stands.
enum Owner {
    /// It is there.
    Solid,
    /// It is being deleted and waits for its dependents.
    Waiting,
    /// It is gone.
    Absent,
}
