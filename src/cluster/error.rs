//! What an API error means and how to say it.

use std::time::Duration;

use kube::Error;

use super::bounded::Refused;
use crate::retry::{Fate, GaveUp, Story, out_of_files};

/// Whether the API server says that the object does not exist. The 404 of a proxy, which has another reason or none, does not
/// say that.
pub fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 404 && status.reason == "NotFound")
}

/// Whether a name is taken, a version stale or a precondition not met.
pub fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 409)
}

/// Whether a version is too old to list or watch from.
pub fn is_expired(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 410)
}

/// What an error says of its request.
pub fn fate(error: &Error) -> Fate {
    match error {
        Error::Api(status) => {
            let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
            let after = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
            match status.code {
                // A webhook that said no says it again; any other internal error may have come after the write.
                500 if status.message.contains("denied the request") => Fate::Final,
                500 => Fate::Unclear(after),
                // A refusal in JSON that is not a `Status`: it comes from something in front of the API server.
                0 => Fate::Unclear(after),
                code => Fate::of_status(code, after).unwrap_or(Fate::Final),
            }
        }
        // It would be so again; what was changed with it may have been.
        Error::Service(cause) if cause.is::<Refused>() => match cause.downcast_ref() {
            Some(Refused::TooLarge { reading: false, .. }) => Fate::Unclear(None),
            _ => Fate::Final,
        },
        // Wrong certificates and logins stay wrong; everything else below HTTP is a broken connection.
        Error::Service(cause) if chain(cause.as_ref()).contains("certificate") => Fate::Final,
        Error::Service(cause) if out_of_files(&chain(cause.as_ref())) => Fate::Final,
        Error::Service(cause)
            if cause.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(hyper_util::client::legacy::Error::is_connect) =>
        {
            Fate::NotNow(None)
        }
        // The request arrived, and its answer is not there or cannot be read.
        Error::Service(_) | Error::HyperError(_) | Error::ReadEvents(_) | Error::SerdeError(_) | Error::FromUtf8(_) => Fate::Unclear(None),
        _ => Fate::Final,
    }
}

/// The same for a list, which can be begun anew when its version is too old.
pub fn fate_of_list(error: &Error) -> Fate {
    if is_expired(error) { Fate::NotNow(None) } else { fate(error) }
}

/// The same for a merge patch without a version: a conflict is one of writers at the same moment.
pub fn fate_of_patch(error: &Error) -> Fate {
    if is_conflict(error) { Fate::NotNow(None) } else { fate(error) }
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

/// What the server said, or why it said nothing.
pub fn words(error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 0 => "the answer is a refusal without a code, which no API server gives".to_owned(),
        Error::Api(status) => format!("{} ({} {})", status.message, status.code, status.reason),
        Error::Service(cause) => chain(cause.as_ref()),
        Error::SerdeError(cause) => format!("the answer cannot be used: {cause}"),
        other => chain(other),
    }
}

/// One line: what was tried, on what, what the server said, and how often it was asked.
pub fn describe(error: &Error, story: Story, verb: &str, object: &str) -> anyhow::Error {
    anyhow::anyhow!("failed to {verb} {object}: {}{story}", words(error))
}

/// The same for a series of attempts.
pub fn described(gave_up: &GaveUp<Error>, verb: &str, object: &str) -> anyhow::Error {
    describe(&gave_up.error, gave_up.story, verb, object)
}
