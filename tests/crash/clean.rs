//! `clean` without its file, with a list of mtv-api-tests, and with something that does not go.

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
};

use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use mtv_api::kinds::{self, Kind};
use mtv_test::{providers::CloneRequest, run::names};
use serde_json::{Value, json};

use crate::{
    support::{Lab, binary, told},
    traces::{Eyes, wait_for_folder},
};

fn clean(lab: &Lab, arguments: &[&str]) -> Output {
    let mut command = binary();
    command.current_dir(&lab.folder).arg("clean").args(arguments);
    command.args(["--kubeconfig", "lab/kubeconfig", "--providers", "lab/providers.toml"]).output().unwrap()
}

/// A run that was killed while its Migration ran; the folder of its results and its id.
pub async fn killed(lab: &Lab, results: &str, scenario: &str) -> (std::path::PathBuf, String) {
    let mut run = lab.run_into(results, &[scenario]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (folder, id) = wait_for_folder(&mut run, &lab.path(results));
    let namespace = names::namespace("mtv-test", &id);
    let of_run = |plan: &DynamicObject| {
        plan.metadata.namespace.as_deref() == Some(namespace.as_str()) && plan.data.pointer("/status/migration/started").is_some()
    };
    lab.wait_for(&kinds::PLAN, of_run).await;
    run.kill().unwrap();
    run.wait().unwrap();
    (folder, id)
}

async fn make(eyes: &Eyes, kind: &Kind, namespace: Option<&str>, name: &str, rest: Value) {
    let mut body = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": name}});
    body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    let object: DynamicObject = serde_json::from_value(body).unwrap();
    eyes.api(kind, namespace).create(&PostParams::default(), &object).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_run_has_left_is_found_without_its_file() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let eyes = Eyes::of(&lab).await;
    let (before, settings) = (lab.objects().await, eyes.settings().await);
    let (folder, run) = killed(&lab, "lost", "sanity-warm").await;
    fs::remove_dir_all(folder).unwrap();
    assert!(eyes.traces(&run).await.iter().any(|trace| trace.contains("on the source")));
    assert_ne!(eyes.settings().await, settings, "the run had not changed the shared setting yet");

    let young = clean(&lab, &["--orphans", "--provider", "vsphere"]);
    assert!(young.status.success() && told(&young).contains("younger than"), "{}", told(&young));
    assert!(!eyes.traces(&run).await.is_empty(), "a young run was deleted: {}", told(&young));
    let dry = clean(&lab, &["--orphans", "--older-than", "0s", "--provider", "vsphere", "--dry-run"]);
    assert!(dry.status.success() && told(&dry).contains("would delete VM "), "{}", told(&dry));
    assert!(told(&dry).contains("would restore /spec/controller_precopy_interval"), "{}", told(&dry));
    assert!(!eyes.traces(&run).await.is_empty());

    let done = clean(&lab, &["--orphans", "--older-than", "0s", "--provider", "vsphere"]);
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(eyes.traces(&run).await, Vec::<String>::new(), "{}", told(&done));
    assert_eq!(lab.objects().await, before);
    assert_eq!(eyes.settings().await, settings);
    let again = clean(&lab, &["--orphans", "--older-than", "0s", "--provider", "vsphere"]);
    assert!(again.status.success() && told(&again).contains("nothing is left"), "{}", told(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_go_is_told_with_its_reason_and_in_time() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let eyes = Eyes::of(&lab).await;
    let before = lab.objects().await;
    let (folder, run) = killed(&lab, "stuck", "sanity-cold").await;
    let namespace = names::namespace("mtv-test", &run);
    let secrets = eyes.api(&kinds::SECRET, Some(&namespace));
    let hold = |finalizers: Value| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    secrets.patch("vsphere-credentials", &PatchParams::default(), &hold(json!(["example.com/keep"]))).await.unwrap();
    let folder = folder.to_str().unwrap().to_owned();
    let stuck = clean(&lab, &[&folder, "--timeout", "30s", "--set", "object_timeout=3s"]);
    assert_eq!(stuck.status.code(), Some(8), "{}", told(&stuck));
    for word in [&format!("Namespace {namespace}"), "example.com/keep", "secrets"] {
        assert!(told(&stuck).contains(word), "{word}: {}", told(&stuck));
    }
    // What could go is gone.
    assert_eq!(lab.clones_of(&run).await, Vec::<String>::new());
    secrets.patch("vsphere-credentials", &PatchParams::default(), &hold(Value::Null)).await.unwrap();
    let done = clean(&lab, &[&folder]);
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(lab.objects().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_setting_that_somebody_changed_since_stays() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let eyes = Eyes::of(&lab).await;
    let (folder, _) = killed(&lab, "changed", "sanity-warm").await;
    let theirs = Patch::Merge(json!({"spec": {"controller_precopy_interval": 17}}));
    let controllers = eyes.api(&kinds::FORKLIFT_CONTROLLER, Some("openshift-mtv"));
    controllers.patch("forklift-controller", &PatchParams::default(), &theirs).await.unwrap();
    let done = clean(&lab, &[folder.to_str().unwrap()]);
    assert!(done.status.success() && told(&done).contains("changed by somebody else since"), "{}", told(&done));
    let settings = eyes.settings().await;
    assert_eq!(settings[0]["spec"]["controller_precopy_interval"], 17);
    assert_eq!(settings[0]["annotations"], json!({}), "the note of the run is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_mtv_api_tests_is_carried_out_as_far_as_it_proves_anything() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let eyes = Eyes::of(&lab).await;
    let before = lab.objects().await;
    for namespace in ["auto-ab12-mtv", "mtv-comprehensive-vms"] {
        make(&eyes, &kinds::NAMESPACE, None, namespace, json!({})).await;
    }
    make(&eyes, &kinds::SECRET, Some("auto-ab12-mtv"), "auto-ab12-source-vsphere-8-0-x1y2", json!({"stringData": {"a": "b"}})).await;
    make(&eyes, &kinds::CONFIG_MAP, Some("default"), "theirs", json!({"data": {"a": "b"}})).await;
    let mut clones = Vec::new();
    for (name, run) in [("auto-ab12-mtv-tests-rhel8-q2w3", ""), ("mtv-tests-rhel8-mine", ""), ("auto-ab12-of-a-run", "someoneelse")] {
        let request = CloneRequest { source: "mtv-tests-rhel8".into(), name: name.into(), run: run.into(), ..CloneRequest::default() };
        clones.push(eyes.source().cloner().unwrap().clone_vm(&request).await.unwrap());
    }
    let list = json!({
        "Namespace": [{"name": "auto-ab12-mtv", "namespace": null, "module": "ocp_resources.namespace"},
            {"name": "mtv-comprehensive-vms", "namespace": null, "module": "ocp_resources.namespace"},
            {"name": "default", "namespace": null, "module": "ocp_resources.namespace"}],
        "Secret": [{"name": "auto-ab12-source-vsphere-8-0-x1y2", "namespace": "auto-ab12-mtv", "module": "ocp_resources.secret"}],
        "Plan": [{"name": "auto-ab12-gone", "namespace": "auto-ab12-mtv", "module": "ocp_resources.plan", "test_name": "t"}],
        "ConfigMap": [{"name": "theirs", "namespace": "default", "module": "ocp_resources.configmap"}],
        "vsphere": [{"name": "auto-ab12-mtv-tests-rhel8-q2w3"}, {"name": "mtv-tests-rhel8-mine"}, {"name": "auto-ab12-of-a-run"}],
    });
    let write = |list: &Value| fs::write(lab.path("old.json"), list.to_string()).unwrap();
    write(&list);
    let there = |name: &'static str| {
        let source = eyes.source();
        async move { !source.cloner().unwrap().find(&[name.to_owned()]).await.unwrap().is_empty() }
    };

    let dry = clean(&lab, &["old.json", "--dry-run"]);
    assert!(dry.status.success() && told(&dry).contains("only with --by-name"), "{}", told(&dry));
    let proved = clean(&lab, &["old.json", "--provider", "vsphere"]);
    assert_eq!(proved.status.code(), Some(8), "{}", told(&proved));
    for word in ["--by-name", "namespace of the cluster itself", "is a clone of mtv-test", "mtv-comprehensive-vms"] {
        assert!(told(&proved).contains(word), "{word}: {}", told(&proved));
    }
    let now = lab.objects().await;
    assert!(!now.contains("Namespace /auto-ab12-mtv") && now.contains("Namespace /mtv-comprehensive-vms"), "{}", told(&proved));
    assert!(!there("auto-ab12-mtv-tests-rhel8-q2w3").await && there("mtv-tests-rhel8-mine").await && there("auto-ab12-of-a-run").await);
    assert!(Path::new(&lab.path("old.json")).is_file(), "the list itself is not ours to change");

    // The user says that the names are enough; what belongs to the cluster or to a run stays all the same.
    let by_name = clean(&lab, &["old.json", "--provider", "vsphere", "--by-name"]);
    assert_eq!(by_name.status.code(), Some(8), "{}", told(&by_name));
    assert!(!there("mtv-tests-rhel8-mine").await && there("auto-ab12-of-a-run").await, "{}", told(&by_name));
    assert_eq!(lab.objects().await, before);
    eyes.source().cloner().unwrap().delete(&clones[2]).await.unwrap();
}
