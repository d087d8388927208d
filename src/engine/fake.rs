//! A workload that does what a table says, for tests of the engine and of the reports.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{sync::mpsc::unbounded_channel, time::sleep};

use super::*;
use crate::{
    diagnosis::{Diagnosis, Id},
    events::{Event, What},
};

/// What a piece of work does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Passes after so many seconds, or ends as interrupted.
    Pass(u64),
    /// Fails.
    Fail,
    /// Finds the environment unusable.
    Error,
    /// Has a defect.
    Panic,
    /// Waits for ever, but for the token.
    Hang,
    /// Waits for ever and hears nothing.
    Deaf,
    /// Says that it was interrupted though it was not.
    Lie,
    /// Waits for its deadline and explains.
    Late,
}

pub(crate) fn trouble(summary: &str) -> Diagnosis {
    Diagnosis::new(Id::CheckFailed, summary)
        .evidence("cpu: expected 4, found 2")
        .evidence("memory: expected <8 GiB> & \u{fffe}more\u{1}")
        .hint("look at the Plan")
}

impl Act {
    async fn perform(self, cx: &StepCx) -> Result<Vec<String>, Failure> {
        cx.progress(format!("doing {self:?}"), None);
        match self {
            Self::Pass(seconds) => tokio::select! {
                () = sleep(Duration::from_secs(seconds)) => Ok(vec!["cpu: 2".to_owned()]),
                () = cx.cancel.cancelled() => Err(Failure::Interrupted),
            },
            Self::Fail => Err(Failure::Failed(trouble("2 checks of VM vm-1 failed"))),
            Self::Error => Err(Failure::Errored(Diagnosis { id: Id::SourceUnreachable, ..trouble("the source does not answer") })),
            Self::Panic => panic!("index out of bounds"),
            Self::Hang => {
                cx.cancel.cancelled().await;
                Err(Failure::Interrupted)
            }
            Self::Deaf => std::future::pending().await,
            Self::Lie => Err(Failure::Interrupted),
            Self::Late => {
                tokio::time::sleep_until(cx.deadline.at()).await;
                Err(Failure::Failed(trouble("Plan x was not Ready within its limit")))
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Fake {
    pub set_up: Act,
    pub tear_down: Act,
    pub left: Vec<Leftover>,
    /// By scenario and step; what is not here passes at once.
    pub steps: BTreeMap<(usize, usize), Act>,
    /// Steps at this moment.
    pub now: AtomicUsize,
    /// Most steps at the same time.
    pub most: AtomicUsize,
    /// Steps that were really called, in order.
    pub called: Mutex<Vec<(usize, usize)>>,
    /// Scenarios that were collected of.
    pub collected: Mutex<Vec<usize>>,
}

impl Fake {
    pub fn new(steps: impl IntoIterator<Item = ((usize, usize), Act)>) -> Self {
        Self {
            set_up: Act::Pass(0),
            tear_down: Act::Pass(0),
            left: Vec::new(),
            steps: steps.into_iter().collect(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            called: Mutex::default(),
            collected: Mutex::default(),
        }
    }
}

/// Counts a step out, also when it panics or is dropped.
struct Leaves<'a>(&'a AtomicUsize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Workload for Fake {
    fn set_up<'a>(&'a self, cx: &'a StepCx) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(self.set_up.perform(cx))
    }

    fn step<'a>(&'a self, scenario: usize, step: usize, cx: &'a StepCx) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async move {
            self.called.lock().unwrap().push((scenario, step));
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            let _leaves = Leaves(&self.now);
            let act = self.steps.get(&(scenario, step)).copied().unwrap_or(Act::Pass(0));
            act.perform(cx).await
        })
    }

    fn collect<'a>(&'a self, scenario: usize, _cx: &'a StepCx) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.collected.lock().unwrap().push(scenario);
            Ok(())
        })
    }

    fn tear_down<'a>(&'a self, cx: &'a StepCx) -> BoxFuture<'a, Result<Vec<Leftover>, Failure>> {
        Box::pin(async move { self.tear_down.perform(cx).await.map(|_| self.left.clone()) })
    }

    fn requests(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([("kubernetes get".to_owned(), 7)])
    }
}

/// A scenario with steps of one minute, named after what they do; those with a `!` run always.
pub(crate) fn scenario(name: &str, steps: &[&'static str]) -> PlannedRun {
    let steps = steps
        .iter()
        .map(|name| PlannedStep { name: name.trim_end_matches('!'), always: name.ends_with('!'), limit: Duration::from_mins(1) })
        .collect();
    PlannedRun { name: name.to_owned(), aliases: vec![format!("MTV-{}", name.len())], steps, closed: None }
}

/// Runs on the caller's (paused) time with interrupts after so many milliseconds each. Returns the events too.
pub(crate) async fn drive(fake: &Arc<Fake>, scenarios: Vec<PlannedRun>, options: Options, interrupts: &[u64]) -> (Outcome, Vec<Event>) {
    let (send, mut events) = unbounded_channel();
    let (interrupt, source) = unbounded_channel();
    let moments = interrupts.to_vec();
    let sender = tokio::spawn(async move {
        for moment in moments {
            sleep(Duration::from_millis(moment)).await;
            let _ = interrupt.send(Interrupt::now(Signal::Int));
        }
    });
    let workload = Arc::clone(fake) as Arc<dyn Workload>;
    let outcome = run(scenarios, workload, options, Emitter::new("r1", send), source).await;
    sender.abort();
    let mut all = Vec::new();
    // What is emitted after the end stays in the channel as well, and would show.
    while let Ok(mut event) = events.try_recv() {
        // The wall clock has no place in a snapshot.
        event.ts = jiff::Timestamp::UNIX_EPOCH;
        event.elapsed = 0.0;
        all.push(event);
    }
    assert!(matches!(all.last().map(|e| &e.what), Some(What::RunFinished { .. })), "the end comes last");
    (outcome, all)
}
