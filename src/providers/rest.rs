//! JSON over HTTPS for the sources that speak it (oVirt, OpenStack): one request with its retries, whatever its status.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use reqwest::{Method, StatusCode, Url, header::HeaderMap};
use serde_json::Value;

use super::{
    ProviderError, ProviderResult,
    http::{self, Counts, Lost, Safety},
    tls::Trust,
};
use crate::{
    config::profile::Profile,
    retry::{Fate, Policy},
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
    /// Whether anybody has answered at the address.
    answered: AtomicBool,
}

/// Why one try gave no answer that can be used.
enum TryError {
    Lost(Lost),
    /// 429, 502, 503, 504: the service is busy, or somebody in front of it answered.
    Busy(StatusCode, Fate),
}

impl TryError {
    const fn fate(&self) -> Fate {
        match self {
            Self::Lost(lost) => lost.fate(),
            Self::Busy(_, fate) => *fate,
        }
    }
}

impl Rest {
    /// Prepares the connection. `shape` is what `api_url` should look like.
    pub fn new(profile: &Profile, shape: &str) -> ProviderResult<Self> {
        let url = http::endpoint(&profile.api_url, shape)?;
        let trust = Trust::of(profile)?;
        let client = http::client(&url, &trust, false)?;
        Ok(Self { url, trust, client, counts: Counts::default(), policy: Policy::current(), answered: AtomicBool::new(false) })
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

    /// Sends a request until it has an answer or may not be repeated. Answers of 4xx and 500 come back as they are.
    pub async fn send(&self, call: &Call<'_>) -> ProviderResult<Reply> {
        let once = |patience| {
            self.counts.add(call.name);
            self.once(call, patience)
        };
        // Only the first request may find that the address is wrong.
        let policy = if self.answered.load(Ordering::Relaxed) { self.policy } else { self.policy.first_contact() };
        match policy.run(call.safety, TryError::fate, once).await {
            Ok(reply) => Ok(reply),
            Err(gave_up) => {
                let (url, story) = (&call.url, gave_up.story);
                Err(match gave_up.error {
                    TryError::Lost(lost) => lost.explained(url, story).await,
                    TryError::Busy(status, _) => {
                        ProviderError::Unreachable(format!("{} answered HTTP {status}{story}", http::address(url)))
                    }
                })
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
        let lost = |error: reqwest::Error| {
            let lost = Lost::from(error);
            exchange.answer(&format!("no answer: {lost:?}"), "", b"");
            TryError::Lost(lost)
        };
        let response = request.send().await.map_err(lost)?;
        self.answered.store(true, Ordering::Relaxed);
        let (status, headers) = (response.status(), response.headers().clone());
        if let Some(fate) = Fate::of_status(status.as_u16(), http::asked_pause(&headers)) {
            return Err(TryError::Busy(status, fate));
        }
        let raw = response.bytes().await.map_err(lost)?.to_vec();
        exchange.answer(status.as_str(), headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default(), &raw);
        Ok(Reply { status, headers, body: serde_json::from_slice(&raw).unwrap_or(Value::Null), raw })
    }
}
