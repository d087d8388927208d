//! Killed in the middle, interrupted once: nothing stays behind.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use mtv_api::kinds;

use crate::support::{Lab, junit, told};

/// Sends what ^C sends.
fn interrupt(run: &Child) {
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_kill_9_during_the_migration_clean_leaves_nothing() {
    let lab = Lab::start(&[]);
    let before = lab.objects().await;
    let mut run = lab.run(&["-m", "tier0"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    lab.wait_for(&kinds::PLAN, |plan| plan.data.pointer("/status/migration/started").is_some()).await;
    run.kill().unwrap();
    run.wait().unwrap();
    assert_ne!(lab.objects().await, before, "the run was killed too late to leave anything");
    let run = mtv_test::journal::read(&lab.path("results/latest/resources.json")).unwrap().header.unwrap().run;
    assert_ne!(lab.clones_of(&run).await, Vec::<String>::new(), "the run was killed before it had cloned anything");

    let text = std::fs::read_to_string(lab.path("results/latest/resources.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).expect("resources.json is no JSON after kill -9");
    let report = lab.path("results/latest/junit-report.xml");
    let cases = junit(&report);
    let ended = |wanted: &str| cases.iter().filter(|(_, ended)| ended == wanted).count();
    assert!((1..=4).contains(&ended("error")) && ended("skipped") > 0, "what was running is an error: {cases:?}");
    let text = std::fs::read_to_string(report).unwrap();
    assert!(text.contains("the run did not end; this scenario was running") && text.contains("not run: "), "{text}");
    let dry = lab.clean(&["--dry-run"]);
    assert!(told(&dry).contains("would cancel Migration") && told(&dry).contains("would delete VM "), "{}", told(&dry));
    assert_ne!(lab.objects().await, before, "a dry run deleted something");

    let clean = lab.clean(&[]);
    assert!(clean.status.success(), "{}", told(&clean));
    assert_eq!(lab.objects().await, before);
    assert_eq!(lab.clones_of(&run).await, Vec::<String>::new());
    let again = lab.clean(&[]);
    assert!(again.status.success() && told(&again).contains("nothing is left"), "{}", told(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_while_a_vm_is_cloned_leaves_no_clone() {
    // Slow enough that the clone is under way when the signal comes: 26 s of the data centre's time.
    let lab = Lab::start(&["--time-scale", "10"]);
    let mut run = lab.run(&["sanity-cold"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(run.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("prepare: started") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "the run ended before it had cloned anything");
    }
    interrupt(&run);
    std::io::copy(&mut stderr, &mut std::io::sink()).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(2));
    let journal = mtv_test::journal::read(&lab.path("results/latest/resources.json")).unwrap();
    assert!(journal.records.iter().any(|r| r.entry.to_string().starts_with("VM ")), "no clone was begun");
    assert_eq!(lab.clones_of(&journal.header.unwrap().run).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_interrupt_tears_down_and_the_report_is_whole() {
    let lab = Lab::start(&[]);
    let before = lab.objects().await;
    let run = lab.run(&["-m", "tier0"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    lab.wait_for(&kinds::PLAN, |plan| plan.data.pointer("/status/migration/started").is_some()).await;
    interrupt(&run);
    let waited = tokio::task::spawn_blocking(move || run.wait_with_output().unwrap());
    let output = tokio::time::timeout(Duration::from_mins(2), waited).await.expect("the run did not end after SIGINT").unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert_eq!(lab.objects().await, before, "{}", told(&output));
    let cases = junit(&lab.path("results/latest/junit-report.xml"));
    assert!(cases.iter().any(|(name, ended)| name.contains("migrate") && ended == "error"), "{cases:?}");
    assert!(cases.iter().any(|(name, ended)| name.contains("verify") && ended == "skipped"), "{cases:?}");
}
