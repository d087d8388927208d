//! SIGKILL at every point of runs from every source, cold and warm, with copies by a storage array, with what they change of
//! others' things, and of `clean`; then `clean`: nothing is left, nothing foreign is gone.

use std::sync::Arc;

use kube::api::{DynamicObject, PostParams};
use mtv_api::kinds;
use serde_json::json;

use crate::{
    matrix::{Matrix, Victim, side_by_side, table, wanted},
    support::Lab,
};

/// Kills in an ordinary test run.
const SAMPLE: usize = 34;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_point_clean_leaves_nothing_and_takes_nothing_foreign() {
    let lab = Arc::new(Lab::start(&["--time-scale", "400"]));
    let matrix = Arc::new(Matrix::new(Arc::clone(&lab)).await);
    let eyes = matrix.eyes();
    // Somebody else's, in every way like ours but for the run.
    for number in 0..10 {
        let labels = json!({"mtv-test.io/run": format!("foreign{number:03}"), "app.kubernetes.io/managed-by": "mtv-test"});
        let name = format!("mtv-test-foreign{number:03}");
        let body = json!({"metadata": {"name": name, "labels": labels}});
        let namespace: DynamicObject = serde_json::from_value(body).unwrap();
        eyes.api(&kinds::NAMESPACE, None).create(&PostParams::default(), &namespace).await.unwrap();
        let body = json!({"metadata": {"name": "vsphere-credentials", "namespace": name, "labels": labels}, "stringData": {"a": "b"}});
        let secret: DynamicObject = serde_json::from_value(body).unwrap();
        eyes.api(&kinds::SECRET, Some(&name)).create(&PostParams::default(), &secret).await.unwrap();
    }
    let (before, settings, beside) = (lab.objects().await, eyes.settings().await, eyes.beside().await);
    let another = lab.source_objects().await;
    let most = wanted(SAMPLE);
    let tallies = matrix.carry_out(&victims(), most, side_by_side()).await;
    let sum = table(&tallies);
    assert_eq!(sum.leaks, 0);
    assert!(sum.killed * 10 >= (sum.killed + sum.not_reached) * 8, "too few processes came to their point");
    assert!(sum.littered > 0, "no kill left anything to clean up: the test tests nothing");
    assert_eq!(lab.objects().await, before);
    assert_eq!(lab.source_objects().await, another);
    assert_eq!(eyes.settings().await, settings);
    assert_eq!(eyes.beside().await, beside);
}

/// All victims, or those that `MTV_TEST_VICTIMS` names as they are printed: `Run(Ovirt) Clean(Cold)`.
fn victims() -> Vec<Victim> {
    let Ok(names) = std::env::var("MTV_TEST_VICTIMS") else { return Victim::ALL.to_vec() };
    let named = |name: &str| *Victim::ALL.iter().find(|v| format!("{v:?}") == name).unwrap_or_else(|| panic!("no victim is called {name}"));
    names.split_whitespace().map(named).collect()
}
