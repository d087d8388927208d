//! What an OpenShift cluster with MTV and OpenShift Virtualization holds before anyone migrates anything.

mod accounts;
mod admission;
mod cluster;
mod images;
mod monitoring;
mod mtv;
mod operator;

use std::net::SocketAddr;

use futures::future::try_join_all;
use mtv_api::kinds::{self, Kind};
use serde_json::{Value, json};

use super::{Context, kubevirt, write};

/// What `spec.providerID` of the lab's nodes begins with.
pub const NODE_PROVIDER: &str = "lab:///";

const MANAGER: &str = "lab-openshift";
/// Namespace of what OpenShift's operators publish.
const CONFIG_MANAGED: &str = "openshift-config-managed";

/// Kinds whose objects name servers of the lab.
const FOLLOWING: [&Kind; 3] = [&kinds::CONFIG_MAP, &kinds::SERVICE, &kinds::CONSOLE_CLI_DOWNLOAD];

/// Where clients find the servers that the cluster's objects name.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// URL of the Kubernetes API.
    pub api: String,
    /// Host and port of the inventory service.
    pub inventory: String,
    /// Whether it is the lab's. Somebody else's may have a Route already, which then says where it is.
    pub inventory_is_ours: bool,
    /// The querier of the monitoring.
    pub monitoring: SocketAddr,
    /// CA of the lab's servers, PEM.
    pub ca: String,
}

/// An object to make, with its status if it has one that nobody else writes.
struct Item {
    kind: &'static Kind,
    object: Value,
    status: Option<Value>,
}

impl Item {
    fn new(kind: &'static Kind, object: Value) -> Self {
        Self { kind, object, status: None }
    }

    fn with(mut self, status: Value) -> Self {
        self.status = Some(status);
        self
    }
}

/// Starts the role: makes all objects, and keeps the ones that follow others. Gives the host of the inventory's Route.
///
/// # Errors
/// What the API server says; a kind that it does not serve is no failure.
pub async fn start(cx: &Context, addresses: &Addresses) -> anyhow::Result<String> {
    let model = &cx.world.datacenter.cluster;
    let namespaces = [
        "default",
        "openshift",
        "openshift-config",
        CONFIG_MANAGED,
        monitoring::NAMESPACE,
        kubevirt::NAMESPACE,
        model.mtv_namespace.as_str(),
    ];
    try_join_all(namespaces.map(|name| make(cx, Item::new(&kinds::NAMESPACE, json!({ "metadata": { "name": name } }))))).await?;
    // The namespace comes before what stands in it.
    for item in images::items(&cx.world) {
        make(cx, item).await?;
    }
    let items =
        cluster::items(model, addresses, &cx.world.clock.now()).into_iter().chain(mtv::items(model, addresses, &cx.world.clock.now()));
    try_join_all(items.chain(admission::items()).map(|item| make(cx, item))).await?;
    let inventory = mtv::inventory_route(cx, addresses).await?;
    monitoring::furnish(cx, addresses).await?;
    accounts::start(cx, addresses.ca.clone()).await?;
    operator::start(cx).await?;
    Ok(inventory)
}

/// Makes what a cluster without MTV holds: the source of virtual machines.
///
/// # Errors
/// What the API server says.
pub async fn furnish(cx: &Context, api: &str, ca: &str) -> anyhow::Result<()> {
    for name in ["default", "openshift", "openshift-config", CONFIG_MANAGED, kubevirt::NAMESPACE] {
        make(cx, Item::new(&kinds::NAMESPACE, json!({ "metadata": { "name": name } }))).await?;
    }
    for item in images::items(&cx.world) {
        make(cx, item).await?;
    }
    // Nothing but its API listens on this cluster.
    let host = api.trim_start_matches("https://");
    let addresses = Addresses {
        api: api.to_owned(),
        inventory: host.to_owned(),
        inventory_is_ours: false,
        monitoring: host.parse()?,
        ca: ca.to_owned(),
    };
    let items = cluster::items(&cx.world.datacenter.cluster, &addresses, &cx.world.clock.now());
    try_join_all(items.into_iter().map(|item| make(cx, item))).await?;
    accounts::start(cx, ca.to_owned()).await
}

async fn make(cx: &Context, item: Item) -> anyhow::Result<()> {
    let name = write::text(&item.object, "/metadata/name").to_owned();
    let namespace = write::text(&item.object, "/metadata/namespace").to_owned();
    let api = write::api(&cx.client, item.kind, &namespace);
    match write::create(&cx.client, MANAGER, item.kind, item.object.clone()).await {
        // Left by an earlier lab on the same API server: addresses and certificates are others now.
        Ok(None) if FOLLOWING.contains(&item.kind) => write::merge(&api, MANAGER, &name, item.object).await.map(drop)?,
        Ok(_) => {}
        // A server that somebody else furnishes serves what it has.
        Err(error) if write::is_gone(&error) => {
            tracing::debug!(kind = item.kind.kind, name, "not served here: {error:#}");
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    if let Some(status) = item.status {
        write::status(&api, MANAGER, &name, status).await?;
        if *item.kind == kinds::NODE {
            // An API server taints new nodes; a node controller, which need not run here, takes that back from those that are Ready.
            write::merge(&api, MANAGER, &name, json!({ "spec": { "taints": null } })).await?;
        }
    }
    Ok(())
}
