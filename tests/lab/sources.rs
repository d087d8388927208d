//! tier0 from each source beside the vCenter: what passes, what is skipped and why, what it costs, and that nothing stays.

use std::process::Stdio;

use kube::{
    Api,
    api::{DeleteParams, DynamicObject, PostParams},
};
use mtv_api::kinds;
use mtv_test::{
    config::{profile::Profile, profile_file::ProfileFile},
    providers::{CloneRequest, ProviderErrorKind, connect},
    secrets::Secret,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Lab, binary, is_check, junit, told};

/// Requests that one scenario may cost at most: of the cluster, and of the source.
const MOST: (u64, u64) = (90, 60);

/// Before a namespace is deleted, every kind in it is listed: so many requests. A run has its own, one for each of the two
/// comprehensive scenarios, and from OpenShift one for source VMs.
const LOOKS: u64 = 4 * 60;

/// Runs tier0 from one source of the built-in lab. What is skipped has this reason, and is nothing but the warm scenarios.
fn tier0(provider: &str, warm: Option<&str>) {
    let folder = TempDir::new().unwrap();
    let output = binary().current_dir(folder.path()).args(["run", "--lab", "--provider", provider, "-m", "tier0"]).output().unwrap();
    assert!(output.status.success(), "{provider}: {}", told(&output));
    let latest = folder.path().join("mtv-test-results/latest");
    let cases = junit(&latest.join("junit-report.xml"));
    let ended = |state: &str| cases.iter().filter(|(_, ended)| ended == state).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    assert!(cases.iter().all(|(name, ended)| !is_check(name) || matches!(ended.as_str(), "passed" | "skipped")), "{provider}: {cases:?}");
    assert_eq!(ended("passed").len() + ended("skipped").len(), cases.len(), "{provider}: {cases:?}");
    assert!(
        ["sanity-cold", "comprehensive-cold", "post-hook"].iter().all(|name| ended("passed").iter().any(|case| case.contains(name))),
        "{cases:?}"
    );
    // Of checks that do not apply to a VM the report says so.
    let skipped: Vec<&str> = ended("skipped").into_iter().filter(|name| !is_check(name)).collect();
    match warm {
        None => assert_eq!(skipped, Vec::<&str>::new()),
        Some(reason) => {
            assert!(skipped.iter().all(|name| name.contains("warm")) && !skipped.is_empty(), "{cases:?}");
            assert!(told(&output).contains(reason), "{}", told(&output));
        }
    }
    let events = std::fs::read_to_string(latest.join("events.ndjson")).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scenarios = cases.iter().filter(|(name, ended)| ended == "passed" && name.ends_with("/migrate")).count().max(3) as u64;
    let finished = events.iter().find(|e| e["event"] == "run_finished").unwrap();
    let (mut cluster, mut source) = (0, 0);
    for (name, count) in finished["requests"].as_object().unwrap() {
        *(if name.starts_with("kubernetes") { &mut cluster } else { &mut source }) += count.as_u64().unwrap();
    }
    println!("{provider}: {} s, {scenarios} scenarios, {cluster} requests of the cluster, {source} of the source", finished["took"]);
    assert!(cluster <= MOST.0 * scenarios + LOOKS && source <= MOST.1 * scenarios, "{provider}: {}", finished["requests"]);
}

#[test]
fn tier0_from_an_esxi_host() {
    tier0("vsphere-esxi", None);
}

#[test]
fn tier0_from_ovirt() {
    tier0("ovirt", Some("known issue MTV-2846 is not resolved"));
}

#[test]
fn tier0_from_openstack() {
    tier0("openstack", Some("openstack warm migration is not supported"));
}

#[test]
fn tier0_from_openshift() {
    tier0("openshift", Some("openshift warm migration is not supported"));
}

#[test]
fn tier0_from_another_openshift() {
    tier0("openshift-remote", Some("openshift warm migration is not supported"));
}

#[test]
fn tier0_from_ova_files() {
    tier0("ova", Some("ova warm migration is not supported"));
}

/// The gate opens when Jira says that the issue is resolved.
#[test]
fn ovirt_is_migrated_warm_once_its_issue_is_resolved() {
    let folder = TempDir::new().unwrap();
    let file = mtv_lab::datacenter::DEFAULT.replace("\"MTV-2846\" = \"New\"", "\"MTV-2846\" = \"Closed\"");
    std::fs::write(folder.path().join("lab.toml"), file).unwrap();
    let arguments = ["run", "--lab", "--datacenter", "lab.toml", "--provider", "ovirt", "sanity-warm"];
    let output = binary().current_dir(folder.path()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let cases = junit(&folder.path().join("mtv-test-results/latest/junit-report.xml"));
    assert!(cases.iter().any(|(name, ended)| name.contains("sanity-warm") && name.ends_with("migrate") && ended == "passed"), "{cases:?}");
}

/// A wrong password, nobody at the address, a certificate that nothing vouches for: three errors, each with what mends it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_another_openshift_is_told_apart() {
    let lab = Lab::start(&["--roles=-vsphere,-ovirt,-openstack,-ova"]);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = ProfileFile::load(&lab.path("lab/providers.toml")).unwrap();
    let (right, _) = file.select("openshift-remote", &|_| None).unwrap();
    let source = connect(&right).await.unwrap();
    let wrong = Profile { password: Secret::new("wrong"), ..right.clone() };
    let error = connect(&wrong).await.err();
    assert!(
        error.as_ref().is_some_and(|error| error.is(ProviderErrorKind::Login)
            && error.hints().iter().any(|hint| hint.starts_with("check `username` and `password`"))),
        "{error:?}"
    );
    let untrusted = Profile { ca_pem: None, ..right.clone() };
    let error = connect(&untrusted).await.err();
    assert!(
        error.as_ref().is_some_and(
            |error| error.is(ProviderErrorKind::Certificate) && error.hints().iter().any(|hint| hint.starts_with("set `ca_file`"))
        ),
        "{error:?}"
    );
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Profile { api_url: format!("https://{closed}"), ..right };
    let error = connect(&nobody).await.err();
    assert!(
        error.as_ref().is_some_and(
            |error| error.is(ProviderErrorKind::Unreachable) && error.hints().iter().any(|hint| hint.starts_with("check `api_url`"))
        ),
        "{error:?}"
    );
    // What it is made of must be there; what is made half-way goes again.
    let sources: Api<DynamicObject> = Api::namespaced_with(
        lab.client_of("kubeconfig-remote").await,
        "openshift-virtualization-os-images",
        &kinds::DATA_SOURCE.resource(),
    );
    sources.delete("rhel9", &DeleteParams::default()).await.unwrap();
    let request = CloneRequest { source: "any".into(), name: "vm".into(), run: "run1".into(), ..CloneRequest::default() };
    let error = source.cloner().unwrap().clone_vm(&request).await.unwrap_err();
    assert!(error.is(ProviderErrorKind::NotFound) && error.to_string().contains("rhel9") && !error.hints().is_empty(), "{error}");
}

/// Source VMs on the other cluster, Forklift's objects on this one: a run that is killed leaves both, `clean` leaves neither.
#[tokio::test(flavor = "multi_thread")]
async fn clean_takes_what_a_killed_run_left_from_both_clusters() {
    let lab = Lab::start(&[]);
    let before = (lab.objects().await, lab.source_objects().await);
    let mut run = lab
        .run_into("results", &["sanity-cold", "--provider", "openshift-remote"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    lab.wait_for(&kinds::PLAN, |plan| plan.data.pointer("/status/migration/started").is_some()).await;
    run.kill().unwrap();
    run.wait().unwrap();
    assert_ne!(lab.objects().await, before.0, "the run was killed too late");
    let left = lab.source_objects().await;
    assert!(left.iter().any(|name| name.starts_with("VirtualMachine ") && !before.1.contains(name)), "{left:?}");
    let clean = lab.clean(&[]);
    assert!(clean.status.success(), "{}", told(&clean));
    assert_eq!(lab.objects().await, before.0);
    assert_eq!(lab.source_objects().await, before.1);
}

/// A run that was killed before it had made a VM, and whose files are lost, leaves a namespace that only its label tells of.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_without_a_vm_is_found_on_the_other_cluster() {
    let lab = Lab::start(&[]);
    let before = lab.source_objects().await;
    let api: Api<DynamicObject> = Api::all_with(lab.client_of("kubeconfig-remote").await, &kinds::NAMESPACE.resource());
    let make = async |name: &str, labels: Value| {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        api.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap();
    };
    make("mtv-test-abc1234567-source-vms", json!({mtv_test::run::names::RUN_LABEL: "abc1234567"})).await;
    make("mtv-test-xyz-source-vms", json!({})).await;
    let clean = lab.clean_orphans("openshift-remote");
    assert!(clean.status.success(), "{}", told(&clean));
    let after = lab.source_objects().await;
    let stays: Vec<&String> = after.difference(&before).collect();
    assert_eq!(stays, ["Namespace /mtv-test-xyz-source-vms"], "without a label it is nobody's: {}", told(&clean));
}
