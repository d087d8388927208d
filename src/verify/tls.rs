//! TLS setting: the source Provider's Secret says what the profile says about verifying certificates.

use super::{Check, Comparison, NONE, Subject};

/// `insecureSkipVerify` of the source Provider's Secret.
pub struct Tls;

/// What the profile wants and what the cluster has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderTls {
    /// Name of the Secret, with its namespace.
    pub secret: String,
    /// Whether the profile turns verification off.
    pub skip_verify: bool,
    /// The Secret's value; `None` if it has none.
    pub actual: Option<String>,
}

impl Check for Tls {
    fn name(&self) -> &'static str {
        "tls setting"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        subject.tls.is_none().then(|| "it is one for all VMs, or the Provider has no Secret".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let Some(tls) = subject.tls else { return };
        let what = format!("insecureSkipVerify of Secret {}", tls.secret);
        seen.same(what, tls.skip_verify, tls.actual.as_deref().unwrap_or(NONE));
    }
}
