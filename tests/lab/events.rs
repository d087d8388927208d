//! `events.ndjson` of real runs: every line is of the published format, and every report can be made again from it alone.

use std::{collections::BTreeMap, fs, path::Path};

use mtv_test::report::{
    junit::{self, Detail},
    model::Run,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{binary, told};

/// A data centre in which the memory of two migrated VMs is wrong.
const WRONG_MEMORY: &str = r#"
[[faults.objects]]
resource = "virtualmachines"
object = "*sanity-cold*"
set = { "/spec/template/spec/domain/memory/guest" = "512Mi" }

[[faults.objects]]
resource = "virtualmachines"
object = "*rhel8*"
set = { "/spec/template/spec/domain/memory/guest" = "512Mi" }
"#;

fn events(results: &Path) -> Vec<Value> {
    let text = fs::read_to_string(results.join("events.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Holds each line against `schemas/events.json`, and the reports against those that the events give again.
fn judge(results: &Path, detail: Detail) -> Vec<Value> {
    let events = events(results);
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    let schema = compiler.compile(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/events.json"), &mut schemas).unwrap();
    for event in &events {
        if let Err(error) = schemas.validate(event, schema) {
            panic!("{event}: {error:#}");
        }
    }
    // Or the schema would accept anything.
    for wrong in [r#"{"v":1}"#.to_owned(), events[0].to_string().replace("run_started", "run_begun")] {
        assert!(schemas.validate(&serde_json::from_str(&wrong).unwrap(), schema).is_err(), "{wrong} was accepted");
    }
    let run = Run::read(&results.join("events.ndjson")).unwrap();
    let written = fs::read_to_string(results.join("junit-report.xml")).unwrap();
    assert_eq!(junit::render(&run, detail).unwrap(), written, "the report cannot be produced again from the events");
    events
}

fn count(events: &[Value]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event["event"].as_str().unwrap()).or_default() += 1;
    }
    counts
}

#[test]
fn tier0_reports_every_check_stage_and_object_as_data() {
    let folder = TempDir::new().unwrap();
    let output = binary()
        .current_dir(&folder)
        .args(["run", "--lab", "-m", "tier0", "--results-dir", "r", "--junit-xml", "second/copy.xml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let results = folder.path().join("r/latest");
    let events = judge(&results, Detail::Check);
    let counts = count(&events);
    for kind in [
        "migration_started",
        "migration_finished",
        "stage_started",
        "stage_finished",
        "disk_progress",
        "precopy_finished",
        "cutover_set",
        "condition_changed",
        "created",
        "deleted",
        "cloned",
        "check_finished",
    ] {
        assert!(counts.contains_key(kind), "no {kind}: {counts:?}");
    }
    // Where nothing goes wrong nothing is asked twice: one request in vain with all its repetitions takes a minute.
    assert!(!counts.contains_key("retried"), "{:?}", events.iter().filter(|event| event["event"] == "retried").collect::<Vec<_>>());
    assert_eq!(counts["stage_started"], counts["stage_finished"], "{counts:?}");
    assert_eq!(counts["migration_started"], counts["migration_finished"], "{counts:?}");
    for event in events.iter().filter(|event| event["event"] == "check_finished") {
        let evidence = event["evidence"].as_array().map_or(0, Vec::len);
        match event["verdict"].as_str() {
            Some("passed") => assert!(evidence > 0, "{event}"),
            Some("skipped") => assert!(event["reason"].is_string(), "{event}"),
            other => panic!("{other:?}: {event}"),
        }
        assert!(event["vm"]["source"].is_string() && event["vm"]["target"].is_string(), "{event}");
    }
    let (first, second) = (results.join("junit-report.xml"), folder.path().join("second/copy.xml"));
    assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
    for file in [first, second] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    let log = fs::read_to_string(results.join("run.log")).unwrap();
    assert!(!log.contains("{\"event\"") && log.contains("DiskTransfer"), "run.log is for people");
}

#[test]
fn a_wrong_memory_is_one_failed_check_and_one_failed_case() {
    for (arguments, detail, name) in [
        (&[] as &[&str], Detail::Check, "sanity-cold/verify/mtv-tests-rhel8/memory"),
        (&["--junit-detail", "step"], Detail::Step, "sanity-cold/verify"),
    ] {
        let folder = TempDir::new().unwrap();
        let datacenter = mtv_lab::datacenter::DEFAULT.to_owned() + WRONG_MEMORY;
        fs::write(folder.path().join("dc.toml"), datacenter).unwrap();
        let output = binary()
            .current_dir(&folder)
            .args(["run", "--lab", "sanity-cold", "--datacenter", "dc.toml", "--results-dir", "r"])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        let events = judge(&folder.path().join("r/latest"), detail);
        let failed: Vec<&Value> =
            events.iter().filter(|event| event["event"] == "check_finished" && event["verdict"] == "failed").collect();
        assert_eq!(failed.len(), 1, "{failed:?}");
        assert_eq!((failed[0]["check"].as_str(), failed[0]["findings"][0]["unit"].as_str()), (Some("memory"), Some("MiB")));
        let report = fs::read_to_string(folder.path().join("r/latest/junit-report.xml")).unwrap();
        let document = roxmltree::Document::parse(&report).unwrap();
        let failures: Vec<_> = document.descendants().filter(|node| node.has_tag_name("failure")).collect();
        assert_eq!(failures.len(), 1, "{report}");
        assert_eq!(failures[0].parent().unwrap().attribute("name"), Some(name));
    }
}

#[test]
fn a_second_report_that_cannot_be_written_is_refused_before_anything_runs() {
    let folder = TempDir::new().unwrap();
    let output = binary().current_dir(&folder).args(["run", "--lab", "sanity-cold", "--junit-xml", "."]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    assert!(told(&output).contains("--junit-xml") && told(&output).contains("hint"), "{}", told(&output));
    assert!(!folder.path().join("mtv-test-results").exists());
}
