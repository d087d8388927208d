//! Answers as HTTP messages.

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use serde::Serialize;
use serde_json::Value;

use super::{
    request::Format,
    status::{Answer, Failure},
};

/// Body of an answer: whole, a stream of watch events, or what a backend sends.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A body that is there as a whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that comes in pieces.
pub fn stream(pieces: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()
}

/// An answer with a code, a type and a body.
pub fn with(code: StatusCode, media: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// JSON.
pub fn json(code: StatusCode, value: &Value) -> Response<Body> {
    with(code, "application/json", full(value.to_string()))
}

/// JSON or YAML, as negotiated, with warnings.
pub fn object(code: StatusCode, value: &impl Serialize, format: Format, warnings: &[String]) -> Answer<Response<Body>> {
    let mut response = if format.yaml {
        let text = serde_saphyr::to_string(value).map_err(|error| Failure::internal(error.to_string()))?;
        with(code, "application/yaml", full(text))
    } else {
        let text = serde_json::to_string(value).map_err(|error| Failure::internal(error.to_string()))?;
        with(code, "application/json", full(text))
    };
    for warning in warnings {
        warn(&mut response, warning);
    }
    Ok(response)
}

/// Adds a warning to an answer.
pub fn warn(response: &mut Response<Body>, warning: &str) {
    let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
    if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
        response.headers_mut().append(header::WARNING, value);
    }
}

/// A refusal.
pub fn failure(failure: &Failure) -> Response<Body> {
    if failure.plain {
        return with(failure.code, "text/plain; charset=utf-8", full(failure.message.clone()));
    }
    let mut response = json(failure.code, &failure.status());
    if let Some(seconds) = failure.details.as_ref().and_then(|details| details["retryAfterSeconds"].as_u64()) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
