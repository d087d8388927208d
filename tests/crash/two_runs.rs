//! Two processes on one cluster and one source.

use std::{fmt::Write as _, fs, process::Stdio};

use crate::{
    matrix::wanted,
    support::{Lab, told},
    traces::Eyes,
};

/// Scenarios of each process in an ordinary test run; all of them are the twenty of the promise.
const SAMPLE: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_never_disturb_each_other() {
    let lab = Lab::start(&["--time-scale", "400"]);
    let eyes = Eyes::of(&lab).await;
    let (before, settings) = (lab.objects().await, eyes.settings().await);
    let count = if wanted(0).is_none() { 20 } else { SAMPLE };
    let mut text = String::new();
    for number in 0..count {
        // A warm one in four changes the setting that both processes share; some use a namespace that both name.
        let warm = number % 4 == 1;
        writeln!(text, "[scenario.many-{number}]\ndescription = \"one of many\"\nwarm_migration = {warm}").unwrap();
        let shared = number % 4 == 2;
        if shared {
            text.push_str("vm_target_namespace = \"shared-by-both\"\n");
        }
        // With one adapter no network is needed that would have to lie in that namespace.
        let vm = if shared { "xcopy-template-test" } else { "mtv-tests-rhel8" };
        let power = if warm { "source_vm_power = \"on\"\n" } else { "" };
        writeln!(text, "[[scenario.many-{number}.virtual_machines]]\nname = \"{vm}\"\n{power}").unwrap();
    }
    fs::create_dir(lab.path("scenarios")).unwrap();
    fs::write(lab.path("scenarios/many.toml"), text).unwrap();
    let runs: Vec<_> = ["a", "b"]
        .map(|process| {
            let mut command = lab.run_into(&format!("results-{process}"), &["many-*", "--scenarios", "scenarios", "--jobs", "5"]);
            command.args(["--set", "cutover_delay=20s", "--set", "snapshots_interval=3m"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .into_iter()
        .map(|run| std::thread::spawn(move || run.wait_with_output().unwrap()))
        .collect();
    for run in runs {
        let output = tokio::task::spawn_blocking(move || run.join().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", told(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("{count} passed")), "{}", told(&output));
    }
    assert_eq!(lab.objects().await, before);
    assert_eq!(eyes.settings().await, settings);
    println!("2 processes, {count} scenarios each, all passed, nothing left");
}
