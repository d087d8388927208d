//! `junit-report.xml`: one suite per scenario, one case per step, and a suite `mtv-test` for set-up and teardown.
//!
//! The file is written when the run starts, when a step or scenario starts, after each scenario, at each interrupt and at the
//! end, each time whole and by renaming, so that a reader finds a valid file with every case in it, and that of a run that was
//! killed names as an error what was running. It keeps to the schema of Jenkins' xUnit
//! plugin (junit-10), which is the strictest in use: no attributes beyond those that it knows.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::{
    Sink,
    model::{Run, Scenario, Step, StepState},
    results::sync,
};
use crate::{
    diagnosis::{Diagnosis, Id},
    events::{Event, Verdict, What},
    kill_points,
    secrets::steers,
};

/// Name of the report and of the suite of the run itself.
const OWN: &str = "mtv-test";

/// Steps are written as they start for as long as this leaves the process free for other work: one part in twenty.
const SHARE: u32 = 20;

/// Writes the report.
#[derive(Debug)]
pub struct JunitSink {
    path: PathBuf,
    run: Run,
    /// When the file was written last, and how long that took.
    written: Option<(Instant, Duration)>,
    /// Keeps a file descriptor for the report, when the process has used up all others.
    spare: Option<File>,
}

impl JunitSink {
    /// For this file.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), run: Run::default(), written: None, spare: spare() }
    }

    fn write(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.spare = None;
        let done = replace(&self.path, render(&self.run)?.as_bytes());
        self.spare = spare();
        self.written = Some((begun, begun.elapsed()));
        done
    }

    /// Writes the report before its end. The next one has everything that this one has, so only the last one must succeed.
    fn attempt(&mut self) {
        if let Err(error) = self.write() {
            tracing::debug!("{} cannot be written now: {error:#}", self.path.display());
        }
    }

    /// Whether there is time to write that a step has started.
    fn idle(&self) -> bool {
        self.written.is_none_or(|(begun, took)| begun.elapsed() >= took * SHARE)
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

impl Sink for JunitSink {
    fn name(&self) -> &'static str {
        "junit-report.xml"
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        self.run.apply(event);
        match event.what {
            What::RunFinished { .. } => return self.write(),
            What::RunStarted { .. } | What::ScenarioStarted | What::ScenarioFinished { .. } | What::CancelBegun { .. } => self.attempt(),
            // Set-up and teardown belong to no scenario that would say that they were running.
            What::StepStarted if event.scenario.is_none() || self.idle() => self.attempt(),
            _ => {}
        }
        Ok(())
    }
}

/// Replaces a file so that a reader sees the old or the new one, whole. For its owner alone, as everything in the results: names
/// and addresses of a customer's data centre are in it.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("it has no folder")?;
    // Somebody may have deleted the results; a report is worth a new folder.
    std::fs::create_dir_all(folder)?;
    // Made with mode 0600, without a chmod, which some file systems refuse.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    sync(file.as_file())?;
    kill_points::pass("rename of the report");
    file.persist(path)?;
    kill_points::pass("report renamed");
    Ok(())
}

/// The report of a run as far as it is known. What is running is an error, what has not begun is skipped: if this is the last that
/// is written, it is the truth.
pub fn render(run: &Run) -> Result<String> {
    let mut report = Report::new(OWN);
    if let Some(finished) = &run.finished {
        report.set_time(finished.took);
    }
    report.add_test_suite(own_suite(run));
    for scenario in &run.scenarios {
        let mut suite = TestSuite::new(clean(&scenario.name));
        add_properties(&mut suite, run);
        for (name, value) in &scenario.facts {
            suite.add_property(property(name, value));
        }
        if !scenario.aliases.is_empty() {
            suite.add_property(property("aliases", &scenario.aliases.join(", ")));
        }
        let time = scenario.ended.map_or(Duration::ZERO, |(_, took)| took);
        finish_suite(&mut suite, scenario.started.or(run.started), time);
        let running = running(scenario);
        for (number, step) in scenario.steps.iter().enumerate() {
            suite.add_test_case(case(&scenario.name, &format!("{OWN}.{}", scenario.name), step, running == Some(number)));
        }
        for (_, folder, files) in run.collected.iter().filter(|(of, ..)| of.as_ref() == Some(&scenario.name)) {
            suite.add_property(property("collected", &format!("{files} files in {}", folder.display())));
        }
        report.add_test_suite(suite);
    }
    Ok(without_skipped_total(report.to_string()?))
}

/// The step that a scenario is at, if it has started and not ended: the one that runs, or between two steps the next one.
fn running(scenario: &Scenario) -> Option<usize> {
    let at = |wanted: fn(&StepState) -> bool| scenario.steps.iter().position(|step| wanted(&step.state));
    let open = scenario.started.is_some() && scenario.ended.is_none();
    open.then(|| at(|s| matches!(s, StepState::Running)).or_else(|| at(|s| matches!(s, StepState::Waiting)))).flatten()
}

fn own_suite(run: &Run) -> TestSuite {
    let mut suite = TestSuite::new(OWN);
    add_properties(&mut suite, run);
    if let Some(finished) = &run.finished {
        suite.add_property(property("exit_code", &format!("{} ({})", finished.exit.code, finished.exit.meaning)));
        for (name, count) in &finished.requests {
            suite.add_property(property(&format!("requests.{name}"), &count.to_string()));
        }
    }
    let took = |step: &Step| match step.state {
        StepState::Ended { took, .. } => took,
        _ => Duration::ZERO,
    };
    finish_suite(&mut suite, run.started, run.own.iter().map(took).sum());
    for step in &run.own {
        suite.add_test_case(case(OWN, OWN, step, matches!(step.state, StepState::Running)));
    }
    for (_, folder, files) in run.collected.iter().filter(|(of, ..)| of.is_none()) {
        suite.add_property(property("collected", &format!("{files} files in {}", folder.display())));
    }
    if !run.left.is_empty() {
        let lines: Vec<String> = run.left.iter().map(|(object, reason)| format!("left behind: {object}: {reason}")).collect();
        suite.set_system_out(clean(&lines.join("\n")));
    }
    suite
}

fn add_properties(suite: &mut TestSuite, run: &Run) {
    suite.add_property(property("run", &run.id));
    suite.add_property(property("mtv_test_version", &run.version));
    for (name, value) in &run.facts {
        suite.add_property(property(name, value));
    }
}

fn property(name: &str, value: &str) -> Property {
    Property::new(clean(name), clean(value))
}

/// The time stamp has neither zone nor fraction, because some importers (ReportPortal) take no other; it is UTC.
fn finish_suite(suite: &mut TestSuite, started: Option<jiff::Timestamp>, took: Duration) {
    suite.set_time(took);
    if let Some(started) = started {
        suite.extra.insert("timestamp".into(), started.strftime("%Y-%m-%dT%H:%M:%S").to_string().into());
    }
}

/// Names are unique in the whole file: Prow puts cases of one name together and calls them flaky.
fn case(suite: &str, class: &str, step: &Step, running: bool) -> TestCase {
    let (status, took, notes): (_, _, &[String]) = match &step.state {
        StepState::Waiting | StepState::Running if running => {
            let what = if suite == OWN { "this step" } else { "this scenario" };
            let summary = format!("the run did not end; {what} was running when this report was written");
            let trouble =
                Diagnosis::new(Id::RunUnfinished, summary).hint("events.ndjson and run.log beside this report show what came after it");
            let trouble = step.doing.iter().fold(trouble, |trouble, doing| trouble.evidence(format!("last seen: {doing}")));
            (non_success(NonSuccessKind::Error, "unfinished", Some(&trouble)), Duration::ZERO, &[])
        }
        StepState::Waiting | StepState::Running => {
            (skipped("not run: the run had not come to it when this report was written"), Duration::ZERO, &[])
        }
        StepState::Skipped { reason } => (skipped(reason), Duration::ZERO, &[]),
        StepState::Ended { verdict, took, trouble, notes } => {
            let status = match verdict {
                Verdict::Passed => TestCaseStatus::success(),
                Verdict::Failed => non_success(NonSuccessKind::Failure, "failed", trouble.as_ref()),
                Verdict::Errored => non_success(NonSuccessKind::Error, "errored", trouble.as_ref()),
                Verdict::Interrupted => non_success(NonSuccessKind::Error, "interrupted", trouble.as_ref()),
                Verdict::Skipped => skipped("skipped"),
            };
            (status, *took, notes)
        }
    };
    let mut case = TestCase::new(clean(&format!("{suite}/{}", step.name)), status);
    case.set_classname(clean(class));
    case.set_time(took);
    if !notes.is_empty() {
        case.set_system_out(clean(&notes.join("\n")));
    }
    case
}

fn skipped(reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_type("skipped").set_message(clean(reason));
    status
}

fn non_success(kind: NonSuccessKind, ty: &str, trouble: Option<&Diagnosis>) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(trouble.map_or(ty, |trouble| trouble.id.name()));
    if let Some(trouble) = trouble {
        status.set_message(clean(&trouble.summary));
        let hints = trouble.hints.iter().map(|hint| format!("hint: {hint}"));
        let lines: Vec<String> = std::iter::once(trouble.summary.clone()).chain(trouble.details().cloned()).chain(hints).collect();
        status.set_description(clean(&lines.join("\n")));
    } else {
        status.set_message(ty);
    }
    status
}

/// Takes out what XML 1.0 cannot hold, not even escaped, and what would steer the terminal of who reads the file. The library removes
/// sequences of terminals as a whole and the control characters of ASCII, but not these.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}') && (c.is_ascii_control() || !steers(*c))).collect()
}

/// Takes the attribute `skipped` off the root element: the library always writes it, and the schema does not know it there.
fn without_skipped_total(xml: String) -> String {
    const ATTRIBUTE: &str = " skipped=\"";
    let Some(root) = xml.find("<testsuites ") else { return xml };
    let end = xml[root..].find('>').map_or(xml.len(), |at| root + at);
    let Some(start) = xml[root..end].find(ATTRIBUTE).map(|at| root + at) else { return xml };
    let value = start + ATTRIBUTE.len();
    let Some(close) = xml[value..end].find('"').map(|at| value + at + 1) else { return xml };
    format!("{}{}", &xml[..start], &xml[close..])
}
