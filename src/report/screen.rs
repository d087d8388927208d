//! The one place that writes to stderr while a run goes on: lines go above the progress lines and do not tear them.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write},
    sync::{Arc, Mutex, PoisonError},
};

use indicatif::{MultiProgress, ProgressDrawTarget};

/// Where messages go. Clones write to the same place.
#[derive(Clone)]
pub struct Screen(Kind);

#[derive(Clone)]
enum Kind {
    Live(MultiProgress),
    Plain(Arc<Mutex<Box<dyn Write + Send>>>),
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.bars().is_some() { "live screen" } else { "plain screen" })
    }
}

impl Screen {
    /// A terminal on stderr, with live lines at its bottom, redrawn ten times a second at most.
    pub fn live() -> Self {
        Self(Kind::Live(MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10))))
    }

    /// Stderr that is no terminal, or one that cannot move its cursor.
    pub fn plain() -> Self {
        Self::to(io::stderr())
    }

    /// What fits stderr of this process.
    pub fn of_process() -> Self {
        let term = std::env::var("TERM").ok();
        if super::console::use_live_lines(io::stderr().is_terminal(), term.as_deref()) { Self::live() } else { Self::plain() }
    }

    /// Lines to any writer.
    pub fn to(writer: impl Write + Send + 'static) -> Self {
        Self(Kind::Plain(Arc::new(Mutex::new(Box::new(writer)))))
    }

    /// The live lines, where there are any.
    pub fn bars(&self) -> Option<&MultiProgress> {
        match &self.0 {
            Kind::Live(bars) => Some(bars),
            Kind::Plain(_) => None,
        }
    }

    /// Writes a line, or several. Stderr that is closed is no reason to stop a run.
    pub fn line(&self, text: &str) {
        match &self.0 {
            Kind::Live(bars) => drop(bars.println(text)),
            Kind::Plain(writer) => {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = writer.write_all(format!("{text}\n").as_bytes()).and_then(|()| writer.flush());
            }
        }
    }
}
