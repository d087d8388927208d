//! `Retry-After` of an answer. kube hands on the body of a refusal only; proxies in front of the API server say it in the header.

use std::{future::Future, pin::Pin, task::Poll};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Either, Full};
use kube::client::Body;
use serde_json::{Value, json};
use tower::{BoxError, Layer, Service};

use crate::{retry::asked_pause, secrets::excerpt};

/// Writes the header's pause into the `Status` of a refusal.
#[derive(Debug, Clone, Copy)]
pub struct PauseInStatus;

impl<S> Layer<S> for PauseInStatus {
    type Service = Noting<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Noting(inner)
    }
}

/// The service of [`PauseInStatus`].
#[derive(Debug, Clone)]
pub struct Noting<S>(S);

impl<S, B> Service<Request<Body>> for Noting<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Either<B, Full<Bytes>>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into)?;
            let refused = answer.status().is_client_error() || answer.status().is_server_error();
            let pause = asked_pause(answer.headers());
            match pause {
                Some(pause) if refused => noted(answer, pause.as_secs()).await,
                _ => Ok(answer.map(Either::Left)),
            }
        })
    }
}

async fn noted<B>(answer: Response<B>, seconds: u64) -> Result<Response<Either<B, Full<Bytes>>>, BoxError>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = answer.into_parts();
    let bytes = body.collect().await.map_err(Into::into)?.to_bytes();
    let mut status = match serde_json::from_slice::<Value>(&bytes) {
        Ok(status) if status["kind"] == "Status" => status,
        // What is between us and the API server has said it in its own words.
        _ => json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": head.status.as_u16(),
            "reason": head.status.canonical_reason().unwrap_or_default(),
            "message": excerpt(String::from_utf8_lossy(&bytes).trim(), 300) }),
    };
    if !status["details"].is_object() {
        status["details"] = json!({});
    }
    status["details"]["retryAfterSeconds"] = seconds.into();
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(head, Either::Right(Full::from(status.to_string()))))
}
