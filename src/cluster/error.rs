//! What an API error means and how to say it.

use std::time::Duration;

use http::StatusCode;
use kube::Error;

use super::{bounded::Refused, connect::ConnectError, login::LoginError};
use crate::{
    diagnosis::{Diagnosis, Explained, Fact, Id, Speaker},
    providers::tls::tls_error,
    retry::{Fate, GaveUp, NoAnswer, Story, out_of_files},
};

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
        Error::Service(cause) if out_of_files(cause.as_ref()) => Fate::Final,
        Error::Service(cause) if below::<LoginError>(cause.as_ref()).is_some() => Fate::Final,
        Error::Service(cause) if below::<ConnectError>(cause.as_ref()).is_some() => {
            if below::<ConnectError>(cause.as_ref()).is_some_and(ConnectError::is_final) { Fate::Final } else { Fate::NotNow(None) }
        }
        Error::Service(cause) if refuses_certificate(cause.as_ref()) => Fate::Final,
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
    if below::<std::io::Error>(error).is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof) {
        // The libraries' own words link to their manuals.
        return "the server closed the connection before it had answered".to_owned();
    }
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

/// The error of a type among an error and its causes.
pub(super) fn below<'a, E: std::error::Error + 'static>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Whether the server ended the connection because of the client's certificate. With TLS 1.3 it does so after the handshake.
pub(super) fn refuses_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        tls_error(error),
        Some(rustls::Error::AlertReceived(
            Alert::BadCertificate
                | Alert::CertificateExpired
                | Alert::CertificateRequired
                | Alert::CertificateRevoked
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::UnsupportedCertificate
        ))
    )
}

/// What the server said, or why it said nothing.
pub fn words(error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 0 => "the answer is a refusal without a code, which no API server gives".to_owned(),
        Error::Api(status) => format!("{} ({} {})", status.message, status.code, status.reason),
        Error::Service(cause) => match (below::<ConnectError>(cause.as_ref()), below::<LoginError>(cause.as_ref())) {
            // What the layers above add says nothing more.
            (Some(error), _) => error.to_string(),
            (_, Some(LoginError(Explained(trouble)))) => trouble.summary.clone(),
            _ => chain(cause.as_ref()),
        },
        Error::SerdeError(cause) => format!("the answer cannot be used: {cause}"),
        other => chain(other),
    }
}

/// A right that a login does not have, as the API server's refusal names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MissingRight {
    user: String,
    verb: String,
    /// With its group, as `oc auth can-i` takes it: `plans.forklift.konveyor.io`.
    resource: String,
    /// None: at the cluster scope.
    namespace: Option<String>,
}

/// What stands between two marks of a text.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(&rest[..rest.find(after)?])
}

/// Whether a refusal is about a right, as opposed to a quota, a policy or a namespace that is being deleted.
pub(super) fn is_missing_right(message: &str) -> bool {
    message.contains(" is forbidden: User ") && message.contains(" cannot ")
}

fn missing_right(message: &str) -> Option<MissingRight> {
    // plans.forklift.konveyor.io "p" is forbidden: User "u" cannot get resource "plans" in API group "g" in the namespace "n"
    if !is_missing_right(message) {
        return None;
    }
    let (what, refusal) = message.split_once(" is forbidden: User ")?;
    let user = between(refusal, "\"", "\"")?.to_owned();
    let verb = refusal.split_once(" cannot ")?.1.split_whitespace().next()?.to_owned();
    let resource = match (between(refusal, "resource \"", "\""), between(refusal, "API group \"", "\"")) {
        (Some(resource), Some("")) => resource.to_owned(),
        (Some(resource), Some(group)) => format!("{resource}.{group}"),
        _ => what.split_whitespace().next()?.to_owned(),
    };
    Some(MissingRight { user, verb, resource, namespace: between(refusal, "in the namespace \"", "\"").map(str::to_owned) })
}

impl MissingRight {
    /// How to check and how to grant it.
    fn hints(&self) -> Vec<String> {
        let Self { user, verb, resource, namespace } = self;
        let scope = namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
        // A subresource is a part of the resource's name in rules.
        let safe = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-._:/@".contains(c));
        if ![user, verb, resource].into_iter().all(|text| safe(text)) || !namespace.as_deref().is_none_or(safe) {
            return vec!["ask an administrator of the cluster for this right".to_owned()];
        }
        let role = format!("kubectl create clusterrole mtv-test-{verb} --verb={verb} --resource={resource}");
        let subject = match user.strip_prefix("system:serviceaccount:") {
            Some(account) => format!("--serviceaccount={account}"),
            None => format!("--user={user}"),
        };
        let (kind, everywhere) = match namespace {
            Some(_) => ("rolebinding", "; for namespaces that runs create it has to be a clusterrolebinding"),
            None => ("clusterrolebinding", ""),
        };
        vec![
            format!("check it with `oc auth can-i {verb} {resource}{scope}`"),
            format!(
                "an administrator grants it with `{role}` and `kubectl create {kind} mtv-test-{verb} --clusterrole=mtv-test-{verb} \
                 {subject}{scope}`{everywhere}"
            ),
        ]
    }
}

/// What the user can do about a refusal, as far as its text tells; nothing for other troubles.
pub(super) fn advice(message: &str) -> Vec<String> {
    match missing_right(message) {
        Some(right) if right.user == "system:anonymous" => {
            vec!["the request carries no login that the cluster knows: check the user of the kubeconfig's context, or log in with `oc login`".to_owned()]
        }
        Some(right) => right.hints(),
        None => Vec::new(),
    }
}

/// The id of an error of the API server, or of the way to it.
pub fn id_of(error: &Error) -> Id {
    match error {
        Error::Api(status) if status.code == StatusCode::UNAUTHORIZED.as_u16() => Id::ClusterAuthRefused,
        Error::Api(status) if status.code == StatusCode::FORBIDDEN.as_u16() && is_missing_right(&status.message) => Id::ClusterForbidden,
        Error::Service(cause) => {
            let cause = cause.as_ref();
            match (below::<LoginError>(cause), below::<ConnectError>(cause)) {
                (Some(LoginError(Explained(of_login))), _) => of_login.id,
                (_, Some(ConnectError::Certificate { .. })) => Id::ClusterCertificateUntrusted,
                (_, Some(_)) => Id::ClusterUnreachable,
                _ if refuses_certificate(cause) => Id::ClusterAuthRefused,
                _ if below::<NoAnswer>(cause).is_some() => Id::ClusterTimeout,
                _ if below::<Refused>(cause).is_some() => Id::ClusterRequestFailed,
                _ => Id::ClusterUnreachable,
            }
        }
        Error::HyperError(_) => Id::ClusterUnreachable,
        _ => Id::ClusterRequestFailed,
    }
}

/// What the user can do about an error of the API server, as far as it tells.
pub(super) fn hints_of(error: &Error) -> Vec<String> {
    match error {
        Error::Api(status) if status.code == StatusCode::FORBIDDEN.as_u16() => advice(&status.message),
        Error::Service(cause) => {
            let of_login = below::<LoginError>(cause.as_ref()).map(|LoginError(Explained(of_login))| of_login.hints.clone());
            let of_answer = below::<Refused>(cause.as_ref()).and_then(Refused::hint).map(str::to_owned);
            of_login.into_iter().flatten().chain(of_answer).collect()
        }
        _ => Vec::new(),
    }
}

/// What was tried, on what, what the server said, and how often it was asked; with the certificate that is not trusted, and with
/// what the user can do about a missing right.
pub fn describe(error: &Error, story: Story, verb: &str, object: &str) -> anyhow::Error {
    let mut diagnosis = Diagnosis::new(id_of(error), format!("failed to {verb} {object}: {}{story}", words(error))).about(object);
    match error {
        Error::Api(status) => {
            diagnosis = diagnosis.fact(Fact::said(Speaker::Cluster, &status.message));
        }
        Error::Service(cause) => {
            if let Some(ConnectError::Certificate { facts: Some(facts), .. }) = below(cause.as_ref()) {
                diagnosis = diagnosis.evidence(format!("the server presents {facts}"));
            }
            if let Some(LoginError(Explained(of_login))) = below(cause.as_ref()) {
                diagnosis.causes.extend(of_login.causes.iter().cloned());
                diagnosis.evidence.extend(of_login.evidence.iter().cloned());
            }
        }
        _ => {}
    }
    Explained(diagnosis.hints(hints_of(error))).into()
}

/// The same for a series of attempts.
pub fn described(gave_up: &GaveUp<Error>, verb: &str, object: &str) -> anyhow::Error {
    describe(&gave_up.error, gave_up.story, verb, object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_right_and_how_to_grant_it() {
        let right = |message: &str| {
            missing_right(message).map(|r| format!("{}|{}|{}|{}", r.user, r.verb, r.resource, r.namespace.unwrap_or_default()))
        };
        for (message, expected) in [
            (
                "plans.forklift.konveyor.io \"p\" is forbidden: User \"u\" cannot get resource \"plans\" in API group \
                 \"forklift.konveyor.io\" in the namespace \"n\"",
                Some("u|get|plans.forklift.konveyor.io|n"),
            ),
            (
                "namespaces is forbidden: User \"system:serviceaccount:ci:runner\" cannot create resource \"namespaces\" in API group \"\" \
                 at the cluster scope",
                Some("system:serviceaccount:ci:runner|create|namespaces|"),
            ),
            ("plans.forklift.konveyor.io is forbidden: User \"x\" cannot create resource", Some("x|create|plans.forklift.konveyor.io|")),
            ("pods \"p\" is forbidden: exceeded quota: q, requested: pods=1", None),
            ("pods \"p\" is forbidden: unable to create new content in namespace n because it is being terminated", None),
            ("", None),
        ] {
            assert_eq!(right(message).as_deref(), expected, "{message}");
        }
        let hints = advice(
            "pods/log \"p\" is forbidden: User \"system:serviceaccount:ci:runner\" cannot get resource \"pods/log\" in API group \"\" in \
             the namespace \"n\"",
        );
        assert_eq!(hints[0], "check it with `oc auth can-i get pods/log -n n`");
        assert!(hints[1].contains("--verb=get --resource=pods/log") && hints[1].contains("--serviceaccount=ci:runner -n n"), "{hints:?}");
        // What is pasted into a shell holds nothing that a shell acts on.
        let hints = advice("x is forbidden: User \"$(reboot)\" cannot get resource \"x\" in API group \"\" at the cluster scope");
        assert_eq!(hints, ["ask an administrator of the cluster for this right"]);
    }
}
