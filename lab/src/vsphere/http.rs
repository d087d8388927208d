//! HTTP: `/sdk`, the REST interface, the documents that clients read before they log in, and the lab's own counts.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{
    Vcenter,
    fault::{self, Fault},
    methods, rest, soap,
    types::service::api_version,
};
use crate::faults::{Ask, Body, Cut, Refusal, admin, agent, full};

/// Name of the session cookie.
pub const COOKIE: &str = "vmware_soap_session";
/// Largest request that is read, far above what clients send.
const LIMIT: usize = 16 << 20;

/// Accepts connections until it is cancelled.
pub async fn serve(server: Vcenter, listener: TcpListener, tls: Arc<rustls::ServerConfig>, cancel: CancellationToken) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let stream = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors or a connection that is gone already: the next one may succeed.
                    tracing::debug!(%error, "vcenter: accept");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let (server, acceptor, cancel) = (server.clone(), acceptor.clone(), cancel.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = connection(server, acceptor, stream) => {}
            }
        });
    }
}

async fn connection(server: Vcenter, acceptor: TlsAcceptor, stream: TcpStream) {
    let Some((stream, cutter)) = server.faults().accept(server.face().server(), &acceptor, stream).await else { return };
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let server = server.clone();
        request.extensions_mut().insert(cutter.clone());
        async move { answer(&server, request).await }
    });
    let ended = hyper::server::conn::http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = ended {
        tracing::debug!(%error, "vcenter: connection");
    }
}

type Answer = Response<Body>;

async fn answer(server: &Vcenter, request: Request<Incoming>) -> Result<Answer, Cut> {
    let path = request.uri().path().to_owned();
    match (request.method(), path.trim_end_matches('/')) {
        (&Method::POST, "/sdk" | "/sdk/vimService") => soap_call(server, request).await,
        (_, path) if admin::is_here(path) => {
            let (parts, body) = request.into_parts();
            let body = Limited::new(body, LIMIT).collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            Ok(server.faults().administer(&parts.method, path, &parts.headers, &body))
        }
        (&Method::GET, "/debug/mtv-lab/requests") => Ok(json(&server.requests().report())),
        (&Method::DELETE, "/debug/mtv-lab/requests") => {
            server.requests().reset();
            Ok(plain(StatusCode::NO_CONTENT, ""))
        }
        (&Method::GET | &Method::PUT, "/guestFile") => {
            let (parts, body) = request.into_parts();
            let body = Limited::new(body, LIMIT).collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let content = (parts.method == Method::PUT).then_some(&body[..]);
            Ok(match methods::guest_ops::transfer(server, parts.uri.query().unwrap_or_default(), content) {
                Some(text) if content.is_none() => typed(StatusCode::OK, "application/octet-stream", text),
                Some(_) => plain(StatusCode::OK, ""),
                None => plain(StatusCode::NOT_FOUND, ""),
            })
        }
        (_, path) if server.face().is_vcenter() && rest::serves(path) => {
            let (parts, body) = request.into_parts();
            let Ok(body) = Limited::new(body, LIMIT).collect().await else {
                return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, ""));
            };
            let request = Request::from_parts(parts, body.to_bytes());
            let method = request.method().as_str().to_lowercase();
            let refuse = |refusal: &Refusal| typed(refusal.code, "text/plain; charset=utf-8", refusal.message.clone());
            let ask = Ask::rest(server.face().server(), &request, &method);
            server.faults().around(&ask, refuse, async { rest::answer(server, &request).map(full) }).await
        }
        (method, path) => {
            let method = method.as_str().to_lowercase();
            let refuse = |refusal: &Refusal| typed(refusal.code, "text/plain; charset=utf-8", refusal.message.clone());
            let ask = Ask::rest(server.face().server(), &request, &method);
            server.faults().around(&ask, refuse, async { page(server, request.method(), path) }).await
        }
    }
}

/// What is no call.
fn page(server: &Vcenter, method: &Method, path: &str) -> Answer {
    match (method, path) {
        (&Method::GET, "/sdk/vimServiceVersions.xml") => document(&versions(server)),
        (&Method::GET, "/sdk/vimService.wsdl" | "/sdk/vimService" | "/sdk") => document(WSDL),
        (&Method::GET, "") => plain(StatusCode::OK, "vSphere of the lab: POST SOAP requests to /sdk\n"),
        (_, "/sdk") => plain(StatusCode::METHOD_NOT_ALLOWED, ""),
        _ => plain(StatusCode::NOT_FOUND, ""),
    }
}

async fn soap_call(server: &Vcenter, request: Request<Incoming>) -> Result<Answer, Cut> {
    let cookie = cookie(request.headers());
    let agent = agent(request.headers()).to_owned();
    let path = request.uri().path().to_owned();
    let cutter = request.extensions().get().cloned();
    let body = match Limited::new(request.into_body(), LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "")),
    };
    let opened = std::str::from_utf8(&body).map_err(|_| Fault::invalid_request("the request is no UTF-8")).and_then(soap::open);
    let call = match opened {
        Ok(call) => call,
        Err(fault) => return Ok(envelope("", &Err(fault), None)),
    };
    let user = cookie.as_deref().and_then(|c| server.sessions().get(c).map(|s| s.user.clone())).unwrap_or_default();
    server.requests().count(&user, &call.method);
    tracing::trace!(method = %call.method, this = %call.this, user, "vcenter: request");
    let ask = Ask {
        server: server.face().server(),
        verb: &call.method,
        resource: &call.this.kind,
        namespace: "",
        object: &call.this.id,
        path: &path,
        client: &agent,
        cutter,
    };
    let refuse = |refusal: &Refusal| match refusal.fault.as_deref().and_then(fault::known) {
        Some(kind) => envelope(&call.method, &Err(Fault::new(kind, refusal.message.clone())), None),
        // The server itself answers faults only: any other code is of something in front of it.
        None => typed(refusal.code, "text/plain; charset=utf-8", refusal.message.clone()),
    };
    server.faults().around(&ask, refuse, carry_out(server, call.clone(), cookie, agent.clone())).await
}

async fn carry_out(server: &Vcenter, mut call: soap::Request, cookie: Option<String>, agent: String) -> Answer {
    let secure_cookie = |value: &str| format!("{COOKIE}=\"{value}\"; Path=/; HttpOnly; Secure; ");
    let mut context = methods::Context { server: server.clone(), cookie, agent, set_cookie: None };
    server.look(|model| server.face().understand(model, &mut call));
    let reply = methods::call(&mut context, &call).await;
    let reply = server.look(|model| server.face().show(model, reply));
    if let Err(fault) = &reply {
        tracing::debug!(method = %call.method, this = %call.this, fault = fault.detail.kind, "vcenter: {}", fault.message);
    }
    envelope(&call.method, &reply, context.set_cookie.as_deref().map(secure_cookie))
}

/// The session cookie's value, with or without the quotes that clients keep.
fn cookie(headers: &http::HeaderMap) -> Option<String> {
    headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then(|| value.trim_matches('"').to_owned())
    })
}

fn envelope(method: &str, reply: &Result<soap::Reply, Fault>, set_cookie: Option<String>) -> Answer {
    let status = if reply.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    let mut response = document(&soap::close(method, reply));
    *response.status_mut() = status;
    if let Some(value) = set_cookie.and_then(|c| c.parse().ok()) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

fn typed(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    response
}

fn document(text: &str) -> Answer {
    typed(StatusCode::OK, "text/xml; charset=utf-8", text.to_owned())
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    typed(status, "text/plain; charset=utf-8", text)
}

fn json(value: &serde_json::Value) -> Answer {
    typed(StatusCode::OK, "application/json", value.to_string())
}

/// The versions of the API that this server speaks; clients take the newest that both know.
fn versions(server: &Vcenter) -> String {
    let newest = api_version(&server.world().datacenter.vsphere.version);
    let older = ["8.0.2.0", "8.0.1.0", "8.0.0.0", "7.0.3.0", "7.0.0.0", "6.7.3", "6.7", "6.5", "6.0", "5.5"];
    let mut prior = String::new();
    for version in older.iter().filter(|v| **v != newest) {
        prior = prior + "<version>" + version + "</version>";
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<namespaces version=\"1.0\"><namespace><name>urn:vim25</name>\
         <version>{newest}</version><priorVersions>{prior}</priorVersions></namespace></namespaces>"
    )
}

/// Says where the service is. The schema itself is not served: clients carry their own.
const WSDL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<definitions targetNamespace="urn:vim25Service" xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:interface="urn:vim25">
<service name="VimService"><port binding="interface:VimBinding" name="VimPort"><soap:address location="/sdk/vimService"/></port></service>
</definitions>"#;
