//! What the HTTP clients of all sources share: the client itself, why a request gave no answer, and the words for that.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reqwest::{
    Url,
    header::{self, HeaderMap},
};

use super::{
    ProviderError, ProviderResult,
    tls::{self, Trust},
};
pub use crate::retry::Safety;
use crate::retry::{Fate, Story, retry_after};

/// Longest wait for a TCP and TLS connection.
pub const CONNECT: Duration = Duration::from_secs(10);

/// Why a request has no answer at all.
#[derive(Debug)]
pub enum Lost {
    /// Not sent.
    NotSent(String),
    /// The TLS handshake failed.
    Tls(rustls::Error),
    /// Sent perhaps, and the answer lost on the way.
    Unclear(String),
}

impl From<reqwest::Error> for Lost {
    fn from(error: reqwest::Error) -> Self {
        if let Some(tls) = tls::tls_error(&error) {
            return Self::Tls(tls);
        }
        let connecting = error.is_connect() || error.is_builder();
        // The URL is left out: it may carry user information, and every text names the address already.
        let why = root_cause(&error.without_url());
        if connecting { Self::NotSent(why) } else { Self::Unclear(why) }
    }
}

/// A pause that an answer asks for.
pub fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(retry_after)
}

impl Lost {
    /// What it says of the request. What is wrong with a certificate stays so.
    pub const fn fate(&self) -> Fate {
        match self {
            Self::NotSent(_) => Fate::NotNow(None),
            Self::Tls(_) => Fate::Final,
            Self::Unclear(_) => Fate::Unclear(None),
        }
    }

    /// In the tool's terms, with the address, how often it was tried, and a hint.
    pub async fn explained(self, url: &Url, story: Story) -> ProviderError {
        let address = address(url);
        match self {
            Self::Unclear(why) => ProviderError::Unreachable(format!("{address}: the answer was lost: {why}{story}")),
            Self::NotSent(why) => ProviderError::Unreachable(format!(
                "{address} cannot be reached: {why}{story}; hint: check `api_url` of the profile, and the network"
            )),
            Self::Tls(tls @ rustls::Error::InvalidCertificate(_)) => {
                let (host, port) = host_port(url);
                let leaf = tls::leaf(&host, port).await;
                ProviderError::Certificate(tls::untrusted(&address, &tls, leaf.as_ref()))
            }
            Self::Tls(tls) => {
                ProviderError::Unreachable(format!("{address} does not speak TLS as expected: {tls}; hint: check `api_url` of the profile"))
            }
        }
    }
}

/// Requests by the name of the call.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<String, u64>>);

impl Counts {
    /// One more.
    pub fn add(&self, call: &str) {
        // A poisoned counter is still a counter.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(call.to_owned()).or_default() += 1;
    }

    /// All so far.
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The URL of a profile. `shape` is what it should look like.
pub fn endpoint(api_url: &str, shape: &str) -> ProviderResult<Url> {
    Url::parse(api_url)
        .ok()
        .filter(|url| url.has_host() && matches!(url.scheme(), "https" | "http"))
        .ok_or_else(|| ProviderError::Unreachable(format!("api_url `{api_url}` is no URL; expected {shape}")))
}

/// Host and port of a URL.
pub fn host_port(url: &Url) -> (String, u16) {
    (url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default().unwrap_or(443))
}

/// Host and port of a URL, for people.
pub fn address(url: &Url) -> String {
    let (host, port) = host_port(url);
    format!("{host}:{port}")
}

/// A client for one endpoint. Cookies are kept where a session is one.
pub fn client(url: &Url, trust: &Trust, cookies: bool) -> ProviderResult<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(trust.client_config()?)
        .cookie_store(cookies)
        .connect_timeout(CONNECT)
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("mtv-test/", env!("CARGO_PKG_VERSION")))
        .http1_only();
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if loopback {
        // A proxy of the environment is for other hosts.
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| ProviderError::Unreachable(format!("failed to prepare the connection to {}: {error}", address(url))))
}

/// The innermost error's text: "connection refused" says more than "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
