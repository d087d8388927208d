//! How requests are repeated: one policy for the cluster, the sources and the inventory.
//!
//! Only what is transient is asked again, only what is safe is sent again, with jitter, with the pause that a server asks for,
//! and never beyond the deadline of the step that asks. A client joins by telling the [`Fate`] of its errors.

use std::{convert::Infallible, fmt, time::Duration};

use http::{HeaderMap, StatusCode, header};
use jiff::{Timestamp, fmt::rfc2822};
use tokio::time::Instant;

use crate::{
    engine::{Deadline, emit_here, human},
    events::What,
};

/// Whether a request may be sent a second time when it is not known whether the first one was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// Reading, or an operation that does the same twice as once.
    Repeatable,
    /// Would do it twice.
    Once,
}

/// What an error says of the request that it is the answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It would fail again.
    Final,
    /// It was not carried out, and may be later; with the pause that the server asks for.
    NotNow(Option<Duration>),
    /// It may have been carried out, or not.
    Unclear(Option<Duration>),
}

impl Fate {
    /// What an HTTP code says that anybody between client and server may have answered: 429 is sent instead of the work, while
    /// behind a 502, 503 or 504 it may have been done. `None` for codes that only the protocol in question can judge.
    pub fn of_status(code: u16, after: Option<Duration>) -> Option<Self> {
        match code {
            429 => Some(Self::NotNow(after)),
            502..=504 => Some(Self::Unclear(after)),
            _ => None,
        }
    }
}

/// Why one try of a request gave no answer that can be used. `L` is how a client says that it had none, `R` what it knows of
/// answers that refuse for good, if it tells them apart from others here.
#[derive(Debug)]
pub enum TryError<L, R = Infallible> {
    /// No answer.
    Lost(L),
    /// 429 or 5xx: the service is busy or stumbled, or somebody in front of it answered. With its words, if it has any.
    Busy(StatusCode, Fate, String),
    /// An answer that the service does not give, of a proxy for example, or cut: what is wrong with it. The request may have been
    /// carried out.
    Garbled(StatusCode, String),
    /// The service's own refusal.
    Refused(R),
}

impl<L, R> TryError<L, R> {
    /// What it says of the request; `lost` judges a missing answer.
    pub fn fate(&self, lost: impl FnOnce(&L) -> Fate) -> Fate {
        match self {
            Self::Lost(why) => lost(why),
            Self::Busy(_, fate, _) => *fate,
            Self::Garbled(..) => Fate::Unclear(None),
            Self::Refused(_) => Fate::Final,
        }
    }
}

/// Whether an error, or one of its causes, says that this process or machine has no file descriptor left (EMFILE, ENFILE): asking
/// again takes one more.
pub fn out_of_files(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| match (error.raw_os_error(), error.get_ref()) {
            (Some(number), _) => is_out_of_files(number),
            // What such an error wraps is not its source.
            (None, Some(inner)) => out_of_files(inner),
            (None, None) => false,
        })
    })
}

/// Whether an error number of the operating system says so: EMFILE or ENFILE.
pub const fn is_out_of_files(number: i32) -> bool {
    matches!(number, 23 | 24)
}

/// No answer within the time that one attempt has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAnswer(pub Duration);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {}", human(self.0))
    }
}

impl std::error::Error for NoAnswer {}

tokio::task_local! {
    /// Another policy for what runs in this task.
    static POLICY: Policy;
}

/// How often, how long, with which pauses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Longest wait for one answer.
    pub patience: Duration,
    /// Pause before the second attempt; each further one is twice as long.
    pub first_pause: Duration,
    /// Longest pause, unless a server asks for a longer one.
    pub longest_pause: Duration,
    /// Attempts in all.
    pub attempts: u32,
    /// Time for all attempts together. A step's deadline holds as well.
    pub budget: Duration,
}

impl Policy {
    /// The one that everything uses. A kube-apiserver gives up a request after a minute (`--request-timeout`), and so do the
    /// proxies in front of vCenters and Routes; twelve attempts with pauses of 31 to 63 s in all outlast the restart of a service, the
    /// change of a leader or of a proxy's backend; three minutes bound the case that every attempt hangs.
    pub const STANDARD: Self = Self {
        patience: Duration::from_mins(1),
        first_pause: Duration::from_millis(200),
        longest_pause: Duration::from_secs(10),
        attempts: 12,
        budget: Duration::from_mins(3),
    };

    /// The policy of this task: the standard one, unless [`Policy::scope`] says otherwise.
    pub fn current() -> Self {
        POLICY.try_with(|policy| *policy).unwrap_or(Self::STANDARD)
    }

    /// Runs something under this policy, with every client that it makes: for tests against servers that are faster.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        POLICY.scope(self, work).await
    }

    /// For the first contact with an address: a wrong one should show after one or two seconds.
    #[must_use]
    pub fn first_contact(self) -> Self {
        Self { attempts: self.attempts.min(4), ..self }
    }

    /// All times divided by a number, for tests against servers whose stalls are as much shorter.
    #[must_use]
    pub fn faster(self, times: u32) -> Self {
        Self {
            patience: self.patience / times,
            first_pause: self.first_pause / times,
            longest_pause: self.longest_pause / times,
            budget: self.budget / times,
            ..self
        }
    }

    /// The beginning of a series of attempts.
    pub fn start(&self) -> Tries {
        let own = Deadline::after(self.budget);
        let end = Deadline::current().map_or(own, |step| if step.at() < own.at() { step } else { own });
        Tries { policy: *self, started: Instant::now(), end, made: 0, asked_for: None }
    }

    /// Asks until there is an answer, the error is final, or attempts and time are used up. `op` gets the longest time that it may take.
    ///
    /// # Errors
    /// The last error, with how often and how long it was tried.
    pub async fn run<T, E, F>(&self, safety: Safety, fate: impl Fn(&E) -> Fate, mut op: impl FnMut(Duration) -> F) -> Result<T, GaveUp<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut tries = self.start();
        loop {
            let error = match op(tries.begin()).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let again = match fate(&error) {
                Fate::NotNow(after) => tries.again(after).await,
                Fate::Unclear(after) if safety == Safety::Repeatable => tries.again(after).await,
                Fate::Unclear(_) | Fate::Final => false,
            };
            if !again {
                return Err(GaveUp { error, story: tries.story() });
            }
        }
    }
}

/// A series of attempts.
#[derive(Debug)]
pub struct Tries {
    policy: Policy,
    started: Instant,
    end: Deadline,
    made: u32,
    /// A pause that a server asked for and that is longer than the time left.
    asked_for: Option<Duration>,
}

impl Tries {
    /// Counts an attempt; returns the longest time that it may take.
    pub fn begin(&mut self) -> Duration {
        self.made += 1;
        // Not nothing, even when the time is up: an attempt that is begun gets a chance.
        self.policy.patience.min(self.end.left()).max(Duration::from_millis(1))
    }

    /// Waits until the next attempt; false if there is none.
    pub async fn again(&mut self, after: Option<Duration>) -> bool {
        if self.made >= self.policy.attempts {
            return false;
        }
        let pause = jittered(self.pause()).max(after.unwrap_or_default());
        if pause >= self.end.left() {
            self.asked_for = after.filter(|after| *after == pause);
            return false;
        }
        emit_here(What::Retried { attempt: self.made, pause: pause.as_secs_f64() });
        tokio::time::sleep(pause).await;
        true
    }

    fn pause(&self) -> Duration {
        let doubled = self.policy.first_pause.saturating_mul(1 << self.made.saturating_sub(1).min(20));
        doubled.min(self.policy.longest_pause)
    }

    /// How it went, for the error: empty after one quick attempt.
    pub fn story(&self) -> Story {
        Story { made: self.made, took: self.started.elapsed(), asked_for: self.asked_for }
    }
}

/// Pauses that grow until a deadline, for what has to be asked again because nobody reports a change.
///
/// The whole time is used: a pause that would go beyond the deadline is cut, and one more attempt follows at the deadline.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    next: Duration,
    longest: Duration,
    end: Deadline,
}

impl Pauses {
    /// Pauses of at first and at most these lengths, until `end`.
    pub fn new((first, longest): (Duration, Duration), end: Deadline) -> Self {
        Self { next: first, longest, end }
    }

    /// The same pauses with another deadline.
    pub fn extend(&mut self, end: Deadline) {
        self.end = end;
    }

    /// Whether the deadline has come: the attempt that was made last was the last one.
    pub fn over(&self) -> bool {
        self.end.left().is_zero()
    }

    /// Longest time that an attempt may take: until the deadline, and as long as `grace` even then.
    pub fn patience(&self, longest: Duration, grace: Duration) -> Duration {
        longest.min(self.end.left().max(grace))
    }

    /// Waits before the next attempt; false, without waiting, if the deadline has come.
    pub async fn wait(&mut self) -> bool {
        if self.over() {
            return false;
        }
        tokio::time::sleep_until((Instant::now() + self.next).min(self.end.at())).await;
        self.next = (self.next * 2).min(self.longest);
        true
    }
}

/// How a series of attempts went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Story {
    made: u32,
    took: Duration,
    asked_for: Option<Duration>,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.made > 1 {
            write!(f, " (tried {} times in {})", self.made, human(self.took))?;
        }
        match self.asked_for {
            Some(pause) => write!(f, "; the server asks to wait {}, which is longer than the time left", human(pause)),
            None => Ok(()),
        }
    }
}

/// The last error of a series.
#[derive(Debug)]
pub struct GaveUp<E> {
    /// The error.
    pub error: E,
    /// How it went.
    pub story: Story,
}

/// Half of the pause is certain, half is chance, so that those who failed together do not come back together.
fn jittered(pause: Duration) -> Duration {
    // Without a random source everybody waits the same time, which is no reason to stop.
    let chance = f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX);
    pause.mul_f64(0.5 + chance / 2.0)
}

/// A pause that an answer asks for. A date is one of the server's clock, which `Date` of the same answer tells.
pub fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let now = text(header::DATE).and_then(|date| rfc2822::parse(date).ok()).map_or_else(Timestamp::now, |date| date.timestamp());
    retry_after(text(header::RETRY_AFTER)?, now)
}

/// What `Retry-After` says: seconds, or a date. `now` is the server's time, from the `Date` of the same answer.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy::STANDARD;

    async fn attempts(policy: Policy, safety: Safety, fate: Fate) -> (u32, Duration, String) {
        let (start, mut made) = (Instant::now(), 0);
        let gave_up = policy
            .run(
                safety,
                |()| fate,
                |_| {
                    made += 1;
                    async { Err::<(), ()>(()) }
                },
            )
            .await
            .unwrap_err();
        (made, start.elapsed(), gave_up.story.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_again_and_how_often() {
        use Fate::{Final, NotNow, Unclear};
        use Safety::{Once, Repeatable};
        for (safety, fate, expected) in [
            (Repeatable, Final, 1),
            (Repeatable, NotNow(None), 12),
            (Repeatable, Unclear(None), 12),
            (Once, NotNow(None), 12),
            (Once, Unclear(None), 1),
        ] {
            let (made, took, story) = attempts(POLICY, safety, fate).await;
            assert_eq!(made, expected, "{safety:?} {fate:?}");
            // An outage of half a minute is outlasted.
            assert!(expected == 1 || (Duration::from_secs(31)..=Duration::from_secs(63)).contains(&took), "{took:?}");
            assert_eq!(story.contains("tried 12 times"), expected > 1, "{story}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_s_pause_is_kept_or_told() {
        let (made, took, _) = attempts(POLICY, Safety::Once, Fate::NotNow(Some(Duration::from_secs(20)))).await;
        assert_eq!((made, took.as_secs()), (9, 160));
        let (made, took, story) = attempts(POLICY, Safety::Once, Fate::NotNow(Some(Duration::from_hours(1)))).await;
        assert_eq!((made, took.as_secs()), (1, 0));
        assert!(story.contains("asks to wait 1h00m"), "{story}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_s_deadline_holds_for_what_it_asks() {
        let step = Deadline::after(Duration::from_secs(5));
        let start = Instant::now();
        step.scope(async {
            let hang = POLICY.run(
                Safety::Repeatable,
                |_: &NoAnswer| Fate::Unclear(None),
                |patience| async move {
                    tokio::time::sleep(patience).await;
                    Err::<(), _>(NoAnswer(patience))
                },
            );
            assert_eq!(hang.await.unwrap_err().error.to_string(), "no answer within 5.0s");
        })
        .await;
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_server_s_clock() {
        let now = "2015-10-21T07:27:50Z".parse().unwrap();
        for (value, pause) in
            [("7", Some(7)), ("Wed, 21 Oct 2015 07:28:00 GMT", Some(10)), ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)), ("soon", None)]
        {
            assert_eq!(retry_after(value, now), pause.map(Duration::from_secs), "{value}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn growing_pauses_use_the_whole_time() {
        for (limit, attempts) in [(0, 1), (1, 2), (5, 4), (20, 6), (30, 6)] {
            let begin = Instant::now();
            let mut pauses = Pauses::new((Duration::from_secs(1), Duration::from_secs(15)), Deadline::after(Duration::from_secs(limit)));
            let mut made = 0;
            loop {
                made += 1;
                assert!(pauses.patience(Duration::from_secs(20), Duration::from_secs(2)) >= Duration::from_secs(2));
                if !pauses.wait().await {
                    break;
                }
            }
            assert_eq!((begin.elapsed().as_secs(), made), (limit, attempts), "{limit} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn repeated_attempts_are_reported_and_the_last_one_is_not() {
        let (send, mut events) = tokio::sync::mpsc::unbounded_channel();
        let emitter = crate::engine::Emitter::new("r1", send);
        emitter.scope(attempts(POLICY, Safety::Repeatable, Fate::NotNow(None))).await;
        let mut seen = Vec::new();
        while let Ok(event) = events.try_recv() {
            let What::Retried { attempt, pause } = event.what else { panic!("{event:?}") };
            seen.push((attempt, pause));
        }
        assert_eq!(seen.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), (1..12).collect::<Vec<_>>());
        assert!(seen.iter().all(|(_, pause)| *pause >= (POLICY.first_pause / 2).as_secs_f64()));
    }

    #[test]
    fn a_lack_of_file_descriptors_is_known_by_its_number() {
        let wrapped = |number| std::io::Error::other(std::io::Error::other(std::io::Error::from_raw_os_error(number)));
        for (number, expected) in [(23, true), (24, true), (111, false)] {
            assert_eq!(out_of_files(&std::io::Error::from_raw_os_error(number)), expected, "{number}");
            assert_eq!(out_of_files(&wrapped(number)), expected, "{number}");
        }
        assert!(!out_of_files(&std::io::Error::other("Too many open files (os error 24)")), "words do not count");
    }

    #[test]
    fn jitter_keeps_half() {
        let pause = Duration::from_secs(1);
        assert!((0..100).map(|_| jittered(pause)).all(|p| p >= pause / 2 && p <= pause));
    }
}
