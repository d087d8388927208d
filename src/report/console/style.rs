//! Colour: when, and which. It never says anything that the words beside it do not say.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

use crate::events::Verdict;

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless the environment says otherwise
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What decides about colour and live lines, taken from the process once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// `CLICOLOR_FORCE` is set and neither empty nor `0`.
    pub force_color: bool,
    /// `TERM=dumb`.
    pub dumb: bool,
}

impl Surroundings {
    /// From the environment of this process.
    pub fn of_process() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            no_color: set("NO_COLOR").is_some(),
            force_color: set("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            dumb: set("TERM").is_some_and(|value| value == "dumb"),
        }
    }
}

/// Whether a stream gets colour: `--color`, then `NO_COLOR`, then `CLICOLOR_FORCE`, then whether it is a capable terminal.
pub fn use_color(choice: ColorChoice, terminal: bool, around: Surroundings) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if around.no_color => false,
        ColorChoice::Auto => around.force_color || (terminal && !around.dumb),
    }
}

/// Whether lines may be redrawn. Colour has nothing to do with it.
pub fn use_live_lines(terminal: bool, around: Surroundings) -> bool {
    terminal && !around.dumb
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
    fn the_flag_wins_then_the_environment_then_the_terminal() {
        use ColorChoice::{Always, Auto, Never};
        let plain = Surroundings::default();
        let no_color = Surroundings { no_color: true, force_color: true, ..plain };
        let force = Surroundings { force_color: true, ..plain };
        let dumb = Surroundings { dumb: true, ..plain };
        for (choice, terminal, around, expected) in [
            (Auto, true, plain, true),
            (Auto, false, plain, false),
            (Auto, true, no_color, false),
            (Always, false, no_color, true),
            (Never, true, force, false),
            (Auto, false, force, true),
            (Auto, true, dumb, false),
        ] {
            assert_eq!(use_color(choice, terminal, around), expected, "{choice:?} {terminal} {around:?}");
        }
        assert!(use_live_lines(true, no_color) && !use_live_lines(true, dumb) && !use_live_lines(false, force));
    }
}
