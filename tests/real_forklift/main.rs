//! A real forklift-controller with its inventory in place of the lab's: on the lab's own API, and on a real kube-apiserver
//! with kube-controller-manager. The lab's kubelet, CDI and KubeVirt must write what it needs.
//!
//! The controller is not built here. Whoever has one puts it into the assets folder as `forklift-controller`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop, and the place says enough")]

#[path = "../lab/support.rs"]
#[allow(dead_code, reason = "each of the tests that share it uses a part")]
mod support;

use std::{fs, process::ExitCode};

use mtv_testkit::{Options, Process, RealCluster, assets, async_cases, crds, forklift, suite::Suite};
use serde_json::Value;

use crate::support::{Lab, junit, not_well, told};

/// What the lab leaves to the kube-controller-manager.
const CONTROLLERS: [&str; 6] = [
    "namespace-controller",
    "garbage-collector-controller",
    "job-controller",
    "persistentvolume-binder-controller",
    "persistentvolumeclaim-protection-controller",
    "persistentvolume-protection-controller",
];
/// The controller looks every three real seconds; the others need not be much faster.
const SCALE: &str = "10";

/// Starts the controller beside a lab that has none.
fn controller(lab: &Lab) -> Process {
    let info: Value = serde_json::from_slice(&fs::read(lab.path("lab/lab.json")).unwrap()).unwrap();
    let ca = lab.path("lab/ca.pem");
    fs::write(&ca, info["ca_pem"].as_str().unwrap()).unwrap();
    let port = info["inventory"].as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    let folder = lab.path("lab");
    let beside = forklift::Lab {
        folder: &folder,
        inventory_port: port,
        ca: &ca,
        namespace: info["mtv_namespace"].as_str().unwrap(),
        precopy_interval: 1,
    };
    forklift::controller(&beside).unwrap().expect("it was there a moment ago")
}

async fn tier0(lab: &Lab) {
    let controller = tokio::task::block_in_place(|| controller(lab));
    let before = lab.objects().await;
    let output = lab.run(&["-m", "tier0", "--set", "cutover_delay=90s"]).output().unwrap();
    assert!(output.status.success(), "{}\n--- forklift-controller\n{}", told(&output), controller.tail());
    let cases = junit(&lab.path("results/latest/junit-report.xml"));
    assert!(cases.len() >= 14, "{cases:?}");
    assert!(not_well(&cases).is_empty(), "{cases:?}");
    assert_eq!(lab.objects().await, before);
}

async fn tier0_passes_on_the_labs_api() {
    let lab = tokio::task::block_in_place(|| Lab::start(&["--roles=-forklift,-inventory", "--time-scale", SCALE]));
    tier0(&lab).await;
}

async fn tier0_passes_on_a_real_api() {
    let options = Options { controllers: CONTROLLERS.to_vec(), ..Options::default() };
    let Some(cluster) = RealCluster::start(options).await.unwrap() else { return };
    if let Some(folder) = crds::folder() {
        crds::install(&cluster.client().await.unwrap(), &crds::read(&folder).unwrap()).await.unwrap();
    }
    let kubeconfig = cluster.kubeconfig().to_str().unwrap().to_owned();
    let options = ["--apiserver", &kubeconfig, "--roles=-forklift,-inventory", "--time-scale", SCALE];
    let lab = tokio::task::block_in_place(|| Lab::start(&options));
    tier0(&lab).await;
}

fn main() -> ExitCode {
    Suite::new()
        .with(assets::missing_even_here(&["forklift-controller"]), async_cases![tier0_passes_on_the_labs_api, tier0_passes_on_a_real_api])
        .run()
}
