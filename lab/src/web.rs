//! HTTPS as most servers of the lab need it: small bodies in, whole answers out.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::faults::{Ask, Body, Cut, Faults, Refusal, Server, admin};

/// The largest request that is read, far above what clients of these servers send.
const LIMIT: usize = 16 << 20;

/// An answer with its whole body.
pub type Answer = Response<Full<Bytes>>;

/// What answers requests; clones share their state. The body has been read.
pub trait Handler: Send + Sync + 'static {
    /// Which server it is, for rules of faults.
    fn server(&self) -> Server;
    /// The lab's faults.
    fn faults(&self) -> &Faults;
    /// Answers one request.
    fn answer(&self, request: Request<Bytes>) -> BoxFuture<'_, Answer>;
    /// Writes the refusal of a fault in the server's own form.
    fn refuse(&self, refusal: &Refusal) -> Answer;
}

/// Serves until it is cancelled; open connections end with it.
pub async fn serve(handler: Arc<dyn Handler>, listener: TcpListener, tls: Arc<rustls::ServerConfig>, cancel: CancellationToken) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let stream = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors or a connection that is gone already: the next one may succeed.
                    tracing::debug!(%error, "a server of the lab cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let (handler, acceptor, cancel) = (Arc::clone(&handler), acceptor.clone(), cancel.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = connection(handler, acceptor, stream) => {}
            }
        });
    }
}

async fn connection(handler: Arc<dyn Handler>, acceptor: TlsAcceptor, stream: TcpStream) {
    // Small answers must not wait for each other.
    let _ = stream.set_nodelay(true);
    // A client that speaks no TLS is no error of ours.
    let Some((stream, cutter)) = handler.faults().accept(handler.server(), &acceptor, stream).await else { return };
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let handler = Arc::clone(&handler);
        request.extensions_mut().insert(cutter.clone());
        async move { whole(&*handler, request).await }
    });
    if let Err(error) = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection to the lab ended early");
    }
}

async fn whole(handler: &dyn Handler, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(out(empty(StatusCode::PAYLOAD_TOO_LARGE))),
    };
    if admin::is_here(head.uri.path()) {
        return Ok(handler.faults().administer(&head.method, head.uri.path(), &head.headers, &body));
    }
    let request = Request::from_parts(head, body);
    let (asked, method) = (request.clone(), request.method().as_str().to_lowercase());
    let refuse = |refusal: &Refusal| out(handler.refuse(refusal));
    let ask = Ask::rest(handler.server(), &asked, &method);
    handler.faults().around(&ask, refuse, async { out(handler.answer(request).await) }).await
}

fn out(answer: Answer) -> Response<Body> {
    answer.map(|body| body.map_err(|never| match never {}).boxed_unsync())
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

/// An answer with a body of some type.
pub fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// An answer with JSON.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    typed(status, "application/json", value.to_string())
}

/// The value of a header, if it is text.
pub fn header<'a, T>(request: &'a Request<T>, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The token of a bearer authorization.
pub fn bearer<T>(request: &Request<T>) -> Option<&str> {
    let value = header(request, "authorization")?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Pairs of a query string or of a form.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    let split = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    };
    text.split('&').filter(|pair| !pair.is_empty()).map(split).collect()
}

/// Undoes percent-encoding, with `+` for a space.
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let pair: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&pair).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                bytes.push(hex.unwrap_or(b'%'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_forms_are_read() {
        let read = pairs("search=name%3D%22a+b%22&max=5&clone&&x=%zz");
        let expected = [("search", "name=\"a b\""), ("max", "5"), ("clone", ""), ("x", "%")];
        assert_eq!(read, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }
}
