//! Deadlines nest: run > scenario > step > wait.

use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    /// The deadline of the piece of work that runs in this task.
    static CURRENT: Deadline;
}

/// A moment after which nobody waits any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// So long from now, but never later than this deadline.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self(self.0.min(Instant::now() + limit))
    }

    /// Runs something that has to be over by then: what it asks for by requests ends in time, see [`crate::retry`].
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// The deadline that the work of this task runs in, if any.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|deadline| *deadline).ok()
    }

    /// The moment.
    pub fn at(self) -> Instant {
        self.0
    }

    /// Time that is left.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}
