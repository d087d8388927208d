//! A server of oVirt or OpenStack in this process, without the rest of a lab.

use std::sync::Arc;

use mtv_lab::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter, Login},
    faults::Server,
    openstack::{Cloud, model::Server as NovaServer},
    ovirt::Engine,
    tls::Authority,
    web::{self, Handler},
    world::World,
};
use mtv_test::{
    config::profile::{Details, OpenstackProfile, OvirtProfile, Profile, ProviderKind},
    secrets::Secret,
};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The names of everything that stands on a source.
type Names = Box<dyn Fn() -> Vec<String> + Send + Sync>;
/// Ends all sessions.
type Ending = Box<dyn Fn() + Send + Sync>;
/// Puts two VMs called `twin` there; their ids.
type Twins = Box<dyn Fn() -> Vec<String> + Send + Sync>;

/// A source with what a test does to it.
pub struct Lab {
    pub profile: Profile,
    pub world: World,
    pub server: Server,
    /// The operation of a clone that takes longest, as rules for faults know it.
    pub operation: &'static str,
    /// Puts two VMs called `twin` there; their ids.
    pub twins: Twins,
    /// Ends all sessions.
    pub end_sessions: Ending,
    names: Names,
    _stop: DropGuard,
}

impl Lab {
    /// Names of all VMs, disks, snapshots and images, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = (self.names)();
        names.sort();
        names
    }
}

/// A source of its own for one test.
pub async fn lab(kind: ProviderKind) -> Lab {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(1_000.0));
    let authority = Authority::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let (handler, path, details, login, operation, names, twins, end_sessions): (
        Arc<dyn Handler>,
        _,
        Details,
        Login,
        _,
        Names,
        Twins,
        Ending,
    ) = match kind {
        ProviderKind::Ovirt => {
            let engine = Engine::new(&world, authority.pem());
            let names = {
                let engine = engine.clone();
                move || {
                    let model = engine.model();
                    let disks = model.disks.values().map(|disk| disk.alias.clone());
                    let snapshots = model.vms.values().flat_map(|vm| &vm.snapshots).map(|snapshot| snapshot.description.clone());
                    model.vms.values().map(|vm| vm.name.clone()).chain(disks).chain(snapshots).collect()
                }
            };
            let twins = {
                let engine = engine.clone();
                move || {
                    let mut model = engine.model();
                    let template = model.vms.values().find(|vm| vm.name == "mtv-tests-rhel8").unwrap().clone();
                    (0..2).map(|_| model.copy(&template, "twin", "", None)).collect()
                }
            };
            let (login, ending) = (world.datacenter.ovirt.login.clone(), engine.clone());
            let end = Box::new(move || ending.end_sessions());
            (
                Arc::new(engine),
                "/ovirt-engine/api",
                Details::Ovirt(OvirtProfile::default()),
                login,
                "clone",
                Box::new(names),
                Box::new(twins),
                end,
            )
        }
        _ => {
            let file = &world.datacenter.openstack;
            let details = OpenstackProfile {
                user_domain_name: file.domain.clone(),
                project_name: file.project.clone(),
                region_name: file.region.clone(),
                ..OpenstackProfile::default()
            };
            let cloud = Cloud::new(&world, &address);
            let names = {
                let cloud = cloud.clone();
                move || {
                    let model = cloud.model();
                    let servers = model.servers.values().map(|server| server.name.clone());
                    let volumes = model.volumes.values().map(|volume| volume.name.clone());
                    let snapshots = model.snapshots.values().map(|snapshot| snapshot.name.clone());
                    let images = model.images.values().map(|image| image.name.clone().unwrap_or_default());
                    servers.chain(volumes).chain(snapshots).chain(images).collect()
                }
            };
            let twins = {
                let cloud = cloud.clone();
                move || {
                    let mut model = cloud.model();
                    let server = model.servers.values().next().unwrap().clone();
                    let ids: Vec<String> = (0..2).map(|_| model.id()).collect();
                    for id in &ids {
                        let twin = NovaServer { id: id.clone(), name: "twin".into(), ..server.clone() };
                        model.servers.insert(id.clone(), twin);
                    }
                    ids
                }
            };
            let ending = cloud.clone();
            let end = Box::new(move || ending.end_sessions());
            (
                Arc::new(cloud),
                "/identity/v3",
                Details::Openstack(details),
                file.login.clone(),
                "server",
                Box::new(names),
                Box::new(twins),
                end,
            )
        }
    };
    let server = handler.server();
    let cancel = CancellationToken::new();
    tokio::spawn(web::serve(handler, listener, authority.server(&[]).unwrap(), cancel.clone()));
    let profile = Profile {
        api_url: format!("{address}{path}"),
        username: login.user,
        password: Secret::new(login.password),
        ca_pem: Some(authority.pem().to_owned()),
        ..Profile::new("lab", details)
    };
    Lab { profile, world, server, operation, twins, end_sessions, names, _stop: cancel.drop_guard() }
}
