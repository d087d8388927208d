//! The cloud's HTTP: tokens, the services behind their paths, versions.

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderValue, Method, Request, StatusCode, header};
use serde_json::Value;

use super::{
    Cloud, compute,
    identity::{self, token::Token},
    image, network,
    reply::{Ask, Fault, Service, unauthorized},
    versions, volume,
};
use crate::{
    faults::{Faults, Refusal, Server},
    web::{self, Answer, Handler, pairs},
};

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
        Fault::new(refusal.code, refusal.message.clone()).written(Service::Compute)
    }
}

fn route(cloud: &Cloud, request: &Request<Bytes>) -> Answer {
    let path = web::decode(&request.uri().path().replace('+', "%2B"));
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let service = parts.first().and_then(|name| Service::named(name));
    let Some(service) = service else { return web::empty(StatusCode::NOT_FOUND) };
    let mut answer = match versions::document(cloud, request.method(), &parts) {
        Some(document) => document.written(),
        None => served(cloud, request, service, &parts),
    };
    let id = crate::vsphere::model::uuid(0x0f, &format!("openstack/request/{}", cloud.count_request()));
    if let Ok(value) = HeaderValue::from_str(&format!("req-{id}")) {
        answer.headers_mut().insert("x-openstack-request-id", value);
    }
    if service == Service::Identity {
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("X-Auth-Token"));
    }
    answer
}

fn served(cloud: &Cloud, request: &Request<Bytes>, service: Service, parts: &[&str]) -> Answer {
    let query = pairs(request.uri().query().unwrap_or_default());
    let raw = request.body();
    let is_data = web::header(request, "content-type").is_some_and(|kind| kind.starts_with("application/octet-stream"));
    let body: Result<Value, _> = if raw.is_empty() || is_data { Ok(Value::Null) } else { serde_json::from_slice(raw) };
    let minor = match versions::minor(service, request) {
        Ok(minor) => minor,
        Err(fault) => return fault.written(service),
    };
    let (body, malformed) = match body {
        Ok(body) => (body, false),
        Err(_) => (Value::Null, true),
    };
    let ask = |path| Ask { method: request.method(), path, place: request.uri().path(), query: &query, body: &body, raw, minor };
    if request.method() == Method::POST && matches!(parts, ["identity", "v3", "auth", "tokens"]) {
        return if malformed { bad_json(service).written(service) } else { identity::login(cloud, &ask(&[])) };
    }
    let caller = web::header(request, "x-auth-token").unwrap_or_default();
    let Some(token) = cloud.token(caller) else {
        return unauthorized(&cloud.inner.address, "The request you have made requires authentication.");
    };
    if malformed {
        return bad_json(service).written(service);
    }
    if service != Service::Identity && !token.is_scoped() {
        return unauthorized(&cloud.inner.address, "The request you have made requires authentication.");
    }
    let project = cloud.model().project.clone();
    let answered = match parts {
        ["identity", "v3", rest @ ..] => identity::answer(cloud, &ask(rest), caller, web::header(request, "x-subject-token")),
        ["compute", "v2" | "v2.0" | "v2.1", rest @ ..] => {
            // Endpoints of older catalogues carry the project.
            let rest = rest.strip_prefix(&[project.as_str()]).unwrap_or(rest);
            compute::answer(cloud, &ask(rest))
        }
        ["volume", "v3", asked, ..] if *asked != project && is_id(asked) => Err(Fault::bad("Malformed request url")),
        ["volume", "v3", rest @ ..] => {
            let rest = rest.strip_prefix(&[project.as_str()]).unwrap_or(rest);
            volume::answer(cloud, &ask(rest))
        }
        ["image", "v2", rest @ ..] => image::answer(cloud, &ask(rest)),
        ["network", "v2.0", rest @ ..] => network::answer(cloud, &ask(rest)),
        _ => Err(Fault::no_such_path()),
    };
    let mut answer = match answered {
        Ok(reply) => reply.written(),
        Err(fault) => fault.written(service),
    };
    for (name, value) in versions::told(service, minor) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// Whether a part of a path looks like the id of a project.
fn is_id(part: &str) -> bool {
    part.len() == 32 && part.bytes().all(|b| b.is_ascii_hexdigit())
}

fn bad_json(service: Service) -> Fault {
    Fault::bad(match service {
        Service::Identity => {
            "Expecting to find valid JSON in request body. The server could not comply with the request since it is either malformed \
             or otherwise incorrect. The client is assumed to be in error."
        }
        Service::Compute | Service::Volume => "Malformed request body",
        Service::Image => "Malformed JSON in request body.",
        Service::Network => "Request Failed: internal server error while processing your request.",
    })
}

impl Cloud {
    /// A token that holds, if this text is one.
    pub fn token(&self, text: &str) -> Option<Token> {
        let now = self.inner.world.clock.moment();
        self.tokens().get(text).filter(|token| token.expires > now).cloned()
    }
}
