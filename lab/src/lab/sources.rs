//! The sources of the lab: which servers they have, and the profile by which clients reach them.
//!
//! A new source is a folder of its own for its server, a role, and one line in [`start`]; that function starts the server
//! and says what stands in the profile.

use anyhow::Context as _;

use super::{
    Vcenter, listen, offload,
    source_cluster::{self, SourceCluster},
};
use crate::{
    openstack::Cloud,
    ova,
    ovirt::Engine,
    roles::{Context, Role, Roles},
    tls::Authority,
};

/// A source that runs.
pub(super) struct Served {
    /// Name of its profile.
    pub(super) profile: &'static str,
    /// What its clients connect to: `api_url` of the profile.
    pub(super) url: String,
    /// The rest of the profile but guest logins and certificates, which all have in common. `type` comes first.
    pub(super) keys: Vec<(&'static str, String)>,
    /// Tables inside the profile, by their names.
    pub(super) tables: Vec<(&'static str, Vec<(String, toml::Value)>)>,
    /// Its own certificate authority, if it has one beside the lab's.
    pub(super) ca: Option<String>,
}

/// Sources that run, and what tests look at behind them.
#[derive(Default)]
pub(super) struct Sources {
    /// In the order of the profiles.
    pub(super) served: Vec<Served>,
    /// The vCenter.
    pub(super) vcenter: Option<Vcenter>,
    /// The second OpenShift.
    pub(super) cluster: Option<SourceCluster>,
}

/// Starts the sources whose roles run.
pub(super) async fn start(cx: &Context, roles: &Roles, authority: &Authority) -> anyhow::Result<Sources> {
    let mut sources = Sources::default();
    if roles.has(Role::Vsphere) {
        vsphere(cx, authority, &mut sources).await.context("failed to start the vCenter")?;
    }
    if roles.has(Role::Ovirt) {
        ovirt(cx, authority, &mut sources).await.context("failed to start the oVirt engine")?;
    }
    if roles.has(Role::Openstack) {
        openstack(cx, authority, &mut sources).await.context("failed to start OpenStack")?;
    }
    if roles.has(Role::Ova) {
        sources.served.push(ova(cx));
    }
    if roles.has(Role::Kubevirt) {
        sources.served.push(openshift(cx));
    }
    if roles.has(Role::SourceCluster) {
        let started = source_cluster::start(cx, &mut sources.served).await;
        sources.cluster = started.context("failed to start the second OpenShift")?;
    }
    // One line per source joins here.
    Ok(sources)
}

async fn vsphere(cx: &Context, authority: &Authority, sources: &mut Sources) -> anyhow::Result<()> {
    let listener = listen(None, "vSphere").await?;
    let url = format!("https://{}/sdk", listener.local_addr()?);
    let vcenter = Vcenter::new(&cx.world);
    let (server, tls, cancel) = (vcenter.clone(), authority.server(&[])?, cx.cancel.clone());
    cx.tasks.spawn(async move { server.serve(listener, tls, cancel).await });
    let ssh = listen(None, "SSH of the ESXi hosts").await?;
    let tables = offload::tables(&cx.world.datacenter, &vcenter.datastore_ids(), &vcenter.host_ids(), &ssh.local_addr()?.to_string());
    cx.tasks.spawn(super::ended("SSH of the ESXi hosts", crate::esxi::serve(cx.world.clone(), ssh, cx.cancel.clone())));
    let model = &cx.world.datacenter.vsphere;
    sources.served.push(Served {
        profile: "vsphere",
        url,
        keys: vec![
            ("type", "vsphere".to_owned()),
            ("version", model.version.clone()),
            ("username", model.login.user.clone()),
            ("password", model.login.password.clone()),
            ("vddk_init_image", "lab.invalid/vddk:8.0.3".to_owned()),
        ],
        tables,
        ca: None,
    });
    if let Some(host) = model.hosts.first() {
        esxi(cx, authority, &vcenter, host, sources).await.with_context(|| format!("failed to start the SDK of {host}"))?;
    }
    sources.vcenter = Some(vcenter);
    Ok(())
}

/// The SDK of one of the hosts, as a source of its own: what it cannot do, cloning, the vCenter's profile does.
async fn esxi(cx: &Context, authority: &Authority, vcenter: &Vcenter, host: &str, sources: &mut Sources) -> anyhow::Result<()> {
    let listener = listen(None, "an ESXi host").await?;
    let url = format!("https://{}/sdk", listener.local_addr()?);
    let server = vcenter.agent(host).context("the vCenter does not know the host")?;
    let (tls, cancel) = (authority.server(&[])?, cx.cancel.clone());
    cx.tasks.spawn(async move { server.serve(listener, tls, cancel).await });
    let model = &cx.world.datacenter.vsphere;
    sources.served.push(Served {
        profile: "vsphere-esxi",
        url,
        keys: vec![
            ("type", "vsphere".to_owned()),
            ("version", model.version.clone()),
            ("endpoint_type", "esxi".to_owned()),
            ("clone_provider", "vsphere".to_owned()),
            ("username", model.esxi_login.user.clone()),
            ("password", model.esxi_login.password.clone()),
            ("vddk_init_image", "lab.invalid/vddk:8.0.3".to_owned()),
        ],
        tables: Vec::new(),
        ca: None,
    });
    Ok(())
}

async fn ovirt(cx: &Context, authority: &Authority, sources: &mut Sources) -> anyhow::Result<()> {
    let listener = listen(None, "oVirt").await?;
    let url = format!("https://{}/ovirt-engine/api", listener.local_addr()?);
    let engine = Engine::new(&cx.world, authority.pem());
    let (tls, cancel) = (authority.server(&[])?, cx.cancel.clone());
    cx.tasks.spawn(async move { engine.serve(listener, tls, cancel).await });
    let model = &cx.world.datacenter.ovirt;
    sources.served.push(Served {
        profile: "ovirt",
        url,
        keys: vec![
            ("type", "ovirt".to_owned()),
            ("version", model.version.clone()),
            ("username", model.login.user.clone()),
            ("password", model.login.password.clone()),
        ],
        tables: Vec::new(),
        ca: None,
    });
    Ok(())
}

async fn openstack(cx: &Context, authority: &Authority, sources: &mut Sources) -> anyhow::Result<()> {
    let listener = listen(None, "OpenStack").await?;
    let address = format!("https://{}", listener.local_addr()?);
    let cloud = Cloud::new(&cx.world, &address);
    let (tls, cancel) = (authority.server(&[])?, cx.cancel.clone());
    cx.tasks.spawn(async move { cloud.serve(listener, tls, cancel).await });
    let model = &cx.world.datacenter.openstack;
    sources.served.push(Served {
        profile: "openstack",
        url: format!("{address}/identity/v3"),
        keys: vec![
            ("type", "openstack".to_owned()),
            ("version", model.version.clone()),
            ("username", model.login.user.clone()),
            ("password", model.login.password.clone()),
            ("user_domain_name", model.domain.clone()),
            ("user_domain_id", "default".to_owned()),
            ("project_domain_id", "default".to_owned()),
            ("project_name", model.project.clone()),
            ("region_name", model.region.clone()),
        ],
        tables: Vec::new(),
        ca: None,
    });
    Ok(())
}

/// A share has no server to start: its files are there.
fn ova(cx: &Context) -> Served {
    ova::fill(&cx.world);
    let keys = vec![("type", "ova".to_owned()), ("version", "1".to_owned())];
    Served { profile: "ova", url: cx.world.datacenter.ova.share.clone(), keys, tables: Vec::new(), ca: None }
}

/// The cluster itself: a profile without URL means that one.
fn openshift(cx: &Context) -> Served {
    let version = cx.world.datacenter.cluster.openshift_version.clone();
    Served {
        profile: "openshift",
        url: String::new(),
        keys: vec![("type", "openshift".to_owned()), ("version", version)],
        tables: Vec::new(),
        ca: None,
    }
}
