//! `run.log`, and the same on stderr with `-v`, `-vv` or `RUST_LOG`. Every message is masked as a whole before it is written.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Mutex,
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

use super::{Sink, screen::Screen};
use crate::{
    events::{Event, Verdict, What},
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

/// Writes the events into the log, so that it tells the whole story.
#[derive(Debug, Default)]
pub struct LogSink;

impl Sink for LogSink {
    fn name(&self) -> &'static str {
        "run.log"
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        let place = [event.scenario.as_deref(), event.step.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let place = if place.is_empty() { "run" } else { place.as_str() };
        match &event.what {
            What::StepFinished { verdict, trouble: Some(trouble), .. } if *verdict != Verdict::Passed => {
                warn!(target: EVENTS, "{place}: {verdict:?}: {}", trouble.summary);
                for line in trouble.details().chain(&trouble.hints) {
                    warn!(target: EVENTS, "{place}: {line}");
                }
            }
            What::Warning { message, hints } => {
                warn!(target: EVENTS, "{place}: {message}");
                for hint in hints {
                    warn!(target: EVENTS, "{place}:   hint: {hint}");
                }
            }
            What::LeftBehind { object, reason } => warn!(target: EVENTS, "{place}: left behind: {object}: {reason}"),
            What::CancelBegun { reason, .. } => warn!(target: EVENTS, "{place}: {reason}"),
            other => info!(target: EVENTS, "{place}: {}", serde_json::to_string(other)?),
        }
        Ok(())
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
