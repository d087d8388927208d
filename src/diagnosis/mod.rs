//! What went wrong, as data: a stable id, the object, causes, evidence and hints.
//!
//! A [`Diagnosis`] is built where a failure arises and rendered by reports. Nothing parses its sentences: whoever has to decide by
//! what happened reads the [`Id`] and the [`Fact`]s.

mod id;
mod known_issues;

pub use id::Id;
pub use known_issues::{IMAGE, advise, hints, of_populator};

use serde::Serialize;

/// Why a step did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Stable name of the kind of failure; `docs/troubleshooting.md` explains each.
    pub id: Id,
    /// Kind and name of the object that it is about, such as `Plan mig/x`. Empty if there is no single one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// One line.
    pub summary: String,
    /// Why: the chain of causes, the conditions and obstacles that were found.
    pub causes: Vec<String>,
    /// What was seen: last states, logs, expected beside actual values.
    pub evidence: Vec<String>,
    /// What the user might do.
    pub hints: Vec<String>,
    /// Typed facts behind the lines, for the advice on known issues. Not reported.
    #[serde(skip)]
    pub facts: Vec<Fact>,
}

/// Who said a text that is quoted from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The log of a populator, which copies a disk with the storage array.
    Populator,
    /// Forklift, as the reason of a failed step of a VM's pipeline.
    Pipeline,
    /// Forklift, in the message of a condition.
    Condition,
    /// Kubernetes: the message of an event, a container's state or a refusal of the API server.
    Cluster,
    /// The source: a fault or an error body of its API.
    Source,
}

/// A typed fact of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A condition of an object of Forklift blocks it.
    Condition {
        /// Its type, such as `VMNotFound`.
        kind: String,
        /// Its reason.
        reason: Option<String>,
    },
    /// A step of the pipeline of a VM failed.
    FailedStep(String),
    /// A container waits for this reason, such as `ImagePullBackOff`.
    Waiting(String),
    /// A text of a program that is not ours.
    Said {
        /// Who said it.
        by: Speaker,
        /// What.
        text: String,
    },
    /// A system call of this machine failed with this error number.
    Os(i32),
}

impl Fact {
    /// A text that is quoted from a program that is not ours.
    pub fn said(by: Speaker, text: impl Into<String>) -> Self {
        Self::Said { by, text: text.into() }
    }
}

impl Diagnosis {
    /// A diagnosis that one line tells.
    pub fn new(id: Id, summary: impl Into<String>) -> Self {
        Self {
            id,
            subject: String::new(),
            summary: summary.into(),
            causes: Vec::new(),
            evidence: Vec::new(),
            hints: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// Names the object that it is about.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Adds a cause.
    #[must_use]
    pub fn cause(mut self, line: impl Into<String>) -> Self {
        self.causes.push(line.into());
        self
    }

    /// Adds something that was seen.
    #[must_use]
    pub fn evidence(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }

    /// Adds what the user might do.
    #[must_use]
    pub fn hint(mut self, line: impl Into<String>) -> Self {
        self.hints.push(line.into());
        self
    }

    /// Adds several hints.
    #[must_use]
    pub fn hints(mut self, lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.hints.extend(lines.into_iter().map(Into::into));
        self
    }

    /// Adds a typed fact.
    #[must_use]
    pub fn fact(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }

    /// Causes, then evidence: the lines that reports show below the summary.
    pub fn details(&self) -> impl Iterator<Item = &String> {
        self.causes.iter().chain(&self.evidence)
    }

    /// Summary, causes and evidence in one line, for places that show nothing else.
    pub fn line(&self, separator: &str) -> String {
        std::iter::once(self.summary.as_str()).chain(self.details().map(String::as_str)).collect::<Vec<_>>().join(separator)
    }

    /// Everything in one line, hints too, for the reason of a leftover: `SUMMARY (DETAILS); HINTS`.
    pub fn one_line(&self) -> String {
        let details: Vec<&str> = self.details().map(String::as_str).collect();
        let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join("; ")) };
        let hints = if self.hints.is_empty() { String::new() } else { format!("; {}", self.hints.join("; ")) };
        format!("{}{details}{hints}", self.summary)
    }

    /// Appends another diagnosis below this one, which keeps its id and summary.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.causes.push(other.summary);
        self.causes.extend(other.causes);
        self.evidence.extend(other.evidence);
        self.hints.extend(other.hints);
        self.facts.extend(other.facts);
        self
    }

    /// Changes every text that reports show, for masking.
    #[must_use]
    pub fn map_texts(self, map: &impl Fn(String) -> String) -> Self {
        let all = |lines: Vec<String>| lines.into_iter().map(map).collect();
        Self {
            id: self.id,
            subject: map(self.subject),
            summary: map(self.summary),
            causes: all(self.causes),
            evidence: all(self.evidence),
            hints: all(self.hints),
            facts: Vec::new(),
        }
    }
}

/// A diagnosis on its way through `anyhow`. As text it has no hints: those are for commands and reports, which show them on lines of
/// their own.
#[derive(Debug, Clone)]
pub struct Explained(pub Diagnosis);

impl std::fmt::Display for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines = [&self.0.summary].into_iter().filter(|summary| !summary.is_empty()).chain(self.0.details());
        for (at, line) in lines.enumerate() {
            write!(f, "{}{line}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for Explained {}

/// An error with hints for the user, for code that does not know yet which diagnosis it becomes. As text it has no hints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hinted {
    /// What failed and why.
    pub text: String,
    /// What the user might do.
    pub hints: Vec<String>,
}

impl Hinted {
    /// An error with one hint.
    pub fn new(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { text: text.into(), hints: vec![hint.into()] }
    }
}

impl From<String> for Hinted {
    fn from(text: String) -> Self {
        Self { text, hints: Vec::new() }
    }
}

impl std::fmt::Display for Hinted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Hinted {}

/// A message with its hints on lines of their own, for places that have nothing but text.
pub fn with_hints(message: &str, hints: &[String]) -> String {
    let mut text = message.to_owned();
    for hint in hints {
        text.push_str("\nhint: ");
        text.push_str(hint);
    }
    text
}

impl Diagnosis {
    /// An error of the environment, from its chain of causes: the first [`Explained`] among them gives the id, all of them their lines
    /// and hints.
    pub fn of_error(error: &anyhow::Error) -> Self {
        let mut whole: Option<Id> = None;
        let (mut lines, mut evidence, mut hints, mut facts, mut subject) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), String::new());
        for cause in error.chain() {
            if let Some(Explained(known)) = cause.downcast_ref::<Explained>() {
                whole = whole.or(Some(known.id));
                if subject.is_empty() {
                    subject.clone_from(&known.subject);
                }
                lines.extend(Some(&known.summary).filter(|summary| !summary.is_empty()).cloned());
                lines.extend(known.causes.iter().cloned());
                evidence.extend(known.evidence.iter().cloned());
                hints.extend(known.hints.iter().cloned());
                facts.extend(known.facts.iter().cloned());
                continue;
            }
            lines.extend(Some(cause.to_string()).filter(|line| !line.is_empty()));
            if let Some(hinted) = cause.downcast_ref::<Hinted>() {
                hints.extend(hinted.hints.iter().cloned());
            }
            facts.extend(cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error).map(Fact::Os));
        }
        let mut lines = lines.into_iter();
        let summary = lines.next().unwrap_or_default();
        Self { id: whole.unwrap_or(Id::RunEnvironment), subject, summary, causes: lines.collect(), evidence, hints, facts }
    }
}

#[cfg(test)]
mod tests;
