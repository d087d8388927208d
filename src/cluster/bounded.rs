//! The layer of a Kubernetes client that bounds what is read of an answer, and refuses redirects.
//!
//! kube reads whole bodies into memory and lines of a watch of any length. This layer is the
//! innermost one, so that everything above it sees bounded bodies only.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use http_body::{Frame, SizeHint};
use reqwest::Url;
use tower::{BoxError, Layer, Service};

use super::count::verb;
use crate::{
    limits::{Form, Limit, Meter, TooLarge},
    providers::http::redirect,
};

/// Bounds the answers of a service.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bounded {
    /// A Kubernetes API: by the verb of the request.
    Api,
    /// An OAuth server, which answers with small documents, and with redirects that are read.
    Login,
    /// A service behind a Route, which answers with lists.
    Lists,
}

/// An answer that is not read.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is too large. `reading` says that nothing was asked for but to read.
    TooLarge { why: TooLarge, reading: bool },
    /// It leads to another address.
    Redirected(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { why, .. } => why.fmt(f),
            Self::Redirected(to) => {
                write!(f, "it redirects to {to}, and no redirect is followed")
            }
        }
    }
}

impl std::error::Error for Refused {}

impl Refused {
    /// What the user can do, where it is known.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::TooLarge { .. } => None,
            Self::Redirected(_) => Some("write the final URL of the cluster into the kubeconfig"),
        }
    }
}

impl<S> Layer<S> for Bounded {
    type Service = Bounding<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Bounding { inner, of: *self }
    }
}

/// See [`Bounded`].
#[derive(Debug, Clone)]
pub(super) struct Bounding<S> {
    inner: S,
    of: Bounded,
}

impl<S, R, B> Service<Request<R>> for Bounding<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Limited<B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let reading = request.method() == Method::GET;
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let verb = verb(request.method(), path, query);
        let (limit, form) = match self.of {
            Bounded::Login => (Limit::Login, Form::Json),
            Bounded::Lists => (Limit::List, Form::Json),
            // Its end is kept by who reads it; the rest passes.
            Bounded::Api if path.ends_with("/log") => (Limit::List, Form::Text),
            Bounded::Api if verb == "list" => (Limit::List, Form::Json),
            Bounded::Api => (Limit::Object, Form::Json),
        };
        // Where a login redirects to is what the client asks for.
        let redirected = !matches!(self.of, Bounded::Login);
        // The layer that makes addresses whole may be below this one.
        let from = Url::parse(&request.uri().to_string()).ok();
        let by_line = verb == "watch";
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into)?;
            let status = answer.status();
            if redirected && let Some(to) = redirect(status, answer.headers(), from.as_ref()) {
                return Err(Refused::Redirected(to).into());
            }
            let refusal = status.is_client_error() || status.is_server_error();
            let meter = if refusal { Meter::new(Limit::Login, Form::Text) } else { Meter::new(limit, form) };
            if let Some(length) = answer.body().size_hint().exact().filter(|_| !refusal && !by_line) {
                meter.announced(length).map_err(|why| Refused::TooLarge { why, reading })?;
            }
            let fresh = (limit, form);
            Ok(answer.map(|inner| Limited {
                inner: Box::pin(inner),
                meter,
                fresh,
                by_line: by_line && !refusal,
                cut: refusal,
                reading,
                over: false,
            }))
        })
    }
}

/// A body that ends with an error where its limit is.
pub(super) struct Limited<B> {
    inner: Pin<Box<B>>,
    meter: Meter,
    /// With what the meter starts again.
    fresh: (Limit, Form),
    /// The limit is one of each line.
    by_line: bool,
    /// What is longer is cut without an error: the words of a refusal.
    cut: bool,
    reading: bool,
    over: bool,
}

impl<B> Limited<B> {
    fn take(&mut self, data: &[u8]) -> Result<(), TooLarge> {
        if !self.by_line {
            return self.meter.take(data);
        }
        let mut lines = data.split(|byte| *byte == b'\n');
        self.meter.take(lines.next().unwrap_or_default())?;
        for line in lines {
            self.meter = Meter::new(self.fresh.0, self.fresh.1);
            self.meter.take(line)?;
        }
        Ok(())
    }
}

impl<B> http_body::Body for Limited<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        let Some(frame) = ready!(this.inner.as_mut().poll_frame(cx)) else { return Poll::Ready(None) };
        let frame = frame.map_err(Into::into)?;
        if let Some(data) = frame.data_ref()
            && let Err(why) = this.take(data)
        {
            this.over = true;
            let refused = Refused::TooLarge { why, reading: this.reading };
            return Poll::Ready(if this.cut { None } else { Some(Err(refused.into())) });
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // A body that is cut is shorter than it says.
        if self.cut { SizeHint::default() } else { self.inner.size_hint() }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    async fn ask(of: Bounded, path: &str, status: u16, body: String) -> Result<usize, String> {
        let server = service_fn(move |_: Request<()>| {
            let answer = Response::builder().status(status).header("location", "https://other:1/x?token=t").body(Full::from(body.clone()));
            async move { answer }
        });
        // Relative, as it is in this layer.
        let request = Request::get(path).body(()).unwrap();
        let answer = of.layer(server).oneshot(request).await.map_err(|error| error.to_string())?;
        Ok(answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes().len())
    }

    #[tokio::test]
    async fn each_kind_of_answer_has_its_limit() {
        const MIB: usize = 1024 * 1024;
        let text = |mib: usize| "x".repeat(mib * MIB);
        let object = "/api/v1/namespaces/a";
        assert_eq!(ask(Bounded::Api, object, 200, text(16)).await, Ok(16 * MIB));
        assert!(ask(Bounded::Api, object, 200, text(17)).await.unwrap_err().contains("longer than 16 MiB"));
        assert_eq!(ask(Bounded::Api, "/api/v1/namespaces", 200, text(17)).await, Ok(17 * MIB));
        assert!(ask(Bounded::Login, "/oauth/token", 200, text(2)).await.unwrap_err().contains("longer than 1 MiB"));
        assert_eq!(ask(Bounded::Api, object, 503, text(2)).await, Ok(0), "an error that is too long is cut");
        let lines = format!("{}\n{}\n", text(10), text(10));
        assert_eq!(ask(Bounded::Api, "/api/v1/pods?watch=true", 200, lines).await, Ok(20 * MIB + 2));
        let line = format!("a\n{}\n", text(17));
        assert!(ask(Bounded::Api, "/api/v1/pods?watch=true", 200, line).await.is_err());
    }

    #[tokio::test]
    async fn a_redirect_is_refused_and_a_login_reads_it() {
        let error = ask(Bounded::Api, "/api/v1/pods", 307, String::new()).await.unwrap_err();
        assert!(error.contains("https://other:1/x") && !error.contains("token"), "{error}");
        assert_eq!(ask(Bounded::Login, "/oauth/authorize", 302, String::new()).await, Ok(0));
    }
}
