//! The reports, fed by the fake workload: valid at every moment, and pinned as a user sees them.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use super::{
    console::{ConsoleOptions, ConsoleSink},
    junit::{Detail, JunitSink, render},
    model::Run,
    ndjson::NdjsonSink,
    screen::Screen,
    *,
};
use crate::{
    checks::{CheckResult, CheckVerdict, CheckedVm, Finding},
    diagnosis::{Diagnosis, Id},
    engine::{
        Closed, Leftover, Options, PlannedRun,
        fake::{Act, Fake, drive, scenario},
    },
    events::{Event, PlannedScenario, Verdict},
};

/// What the schema of Jenkins' xUnit plugin (junit-10) allows: per element its attributes (`!` = required) and children.
const SCHEMA: &[(&str, &[&str], &[&str])] = &[
    ("testsuites", &["name", "time", "tests", "failures", "errors"], &["testsuite"]),
    (
        "testsuite",
        &[
            "name!",
            "tests!",
            "failures!",
            "errors!",
            "group",
            "time",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
            "file",
            "log",
            "url",
        ],
        &["testsuite", "properties", "testcase", "system-out", "system-err"],
    ),
    ("properties", &[], &["property"]),
    ("property", &["name!", "value!"], &[]),
    (
        "testcase",
        &["name!", "time", "classname", "group"],
        &["skipped", "error", "failure", "rerunFailure", "rerunError", "flakyFailure", "flakyError", "system-out", "system-err"],
    ),
    ("failure", &["type", "message"], &["#text"]),
    ("error", &["type", "message"], &["#text"]),
    ("skipped", &["type", "message"], &["#text"]),
    ("system-out", &[], &["#text"]),
    ("system-err", &[], &["#text"]),
];

/// Checks a report against the schema, its totals against its cases, and that case names are unique. Returns the number of cases.
fn validate(xml: &str) -> usize {
    let document = roxmltree::Document::parse(xml).unwrap_or_else(|error| panic!("{error}\n{xml}"));
    assert_eq!(document.root_element().tag_name().name(), "testsuites");
    for node in document.descendants().filter(roxmltree::Node::is_element) {
        let name = node.tag_name().name();
        let (_, attributes, children) = SCHEMA.iter().find(|(n, ..)| *n == name).unwrap_or_else(|| panic!("element {name}"));
        for attribute in node.attributes() {
            let known = attributes.iter().any(|a| a.trim_end_matches('!') == attribute.name());
            assert!(known, "<{name} {}> is not in the schema", attribute.name());
        }
        for required in attributes.iter().filter_map(|a| a.strip_suffix('!')) {
            assert!(node.attribute(required).is_some(), "<{name}> lacks {required}");
        }
        for child in node.children() {
            let kind = if child.is_text() { "#text" } else { child.tag_name().name() };
            let blank = child.text().is_some_and(|t| t.trim().is_empty()) && child.is_text();
            assert!(blank || children.contains(&kind), "<{name}> holds {kind}");
        }
        if let (Some(time), true) = (node.attribute("time"), name != "testcase") {
            let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
            assert!(whole.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit()), "time {time}");
        }
        if name == "testsuite" {
            let cases = node.children().filter(|c| c.has_tag_name("testcase"));
            let with = |tag: &str| cases.clone().filter(|c| c.children().any(|x| x.has_tag_name(tag))).count().to_string();
            let total = |attribute: &str| node.attribute(attribute).unwrap_or_default().to_owned();
            assert_eq!(total("tests"), cases.clone().count().to_string());
            assert_eq!((total("failures"), total("errors"), total("skipped")), (with("failure"), with("error"), with("skipped")));
        }
    }
    let mut names: Vec<&str> =
        document.descendants().filter(|n| n.has_tag_name("testcase")).map(|n| n.attribute("name").unwrap_or_default()).collect();
    let cases = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), cases, "names are unique");
    cases
}

/// If the process dies after any event, the report of that moment is valid and has every case. Looks at each `stride`-th event
/// and at the last.
pub(crate) fn every_prefix_is_valid(events: &[Event], stride: usize) {
    let mut run = Run::default();
    let mut cases = None;
    for (number, event) in events.iter().enumerate() {
        run.apply(event);
        if number % stride != 0 && number + 1 < events.len() {
            continue;
        }
        let now = validate(&render(&run, Detail::Check).unwrap());
        assert_eq!(*cases.get_or_insert(now), now);
    }
}

fn fold(events: &[Event]) -> Run {
    let mut run = Run::default();
    for event in events {
        run.apply(event);
    }
    run
}

const STEPS: &[&str] = &["prepare", "migrate", "verify", "clean_up!"];

/// A run with every outcome that does not end it.
async fn mixed() -> Vec<Event> {
    let acts = [((1, 2), Act::Fail), ((2, 0), Act::Error), ((3, 1), Act::Panic), ((4, 1), Act::Deaf), ((0, 1), Act::Pass(12))];
    let left = vec![Leftover { object: "Plan mig/x".into(), reason: "finalizer `a/b` is still there".into() }];
    let fake = Arc::new(Fake { left, ..Fake::new(acts) });
    let names = ["sanity-cold", "sanity-warm", "no-source", "defect", "too-slow"];
    let mut scenarios: Vec<PlannedRun> = names.iter().map(|name| scenario(name, STEPS)).collect();
    scenarios.push(PlannedRun { closed: Some(Closed::Skip("needs a source of type ovirt".into())), ..scenario("ovirt-only", STEPS) });
    let options = Options { jobs: 1, results: "results/20260101T000000Z-r1".into(), ..Options::default() };
    drive(&fake, scenarios, options, &[]).await.1
}

async fn interrupted(moments: &[u64]) -> Vec<Event> {
    let fake = Arc::new(Fake { tear_down: Act::Hang, ..Fake::new([((0, 1), Act::Hang)]) });
    let scenarios = vec![scenario("sanity-cold", STEPS), scenario("sanity-warm", STEPS)];
    let options = Options { jobs: 1, results: "results/20260101T000000Z-r1".into(), ..Options::default() };
    drive(&fake, scenarios, options, moments).await.1
}

/// Compares a report with its snapshot. The times of log lines are real ones.
macro_rules! snapshot {
    ($text:expr) => {
        insta::with_settings!({ filters => vec![(r"\[ *[0-9]+\.[0-9]s\]", "[time]")] }, { insta::assert_snapshot!($text) })
    };
}

#[tokio::test(start_paused = true)]
async fn junit_of_every_outcome() {
    let events = mixed().await;
    every_prefix_is_valid(&events, 1);
    snapshot!(render(&fold(&events), Detail::Check).unwrap());
}

#[tokio::test(start_paused = true)]
async fn junit_of_an_interrupted_run() {
    let events = interrupted(&[1000, 3000]).await;
    every_prefix_is_valid(&events, 1);
    snapshot!(render(&fold(&events), Detail::Check).unwrap());
}

#[tokio::test(start_paused = true)]
async fn junit_of_a_run_without_set_up() {
    let fake = Arc::new(Fake { set_up: Act::Error, ..Fake::new([]) });
    let events = drive(&fake, vec![scenario("sanity-cold", &["prepare"])], Options::default(), &[]).await.1;
    every_prefix_is_valid(&events, 1);
    snapshot!(render(&fold(&events), Detail::Check).unwrap());
}

/// A writer that tests can read.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What the console shows: progress, then the summary.
fn console(events: &[Event], options: ConsoleOptions) -> (String, String) {
    let (progress, summary) = (Paper::default(), Paper::default());
    let mut sink = ConsoleSink::new(Screen::to(progress.clone()), summary.clone(), options);
    let mut run = Run::default();
    for event in events {
        run.apply(event);
        sink.event(event, &run).unwrap();
    }
    (progress.text(), summary.text())
}

fn with_clean() -> ConsoleOptions {
    let clean = Some("mtv-test clean results/20260101T000000Z-r1/resources.json".to_owned());
    ConsoleOptions { clean, ..ConsoleOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn console_of_every_outcome() {
    let (progress, summary) = console(&mixed().await, with_clean());
    insta::assert_snapshot!(format!("{progress}=== summary\n{summary}"));
}

#[tokio::test(start_paused = true)]
async fn console_of_an_interrupted_run_names_the_command_that_cleans() {
    let (progress, summary) = console(&interrupted(&[1000, 3000]).await, with_clean());
    insta::assert_snapshot!(format!("{progress}=== summary\n{summary}"));
}

#[tokio::test(start_paused = true)]
async fn colour_adds_nothing_but_colour() {
    let events = mixed().await;
    let plain = console(&events, with_clean());
    let colored = console(&events, ConsoleOptions { screen_color: true, summary_color: true, ..with_clean() });
    assert_ne!(colored, plain);
    let strip = |text: &str| anstream::adapter::strip_str(text).to_string();
    assert_eq!((strip(&colored.0), strip(&colored.1)), plain);
}

#[tokio::test(start_paused = true)]
async fn verbose_tells_what_is_awaited() {
    let events = interrupted(&[1000]).await;
    let (quiet, _) = console(&events, ConsoleOptions::default());
    let (verbose, _) = console(&events, ConsoleOptions { verbosity: 1, ..ConsoleOptions::default() });
    assert!(!quiet.contains("doing Hang") && verbose.contains("sanity-cold/migrate: doing Hang"), "{verbose}");
}

#[tokio::test(start_paused = true)]
async fn files_are_whole_while_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let results = results::create(folder.path(), "r1").unwrap();
    let mut run = Run::default();
    let mut junit = JunitSink::new(vec![results.junit.clone()], Detail::Check);
    let mut ndjson = NdjsonSink::create(&results.events).unwrap();
    let events = interrupted(&[1000, 3000]).await;
    for (number, event) in events.iter().enumerate() {
        run.apply(event);
        junit.event(event, &run).unwrap();
        ndjson.event(event, &run).unwrap();
        let text = fs::read_to_string(&results.junit).unwrap();
        assert_eq!(validate(&text), 10);
        if matches!(event.what, What::CancelBegun { .. }) {
            assert_eq!(text, render(&fold(&events[..=number]), Detail::Check).unwrap(), "at an interrupt the file is up to date");
        }
        let lines = fs::read_to_string(&results.events).unwrap();
        assert!(lines.ends_with('\n'));
        let parsed: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed.len(), number + 1);
        assert_eq!(parsed[number]["v"], 1);
    }
    assert_eq!(fs::metadata(&results.events).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = fs::read_dir(&results.dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "no temporary file stays: {left:?}");
}

/// A sink that fails until it has seen some events.
struct Flaky(usize);

impl Sink for Flaky {
    fn name(&self) -> &'static str {
        "flaky"
    }

    fn event(&mut self, _: &Event, _: &Run) -> Result<()> {
        self.0 = self.0.saturating_sub(1);
        anyhow::ensure!(self.0 == 0, "no room on the disk ({} to go)", self.0);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_harms_no_other_and_is_told_once() {
    let paper = Paper::default();
    let console = ConsoleSink::new(Screen::to(io::sink()), paper.clone(), ConsoleOptions::default());
    let (send, reports) = start(vec![Box::new(Flaky(3)), Box::new(console)]).unwrap();
    for event in mixed().await {
        send.send(event).unwrap();
    }
    assert_eq!(reports.finish(), ["failed to write flaky: no room on the disk (2 to go)"]);
    assert!(paper.text().contains("6 scenarios"), "{}", paper.text());
}

/// A writer that fails.
struct Failing(io::ErrorKind);

impl Write for Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_has_gone_is_no_problem_and_a_full_disk_is() {
    let events = mixed().await;
    let problems = |kind| {
        let mut sink = ConsoleSink::new(Screen::to(Failing(kind)), Failing(kind), ConsoleOptions::default());
        let run = fold(&events);
        events.iter().filter(|event| sink.event(event, &run).is_err()).count()
    };
    assert_eq!(problems(io::ErrorKind::BrokenPipe), 0);
    assert_eq!(problems(io::ErrorKind::StorageFull), 1);
}

/// A run whose verify step made these checks and ended with this verdict.
fn checked(results: &[CheckResult], verdict: Verdict) -> Vec<Event> {
    let event = |what| Event {
        v: crate::events::FORMAT,
        ts: "2026-01-01T00:00:00Z".parse().unwrap(),
        elapsed: 1.0,
        run: "r1".into(),
        scenario: Some("sanity-cold".into()),
        step: Some("verify".into()),
        what,
    };
    let planned = PlannedScenario { name: "sanity-cold".into(), steps: vec!["verify".into()], skip: None, aliases: vec![] };
    let lines: Vec<String> = results.iter().filter(|r| r.verdict == CheckVerdict::Failed).flat_map(CheckResult::lines).collect();
    let trouble = lines.first().map(|first| {
        let id = if verdict == Verdict::Failed { Id::CheckFailed } else { Id::SourceUnreachable };
        Diagnosis { causes: lines.clone(), ..Diagnosis::new(id, first.clone()) }
    });
    let started = What::RunStarted { version: "0".into(), results: "results".into(), scenarios: vec![planned] };
    let took = std::time::Duration::from_secs(2);
    let doing = |text: &str| What::StepProgress { doing: text.into(), percent: None };
    let mut all = vec![started, What::ScenarioStarted, What::StepStarted, doing("checking a"), doing("checking a")];
    all.push(What::Warning { message: "a is slow".into(), hints: vec![] });
    all.extend(results.iter().map(|result| What::CheckFinished(result.clone())));
    let notes = results.iter().filter(|r| r.verdict != CheckVerdict::Failed).flat_map(CheckResult::lines).collect();
    all.push(What::StepFinished { verdict, took, trouble, notes });
    all.push(What::ScenarioFinished { verdict, took });
    let requests = [("kubernetes.get".to_owned(), 3)].into();
    all.push(What::RunFinished {
        exit: if verdict == Verdict::Passed { crate::exit::PASSED } else { crate::exit::FAILED },
        took,
        requests,
    });
    all.into_iter().map(event).collect()
}

fn result(source: &str, target: &str, check: &str, verdict: CheckVerdict) -> CheckResult {
    let finding = Finding::new(check, "2048", if verdict == CheckVerdict::Failed { "512" } else { "2048" }).unit("MiB");
    CheckResult {
        vm: CheckedVm { source: source.into(), clone: Some(format!("clone-of-{source}")), target: Some(target.into()) },
        check: check.into(),
        verdict,
        reason: (verdict == CheckVerdict::Skipped).then(|| "the source has none".into()),
        findings: (verdict == CheckVerdict::Failed).then(|| finding.clone()).into_iter().collect(),
        evidence: (verdict == CheckVerdict::Passed).then_some(finding).into_iter().collect(),
    }
}

fn results_of_checks() -> Vec<CheckResult> {
    vec![
        result("rhel8", "a", "memory", CheckVerdict::Failed),
        result("rhel8", "a", "static ips", CheckVerdict::Passed),
        result("rhel8", "b", "memory", CheckVerdict::Passed),
        result("rhel8", "b", "static ips", CheckVerdict::Skipped),
    ]
}

#[test]
fn a_failed_check_is_one_failed_case_and_its_line_stands_once() {
    let events = checked(&results_of_checks(), Verdict::Failed);
    let xml = render(&fold(&events), Detail::Check).unwrap();
    validate(&xml);
    assert_eq!(xml.matches("<failure").count(), 1);
    insta::assert_snapshot!(xml);
    let steps = render(&fold(&events), Detail::Step).unwrap();
    validate(&steps);
    assert!(steps.contains("sanity-cold/verify\"") && !steps.contains("sanity-cold/verify/"), "{steps}");
    assert_eq!(steps.matches("<failure").count(), 1);
}

#[test]
fn a_step_whose_checks_pass_keeps_its_case_beside_theirs() {
    let results = [result("rhel8", "a", "memory", CheckVerdict::Passed)];
    let xml = render(&fold(&checked(&results, Verdict::Passed)), Detail::Check).unwrap();
    validate(&xml);
    for name in ["sanity-cold/verify\"", "sanity-cold/verify/rhel8/memory\""] {
        assert!(xml.contains(name), "{name}: {xml}");
    }
    assert!(xml.contains("warning: a is slow") && xml.matches("checking a").count() == 1, "{xml}");
}

#[test]
fn a_step_that_ends_for_another_reason_shows_it_beside_failed_checks() {
    let xml = render(&fold(&checked(&results_of_checks(), Verdict::Errored)), Detail::Check).unwrap();
    assert!(xml.contains("<failure") && xml.contains("<error"), "{xml}");
}

#[tokio::test(start_paused = true)]
async fn every_report_comes_from_the_file_of_events_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (number, events) in
        [mixed().await, interrupted(&[1000, 3000]).await, checked(&results_of_checks(), Verdict::Failed)].iter().enumerate()
    {
        let path = folder.path().join(format!("{number}.ndjson"));
        let mut sink = NdjsonSink::create(&path).unwrap();
        for event in events {
            sink.event(event, &Run::default()).unwrap();
        }
        // A crash cut the last line.
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"v\":1,\"ts\"");
        fs::write(&path, text).unwrap();
        let again = Run::read(&path).unwrap();
        for detail in [Detail::Check, Detail::Step] {
            assert_eq!(render(&again, detail).unwrap(), render(&fold(events), detail).unwrap());
        }
        let summary = |run: &Run| console::summary_of(run);
        assert_eq!(summary(&again), summary(&fold(events)));
    }
}

#[test]
fn a_line_that_is_no_event_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.ndjson");
    for (text, words) in [("{}\n", "line 1: not an event"), ("{\"v\":2}\n", "line 1"), ("\n", "line 1")] {
        fs::write(&path, text).unwrap();
        let error = format!("{:#}", Run::read(&path).unwrap_err());
        assert!(error.contains(words), "{error}");
    }
}
