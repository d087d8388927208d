//! The lab as a whole: which servers and roles there are, how they start and end, and what clients need to reach them.

mod cluster;
mod files;
mod offload;
mod source_cluster;
mod sources;

pub(crate) use files::token;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::future::{BoxFuture, try_join_all};
use kube::{Client, api::DynamicObject, runtime::wait::await_condition};
use mtv_api::kinds::PROVIDER;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    clock::Clock,
    datacenter::DataCenter,
    faults::{self, Faults},
    forklift,
    inventory::{self, Inventories},
    jira,
    kubernetes::{self, ApiServer, Audit, User},
    monitoring::Querier,
    roles::{self, Context, Role, Roles, openshift::Addresses},
    tls::{Authority, Identity},
    vsphere::Vcenter,
    world::World,
};

pub use cluster::Cluster;
use sources::Sources;

/// How fast time runs unless told otherwise. A cold migration of half a minute takes one to two seconds, long enough that a
/// watcher sees its phases; the five minutes before a cutover take eight, short enough for a first try.
pub const TIME_SCALE: f64 = 40.0;
/// User that the lab's own controllers act as.
const CONTROLLERS: &str = "system:lab";
/// The Provider that stands for the cluster itself.
const HOST: &str = "host";
/// Longest wait for it, whatever the time scale.
const READY: Duration = Duration::from_mins(1);
/// Longest wait for an API server that may be gone already.
const WITHDRAWN: Duration = Duration::from_secs(5);
/// Longest wait for the end of all tasks: nothing is lost with those that take longer.
const END: Duration = Duration::from_secs(1);

/// What the lab looks like.
pub struct Options {
    /// The data centre.
    pub datacenter: DataCenter,
    /// Port of the Kubernetes API; none: any free one.
    pub port: Option<u16>,
    /// How much faster than reality time runs.
    pub time_scale: f64,
    /// Which simulators run.
    pub roles: Roles,
    /// The API server, if the role `kubernetes` does not run.
    pub cluster: Option<Cluster>,
    /// Where requests to the lab's own API server are written down.
    pub audit: Audit,
}

impl Options {
    /// All roles on free ports, with the default time scale.
    pub fn new(datacenter: DataCenter) -> Self {
        Self { datacenter, port: None, time_scale: TIME_SCALE, roles: Roles::default(), cluster: None, audit: Audit::default() }
    }
}

/// Where everything is: `lab.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabInfo {
    /// URL of the Kubernetes API.
    pub api: String,
    /// URL of Forklift's inventory service: where the lab's listens, or where one in its place is expected to.
    pub inventory: String,
    /// What clients of the sources connect to, by the name of the profile.
    pub sources: BTreeMap<&'static str, String>,
    /// URL of the Jira.
    pub jira: Option<String>,
    /// Certificate authority of the lab's servers, PEM.
    pub ca_pem: String,
    /// URL of the endpoint that makes things go wrong; it wants the admin token.
    pub faults: Option<String>,
    /// How much faster than reality time runs.
    pub time_scale: f64,
    /// Namespace of MTV.
    pub mtv_namespace: String,
    /// Storage classes, the default one first.
    pub storage_classes: Vec<String>,
    /// Simulators that run.
    pub roles: Vec<&'static str>,
}

/// A lab that runs. It ends when it is dropped; [`Lab::shutdown`] waits for the end.
pub struct Lab {
    info: LabInfo,
    kubeconfig: String,
    providers: String,
    admin_token: String,
    identity: Option<Identity>,
    client: Client,
    world: World,
    vcenter: Option<Vcenter>,
    /// Kubeconfig and client of the second OpenShift.
    remote: Option<(String, Client)>,
    contexts: Vec<Context>,
    end: DropGuard,
}

impl Lab {
    /// Starts the lab. When this returns, all controllers have seen all objects and the `host` Provider is Ready.
    ///
    /// # Errors
    /// A port is taken, the random source failed, or a part did not start; the text says which.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        // Whoever embeds the lab may have chosen one already.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let Options { datacenter, port, time_scale, roles, cluster, audit } = options;
        anyhow::ensure!(
            !roles.has(Role::Inventory) || roles.has(Role::Forklift),
            "the role `inventory` serves what the role `forklift` has read from the sources: leave out both"
        );
        let cancel = CancellationToken::new();
        let end = cancel.clone().drop_guard();
        let world = World::new(datacenter, Clock::new(time_scale));
        let authority = Authority::new()?;
        let admin_token = files::token()?;
        world.faults.set_token(&admin_token);
        let (client, api, kubeconfig) = if roles.has(Role::Kubernetes) {
            serve_api(&world, &authority, port, &admin_token, faults::Server::Kubernetes, audit, &cancel).await?
        } else {
            let cluster = cluster.context("without the role `kubernetes` the lab needs an API server to work on")?;
            if roles.has(Role::Openshift) || roles.has(Role::Kubelet) {
                cluster.must_be_empty().await?;
            }
            cluster.define().await?;
            (cluster.client, cluster.url, cluster.kubeconfig)
        };
        let cx = Context::new(client.clone(), world.clone(), cancel.clone());
        if roles.has(Role::Kubelet) && !roles.has(Role::Forklift) {
            let held = roles::kubelet::hold_metrics_port().await?;
            cx.spawn(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
        }
        let Sources { served, vcenter, cluster: remote } = sources::start(&cx, &roles, &authority).await?;
        let jira = if roles.has(Role::Jira) { Some(jira::serve(&world, &authority, cancel.clone()).await?) } else { None };
        let inventory = listen(None, "Forklift's inventory").await?;
        let mut address = inventory.local_addr()?.to_string();
        // A port that was free a moment ago is what a service beside the lab is told to listen on.
        let (inventory, identity) = match roles.has(Role::Inventory) {
            true => (Some(inventory), None),
            false => (None, Some(authority.identity(&[])?)),
        };
        if roles.has(Role::Openshift) {
            let addresses = Addresses {
                api: api.clone(),
                inventory: address,
                inventory_is_ours: inventory.is_some(),
                monitoring: serve_monitoring(&cx, &authority).await?,
                ca: authority.pem().to_owned(),
            };
            address = roles::openshift::start(&cx, &addresses).await.context("failed to set the cluster up")?;
        }
        start_roles(&cx, &roles, &authority).await?;
        let inventories = Arc::new(Inventories::default());
        if let Some(inventory) = inventory {
            let (tls, cancel) = (authority.server(&[])?, cancel.clone());
            let faults = world.faults.clone();
            let serving = inventory::serve(Arc::clone(&inventories), client.clone(), inventory, tls, faults, cancel);
            cx.tasks.spawn(ended("inventory", serving));
        }
        if roles.has(Role::Forklift) {
            let model = &world.datacenter.cluster;
            let options = forklift::Options {
                mtv_namespace: model.mtv_namespace.clone(),
                openshift_version: model.openshift_version.clone(),
                ..forklift::Options::default()
            };
            let running = forklift::run(world.clone(), client.clone(), options, inventories, cancel.clone());
            cx.tasks.spawn(ended("forklift", running));
            host_ready(&client, &world.datacenter.cluster.mtv_namespace).await?;
        }
        let model = &world.datacenter;
        let inventory = roles.has(Role::Inventory).then(|| format!("https://{address}"));
        let host = roles.has(Role::Kubernetes).then_some(api.as_str());
        let host = host
            .or_else(|| served.iter().find(|s| s.profile == "vsphere").map(|s| s.url.trim_end_matches("/sdk")))
            .or(inventory.as_deref());
        let info = LabInfo {
            faults: host.map(|host| format!("{host}{}", faults::admin::PATH)),
            api,
            inventory: format!("https://{address}"),
            sources: served.iter().map(|source| (source.profile, source.url.clone())).collect(),
            jira,
            ca_pem: authority.pem().to_owned(),
            time_scale,
            mtv_namespace: model.cluster.mtv_namespace.clone(),
            storage_classes: model.cluster.storage_classes.iter().map(|c| c.name.clone()).collect(),
            roles: Role::ALL.iter().filter(|r| roles.has(**r)).map(|r| r.name()).collect(),
        };
        let providers = files::providers(model, &served, &info.ca_pem);
        let (remote, more) = remote.map(|cluster| ((cluster.kubeconfig, cluster.client), cluster.context)).unzip();
        let contexts = std::iter::once(cx).chain(more).collect();
        Ok(Self { info, kubeconfig, providers, admin_token, identity, client, world, vcenter, remote, contexts, end })
    }

    /// Kubeconfig of the cluster's administrator, with the authority's certificate and a bearer token in it.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// The same for the second OpenShift, which VMs can come from, if it runs.
    pub fn remote_kubeconfig(&self) -> Option<&str> {
        self.remote.as_ref().map(|(kubeconfig, _)| kubeconfig.as_str())
    }

    /// Client of the second OpenShift with every right.
    pub fn remote_client(&self) -> Option<&Client> {
        self.remote.as_ref().map(|(_, client)| client)
    }

    /// Provider profiles for every simulated source. Holds passwords.
    pub fn providers_toml(&self) -> &str {
        &self.providers
    }

    /// Bearer token of the lab's administrator: that of the kubeconfig where the lab serves the Kubernetes API.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// What is to go wrong.
    pub fn faults(&self) -> &Faults {
        &self.world.faults
    }

    /// What an inventory service that takes the place of the lab's shows its clients, so that they trust it; none while the
    /// lab's own runs.
    pub fn inventory_identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Token of the Jira.
    pub fn jira_token(&self) -> &str {
        &self.world.datacenter.jira.token
    }

    /// Where everything is. Holds no secrets.
    pub fn info(&self) -> &LabInfo {
        &self.info
    }

    /// The default storage class.
    pub fn storage_class(&self) -> &str {
        self.info.storage_classes.first().map_or("", String::as_str)
    }

    /// Client of the Kubernetes API with every right, for tests that look behind.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What the simulators share, for tests that look behind.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The vCenter, if it runs: its request counts.
    pub fn vcenter(&self) -> Option<&Vcenter> {
        self.vcenter.as_ref()
    }

    /// Ends all servers and controllers. On an API server that stays, takes back what would be in the way of whoever uses it
    /// next.
    pub async fn shutdown(self) {
        let runs = |role: Role| self.info.roles.contains(&role.name());
        if !runs(Role::Kubernetes) && runs(Role::Kubevirt) {
            let withdrawn = tokio::time::timeout(WITHDRAWN, roles::kubevirt::withdraw(&self.client, &self.info.ca_pem)).await;
            let why = match withdrawn {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(_) => Some(format!("no answer within {WITHDRAWN:?}")),
            };
            if let Some(why) = why {
                tracing::warn!("failed to take back the APIServices of subresources.kubevirt.io, whose server ends now: {why}");
            }
        }
        drop(self.end);
        for cx in &self.contexts {
            cx.tasks.close();
            if tokio::time::timeout(END, cx.tasks.wait()).await.is_err() {
                tracing::warn!("{} tasks of the lab did not end within {END:?}", cx.tasks.len());
            }
        }
    }
}

async fn listen(port: Option<u16>, what: &str) -> anyhow::Result<TcpListener> {
    let port = port.unwrap_or(0);
    TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("failed to listen on 127.0.0.1:{port} for {what}"))
}

async fn serve_api(
    world: &World,
    authority: &Authority,
    port: Option<u16>,
    token: &str,
    server: faults::Server,
    audit: Audit,
    cancel: &CancellationToken,
) -> anyhow::Result<(Client, String, String)> {
    let listener = listen(port, "the Kubernetes API").await?;
    let url = format!("https://{}", listener.local_addr()?);
    let admin = &world.datacenter.cluster.admin;
    let masters = vec!["system:masters".to_owned()];
    let users = vec![
        User { name: admin.user.clone(), token: token.to_owned(), groups: masters.clone(), password: Some(admin.password.clone()) },
        User { name: CONTROLLERS.to_owned(), token: files::token()?, groups: masters, password: None },
    ];
    let faults = world.faults.clone();
    let options = kubernetes::Options {
        address: Some(url.clone()),
        faults,
        server,
        logs: Arc::clone(&world.logs),
        audit,
        ..kubernetes::Options::default()
    };
    let server = ApiServer::new(users, options);
    let client = server.client(CONTROLLERS);
    let tls = authority.server(&[])?;
    let cancel = cancel.clone();
    tokio::spawn(async move { server.serve(listener, tls, cancel).await });
    let kubeconfig = files::kubeconfig(&url, authority.pem(), &admin.user, token);
    Ok((client, url, kubeconfig))
}

async fn serve_monitoring(cx: &Context, authority: &Authority) -> anyhow::Result<SocketAddr> {
    let listener = listen(None, "the cluster's monitoring").await?;
    let address = listener.local_addr()?;
    let (querier, tls, cancel) = (Querier::new(cx.client.clone(), cx.world.clone()), authority.server(&[])?, cx.cancel.clone());
    cx.tasks.spawn(async move { querier.serve(listener, tls, cancel).await });
    Ok(address)
}

/// Tells when something ended that should run as long as the lab.
async fn ended(what: &str, running: impl Future<Output = anyhow::Result<()>>) {
    if let Err(error) = running.await {
        tracing::error!("{what} ended: {error:#}");
    }
}

/// Waits until Forklift has seen the cluster that it runs on.
async fn host_ready(client: &Client, namespace: &str) -> anyhow::Result<()> {
    let ready = |provider: Option<&DynamicObject>| provider.is_some_and(|p| roles::write::text(&p.data, "/status/phase") == "Ready");
    let waiting = await_condition(roles::write::api(client, &PROVIDER, namespace), HOST, ready);
    match tokio::time::timeout(READY, waiting).await {
        Ok(found) => found.map(drop).context("failed to watch the provider `host`"),
        Err(_) => anyhow::bail!("the provider `{HOST}` in {namespace} was not Ready after {READY:?}"),
    }
}

/// Starts the controllers of the cluster, all at once.
async fn start_roles(cx: &Context, roles: &Roles, authority: &Authority) -> anyhow::Result<()> {
    let starting: Vec<(Role, BoxFuture<'_, anyhow::Result<()>>)> = vec![
        (Role::Namespace, Box::pin(roles::namespace::start(cx))),
        (Role::Gc, Box::pin(roles::gc::start(cx))),
        (Role::Pv, Box::pin(roles::pv::start(cx))),
        (Role::Provisioner, Box::pin(roles::provisioner::start(cx))),
        (Role::Jobs, Box::pin(roles::jobs::start(cx))),
        (Role::Kubelet, Box::pin(roles::kubelet::start(cx, authority))),
        (Role::Cdi, Box::pin(roles::cdi::start(cx))),
        (Role::Populator, Box::pin(roles::populator::start(cx))),
        (Role::Kubevirt, Box::pin(roles::kubevirt::start(cx, authority))),
    ];
    let wanted = starting.into_iter().filter(|(role, _)| roles.has(*role));
    try_join_all(wanted.map(|(role, start)| async move { start.await.with_context(|| format!("failed to start the role {role}")) }))
        .await?;
    Ok(())
}
