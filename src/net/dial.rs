//! The TCP connection to an endpoint, directly or through a proxy.

use std::{fmt, io, time::Duration};

use http::Uri;
use hyper_util::{
    client::legacy::connect::{HttpConnector, proxy::SocksV5},
    rt::TokioIo,
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tower::ServiceExt as _;

use super::proxy::{Protocol, Proxy, bracketed};
use crate::{engine::human, secrets::excerpt};

/// Pause before the first keep-alive probe of an idle connection.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Longest answer of a proxy to `CONNECT`, bytes.
const ANSWER: usize = 8 * 1024;

/// Longest wait for the answer of a proxy, which connects to the endpoint meanwhile.
const PROXY: Duration = Duration::from_secs(15);

/// A connection in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Why there is no connection, for people: "connection refused", "the proxy … refuses …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialError {
    text: String,
    hint: Option<&'static str>,
    /// Number of the operating system's error, if it was one.
    os: Option<i32>,
}

impl DialError {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None, os: None }
    }

    /// Number of the operating system's error, if it was one.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.os
    }

    /// What the user can do, where it is known.
    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for DialError {}

/// Connects to a host and port. `limit` bounds the TCP connection to the first hop; `proxy_tls` is what an `https://` proxy is
/// verified with.
///
/// # Errors
/// Why there is no connection; a proxy is named.
pub async fn dial(
    host: &str,
    port: u16,
    proxy: Option<&Proxy>,
    limit: Duration,
    proxy_tls: impl FnOnce() -> Result<ClientConfig, String>,
) -> Result<Box<dyn Stream>, DialError> {
    let Some(proxy) = proxy else {
        return tcp(host, port, limit).await.map(|stream| Box::new(stream.into_inner()) as Box<dyn Stream>);
    };
    let greeting = async {
        match proxy.protocol {
            Protocol::Socks5 => socks(host, port, proxy, limit).await,
            Protocol::Http | Protocol::Https => {
                let stream = tcp(&proxy.host, proxy.port, limit).await.map_err(|error| unreachable(proxy, &error))?.into_inner();
                let stream: Box<dyn Stream> = if proxy.protocol == Protocol::Https {
                    let broken = |why: String| DialError::new(format!("the proxy {proxy} cannot be used: {why}"));
                    let name = ServerName::try_from(proxy.host.clone()).map_err(|error| broken(error.to_string()))?;
                    let config = proxy_tls().map_err(broken)?;
                    let tls = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await;
                    Box::new(tls.map_err(|error| broken(format!("TLS: {error}")))?)
                } else {
                    Box::new(stream)
                };
                tunnel(stream, host, port, proxy).await
            }
        }
    };
    let late = |_| DialError::new(format!("the proxy {proxy} did not connect to {} within {}", address(host, port), human(PROXY)));
    tokio::time::timeout(PROXY.max(limit), greeting).await.map_err(late)?
}

/// Host and port, for people and for `CONNECT`.
pub fn address(host: &str, port: u16) -> String {
    format!("{}:{port}", bracketed(host))
}

fn unreachable(proxy: &Proxy, error: &DialError) -> DialError {
    DialError {
        text: format!("the proxy {proxy} cannot be reached: {error}"),
        hint: Some("check the proxy, or except the host with NO_PROXY"),
        os: error.os,
    }
}

/// A TCP connection, to the first of the host's addresses that answers.
async fn tcp(host: &str, port: u16, limit: Duration) -> Result<TokioIo<tokio::net::TcpStream>, DialError> {
    let uri: Uri = format!("http://{}", address(host, port)).parse().map_err(|_| DialError::new(format!("`{host}` is not a host name")))?;
    let late = || DialError::new(format!("no connection within {}", human(limit)));
    match tokio::time::timeout(limit, connector(limit).oneshot(uri)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(explained(host, &error).unwrap_or_else(late)),
        Err(_) => Err(late()),
    }
}

fn connector(limit: Duration) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_connect_timeout(Some(limit));
    tcp
}

/// Why TCP did not connect; `None` if it took too long.
fn explained(host: &str, error: &(dyn std::error::Error + 'static)) -> Option<DialError> {
    let dns = error.to_string().contains("dns");
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let kind = inner.downcast_ref::<io::Error>().map(io::Error::kind);
    if kind == Some(io::ErrorKind::TimedOut) {
        return None;
    }
    let text = plain(&inner.to_string());
    Some(if dns {
        DialError {
            text: format!("host `{host}` cannot be resolved: {text}"),
            hint: Some("check the host name, and the name servers of this machine"),
            os: None,
        }
    } else {
        DialError { os: inner.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error), ..DialError::new(text) }
    })
}

/// An error of the operating system without its number, in lower case.
fn plain(text: &str) -> String {
    let text = text.split(" (os error").next().unwrap_or(text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

async fn socks(host: &str, port: u16, proxy: &Proxy, limit: Duration) -> Result<Box<dyn Stream>, DialError> {
    let invalid = || DialError::new(format!("`{host}` is not a host name"));
    let at: Uri = format!("http://{}", address(&proxy.host, proxy.port)).parse().map_err(|_| invalid())?;
    let target: Uri = format!("https://{}", address(host, port)).parse().map_err(|_| invalid())?;
    let mut connector = SocksV5::new(at, connector(limit));
    if let Some((user, password)) = proxy.login() {
        connector = connector.with_auth(user.to_owned(), password.to_owned());
    }
    match connector.oneshot(target).await {
        Ok(stream) => Ok(Box::new(stream.into_inner())),
        Err(error) => {
            // The connector's own failure is hidden in the error, which does not name it as its source.
            let lost = match tcp(&proxy.host, proxy.port, limit).await {
                Err(lost) => return Err(unreachable(proxy, &lost)),
                Ok(_) => error.to_string(),
            };
            Err(DialError::new(format!("the proxy {proxy} does not connect to {}: {lost}", address(host, port))))
        }
    }
}

/// Asks an HTTP proxy for a tunnel.
async fn tunnel(mut stream: Box<dyn Stream>, host: &str, port: u16, proxy: &Proxy) -> Result<Box<dyn Stream>, DialError> {
    let target = address(host, port);
    let login = proxy.basic_auth().map(|value| format!("Proxy-Authorization: {}\r\n", value.expose())).unwrap_or_default();
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n");
    let broken = |why: String| DialError::new(format!("the proxy {proxy} does not connect to {target}: {why}"));
    stream.write_all(request.as_bytes()).await.map_err(|error| broken(plain(&error.to_string())))?;
    // Byte by byte: what comes behind the answer is the endpoint's.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) if answer.len() < ANSWER => answer.push(byte),
            Ok(_) => return Err(broken("its answer is too long".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(broken("it closed the connection".to_owned())),
            Err(error) => return Err(broken(plain(&error.to_string()))),
        }
    }
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    let mut words = line.splitn(3, ' ');
    let (version, code, reason) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match code {
        "200" if version.starts_with("HTTP/1.") => Ok(stream),
        "407" => Err(DialError {
            text: format!("the proxy {proxy} wants another login (407)"),
            hint: Some("put user and password into the URL of the proxy: http://USER:PASSWORD@HOST:PORT"),
            os: None,
        }),
        _ if version.starts_with("HTTP/") => {
            Err(broken(excerpt(&format!("it answers {code} {reason}"), 200).replace(char::is_control, "")))
        }
        _ => Err(broken("its answer is not HTTP".to_owned())),
    }
}
