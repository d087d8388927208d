//! JSON over HTTPS for the sources that speak it (oVirt, OpenStack): one request with its retries, whatever its status, and the
//! making of what must not be made twice.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::future::BoxFuture;
use reqwest::{Method, StatusCode, Url, header::HeaderMap};
use serde_json::Value;

use super::{
    ProviderError, ProviderResult,
    http::{self, Counts, Lost, Safety},
    tls::Trust,
};
use crate::{
    config::profile::Profile,
    kill_points,
    limits::{Form, Limit},
    retry::{self, Fate, Policy, Story},
    secrets::excerpt,
    trace::Exchange,
};

/// A request before it is sent.
#[derive(Debug)]
pub struct Call<'a> {
    /// What it is counted as: verb and resource.
    pub name: &'a str,
    /// Verb.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Header and value pairs; values may be secret.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent.
    pub body: Body<'a>,
    /// Whether it may be sent twice.
    pub safety: Safety,
    /// What a successful answer holds.
    pub reads: Reads<'a>,
}

/// What a successful answer holds. Anything else was cut or changed on its way, and says nothing of
/// what is there: the request is sent again, and at last fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads<'a> {
    /// JSON or nothing.
    Json,
    /// A login, in JSON. A 404 is not that of an object here.
    Login,
    /// An object with a text at this JSON pointer, such as its id.
    Object(&'a str),
    /// A list under this name, of objects that have an id.
    List(&'a str),
    /// The same of a service that writes an empty list as `{}`.
    Members(&'a str),
    /// Any text.
    Text,
}

impl Reads<'_> {
    const fn limit(self) -> Limit {
        match self {
            Self::Json | Self::Object(_) => Limit::Object,
            Self::Login | Self::Text => Limit::Login,
            Self::List(_) | Self::Members(_) => Limit::List,
        }
    }

    /// Why the body of a success is not what it should be.
    fn mismatch(self, body: &Value) -> Option<String> {
        let ids = |items: &Vec<Value>, name: &str| {
            let named = |item: &Value| item["id"].as_str().is_some_and(|id| !id.is_empty());
            (!items.iter().all(named)).then(|| format!("with an entry of `{name}` that has no id"))
        };
        match self {
            Self::Json | Self::Login | Self::Text => None,
            Self::Object(pointer) => {
                let there = body.pointer(pointer).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
                (!there).then(|| format!("without `{}`", pointer.trim_start_matches('/').replace('/', ".")))
            }
            Self::Members(_) if body.as_object().is_some_and(serde_json::Map::is_empty) => None,
            Self::List(name) | Self::Members(name) => match &body[name] {
                Value::Array(items) => ids(items, name),
                _ => Some(format!("without the list `{name}`")),
            },
        }
    }
}

/// What a request carries.
#[derive(Debug)]
pub enum Body<'a> {
    /// Nothing.
    None,
    /// JSON.
    Json(&'a Value),
    /// Fields of a form.
    Form(&'a [(&'a str, &'a str)]),
}

impl Body<'_> {
    /// As JSON, for whoever looks on.
    fn shown(&self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Json(value) => value.to_string().into_bytes(),
            Self::Form(fields) => {
                fields.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect::<Value>().to_string().into_bytes()
            }
        }
    }
}

/// A URL without its user information.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _no_such_part = (url.set_username(""), url.set_password(None));
    url.to_string()
}

/// An answer of whatever status.
#[derive(Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The JSON body; null if there is none or if it is no JSON.
    pub body: Value,
    raw: Vec<u8>,
}

impl Reply {
    /// The body as text, whatever it is.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// Whether there is no body.
    pub const fn is_bare(&self) -> bool {
        self.raw.is_empty()
    }
}

/// The endpoint of a source.
#[derive(Debug)]
pub struct Rest {
    /// `api_url` of the profile.
    pub url: Url,
    /// Trust in its certificate.
    pub trust: Trust,
    client: reqwest::Client,
    counts: Counts,
    policy: Policy,
    dialect: Dialect,
    /// Whether anybody has answered at the address.
    answered: AtomicBool,
}

/// How a source refuses.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Reads why, from an answer in the source's own form.
    pub fault: fn(&Value) -> Option<String>,
    /// Whether it may say of an object that does not exist nothing but 404. Whoever relies on it
    /// has to ask further.
    pub bare_404: bool,
}

/// What became of a request that must not be repeated without a look.
#[derive(Debug)]
pub enum Sent {
    /// It was answered, whatever the status.
    Answered(Reply),
    /// It may have been carried out, or not; why that is not known.
    Unclear(ProviderError),
}

/// Why one try gave no answer that can be used.
type TryError = retry::TryError<Lost>;

/// In the tool's terms, with the address, how often it was tried, and a hint.
async fn explained(error: TryError, url: &Url, story: Story) -> ProviderError {
    let address = http::address(url);
    match error {
        TryError::Lost(lost) => lost.explained(url, story).await,
        TryError::Busy(status, _, words) if words.is_empty() => {
            ProviderError::unreachable(format!("{address} answered HTTP {status}{story}"))
        }
        TryError::Busy(status, _, words) => ProviderError::unreachable(format!("{address} answered HTTP {status}: {words}{story}")),
        TryError::Garbled(status, what) => {
            ProviderError::unreachable(format!("{address} answered HTTP {status} {what}, as a proxy in front of it would{story}"))
                .hint("check `api_url` of the profile")
        }
    }
}

/// Longest part of a refusal's body that an error repeats where it has no words of its own, characters.
const REPEATED: usize = 200;
/// Longest text of a source that an error repeats, characters.
pub const TOLD: usize = 1000;

impl Rest {
    /// Prepares the connection. `shape` is what `api_url` should look like.
    pub fn new(profile: &Profile, shape: &str, dialect: Dialect) -> ProviderResult<Self> {
        let url = http::endpoint(&profile.api_url, shape)?;
        http::require_tls(&url, profile, "api_url")?;
        let trust = Trust::of(profile)?;
        let client = http::client(&url, &trust, false)?;
        Ok(Self { url, trust, client, counts: Counts::default(), policy: Policy::current(), dialect, answered: AtomicBool::new(false) })
    }

    /// Host and port, for people.
    pub fn address(&self) -> String {
        http::address(&self.url)
    }

    /// Requests so far.
    pub fn requests(&self) -> std::collections::BTreeMap<String, u64> {
        self.counts.all()
    }

    /// The certificates by which Forklift can verify the endpoint.
    pub async fn ca_chain(&self) -> ProviderResult<Option<String>> {
        if self.url.scheme() == "http" {
            return Ok(None);
        }
        let (host, port) = http::host_port(&self.url);
        self.trust.ca_chain(&host, port).await
    }

    /// How requests are repeated.
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// Sends a request until it has an answer or may not be repeated. Answers of 4xx come back as they are.
    pub async fn send(&self, call: &Call<'_>) -> ProviderResult<Reply> {
        match self.tried(call).await? {
            Sent::Answered(reply) => Ok(reply),
            Sent::Unclear(error) => Err(error),
        }
    }

    /// The same where it matters whether a request without an answer may have been carried out.
    pub async fn tried(&self, call: &Call<'_>) -> ProviderResult<Sent> {
        let once = |patience| {
            self.counts.add(call.name);
            async move {
                kill_points::pass(call.name);
                let answer = self.once(call, patience).await;
                kill_points::pass("answer of the source");
                answer
            }
        };
        // Only the first request may find that the address is wrong.
        let policy = if self.answered.load(Ordering::Relaxed) { self.policy } else { self.policy.first_contact() };
        let fate = |error: &TryError| error.fate(|lost| lost.fate(call.safety));
        match policy.run(call.safety, fate, once).await {
            Ok(reply) => Ok(Sent::Answered(reply)),
            Err(gave_up) => {
                let fate = fate(&gave_up.error);
                let error = explained(gave_up.error, &call.url, gave_up.story).await;
                if matches!(fate, Fate::Unclear(_)) { Ok(Sent::Unclear(error)) } else { Err(error) }
            }
        }
    }

    async fn once(&self, call: &Call<'_>, patience: Duration) -> Result<Reply, TryError> {
        let mut request = self.client.request(call.method.clone(), call.url.clone()).timeout(patience).header("Accept", "application/json");
        for (name, value) in &call.headers {
            let mut value = reqwest::header::HeaderValue::from_str(value).unwrap_or(reqwest::header::HeaderValue::from_static(""));
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        let exchange = Exchange::begin(|| format!("{} {} {}", call.name, call.method, shown(&call.url)), "json", &call.body.shown());
        request = match call.body {
            Body::None => request,
            Body::Json(value) => request.json(value),
            Body::Form(fields) => request.form(fields),
        };
        let lost = |lost: Lost| {
            exchange.answer(&format!("no answer: {lost}"), "", b"");
            TryError::Lost(lost)
        };
        let response = request.send().await.map_err(|error| lost(error.into()))?;
        self.answered.store(true, Ordering::Relaxed);
        let form = if call.reads == Reads::Text { Form::Text } else { Form::Json };
        let http::Answer { status, headers, body: raw } = http::read(response, call.reads.limit(), form).await.map_err(lost)?;
        exchange.answer(status.as_str(), headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default(), &raw);
        let body = serde_json::from_slice(&raw);
        let fate = match status {
            // An internal error may have come before the work, in its middle or after it.
            StatusCode::INTERNAL_SERVER_ERROR => Some(Fate::Unclear(http::asked_pause(&headers))),
            _ => Fate::of_status(status.as_u16(), http::asked_pause(&headers)),
        };
        if let Some(fate) = fate {
            return Err(TryError::Busy(status, fate, words(&body.unwrap_or_default(), &raw)));
        }
        let body = match body {
            Err(_) if status.is_success() && call.reads != Reads::Text && !raw.is_empty() => {
                return Err(TryError::Garbled(status, "with a body that is not JSON".to_owned()));
            }
            body => body.unwrap_or_default(),
        };
        if let Some(what) = call.reads.mismatch(&body).filter(|_| status.is_success()) {
            return Err(TryError::Garbled(status, what));
        }
        let reply = Reply { status, headers, body, raw };
        // Only the service itself knows what does not exist.
        if status == StatusCode::NOT_FOUND && !matches!(call.reads, Reads::Login | Reads::Text) && self.is_foreign(&reply) {
            return Err(TryError::Garbled(status, "without a reason in the source's own form".to_owned()));
        }
        Ok(reply)
    }

    /// Why the source refuses, in its own words.
    pub fn fault(&self, reply: &Reply) -> Option<String> {
        (self.dialect.fault)(&reply.body)
    }

    /// Whether a refusal is not in the source's own form.
    fn is_foreign(&self, reply: &Reply) -> bool {
        self.fault(reply).is_none() && !(self.dialect.bare_404 && reply.is_bare())
    }
}

/// What a body without a shape of its own says: the first text under a key for people, else its beginning.
fn words(body: &Value, raw: &[u8]) -> String {
    fn told(value: &Value) -> Option<&str> {
        let fields = value.as_object()?;
        let own = ["message", "detail", "error_description"].iter().find_map(|key| fields.get(*key)?.as_str());
        own.or_else(|| fields.values().find_map(told))
    }
    match told(body) {
        Some(text) => excerpt(text, TOLD),
        None if body.is_null() => String::new(),
        None => excerpt(&String::from_utf8_lossy(raw), REPEATED),
    }
}

/// Looks for something; its id, if it is there.
pub type Look<'a, 'f> = &'a (dyn Fn() -> BoxFuture<'f, ProviderResult<Option<String>>> + Send + Sync);

/// Something to be made that would be there twice if it were asked for twice. The server gives it its id, so that a request whose
/// answer is lost can only be followed by a look: what carries the run's mark under the name of the new object is it.
pub struct Making<'a, 'f> {
    /// How often it may be tried, and with which pauses.
    pub policy: Policy,
    /// Sends the request.
    pub send: &'a (dyn Fn() -> BoxFuture<'f, ProviderResult<Sent>> + Send + Sync),
    /// Looks for it; its id.
    pub look: Look<'a, 'f>,
    /// Reads the id from an answer; a refusal is an error.
    pub read: &'a (dyn Fn(&Reply) -> ProviderResult<String> + Send + Sync),
    /// How often to look before it is taken for not made. Where names are unique one look is enough: a request that arrives late
    /// makes the next one a conflict.
    pub looks: u32,
}

impl Making<'_, '_> {
    /// Makes it. Returns its id.
    pub async fn once(&self) -> ProviderResult<String> {
        let mut tries = self.policy.start();
        let mut unclear = false;
        loop {
            tries.begin();
            let error = match (self.send)().await? {
                Sent::Answered(reply) => match (self.read)(&reply) {
                    // The name is taken, perhaps by what an earlier request made.
                    Err(refusal) if unclear && !reply.status.is_success() => return self.looked(1).await?.ok_or(refusal),
                    // A success that names nothing is no proof of anything.
                    Err(strange) if reply.status.is_success() => strange,
                    read => return read,
                },
                Sent::Unclear(error) => error,
            };
            unclear = true;
            tracing::debug!(%error, "it is not known whether something was made; looking for it");
            if let Some(id) = self.looked(self.looks).await? {
                return Ok(id);
            }
            if !tries.again(None).await {
                return Err(error);
            }
        }
    }

    /// Looks, with growing pauses: a service may still work on what a lost request asked for.
    async fn looked(&self, times: u32) -> ProviderResult<Option<String>> {
        for number in 0..times {
            if number > 0 {
                tokio::time::sleep(self.policy.first_pause * 5 * number).await;
            }
            if let Some(id) = (self.look)().await? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_internal_error_is_told_in_the_server_s_words() {
        for (body, expected) in [
            (json!({"computeFault": {"code": 500, "message": "Unexpected API Error."}}), "Unexpected API Error."),
            (json!({"reason": "Operation Failed", "detail": "[Internal Engine Error]"}), "[Internal Engine Error]"),
            (json!({"x": 1}), "{\"x\":1}"),
        ] {
            assert_eq!(words(&body, body.to_string().as_bytes()), expected);
        }
        assert_eq!(words(&Value::Null, b"<html>"), "");
    }
}
