//! The layer of a Kubernetes client that shows requests and answers. It passes bodies on as they come: a watch stays a stream.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use kube::client::Body;
use tower::{Layer, Service};

use crate::trace::{Exchange, wanted};

/// Most of a body that is kept to be shown, bytes.
const KEPT: usize = 1024 * 1024;

/// Shows what a client sends and gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trace(pub(super) &'static str);

impl<S> Layer<S> for Trace {
    type Service = Tracing<S>;

    fn layer(&self, inner: S) -> Tracing<S> {
        Tracing { inner, service: self.0 }
    }
}

/// See [`Trace`].
#[derive(Debug, Clone)]
pub(super) struct Tracing<S> {
    inner: S,
    service: &'static str,
}

impl<S, B> Service<Request<Body>> for Tracing<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: std::fmt::Display,
{
    type Response = Response<Tee<B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let exchange = if wanted() { Some(self.begin(&request)) } else { None };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await.inspect_err(|error| {
                if let Some(exchange) = &exchange {
                    exchange.answer(&format!("no answer: {error}"), "", b"");
                }
            })?;
            let (parts, inner) = response.into_parts();
            // A stream that both sides took over is theirs.
            let shown = exchange.map(|exchange| Shown {
                exchange,
                status: parts.status,
                content_type: content_type(&parts.headers),
                kept: BytesMut::new(),
                lines: 0,
                told: false,
            });
            Ok(Response::from_parts(parts, Tee { inner, shown }))
        })
    }
}

impl<S> Tracing<S> {
    fn begin(&self, request: &Request<Body>) -> Exchange {
        // Bodies of requests are in memory; a clone shares their bytes.
        let body = request.body().try_clone().and_then(|body| body.collect().now_or_never()?.ok()).map(http_body_util::Collected::to_bytes);
        let line = || format!("{} {} {}", self.service, request.method(), request.uri());
        Exchange::begin(line, &content_type(request.headers()), &body.unwrap_or_default())
    }
}

fn content_type(headers: &HeaderMap) -> String {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// An answer's body that is shown when it has passed; one that never ends is shown line by line.
pub(super) struct Tee<B> {
    inner: B,
    shown: Option<Shown>,
}

struct Shown {
    exchange: Exchange,
    status: StatusCode,
    content_type: String,
    kept: BytesMut,
    /// Events that were shown already.
    lines: usize,
    told: bool,
}

impl Shown {
    fn take(&mut self, data: &Bytes) {
        let room = KEPT.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&data[..data.len().min(room)]);
        // Only watches have a line end after a whole object and go on.
        while let Some(end) = self.kept.iter().position(|byte| *byte == b'\n') {
            let line = self.kept.split_to(end + 1);
            if self.content_type.contains("json") && serde_json::from_slice::<serde::de::IgnoredAny>(&line).is_ok() {
                self.lines += 1;
                self.exchange.answer(self.status.as_str(), &self.content_type, &line);
            } else {
                let mut whole = line;
                whole.unsplit(std::mem::take(&mut self.kept));
                self.kept = whole;
                break;
            }
        }
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.told, true) && (self.lines == 0 || !self.kept.is_empty()) {
            self.exchange.answer(self.status.as_str(), &self.content_type, &self.kept);
        }
    }
}

impl<B> Drop for Tee<B> {
    fn drop(&mut self) {
        // A caller that has seen enough need not read to the end.
        if let Some(shown) = &mut self.shown {
            shown.end();
        }
    }
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Tee<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(shown) = &mut self.shown {
            match &frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        shown.take(data);
                    }
                }
                Some(Err(_)) | None => shown.end(),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
