//! What an API error means and how to say it.

use kube::Error;

/// Whether the object does not exist.
pub fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404)
}

/// Whether a name is taken, a version stale or a precondition not met.
pub fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409)
}

/// Whether the same request may work in a moment: the connection broke, or the server said that it is busy.
pub fn is_transient(error: &Error) -> bool {
    match error {
        Error::Api(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504) && !status.message.contains("denied the request"),
        Error::HyperError(_) | Error::ReadEvents(_) => true,
        // Wrong certificates and logins stay wrong; everything else below HTTP is a broken connection.
        Error::Service(cause) => !chain(cause.as_ref()).contains("certificate"),
        _ => false,
    }
}

/// All causes of an error in one line; a cause that only repeats the one before is left out.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// One line: what was tried, on what, and what the server said.
pub fn describe(error: &Error, verb: &str, object: &str) -> anyhow::Error {
    match error {
        Error::Api(status) => anyhow::anyhow!("failed to {verb} {object}: {} ({} {})", status.message, status.code, status.reason),
        other => anyhow::anyhow!("failed to {verb} {object}: {}", chain(other)),
    }
}
