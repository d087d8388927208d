//! A disk that is full: what cannot be written down is not made.

use std::{fs, process::Command};

use crate::{
    clean::killed,
    support::{Lab, binary, told},
    traces::{Eyes, only_run},
};

/// Sizes at which files stop to grow, in blocks of 512 bytes: in the journal's first records, between two, late in the run.
const LIMITS: [u32; 4] = [1, 3, 6, 10];

/// The binary, with files that stop to grow.
fn limited(limit: u32) -> Command {
    let mut command = Command::new("sh");
    // SIGXFSZ would kill; ignored, the write fails as it does on a full disk.
    command.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", &limit.to_string()]);
    command.arg(binary().get_program());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_nothing_behind() {
    let lab = Lab::start(&["--time-scale", "400"]);
    let eyes = Eyes::of(&lab).await;
    let before = lab.objects().await;
    let mut told_so = 0;
    for limit in LIMITS {
        let results = format!("results-{limit}");
        let mut command = limited(limit);
        command.args(["run", "sanity-cold", "--kubeconfig", "lab/kubeconfig", "--providers", "lab/providers.toml"]);
        command.args(["--provider", "vsphere", "--results-dir", &results]).env("NO_COLOR", "1").current_dir(&lab.folder);
        let output = command.output().unwrap();
        assert!(!output.status.success(), "limit {limit}: {}", told(&output));
        // What the summary says is what the process ends with, and a full disk is nobody's bug.
        let code = output.status.code();
        assert!(code.is_some_and(|code| ![3, 101].contains(&code)), "limit {limit}: {}", told(&output));
        let summary = String::from_utf8_lossy(&output.stdout).into_owned();
        let shown = summary.lines().find_map(|line| line.trim().strip_prefix("Exit code ")?.split(':').next()?.parse().ok());
        assert!(shown.is_none() || shown == code, "limit {limit}: {}", told(&output));
        told_so += u32::from(told(&output).contains("the journal") && told(&output).contains("File too large"));
        assert_eq!(lab.objects().await, before, "limit {limit}: {}", told(&output));
        if let Some((folder, run)) = only_run(&lab.path(&results)) {
            assert_eq!(eyes.traces(&run).await, Vec::<String>::new(), "limit {limit}");
            let journal = folder.join("resources.json");
            if journal.is_file() {
                mtv_test::journal::read(&journal).unwrap_or_else(|e| panic!("limit {limit}: {e:#}: {:?}", fs::read_to_string(&journal)));
            }
        }
    }
    assert!(told_so > 0, "no run said that the journal could not be written");
    println!("{} full disks, {told_so} told of the journal, nothing left", LIMITS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_written_is_enough_to_clean_up() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let eyes = Eyes::of(&lab).await;
    let (before, settings) = (lab.objects().await, eyes.settings().await);
    let (folder, run) = killed(&lab, "results", "sanity-warm").await;
    assert!(!eyes.traces(&run).await.is_empty());
    let journal = folder.join("resources.json");
    let text = fs::read(&journal).unwrap();
    let clean = |limit| {
        let mut command = limited(limit);
        command.arg("clean").arg(&journal).args(["--kubeconfig", "lab/kubeconfig", "--providers", "lab/providers.toml"]);
        command.env("NO_COLOR", "1").current_dir(&lab.folder).output().unwrap()
    };
    let output = clean(1);
    assert!(output.status.success(), "{}", told(&output));
    assert!(told(&output).contains("File too large") && told(&output).contains("will not be noted there"), "{}", told(&output));
    assert_eq!(eyes.traces(&run).await, Vec::<String>::new(), "{}", told(&output));
    assert_eq!((lab.objects().await, eyes.settings().await), (before, settings));
    assert_eq!(fs::read(&journal).unwrap(), text, "the file was changed");
    let again = clean(1);
    assert!(again.status.success(), "{}", told(&again));
}
