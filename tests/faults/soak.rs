//! Many scenarios at once while one request in twenty goes wrong, on every server of the lab.
//!
//! The small edition runs with all tests. The full one, 500 scenarios with `-j 50`, needs some minutes:
//!
//! ```text
//! MTV_TEST_SOAK=500 cargo test --test faults soak -- --nocapture
//! ```

use std::{fmt::Write as _, fs, path::Path, process::Stdio, time::Duration};

use serde_json::Value;

use crate::support::{Lab, junit, told};

/// Scenarios of the small edition.
const SMALL: usize = 6;
/// From so many scenarios on memory is judged.
const JUDGED: usize = 100;
/// What a scenario may add to the memory of a run, KiB: its verdicts, its place in the journal and in the reports.
const KIB_EACH: usize = 160;

/// One request in twenty, everywhere. The chances add up to 0.05 for requests; each watch ends early.
const FAULTS: &str = r#"
[faults]
seed = 4711

[[faults.requests]]
effect = "status"
status = 503
probability = 0.010

[[faults.requests]]
effect = "status"
status = 429
retry_after = 1
probability = 0.005

[[faults.requests]]
effect = "status"
status = 500
probability = 0.005

[[faults.requests]]
effect = "status"
status = 504
committed = true
probability = 0.008

[[faults.requests]]
effect = "close"
probability = 0.007

[[faults.requests]]
effect = "close"
committed = true
probability = 0.005

[[faults.requests]]
effect = "reset"
probability = 0.005

[[faults.requests]]
effect = "garble"
probability = 0.002

[[faults.requests]]
effect = "stall"
seconds = 2.0
probability = 0.003

[[faults.requests]]
server = "kubernetes"
verb = "watch"
effect = "expire"
every = 5

[[faults.requests]]
server = "kubernetes"
verb = "watch"
effect = "drop"
seconds = 3.0
"#;

/// Families of built-in scenarios that the soak is made of: cold and warm, with hooks that succeed and fail, with most of what a
/// Plan can say, in namespaces and on nodes of their own.
const FAMILIES: [&str; 4] = ["sanity", "warm", "hooks", "comprehensive"];

/// So many scenarios, made of the built-in ones in turn.
fn scenarios(count: usize) -> String {
    let family = |name: &&str| -> toml::Table {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/{name}.toml"));
        let family: toml::Table = fs::read_to_string(file).unwrap().parse().unwrap();
        family["scenario"].as_table().unwrap().clone()
    };
    let built_in: Vec<(String, toml::Value)> = FAMILIES.iter().flat_map(family).collect();
    let mut out = toml::Table::new();
    for (number, (name, scenario)) in (0..count).zip(built_in.iter().cycle()) {
        let mut scenario = scenario.as_table().unwrap().clone();
        scenario.remove("aliases");
        scenario.insert("markers".to_owned(), toml::Value::Array(vec!["soak".into()]));
        out.insert(format!("{name}-{number}"), scenario.into());
    }
    toml::to_string(&toml::Table::from_iter([("scenario".to_owned(), out.into())])).unwrap()
}

/// Resident memory of a process, KiB.
fn memory(process: u32) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches(" kB").parse().ok()
}

/// Median of the samples between two parts of the time.
fn level(samples: &[usize], from: f64, to: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a length")]
    let at = |part: f64| (samples.len() as f64 * part) as usize;
    let mut some = samples[at(from)..at(to).max(at(from) + 1).min(samples.len())].to_vec();
    some.sort_unstable();
    some[some.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn soak() {
    let count: usize = std::env::var("MTV_TEST_SOAK").ok().and_then(|n| n.parse().ok()).unwrap_or(SMALL);
    let jobs = (count / 2).clamp(2, 50).to_string();
    let place = tempfile::TempDir::new().unwrap();
    let datacenter = place.path().join("datacenter.toml");
    fs::write(&datacenter, format!("{}\n{FAULTS}", mtv_lab::datacenter::DEFAULT)).unwrap();
    let folder = place.path().join("scenarios");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("soak.toml"), scenarios(count)).unwrap();
    let lab = Lab::start(&["--datacenter", datacenter.to_str().unwrap(), "--time-scale", "100"]);
    let before = lab.objects().await;
    let mut command = lab.run(&["-m", "soak", "-j", &jobs, "--scenarios", folder.to_str().unwrap()]);
    let started = std::time::Instant::now();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (run, of_lab) = (child.id(), lab.process());
    let waiting = std::thread::spawn(move || child.wait_with_output().unwrap());
    let mut samples = (Vec::new(), Vec::new());
    while !waiting.is_finished() {
        samples.0.extend(memory(run));
        samples.1.extend(memory(of_lab));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let output = waiting.join().unwrap();
    let took = started.elapsed();

    let latest = lab.path("results/latest");
    let events = fs::read_to_string(latest.join("events.ndjson")).unwrap_or_else(|e| panic!("no events: {e}: {}", told(&output)));
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let run_id = events[0]["run"].as_str().unwrap().to_owned();
    let verdict = |wanted: &str| events.iter().filter(|e| e["event"] == "scenario_finished" && e["verdict"] == wanted).count();
    let (passed, failed, errored, skipped) = (verdict("passed"), verdict("failed"), verdict("errored"), verdict("skipped"));
    let rules = lab.fault(&["list"]);
    let count_of = |key: &str| -> Vec<u64> {
        rules["rules"].as_array().unwrap().iter().filter(|r| r["verb"].is_null()).map(|r| r[key].as_u64().unwrap()).collect()
    };
    // The first rule sees every request.
    let (seen, done) = (count_of("seen")[0], count_of("done").into_iter().sum::<u64>());
    let mut wrong = String::new();
    for (name, ended) in junit(&latest.join("junit-report.xml")) {
        if ended != "passed" {
            let _ = writeln!(wrong, "{name}: {ended}");
        }
    }
    let levels = |samples: &[usize]| (level(samples, 0.4, 0.5) / 1024, level(samples, 0.9, 1.0) / 1024);
    println!(
        "soak: {count} scenarios, -j {jobs}, {took:.0?}: {passed} passed, {failed} failed, {errored} errored, {skipped} skipped; \
         {done} of {seen} requests went wrong; memory in the middle and at the end: run {:?} MiB, lab {:?} MiB",
        levels(&samples.0),
        levels(&samples.1),
    );
    assert_eq!(passed + failed + errored + skipped, count, "{}", told(&output));
    assert_eq!(passed, count, "{wrong}\n{}", told(&output));
    assert!(output.status.success(), "{}", told(&output));
    assert!(done > 0);
    assert_eq!(lab.objects().await, before);
    lab.fault(&["clear"]);
    assert_eq!(lab.clones_of(&run_id).await, Vec::<String>::new());
    if count >= JUDGED {
        let (middle, end) = (level(&samples.0, 0.4, 0.5), level(&samples.0, 0.9, 1.0));
        assert!(end <= middle + count / 2 * KIB_EACH, "the run grew from {middle} to {end} KiB");
    }
}
