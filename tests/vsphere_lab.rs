//! The vSphere client against the lab's vCenter: a whole scenario, certificates, a session that ends, within the budget.
//!
//! Real servers judge the client in `vsphere_vcsim`; here stands what the lab has and vcsim has not: guests that boot,
//! and changed block tracking of clones.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use mtv_lab::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter},
    tls::Authority,
    vsphere::Vcenter,
    world::World,
};
use mtv_test::{
    config::profile::{Profile, ProviderKind},
    providers::{CloneRequest, Power, ProviderError, connect},
    secrets::Secret,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Lab seconds per real second: guests boot at once.
const SCALE: f64 = 1000.0;
/// Requests of a scenario, from login to logout.
const BUDGET: u64 = 30;

/// A vCenter that ends with the test.
struct Lab {
    vcenter: Vcenter,
    profile: Profile,
    ca: String,
    _cancel: DropGuard,
}

async fn lab() -> Lab {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let datacenter = DataCenter::parse(DEFAULT).unwrap();
    let login = datacenter.vsphere.login.clone();
    let vcenter = Vcenter::new(&World::new(datacenter, Clock::new(SCALE)));
    let authority = Authority::new().unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let profile = Profile {
        name: "lab".into(),
        file: PathBuf::from("providers.toml"),
        kind: ProviderKind::Vsphere,
        version: "8.0".into(),
        fqdn: "127.0.0.1".into(),
        api_url: format!("https://{}/sdk", listener.local_addr().unwrap()),
        username: login.user,
        password: Secret::new(login.password),
        insecure_skip_verify: false,
        ca_file: None,
        ca_pem: Some(authority.pem().to_owned()),
        vddk_init_image: None,
        guest_linux: None,
        guest_windows: None,
        extra: BTreeMap::default(),
        extra_secrets: BTreeMap::default(),
    };
    let cancel = CancellationToken::new();
    let tls = authority.server(&[]).unwrap();
    tokio::spawn({
        let (vcenter, cancel) = (vcenter.clone(), cancel.clone());
        async move { vcenter.serve(listener, tls, cancel).await }
    });
    Lab { vcenter, profile, ca: authority.pem().to_owned(), _cancel: cancel.drop_guard() }
}

fn request(source: &str) -> CloneRequest {
    CloneRequest { source: source.into(), name: "clone-1".into(), run: "r1".into(), changed_block_tracking: true }
}

#[tokio::test]
async fn a_warm_scenario_from_login_to_logout() {
    let lab = lab().await;
    let source = connect(&lab.profile).await.unwrap();
    let id = source.clone_vm(&request("mtv-rhel8-warm-2disks2nics")).await.unwrap();
    source.set_power(&id, Power::On).await.unwrap();
    assert!(source.wait_for_guest(&id, Duration::from_mins(2)).await.unwrap());
    let vm = source.describe_vm(&id).await.unwrap();
    assert_eq!((vm.name.as_str(), vm.power, vm.tools_running, vm.windows), ("clone-1", Power::On, true, false));
    assert_eq!((vm.disks.len(), vm.nics.len()), (2, 2));
    assert!(vm.nics.iter().all(|nic| !nic.network.is_empty() && nic.addresses.len() == 1), "{:?}", vm.nics);
    assert!(vm.disks.iter().all(|disk| disk.bytes > 0 && disk.storage.contains("datastore")), "{:?}", vm.disks);
    let original = source.find(&["mtv-rhel8-warm-2disks2nics".to_owned()]).await.unwrap().remove(0);
    let original = source.describe_vm(&original.id).await.unwrap();
    for (new, old) in vm.nics.iter().zip(&original.nics) {
        assert_ne!(new.mac, old.mac);
        assert_eq!(new.network_id, old.network_id);
    }
    let mine = source.of_run("r1").await.unwrap();
    assert_eq!(mine.iter().map(|vm| (vm.id.as_str(), vm.name.as_str())).collect::<Vec<_>>(), [(id.as_str(), "clone-1")]);
    source.delete(&id).await.unwrap();
    source.delete(&id).await.unwrap();
    assert_eq!(source.of_run("r1").await.unwrap(), []);
    source.disconnect().await;
    let requests = source.requests();
    assert!(!requests.contains_key("ReconfigVM_Task"), "the clone was not as asked for: {requests:?}");
    // The original's look-up and description, two look-ups by run and the second deletion are the test's own.
    let own = 5;
    assert!(requests.values().sum::<u64>() <= BUDGET + own, "{requests:#?}");
}

#[tokio::test]
async fn snapshots_and_windows() {
    let lab = lab().await;
    let source = connect(&lab.profile).await.unwrap();
    let id = source.clone_vm(&request("mtv-win2019-3disks")).await.unwrap();
    source.snapshot(&id, "first").await.unwrap();
    source.snapshot(&id, "second").await.unwrap();
    let vm = source.describe_vm(&id).await.unwrap();
    assert!(vm.windows && vm.disks.len() == 3);
    assert_eq!(vm.snapshots.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    source.delete(&id).await.unwrap();
}

#[tokio::test]
async fn the_ca_is_trusted_and_handed_on() {
    let mut lab = lab().await;
    let source = connect(&lab.profile).await.unwrap();
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(bare(&source.ca_chain().await.unwrap().unwrap()), bare(&lab.ca));
    lab.profile.ca_pem = None;
    let Err(error) = connect(&lab.profile).await else { panic!("connected") };
    assert!(matches!(error, ProviderError::Certificate(_)), "{error:?}");
}

#[tokio::test]
async fn a_session_that_ends_is_renewed() {
    let lab = lab().await;
    let source = connect(&lab.profile).await.unwrap();
    lab.vcenter.end_sessions();
    assert_eq!(source.find(&["mtv-tests-rhel8".to_owned()]).await.unwrap().len(), 1);
    assert_eq!(source.requests()["Login"], 2);
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_vm() {
    let mut lab = lab().await;
    let source = connect(&lab.profile).await.unwrap();
    let error = source.clone_vm(&request("mtv-tests-rhel7")).await.unwrap_err();
    assert!(matches!(&error, ProviderError::NotFound(text) if text.contains("did you mean `mtv-tests-rhel8`")), "{error:?}");
    lab.profile.password = Secret::new("not-the-password");
    let Err(error) = connect(&lab.profile).await else { panic!("connected") };
    assert!(matches!(error, ProviderError::Login(_)), "{error:?}");
}
