//! The REST interface beside `/sdk`: sessions and tags. `/rest/com/vmware/cis/…` wraps what it answers in `value`, the newer
//! `/api/…` does not.

mod tagging;

use std::{collections::HashMap, time::Instant};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{Vcenter, model::Model, sessions::IDLE};

pub use tagging::Tagging;

/// Header that carries the session, and the name of its cookie.
const SESSION: &str = "vmware-api-session-id";

/// What the REST interface keeps.
#[derive(Default)]
pub struct Rest {
    sessions: HashMap<String, Session>,
    /// Categories, tags and what they are attached to.
    pub tagging: Tagging,
}

struct Session {
    user: String,
    begun: String,
    active: Instant,
}

/// What is answered instead of a result.
pub struct Refusal {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    fn missing(what: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{what} {id} does not exist"))
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_argument", message)
    }
}

/// A request, freed of the differences between the two ways to ask.
struct Call<'a> {
    method: &'a Method,
    /// Below `cis`, such as `tagging/tag`.
    resource: &'a str,
    id: Option<&'a str>,
    action: Option<&'a str>,
    body: Value,
}

/// Whether a path belongs to this interface.
pub fn serves(path: &str) -> bool {
    path.starts_with("/rest/com/vmware/cis/") || path.starts_with("/api/cis/") || path == "/api/session"
}

/// Answers a request.
pub fn answer(server: &Vcenter, request: &Request<Bytes>) -> Response<Bytes> {
    let (uri, headers) = (request.uri(), request.headers());
    let wrapped = uri.path().starts_with("/rest/");
    let token = headers.get(SESSION).and_then(|value| value.to_str().ok()).map(str::to_owned).or_else(|| cookie(headers));
    let result = route(server, request, token.as_deref());
    let (status, shown, begun) = match result {
        Ok(Answer::Begun(token)) => (if wrapped { StatusCode::OK } else { StatusCode::CREATED }, json!(token), Some(token)),
        Ok(Answer::Value(value)) => (StatusCode::OK, value, None),
        Ok(Answer::Done) => (if wrapped { StatusCode::OK } else { StatusCode::NO_CONTENT }, Value::Null, None),
        Err(refusal) => return refused(&refusal, wrapped),
    };
    let text = match (&shown, wrapped) {
        (Value::Null, _) => String::new(),
        (shown, true) => json!({ "value": shown }).to_string(),
        (shown, false) => shown.to_string(),
    };
    let mut response = respond(status, text);
    if let Some(cookie) = begun.and_then(|token| HeaderValue::from_str(&format!("{SESSION}={token};Path=/;Secure;HttpOnly")).ok()) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

enum Answer {
    /// A session has begun; this is its secret.
    Begun(String),
    Value(Value),
    Done,
}

fn respond(status: StatusCode, text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn refused(refusal: &Refusal, wrapped: bool) -> Response<Bytes> {
    let messages =
        json!([{ "args": [], "default_message": refusal.message, "id": format!("com.vmware.vapi.std.errors.{}", refusal.kind) }]);
    let body = if wrapped {
        json!({ "type": format!("com.vmware.vapi.std.errors.{}", refusal.kind), "value": { "messages": messages } })
    } else {
        json!({ "error_type": refusal.kind.to_uppercase(), "messages": messages })
    };
    respond(refusal.status, body.to_string())
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == SESSION).map(|(_, value)| value.to_owned())
}

fn route(server: &Vcenter, request: &Request<Bytes>, token: Option<&str>) -> Result<Answer, Refusal> {
    let (method, uri) = (request.method(), request.uri());
    let path = uri.path().trim_end_matches('/');
    let path = path.strip_prefix("/rest/com/vmware/cis/").or_else(|| path.strip_prefix("/api/cis/")).unwrap_or("session");
    let query = uri.query().unwrap_or_default();
    let action = query.split('&').find_map(|pair| pair.strip_prefix("~action=").or_else(|| pair.strip_prefix("action=")));
    if path == "session" && *method == Method::POST && action.is_none() {
        return log_in(server, request.headers()).map(Answer::Begun);
    }
    let user = touch(server, token)?;
    server.requests().count(&user, &format!("{method} {path}"));
    if path == "session" {
        return session(server, method, action, token.unwrap_or_default());
    }
    let body = match request.body().as_ref() {
        [] => Value::Null,
        text => serde_json::from_slice(text).map_err(|error| Refusal::invalid(format!("the body is no JSON: {error}")))?,
    };
    let mut parts = path.splitn(3, '/');
    let (area, what, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next());
    let id = id.map(|id| id.trim_start_matches("id:"));
    let unknown = || Refusal::new(StatusCode::NOT_FOUND, "not_found", format!("there is no resource {path}"));
    if area != "tagging" {
        return Err(unknown());
    }
    // Colons are all that clients may have encoded in an id.
    let decoded = id.map(|id| id.replace("%3A", ":").replace("%3a", ":"));
    let call = Call { method, resource: what, id: decoded.as_deref(), action, body };
    let there = |kind: &str, id: &str| server.look(|model| exists(model, kind, id));
    let mut rest = server.rest();
    match rest.tagging.call(&call, &there) {
        Some(result) => result.map(|value| if value.is_null() { Answer::Done } else { Answer::Value(value) }),
        None => Err(unknown()),
    }
}

fn exists(model: &Model, kind: &str, id: &str) -> bool {
    model.entities.get(id).is_some_and(|entity| entity.type_name() == kind)
}

fn unauthenticated() -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "unauthenticated", "This method requires authentication.")
}

/// The user of a living session, which this request keeps alive.
fn touch(server: &Vcenter, token: Option<&str>) -> Result<String, Refusal> {
    let mut rest = server.rest();
    rest.sessions.retain(|_, session| session.active.elapsed() < IDLE);
    let session = token.and_then(|token| rest.sessions.get_mut(token)).ok_or_else(unauthenticated)?;
    session.active = Instant::now();
    Ok(session.user.clone())
}

fn log_in(server: &Vcenter, headers: &HeaderMap) -> Result<String, Refusal> {
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Basic "));
    let pair = basic.and_then(|text| BASE64_STANDARD.decode(text.trim()).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
    let (user, password) = pair.as_deref().and_then(|pair| pair.split_once(':')).ok_or_else(unauthenticated)?;
    let expected = &server.world().datacenter.vsphere.login;
    server.requests().count("", "POST session");
    if !user.eq_ignore_ascii_case(&expected.user) || password != expected.password {
        return Err(unauthenticated());
    }
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", format!("no random numbers: {error}")))?;
    let token = super::model::hex(&bytes);
    let session = Session { user: expected.user.clone(), begun: Model::now(), active: Instant::now() };
    server.rest().sessions.insert(token.clone(), session);
    Ok(token)
}

fn session(server: &Vcenter, method: &Method, action: Option<&str>, token: &str) -> Result<Answer, Refusal> {
    let mut rest = server.rest();
    match (method, action) {
        (&Method::DELETE, _) => {
            rest.sessions.remove(token);
            Ok(Answer::Done)
        }
        (&Method::GET, _) | (&Method::POST, Some("get")) => {
            let session = rest.sessions.get(token).ok_or_else(unauthenticated)?;
            Ok(Answer::Value(json!({ "user": session.user, "created_time": session.begun, "last_accessed_time": Model::now() })))
        }
        _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "unsupported", "a session is begun, read or ended")),
    }
}

impl Rest {
    /// Ends all sessions.
    pub fn end_sessions(&mut self) {
        self.sessions.clear();
    }
}
