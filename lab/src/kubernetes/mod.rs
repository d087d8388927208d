//! The lab's Kubernetes API server.
//!
//! One store of JSON objects with one revision counter ([`store`]), resources that say what they are ([`resource`],
//! [`builtin`], [`definition`]), and a handler per verb. Controllers are no part of it: they are clients.

mod access;
mod aggregate;
mod apply;
mod audit;
mod auth;
mod binding;
mod builtin;
mod cel;
mod count;
mod declared;
mod definition;
mod delete;
mod discovery;
mod edit;
mod event;
mod exec;
mod faulty;
mod fields;
mod managed;
mod meta;
mod oauth;
mod openapi;
mod operation;
mod patch;
mod printers;
mod protobuf;
mod quantity;
mod rbac;
mod read;
mod request;
mod resource;
mod response;
mod route;
mod rules;
mod scale;
mod schema;
mod schemas;
mod selector;
mod serve;
mod status;
mod store;
mod strategic;
mod subresource;
mod syntax;
mod table;
mod token;
mod twice;
mod typed;
mod types;
mod watch;
mod write;

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::BodyExt as _;

pub use audit::{Audit, CONTENT_TYPE};
pub use auth::User;
use auth::Users;
pub use builtin::definitions;
use count::Counts;
pub use quantity::Quantity;
use resource::Registry;
use response::Body;
use store::Store;

use crate::faults::{Cut, Faults, OWN_AGENT};

/// How the server behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many changes watches can look back to; older ones answer 410.
    pub history: usize,
    /// `gitVersion` of `/version`.
    pub version: String,
    /// Address under which clients reach the server, such as `https://127.0.0.1:6443`; OAuth documents name it. Without
    /// it the `Host` header of the request is used.
    pub address: Option<String>,
    /// What is to go wrong for clients outside of this process.
    pub faults: Faults,
    /// Its name in rules of faults.
    pub server: crate::faults::Server,
    /// Logs of pods.
    pub logs: Arc<crate::world::Logs>,
    /// Where requests are written down.
    pub audit: Audit,
}

impl Default for Options {
    fn default() -> Self {
        // 10 000 changes are more than a run of every scenario makes; an etcd keeps five minutes.
        Self {
            history: 10_000,
            version: "v1.34.2".to_owned(),
            address: None,
            faults: Faults::default(),
            server: crate::faults::Server::Kubernetes,
            logs: Arc::default(),
            audit: Audit::default(),
        }
    }
}

/// Plurals of everything that a server serves from its start.
pub(crate) fn plurals() -> std::collections::BTreeSet<String> {
    builtin::registry().all().map(|resource| resource.plural.clone()).collect()
}

/// What all requests share.
struct Inner {
    store: Store,
    registry: RwLock<Registry>,
    users: Users,
    counts: Counts,
    options: Options,
}

impl Inner {
    /// Looks something up in the registry.
    fn registry<R>(&self, look: impl FnOnce(&Registry) -> R) -> R {
        look(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The server. Clones are handles to the same one.
#[derive(Clone)]
pub struct ApiServer {
    inner: Arc<Inner>,
}

impl ApiServer {
    /// A server with these users and the namespaces that every cluster has.
    pub fn new(users: Vec<User>, options: Options) -> Self {
        let inner = Inner {
            store: Store::new(options.history),
            registry: RwLock::new(builtin::registry()),
            users: Users::new(users),
            counts: Counts::default(),
            options,
        };
        let server = Self { inner: Arc::new(inner) };
        write::seed(&server.inner);
        server
    }

    /// A client that acts as `user`, in this process: no socket, the same code as over HTTP. A name that is none of the
    /// server's users is anonymous. Upgrades (WebSocket) need a socket.
    pub fn client(&self, user: &str) -> kube::Client {
        let inner = self.inner.clone();
        let token = inner.users.token_of(user).and_then(|token| format!("Bearer {token}").parse().ok());
        let service = tower::service_fn(move |mut request: Request<kube::client::Body>| {
            let inner = inner.clone();
            if let Some(token) = token.clone() {
                request.headers_mut().insert(header::AUTHORIZATION, token);
            }
            async move {
                // Rules are for requests from outside, unless one of them names the lab itself.
                if inner.options.faults.reach_the_lab() {
                    request.headers_mut().insert(header::USER_AGENT, header::HeaderValue::from_static(OWN_AGENT));
                    faulty::answer(&inner, request).await
                } else {
                    Ok::<_, Cut>(answer(&inner, request).await)
                }
            }
        });
        kube::Client::new(service, "default")
    }

    /// The same for a client that faults happen to, as if it came from outside.
    pub fn outside_client(&self, user: &str) -> kube::Client {
        let inner = self.inner.clone();
        let token = inner.users.token_of(user).and_then(|token| format!("Bearer {token}").parse().ok());
        let service = tower::service_fn(move |mut request: Request<kube::client::Body>| {
            let inner = inner.clone();
            if let Some(token) = token.clone() {
                request.headers_mut().insert(header::AUTHORIZATION, token);
            }
            async move { faulty::answer(&inner, request).await }
        });
        kube::Client::new(service, "default")
    }

    /// Forgets the history of changes, as etcd's compaction does: watches and lists from earlier versions get 410.
    pub fn compact(&self) {
        self.inner.store.compact();
    }
}

/// Largest body that is read, bytes: what the real server takes.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// A request that has been read.
struct Asked {
    parts: http::request::Parts,
    body: Bytes,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
}

async fn read_whole<B>(mut request: Request<B>) -> status::Answer<Asked>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: std::fmt::Display,
{
    let upgrade = request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Err(status::Failure::bad_request(format!("the body could not be read: {error}"))),
    };
    if body.len() > BODY_LIMIT {
        let message = format!("Request entity too large: limit is {BODY_LIMIT}");
        return Err(status::Failure::new(http::StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message));
    }
    Ok(Asked { parts, body, upgrade })
}

/// Answers one request. What goes wrong becomes a `Status`.
async fn answer<B>(inner: &Arc<Inner>, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send,
    B::Error: std::fmt::Display,
{
    let asked = match read_whole(request).await {
        Ok(asked) => asked,
        Err(failure) => return response::failure(&failure),
    };
    handled(inner, asked).await
}

/// Answers a request that was read, and writes it down.
async fn handled(inner: &Arc<Inner>, asked: Asked) -> Response<Body> {
    let Asked { parts, body, upgrade } = asked;
    let entry = inner.options.audit.begin(inner, &parts, &body);
    let routed = route::route(inner, &parts, body, upgrade).await;
    let response = routed.unwrap_or_else(|failure| response::failure(&failure));
    if let Some(entry) = entry {
        entry.end(response.status());
    }
    response
}
