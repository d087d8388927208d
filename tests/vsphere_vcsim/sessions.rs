//! Login, logout, and sessions that end by themselves.

use std::{sync::Arc, time::Duration};

use mtv_test::{
    config::profile::ProviderKind,
    providers::{ProviderErrorKind, Source, connect},
    secrets::Secret,
};

use crate::support::{Vcsim, count, until};

pub async fn login_takes_three_requests_and_names_the_server() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let requests: Vec<_> = source.requests().into_iter().collect();
    assert_eq!(requests, [("CreateContainerView".into(), 1), ("Login".into(), 1), ("RetrieveServiceContent".into(), 1)]);
    assert_eq!(source.kind(), ProviderKind::Vsphere);
    let text = source.describe();
    let address = vcsim.url.trim_start_matches("http://").trim_end_matches("/sdk");
    assert!(text.starts_with(&format!("vsphere {address}, VMware vCenter Server")), "{text}");
    source.disconnect().await;
    assert_eq!(count(source.as_ref(), "Logout"), 1);
}

pub async fn a_wrong_password_is_said_without_saying_it() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let mut profile = vcsim.profile();
    profile.password = Secret::new("not-the-password");
    let Err(error) = connect(&profile).await else { panic!("logged in") };
    assert!(error.is(ProviderErrorKind::Login), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("for user `admin`") && error.hints()[0].starts_with("check `username`"), "{text}");
    assert!(!text.contains("not-the-password"), "{text}");
}

pub async fn one_new_login_serves_all_who_meet_the_end_of_a_session() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source: Arc<dyn Source> = Arc::from(vcsim.connect().await);
    vcsim.end_sessions();
    let finders = (0..8).map(|_| {
        let source = source.clone();
        tokio::spawn(async move { source.cloner().unwrap().find(&["DC0_H0_VM0".to_owned()]).await })
    });
    for finder in futures::future::join_all(finders).await {
        assert_eq!(finder.unwrap().unwrap().len(), 1);
    }
    assert_eq!(count(source.as_ref(), "Login"), 2);
}

pub async fn a_description_survives_the_end_of_a_session() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let vm = source.cloner().unwrap().find(&["DC0_H0_VM0".to_owned()]).await.unwrap().remove(0);
    vcsim.end_sessions();
    assert_eq!(source.cloner().unwrap().describe_vm(&vm.id).await.unwrap().name, "DC0_H0_VM0");
    assert_eq!(count(source.as_ref(), "Login"), 2);
}

pub async fn a_wait_survives_the_end_of_its_session() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source: Arc<dyn Source> = Arc::from(vcsim.connect().await);
    let vm = source.cloner().unwrap().find(&["DC0_H0_VM0".to_owned()]).await.unwrap().remove(0);
    let waiting = tokio::spawn({
        let source = source.clone();
        async move { source.cloner().unwrap().wait_for_guest(&vm.id, Duration::from_mins(1)).await }
    });
    until("the wait", || count(source.as_ref(), "WaitForUpdatesEx") >= 2).await;
    vcsim.end_sessions();
    // Wakes the wait, whose next request meets the ended session.
    vcsim.govc(&["vm.change", "-vm", "DC0_H0_VM0", "-e", "SET.guest.toolsRunningStatus=guestToolsRunning"]);
    vcsim.govc(&["vm.change", "-vm", "DC0_H0_VM0", "-e", "SET.guest.ipAddress=10.0.0.7"]);
    assert!(waiting.await.unwrap().unwrap());
}
