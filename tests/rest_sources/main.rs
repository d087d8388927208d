//! The clients of oVirt and OpenStack against the lab's servers: what a scenario does with its source, and what is left of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

mod bed;

use mtv_lab::faults::{Effect, Rule};
use mtv_test::{
    config::profile::{Profile, ProviderKind},
    providers::{CloneRequest, Leaving, Power, ProviderError, connect},
    secrets::Secret,
};

use bed::lab;

fn request(source: &str) -> CloneRequest {
    CloneRequest { source: source.into(), name: "run1-clone".into(), run: "run1".into(), ..CloneRequest::default() }
}

/// A VM from its clone to nothing, by the id that was told and, for a second one, by name alone as `clean` does it.
async fn a_scenario_leaves_nothing(kind: ProviderKind, vm: &str) {
    let lab = lab(kind).await;
    let before = lab.names();
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
    assert_eq!(lab.names(), before);
    source.clone_vm(&request(vm)).await.unwrap();
    let there = lab.names();
    assert!(!source.remove(Leaving { name: "run1-clone", run: "run2", id: None }).await.unwrap(), "it is of another run");
    let unmarked = source.remove(Leaving { name: vm, run: "run1", id: None }).await;
    if kind == ProviderKind::Openstack {
        // An oVirt source is a template: no VM is called so.
        assert!(unmarked.unwrap_err().to_string().contains("does not carry the run's mark"));
    }
    assert_eq!(lab.names(), there);
    assert!(source.remove(Leaving { name: "run1-clone", run: "run1", id: None }).await.unwrap());
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
    let error = source.clone_vm(&request(vm)).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Operation(text) if text.contains("no space")), "{error}");
    assert_eq!(lab.names(), before);
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
