//! The vSphere client against the lab's vCenter, and against one of its hosts as an endpoint of its own: what a scenario does with
//! its source, from clone to delete, and what it costs.

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
    config::{
        profile::{Details, Profile, VsphereProfile},
        scenario::PowerWish,
    },
    providers::{CloneRequest, Power, ProviderErrorKind, Source, connect},
    secrets::Secret,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A host that this vCenter clones for.
fn cloned_by(center: &Profile) -> Details {
    Details::from(VsphereProfile { clone_provider: Some(Box::new(center.clone())), ..VsphereProfile::default() })
}

struct Lab {
    vcenter: Vcenter,
    profile: Profile,
    /// A host of the vCenter, which clones for it.
    esxi: Profile,
    _stop: DropGuard,
}

async fn lab() -> Lab {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let datacenter = DataCenter::parse(DEFAULT).unwrap();
    let (login, on_host) = (datacenter.vsphere.login.clone(), datacenter.vsphere.esxi_login.clone());
    let vcenter = Vcenter::new(&World::new(datacenter, Clock::new(1_000.0)));
    let authority = Authority::new().unwrap();
    let cancel = CancellationToken::new();
    let serve = async |served: Vcenter| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tls, token) = (authority.server(&[]).unwrap(), cancel.clone());
        tokio::spawn(async move { served.serve(listener, tls, token).await });
        address
    };
    let address = serve(vcenter.clone()).await;
    let host = serve(vcenter.agent("esxi-0.lab").unwrap()).await;
    let profile = Profile {
        api_url: format!("https://{address}/sdk"),
        username: login.user,
        password: Secret::new(login.password),
        ca_pem: Some(authority.pem().to_owned()),
        ..Profile::new("lab", Details::from(VsphereProfile::default()))
    };
    let esxi = Profile {
        name: "esxi".into(),
        api_url: format!("https://{host}/sdk"),
        username: on_host.user,
        password: Secret::new(on_host.password),
        details: cloned_by(&profile),
        ..profile.clone()
    };
    Lab { vcenter, profile, esxi, _stop: cancel.drop_guard() }
}

async fn client(lab: &Lab) -> Box<dyn Source> {
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
    let id = source.cloner().unwrap().clone_vm(&request).await.unwrap();
    assert_eq!(source.cloner().unwrap().of_run("r1").await.unwrap().len(), 1);
    source.snapshots().unwrap().snapshot(&id, "before").await.unwrap();
    source.cloner().unwrap().set_power(&id, PowerWish::On).await.unwrap();
    assert!(source.cloner().unwrap().wait_for_guest(&id, Duration::from_mins(1)).await.unwrap());
    let vm = source.cloner().unwrap().describe_vm(&id).await.unwrap();
    assert_eq!((vm.sockets, vm.cores_per_socket, vm.memory_mib), (Some(2), Some(2), Some(2048)));
    assert_eq!(vm.nics.iter().map(|n| n.network.as_str()).collect::<Vec<_>>(), ["VM Network", "VM Test Network", "cnv-test"]);
    assert_eq!(vm.disks.iter().map(|d| (d.bytes >> 30, d.storage.as_str())).collect::<Vec<_>>(), [(16, "nfs-datastore")]);
    assert_eq!(vm.snapshots.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["before"]);
    assert!(vm.tools_running && !vm.windows);
    source.cloner().unwrap().set_power(&id, PowerWish::Off).await.unwrap();
    source.cloner().unwrap().delete(&id).await.unwrap();
    assert!(source.cloner().unwrap().of_run("r1").await.unwrap().is_empty());
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
    source.cloner().unwrap().clone_vm(&request("from-template")).await.unwrap();
    let error = source.cloner().unwrap().clone_vm(&request("mtv-tests-rhel8")).await.unwrap_err();
    assert!(error.is(ProviderErrorKind::Operation) && error.to_string().contains("DuplicateName"), "{error:?}");
}

#[tokio::test]
async fn an_ended_session_is_renewed() {
    let lab = lab().await;
    let source = client(&lab).await;
    lab.vcenter.end_sessions();
    assert_eq!(source.cloner().unwrap().find(&["mtv-tests-rhel8".to_owned()]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_a_matter_of_the_environment() {
    let mut lab = lab().await;
    lab.profile.password = Secret::new("wrong");
    let Err(error) = connect(&lab.profile).await else { panic!("the login was accepted") };
    assert!(error.is_environment(), "{error:?}");
}

fn clone_of(source: &str, name: &str) -> CloneRequest {
    CloneRequest { source: source.into(), name: name.into(), run: "r1".into(), ..CloneRequest::default() }
}

/// Cloned by the vCenter, switched and described by the host under the host's ids, gone from both.
#[tokio::test]
async fn a_scenario_s_way_with_a_host() {
    let lab = lab().await;
    let source = connect(&lab.esxi).await.unwrap();
    let id = source.cloner().unwrap().clone_vm(&clone_of("mtv-tests-rhel8", "clone")).await.unwrap();
    assert!(id.parse::<u64>().is_ok(), "an id of the host: {id}");
    let there = lab.vcenter.look(|m| m.named("VirtualMachine", "clone").map(|vm| (vm.id.clone(), vm.vm().unwrap().host.clone())));
    let (in_center, host) = there.unwrap();
    assert_ne!(in_center, id);
    assert_eq!(lab.vcenter.look(|m| m.entity(&host).unwrap().name.clone()), "esxi-0.lab");
    source.snapshots().unwrap().snapshot(&id, "before").await.unwrap();
    source.cloner().unwrap().set_power(&id, PowerWish::On).await.unwrap();
    assert!(source.cloner().unwrap().wait_for_guest(&id, Duration::from_mins(1)).await.unwrap());
    let vm = source.cloner().unwrap().describe_vm(&id).await.unwrap();
    assert_eq!(
        (vm.id.as_str(), vm.power, vm.sockets, vm.cores_per_socket, vm.memory_mib),
        (id.as_str(), Power::On, Some(2), Some(2), Some(2048))
    );
    assert_eq!(vm.disks.iter().map(|d| (d.bytes >> 30, d.storage.as_str())).collect::<Vec<_>>(), [(16, "nfs-datastore")]);
    assert_eq!(vm.snapshots.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["before"]);
    source.cloner().unwrap().set_power(&id, PowerWish::Off).await.unwrap();
    source.cloner().unwrap().delete(&id).await.unwrap();
    source.cloner().unwrap().delete(&id).await.expect("what is gone already is success");
    assert!(source.cloner().unwrap().of_run("r1").await.unwrap().is_empty());
    assert!(lab.vcenter.look(|m| m.named("VirtualMachine", "clone").is_none()));
}

/// Each of the two servers can be the one that is wrong.
#[tokio::test]
async fn what_is_wrong_with_a_host_is_told_apart() {
    let lab = lab().await;
    let told = async |profile: &Profile| connect(profile).await.err().unwrap();
    let with_center = |center: Profile| Profile { details: cloned_by(&center), ..lab.esxi.clone() };
    let wrong = |profile: &Profile| Profile { password: Secret::new("wrong"), ..profile.clone() };
    let untrusted = |profile: &Profile| Profile { ca_pem: None, ..profile.clone() };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = |profile: &Profile| Profile { api_url: format!("https://{closed}/sdk"), ..profile.clone() };
    for (bad, of_center) in [(wrong(&lab.esxi), false), (with_center(wrong(&lab.profile)), true)] {
        let error = told(&bad).await;
        let user = if of_center { &lab.profile.username } else { &lab.esxi.username };
        assert!(error.is(ProviderErrorKind::Login) && !error.hints().is_empty() && error.to_string().contains(user), "{error}");
    }
    for bad in [untrusted(&lab.esxi), with_center(untrusted(&lab.profile))] {
        let error = told(&bad).await;
        assert!(error.is(ProviderErrorKind::Certificate) && !error.hints().is_empty(), "{error}");
    }
    for bad in [nobody(&lab.esxi), with_center(nobody(&lab.profile))] {
        let error = told(&bad).await;
        assert!(error.is(ProviderErrorKind::Unreachable) && !error.hints().is_empty(), "{error}");
    }
    let source = connect(&lab.esxi).await.unwrap();
    let missing = source.cloner().unwrap().clone_vm(&clone_of("mtv-tests-rhel", "x")).await.unwrap_err();
    assert!(missing.is(ProviderErrorKind::NotFound) && missing.to_string().contains("mtv-tests-rhel8"), "{missing}");
    let elsewhere = CloneRequest { host: Some("esxi-1.lab".into()), ..clone_of("mtv-tests-rhel8", "x") };
    let error = source.cloner().unwrap().clone_vm(&elsewhere).await.unwrap_err();
    assert!(error.is(ProviderErrorKind::Unsupported) && error.to_string().contains("esxi-0.lab"), "{error}");
}

/// What a clone and a description cost in requests, of a vCenter and of a host with its vCenter.
#[tokio::test]
async fn requests_are_few() {
    let lab = lab().await;
    for (name, profile, most) in [("vCenter", &lab.profile, (12, 3)), ("ESXi", &lab.esxi, (18, 3))] {
        let source = connect(profile).await.unwrap();
        let count = || source.requests().values().sum::<u64>();
        let before = count();
        let id = source.cloner().unwrap().clone_vm(&clone_of("mtv-tests-rhel8", "counted")).await.unwrap();
        let cloned = count() - before;
        let before = count();
        source.cloner().unwrap().describe_vm(&id).await.unwrap();
        let described = count() - before;
        println!("{name}: clone {cloned}, description {described}");
        assert!(cloned <= most.0 && described <= most.1, "{name}: clone {cloned}, description {described}: {:?}", source.requests());
        source.cloner().unwrap().delete(&id).await.unwrap();
    }
}
