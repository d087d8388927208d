//! The vocabulary: which requests, how often, what happens.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    OWN_AGENT,
    ask::{Ask, Server},
    words,
};
use crate::vsphere::fault::{KNOWN, known};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It is answered with the HTTP code `status`, and `retry_after` if that is set.
    Status,
    /// vSphere: it is answered with the SOAP fault `fault`.
    Fault,
    /// The connection is closed without an answer.
    Close,
    /// It is carried out; the connection is reset in the middle of the answer's body.
    Reset,
    /// The answer comes `seconds` later.
    Stall,
    /// It is carried out; the answer's body comes at `bytes_per_second`, 1 unless said otherwise.
    Slow,
    /// It is carried out; the answer's body is nothing that a client can read.
    Garble,
    /// What was begun ends badly; `verb` is `operation`, `resource` its name (`clone`, `snapshot`), `object` what it makes.
    Fail,
    /// Watch: ends `seconds` after its beginning, at once unless said otherwise.
    Drop,
    /// Watch: its version is too old, told by an `ERROR` event with code 410.
    Expire,
    /// Watch: nothing comes any more, and the connection is cut after `seconds`; without them never.
    Silence,
    /// Watch: each event comes again, behind the one that follows it; ends after `seconds`, if they are said.
    Duplicate,
    /// Watch: each event comes `seconds` late.
    Late,
}

/// A rule. Patterns may hold `*` for any text; a pattern that is not there fits everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which server; none: each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Pattern of the verb, see [`Ask::verb`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<String>,
    /// Pattern of the resource, see [`Ask::resource`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Pattern of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Pattern of the object, see [`Ask::object`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Pattern of the URL's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Pattern of the `User-Agent`; without it everybody but the lab's own controllers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// So many requests pass before the rule begins.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub after: u64,
    /// From then on only every n-th.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// And of these only some, by chance: 0.05 is one in twenty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// The rule ends after so many times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// What happens.
    pub effect: Effect,
    /// HTTP code of `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `Retry-After` of `status`, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Type of `fault`, such as `HostCommunication`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Words of `status` and `fault`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `status`, `fault`, `close` and `stall`: the request is carried out before.
    #[serde(default, skip_serializing_if = "is_false")]
    pub committed: bool,
    /// Seconds, real ones, of `stall`, `drop`, `silence`, `duplicate` and `late`; `connect` with `stall` too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Speed of `slow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Longest time that a rule may name, seconds: a day.
const LONGEST: f64 = 86_400.0;

impl Rule {
    /// A rule for every request to a server, to be narrowed.
    pub fn new(server: Server, effect: Effect) -> Self {
        Self {
            server: Some(server),
            verb: None,
            resource: None,
            namespace: None,
            object: None,
            path: None,
            client: None,
            after: 0,
            every: None,
            probability: None,
            times: None,
            effect,
            status: None,
            retry_after: None,
            fault: None,
            message: None,
            committed: false,
            seconds: None,
            bytes_per_second: None,
        }
    }

    /// Whether the rule is complete and holds nothing in vain.
    ///
    /// # Errors
    /// What is missing or superfluous, with the effect's name.
    pub fn check(&self) -> anyhow::Result<()> {
        use Effect::{Close, Drop, Duplicate, Expire, Fail, Fault, Garble, Late, Reset, Silence, Slow, Stall, Status};
        let effect = self.effect;
        let name = format!("effect `{}`", format!("{effect:?}").to_lowercase());
        let only = |there: bool, key: &str, of: &[Effect]| {
            anyhow::ensure!(!there || of.contains(&effect), "{name}: `{key}` means nothing here");
            Ok(())
        };
        only(self.status.is_some(), "status", &[Status])?;
        only(self.retry_after.is_some(), "retry_after", &[Status])?;
        only(self.fault.is_some(), "fault", &[Fault])?;
        only(self.message.is_some(), "message", &[Status, Fault, Fail])?;
        only(self.committed, "committed", &[Status, Fault, Close, Stall])?;
        only(self.seconds.is_some(), "seconds", &[Stall, Drop, Silence, Duplicate, Late])?;
        only(self.bytes_per_second.is_some(), "bytes_per_second", &[Slow])?;
        match effect {
            Status => anyhow::ensure!(
                self.status.is_some_and(|code| (400..=599).contains(&code)),
                "{name}: needs `status`, an HTTP code from 400 to 599"
            ),
            Fault => {
                let soap = matches!(self.server, Some(Server::Vsphere | Server::Esxi));
                anyhow::ensure!(soap, "{name}: is for `server = \"vsphere\"` or `\"esxi\"` only");
                let kind = self.fault.as_deref().unwrap_or_default();
                anyhow::ensure!(known(kind).is_some(), "{name}: `fault` is `{kind}`; it can be one of {}", KNOWN.join(", "));
            }
            Stall | Late => anyhow::ensure!(self.seconds.is_some(), "{name}: needs `seconds`"),
            Drop | Expire | Silence | Duplicate => {}
            Slow => anyhow::ensure!(self.bytes_per_second != Some(0), "bytes_per_second: at least 1; `stall` sends nothing at all"),
            Close | Reset | Garble | Fail => {}
        }
        anyhow::ensure!(
            (effect == Fail) == (self.verb.as_deref() == Some(words::OPERATION)),
            "{name}: `verb = \"operation\"` and the effect `fail` belong together"
        );
        if matches!(effect, Drop | Expire | Silence | Duplicate | Late) {
            let cluster = matches!(self.server, Some(Server::Kubernetes | Server::Openshift));
            let watch = cluster && self.verb.as_deref() == Some("watch");
            anyhow::ensure!(watch, "{name}: is for `server = \"kubernetes\"` or `\"openshift\"` and `verb = \"watch\"` only");
        }
        if self.verb.as_deref() == Some(words::CONNECT) {
            anyhow::ensure!(
                matches!(effect, Close | Stall) && !self.committed,
                "{name}: a connection can be met by `close` and `stall` only"
            );
            let more = [&self.resource, &self.namespace, &self.object, &self.path, &self.client];
            anyhow::ensure!(
                more.iter().all(|pattern| pattern.is_none()),
                "verb `connect`: nothing but the server is known of a connection"
            );
        }
        if let Some(seconds) = self.seconds {
            anyhow::ensure!((0.0..=LONGEST).contains(&seconds), "seconds: {seconds} is not between 0 and {LONGEST}");
        }
        if let Some(probability) = self.probability {
            anyhow::ensure!((0.0..=1.0).contains(&probability), "probability: {probability} is not between 0 and 1");
        }
        anyhow::ensure!(self.every != Some(0), "every: 1 is each request, 0 makes no sense");
        words::check(self.server, self.verb.as_deref(), self.resource.as_deref())
    }

    /// Whether its `client` means a client by this name, and not only everybody.
    pub(super) fn names(&self, agent: &str) -> bool {
        self.client.as_deref().is_some_and(|pattern| like(pattern, agent))
    }

    /// `seconds`; none if they are not said.
    pub(super) fn time(&self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs_f64)
    }

    /// Whether it is about this request at all.
    pub(super) fn fits(&self, ask: &Ask<'_>) -> bool {
        let fits = |pattern: &Option<String>, text: &str| pattern.as_deref().is_none_or(|pattern| like(pattern, text));
        // A connection is no request: only a rule that says so is about it.
        let verb = if ask.verb == "connect" { self.verb.as_deref() == Some(words::CONNECT) } else { fits(&self.verb, ask.verb) };
        let client = match &self.client {
            Some(pattern) => like(pattern, ask.client),
            None => ask.client != OWN_AGENT,
        };
        self.server.is_none_or(|server| server == ask.server)
            && verb
            && client
            && fits(&self.resource, ask.resource)
            && fits(&self.namespace, ask.namespace)
            && fits(&self.object, ask.object)
            && fits(&self.path, ask.path)
    }
}

/// Whether a text is like a pattern, in which `*` is any text.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        // The first place is as good as any later one: what follows can only have more room.
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("plans", "plans", true),
            ("plans", "plans.x", false),
            ("*", "", true),
            ("plan*", "plans", true),
            ("*_Task", "CloneVM_Task", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("*b", "bab", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }
}
