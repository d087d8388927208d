//! The endpoint by which rules change while the lab runs.
//!
//! | request | answer |
//! |---|---|
//! | `GET /debug/mtv-lab/faults` | all rules with `id`, `seen` and `done` |
//! | `POST /debug/mtv-lab/faults` | adds the rule of the body (JSON, the keys of `[[faults.requests]]`); answers it with its `id` |
//! | `DELETE /debug/mtv-lab/faults` | takes all rules away |
//! | `DELETE /debug/mtv-lab/faults/ID` | takes one rule away |
//! | `GET /debug/mtv-lab/faults/changes` | all changes: `objects`, `guests` and `machines` as in the data-centre file |
//! | `POST /debug/mtv-lab/faults/changes` | adds those of the body, of the same form |
//! | `DELETE /debug/mtv-lab/faults/changes` | takes all changes away |
//!
//! Each server of the lab has it, and wants the lab's admin token: `Authorization: Bearer TOKEN`.

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    Faults,
    body::{Body, full},
    change::Changes,
    rule::Rule,
};

/// What stands behind [`PATH`] for changes.
const CHANGES: &str = "changes";

/// Where it is.
pub const PATH: &str = "/debug/mtv-lab/faults";

/// What follows [`PATH`] in a path: empty, or the number of a rule; none for other paths.
fn rest(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(PATH)?;
    match rest.strip_prefix('/') {
        Some(id) => Some(id),
        None => rest.is_empty().then_some(""),
    }
}

/// Whether a path is the endpoint's.
pub fn is_here(path: &str) -> bool {
    rest(path).is_some()
}

impl Faults {
    /// Answers a request to the endpoint.
    pub fn administer(&self, method: &Method, path: &str, headers: &HeaderMap, body: &Bytes) -> Response<Body> {
        let token =
            headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.knows(token.trim())) {
            return told(StatusCode::UNAUTHORIZED, "the lab's admin token is wanted: Authorization: Bearer TOKEN");
        }
        match (method, rest(path).unwrap_or_default()) {
            (&Method::GET, CHANGES) => answer(StatusCode::OK, &json!(self.changes())),
            (&Method::POST, CHANGES) => match serde_json::from_slice::<Changes>(body) {
                Ok(more) => match self.change(more) {
                    Ok(()) => answer(StatusCode::CREATED, &json!(self.changes())),
                    Err(error) => told(StatusCode::BAD_REQUEST, &format!("{error:#}")),
                },
                Err(error) => told(StatusCode::BAD_REQUEST, &format!("the body is no list of changes: {error}")),
            },
            (&Method::DELETE, CHANGES) => {
                self.clear_changes();
                answer(StatusCode::OK, &json!(self.changes()))
            }
            (&Method::GET, "") => answer(StatusCode::OK, &json!({ "rules": self.list() })),
            (&Method::POST, "") => match serde_json::from_slice::<Rule>(body) {
                Ok(rule) => match self.add(rule) {
                    Ok(id) => answer(StatusCode::CREATED, &json!(self.list().into_iter().find(|rule| rule.id == id))),
                    Err(error) => told(StatusCode::BAD_REQUEST, &error.to_string()),
                },
                Err(error) => told(StatusCode::BAD_REQUEST, &format!("the body is no rule: {error}")),
            },
            (&Method::DELETE, "") => {
                self.clear();
                answer(StatusCode::OK, &json!({ "rules": [] }))
            }
            (&Method::DELETE, id) => match id.parse().ok().filter(|id| self.remove(*id)) {
                Some(_) => answer(StatusCode::OK, &json!({ "rules": self.list() })),
                None => told(StatusCode::NOT_FOUND, &format!("no rule has the number `{id}`")),
            },
            _ => told(StatusCode::METHOD_NOT_ALLOWED, "GET, POST and DELETE are possible, DELETE with the number of a rule too"),
        }
    }
}

fn told(code: StatusCode, error: &str) -> Response<Body> {
    answer(code, &json!({ "error": error }))
}

fn answer(code: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string() + "\n"));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
