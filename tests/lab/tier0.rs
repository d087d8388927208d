//! The main job: tier0, cold and warm, in the lab of the process and in one of another process.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Lab, binary, junit, not_well, told};

/// Bounds of the requests that one scenario may cost. The suite that this tool replaces makes 269 and 159.
const REQUESTS: [(&str, u64); 2] = [("kubernetes", 60), ("vsphere", 30)];

/// Before a namespace is deleted, every kind in it is listed: so many requests, once for the run's own namespace and once for each
/// that the two comprehensive scenarios have for themselves. One that changes while it is looked at is looked at once more.
const LOOKS: u64 = 2 * 3 * 60;

#[test]
fn tier0_passes_in_the_built_in_lab() {
    let folder = TempDir::new().unwrap();
    let output = binary().current_dir(folder.path()).args(["run", "--lab", "--marker", "tier0"]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let latest = folder.path().join("mtv-test-results/latest");
    let cases = junit(&latest.join("junit-report.xml"));
    assert!(cases.len() >= 14, "{cases:?}");
    assert!(not_well(&cases).is_empty(), "{cases:?}");
    assert!(latest.join("run.log").is_file());

    let events = std::fs::read_to_string(latest.join("events.ndjson")).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scenarios = events.iter().filter(|e| e["event"] == "scenario_finished").count() as u64;
    // sanity, comprehensive and post-hook; the bounds below are for one scenario on the average.
    assert_eq!(scenarios, 5);
    let finished = events.iter().find(|e| e["event"] == "run_finished").unwrap();
    for (service, bound) in REQUESTS {
        let requests = finished["requests"].as_object().unwrap();
        let sum: u64 = requests.iter().filter(|(name, _)| name.starts_with(service)).map(|(_, n)| n.as_u64().unwrap()).sum();
        let looks = if service == "kubernetes" { LOOKS } else { 0 };
        assert!(sum > 0 && sum <= bound * scenarios + looks, "{service}: {sum} requests for {scenarios} scenarios: {requests:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_from_another_process_does_the_same_and_leaves_nothing() {
    let lab = Lab::start(&[]);
    let before = lab.objects().await;
    let output = lab.run(&["-m", "tier0"]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(lab.objects().await, before);
    let again = lab.clean(&[]);
    assert!(again.status.success() && told(&again).contains("nothing is left"), "{}", told(&again));
}
