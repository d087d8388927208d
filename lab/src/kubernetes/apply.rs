//! Server-side apply.

use http::Response;
use serde_json::Value;

use super::{
    operation::Operation,
    response::Body,
    status::{Answer, Failure},
};

/// Refuses an apply patch.
pub fn apply(_op: &Operation, _applied: &Value) -> Answer<Response<Body>> {
    Err(Failure::unsupported_media_type(&["application/json-patch+json", "application/merge-patch+json"]))
}
