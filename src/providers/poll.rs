//! Waiting on sources that cannot be watched: they are asked with growing pauses until a deadline.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{ProviderError, ProviderResult};
use crate::{
    engine::Deadline,
    retry::{Pauses, Policy},
};

/// First and longest pause: the first is short, because a lab answers at once; what the old suite's clients used all the time is
/// between one and five seconds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// A wait: look, and pause when it is not over.
#[derive(Debug)]
pub struct Wait {
    what: String,
    patience: Duration,
    pauses: Pauses,
}

impl Wait {
    /// Begins now. `what` is awaited, as in "to delete vm-1".
    pub fn new(what: impl Into<String>, patience: Duration) -> Self {
        Self { what: what.into(), patience, pauses: Pauses::new(PAUSES, Deadline::after(patience)) }
    }

    /// Pauses before the next look; the last one is at the deadline. `state` is what was seen.
    ///
    /// # Errors
    /// Time is up: what was awaited, how long, and the last state.
    pub async fn pause(&mut self, state: &str) -> ProviderResult<()> {
        if self.pauses.wait().await {
            return Ok(());
        }
        let state = if state.is_empty() { String::new() } else { format!("; last state: {state}") };
        Err(ProviderError::deadline(format!("waited {} s in vain {}{state}", self.patience.as_secs(), self.what)))
    }
}

/// How long nothing may come, in first pauses of the policy: 3 s. What a service was asked for it has noted down by then, if the
/// request has reached it at all.
const QUIET: u32 = 15;

/// Removes until nothing has been there for a while; whether anything was.
pub async fn until_quiet<'f>(policy: Policy, remove: impl Fn() -> BoxFuture<'f, ProviderResult<bool>>) -> ProviderResult<bool> {
    let mut removed = false;
    let mut end = Instant::now() + policy.first_pause * QUIET;
    loop {
        if remove().await? {
            removed = true;
            end = Instant::now() + policy.first_pause * QUIET;
        } else if Instant::now() >= end {
            return Ok(removed);
        }
        tokio::time::sleep_until((Instant::now() + policy.first_pause * (QUIET / 3)).min(end)).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_late_goes_too() {
        let begin = Instant::now();
        let late = || async { Ok(begin.elapsed() == Duration::from_secs(2)) }.boxed();
        assert!(until_quiet(Policy::STANDARD, late).await.unwrap());
        assert_eq!(begin.elapsed(), Duration::from_secs(5), "three seconds after the last that came");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_look_is_at_the_deadline() {
        let begin = Instant::now();
        let mut wait = Wait::new("to clone a to b", Duration::from_secs(20));
        let mut looks = 0;
        let error = loop {
            looks += 1;
            if let Err(error) = wait.pause("image_locked").await {
                break error;
            }
        };
        assert_eq!(error.to_string(), "waited 20 s in vain to clone a to b; last state: image_locked");
        assert_eq!(begin.elapsed(), Duration::from_secs(20));
        // At 0, 0.25, 0.75, 1.75, 3.75, 7.75, 12.75, 17.75 and 20 s.
        assert_eq!(looks, 9);
    }
}
