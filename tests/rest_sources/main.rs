//! The clients of oVirt and OpenStack against the lab's servers: what a scenario does with its source, and what is left of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

mod bed;

use std::collections::BTreeMap;

use mtv_lab::faults::{Effect, Rule};
use mtv_test::{
    config::{
        profile::{Profile, ProviderKind},
        scenario::PowerWish,
    },
    providers::{CloneRequest, Leaving, Power, ProviderErrorKind, connect},
    retry::Policy,
    secrets::Secret,
};
use tokio::net::TcpListener;

use bed::lab;

fn request(source: &str) -> CloneRequest {
    CloneRequest { source: source.into(), name: "run1-clone".into(), run: "run1".into(), ..CloneRequest::default() }
}

/// A VM from its clone to nothing, by the id that was told and, for a second one, by name alone as `clean` does it.
async fn a_scenario_leaves_nothing(kind: ProviderKind, vm: &str) {
    let lab = lab(kind).await;
    let before = lab.names();
    let source = connect(&lab.profile).await.unwrap();
    let id = source.cloner().unwrap().clone_vm(&request(vm)).await.unwrap();
    let cold = source.cloner().unwrap().describe_vm(&id).await.unwrap();
    assert_eq!(cold.power, Power::Off);
    assert!(!cold.disks.is_empty() && !cold.nics.is_empty() && cold.memory_mib.is_some_and(|size| size > 0), "{cold:?}");
    assert!(cold.nics.iter().all(|nic| !nic.mac.is_empty() && !nic.network_id.is_empty() && !nic.network.is_empty()), "{cold:?}");
    assert!(cold.disks.iter().all(|disk| disk.bytes > 0 && !disk.storage.is_empty()), "{cold:?}");
    source.cloner().unwrap().set_power(&id, PowerWish::On).await.unwrap();
    assert_eq!(source.cloner().unwrap().describe_vm(&id).await.unwrap().power, Power::On);
    source.snapshots().unwrap().snapshot(&id, "run1-clone-snapshot-1").await.unwrap();
    assert_eq!(source.cloner().unwrap().of_run("run1").await.unwrap().iter().map(|vm| vm.id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    source.cloner().unwrap().delete(&id).await.unwrap();
    source.cloner().unwrap().delete(&id).await.expect("what is gone already is success");
    assert_eq!(lab.names(), before);
    source.cloner().unwrap().clone_vm(&request(vm)).await.unwrap();
    let there = lab.names();
    assert!(!source.cloner().unwrap().remove(Leaving::of_run("run2", "run1-clone", None)).await.unwrap(), "it is of another run");
    let unmarked = source.cloner().unwrap().remove(Leaving::of_run("run1", vm, None)).await;
    if kind == ProviderKind::Openstack {
        // An oVirt source is a template: no VM is called so.
        assert!(unmarked.unwrap_err().to_string().contains("does not carry the run's mark"));
    }
    assert_eq!(lab.names(), there);
    assert!(source.cloner().unwrap().remove(Leaving::of_run("run1", "run1-clone", None)).await.unwrap());
    assert_eq!(lab.names(), before);
}

/// Half-way is the end of the operation that takes longest: everything before it was made by then.
async fn a_clone_that_fails_leaves_nothing(kind: ProviderKind, vm: &str) {
    let lab = lab(kind).await;
    let before = lab.names();
    let source = connect(&lab.profile).await.unwrap();
    let rule = Rule {
        verb: Some("operation".into()),
        resource: Some(lab.operation.into()),
        message: Some("no space".into()),
        ..Rule::new(lab.server, Effect::Fail)
    };
    lab.world.faults.add(rule).unwrap();
    let error = source.cloner().unwrap().clone_vm(&request(vm)).await.unwrap_err();
    assert!(error.is(ProviderErrorKind::Operation) && error.to_string().contains("no space"), "{error}");
    assert_eq!(lab.names(), before);
}

async fn what_is_wrong_is_told_apart(kind: ProviderKind, near: (&str, &str)) {
    let lab = lab(kind).await;
    let wrong = Profile { password: Secret::new("wrong"), ..lab.profile.clone() };
    assert!(connect(&wrong).await.err().is_some_and(|error| error.is(ProviderErrorKind::Login) && !error.hints().is_empty()));
    let untrusted = Profile { ca_pem: None, ..lab.profile.clone() };
    assert!(connect(&untrusted).await.err().is_some_and(|error| error.is(ProviderErrorKind::Certificate) && !error.hints().is_empty()));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let path = lab.profile.api_url.splitn(4, '/').nth(3).unwrap();
    let nobody = Profile { api_url: format!("https://{closed}/{path}"), ..lab.profile.clone() };
    let error = hasty(connect(&nobody)).await.err();
    assert!(
        error.as_ref().is_some_and(
            |error| error.is(ProviderErrorKind::Unreachable) && error.hints().iter().any(|hint| hint.starts_with("check `api_url`"))
        ),
        "{error:?}"
    );
    let source = connect(&lab.profile).await.unwrap();
    let missing = source.cloner().unwrap().clone_vm(&request(near.0)).await.unwrap_err();
    assert!(missing.is(ProviderErrorKind::NotFound) && missing.to_string().contains(near.1), "{missing}");
    let twins = (lab.twins)();
    let double = source.cloner().unwrap().find(&["twin".to_owned()]).await.unwrap_err().to_string();
    assert!(twins.iter().all(|id| double.contains(id.as_str())) && double.contains("rename"), "{double}");
    let special = CloneRequest { host: Some("esxi-0.lab".into()), ..request(near.1) };
    assert!(source.cloner().unwrap().clone_vm(&special).await.is_err_and(|error| error.is(ProviderErrorKind::Unsupported)));
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
    let before = lab.names();
    lab.world.faults.add(Rule { times: None, ..busy }).unwrap();
    let error = hasty(source.cloner().unwrap().clone_vm(&request(vm))).await.unwrap_err();
    let told = error.to_string();
    assert!(error.is(ProviderErrorKind::Unreachable) && told.contains("503") && told.contains("12 times"), "{told}");
    assert_eq!(lab.names(), before);
}

/// A token that has ended is renewed once, by whichever request finds out, and the requests go through.
async fn an_ended_session_is_renewed(kind: ProviderKind, vm: &str) {
    let lab = lab(kind).await;
    let source = connect(&lab.profile).await.unwrap();
    let logins =
        || source.requests().iter().filter(|(name, _)| name.contains("token") && name.starts_with("POST")).map(|(_, n)| n).sum::<u64>();
    assert_eq!(logins(), 1);
    (lab.end_sessions)();
    let id = source.cloner().unwrap().clone_vm(&request(vm)).await.unwrap();
    assert_eq!(logins(), 2);
    (lab.end_sessions)();
    let (one, two) = tokio::join!(source.cloner().unwrap().describe_vm(&id), source.cloner().unwrap().describe_vm(&id));
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
    let id = source.cloner().unwrap().clone_vm(&request(vm)).await.unwrap();
    let cloned = since(&before);
    let before = source.requests();
    source.cloner().unwrap().describe_vm(&id).await.unwrap();
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
