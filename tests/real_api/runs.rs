//! tier0, and what a run that was killed leaves.

use std::{process::Stdio, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
    runtime::wait::await_condition,
};
use mtv_api::kinds;
use mtv_testkit::{Options, RealCluster, crds};
use serde_json::json;

use crate::{
    matrix::{Job, Matrix, Victim, side_by_side, table, wanted},
    support::{Lab, junit, not_well, told},
};

/// What the lab leaves to the kube-controller-manager.
const CONTROLLERS: [&str; 6] = [
    "namespace-controller",
    "garbage-collector-controller",
    "job-controller",
    "persistentvolume-binder-controller",
    "persistentvolumeclaim-protection-controller",
    "persistentvolume-protection-controller",
];

/// A real cluster with the lab on top of it.
async fn start(options: &[&str]) -> Option<(RealCluster, Lab)> {
    let cluster = RealCluster::start(Options { controllers: CONTROLLERS.to_vec(), ..Options::default() }).await.unwrap()?;
    if let Some(folder) = crds::folder() {
        crds::install(&cluster.client().await.unwrap(), &crds::read(&folder).unwrap()).await.unwrap();
    }
    let kubeconfig = cluster.kubeconfig().to_str().unwrap().to_owned();
    let options: Vec<&str> = ["--apiserver", &kubeconfig].into_iter().chain(options.iter().copied()).collect();
    let lab = tokio::task::block_in_place(|| Lab::start(&options));
    Some((cluster, lab))
}

pub async fn tier0_passes_and_leaves_nothing() {
    let Some((_cluster, lab)) = start(&[]).await else { return };
    let before = lab.objects().await;
    let output = lab.run(&["-m", "tier0"]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let cases = junit(&lab.path("results/latest/junit-report.xml"));
    assert!(cases.len() >= 14, "{cases:?}");
    assert!(not_well(&cases).is_empty(), "{cases:?}");
    assert_eq!(lab.objects().await, before);
}

pub async fn after_kill_9_during_the_migration_clean_leaves_nothing() {
    let Some((_cluster, lab)) = start(&[]).await else { return };
    let before = lab.objects().await;
    let mut run = lab.run(&["-m", "tier0"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    lab.wait_for(&kinds::PLAN, |plan| plan.data.pointer("/status/migration/started").is_some()).await;
    run.kill().unwrap();
    run.wait().unwrap();
    assert_ne!(lab.objects().await, before, "the run was killed too late to leave anything");
    let clean = lab.clean(&[]);
    assert!(clean.status.success(), "{}", told(&clean));
    assert_eq!(lab.objects().await, before);
    let again = lab.clean(&[]);
    assert!(again.status.success() && told(&again).contains("nothing is left"), "{}", told(&again));
}

pub async fn a_pod_that_asks_for_nothing_may_run_in_a_restricted_namespace() {
    let Some((cluster, _lab)) = start(&[]).await else { return };
    let client = cluster.client().await.unwrap();
    let restricted = json!({ "metadata": { "name": "restricted", "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&PostParams::default(), &serde_json::from_value(restricted).unwrap()).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client, "restricted");
    let pod = json!({ "metadata": { "name": "plain" }, "spec": { "initContainers": [{ "name": "a", "image": "i" }], "containers": [{ "name": "b", "image": "i" }] } });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    // A policy that was just made holds a moment later, and nothing tells when.
    let made = async {
        while pods.create(&PostParams::default(), &pod).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), made).await.expect("the pod is refused");
    let privileged = json!({ "metadata": { "name": "asks" }, "spec": { "containers": [{ "name": "b", "image": "i", "securityContext": { "privileged": true } }] } });
    let refused = pods.create(&PostParams::default(), &serde_json::from_value(privileged).unwrap()).await;
    // By the namespace's level, or because what is made of it contradicts itself: not let in, in any case.
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("PodSecurity") || words.contains("privileged"), "{words}");
}

pub async fn a_lab_that_ends_leaves_no_dead_server_behind() {
    let Some((cluster, lab)) = start(&[]).await else { return };
    let client = cluster.client().await.unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apiregistration.k8s.io", "v1", "APIService"));
    let services: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    let name = "v1.subresources.kubevirt.io";
    let answers = |object: Option<&DynamicObject>| {
        object.is_some_and(|o| o.data["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(|c| c["status"] == "True")))
    };
    tokio::time::timeout(Duration::from_mins(1), await_condition(services.clone(), name, answers)).await.unwrap().unwrap();
    let status = tokio::task::block_in_place(|| lab.interrupt());
    assert!(status.success(), "{status}");
    assert!(services.get_opt(name).await.unwrap().is_none());
    // Discovery is whole, and so a namespace can go.
    let groups = client.list_api_groups().await.unwrap();
    assert!(!groups.groups.iter().any(|group| group.name == "subresources.kubevirt.io"));
}

/// Kills in an ordinary test run, and with `MTV_TEST_KILLS=all`: here a process waits for real controllers in real time.
const KILLS: (usize, usize) = (6, 60);

pub async fn killed_at_points_of_every_kind_clean_leaves_nothing() {
    let Some((_cluster, lab)) = start(&["--time-scale", "200"]).await else { return };
    let lab = Arc::new(lab);
    let matrix = Arc::new(Matrix::new(Arc::clone(&lab)).await);
    let (before, settings) = (lab.objects().await, matrix.eyes().settings().await);
    let most = wanted(KILLS.0).unwrap_or(KILLS.1);
    let victims = [Victim::Run(Job::Cold), Victim::Run(Job::Warm), Victim::Clean(Job::Cold)];
    let sum = table(&matrix.carry_out(&victims, Some(most), side_by_side()).await);
    assert_eq!(sum.leaks, 0);
    assert!(sum.littered > 0, "no kill left anything to clean up: the test tests nothing");
    assert_eq!(lab.objects().await, before);
    assert_eq!(matrix.eyes().settings().await, settings);
}
