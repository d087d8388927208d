//! Questions and answers of the services.

use std::collections::HashMap;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

/// A request to a service, below its endpoint.
pub struct Ask<'a> {
    /// Verb.
    pub method: &'a Method,
    /// Segments of the path.
    pub path: &'a [&'a str],
    /// Query.
    pub query: &'a HashMap<String, String>,
    /// Body; null if there is none.
    pub body: &'a Value,
    /// Minor version of the compute API that the client asks for, `2.N`.
    pub minor: u32,
}

impl Ask<'_> {
    /// A text in the body.
    pub fn text(&self, pointer: &str) -> &str {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// An object in the body.
    pub fn map(&self, pointer: &str) -> Map<String, Value> {
        self.body.pointer(pointer).and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// The page of a list that is asked for, by `limit` and `marker`, with the link to the next one.
    pub fn page(&self, member: &str, url: &str, list: Vec<Value>) -> Reply {
        let marker = self.query.get("marker");
        let limit = self.query.get("limit").and_then(|limit| limit.parse::<usize>().ok()).filter(|limit| *limit > 0);
        let mut rest: Vec<Value> = match marker {
            Some(marker) => list.into_iter().skip_while(|o| o["id"] != marker.as_str()).skip(1).collect(),
            None => list,
        };
        let more = limit.is_some_and(|limit| rest.len() > limit);
        if let Some(limit) = limit {
            rest.truncate(limit);
        }
        let last = rest.last().map(|o| o["id"].as_str().unwrap_or_default().to_owned()).unwrap_or_default();
        let mut body = json!({ member: rest });
        if more {
            let limit = limit.unwrap_or_default();
            body[format!("{member}_links")] = json!([{ "rel": "next", "href": format!("{url}?limit={limit}&marker={last}") }]);
        }
        Reply::ok(body)
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Body; null for none.
    pub body: Value,
}

impl Reply {
    /// 200 with a body.
    pub const fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body }
    }

    /// 202 with a body.
    pub const fn accepted(body: Value) -> Self {
        Self { status: StatusCode::ACCEPTED, body }
    }

    /// A status without a body.
    pub const fn empty(status: StatusCode) -> Self {
        Self { status, body: Value::Null }
    }

    /// A refusal as Nova and Cinder write it.
    pub fn refused(status: StatusCode, message: &str) -> Self {
        let kind = match status {
            StatusCode::NOT_FOUND => "itemNotFound",
            StatusCode::CONFLICT => "conflictingRequest",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::BAD_REQUEST => "badRequest",
            _ => "computeFault",
        };
        Self { status, body: json!({ kind: { "code": status.as_u16(), "message": message } }) }
    }

    /// 404.
    pub fn missing(kind: &str, id: &str) -> Self {
        Self::refused(StatusCode::NOT_FOUND, &format!("{kind} {id} could not be found."))
    }
}

/// A moment as Nova writes it.
pub fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A moment as Cinder writes it.
pub fn fine_time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string()
}
