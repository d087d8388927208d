//! Counts requests to the API server by verb, for the report and for the bound that tests hold.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::{FutureExt as _, future::Inspect};
use http::{Method, Request};
use tower::{Layer, Service};

use crate::kill_points;

/// Requests by verb, as the API server's audit log would call them.
#[derive(Debug, Clone, Default)]
pub struct Requests(Arc<Mutex<BTreeMap<String, u64>>>);

impl Requests {
    /// The counts so far.
    pub fn snapshot(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, verb: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(verb.to_owned()).or_default() += 1;
    }
}

impl<S> Layer<S> for Requests {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counting { inner, requests: self.clone() }
    }
}

/// A service that counts what passes.
#[derive(Debug, Clone)]
pub struct Counting<S> {
    inner: S,
    requests: Requests,
}

impl<S, B> Service<Request<B>> for Counting<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Inspect<S::Future, fn(&Result<S::Response, S::Error>)>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let verb = verb(request.method(), request.uri().path(), request.uri().query().unwrap_or_default());
        self.requests.count(verb);
        kill_points::pass(verb);
        self.inner.call(request).inspect(|_| kill_points::pass("answer of the cluster"))
    }
}

/// The verb of a request. A GET whose last path segment is a plural is a list; plurals are the even segments after the version.
pub(super) fn verb(method: &Method, path: &str, query: &str) -> &'static str {
    if query.split('&').any(|p| matches!(p, "watch=true" | "watch=1")) {
        return "watch";
    }
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => {
            let segments: Vec<_> = path.split('/').filter(|s| !s.is_empty()).collect();
            let rest = match segments.first() {
                Some(&"api") => segments.get(2..),
                Some(&"apis") => segments.get(3..),
                _ => None,
            };
            match rest.map(<[_]>::len) {
                Some(1 | 3) if rest.is_some_and(|r| r.len() == 1 || r.first() == Some(&"namespaces")) => "list",
                _ => "get",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_those_of_the_audit_log() {
        for (method, path, query, expected) in [
            (Method::GET, "/api/v1/namespaces", "", "list"),
            (Method::GET, "/api/v1/namespaces/a", "", "get"),
            (Method::GET, "/api/v1/namespaces/a/pods", "", "list"),
            (Method::GET, "/api/v1/namespaces/a/pods", "watch=true&x=y", "watch"),
            (Method::GET, "/apis/g/v1/namespaces/a/plans/p", "", "get"),
            (Method::GET, "/version", "", "get"),
            (Method::PUT, "/apis/g/v1/namespaces/a/vms/p/start", "", "update"),
            (Method::POST, "/apis/g/v1/namespaces/a/plans", "", "create"),
        ] {
            assert_eq!(verb(&method, path, query), expected, "{method} {path}");
        }
    }
}
