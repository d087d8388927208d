//! Why a source does not do what it is asked for.

/// Why a provider could not do what it was asked for. The kind decides the exit code and whether a retry makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderError {
    /// User name or password refused.
    Login(String),
    /// No connection, with the address.
    Unreachable(String),
    /// The certificate is not trusted.
    Certificate(String),
    /// A VM, datastore or other object that does not exist, or exists twice.
    NotFound(String),
    /// The source refused or failed an operation.
    Operation(String),
    /// The deadline ended; what was awaited.
    Deadline(String),
    /// The source cannot do this at all.
    Unsupported(String),
}

impl ProviderError {
    /// Whether it is the environment (address, certificate, login) rather than the operation.
    pub fn is_environment(&self) -> bool {
        matches!(self, Self::Login(_) | Self::Unreachable(_) | Self::Certificate(_))
    }
}

impl std::fmt::Display for ProviderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Login(text)
        | Self::Unreachable(text)
        | Self::Certificate(text)
        | Self::NotFound(text)
        | Self::Operation(text)
        | Self::Deadline(text)
        | Self::Unsupported(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for ProviderError {}

/// Result of a provider operation.
pub type ProviderResult<T> = Result<T, ProviderError>;
