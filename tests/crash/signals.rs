//! The ladder of interrupts at twenty moments: one, two and three SIGINT, SIGTERM, SIGHUP; what `timeout` and `nohup` do.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    support::{Lab, binary, junit, told},
    traces::{Eyes, wait_for_folder},
};

/// Moments in all.
const MOMENTS: usize = 20;

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is sent.
const LADDERS: [&[&str]; 6] = [&["INT"], &["INT", "INT"], &["INT", "INT", "INT"], &["TERM"], &["HUP"], &["HUP", "HUP"]];

/// Signals that are closer to each other are one interrupt.
const APART: Duration = Duration::from_millis(1100);

/// Whether the run tears down: a second hang-up changes nothing.
fn tears_down(ladder: &[&str]) -> bool {
    ladder.len() == 1 || ladder.iter().all(|signal| *signal == "HUP")
}

fn send(run: &Child, signal: &str) {
    // A process that has ended meanwhile is no mistake of this test: its exit code tells.
    let _ = Command::new("kill").args([&format!("-{signal}"), &run.id().to_string()]).stderr(Stdio::null()).status().unwrap();
}

/// Waits for what only another process can bring about, and no watch tells.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

struct Interrupted {
    code: Option<i32>,
    text: String,
    /// From the first signal to a report on the disk that knows of it.
    reported: Duration,
    folder: PathBuf,
    run: String,
}

/// The binary with SIGHUP as a terminal leaves it: tests that run under `nohup` would hand on that it is ignored.
fn heeding_hang_ups() -> Command {
    let inner = binary();
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP").arg(inner.get_program());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Starts a run, interrupts it as soon as it has passed so many points (0: at once), and waits for its end.
fn interrupt(lab: &Lab, number: usize, points: usize, ladder: &[&str], built_in: bool) -> Interrupted {
    let results = lab.path(&format!("signal-{number}"));
    let log = lab.path(&format!("signal-{number}.points"));
    let mut command = heeding_hang_ups();
    command
        .current_dir(&lab.folder)
        .args(["run", "sanity-cold", "sanity-warm", "--set", "cutover_delay=20s", "--results-dir"])
        .arg(&results);
    if built_in {
        command.arg("--lab");
    } else {
        command.args(["--kubeconfig", "lab/kubeconfig", "--providers", "lab/providers.toml", "--provider", "vsphere"]);
    }
    let mut run = command.env("MTV_TEST_KILL_LOG", &log).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (folder, id) = wait_for_folder(&mut run, &results);
    if points > 0 {
        until("its points", || (fs::read_to_string(&log).unwrap_or_default().lines().count() >= points).then_some(()));
    }
    let report = folder.join("junit-report.xml");
    let old = fs::read_to_string(&report).unwrap_or_default();
    let began = Instant::now();
    send(&run, ladder[0]);
    until("a report after the first signal", || {
        let new = fs::read_to_string(&report).unwrap_or_default();
        (new != old && new.ends_with("</testsuites>\n")).then_some(())
    });
    let reported = began.elapsed();
    let mut last = began;
    for signal in &ladder[1..] {
        // A run that has ended meanwhile needs no more of them.
        until("the next signal's time, or the end of the run", || {
            (last.elapsed() >= APART || run.try_wait().unwrap().is_some()).then_some(())
        });
        last = Instant::now();
        send(&run, signal);
    }
    let output = run.wait_with_output().unwrap();
    Interrupted { code: output.status.code(), text: told(&output), reported, folder, run: id }
}

/// Every planned case once, and what is counted is there.
fn check_report(path: &Path, which: &str) {
    let cases = junit(path);
    let names: BTreeSet<&String> = cases.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), cases.len(), "{which}: a case stands twice: {cases:?}");
    assert_eq!(cases.len(), 16, "{which}: set-up, teardown, and seven steps of two scenarios: {cases:?}");
    let text = fs::read_to_string(path).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let count = |node: roxmltree::Node<'_, '_>, tag: &str| node.descendants().filter(|n| n.has_tag_name(tag)).count().to_string();
    for node in document.descendants().filter(|n| n.has_tag_name("testsuite")) {
        for (attribute, tag) in [("tests", "testcase"), ("failures", "failure"), ("errors", "error")] {
            assert_eq!(node.attribute(attribute), Some(count(node, tag).as_str()), "{which}: {attribute}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ladder_of_interrupts_holds_at_twenty_moments() {
    let lab = Arc::new(Lab::start(&["--time-scale", "100"]));
    let eyes = Eyes::of(&lab).await;
    let before = lab.objects().await;
    let settings = eyes.settings().await;
    let mut slowest = Duration::ZERO;
    // A fixed seed, so that a failure can be repeated.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut moments = Vec::new();
    for number in 0..MOMENTS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let ladder = LADDERS[number % LADDERS.len()];
        // One in five plays in the built-in lab and is interrupted while that starts; the others somewhere from the first request
        // to the migration.
        let built_in = number % 5 == 4;
        let points = if built_in { 0 } else { 1 + usize::try_from(random % 160).unwrap() };
        moments.push((number, points, ladder, built_in));
    }
    for group in moments.chunks(4) {
        let runs = group.iter().map(|&(number, points, ladder, built_in)| {
            let lab = Arc::clone(&lab);
            tokio::task::spawn_blocking(move || (number, points, ladder, built_in, interrupt(&lab, number, points, ladder, built_in)))
        });
        for run in runs.collect::<Vec<_>>() {
            let (number, points, ladder, built_in, ended) = run.await.unwrap();
            let which = format!("moment {number}, {points} points, {ladder:?}, built-in lab: {built_in}");
            assert_eq!(ended.code, Some(2), "{which}: {}", ended.text);
            check_report(&ended.folder.join("junit-report.xml"), &which);
            slowest = slowest.max(ended.reported);
            if built_in {
                continue;
            }
            if tears_down(ladder) {
                assert_eq!(eyes.traces(&ended.run).await, Vec::<String>::new(), "{which}: {}", ended.text);
            } else {
                take_the_advice(&lab, &ended, &which);
                assert_eq!(eyes.traces(&ended.run).await, Vec::<String>::new(), "{which}: after clean");
            }
        }
    }
    assert_eq!(lab.objects().await, before);
    assert_eq!(eyes.settings().await, settings);
    println!("{MOMENTS} moments; the slowest report was on the disk {} ms after the first signal", slowest.as_millis());
}

/// `timeout` of GNU signals its child and then the whole group: that is one interrupt, at whatever moment it comes.
#[tokio::test(flavor = "multi_thread")]
async fn timeout_never_skips_the_teardown() {
    let lab = Arc::new(Lab::start(&["--time-scale", "20"]));
    let eyes = Eyes::of(&lab).await;
    let before = lab.objects().await;
    let settings = eyes.settings().await;
    let moments: Vec<u64> = (0..20).map(|number| 250 + 130 * number).collect();
    let mut torn_down = 0;
    for group in moments.chunks(4) {
        let runs = group.iter().map(|&moment| {
            let lab = Arc::clone(&lab);
            tokio::task::spawn_blocking(move || {
                let run = lab.run_into(&format!("timeout-{moment}"), &["sanity-cold", "sanity-warm", "--set", "cutover_delay=20s"]);
                let mut command = Command::new("timeout");
                command.arg(format!("{}.{:03}", moment / 1000, moment % 1000)).arg(run.get_program()).args(run.get_args());
                for (name, value) in run.get_envs() {
                    match value {
                        Some(value) => command.env(name, value),
                        None => command.env_remove(name),
                    };
                }
                (moment, command.current_dir(&lab.folder).output().unwrap())
            })
        });
        for run in runs.collect::<Vec<_>>() {
            let (moment, output) = run.await.unwrap();
            let text = told(&output);
            assert_eq!(output.status.code(), Some(124), "{moment} ms: the run ended before its time: {text}");
            assert!(!text.contains("skipping the teardown"), "{moment} ms: {text}");
            torn_down += usize::from(text.contains("SIGTERM: stopping, tearing down"));
        }
    }
    assert!(torn_down > 10, "only {torn_down} of {} runs were interrupted", moments.len());
    assert_eq!(lab.objects().await, before);
    assert_eq!(eyes.settings().await, settings);
}

#[test]
fn under_nohup_a_hangup_is_ignored() {
    let folder = tempfile::TempDir::new().unwrap();
    let (results, log) = (folder.path().join("results"), folder.path().join("points"));
    let mut command = Command::new("nohup");
    let own = binary();
    command.arg(own.get_program()).args(["run", "--lab", "sanity-cold", "--results-dir"]).arg(&results);
    command.current_dir(&folder).env("MTV_TEST_KILL_LOG", &log).env("NO_COLOR", "1").env_remove("ARTIFACT_DIR");
    let mut run = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_folder(&mut run, &results);
    until("its points", || (fs::read_to_string(&log).unwrap_or_default().lines().count() >= 20).then_some(()));
    send(&run, "HUP");
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
}

/// Carries out the command that an interrupted run prints, as it stands.
fn take_the_advice(lab: &Lab, ended: &Interrupted, which: &str) {
    let command = ended.text.lines().map(str::trim).find(|line| line.starts_with("mtv-test clean "));
    let Some(command) = command else {
        // The teardown was through already when the second signal came.
        assert!(!ended.text.contains("left behind"), "{which}: no command: {}", ended.text);
        return;
    };
    // Found by its name, as a user's shell does it.
    let folder = lab.path("bin");
    fs::create_dir_all(&folder).unwrap();
    let _already_there = std::os::unix::fs::symlink(binary().get_program(), folder.join("mtv-test"));
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh").args(["-c", command]).env("PATH", path).current_dir(&lab.folder).output().unwrap();
    assert!(output.status.success(), "{which}: {command}: {}", told(&output));
}
