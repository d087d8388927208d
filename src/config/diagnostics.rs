//! What is wrong with a file, shown the way rustc shows it: file, line, column, the line itself with a caret, and how to mend it.

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::secrets::printable;

/// How many problems are shown at once.
const MOST_SHOWN: usize = 100;

/// Blanks that stand for the rest of a secret are left out of an underline, up to so many bytes.
const LONGEST_BLANK: usize = 256;

/// A text that problems point into: a file, an environment variable, a command line argument.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// What stands before `:line:column`.
    name: String,
    /// The text as it is shown. Secrets are blotted out by bytes, so that spans stay true.
    shown: String,
    /// Offsets of its line ends, once somebody asks for a line.
    line_ends: OnceLock<Vec<usize>>,
}

impl Source {
    /// A text without secrets.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), shown: text.into(), line_ends: OnceLock::new() })
    }

    /// Name of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Line of a byte offset, from 1.
    pub fn line(&self, offset: usize) -> usize {
        let ends = self.line_ends.get_or_init(|| self.shown.match_indices('\n').map(|(at, _)| at).collect());
        ends.partition_point(|end| *end < offset) + 1
    }

    /// Brings a span into the text: inside, on character boundaries, and not empty where that is possible. Blanks at its end are
    /// left out: they can stand for the rest of a secret.
    fn clamp(&self, span: &Range<usize>) -> Range<usize> {
        let floor = |mut at: usize| {
            at = at.min(self.shown.len());
            while !self.shown.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (floor(span.start), floor(span.end));
        let text = self.shown.get(start..end).unwrap_or_default();
        // Not further than a secret is long: a file of nothing but blanks has a mistake at each of them.
        let near = (0..=text.len().saturating_sub(LONGEST_BLANK)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        let (whole, tail) = text.split_at(near);
        start..start + whole.len() + tail.trim_end().len()
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The input cannot be used.
    Error,
    /// It can be used, but something deserves attention.
    Warning,
    /// Worth knowing, and most likely meant.
    Note,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    severity: Severity,
    title: String,
    place: Option<(Arc<Source>, Range<usize>, String)>,
    also: Vec<(Arc<Source>, Range<usize>, String)>,
    help: Vec<String>,
}

impl Problem {
    /// An error: what is wrong, as a fragment without full stop.
    pub fn error(title: impl Into<String>) -> Self {
        Self { severity: Severity::Error, title: title.into(), place: None, also: Vec::new(), help: Vec::new() }
    }

    /// A warning.
    pub fn warning(title: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(title) }
    }

    /// A note: something that is most likely meant.
    pub fn note(title: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(title) }
    }

    /// Where it is, and a few words that stand beside the caret.
    #[must_use]
    pub fn at(mut self, source: &Arc<Source>, span: Range<usize>, label: impl Into<String>) -> Self {
        self.place = Some((source.clone(), span, label.into()));
        self
    }

    /// Another place that matters, such as the first of two definitions.
    #[must_use]
    pub fn also(mut self, source: &Arc<Source>, span: Range<usize>, label: impl Into<String>) -> Self {
        self.also.push((source.clone(), span, label.into()));
        self
    }

    /// How to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// How to mend it, if there is anything to say.
    #[must_use]
    pub fn help_maybe(mut self, help: Option<String>) -> Self {
        self.help.extend(help);
        self
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// How to fix it: one line for each way.
    pub fn helps(&self) -> &[String] {
        &self.help
    }

    /// What is wrong, without place and help.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The whole report, with terminal styles when `styled`. Writers strip them where there is no terminal.
    pub fn render(&self, styled: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        // Files of others can hold anything; the library makes the lines that it quotes safe by itself.
        let title = printable(&self.title);
        let help: Vec<String> = self.help.iter().map(|help| printable(help)).collect();
        let group = Group::with_title(level.primary_title(title.as_str()));
        if self.place.is_none() {
            // Without a line there is nothing to hang the help below; it gets lines of its own.
            let helps = help.iter().map(|help| Group::with_title(Level::HELP.with_name("hint").secondary_title(help.as_str())));
            let lines = std::iter::once(group).chain(helps).map(|group| renderer.render(&[group]));
            return lines.collect::<Vec<_>>().join("\n");
        }
        let helps = help.iter().map(|help| Level::HELP.message(help.as_str()));
        let text = renderer.render(&[group.elements(self.snippets()).elements(helps)]);
        text.lines().map(without_blanks_at_the_end).collect::<Vec<_>>().join("\n")
    }

    /// One snippet per file, the main place first; places of the same file share theirs.
    fn snippets(&self) -> Vec<Snippet<'_, annotate_snippets::Annotation<'_>>> {
        let mut snippets: Vec<(&Source, Snippet<'_, _>)> = Vec::new();
        let places = self.place.iter().map(|p| (AnnotationKind::Primary, p)).chain(self.also.iter().map(|p| (AnnotationKind::Context, p)));
        for (kind, (source, span, label)) in places {
            let label = (!label.is_empty()).then_some(label.as_str());
            let annotation = kind.span(source.clamp(span)).label(label);
            if let Some(at) = snippets.iter().position(|(known, _)| std::ptr::eq(*known, source.as_ref())) {
                let (source, snippet) = snippets.remove(at);
                snippets.insert(at, (source, snippet.annotation(annotation)));
            } else {
                let snippet = Snippet::source(source.shown.as_str()).path(source.name.as_str()).annotation(annotation);
                snippets.push((source, snippet));
            }
        }
        snippets.into_iter().map(|(_, snippet)| snippet).collect()
    }
}

/// A line without the blanks at its end, also those before codes of style: they can stand for the rest of a secret.
fn without_blanks_at_the_end(line: &str) -> String {
    let (mut text, mut codes) = (line, String::new());
    loop {
        text = text.trim_end_matches(' ');
        let code = text.rfind("\u{1b}[").filter(|at| {
            let code = text[at + 2..].strip_suffix('m');
            code.is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'))
        });
        let Some(at) = code else { return format!("{text}{codes}") };
        codes.insert_str(0, &text[at..]);
        text = &text[..at];
    }
}

/// Everything that is wrong, in the order in which it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Adds all of another list.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Adds those of another list that are not here yet.
    pub fn append_new(&mut self, other: Self) {
        // By title and place first: a file can have a mistake at each of its bytes.
        let key = |problem: &Problem| {
            let span = problem.place.as_ref().map(|(_, span, _)| (span.start, span.end));
            (problem.title.clone(), span)
        };
        let mut known: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, problem) in self.0.iter().enumerate() {
            known.entry(key(problem)).or_default().push(at);
        }
        for problem in other.0 {
            let alike = known.entry(key(&problem)).or_default();
            if alike.iter().all(|at| self.0[*at] != problem) {
                alike.push(self.0.len());
                self.0.push(problem);
            }
        }
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|p| p.severity == Severity::Error)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Brings the problems of one file into the order of its lines.
    pub fn sort(&mut self) {
        self.0.sort_by_key(|problem| problem.place.as_ref().map(|(_, span, _)| span.start));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    pub fn all(&self) -> &[Problem] {
        &self.0
    }

    /// The value if there is no error, with the warnings; otherwise the problems.
    pub fn into_result<T>(self, value: T) -> Result<(T, Self), Self> {
        if self.has_errors() { Err(self) } else { Ok((value, self)) }
    }

    /// Reports, a blank line between them: those that somebody reads. Each goes through its whole file once more.
    pub fn render(&self, styled: bool) -> String {
        let mut shown: Vec<String> = self.0.iter().take(MOST_SHOWN).map(|p| p.render(styled)).collect();
        if let Some(more) = self.0.len().checked_sub(MOST_SHOWN).filter(|more| *more > 0) {
            shown.push(format!("… and {more} more; fix these first"));
        }
        shown.join("\n\n")
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_report_depends_on_the_length_of_a_hidden_value() {
        let shown = |length: usize, styled: bool| {
            let text = super::super::blot::blot(&format!("password = \"{}\"\n", "x".repeat(length)), super::super::blot::Show::Harmless);
            let source = Source::new("p.toml", text.as_str());
            Problem::error("e").at(&source, 11..text.len() - 1, "here").render(styled)
        };
        for styled in [false, true] {
            assert_eq!(shown(8, styled), shown(30, styled), "{}", shown(8, styled));
        }
        for (line, wanted) in
            [("a  ", "a"), ("a \u{1b}[0m \u{1b}[1;31m", "a\u{1b}[0m\u{1b}[1;31m"), ("", ""), ("a\u{1b}[x m", "a\u{1b}[x m")]
        {
            assert_eq!(without_blanks_at_the_end(line), wanted);
        }
    }
}
