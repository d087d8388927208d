//! The clients of oVirt and OpenStack against the lab's servers: what a scenario does with its source, and what is left of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

use std::{collections::BTreeMap, sync::Arc};

use mtv_lab::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter, Login},
    faults::{Effect, Rule, Server},
    openstack::{Cloud, model::Server as NovaServer},
    ovirt::Engine,
    tls::Authority,
    web::{self, Handler},
    world::World,
};
use mtv_test::{
    config::profile::{Profile, ProviderKind},
    providers::{CloneRequest, Leaving, Power, ProviderError, connect},
    retry::Policy,
    secrets::Secret,
};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The names of everything that stands on a source.
type Names = Box<dyn Fn() -> Vec<String>>;
/// Ends all sessions.
type Ending = Box<dyn Fn()>;
/// Puts two VMs called `twin` there; their ids.
type Twins = Box<dyn Fn() -> Vec<String>>;

/// A source with what a test does to it.
struct Lab {
    profile: Profile,
    world: World,
    server: Server,
    operation: &'static str,
    names: Names,
    twins: Twins,
    end_sessions: Ending,
    _stop: DropGuard,
}

async fn lab(kind: ProviderKind) -> Lab {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let world = World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(1_000.0));
    let authority = Authority::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let mut extra = BTreeMap::new();
    let (handler, path, login, operation, names, twins, end_sessions): (Arc<dyn Handler>, _, Login, _, Names, Twins, Ending) = match kind {
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
            (Arc::new(engine), "/ovirt-engine/api", login, "clone", Box::new(names), Box::new(twins), end)
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
            (Arc::new(cloud), "/identity/v3", file.login.clone(), "server", Box::new(names), Box::new(twins), end)
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
        clone_provider: None,
    };
    Lab { profile, world, server, operation, names, twins, end_sessions, _stop: cancel.drop_guard() }
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
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let path = lab.profile.api_url.splitn(4, '/').nth(3).unwrap();
    let nobody = Profile { api_url: format!("https://{closed}/{path}"), ..lab.profile.clone() };
    let error = hasty(connect(&nobody)).await.err();
    assert!(matches!(&error, Some(ProviderError::Unreachable(text)) if text.contains("hint: check `api_url`")), "{error:?}");
    let source = connect(&lab.profile).await.unwrap();
    let missing = source.clone_vm(&request(near.0)).await.unwrap_err();
    assert!(matches!(&missing, ProviderError::NotFound(text) if text.contains(near.1)), "{missing}");
    let twins = (lab.twins)();
    let double = source.find(&["twin".to_owned()]).await.unwrap_err().to_string();
    assert!(twins.iter().all(|id| double.contains(id.as_str())) && double.contains("rename"), "{double}");
    let special = CloneRequest { host: Some("esxi-0.lab".into()), ..request(near.1) };
    assert!(matches!(source.clone_vm(&special).await, Err(ProviderError::Unsupported(_))));
}

/// With pauses that a test can wait for.
async fn hasty<T>(work: impl Future<Output = T>) -> T {
    Policy::STANDARD.faster(20).scope(work).await
}

/// Answers of 503 are asked again, as long as the policy has tries; then the error says so, and nothing was made.
async fn a_busy_service_is_asked_again(kind: ProviderKind, vm: &str) {
    let lab = lab(kind).await;
    let busy = Rule { status: Some(503), times: Some(3), path: Some("/*".into()), ..Rule::new(lab.server, Effect::Status) };
    lab.world.faults.add(busy.clone()).unwrap();
    let source = hasty(connect(&lab.profile)).await.unwrap();
    let mut before = (lab.names)();
    lab.world.faults.add(Rule { times: None, ..busy }).unwrap();
    let error = hasty(source.clone_vm(&request(vm))).await.unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, ProviderError::Unreachable(_)) && told.contains("503") && told.contains("7 times"), "{told}");
    let mut after = (lab.names)();
    before.sort();
    after.sort();
    assert_eq!(after, before);
}

/// A token that has ended is renewed once, by whichever request finds out, and the requests go through.
async fn an_ended_session_is_renewed(kind: ProviderKind, vm: &str) {
    let lab = lab(kind).await;
    let source = connect(&lab.profile).await.unwrap();
    let logins =
        || source.requests().iter().filter(|(name, _)| name.contains("token") && name.starts_with("POST")).map(|(_, n)| n).sum::<u64>();
    assert_eq!(logins(), 1);
    (lab.end_sessions)();
    let id = source.clone_vm(&request(vm)).await.unwrap();
    assert_eq!(logins(), 2);
    (lab.end_sessions)();
    let (one, two) = tokio::join!(source.describe_vm(&id), source.describe_vm(&id));
    one.unwrap();
    two.unwrap();
    assert_eq!(logins(), 3, "who comes together logs in once");
}

/// What a clone and a description cost in requests, by name; bounds leave room for looks at what takes its time.
async fn requests_are_few(kind: ProviderKind, vm: &str, most: (u64, u64)) {
    let lab = lab(kind).await;
    let source = connect(&lab.profile).await.unwrap();
    let since = |before: &BTreeMap<String, u64>| -> BTreeMap<String, u64> {
        let grown = |(name, count): (String, u64)| {
            (count - before.get(&name).unwrap_or(&0) > 0).then(|| (name.clone(), count - before.get(&name).unwrap_or(&0)))
        };
        source.requests().into_iter().filter_map(grown).collect()
    };
    let before = source.requests();
    let id = source.clone_vm(&request(vm)).await.unwrap();
    let cloned = since(&before);
    let before = source.requests();
    source.describe_vm(&id).await.unwrap();
    let described = since(&before);
    let (clone, describe) = (cloned.values().sum::<u64>(), described.values().sum::<u64>());
    println!("{kind} {vm}: clone {clone} {cloned:?}; description {describe} {described:?}");
    assert!(
        clone <= most.0 && describe <= most.1,
        "clone {clone} of {}: {cloned:?}; description {describe} of {}: {described:?}",
        most.0,
        most.1
    );
}

macro_rules! sources {
    ($($name:ident: $kind:ident, $vm:literal, $most:expr;)*) => {$(
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
            async fn a_busy_service_is_asked_again() {
                super::a_busy_service_is_asked_again(ProviderKind::$kind, $vm).await;
            }

            #[tokio::test]
            async fn an_ended_session_is_renewed() {
                super::an_ended_session_is_renewed(ProviderKind::$kind, $vm).await;
            }

            #[tokio::test]
            async fn requests_are_few() {
                super::requests_are_few(ProviderKind::$kind, $vm, $most).await;
            }

            #[tokio::test]
            async fn what_is_wrong_is_told_apart() {
                super::what_is_wrong_is_told_apart(ProviderKind::$kind, (&$vm[..$vm.len() - 1], $vm)).await;
            }
        }
    )*};
}

sources! {
    ovirt: Ovirt, "mtv-tests-rhel8", (10, 3);
    openstack: Openstack, "mtv-tests-rhel8", (25, 5);
    openstack_image: Openstack, "mtv-tests-cirros", (25, 5);
}
