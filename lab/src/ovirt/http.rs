//! The engine's HTTP: SSO, tokens, the form of questions and answers.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderValue, Method, Request, StatusCode, header::WWW_AUTHENTICATE};
use serde_json::{Value, json};

use super::{
    Engine,
    documents::{API, Document},
    operate::{Change, change},
    read::{Missing, document, fault},
    xml,
};
use crate::{
    faults::{Faults, Refusal, Server},
    web::{self, Answer, Handler, pairs},
};

/// Milliseconds that a token holds: the engine's default of half an hour without use is not played, only told.
const TOKEN_LIFE: i64 = 30 * 60 * 1000;

impl Handler for Engine {
    fn server(&self) -> Server {
        Server::Ovirt
    }

    fn faults(&self) -> &Faults {
        &self.inner.world.faults
    }

    fn refuse(&self, refusal: &Refusal) -> Answer {
        web::json(refusal.code, &fault("Operation Failed", &refusal.message))
    }

    fn answer(&self, request: Request<Bytes>) -> BoxFuture<'_, Answer> {
        async move { route(self, &request) }.boxed()
    }
}

fn route(engine: &Engine, request: &Request<Bytes>) -> Answer {
    let path = web::decode(request.uri().path());
    match (request.method(), path.trim_end_matches('/')) {
        (&Method::POST, "/ovirt-engine/sso/oauth/token") => token(engine, request),
        (_, "/ovirt-engine/services/sso-logout" | "/ovirt-engine/sso/oauth/revoke") => logout(engine, request),
        (&Method::GET, "/ovirt-engine/services/pki-resource") => {
            web::typed(StatusCode::OK, "application/x-x509-ca-cert", engine.inner.ca_pem.clone())
        }
        (_, path) => match path.strip_prefix(API).filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            Some(rest) => api(engine, request, rest),
            None => web::empty(StatusCode::NOT_FOUND),
        },
    }
}

/// The SSO's refusals have a code and, as `error`, words for people.
fn refused(status: StatusCode, code: &str, text: &str) -> Answer {
    web::json(status, &json!({"error_code": code, "error": text}))
}

fn token(engine: &Engine, request: &Request<Bytes>) -> Answer {
    let form: HashMap<String, String> = pairs(&String::from_utf8_lossy(request.body())).into_iter().collect();
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    if field("grant_type") != "password" {
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type", "only the grant type password is known");
    }
    let login = &engine.inner.world.datacenter.ovirt.login;
    let user = field("username");
    if user != login.user || field("password") != login.password {
        let text = format!("Cannot authenticate user '{user}': The user name or password is incorrect..");
        return refused(StatusCode::BAD_REQUEST, "access_denied", &text);
    }
    let Ok(token) = crate::lab::token() else { return web::empty(StatusCode::INTERNAL_SERVER_ERROR) };
    engine.tokens().insert(token.clone(), user.to_owned());
    let expires = engine.inner.world.clock.moment().as_millisecond() + TOKEN_LIFE;
    let answer = json!({"access_token": token, "scope": field("scope"), "exp": expires.to_string(), "token_type": "bearer"});
    web::json(StatusCode::OK, &answer)
}

fn logout(engine: &Engine, request: &Request<Bytes>) -> Answer {
    for (key, value) in pairs(&String::from_utf8_lossy(request.body())) {
        if key == "token" {
            engine.tokens().remove(&value);
        }
    }
    web::json(StatusCode::OK, &json!({}))
}

/// Whether the request comes from somebody: by token, or by name and password as the engine allows too.
fn known(engine: &Engine, request: &Request<Bytes>) -> bool {
    if let Some(token) = web::bearer(request) {
        return engine.tokens().contains_key(token);
    }
    let login = &engine.inner.world.datacenter.ovirt.login;
    let basic = web::header(request, "authorization").and_then(|value| value.strip_prefix("Basic "));
    let decoded = basic.and_then(|text| STANDARD.decode(text).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.is_some_and(|text| text == format!("{}:{}", login.user, login.password))
}

/// Whether the client wants XML, which is what it gets if it says nothing.
fn wants_xml(request: &Request<Bytes>) -> bool {
    !web::header(request, "accept").unwrap_or_default().contains("json")
}

fn written(request: &Request<Bytes>, status: StatusCode, name: &str, body: &Value) -> Answer {
    if wants_xml(request) {
        web::typed(status, "application/xml;charset=UTF-8", xml::to_xml(name, body))
    } else {
        web::json(status, &xml::to_json(body))
    }
}

fn failed(request: &Request<Bytes>, status: StatusCode, detail: &str) -> Answer {
    let reason = if detail.contains("] required for ") { "Incomplete parameters" } else { "Operation Failed" };
    written(request, status, "fault", &fault(reason, detail))
}

fn api(engine: &Engine, request: &Request<Bytes>, path: &str) -> Answer {
    if !known(engine, request) {
        let mut answer = web::empty(StatusCode::UNAUTHORIZED);
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ENGINE\""));
        return answer;
    }
    let path = path.strip_prefix("/v4").filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // Matrix parameters (`vms;max=3`) are an older way to write a query.
    let matrix = parts.last().and_then(|last| last.split_once(';')).map(|(_, rest)| rest.replace(';', "&")).unwrap_or_default();
    let parts: Vec<&str> = parts.iter().map(|part| part.split(';').next().unwrap_or(part)).collect();
    let query: HashMap<String, String> = pairs(request.uri().query().unwrap_or_default()).into_iter().chain(pairs(&matrix)).collect();
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        let found: Result<Document, Missing> = document(&engine.model(), &parts, &query);
        return match found {
            Ok(found) => written(request, StatusCode::OK, found.name, &found.clone().body()),
            Err(Missing::NotFound(why)) => failed(request, StatusCode::NOT_FOUND, &why),
            Err(Missing::Bad(why)) => failed(request, StatusCode::BAD_REQUEST, &why),
        };
    }
    let body = match read_body(request) {
        Ok(body) => body,
        Err(why) => return failed(request, StatusCode::BAD_REQUEST, &why),
    };
    match change(engine, &Change { method: request.method(), path: &parts, query: &query, body: &body }) {
        Ok((status, shown)) => written(request, status, shown.name, &shown.clone().body()),
        Err((status, why)) => failed(request, status, &why),
    }
}

fn read_body(request: &Request<Bytes>) -> Result<Value, String> {
    let text = std::str::from_utf8(request.body()).map_err(|_| "the body is no UTF-8".to_owned())?;
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    if web::header(request, "content-type").unwrap_or_default().contains("json") {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        xml::from_xml(text)
    }
}
