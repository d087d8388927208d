//! The cloud's HTTP: tokens, the services behind their paths, versions.

use std::collections::HashMap;

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderValue, Method, Request, StatusCode};
use serde_json::{Value, json};

use super::{
    Cloud, compute, identity, image, network,
    reply::{Ask, Reply},
    volume,
};
use crate::{
    faults::{Faults, Refusal, Server},
    web::{self, Answer, Handler, pairs},
};

/// Newest minor version of the compute API that is played, 2.90 (Xena); of the volume API 3.70.
const COMPUTE_MINOR: u32 = 90;

impl Handler for Cloud {
    fn server(&self) -> Server {
        Server::Openstack
    }

    fn faults(&self) -> &Faults {
        &self.inner.world.faults
    }

    fn answer(&self, request: Request<Bytes>) -> BoxFuture<'_, Answer> {
        async move { route(self, &request) }.boxed()
    }

    fn refuse(&self, refusal: &Refusal) -> Answer {
        web::json(refusal.code, &Reply::refused(refusal.code, &refusal.message).body)
    }
}

/// Minor version of the compute API that a client asks for: `OpenStack-API-Version: compute 2.60`, or Nova's own older header.
fn minor(request: &Request<Bytes>) -> u32 {
    let asked = web::header(request, "openstack-api-version").and_then(|text| text.strip_prefix("compute "));
    let asked = asked.or_else(|| web::header(request, "x-openstack-nova-api-version")).unwrap_or("2.1");
    if asked == "latest" {
        return COMPUTE_MINOR;
    }
    asked.strip_prefix("2.").and_then(|minor| minor.parse().ok()).unwrap_or(1).min(COMPUTE_MINOR)
}

fn route(cloud: &Cloud, request: &Request<Bytes>) -> Answer {
    let path = web::decode(request.uri().path());
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let list = pairs(request.uri().query().unwrap_or_default());
    let query: HashMap<String, String> = list.iter().cloned().collect();
    let body = match request.body() {
        bytes if bytes.is_empty() => Value::Null,
        bytes => match serde_json::from_slice(bytes) {
            Ok(body) => body,
            Err(error) => {
                return web::json(
                    StatusCode::BAD_REQUEST,
                    &Reply::refused(StatusCode::BAD_REQUEST, &format!("malformed JSON: {error}")).body,
                );
            }
        },
    };
    if let Some(document) = versions(cloud, request.method(), &parts) {
        return web::json(StatusCode::OK, &document);
    }
    let ask = |path| Ask { method: request.method(), path, query: &query, body: &body, minor: minor(request) };
    if request.method() == Method::POST && matches!(parts.as_slice(), ["identity", "v3", "auth", "tokens"]) {
        return identity::login(cloud, &ask(&[]));
    }
    let token = web::header(request, "x-auth-token").unwrap_or_default();
    if !cloud.tokens().contains(token) {
        let text = "The request you have made requires authentication.";
        return web::json(StatusCode::UNAUTHORIZED, &json!({ "error": { "code": 401, "message": text, "title": "Unauthorized" } }));
    }
    let reply = match parts.as_slice() {
        ["identity", "v3", rest @ ..] => identity::answer(cloud, &ask(rest), web::header(request, "x-subject-token")),
        ["compute", "v2.1", rest @ ..] => compute::answer(cloud, &ask(rest)),
        ["volume", "v3", project, rest @ ..] if *project == cloud.model().project => volume::answer(cloud, &ask(rest)),
        ["image", "v2", rest @ ..] => image::answer(cloud, &ask(rest)),
        ["network", "v2.0", rest @ ..] => network::answer(cloud, &ask(rest), &list),
        _ => Reply::missing("Resource", &path),
    };
    let mut answer = if reply.body.is_null() { web::empty(reply.status) } else { web::json(reply.status, &reply.body) };
    if parts.first() == Some(&"compute")
        && let Ok(value) = HeaderValue::from_str(&format!("compute 2.{}", minor(request)))
    {
        answer.headers_mut().insert("OpenStack-API-Version", value);
    }
    answer
}

/// Which versions a service speaks: what clients look at before anything else, without a token.
fn versions(cloud: &Cloud, method: &Method, parts: &[&str]) -> Option<Value> {
    let version = |id: &str, place: &str, newest: &str, least: &str| {
        json!({ "id": id, "status": "CURRENT", "version": newest, "min_version": least, "max_version": newest, "updated": "2021-10-06T00:00:00Z",
            "links": [{ "rel": "self", "href": format!("{}/{place}/", cloud.inner.address) }], "media-types": [] })
    };
    let compute = || version("v2.1", "compute/v2.1", "2.90", "2.1");
    let keystone = || version("v3.14", "identity/v3", "", "");
    let cinder = || version("v3.0", "volume/v3", "3.70", "3.0");
    let glance = || version("v2.9", "image/v2", "", "");
    let neutron = || version("v2.0", "network/v2.0", "", "");
    if method != Method::GET {
        return None;
    }
    Some(match parts {
        ["identity"] => json!({ "versions": { "values": [keystone()] } }),
        ["identity", "v3"] => json!({ "version": keystone() }),
        ["compute"] => json!({ "versions": [compute()] }),
        ["compute", "v2.1"] => json!({ "version": compute() }),
        ["volume"] | ["volume", "v3"] => json!({ "versions": [cinder()] }),
        ["image"] | ["image", "versions"] => json!({ "versions": [glance()] }),
        ["image", "v2"] => json!({ "versions": [glance()] }),
        ["network"] => json!({ "versions": [neutron()] }),
        ["network", "v2.0"] => json!({ "resources": [] }),
        _ => return None,
    })
}
