//! Marker expressions as pytest has them: `tier0 and not (warm or remote)`.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use crate::config::diagnostics::{Problem, Problems, Source};

/// Markers that are known although no scenario may carry them yet: those that mtv-api-tests registers.
pub const REGISTERED: &[&str] = &[
    "aap",
    "ca_crt",
    "copyoffload",
    "copyoffload_sanity",
    "copyoffload_snapshots",
    "deep_inspection",
    "esxi",
    "hyperv",
    "openshift",
    "openstack",
    "ova",
    "remote",
    "rhv",
    "shared_disk",
    "tier0",
    "tier1",
    "upgrade",
    "vsphere",
    "warm",
];

/// Deepest nesting of parentheses and `not`. Nobody writes more, and the parser's stack stays small whatever it is fed.
const DEEPEST: usize = 64;

/// Most words of an expression. A chain of `and` becomes as deep as it is long, and is walked and freed by recursion.
const LONGEST: usize = 1000;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Carries the marker.
    Marker(String),
    /// Does not match.
    Not(Box<Expression>),
    /// Both match.
    And(Box<Expression>, Box<Expression>),
    /// One of them matches.
    Or(Box<Expression>, Box<Expression>),
}

impl Expression {
    /// Parses an expression; every marker must be known.
    pub fn parse(text: &str, known: &BTreeSet<&str>) -> Result<Self, Problems> {
        let source = Source::new("--marker", text);
        let tokens = tokens(text, &source)?;
        if let Some((_, span)) = tokens.get(LONGEST) {
            let problem = Problem::error(format!("the marker expression has more than {LONGEST} words")).at(&source, span.clone(), "");
            return Err(problem.help("select by names, or give the scenarios a marker of their own").into());
        }
        let mut parser = Parser { source: &source, tokens: &tokens, next: 0, end: text.len(), known, unknown: Problems::default() };
        let expression = parser.or(0)?;
        if let Some(token) = parser.tokens.get(parser.next) {
            return Err(parser.unexpected(token).into());
        }
        if parser.unknown.is_empty() { Ok(expression) } else { Err(parser.unknown) }
    }

    /// Whether something with these markers matches.
    pub fn matches(&self, markers: &[String]) -> bool {
        match self {
            Self::Marker(marker) => markers.contains(marker),
            Self::Not(inner) => !inner.matches(markers),
            Self::And(left, right) => left.matches(markers) && right.matches(markers),
            Self::Or(left, right) => left.matches(markers) || right.matches(markers),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What<'t> {
    Open,
    Close,
    And,
    Or,
    Not,
    Word(&'t str),
}

type Token<'t> = (What<'t>, Range<usize>);

fn tokens<'t>(text: &'t str, source: &Arc<Source>) -> Result<Vec<Token<'t>>, Problems> {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let what = match c {
            _ if c.is_whitespace() => continue,
            '(' => (What::Open, at..at + 1),
            ')' => (What::Close, at..at + 1),
            _ if is_word(c) => {
                let mut end = at + c.len_utf8();
                while let Some((next, c)) = chars.next_if(|(_, c)| is_word(*c)) {
                    end = next + c.len_utf8();
                }
                let word = &text[at..end];
                let what = match word {
                    "and" => What::And,
                    "or" => What::Or,
                    "not" => What::Not,
                    word => What::Word(word),
                };
                (what, at..end)
            }
            _ => {
                let help = match c {
                    '&' => "write `and`",
                    '|' | ',' => "write `or`",
                    '!' => "write `not`",
                    '"' | '\'' => "markers need no quotes",
                    _ => "an expression holds markers, `and`, `or`, `not` and parentheses",
                };
                return Err(Problem::error(format!("unexpected `{c}` in the marker expression"))
                    .at(source, at..at + c.len_utf8(), "")
                    .help(help)
                    .into());
            }
        };
        tokens.push(what);
    }
    Ok(tokens)
}

/// Recursive descent: or > and > not > marker or parentheses.
struct Parser<'p, 't> {
    source: &'p Arc<Source>,
    tokens: &'p [Token<'t>],
    next: usize,
    end: usize,
    known: &'p BTreeSet<&'p str>,
    unknown: Problems,
}

impl<'t> Parser<'_, 't> {
    fn take(&mut self, what: &What<'t>) -> bool {
        let hit = self.tokens.get(self.next).is_some_and(|(token, _)| token == what);
        self.next += usize::from(hit);
        hit
    }

    fn or(&mut self, depth: usize) -> Result<Expression, Problems> {
        let mut left = self.and(depth)?;
        while self.take(&What::Or) {
            left = Expression::Or(Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<Expression, Problems> {
        let mut left = self.not(depth)?;
        while self.take(&What::And) {
            left = Expression::And(Box::new(left), Box::new(self.not(depth)?));
        }
        Ok(left)
    }

    fn not(&mut self, depth: usize) -> Result<Expression, Problems> {
        if depth > DEEPEST {
            return Err(self.problem("the marker expression is nested too deeply", self.here(), "write it with fewer parentheses").into());
        }
        if self.take(&What::Not) {
            return Ok(Expression::Not(Box::new(self.not(depth + 1)?)));
        }
        let open = self.here();
        if self.take(&What::Open) {
            let inner = self.or(depth + 1)?;
            if !self.take(&What::Close) {
                let problem = self.problem("a parenthesis is not closed", self.here(), "add `)`");
                return Err(problem.also(self.source, open, "opened here").into());
            }
            return Ok(inner);
        }
        match self.tokens.get(self.next) {
            Some((What::Word(word), span)) => {
                self.next += 1;
                if !self.known.contains(word) {
                    let nearest = crate::config::suggest::nearest(word, self.known.iter().copied());
                    let all: Vec<&str> = self.known.iter().copied().collect();
                    let problem = Problem::error(format!("unknown marker `{word}`")).at(self.source, span.clone(), "");
                    let problem = problem.help_maybe(nearest.map(|near| format!("did you mean `{near}`?")));
                    self.unknown.push(problem.help(format!("known markers: {}", all.join(", "))));
                }
                Ok(Expression::Marker((*word).to_owned()))
            }
            Some(token) => Err(self.unexpected(token).into()),
            None if self.tokens.is_empty() => {
                Err(self.problem("the marker expression is empty", 0..0, "write a marker, such as `tier0`").into())
            }
            None => Err(self.problem("the marker expression ends too early", self.here(), "a marker is missing at the end").into()),
        }
    }

    fn here(&self) -> Range<usize> {
        self.tokens.get(self.next).map_or(self.end..self.end, |(_, span)| span.clone())
    }

    fn problem(&self, title: &str, span: Range<usize>, help: &str) -> Problem {
        Problem::error(title).at(self.source, span, "").help(help)
    }

    fn unexpected(&self, (what, span): &Token<'_>) -> Problem {
        let (word, help) = match what {
            What::Open => ("(", "an `and` or `or` is missing before it"),
            What::Close => (")", "nothing is open here, or a marker is missing before it"),
            What::And => ("and", "a marker is missing before it"),
            What::Or => ("or", "a marker is missing before it"),
            What::Not => ("not", "an `and` or `or` is missing before it"),
            What::Word(word) => (*word, "an `and` or `or` is missing before it"),
        };
        self.problem(&format!("unexpected `{word}` in the marker expression"), span.clone(), help)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known() -> BTreeSet<&'static str> {
        ["tier0", "tier1", "warm", "remote"].into()
    }

    #[test]
    fn truth_table() {
        let sets: [&[&str]; 5] = [&[], &["tier0"], &["tier0", "warm"], &["remote"], &["tier0", "warm", "remote"]];
        for (text, want) in [
            ("tier0", [false, true, true, false, true]),
            ("not tier0", [true, false, false, true, false]),
            ("tier0 and warm", [false, false, true, false, true]),
            ("tier0 or remote", [false, true, true, true, true]),
            ("tier0 and not (warm or remote)", [false, true, false, false, false]),
            // `and` binds tighter than `or`, `not` tighter than both.
            ("remote or tier0 and warm", [false, false, true, true, true]),
            ("not remote and tier0", [false, true, true, false, false]),
            ("not not warm", [false, false, true, false, true]),
            ("((tier0))", [false, true, true, false, true]),
        ] {
            let expression = Expression::parse(text, &known()).unwrap();
            let got = sets.map(|set| expression.matches(&set.iter().map(|m| (*m).to_owned()).collect::<Vec<_>>()));
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!("{}tier0{}", "(".repeat(400), ")".repeat(400));
        assert!(Expression::parse(&deep, &known()).unwrap_err().to_string().contains("nested too deeply"));
        let deep = format!("{}tier0", "not ".repeat(900));
        assert!(Expression::parse(&deep, &known()).unwrap_err().to_string().contains("nested too deeply"));
        // A chain is as deep as it is long.
        let long = format!("tier0{}", " and tier0".repeat(100_000));
        assert!(Expression::parse(&long, &known()).unwrap_err().to_string().contains("more than 1000 words"));
    }

    #[test]
    fn errors_have_carets() {
        let broken = [
            "",
            "tier0 and",
            "and tier0",
            "tier0 warm",
            "(tier0",
            "tier0)",
            "tier0 & warm",
            "\"tier0\"",
            "teir0 and wram",
            "nosuchmarker",
            "not",
            "()",
        ];
        let shown: Vec<String> =
            broken.iter().map(|text| format!("### {text}\n{}", Expression::parse(text, &known()).unwrap_err())).collect();
        insta::assert_snapshot!(shown.join("\n\n"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "(\\PC|tier0|warm| and | or |not |\\(|\\)){0,30}") {
            if let Err(problems) = Expression::parse(&text, &known()) {
                prop_assert!(!problems.to_string().is_empty());
            }
        }
    }
}
