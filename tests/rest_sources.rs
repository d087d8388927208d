//! The clients of oVirt and OpenStack against the lab's servers: what a scenario does with its source, and what is left of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

use std::{collections::BTreeMap, sync::Arc};

use mtv_lab::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter, Login},
    faults::{Effect, Rule, Server},
    openstack::Cloud,
    ovirt::Engine,
    tls::Authority,
    web::{self, Handler},
    world::World,
};
use mtv_test::{
    config::profile::{Profile, ProviderKind},
    providers::{CloneRequest, Leaving, Power, ProviderError, connect},
    secrets::Secret,
};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The names of everything that stands on a source.
type Names = Box<dyn Fn() -> Vec<String>>;

/// A source with what a test does to it.
struct Lab {
    profile: Profile,
    world: World,
    server: Server,
    operation: &'static str,
    names: Names,
    _stop: DropGuard,
}

async fn lab(kind: ProviderKind) -> Lab {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(1_000.0));
    let authority = Authority::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let mut extra = BTreeMap::new();
    let (handler, path, login, operation, names): (Arc<dyn Handler>, _, Login, _, Names) = match kind {
        ProviderKind::Ovirt => {
            let engine = Engine::new(&world, authority.pem());
            let names = {
                let engine = engine.clone();
                move || {
                    let model = engine.model();
                    let disks = model.disks.values().map(|disk| disk.alias.clone());
                    model.vms.values().map(|vm| vm.name.clone()).chain(disks).collect()
                }
            };
            (Arc::new(engine), "/ovirt-engine/api", world.datacenter.ovirt.login.clone(), "clone", Box::new(names))
        }
        _ => {
            let file = &world.datacenter.openstack;
            for (key, value) in [("user_domain_name", &file.domain), ("project_name", &file.project), ("region_name", &file.region)] {
                extra.insert(key.to_owned(), value.clone());
            }
            let cloud = Cloud::new(&world, &address);
            let names = {
                let cloud = cloud.clone();
                move || {
                    let model = cloud.model();
                    let servers = model.servers.values().map(|server| server.name.clone());
                    let volumes = model.volumes.values().map(|volume| volume.name.clone());
                    let snapshots = model.snapshots.values().map(|snapshot| snapshot.name.clone());
                    servers.chain(volumes).chain(snapshots).chain(model.images.values().map(|image| image.name.clone())).collect()
                }
            };
            (Arc::new(cloud), "/identity/v3", file.login.clone(), "server", Box::new(names))
        }
    };
    let server = handler.server();
    let cancel = CancellationToken::new();
    tokio::spawn(web::serve(handler, listener, authority.server(&[]).unwrap(), cancel.clone()));
    let profile = Profile {
        name: "lab".into(),
        file: "providers.toml".into(),
        kind,
        version: "1".into(),
        fqdn: "127.0.0.1".into(),
        api_url: format!("{address}{path}"),
        username: login.user,
        password: Secret::new(login.password),
        insecure_skip_verify: false,
        ca_file: None,
        vddk_init_image: None,
        guest_linux: None,
        guest_windows: None,
        ca_pem: Some(authority.pem().to_owned()),
        extra,
        extra_secrets: BTreeMap::default(),
        copyoffload: None,
    };
    Lab { profile, world, server, operation, names, _stop: cancel.drop_guard() }
}

fn request(source: &str) -> CloneRequest {
    CloneRequest { source: source.into(), name: "run1-clone".into(), run: "run1".into(), ..CloneRequest::default() }
}

/// A VM from its clone to nothing, by the id that was told and, for a second one, by name alone as `clean` does it.
async fn a_scenario_leaves_nothing(kind: ProviderKind, vm: &str) {
    let lab = lab(kind).await;
    let mut before = (lab.names)();
    before.sort();
    let source = connect(&lab.profile).await.unwrap();
    let id = source.clone_vm(&request(vm)).await.unwrap();
    let cold = source.describe_vm(&id).await.unwrap();
    assert_eq!(cold.power, Power::Off);
    assert!(!cold.disks.is_empty() && !cold.nics.is_empty() && cold.memory_mib > 0, "{cold:?}");
    assert!(cold.nics.iter().all(|nic| !nic.mac.is_empty() && !nic.network_id.is_empty() && !nic.network.is_empty()), "{cold:?}");
    assert!(cold.disks.iter().all(|disk| disk.bytes > 0 && !disk.storage.is_empty()), "{cold:?}");
    source.set_power(&id, Power::On).await.unwrap();
    assert_eq!(source.describe_vm(&id).await.unwrap().power, Power::On);
    source.snapshot(&id, "run1-clone-snapshot-1").await.unwrap();
    assert_eq!(source.of_run("run1").await.unwrap().iter().map(|vm| vm.id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    source.delete(&id).await.unwrap();
    source.delete(&id).await.expect("what is gone already is success");
    let sorted = || {
        let mut names = (lab.names)();
        names.sort();
        names
    };
    assert_eq!(sorted(), before);
    source.clone_vm(&request(vm)).await.unwrap();
    let there = sorted();
    assert!(!source.remove(Leaving { name: "run1-clone", run: "run2", id: None }).await.unwrap(), "it is of another run");
    let unmarked = source.remove(Leaving { name: vm, run: "run1", id: None }).await;
    if kind == ProviderKind::Openstack {
        // An oVirt source is a template: no VM is called so.
        assert!(unmarked.unwrap_err().to_string().contains("does not carry the run's mark"));
    }
    assert_eq!(sorted(), there);
    assert!(source.remove(Leaving { name: "run1-clone", run: "run1", id: None }).await.unwrap());
    assert_eq!(sorted(), before);
}

/// Half-way is the end of the operation that takes longest: everything before it was made by then.
async fn a_clone_that_fails_leaves_nothing(kind: ProviderKind, vm: &str) {
    let lab = lab(kind).await;
    let mut before = (lab.names)();
    before.sort();
    let source = connect(&lab.profile).await.unwrap();
    let rule = Rule {
        verb: Some("operation".into()),
        resource: Some(lab.operation.into()),
        message: Some("no space".into()),
        ..Rule::new(lab.server, Effect::Fail)
    };
    lab.world.faults.add(rule).unwrap();
    let error = source.clone_vm(&request(vm)).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Operation(text) if text.contains("no space")), "{error}");
    let mut after = (lab.names)();
    after.sort();
    assert_eq!(after, before);
}

async fn what_is_wrong_is_told_apart(kind: ProviderKind, near: (&str, &str)) {
    let lab = lab(kind).await;
    let wrong = Profile { password: Secret::new("wrong"), ..lab.profile.clone() };
    assert!(matches!(connect(&wrong).await.err(), Some(ProviderError::Login(text)) if text.contains("hint")));
    let untrusted = Profile { ca_pem: None, ..lab.profile.clone() };
    assert!(matches!(connect(&untrusted).await.err(), Some(ProviderError::Certificate(text)) if text.contains("hint")));
    let source = connect(&lab.profile).await.unwrap();
    let missing = source.clone_vm(&request(near.0)).await.unwrap_err();
    assert!(matches!(&missing, ProviderError::NotFound(text) if text.contains(near.1)), "{missing}");
    let special = CloneRequest { host: Some("esxi-0.lab".into()), ..request(near.1) };
    assert!(matches!(source.clone_vm(&special).await, Err(ProviderError::Unsupported(_))));
}

macro_rules! sources {
    ($($name:ident: $kind:ident, $vm:literal;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn a_scenario_leaves_nothing() {
                super::a_scenario_leaves_nothing(ProviderKind::$kind, $vm).await;
            }

            #[tokio::test]
            async fn a_clone_that_fails_leaves_nothing() {
                super::a_clone_that_fails_leaves_nothing(ProviderKind::$kind, $vm).await;
            }

            #[tokio::test]
            async fn what_is_wrong_is_told_apart() {
                super::what_is_wrong_is_told_apart(ProviderKind::$kind, (&$vm[..$vm.len() - 1], $vm)).await;
            }
        }
    )*};
}

sources! {
    ovirt: Ovirt, "mtv-tests-rhel8";
    openstack: Openstack, "mtv-tests-rhel8";
    openstack_image: Openstack, "mtv-tests-cirros";
}
