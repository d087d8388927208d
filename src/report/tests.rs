//! The reports, fed by the fake workload: valid at every moment, and pinned as a user sees them.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use super::{
    console::{ConsoleOptions, ConsoleSink},
    junit::{JunitSink, render},
    model::Run,
    ndjson::NdjsonSink,
    screen::Screen,
    *,
};
use crate::{
    engine::{
        Closed, Leftover, Options, PlannedRun,
        fake::{Act, Fake, drive, scenario},
    },
    events::Event,
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
        let now = validate(&render(&run).unwrap());
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

#[tokio::test(start_paused = true)]
async fn junit_of_every_outcome() {
    let events = mixed().await;
    every_prefix_is_valid(&events, 1);
    insta::assert_snapshot!(render(&fold(&events)).unwrap());
}

#[tokio::test(start_paused = true)]
async fn junit_of_an_interrupted_run() {
    let events = interrupted(&[1000, 3000]).await;
    every_prefix_is_valid(&events, 1);
    insta::assert_snapshot!(render(&fold(&events)).unwrap());
}

#[tokio::test(start_paused = true)]
async fn junit_of_a_run_without_set_up() {
    let fake = Arc::new(Fake { set_up: Act::Error, ..Fake::new([]) });
    let events = drive(&fake, vec![scenario("sanity-cold", &["prepare"])], Options::default(), &[]).await.1;
    every_prefix_is_valid(&events, 1);
    insta::assert_snapshot!(render(&fold(&events)).unwrap());
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
    for event in events {
        sink.event(event).unwrap();
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
    let mut junit = JunitSink::new(&results.junit);
    let mut ndjson = NdjsonSink::create(&results.events).unwrap();
    let events = interrupted(&[1000, 3000]).await;
    for (number, event) in events.iter().enumerate() {
        junit.event(event).unwrap();
        ndjson.event(event).unwrap();
        let text = fs::read_to_string(&results.junit).unwrap();
        assert_eq!(validate(&text), 10);
        if matches!(event.what, What::CancelBegun { .. }) {
            assert_eq!(text, render(&fold(&events[..=number])).unwrap(), "at an interrupt the file is up to date");
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

    fn event(&mut self, _: &Event) -> Result<()> {
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
        events.iter().filter(|event| sink.event(event).is_err()).count()
    };
    assert_eq!(problems(io::ErrorKind::BrokenPipe), 0);
    assert_eq!(problems(io::ErrorKind::StorageFull), 1);
}
