//! What a step gets from the engine: a way to tell, a deadline, a token that says stop.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::Deadline;
use crate::{
    diagnosis::{self, Diagnosis},
    events::{Event, FORMAT, What},
    secrets::mask,
};

/// Why a step did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Something that was tested is wrong.
    Failed(Diagnosis),
    /// Something that the test stands on does not work: cluster, source, credentials.
    Errored(Diagnosis),
    /// The token said stop.
    Interrupted,
}

impl Failure {
    /// The same with advice on what is known of it.
    #[must_use]
    pub fn advised(self) -> Self {
        match self {
            Self::Failed(diagnosis) => Self::Failed(diagnosis::advise(diagnosis)),
            Self::Errored(diagnosis) => Self::Errored(diagnosis::advise(diagnosis)),
            Self::Interrupted => Self::Interrupted,
        }
    }
}

impl From<anyhow::Error> for Failure {
    /// What did not work below a step is the environment's trouble; a failed check says so by itself.
    fn from(error: anyhow::Error) -> Self {
        Self::Errored(Diagnosis::of_error(&error))
    }
}

/// Puts events on their way, with run, scenario and step filled in and secrets masked.
#[derive(Debug, Clone)]
pub struct Emitter {
    run: Arc<str>,
    started: Instant,
    scenario: Option<Arc<str>>,
    step: Option<Arc<str>>,
    /// The last progress of the step, so that a step that runs out of time can be told by what it did last.
    doing: Arc<Mutex<Option<String>>>,
    events: UnboundedSender<Event>,
}

impl Emitter {
    /// For a run that starts now.
    pub fn new(run: &str, events: UnboundedSender<Event>) -> Self {
        Self { run: run.into(), started: Instant::now(), scenario: None, step: None, doing: Arc::default(), events }
    }

    /// The same for a scenario.
    #[must_use]
    pub fn scenario(&self, name: &str) -> Self {
        Self { scenario: Some(name.into()), step: None, doing: Arc::default(), ..self.clone() }
    }

    /// The same for a step.
    #[must_use]
    pub fn step(&self, name: &str) -> Self {
        Self { step: Some(name.into()), doing: Arc::default(), ..self.clone() }
    }

    /// The run that the events belong to.
    pub fn run_id(&self) -> &str {
        &self.run
    }

    /// What the step told last by [`What::StepProgress`], masked.
    pub fn last_progress(&self) -> Option<String> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Emits. When nobody listens any more the process is ending, and there is nothing to do about it.
    pub fn emit(&self, what: What) {
        let what = what.map_texts(&|text| mask(&text));
        if let What::StepProgress { doing, .. } = &what {
            *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = Some(doing.clone());
        }
        let _ = self.events.send(Event {
            v: FORMAT,
            ts: Timestamp::now(),
            elapsed: self.started.elapsed().as_secs_f64(),
            run: self.run.to_string(),
            scenario: self.scenario.as_deref().map(str::to_owned),
            step: self.step.as_deref().map(str::to_owned),
            what,
        });
    }
}

/// What a step gets from the engine.
#[derive(Debug, Clone)]
pub struct StepCx {
    /// Where to tell what happens.
    pub emitter: Emitter,
    /// When the step must be over.
    pub deadline: Deadline,
    /// Says stop: waits end with [`Failure::Interrupted`].
    pub cancel: CancellationToken,
}

impl StepCx {
    /// Tells what the step waits for or does now: a sentence without full stop.
    pub fn progress(&self, doing: impl Into<String>, percent: Option<f64>) {
        self.emitter.emit(What::StepProgress { doing: doing.into(), percent });
    }

    /// Tells something worth telling that is no failure.
    pub fn warn(&self, message: impl Into<String>) {
        self.emitter.emit(What::Warning { message: message.into(), hints: Vec::new() });
    }

    /// Reports something that is no failure, with what the user might do about it.
    pub fn warn_with(&self, message: impl Into<String>, hints: Vec<String>) {
        self.emitter.emit(What::Warning { message: message.into(), hints });
    }
}
