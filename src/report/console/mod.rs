//! What a person sees: live lines or plain lines while the run goes on, and a summary at its end.

mod live;
mod plain;
mod style;
mod summary;

pub(super) use plain::count;
pub use style::use_live_lines;
pub(super) use style::word;
pub use summary::{clean_command, summary};

use std::io::{ErrorKind, Write};

use anyhow::Result;

use self::{live::Live, plain::Plain, style::Paint};
use super::{Sink, model::Run, screen::Screen};
use crate::{
    events::{Event, What},
    secrets::printable,
};

/// How the console behaves.
#[derive(Debug, Clone, Default)]
pub struct ConsoleOptions {
    /// Colour on the screen.
    pub screen_color: bool,
    /// Colour in the summary.
    pub summary_color: bool,
    /// Number of `-v`.
    pub verbosity: u8,
    /// The command that deletes what is left, see [`clean_command`]; none where nothing can be left, as in the built-in lab.
    pub clean: Option<String>,
}

/// Shows the run.
pub struct ConsoleSink {
    options: ConsoleOptions,
    progress: Progress,
    summary: Box<dyn Write + Send>,
}

enum Progress {
    Live(Live),
    Plain(Plain),
}

impl ConsoleSink {
    /// Progress goes to the screen, the summary to `summary`, which is stdout.
    pub fn new(screen: Screen, summary: impl Write + Send + 'static, options: ConsoleOptions) -> Self {
        let paint = Paint::new(options.screen_color);
        let progress = if screen.bars().is_some() {
            Progress::Live(Live::new(screen, paint, options.verbosity))
        } else {
            Progress::Plain(Plain::new(screen, paint, options.verbosity))
        };
        Self { options, progress, summary: Box::new(summary) }
    }
}

/// The summary of a run without colour, for tests.
#[cfg(test)]
pub(super) fn summary_of(run: &Run) -> String {
    summary(run, Paint::new(false), None)
}

impl Sink for ConsoleSink {
    fn name(&self) -> &'static str {
        "the summary"
    }

    fn event(&mut self, event: &Event, run: &Run) -> Result<()> {
        let event = &Event { what: event.what.clone().map_texts(&|text| printable(&text)), ..event.clone() };
        match &mut self.progress {
            Progress::Live(live) => live.event(event, run),
            Progress::Plain(plain) => plain.event(event, run),
        }
        if matches!(event.what, What::RunFinished { .. }) {
            let text = summary(
                &run.clone().map_texts(&|text| printable(&text)),
                Paint::new(self.options.summary_color),
                self.options.clean.as_deref(),
            );
            let written = self.summary.write_all(text.as_bytes()).and_then(|()| self.summary.flush());
            // Whoever read it may have gone, as `head` does; the files hold all of it.
            return written.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error.into()) });
        }
        Ok(())
    }
}
