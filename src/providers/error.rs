//! Why a source does not do what it is asked for.

use crate::diagnosis::{Diagnosis, Fact, Hinted, Id, Speaker};

/// Kind of a [`ProviderError`]: it decides the exit code, the id of the diagnosis and whether a retry makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderErrorKind {
    /// User name or password refused.
    Login,
    /// No connection.
    Unreachable,
    /// The certificate is not trusted.
    Certificate,
    /// A VM, datastore or other object that does not exist, or exists twice.
    NotFound,
    /// The source refused or failed an operation.
    Operation,
    /// The deadline ended.
    Deadline,
    /// The source cannot do this at all.
    Unsupported,
}

impl ProviderErrorKind {
    /// Id of the diagnosis.
    pub const fn id(self) -> Id {
        match self {
            Self::Login => Id::SourceAuthRefused,
            Self::Unreachable => Id::SourceUnreachable,
            Self::Certificate => Id::SourceCertificateUntrusted,
            Self::NotFound => Id::SourceNotFound,
            Self::Operation => Id::SourceOperationFailed,
            Self::Deadline => Id::SourceTimeout,
            Self::Unsupported => Id::SourceUnsupported,
        }
    }
}

/// Why a provider could not do what it was asked for. As text it has no hints: those are shown on lines of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderError {
    kind: ProviderErrorKind,
    text: String,
    hints: Vec<String>,
    /// What the source itself said, as a part of `text`.
    said: Option<String>,
}

impl ProviderError {
    /// An error of a kind. `text` says what failed, with the object, and why.
    pub fn new(kind: ProviderErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), hints: Vec::new(), said: None }
    }

    /// An error of a kind, from one that has hints already.
    pub fn from_hinted(kind: ProviderErrorKind, error: Hinted) -> Self {
        Self { hints: error.hints, ..Self::new(kind, error.text) }
    }

    /// User name or password refused.
    pub fn login(text: String) -> Self {
        Self::new(ProviderErrorKind::Login, text)
    }

    /// No connection, with the address.
    pub fn unreachable(text: String) -> Self {
        Self::new(ProviderErrorKind::Unreachable, text)
    }

    /// The certificate is not trusted.
    pub fn certificate(text: String) -> Self {
        Self::new(ProviderErrorKind::Certificate, text)
    }

    /// A VM, datastore or other object that does not exist, or exists twice.
    pub fn not_found(text: String) -> Self {
        Self::new(ProviderErrorKind::NotFound, text)
    }

    /// The source refused or failed an operation.
    pub fn operation(text: String) -> Self {
        Self::new(ProviderErrorKind::Operation, text)
    }

    /// The deadline ended; what was awaited.
    pub fn deadline(text: String) -> Self {
        Self::new(ProviderErrorKind::Deadline, text)
    }

    /// The source cannot do this at all.
    pub fn unsupported(text: String) -> Self {
        Self::new(ProviderErrorKind::Unsupported, text)
    }

    /// Adds what the user might do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds several hints.
    #[must_use]
    pub fn with_hints(mut self, hints: impl IntoIterator<Item = String>) -> Self {
        self.hints.extend(hints);
        self
    }

    /// Notes what the source itself said, which the text quotes.
    #[must_use]
    pub fn said(mut self, text: impl Into<String>) -> Self {
        self.said = Some(text.into()).filter(|said| !said.is_empty());
        self
    }

    /// The same with another text around it.
    #[must_use]
    pub fn reworded(mut self, text: impl FnOnce(&str) -> String) -> Self {
        self.text = text(&self.text);
        self
    }

    /// Its kind.
    pub const fn kind(&self) -> ProviderErrorKind {
        self.kind
    }

    /// Whether it is of a kind.
    pub fn is(&self, kind: ProviderErrorKind) -> bool {
        self.kind == kind
    }

    /// What the user might do.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Whether it is the environment (address, certificate, login) rather than the operation.
    pub fn is_environment(&self) -> bool {
        matches!(self.kind, ProviderErrorKind::Login | ProviderErrorKind::Unreachable | ProviderErrorKind::Certificate)
    }
}

impl std::fmt::Display for ProviderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ProviderError {}

impl From<ProviderError> for Diagnosis {
    fn from(error: ProviderError) -> Self {
        let mut lines = error.text.lines();
        let mut diagnosis = Self::new(error.kind.id(), lines.next().unwrap_or_default()).hints(error.hints);
        diagnosis.causes.extend(lines.map(str::to_owned));
        diagnosis.facts.extend(error.said.map(|said| Fact::said(Speaker::Source, said)));
        diagnosis
    }
}

impl From<ProviderError> for Hinted {
    fn from(error: ProviderError) -> Self {
        Self { text: error.text, hints: error.hints }
    }
}

/// Result of a provider operation.
pub type ProviderResult<T> = Result<T, ProviderError>;
