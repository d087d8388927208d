//! What a template is made of, and how Go writes it in its errors.

use std::fmt::{Display, Formatter, Result};

/// A node of the text.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Text as it stands.
    Text(String),
    /// An action that prints or declares.
    Action {
        /// What it evaluates.
        pipe: Pipe,
    },
    /// `if`, `with` or `range`.
    Branch(Box<Branch>),
    /// `template`, or the use of a `block`.
    Template {
        /// Where it stands.
        at: usize,
        /// Which one.
        name: String,
        /// What it gets as its dot.
        pipe: Option<Pipe>,
    },
    /// `break`.
    Break,
    /// `continue`.
    Continue,
}

/// The word of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// `if`.
    If,
    /// `with`.
    With,
    /// `range`.
    Range,
}

impl Word {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::With => "with",
            Self::Range => "range",
        }
    }
}

/// `{{if pipe}} list {{else}} other {{end}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Its word.
    pub word: Word,
    /// What decides.
    pub pipe: Pipe,
    /// Where it is true, or for each element.
    pub list: Vec<Node>,
    /// Where it is not.
    pub otherwise: Option<Vec<Node>>,
}

/// Commands; each one's value is the last argument of the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipe {
    /// Where it stands.
    pub at: usize,
    /// Variables that are set.
    pub declarations: Vec<String>,
    /// Whether they are set again rather than declared.
    pub assigns: bool,
    /// Commands.
    pub commands: Vec<Command>,
}

/// A function with its arguments, or a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Where it stands.
    pub at: usize,
    /// Function and arguments, or the value alone.
    pub operands: Vec<Operand>,
}

/// A number with all readings that its text allows.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// As written.
    pub text: String,
    /// As a whole number, if it is one and fits.
    pub int: Option<i64>,
    /// As a number.
    pub float: Option<f64>,
}

/// What an operand is.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// A function's name.
    Function(String),
    /// `.`.
    Dot,
    /// `nil`.
    Nil,
    /// `.A.B`.
    Field(Vec<String>),
    /// `$a.B`; the first name has its `$`.
    Variable(Vec<String>),
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text: as written, and as meant.
    Text(String, String),
    /// `(pipe)`.
    Pipe(Pipe),
    /// `(pipe).A.B`.
    Chain(Box<Operand>, Vec<String>),
}

/// A term and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Operand {
    /// Where it stands.
    pub at: usize,
    /// What it is.
    pub term: Term,
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let fields = |f: &mut Formatter<'_>, names: &[String]| names.iter().try_for_each(|name| write!(f, ".{name}"));
        match &self.term {
            Term::Function(name) => f.write_str(name),
            Term::Dot => f.write_str("."),
            Term::Nil => f.write_str("nil"),
            Term::Field(names) => fields(f, names),
            Term::Variable(names) => f.write_str(&names.join(".")),
            Term::Bool(value) => write!(f, "{value}"),
            Term::Number(number) => f.write_str(&number.text),
            Term::Text(written, _) => f.write_str(written),
            Term::Pipe(pipe) => write!(f, "({pipe})"),
            Term::Chain(operand, names) => {
                write!(f, "{operand}")?;
                fields(f, names)
            }
        }
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for (index, operand) in self.operands.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{operand}")?;
        }
        Ok(())
    }
}

impl Display for Pipe {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if !self.declarations.is_empty() {
            write!(f, "{} {} ", self.declarations.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl Display for Branch {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{{{{{} {}}}}}", self.word.as_str(), self.pipe)?;
        self.list.iter().try_for_each(|node| write!(f, "{node}"))?;
        if let Some(otherwise) = &self.otherwise {
            f.write_str("{{else}}")?;
            otherwise.iter().try_for_each(|node| write!(f, "{node}"))?;
        }
        f.write_str("{{end}}")
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Action { pipe } => write!(f, "{{{{{pipe}}}}}"),
            Self::Branch(branch) => write!(f, "{branch}"),
            Self::Template { name, pipe, .. } => {
                write!(f, "{{{{template {}", super::text::quote(name))?;
                if let Some(pipe) = pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            Self::Break => f.write_str("{{break}}"),
            Self::Continue => f.write_str("{{continue}}"),
        }
    }
}
