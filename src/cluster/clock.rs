//! The API server's clock, read from the `Date` header of its answers.
//!
//! Ages, the cutover of a warm migration and the sign of life of a run are compared with times that
//! the cluster wrote, so they use the cluster's clock and not that of the machine mtv-test runs on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use futures::future::BoxFuture;
use http::{Request, Response, header};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use tower::{Layer, Service};

/// `Date` has whole seconds: on average half of one is cut off.
const HALF_A_SECOND: SignedDuration = SignedDuration::from_millis(500);

/// An answer that took longer says too little about when its `Date` was written.
const LONGEST_ROUND_TRIP: SignedDuration = SignedDuration::from_secs(5);

/// The server's time as of the latest answer. Cheap to clone; clones share the reading.
#[derive(Debug, Clone, Default)]
pub struct ServerClock(Arc<Mutex<Option<Reading>>>);

/// One answer: at this instant of ours it was this time there.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    server: Timestamp,
}

impl ServerClock {
    /// The server's time now, to about a second; `None` until it has answered with a `Date`.
    pub fn now(&self) -> Option<Timestamp> {
        let reading = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let since = SignedDuration::try_from(reading.at.elapsed()).ok()?;
        reading.server.checked_add(since).ok()
    }

    /// How far the clock of this machine is ahead of the server's; negative when it is behind.
    pub fn skew(&self) -> Option<SignedDuration> {
        self.now().map(|server| Timestamp::now().duration_since(server))
    }

    fn note(&self, sent: Instant, answered: Instant, date: &str) {
        let Ok(zoned) = rfc2822::parse(date) else { return };
        let round_trip = SignedDuration::try_from(answered - sent).unwrap_or(SignedDuration::MAX);
        if round_trip > LONGEST_ROUND_TRIP {
            return;
        }
        if let Ok(server) = zoned.timestamp().checked_add(HALF_A_SECOND) {
            let at = sent + (answered - sent) / 2;
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Reading { at, server });
        }
    }
}

impl<S> Layer<S> for ServerClock {
    type Service = Reads<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Reads { inner, clock: self.clone() }
    }
}

/// A service that reads the clock from each answer.
#[derive(Debug, Clone)]
pub struct Reads<S> {
    inner: S,
    clock: ServerClock,
}

impl<S, B, A> Service<Request<B>> for Reads<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (clock, sent) = (self.clock.clone(), Instant::now());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(date) = answer.headers().get(header::DATE).and_then(|value| value.to_str().ok()) {
                clock.note(sent, Instant::now(), date);
            }
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_time_of_the_server() {
        let clock = ServerClock::default();
        assert!(clock.now().is_none() && clock.skew().is_none());
        let now = Instant::now();
        clock.note(now, now, "Tue, 01 Dec 2026 10:00:00 GMT");
        let ahead = clock.now().unwrap().duration_since("2026-12-01T10:00:00Z".parse().unwrap());
        assert!(ahead >= HALF_A_SECOND && ahead < SignedDuration::from_mins(1), "{ahead}");
    }

    #[test]
    fn ignores_dates_that_say_nothing() {
        let clock = ServerClock::default();
        let now = Instant::now();
        clock.note(now, now, "yesterday");
        clock.note(now, now + std::time::Duration::from_mins(1), "Tue, 01 Dec 2026 10:00:00 GMT");
        assert!(clock.now().is_none());
    }
}
