//! MTV: controllers that act as those of Forklift, as clients of the Kubernetes API and of a vCenter.
//!
//! What they write, and in which order, is held against recordings of the real controller. Waits of the real one (three
//! seconds between two looks at a running migration) are scaled by the lab's clock.

pub mod builder;
pub mod cluster;
pub mod conditions;
mod conversion;
mod events;
mod hook;
mod host;
mod maps;
pub mod migrate;
mod migration;
mod names;
pub mod plan;
mod pods;
mod provider;
mod queue;
mod reference;
mod settings;
pub mod source;
pub mod vcenter;
mod watch;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::Client;
use mtv_api::{condition::Condition, kinds::POD};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::{
    cluster::{Cluster, Key, Look as _},
    queue::Queue,
    watch::Watched,
};
use crate::{inventory::Inventories, world::World};

/// How soon a reconcile that failed, or that waits for something slow, is tried again.
pub const SLOW: Duration = Duration::from_secs(3);

/// What differs between installations.
#[derive(Debug, Clone)]
pub struct Options {
    /// Namespace of the operator: the `host` Provider there sees all namespaces.
    pub mtv_namespace: String,
    /// Version of the cluster, such as `4.20.0`: some fields of a VirtualMachine depend on it.
    pub openshift_version: String,
    /// Image of virt-v2v pods.
    pub virt_v2v_image: String,
    /// Image of deep-inspection pods.
    pub inspection_image: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mtv_namespace: "openshift-mtv".to_owned(),
            openshift_version: "4.20.0".to_owned(),
            virt_v2v_image: "lab.invalid/mtv-virt-v2v:latest".to_owned(),
            inspection_image: "lab.invalid/mtv-deep-inspection:latest".to_owned(),
        }
    }
}

/// One queue per kind of object.
#[derive(Clone, Default)]
struct Queues {
    providers: Queue,
    storage_maps: Queue,
    network_maps: Queue,
    hooks: Queue,
    hosts: Queue,
    plans: Queue,
    migrations: Queue,
    conversions: Queue,
}

/// When a cutover was first seen, by Migration UID and the time that it names.
type Cutovers = Mutex<HashMap<(String, String), Timestamp>>;

/// What the controllers share.
#[derive(Clone)]
pub struct Context {
    world: World,
    cluster: Cluster,
    options: Arc<Options>,
    inventories: Arc<Inventories>,
    queues: Queues,
    watched: Arc<Watched>,
    cutovers: Arc<Cutovers>,
}

impl Context {
    fn now(&self) -> String {
        self.world.clock.now()
    }

    /// What kinds of sources work with.
    fn site(&self) -> source::Site {
        source::Site { cluster: self.cluster.clone(), world: self.world.clone() }
    }

    /// A wait of the real controller, in the lab's time.
    fn scaled(&self, real: Duration) -> Duration {
        self.world.clock.scaled(real)
    }

    /// Whether the moment of a cutover has come: as long after it was first seen as it lay ahead then, in the lab's time.
    fn cutover_is_due(&self, migration: &str, cutover: &str) -> bool {
        let Ok(moment) = cutover.parse::<Timestamp>() else { return false };
        let now = self.world.clock.moment();
        let mut cutovers = self.cutovers.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = *cutovers.entry((migration.to_owned(), cutover.to_owned())).or_insert(now);
        drop(cutovers);
        let waited = Duration::try_from(now.duration_since(seen)).unwrap_or_default();
        waited >= self.world.clock.until(moment, seen)
    }

    /// Writes the status of an object with its events.
    async fn publish(
        &self,
        kind: &mtv_api::kinds::Kind,
        component: &str,
        object: &serde_json::Value,
        written: &[Condition],
        staged: &conditions::Staged,
        status: serde_json::Value,
    ) -> kube::Result<()> {
        self.cluster.write_status(kind, object, status).await?;
        events::record(&self.cluster, kind, component, object, &staged.changes(written), &self.now()).await;
        Ok(())
    }
}

/// Runs all controllers until cancelled. `inventories` is what the inventory service shows.
///
/// # Errors
/// None at present: what fails is logged and tried again, as the real controllers do.
pub async fn run(
    world: World,
    client: Client,
    options: Options,
    inventories: Arc<Inventories>,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let context = Context {
        world,
        cluster: Cluster::new(client),
        options: Arc::new(options),
        inventories,
        queues: Queues::default(),
        watched: Arc::default(),
        cutovers: Arc::default(),
    };
    let queues = context.queues.clone();
    let mut tasks = tokio::task::JoinSet::new();
    macro_rules! controller {
        ($queue:ident, $reconcile:path) => {
            let context = context.clone();
            tasks.spawn(queues.$queue.clone().run(cancel.clone(), move |key| {
                let context = context.clone();
                async move {
                    let result = $reconcile(&context, &key).await;
                    settle(&context, stringify!($queue), &key, result).await
                }
            }));
        };
    }
    controller!(providers, provider::reconcile);
    controller!(storage_maps, maps::reconcile_storage);
    controller!(network_maps, maps::reconcile_network);
    controller!(hooks, hook::reconcile);
    controller!(hosts, host::reconcile);
    controller!(plans, plan::reconcile);
    controller!(migrations, migration::reconcile);
    controller!(conversions, conversion::reconcile);
    watch::start(&context, &mut tasks, &cancel);
    cancel.cancelled().await;
    tasks.shutdown().await;
    Ok(())
}

/// When a key comes round again: as the reconcile says (in real time), or soon if it failed.
async fn settle(context: &Context, kind: &str, key: &Key, result: anyhow::Result<Option<Duration>>) -> Option<Duration> {
    match result {
        Ok(again) => again.map(|wait| context.scaled(wait)),
        Err(error) => {
            tracing::debug!(kind, %key, error = format!("{error:#}"), "reconcile failed, will be tried again");
            complain(context, kind, key, &error).await;
            Some(context.scaled(SLOW))
        }
    }
}

/// Writes an error into the controller's log, each once: of most refusals nothing else is to be seen from outside.
async fn complain(context: &Context, kind: &str, key: &Key, error: &anyhow::Error) {
    let mtv = &context.options.mtv_namespace;
    let Ok(pods) = context.cluster.list(&POD, mtv, "").await else { return };
    let said = json!({ "name": key.name, "namespace": key.namespace });
    let words = match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => status.message.clone(),
        _ => format!("{error:#}"),
    };
    let told = format!(r#""msg":"Reconcile failed.","object":{said},"error":{}"#, json!(words));
    for pod in pods.iter().filter(|pod| pod.text("/metadata/name").starts_with("forklift-controller-")) {
        let uid = pod.uid();
        if !context.world.logs.of(uid).contains(&told) {
            context.world.logs.add(uid, &format!(r#"{{"level":"error","ts":"{}","logger":"{kind}",{told}}}"#, context.now()));
        }
    }
}
