//! `run.log`, and the same on stderr with `-v`, `-vv` or `RUST_LOG`. Every message is masked as a whole before it is written.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, Result};
use tracing::{info, warn};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::FilterExt,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use super::{
    Sink,
    console::{count, word},
    model::Run,
    screen::Screen,
};
use crate::{
    checks::CheckVerdict,
    engine::human,
    events::{Event, MigrationEnd, Verdict, What},
    secrets::{mask, printable},
};

/// Target of the events in the log. The console shows them in its own way, so they are kept off stderr.
const EVENTS: &str = "mtv_test::run";

/// Connects `tracing` with the file, which is created with mode 0600, and with the screen.
///
/// `verbosity` counts `-v`. `rust_log` replaces the levels of both, where it is set and not empty.
///
/// # Errors
/// The file cannot be created, `rust_log` is malformed, or logging was connected before.
pub fn init(file: Option<&Path>, screen: &Screen, verbosity: u8, rust_log: Option<&str>) -> Result<()> {
    let file = file.map(open).transpose()?;
    Registry::default()
        .with(file.map(|file| file_layer(file, verbosity, rust_log)).transpose()?)
        .with(screen_layer(screen.clone(), verbosity, rust_log)?)
        .try_init()
        .context("failed to connect the log")
}

/// Sends panics through the log, masked, instead of straight to stderr, where they would tear the live lines.
///
/// The engine catches the panics of steps; this is only about how they are told.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|panic| {
        // Empty unless RUST_BACKTRACE asks for it.
        let backtrace = std::backtrace::Backtrace::capture();
        let trace = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        if tracing::dispatcher::has_been_set() {
            tracing::error!("internal error: {panic}{trace}");
        } else {
            let _ = io::stderr().write_all(printable(&mask(&format!("internal error: {panic}{trace}\n"))).as_bytes());
        }
    }));
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    file.with_context(|| format!("failed to create {}", path.display()))
}

type Boxed<S> = Box<dyn Layer<S> + Send + Sync>;

fn file_layer(file: File, verbosity: u8, rust_log: Option<&str>) -> Result<Boxed<Registry>> {
    // A warning of kube's client repeats the whole of an answer that it cannot read.
    let levels = if verbosity > 1 { "info,mtv_test=trace,kube=debug,kube_client=error" } else { "info,mtv_test=debug,kube_client=error" };
    let layer = fmt::layer().with_ansi(false).with_writer(Masked::new(move |text: &str| (&file).write_all(text.as_bytes())));
    Ok(layer.with_filter(filter(levels, rust_log)?).boxed())
}

fn screen_layer<S>(screen: Screen, verbosity: u8, rust_log: Option<&str>) -> Result<Boxed<S>>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let levels = match verbosity {
        // kube tells each failed attempt as an error, also those that are repeated; what comes of them is told by who asked.
        0 => "error,kube=off,kube_client=off,kube_runtime=off",
        1 => "warn,mtv_test=info,kube_client=error",
        _ => "info,mtv_test=trace,kube_client=error",
    };
    let writer = Masked::new(move |text: &str| {
        screen.line(text.trim_end_matches('\n'));
        Ok(())
    });
    let no_events = tracing_subscriber::filter::filter_fn(|meta| meta.target() != EVENTS);
    let layer = fmt::layer().with_ansi(false).without_time().with_writer(writer);
    Ok(layer.with_filter(filter(levels, rust_log)?.and(no_events)).boxed())
}

fn filter(levels: &str, rust_log: Option<&str>) -> Result<EnvFilter> {
    let levels = rust_log.filter(|text| !text.trim().is_empty()).unwrap_or(levels);
    EnvFilter::try_new(levels).with_context(|| format!("failed to read the log levels `{levels}` (RUST_LOG)"))
}

/// Collects a message, masks it, and hands it on in one piece.
struct Masked<F> {
    out: Mutex<F>,
}

impl<F> Masked<F> {
    fn new(out: F) -> Self {
        Self { out: Mutex::new(out) }
    }
}

impl<'a, F> MakeWriter<'a> for Masked<F>
where
    F: FnMut(&str) -> io::Result<()> + 'a,
{
    type Writer = Message<'a, F>;

    fn make_writer(&'a self) -> Self::Writer {
        Message { text: Vec::new(), out: &self.out }
    }
}

/// One message on its way.
struct Message<'a, F: FnMut(&str) -> io::Result<()>> {
    text: Vec<u8>,
    out: &'a Mutex<F>,
}

impl<F: FnMut(&str) -> io::Result<()>> Write for Message<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<F: FnMut(&str) -> io::Result<()>> Drop for Message<'_, F> {
    fn drop(&mut self) {
        // Both go to terminals, the file sooner or later.
        let text = printable(&mask(&String::from_utf8_lossy(&self.text)));
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A log that cannot be written has nobody to tell.
        let _ = out(&text);
    }
}

/// Writes the events into the log in words, a line each.
#[derive(Debug, Default)]
pub struct LogSink;

impl Sink for LogSink {
    fn name(&self) -> &'static str {
        "run.log"
    }

    fn event(&mut self, event: &Event, _: &Run) -> Result<()> {
        let place = [event.scenario.as_deref(), event.step.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("/");
        let place = if place.is_empty() { "run" } else { place.as_str() };
        let (bad, lines) = words(&event.what);
        for line in lines {
            if bad {
                warn!(target: EVENTS, "{place}: {line}");
            } else {
                info!(target: EVENTS, "{place}: {line}");
            }
        }
        Ok(())
    }
}

/// An event in words: whether it is a warning, and its lines.
fn words(what: &What) -> (bool, Vec<String>) {
    let good = |line: String| (false, vec![line]);
    let bad = |line: String| (true, vec![line]);
    let mib = |bytes: u64| bytes >> 20;
    match what {
        What::RunStarted { version, results, scenarios } => {
            good(format!("mtv-test {version} runs {}; results in {}", count(scenarios.len(), "scenario"), results.display()))
        }
        What::Facts { facts } => (false, facts.iter().map(|(name, value)| format!("{name}: {value}")).collect()),
        What::ScenarioStarted => good("scenario started".to_owned()),
        What::ScenarioFinished { verdict, took } => good(format!("scenario {} after {}", word(*verdict).to_lowercase(), human(*took))),
        What::StepStarted => good("started".to_owned()),
        What::StepProgress { doing, percent } => good(match percent {
            Some(percent) => format!("{doing} ({percent:.0}%)"),
            None => doing.clone(),
        }),
        What::StepSkipped { reason } => good(format!("skipped: {reason}")),
        What::StepFinished { verdict, took, trouble, notes } => {
            let mut lines = vec![format!("{} after {}", word(*verdict).to_lowercase(), human(*took))];
            if let Some(trouble) = trouble {
                lines.push(trouble.summary.clone());
                lines.extend(trouble.details().cloned());
                lines.extend(trouble.hints.iter().map(|hint| format!("hint: {hint}")));
            }
            lines.extend(notes.iter().cloned());
            (!matches!(verdict, Verdict::Passed | Verdict::Skipped), lines)
        }
        What::CheckFinished(result) => (result.verdict == CheckVerdict::Failed, result.lines()),
        What::StateChanged { object, state } => good(format!("{object}: {state}")),
        What::ConditionChanged { object, condition, status, reason, message, .. } => {
            let status = status.as_deref().unwrap_or("removed");
            let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let message = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            good(format!("{object}: condition {condition} is {status}{reason}{message}"))
        }
        What::MigrationStarted { plan, vms } => good(format!("Plan {plan} is executing: VMs {}", vms.join(", "))),
        What::MigrationFinished { plan, end } => good(format!("Plan {plan} {}", outcome(*end))),
        What::StageStarted { plan, vm, stage } => good(format!("Plan {plan}, VM {vm}: {stage} started")),
        What::StageFinished { plan, vm, stage, end, took, reasons } => {
            let took = took.and_then(|took| Duration::try_from_secs_f64(took).ok()).map(|took| format!(" after {}", human(took)));
            let reasons = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
            let line = format!("Plan {plan}, VM {vm}: {stage} {}{}{reasons}", outcome(*end), took.unwrap_or_default());
            (*end == MigrationEnd::Failed, vec![line])
        }
        What::DiskProgress { plan, vm, stage, done, total } => {
            good(format!("Plan {plan}, VM {vm}: {stage} copied {} of {} MiB", mib(*done), mib(*total)))
        }
        What::PrecopyFinished { plan, vm, number } => good(format!("Plan {plan}, VM {vm}: precopy {number} finished")),
        What::CutoverSet { plan, at } => good(format!("Plan {plan}: cutover set to {at}")),
        What::Cloned { source, clone, id, storage } => good(format!("cloned VM {source} to {clone} ({id}) on {}", storage.join(", "))),
        What::Created { object } => good(format!("created {object}")),
        What::Deleted { object } => good(format!("deleted {object}")),
        What::Restored { object } => good(format!("restored {object}")),
        What::Retried { attempt, pause } => good(format!("attempt {attempt} of a request failed; next one in {pause:.1}s")),
        What::Collected { folder, files } => good(format!("collected {} in {}", count(*files, "file"), folder.display())),
        What::Warning { message, hints } => {
            let hints = hints.iter().map(|hint| format!("hint: {hint}"));
            (true, std::iter::once(format!("warning: {message}")).chain(hints).collect())
        }
        What::LeftBehind { object, reason } => bad(format!("left behind: {object}: {reason}")),
        What::CancelBegun { reason, .. } => bad(reason.clone()),
        What::RunFinished { exit, took, requests } => {
            let total: u64 = requests.values().sum();
            good(format!("run ended after {} with exit code {}: {}; {total} requests", human(*took), exit.code, exit.meaning))
        }
    }
}

fn outcome(end: MigrationEnd) -> &'static str {
    match end {
        MigrationEnd::Succeeded => "succeeded",
        MigrationEnd::Failed => "failed",
        MigrationEnd::Canceled => "was canceled",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::secrets::Secret;

    #[test]
    fn a_message_is_masked_as_a_whole() {
        let _secret = Secret::new("log-canary\nsecond line");
        let written = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&written);
        let writer = Masked::new(move |text: &str| {
            sink.lock().unwrap().push_str(text);
            Ok(())
        });
        let mut message = writer.make_writer();
        message.write_all(b"password log-can").unwrap();
        message.write_all(b"ary\nsecond line.\n").unwrap();
        drop(message);
        assert_eq!(*written.lock().unwrap(), "password [secret].\n");
    }

    #[test]
    fn levels_of_the_user_are_checked() {
        assert!(filter("info", Some("mtv_test=nonsense=x")).is_err());
        assert!(filter("info", Some(" ")).is_ok());
    }
}
