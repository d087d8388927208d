//! Runs one piece of work of the workload to its verdict: within its deadline, stopped by its token, panics caught.

use std::{any::Any, future::Future, time::Duration};

use futures::future::BoxFuture;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Emitter, Failure, StepCx};
use crate::{
    diagnosis::{Diagnosis, Id},
    events::Verdict,
};

/// How long work may take to come back after its token said stop, before it is dropped: a request in flight may end, so
/// that its answer reaches the journal. Short enough for the 2 s in which reports are promised, with room for a teardown.
pub(super) const GRACE: Duration = Duration::from_millis(1500);

/// How far beyond its deadline work may go, because a wait that ends by itself explains better than the engine can.
const OVERRUN: Duration = Duration::from_secs(2);

/// How long to wait until work that was told to drop everything has done so. It needs no more than the next turn of its task.
const DROPPED: Duration = Duration::from_millis(100);

/// How work ended.
#[derive(Debug)]
pub(super) struct Ended<T> {
    pub verdict: Verdict,
    /// What the work returned, where it returned something.
    pub value: Option<T>,
    pub trouble: Option<Diagnosis>,
    pub took: Duration,
    /// A defect of the tool that showed.
    pub internal: Option<String>,
}

/// Which verdict it is when the time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnTimeout {
    /// A step: what is tested is too slow.
    Failed,
    /// Set-up and teardown: the environment is too slow.
    Errored,
}

/// Runs the work and judges it. The caller emits `StepStarted` and `StepFinished`, because it knows what is a step.
///
/// The work runs in a task of its own: a panic ends in its `JoinError` and takes nothing else along.
pub(super) async fn attempt<T, W>(cx: StepCx, limit: Duration, leave: &CancellationToken, on_timeout: OnTimeout, work: W) -> Ended<T>
where
    T: Send + 'static,
    W: FnOnce(StepCx) -> BoxFuture<'static, Result<T, Failure>>,
{
    let started = Instant::now();
    let (emitter, cancel, deadline) = (cx.emitter.clone(), cx.cancel.clone(), cx.deadline);
    let mut task = Task(tokio::spawn(deadline.scope(emitter.clone().scope(work(cx)))));

    let stopped = async {
        cancel.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(GRACE) => {}
            () = leave.cancelled() => {}
        }
    };
    // In this order: what has ended has ended, even when a signal came at the same moment.
    let joined = tokio::select! {
        biased;
        joined = &mut task.0 => Some(joined),
        () = stopped => None,
        () = tokio::time::sleep_until(deadline.at() + OVERRUN) => None,
    };
    if joined.is_none() {
        // Nothing of it may go on beside what comes next. Work that blocks its thread cannot be dropped and is not waited for.
        task.0.abort();
        let _ = tokio::time::timeout(DROPPED, &mut task.0).await;
    }
    let took = started.elapsed();
    let ended = |verdict, value, trouble, internal| Ended { verdict, value, trouble, took, internal };
    match joined {
        Some(Ok(Ok(value))) => ended(Verdict::Passed, Some(value), None, None),
        Some(Ok(Err(Failure::Failed(trouble)))) => ended(Verdict::Failed, None, Some(trouble), None),
        Some(Ok(Err(Failure::Errored(trouble)))) => ended(Verdict::Errored, None, Some(trouble), None),
        None | Some(Ok(Err(Failure::Interrupted))) if cancel.is_cancelled() => {
            ended(Verdict::Interrupted, None, Some(interrupted(&emitter)), None)
        }
        Some(Ok(Err(Failure::Interrupted))) => {
            let what = "the step says that it was interrupted, but nobody interrupted it".to_owned();
            ended(Verdict::Errored, None, Some(internal(&what, &emitter)), Some(what))
        }
        Some(Err(error)) => {
            let what = panic_text(error);
            ended(Verdict::Errored, None, Some(internal(&what, &emitter)), Some(what))
        }
        None => {
            let verdict = match on_timeout {
                OnTimeout::Failed => Verdict::Failed,
                OnTimeout::Errored => Verdict::Errored,
            };
            ended(verdict, None, Some(too_slow(&emitter, limit, took)), None)
        }
    }
}

/// A task that ends with its owner, so that nothing works on in the background of a run that is over.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Adds what the step did last.
fn seen(diagnosis: Diagnosis, emitter: &Emitter) -> Diagnosis {
    match emitter.last_progress() {
        Some(doing) => diagnosis.evidence(format!("last seen: {doing}")),
        None => diagnosis,
    }
}

fn interrupted(emitter: &Emitter) -> Diagnosis {
    seen(Diagnosis::new(Id::ScenarioInterrupted, "interrupted"), emitter)
}

fn internal(what: &str, emitter: &Emitter) -> Diagnosis {
    seen(Diagnosis::new(Id::ToolPanicked, format!("internal error: {what}")), emitter)
        .hint("this is a defect of mtv-test: please report it together with run.log")
}

/// `limit` is the step's own; `took` shows whether a limit further out ended it earlier.
fn too_slow(emitter: &Emitter, limit: Duration, took: Duration) -> Diagnosis {
    let summary = if took < limit {
        format!("not done after {}, when the time for the whole scenario or run was up", human(took))
    } else {
        format!("not done within {}", human(limit))
    };
    seen(Diagnosis::new(Id::StepTimeout, summary), emitter)
}

fn panic_text(error: JoinError) -> String {
    let text = |payload: &(dyn Any + Send)| {
        payload.downcast_ref::<&str>().map(|s| (*s).to_owned()).or_else(|| payload.downcast_ref::<String>().cloned())
    };
    match error.try_into_panic() {
        Ok(payload) => format!("panic: {}", text(&*payload).unwrap_or_else(|| "without a message".to_owned())),
        Err(error) => format!("the task of the step was lost: {error}"),
    }
}

/// `850ms`, `12.3s`, `4m05s`, `1h02m`: durations as people read them.
pub fn human(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{seconds}.{}s", millis / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A future that the engine can spawn.
pub(super) fn boxed<T, F: Future<Output = T> + Send + 'static>(future: F) -> BoxFuture<'static, T> {
    Box::pin(future)
}
