//! The vSphere client against the lab's vCenter: what a scenario does with its source, from clone to delete.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

use std::time::Duration;

use mtv_lab::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter},
    tls::Authority,
    vsphere::Vcenter,
    world::World,
};
use mtv_test::{
    config::profile::{Profile, ProviderKind},
    providers::{CloneRequest, Power, ProviderError, SourceProvider, connect},
    secrets::Secret,
};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Lab {
    vcenter: Vcenter,
    profile: Profile,
    _stop: DropGuard,
}

async fn lab() -> Lab {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let datacenter = DataCenter::parse(DEFAULT).unwrap();
    let login = datacenter.vsphere.login.clone();
    let vcenter = Vcenter::new(&World::new(datacenter, Clock::new(1_000.0)));
    let authority = Authority::new().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let (served, tls, token) = (vcenter.clone(), authority.server(&[]).unwrap(), cancel.clone());
    tokio::spawn(async move { served.serve(listener, tls, token).await });
    let profile = Profile {
        name: "lab".into(),
        file: "providers.toml".into(),
        kind: ProviderKind::Vsphere,
        version: "8.0".into(),
        fqdn: "127.0.0.1".into(),
        api_url: format!("https://{address}/sdk"),
        username: login.user,
        password: Secret::new(login.password),
        insecure_skip_verify: false,
        ca_file: None,
        vddk_init_image: None,
        guest_linux: None,
        guest_windows: None,
        ca_pem: Some(authority.pem().to_owned()),
        extra: std::collections::BTreeMap::default(),
        extra_secrets: std::collections::BTreeMap::default(),
        copyoffload: None,
    };
    Lab { vcenter, profile, _stop: cancel.drop_guard() }
}

async fn client(lab: &Lab) -> Box<dyn SourceProvider> {
    connect(&lab.profile).await.unwrap()
}

#[tokio::test]
async fn a_scenario_s_way_with_its_source() {
    let lab = lab().await;
    let source = client(&lab).await;
    let request = CloneRequest {
        source: "mtv-tests-rhel8".into(),
        name: "clone".into(),
        run: "r1".into(),
        changed_block_tracking: true,
        ..CloneRequest::default()
    };
    let id = source.clone_vm(&request).await.unwrap();
    assert_eq!(source.of_run("r1").await.unwrap().len(), 1);
    source.snapshot(&id, "before").await.unwrap();
    source.set_power(&id, Power::On).await.unwrap();
    assert!(source.wait_for_guest(&id, Duration::from_mins(1)).await.unwrap());
    let vm = source.describe_vm(&id).await.unwrap();
    assert_eq!((vm.sockets, vm.cores_per_socket, vm.memory_mib), (2, 2, 2048));
    assert_eq!(vm.nics.iter().map(|n| n.network.as_str()).collect::<Vec<_>>(), ["VM Network", "VM Test Network", "cnv-test"]);
    assert_eq!(vm.disks.iter().map(|d| (d.bytes >> 30, d.storage.as_str())).collect::<Vec<_>>(), [(16, "nfs-datastore")]);
    assert_eq!(vm.snapshots.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["before"]);
    assert!(vm.tools_running && !vm.windows);
    source.set_power(&id, Power::Off).await.unwrap();
    source.delete(&id).await.unwrap();
    assert!(source.of_run("r1").await.unwrap().is_empty());
    assert!(lab.vcenter.look(|m| m.named("VirtualMachine", "clone").is_none()));
}

#[tokio::test]
async fn a_template_is_cloned_and_a_taken_name_is_refused() {
    let lab = lab().await;
    let source = client(&lab).await;
    let request = |name: &str| CloneRequest {
        source: "xcopy-template-test".into(),
        name: name.into(),
        run: "r1".into(),
        changed_block_tracking: false,
        ..CloneRequest::default()
    };
    source.clone_vm(&request("from-template")).await.unwrap();
    let error = source.clone_vm(&request("mtv-tests-rhel8")).await.unwrap_err();
    assert!(matches!(&error, ProviderError::Operation(text) if text.contains("DuplicateName")), "{error:?}");
}

#[tokio::test]
async fn an_ended_session_is_renewed() {
    let lab = lab().await;
    let source = client(&lab).await;
    lab.vcenter.end_sessions();
    assert_eq!(source.find(&["mtv-tests-rhel8".to_owned()]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_a_matter_of_the_environment() {
    let mut lab = lab().await;
    lab.profile.password = Secret::new("wrong");
    let Err(error) = connect(&lab.profile).await else { panic!("the login was accepted") };
    assert!(error.is_environment(), "{error:?}");
}
