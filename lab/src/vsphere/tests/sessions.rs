//! Login, its end, and what is open to those who are not logged in.

use super::{Lab, MoRef};
use crate::faults::{Effect, Rule, Server};

fn instance() -> MoRef {
    MoRef::new("ServiceInstance", "ServiceInstance")
}

#[tokio::test]
async fn a_session_begins_with_login_and_ends_with_logout() {
    let lab = Lab::start().await;
    let content = lab.call("RetrieveServiceContent", &instance(), "").await;
    assert_eq!(content.value().at(&["about", "apiType"]).unwrap().text, "VirtualCenter");
    let root = MoRef::read(content.value().child("rootFolder").unwrap());
    assert_eq!(lab.fetch(&root, "name").await.fault(), "NotAuthenticated");
    assert_eq!(lab.login_as(&lab.login.0, "wrong").await.fault(), "InvalidLogin");
    assert_eq!(lab.login_as("nobody", &lab.login.1).await.fault(), "InvalidLogin");
    assert_eq!(lab.fetch(&root, "name").await.fault(), "NotAuthenticated");
    lab.login().await;
    assert_eq!(lab.fetch(&root, "name").await.value().text, "Datacenters");
    let manager = MoRef::new("SessionManager", "SessionManager");
    let session = lab.fetch(&manager, "currentSession").await;
    assert_eq!(session.value().get("fullName"), Some(lab.login.0.as_str()));
    lab.call("Logout", &manager, "").await;
    assert_eq!(lab.fetch(&root, "name").await.fault(), "NotAuthenticated");
}

#[tokio::test]
async fn sessions_that_the_server_has_ended_are_refused_until_the_next_login() {
    let lab = Lab::start().await;
    lab.login().await;
    let vm = lab.vm("mtv-tests-rhel8");
    assert_eq!(lab.fetch(&vm, "name").await.value().text, "mtv-tests-rhel8");
    lab.vcenter.end_sessions();
    assert_eq!(lab.fetch(&vm, "name").await.fault(), "NotAuthenticated");
    lab.login().await;
    assert_eq!(lab.fetch(&vm, "name").await.value().text, "mtv-tests-rhel8");
}

#[tokio::test]
async fn what_does_not_exist_is_told_by_its_own_fault() {
    let lab = Lab::start().await;
    lab.login().await;
    let vm = lab.vm("mtv-tests-rhel8");
    assert_eq!(lab.fetch(&MoRef::new("VirtualMachine", "vm-9999"), "name").await.fault(), "ManagedObjectNotFound");
    assert_eq!(lab.fetch(&vm, "nosuch").await.fault(), "InvalidProperty");
    assert_eq!(lab.call("Frobnicate", &vm, "").await.fault(), "MethodNotFound");
    assert_eq!(lab.call("QueryPerf", &MoRef::new("PerformanceManager", "PerfMgr"), "").await.fault(), "NotSupported");
    let unset = lab.fetch(&vm, "snapshot").await;
    assert_eq!((unset.status, unset.body.name.as_str(), unset.body.children.len()), (200, "FetchResponse", 0));
}

#[tokio::test]
async fn documents_and_counts_need_no_login() {
    let lab = Lab::start().await;
    let get = async |path: &str| lab.client.get(format!("{}{path}", lab.url)).send().await.unwrap();
    let versions = get("/sdk/vimServiceVersions.xml").await.text().await.unwrap();
    assert!(versions.contains("<name>urn:vim25</name><version>8.0.3.0</version>"), "{versions}");
    assert_eq!(get("/rest/com/vmware/cis/session").await.status(), 401);
    lab.login().await;
    lab.fetch(&lab.vm("mtv-tests-rhel8"), "name").await;
    let counts: serde_json::Value = serde_json::from_str(&get("/debug/mtv-lab/requests").await.text().await.unwrap()).unwrap();
    assert_eq!(counts["users"][&lab.login.0]["Fetch"], 1);
    assert_eq!(counts["users"][""]["Login"], 1);
}

#[tokio::test]
async fn rules_make_requests_fail() {
    let lab = Lab::start().await;
    lab.login().await;
    let vm = lab.vm("mtv-tests-rhel8");
    let once = |effect| Rule { verb: Some("Fetch".to_owned()), times: Some(1), ..Rule::new(Server::Vsphere, effect) };
    let add = |rule| lab.vcenter.faults().add(rule).unwrap();
    add(Rule { fault: Some("HostCommunication".to_owned()), ..once(Effect::Fault) });
    assert_eq!(lab.fetch(&vm, "name").await.fault(), "HostCommunication");
    add(once(Effect::Close));
    assert!(lab.try_call("Fetch", &vm, "<prop>name</prop>").await.is_err());
    assert_eq!(lab.fetch(&vm, "name").await.value().text, "mtv-tests-rhel8");
}
