//! Questions and answers of the services, and how each of them writes a refusal.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::web::{self, Answer};

/// A service of the cloud, by the first part of its paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Keystone.
    Identity,
    /// Nova.
    Compute,
    /// Cinder.
    Volume,
    /// Glance.
    Image,
    /// Neutron.
    Network,
}

impl Service {
    /// By the first part of a path.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "identity" => Self::Identity,
            "compute" => Self::Compute,
            "volume" => Self::Volume,
            "image" => Self::Image,
            "network" => Self::Network,
            _ => return None,
        })
    }

    /// As requests for a minor version name it, for the services that have them.
    pub const fn micro(self) -> Option<&'static str> {
        match self {
            Self::Compute => Some("compute"),
            Self::Volume => Some("volume"),
            _ => None,
        }
    }
}

/// A request to a service, below its endpoint.
pub struct Ask<'a> {
    /// Verb.
    pub method: &'a Method,
    /// Segments of the path.
    pub path: &'a [&'a str],
    /// The whole path as it was asked for, for links.
    pub place: &'a str,
    /// Pairs of the query, in their order.
    pub query: &'a [(String, String)],
    /// Body if it is JSON; null otherwise.
    pub body: &'a Value,
    /// Body as it came.
    pub raw: &'a Bytes,
    /// Minor version of the API that the client asks for, `2.N` of Nova and `3.N` of Cinder.
    pub minor: u32,
}

impl Ask<'_> {
    /// A text in the body.
    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// A whole number in the body, written as number or as text.
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.body.pointer(pointer).and_then(|v| v.as_u64().or_else(|| v.as_str()?.trim().parse().ok()))
    }

    /// An object in the body.
    pub fn map(&self, pointer: &str) -> Map<String, Value> {
        self.body.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// The first value of a key in the query.
    pub fn asked(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }
}

/// What an answer carries.
#[derive(Debug)]
pub enum Content {
    /// Nothing.
    None,
    /// JSON.
    Json(Value),
    /// Bytes of some type.
    Raw(&'static str, Bytes),
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Body.
    pub content: Content,
    /// Headers beside those that every answer has.
    pub headers: Vec<(&'static str, String)>,
}

impl Reply {
    /// A body with some status.
    pub const fn of(status: StatusCode, body: Value) -> Self {
        Self { status, content: Content::Json(body), headers: Vec::new() }
    }

    /// 200 with a body.
    pub const fn ok(body: Value) -> Self {
        Self::of(StatusCode::OK, body)
    }

    /// 201 with a body.
    pub const fn created(body: Value) -> Self {
        Self::of(StatusCode::CREATED, body)
    }

    /// 202 with a body.
    pub const fn accepted(body: Value) -> Self {
        Self::of(StatusCode::ACCEPTED, body)
    }

    /// A status without a body.
    pub const fn empty(status: StatusCode) -> Self {
        Self { status, content: Content::None, headers: Vec::new() }
    }

    /// With one header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// As HTTP.
    pub fn written(self) -> Answer {
        let mut answer = match self.content {
            Content::None => web::empty(self.status),
            Content::Json(body) => web::json(self.status, &body),
            Content::Raw(kind, bytes) => web::typed(self.status, kind, bytes),
        };
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                answer.headers_mut().insert(name, value);
            }
        }
        answer
    }
}

/// A refusal.
#[derive(Debug)]
pub struct Fault {
    /// Status.
    pub status: StatusCode,
    /// What Neutron calls it; the others tell kinds by their status.
    pub kind: &'static str,
    /// For people.
    pub message: String,
}

/// An answer or a refusal.
pub type Answered = Result<Reply, Fault>;

impl Fault {
    /// A refusal.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, kind: "", message: message.into() }
    }

    /// 400.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 409.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// 404 of an object.
    pub fn missing(kind: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{kind} {id} could not be found."))
    }

    /// 404 of a path that no service has.
    pub fn no_such_path() -> Self {
        Self { kind: "HTTPNotFound", ..Self::new(StatusCode::NOT_FOUND, "The resource could not be found.") }
    }

    /// With Neutron's name of it.
    #[must_use]
    pub const fn called(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// As a service writes it.
    pub fn written(&self, service: Service) -> Answer {
        let (code, message) = (self.status.as_u16(), &self.message);
        let title = self.status.canonical_reason().unwrap_or_default();
        let body = match service {
            Service::Identity => json!({ "error": { "code": code, "message": message, "title": title } }),
            Service::Compute | Service::Volume => json!({ fault_name(self.status): { "code": code, "message": message } }),
            // What WebOb makes of an exception for clients that accept JSON.
            Service::Image => {
                json!({ "message": format!("{message}<br /><br />\n\n\n"), "code": format!("{code} {title}"), "title": title })
            }
            Service::Network => json!({ "NeutronError": { "type": self.kind, "message": message, "detail": "" } }),
        };
        web::json(self.status, &body)
    }
}

/// Nova's and Cinder's names of refusals.
fn fault_name(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "badRequest",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "itemNotFound",
        405 => "badMethod",
        409 => "conflictingRequest",
        413 | 429 => "overLimit",
        415 => "badMediaType",
        501 => "notImplemented",
        503 => "serviceUnavailable",
        _ => "computeFault",
    }
}

/// 401 of whatever service: Keystone itself, or its middleware in front of the others.
pub fn unauthorized(address: &str, message: &str) -> Answer {
    let body = json!({ "error": { "code": 401, "message": message, "title": "Unauthorized" } });
    asking(address, web::json(StatusCode::UNAUTHORIZED, &body))
}

/// With the header that says where a token is to be had.
pub fn asking(address: &str, mut answer: Answer) -> Answer {
    if let Ok(value) = HeaderValue::from_str(&format!("Keystone uri=\"{address}/identity/v3\"")) {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    answer
}

/// A moment as Nova writes it.
pub fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A moment as Cinder writes it.
pub fn fine_time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}
