//! Runs a plan of steps: scheduler, pipeline, deadlines, cancellation. It emits events and knows nothing of Forklift.
//!
//! What the steps do is behind [`Workload`]; the engine knows scenarios and steps by index and name.

mod attempt;
mod cx;
mod deadline;
#[cfg(test)]
pub(crate) mod fake;
mod outcome;
mod run;
pub mod signals;
#[cfg(test)]
mod tests;

pub use attempt::human;
pub use cx::{Emitter, Failure, StepCx};
pub use deadline::Deadline;
pub use outcome::{Outcome, Totals};
pub use run::{Options, SET_UP, SWITCHED_OFF, TEAR_DOWN, run, step_names};
pub use signals::{Interrupt, Interrupts, Signal};

use std::{collections::BTreeMap, time::Duration};

use futures::future::BoxFuture;

use crate::diagnosis::Diagnosis;

/// A step as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    /// Stable name.
    pub name: &'static str,
    /// Runs although an earlier step failed: it cleans up.
    pub always: bool,
    /// Longest time.
    pub limit: Duration,
}

/// A scenario as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRun {
    /// Stable, unique name.
    pub name: String,
    /// Names it had elsewhere.
    pub aliases: Vec<String>,
    /// Steps in order.
    pub steps: Vec<PlannedStep>,
    /// Why it is not run, if it is not.
    pub closed: Option<Closed>,
}

/// Why a scenario is not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// It does not apply here: the reason.
    Skip(String),
    /// It was asked for, and something that it needs is missing.
    Error(Diagnosis),
}

impl Closed {
    /// The reason of a skip.
    pub fn skip(&self) -> Option<&str> {
        match self {
            Self::Skip(reason) => Some(reason),
            Self::Error(_) => None,
        }
    }
}

/// What is still there after a teardown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// `Plan mig/x`, `VM x on vsphere`.
    pub object: String,
    /// Why.
    pub reason: String,
}

/// What the engine runs. Everything that happens outside of the process is behind this trait.
pub trait Workload: Send + Sync + 'static {
    /// Once, before the first scenario: connections, namespace, Provider resources. Returns notes for the report.
    fn set_up<'a>(&'a self, cx: &'a StepCx) -> BoxFuture<'a, Result<Vec<String>, Failure>>;

    /// Why a scenario must not be run on this cluster, known after the set-up: a version that is too low.
    fn gate(&self, scenario: usize) -> Option<Closed> {
        let _ = scenario;
        None
    }

    /// One step of one scenario, both by index. Returns notes for the report.
    fn step<'a>(&'a self, scenario: usize, step: usize, cx: &'a StepCx) -> BoxFuture<'a, Result<Vec<String>, Failure>>;

    /// Collects what explains a scenario that went wrong, where no step that cleans up will do it: the teardown is switched off.
    fn collect<'a>(&'a self, scenario: usize, cx: &'a StepCx) -> BoxFuture<'a, Result<(), Failure>> {
        let _ = (scenario, cx);
        Box::pin(async { Ok(()) })
    }

    /// Once, after the last scenario, also after failures and the first interrupt. Returns what is left.
    fn tear_down<'a>(&'a self, cx: &'a StepCx) -> BoxFuture<'a, Result<Vec<Leftover>, Failure>>;

    /// Requests made so far, by service and verb, for the report.
    fn requests(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}
