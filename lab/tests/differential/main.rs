//! The lab's Kubernetes API against a real kube-apiserver: one list of interactions, two servers, no difference but the
//! listed ones.
//!
//! Interactions are data (`interactions/*.yaml`, one namespace per file), differences with their reasons stand in
//! `differences.toml`. Uids, times and versions are removed before answers are compared.
#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

mod compare;
mod servers;
mod steps;

use std::process::ExitCode;

use mtv_testkit::{assets, async_cases, suite::Suite};
use servers::{Lab, Side};

async fn differential() {
    let Some(cluster) = mtv_testkit::RealCluster::start(mtv_testkit::Options::cleaning()).await.unwrap() else { return };
    let (real, lab) = (Side::real(&cluster), Lab::start().await);
    let definitions = mtv_testkit::crds::folder().map(|folder| mtv_testkit::crds::read(&folder).unwrap());
    if let Some(definitions) = &definitions {
        let client = cluster.client().await.unwrap();
        mtv_testkit::crds::install(&client, definitions).await.unwrap();
        // Kinds of the lab that the real definitions do not hold: discovery is compared as a whole.
        let named = |definition: &serde_json::Value| definition["metadata"]["name"].clone();
        let known: Vec<_> = definitions.iter().map(named).collect();
        let own = mtv_lab::kubernetes::definitions().into_iter().map(|(_, definition)| definition);
        let own: Vec<_> = own.filter(|definition| !known.contains(&named(definition))).collect();
        mtv_testkit::crds::install(&client, &own).await.unwrap();
    }
    let (folder, ours) = steps::folder();
    let files = steps::read(&folder);
    let (expected, found) = tokio::join!(steps::run(&real, &files), steps::run(&lab.side, &files));
    let total = expected.len();
    let differences = compare::Differences::read();
    let mut unlisted = Vec::new();
    let mut used = std::collections::BTreeSet::new();
    for (expected, found) in expected.iter().zip(&found) {
        for difference in compare::differences(expected, found) {
            match differences.listed(&difference.place) {
                Some(entry) => {
                    used.insert(entry);
                }
                None => unlisted.push(difference.to_string()),
            }
        }
    }
    println!("{total} interactions, {} listed differences, {} other", differences.len(), unlisted.len());
    assert!(unlisted.is_empty(), "the lab differs from kube-apiserver:\n{}", unlisted.join("\n"));
    let idle = differences.names_without(&used);
    // Without the real CRDs some differences do not show.
    assert!(idle.is_empty() || definitions.is_none() || !ours, "listed, but no difference any longer: {idle:?}");
    assert!(total >= 150 || !ours, "only {total} interactions");
}

fn main() -> ExitCode {
    Suite::new().with(assets::missing(&["etcd", "kube-apiserver"]), async_cases![differential]).run()
}
