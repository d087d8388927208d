//! Colour: when, and which. It never says anything that the words beside it do not say.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

use crate::events::Verdict;

/// Whether lines may be redrawn: on a terminal that can move its cursor. Colour has nothing to do with it.
pub fn use_live_lines(terminal: bool, term: Option<&str>) -> bool {
    terminal && term != Some("dumb")
}

/// Puts style around text, or not.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// With colour or without.
    pub const fn new(on: bool) -> Self {
        Self { on }
    }

    /// Text in a style.
    pub fn styled(self, style: Style, text: impl Display) -> String {
        if self.on { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    /// Headings and names.
    pub fn bold(self, text: impl Display) -> String {
        self.styled(Style::new().bold(), text)
    }

    /// What one may skip.
    pub fn dim(self, text: impl Display) -> String {
        self.styled(Style::new().dimmed(), text)
    }

    /// What one should not miss.
    pub fn warning(self, text: impl Display) -> String {
        self.styled(AnsiColor::Yellow.on_default().bold(), text)
    }

    /// A verdict in its own word, `width` wide.
    pub fn verdict(self, verdict: Verdict, width: usize) -> String {
        let color = match verdict {
            Verdict::Passed => AnsiColor::Green,
            Verdict::Failed => AnsiColor::Red,
            Verdict::Errored | Verdict::Interrupted => AnsiColor::Magenta,
            Verdict::Skipped => AnsiColor::Yellow,
        };
        self.styled(color.on_default().bold(), format!("{:<width$}", word(verdict)))
    }
}

/// The word for a verdict.
pub const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "FAILED",
        Verdict::Errored => "ERROR",
        Verdict::Skipped => "skipped",
        Verdict::Interrupted => "STOPPED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_lines_need_a_terminal_that_can_move_its_cursor() {
        assert!(use_live_lines(true, Some("xterm")) && use_live_lines(true, None));
        assert!(!use_live_lines(true, Some("dumb")) && !use_live_lines(false, Some("xterm")));
    }
}
