//! The REST server: GET only, over TLS, with the status codes and headers of the real service.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use kube::Client;
use mtv_api::kinds::PROVIDER;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    Inventories,
    auth::{self, Refusal},
};
use crate::{
    faults::{self, Ask, Body, Cut, Faults, Server, admin},
    forklift::{
        cluster::{Cluster, Look},
        source::{Query, Reply},
    },
    web::decode,
};

/// Provider types that the service knows, in the order of `GET /providers`.
const TYPES: &[&str] = &["ec2", "hyperv", "openshift", "openstack", "ova", "ovirt", "vsphere"];

type Answer = Response<Full<Bytes>>;

struct Service {
    inventories: Arc<Inventories>,
    cluster: Cluster,
    faults: Faults,
}

/// Serves the inventory until cancelled.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    inventories: Arc<Inventories>,
    client: Client,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    faults: Faults,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let service = Arc::new(Service { inventories, cluster: Cluster::new(client), faults });
    let acceptor = tokio_rustls::TlsAcceptor::from(tls);
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted?.0,
        };
        while connections.try_join_next().is_some() {}
        let (service, acceptor) = (Arc::clone(&service), acceptor.clone());
        connections.spawn(async move {
            // A client that speaks no TLS is no error of ours.
            let Some((stream, cutter)) = service.faults.accept(Server::Inventory, &acceptor, stream).await else { return };
            let handler = hyper::service::service_fn(move |mut request: Request<Incoming>| {
                let service = Arc::clone(&service);
                request.extensions_mut().insert(cutter.clone());
                async move { service.outside(request).await }
            });
            if let Err(error) = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), handler).await {
                tracing::debug!(%error, "inventory connection ended");
            }
        });
    }
}

/// Reads a query string; `None` if a number is none.
fn parse(text: &str) -> Option<Query> {
    let pairs: HashMap<String, String> =
        text.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.to_owned(), decode(value))).collect();
    let number = |key: &str, default: usize| match pairs.get(key) {
        None => Some(default),
        Some(value) => value.parse().ok(),
    };
    let detail = match pairs.get("detail").map(String::as_str) {
        None => None,
        Some("all") => Some(u8::MAX),
        Some(value) => Some(value.parse().ok()?),
    };
    Some(Query {
        detail,
        limit: number("limit", usize::MAX)?,
        offset: number("offset", 0)?,
        name: pairs.get("name").cloned().unwrap_or_default(),
        namespace: pairs.get("namespace").cloned().unwrap_or_default(),
    })
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

fn whole(answer: Answer) -> Response<Body> {
    answer.map(|body| body.map_err(|never| match never {}).boxed_unsync())
}

fn page_not_found() -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(b"404 page not found")));
    *answer.status_mut() = StatusCode::NOT_FOUND;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    answer
}

fn provider_not_found() -> Answer {
    let mut answer = empty(StatusCode::NOT_FOUND);
    answer.headers_mut().insert("X-Reason", HeaderValue::from_static("ProviderNotFound"));
    answer
}

fn body(value: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    answer
}

fn broken(error: &kube::Error) -> Answer {
    tracing::warn!(%error, "inventory could not ask the cluster");
    empty(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Service {
    /// Answers a request, or what a fault makes of it.
    async fn outside(&self, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        if admin::is_here(request.uri().path()) {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            return Ok(self.faults.administer(&parts.method, parts.uri.path(), &parts.headers, &body));
        }
        let method = request.method().as_str().to_lowercase();
        let refuse = |refusal: &faults::Refusal| whole(empty(refusal.code).map(|_| Full::new(Bytes::from(refusal.message.clone()))));
        self.faults.around(&Ask::rest(Server::Inventory, &request, &method), refuse, async { whole(self.answer(&request).await) }).await
    }

    async fn answer<B>(&self, request: &Request<B>) -> Answer {
        if request.method() != http::Method::GET {
            return page_not_found();
        }
        let path = decode(request.uri().path());
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let token = auth::bearer(request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok())).map(str::to_owned);
        let Some(query) = parse(request.uri().query().unwrap_or_default()) else { return empty(StatusCode::BAD_REQUEST) };
        match parts.as_slice() {
            ["providers"] => self.providers(token.as_deref(), None, &query).await,
            ["providers", kind] if TYPES.contains(kind) => self.providers(token.as_deref(), Some(kind), &query).await,
            ["providers", kind, uid, rest @ ..] if TYPES.contains(kind) => self.provider(token.as_deref(), kind, uid, rest, &query).await,
            _ => page_not_found(),
        }
    }

    async fn refused(&self, token: Option<&str>, verb: &str, namespace: &str, name: &str) -> Option<Answer> {
        match auth::allow(self.cluster.client(), token, verb, namespace, name).await {
            Ok(()) => None,
            Err(Refusal::Unauthenticated) => Some(empty(StatusCode::UNAUTHORIZED)),
            Err(Refusal::Forbidden(text)) => {
                let mut answer = empty(StatusCode::FORBIDDEN);
                if let Ok(value) = HeaderValue::from_str(&text) {
                    answer.headers_mut().insert("Forklift-Error-Message", value);
                }
                Some(answer)
            }
            Err(Refusal::Broken(error)) => Some(broken(&error)),
        }
    }

    async fn providers(&self, token: Option<&str>, kind: Option<&str>, query: &Query) -> Answer {
        if let Some(refused) = self.refused(token, "list", &query.namespace, "").await {
            return refused;
        }
        let all = match self.cluster.list(&PROVIDER, &query.namespace, "").await {
            Ok(all) => all,
            Err(error) => return broken(&error),
        };
        let mut by_type = serde_json::Map::new();
        for name in TYPES {
            let mut list = Vec::new();
            for provider in all.iter().filter(|p| p.text("/spec/type") == *name) {
                // The service shows what its collectors hold: a Provider that never connected is not there.
                if *name != "openshift" && self.inventories.get(provider.uid()).is_none() {
                    continue;
                }
                if query.name.is_empty() || provider.text("/metadata/name") == query.name {
                    list.push(self.render(provider, query.detail.unwrap_or(0)).await);
                }
            }
            by_type.insert((*name).to_owned(), query.page(list));
        }
        match kind {
            Some(kind) => body(&by_type.remove(kind).unwrap_or_else(|| json!([]))),
            None => body(&Value::Object(by_type)),
        }
    }

    async fn render(&self, provider: &Value, detail: u8) -> Value {
        let (uid, kind) = (provider.uid(), provider.text("/spec/type"));
        let mut out = json!({
            "uid": uid,
            "version": provider.text("/metadata/resourceVersion"),
            "namespace": provider.text("/metadata/namespace"),
            "name": provider.text("/metadata/name"),
            "selfLink": format!("providers/{kind}/{uid}"),
            "id": uid,
        });
        if detail > 0 {
            out["type"] = json!(kind);
            out["object"] = provider.clone();
            let counters = match self.inventories.get(uid) {
                Some(source) => source.counters().await,
                None => Value::Null,
            };
            if let (Value::Object(counters), Value::Object(out)) = (counters, &mut out) {
                out.extend(counters);
            }
        }
        out
    }

    async fn provider(&self, token: Option<&str>, kind: &str, uid: &str, rest: &[&str], query: &Query) -> Answer {
        if token.is_none() {
            return empty(StatusCode::UNAUTHORIZED);
        }
        let all = match self.cluster.list(&PROVIDER, "", "").await {
            Ok(all) => all,
            Err(error) => return broken(&error),
        };
        // Looked up before rights are checked: an unknown provider is 404 for everybody.
        let Some(provider) = all.iter().find(|p| p.uid() == uid) else { return provider_not_found() };
        if let Some(refused) = self.refused(token, "get", provider.text("/metadata/namespace"), provider.text("/metadata/name")).await {
            return refused;
        }
        if provider.text("/spec/type") != kind {
            return empty(StatusCode::INTERNAL_SERVER_ERROR);
        }
        if rest.is_empty() {
            return body(&self.render(provider, u8::MAX).await);
        }
        let Some(source) = self.inventories.get(uid) else { return provider_not_found() };
        match source.answer(uid, rest, query).await {
            Reply::Json(value) => body(&value),
            Reply::Status(status) => empty(status),
            Reply::NoSuchPath => page_not_found(),
            Reply::Broken(error) => broken(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_bad_numbers_refused() {
        let query = parse("detail=all&limit=2&offset=1&name=VM%20Network").unwrap();
        assert_eq!((query.detail, query.limit, query.offset), (Some(u8::MAX), 2, 1));
        assert_eq!(query.name, "VM Network");
        assert_eq!(query.page(vec![json!(1), json!(2), json!(3), json!(4)]), json!([2, 3]));
        assert!(parse("detail=x").is_none());
        assert!(parse("limit=x").is_none());
        assert!(parse("").is_some());
    }
}
