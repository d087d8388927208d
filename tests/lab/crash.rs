//! Killed in the middle, interrupted once: nothing stays behind.

use std::{process::Stdio, time::Duration};

use mtv_api::kinds;

use crate::support::{Lab, junit, told};

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_during_the_migration_clean_leaves_nothing() {
    let lab = Lab::start(&[]);
    let before = lab.objects().await;
    let mut run = lab.run(&["-m", "tier0"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    lab.wait_for(&kinds::PLAN, |plan| plan.data.pointer("/status/migration/started").is_some()).await;
    run.kill().unwrap();
    run.wait().unwrap();
    assert_ne!(lab.objects().await, before, "the run was killed too late to leave anything");

    let text = std::fs::read_to_string(lab.path("results/latest/resources.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).expect("resources.json is no JSON after kill -9");
    let dry = lab.clean(&["--dry-run"]);
    assert!(told(&dry).contains("would cancel Migration") && told(&dry).contains("would delete VM "), "{}", told(&dry));
    assert_ne!(lab.objects().await, before, "a dry run deleted something");

    let clean = lab.clean(&[]);
    assert!(clean.status.success(), "{}", told(&clean));
    assert_eq!(lab.objects().await, before);
    let again = lab.clean(&[]);
    assert!(again.status.success() && told(&again).contains("nothing is left"), "{}", told(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_interrupt_tears_down_and_the_report_is_whole() {
    let lab = Lab::start(&[]);
    let before = lab.objects().await;
    let run = lab.run(&["-m", "tier0"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    lab.wait_for(&kinds::PLAN, |plan| plan.data.pointer("/status/migration/started").is_some()).await;
    let pid = run.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let waited = tokio::task::spawn_blocking(move || run.wait_with_output().unwrap());
    let output = tokio::time::timeout(Duration::from_mins(2), waited).await.expect("the run did not end after SIGINT").unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert_eq!(lab.objects().await, before, "{}", told(&output));
    let cases = junit(&lab.path("results/latest/junit-report.xml"));
    assert!(cases.iter().any(|(name, ended)| name.contains("migrate") && ended == "error"), "{cases:?}");
    assert!(cases.iter().any(|(name, ended)| name.contains("verify") && ended == "skipped"), "{cases:?}");
}
