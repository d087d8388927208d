//! Surroundings that cannot be used end with 7 and say how to go on.

use std::fs;

use tempfile::TempDir;

use crate::support::{Lab, binary, told};

#[test]
fn without_a_cluster_both_ways_on_are_said() {
    let folder = TempDir::new().unwrap();
    let output = binary().env("HOME", folder.path()).current_dir(folder.path()).args(["run", "-m", "tier0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(told(&output).contains("--kubeconfig") && told(&output).contains("--lab"), "{}", told(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_ends_with_7_and_creates_nothing() {
    let lab = Lab::start(&[]);
    let before = lab.objects().await;
    let profiles = fs::read_to_string(lab.path("lab/providers.toml")).unwrap();
    let secret = "Cn4ry\\\"q<&%-é";
    let wrong: String = profiles
        .lines()
        .map(|line| if line.starts_with("password") { format!("password = \"{secret}\"\n") } else { format!("{line}\n") })
        .collect();
    fs::write(lab.path("lab/providers.toml"), wrong).unwrap();
    let output = lab.run(&["-vv", "-m", "tier0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(!told(&output).contains("Cn4ry"), "the password was printed");
    assert_eq!(lab.objects().await, before);
    for file in ["junit-report.xml", "resources.json", "events.ndjson", "run.log"] {
        let text = fs::read_to_string(lab.path("results/latest").join(file)).unwrap();
        assert!(!text.contains("Cn4ry"), "the password is in {file}");
    }
}
