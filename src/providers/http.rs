//! What the HTTP clients of all sources share: the client itself, why a request gave no answer, and the words for that.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use reqwest::{
    Response, StatusCode, Url,
    header::{self, HeaderMap},
};

use super::{
    ProviderError, ProviderResult,
    tls::{self, Trust},
};
pub use crate::retry::Safety;
use crate::{
    config::profile::Profile,
    limits::{Form, Limit, Meter, TooLarge},
    net::proxy,
    retry::{Fate, Story, out_of_files},
};
pub use crate::{net::without_login, retry::asked_pause};

/// Longest wait for a TCP and TLS connection.
pub const CONNECT: Duration = Duration::from_secs(10);

/// Why a request has no answer at all.
#[derive(Debug)]
pub enum Lost {
    /// Not sent.
    NotSent(String),
    /// Not sent, because this process or machine has no file descriptor left: the next attempt takes one more.
    NoFiles(String),
    /// The TLS handshake failed.
    Tls(rustls::Error),
    /// Sent perhaps, and the answer lost on the way.
    Unclear(String),
    /// Answered, with more than is read.
    TooLarge(TooLarge),
    /// Sent elsewhere: to this address.
    Redirected(String),
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSent(why) | Self::NoFiles(why) => write!(f, "not sent: {why}"),
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::Unclear(why) => write!(f, "lost on the way: {why}"),
            Self::TooLarge(why) => why.fmt(f),
            Self::Redirected(to) => write!(f, "redirected to {to}"),
        }
    }
}

impl From<reqwest::Error> for Lost {
    fn from(error: reqwest::Error) -> Self {
        if let Some(tls) = tls::tls_error(&error) {
            return Self::Tls(tls);
        }
        let connecting = error.is_connect() || error.is_builder();
        // The URL is left out: it may carry user information, and every text names the address already.
        let error = error.without_url();
        let why = root_cause(&error);
        match (connecting, out_of_files(&error)) {
            (true, true) => Self::NoFiles(why),
            (true, false) => Self::NotSent(why),
            (false, _) => Self::Unclear(why),
        }
    }
}

impl Lost {
    /// What it says of the request. A wrong certificate and a redirect stay as they are. An answer
    /// that is too large would be so again, but what must not be sent twice may have been done.
    pub fn fate(&self, safety: Safety) -> Fate {
        match (self, safety) {
            (Self::NotSent(_), _) => Fate::NotNow(None),
            (Self::Unclear(_), _) | (Self::TooLarge(_), Safety::Once) => Fate::Unclear(None),
            (Self::NoFiles(_) | Self::Tls(_) | Self::Redirected(_) | Self::TooLarge(_), _) => Fate::Final,
        }
    }

    /// In the tool's terms, with the address, how often it was tried, and a hint.
    pub async fn explained(self, url: &Url, story: Story) -> ProviderError {
        let address = address(url);
        match self {
            Self::Unclear(why) => ProviderError::unreachable(format!("{address}: the answer was lost{}: {why}{story}", through(url))),
            Self::TooLarge(why) => ProviderError::unreachable(format!("{address}: {why}{story}")).hint("check `api_url` of the profile"),
            Self::Redirected(to) => ProviderError::unreachable(format!("{address} redirects to {to}, and no redirect is followed"))
                .hint("write the final URL into `api_url` of the profile"),
            Self::NotSent(why) | Self::NoFiles(why) => {
                ProviderError::unreachable(format!("{address} cannot be reached{}: {why}{story}", through(url)))
                    .hint("check `api_url` of the profile, and the network")
            }
            Self::Tls(tls @ rustls::Error::InvalidCertificate(_)) => {
                let (host, port) = host_port(url);
                let leaf = tls::leaf(&host, port).await;
                tls::untrusted(&address, &tls, leaf.as_ref())
            }
            Self::Tls(tls) => ProviderError::unreachable(format!("{address} does not speak TLS as expected: {tls}"))
                .hint("check `api_url` of the profile"),
        }
    }
}

/// The proxy on the way to a URL, for people; empty if there is none.
pub fn through(url: &Url) -> String {
    proxy::of_environment(url).ok().flatten().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default()
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
        .ok_or_else(|| ProviderError::unreachable(format!("api_url `{}` is not a URL; expected {shape}", without_login(api_url))))
}

/// Refuses an address without TLS, unless the profile allows it: passwords and tokens would go out
/// in the clear. `what` says whose address it is.
pub fn require_tls(url: &Url, profile: &Profile, what: &str) -> ProviderResult<()> {
    if url.scheme() == "https" || profile.allow_plain_http {
        return Ok(());
    }
    Err(ProviderError::unreachable(format!("{what} {} is not https: passwords and tokens would be sent unencrypted", place(url)))
        .hint(format!("use https, or set `allow_plain_http = true` in profile `{}`, which the report then shows", profile.name)))
}

/// Scheme, host, port and path of a URL: what may be shown of one. The rest may hold a login.
pub fn place(url: &Url) -> String {
    let mut url = url.clone();
    let _no_such_part = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Where a redirect leads, if an answer is one. `from` is the address that was asked, where it is known.
pub fn redirect(status: StatusCode, headers: &HeaderMap, from: Option<&Url>) -> Option<String> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let to = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let url = from.map_or_else(|| Url::parse(to).ok(), |from| from.join(to).ok());
    Some(match url {
        Some(url) => place(&url),
        // Another place on the same server.
        None if to.starts_with('/') => to.split(['?', '#']).next().unwrap_or_default().to_owned(),
        None => "nowhere".to_owned(),
    })
}

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body. That of an error may be cut.
    pub body: Vec<u8>,
}

/// Reads an answer up to a limit. Of an error only the beginning is read, because its status says
/// what it means.
///
/// # Errors
/// The answer is a redirect, is too large, is packed in a way that was not asked for, or breaks.
pub async fn read(mut response: Response, limit: Limit, form: Form) -> Result<Answer, Lost> {
    let (status, headers) = (response.status(), response.headers().clone());
    if let Some(to) = redirect(status, &headers, Some(response.url())) {
        return Err(Lost::Redirected(to));
    }
    let packed = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("identity");
    if status.is_success() && !packed.eq_ignore_ascii_case("identity") {
        return Err(Lost::Unclear("the answer is compressed, which was not asked for".to_owned()));
    }
    let (limit, form) = if status.is_success() { (limit, form) } else { (Limit::Login, Form::Text) };
    let mut meter = Meter::new(limit, form);
    if let Some(length) = response.content_length().filter(|_| status.is_success()) {
        meter.announced(length).map_err(Lost::TooLarge)?;
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        match meter.take(&piece) {
            Ok(()) => body.extend_from_slice(&piece),
            Err(why) if status.is_success() => return Err(Lost::TooLarge(why)),
            Err(_) => {
                fill(&mut body, &piece, limit);
                break;
            }
        }
    }
    Ok(Answer { status, headers, body })
}

/// Adds as much of a piece as the limit leaves room for.
fn fill(body: &mut Vec<u8>, piece: &Bytes, limit: Limit) {
    let room = usize::try_from(limit.bytes()).unwrap_or(usize::MAX).saturating_sub(body.len());
    body.extend_from_slice(&piece[..piece.len().min(room)]);
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

/// Whether a URL leads to this machine.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A client for one endpoint. Cookies are kept where a session is one.
pub fn client(url: &Url, trust: &Trust, cookies: bool) -> ProviderResult<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(trust.client_config()?)
        .cookie_store(cookies)
        // Wherever a redirect leads, it would be sent the password or the token again.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("mtv-test/", env!("CARGO_PKG_VERSION")))
        .http1_only();
    // Asked for each URL: the endpoints of an OpenStack are on several hosts. A variable that is wrong is reported at once.
    proxy::of_environment(url).map_err(ProviderError::unreachable)?;
    builder = builder.no_proxy().proxy(reqwest::Proxy::custom(|url| proxy::of_environment(url).ok().flatten()?.url()));
    builder.build().map_err(|error| ProviderError::unreachable(format!("failed to prepare the connection to {}: {error}", address(url))))
}

/// The innermost error's text: "connection refused" says more than "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_login_of_a_url() {
        for (text, shown) in [
            ("https://u:p@h/sdk", "https://h/sdk"),
            ("https://u:p@x@h:1?q=a@b", "https://h:1?q=a@b"),
            ("https://h/a@b", "https://h/a@b"),
            ("u:p@h", "h"),
            ("h/sdk", "h/sdk"),
        ] {
            assert_eq!(without_login(text), shown);
        }
        assert_eq!(place(&Url::parse("https://u:p@h:1/a?token=x#code=y").unwrap()), "https://h:1/a");
    }

    #[test]
    fn a_redirect_says_where_it_leads_and_hides_what_it_carries() {
        let from = Url::parse("https://h/sdk").unwrap();
        let to = |status: u16, location: &'static str| {
            let headers = HeaderMap::from_iter([(header::LOCATION, header::HeaderValue::from_static(location))]);
            redirect(StatusCode::from_u16(status).unwrap(), &headers, Some(&from))
        };
        assert_eq!(to(307, "https://other:1/x?token=1").as_deref(), Some("https://other:1/x"));
        assert_eq!(to(302, "/login").as_deref(), Some("https://h/login"));
        assert_eq!(to(302, "http://[").as_deref(), Some("nowhere"));
        assert_eq!((to(200, "/login"), to(304, "/login")), (None, None));
    }
}
