//! Refusals in a namespace that was created a moment ago. The rights of a namespace reach the API servers a little later than
//! the namespace itself, so a 403 there is asked again for a few seconds before it counts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full, Limited};
use kube::client::Body;
use serde_json::Value;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

use super::{error::is_missing_right, login::copy};

/// How long after its creation a namespace counts as young.
const YOUNG: Duration = Duration::from_mins(1);

/// How long a refusal is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// First and longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

/// Longest refusal that is read, bytes.
const REFUSAL: usize = 1024 * 1024;

/// Namespaces that this process created, with when.
#[derive(Debug, Clone, Default)]
pub(super) struct Young(Arc<Mutex<HashMap<String, Instant>>>);

impl Young {
    /// A namespace was created now.
    pub fn note(&self, namespace: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, since| since.elapsed() < YOUNG);
        known.insert(namespace.to_owned(), Instant::now());
    }

    fn holds(&self, path: &str) -> bool {
        let mut parts = path.split('/').skip_while(|part| *part != "namespaces").skip(1);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.next().and_then(|namespace| known.get(namespace)).is_some_and(|since| since.elapsed() < YOUNG)
    }
}

impl<S> Layer<S> for Young {
    type Service = Patient<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Patient { inner, young: self.clone() }
    }
}

/// The service of [`Young`].
#[derive(Debug, Clone)]
pub(super) struct Patient<S> {
    inner: S,
    young: Young,
}

impl<S, B> Service<Request<Body>> for Patient<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Either<B, Full<Bytes>>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let young = self.young.holds(request.uri().path());
        if !young {
            let answer = inner.call(request);
            return Box::pin(async move { Ok(answer.await.map_err(Into::into)?.map(Either::Left)) });
        }
        Box::pin(async move {
            let (mut request, mut pause, end) = (request, PAUSES.0, Instant::now() + PATIENCE);
            loop {
                let again = copy(&request);
                let answer = inner.call(request).await.map_err(Into::into)?;
                if answer.status() != StatusCode::FORBIDDEN {
                    return Ok(answer.map(Either::Left));
                }
                let (head, body) = answer.into_parts();
                let body = Limited::new(body, REFUSAL).collect().await?.to_bytes();
                let lag = serde_json::from_slice(&body).is_ok_and(|status: Value| status["message"].as_str().is_some_and(is_missing_right));
                match again.filter(|_| lag && Instant::now() + pause < end) {
                    Some(again) => request = again,
                    None => return Ok(Response::from_parts(head, Either::Right(Full::from(body)))),
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
                std::future::poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
            }
        })
    }
}
