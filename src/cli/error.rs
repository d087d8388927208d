//! Errors of commands: each knows its exit code and what the user can do.

use std::fmt;

use crate::{
    config::diagnostics::{Problem, Problems},
    diagnosis::Diagnosis,
    exit::{self, ExitCode},
    secrets::{mask, printable},
};

/// What a command returns.
pub type CliResult = Result<ExitCode, CliError>;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct CliError {
    exit: ExitCode,
    what: What,
    hints: Vec<String>,
}

#[derive(Debug)]
enum What {
    /// One sentence.
    Message(String),
    /// Mistakes in files and arguments, each with its place.
    Problems(Problems),
}

impl CliError {
    /// An error with the exit code that it ends with: a lower-case fragment without full stop.
    pub fn new(exit: ExitCode, message: impl Into<String>) -> Self {
        Self { exit, what: What::Message(message.into()), hints: Vec::new() }
    }

    /// Wrong usage, or a file that cannot be used.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, message)
    }

    /// Cluster, provider or credentials that cannot be used.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(exit::ENVIRONMENT, message)
    }

    /// A defect of the tool itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(exit::INTERNAL, message)
    }

    /// What a diagnosis says, with its hints on lines of their own.
    pub fn diagnosed(exit: ExitCode, diagnosis: Diagnosis) -> Self {
        Self { hints: diagnosis.hints.clone(), ..Self::new(exit, diagnosis.line(": ")) }
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// As a problem among others, with words in front that say where it belongs. Of several problems the first one.
    pub(super) fn into_problem(self, before: &str) -> Problem {
        let problem = match self.what {
            What::Message(message) => Problem::error(format!("{before}{message}")),
            What::Problems(problems) => {
                problems.all().first().cloned().unwrap_or_else(|| Problem::error(format!("{before}it cannot be used")))
            }
        };
        self.hints.into_iter().fold(problem, Problem::help)
    }

    /// What the process ends with.
    pub fn exit(&self) -> ExitCode {
        self.exit
    }

    /// Prints the error and its hints on stderr, without secrets.
    pub fn print(&self) {
        styled(&self.render(true));
    }

    fn render(&self, styled: bool) -> String {
        let (error, help) = if styled {
            let bold = |color: anstyle::AnsiColor| anstyle::Style::new().bold().fg_color(Some(color.into()));
            let (error, help) = (bold(anstyle::AnsiColor::BrightRed), bold(anstyle::AnsiColor::BrightCyan));
            (format!("{error}error{error:#}"), format!("{help}hint{help:#}"))
        } else {
            ("error".to_owned(), "hint".to_owned())
        };
        let text = match &self.what {
            What::Message(message) => format!("{error}: {}", shown(message)),
            What::Problems(problems) => mask(&problems.render(styled)),
        };
        std::iter::once(text).chain(self.hints.iter().map(|hint| format!("{help}: {}", shown(hint)))).collect::<Vec<_>>().join("\n")
    }
}

impl From<Problems> for CliError {
    fn from(problems: Problems) -> Self {
        Self { exit: exit::USAGE, what: What::Problems(problems), hints: Vec::new() }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for CliError {}

/// A text as it may go to a terminal: masked, and without control characters, which only our own styles hold.
fn shown(text: &str) -> String {
    printable(&mask(text))
}

/// Writes data to stdout. A reader that went away, as `head` does, is no error of ours.
pub fn print_data(text: &str) -> Result<(), CliError> {
    use std::io::Write as _;
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(unwritten(&error)),
        _ => Ok(()),
    }
}

/// Stdout that takes no more is a file that cannot be used: a full disk, a limit.
pub fn unwritten(error: &std::io::Error) -> CliError {
    CliError::usage(format!("cannot write to stdout: {error}"))
}

/// Tells on stdout how work goes that must go on whether anybody listens or not: a reader that went away, or a full disk behind
/// stdout, keeps nothing from being removed. Without secrets and without control characters, as all that goes to a terminal.
pub fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(anstream::stdout().lock(), "{}", shown(line));
}

/// The same on stderr.
pub fn tell(line: &str) {
    styled(&shown(line));
}

/// A text with our own styles. Lines of files are quoted in it, so nothing but styles may be left that steers a terminal.
fn styled(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(anstream::stderr().lock(), "{}", only_styles(text));
}

/// Takes out what steers a terminal, but for sequences of colours and weights: `ESC [ 1 ; 31 m`.
fn only_styles(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut parts = text.split('\u{1b}');
    safe.push_str(&printable(parts.next().unwrap_or_default()));
    for part in parts {
        let style = part.strip_prefix('[').and_then(|rest| rest.find(|c: char| !(c.is_ascii_digit() || c == ';')).map(|end| &rest[end..]));
        match style.filter(|rest| rest.starts_with('m')) {
            Some(_) => safe.push('\u{1b}'),
            None => safe.push(char::REPLACEMENT_CHARACTER),
        }
        safe.push_str(&printable(part));
    }
    safe
}

/// Prints warnings on stderr.
pub fn print_warnings(warnings: &Problems) {
    if !warnings.is_empty() {
        styled(&mask(&warnings.render(true)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_styles_are_left_of_what_steers_a_terminal() {
        let ours = "\u{1b}[1m\u{1b}[91merror\u{1b}[0m: a\n\tb";
        assert_eq!(only_styles(ours), ours);
        assert_eq!(only_styles("a\u{1b}]0;x\u{7}b\u{1b}[2Jc\u{9b}d\u{1b}"), "a\u{fffd}]0;x\u{fffd}b\u{fffd}[2Jc\u{fffd}d\u{fffd}");
    }
}
