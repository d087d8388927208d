//! What happens in a run. The engine emits these; every report is fed by them and by nothing else.
//!
//! Texts in events are masked before they are emitted, so that every sink is clean by construction.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use crate::{diagnosis::Diagnosis, exit::ExitCode};

/// Version of the event format, `v` on each line of `events.ndjson`. Fields are only ever added.
pub const FORMAT: u32 = 1;

/// An event with its time and place.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Version of the format.
    pub v: u32,
    /// Wall clock.
    pub ts: Timestamp,
    /// Seconds since the run started, by the monotonic clock.
    pub elapsed: f64,
    /// Run id.
    pub run: String,
    /// Scenario, where the event belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Step, where the event belongs to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// How a step or scenario ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should.
    Passed,
    /// Something that was tested is wrong.
    Failed,
    /// Something that the test stands on does not work: cluster, source, credentials, the tool.
    Errored,
    /// Not run, with a reason.
    Skipped,
    /// Stopped by the user.
    Interrupted,
}

/// A scenario as the run starts it.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedScenario {
    /// Name.
    pub name: String,
    /// Names of its steps in order.
    pub steps: Vec<String>,
    /// Reason if it will not be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<String>,
    /// Names it had elsewhere.
    pub aliases: Vec<String>,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The run starts.
    RunStarted {
        /// Version of mtv-test.
        version: String,
        /// Folder of the results.
        results: PathBuf,
        /// Scenarios in order.
        scenarios: Vec<PlannedScenario>,
    },
    /// Facts about the surroundings, for report properties: provider, storage class, MTV and OpenShift version.
    Facts {
        /// Name to value.
        facts: BTreeMap<String, String>,
    },
    /// A scenario starts.
    ScenarioStarted,
    /// A step starts. Steps without scenario belong to the run: `set_up` and `tear_down`.
    StepStarted,
    /// What a step waits for or does now.
    StepProgress {
        /// A sentence without full stop, such as "waiting for Plan x to be Ready".
        doing: String,
        /// Percent of the disk transfer, where there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        percent: Option<f64>,
    },
    /// A condition or phase of an object changed.
    StateChanged {
        /// `Plan mig/x`.
        object: String,
        /// New state in a few words.
        state: String,
    },
    /// Something worth telling that is no failure.
    Warning {
        /// A sentence.
        message: String,
        /// What the user might do.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        hints: Vec<String>,
    },
    /// A step ended.
    StepFinished {
        /// How.
        verdict: Verdict,
        /// How long it took.
        #[serde(serialize_with = "seconds")]
        took: Duration,
        /// Why it did not pass.
        #[serde(skip_serializing_if = "Option::is_none")]
        trouble: Option<Diagnosis>,
        /// What it found out, for the report: one line per check.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// A step is not run.
    StepSkipped {
        /// Why.
        reason: String,
    },
    /// A scenario ended.
    ScenarioFinished {
        /// How.
        verdict: Verdict,
        /// How long it took.
        #[serde(serialize_with = "seconds")]
        took: Duration,
    },
    /// A signal came or the run is given up.
    CancelBegun {
        /// Which stage of the ladder: 1 tear down, 2 skip teardown.
        stage: u8,
        /// Why.
        reason: String,
    },
    /// Logs and objects were collected of something that went wrong.
    Collected {
        /// Where they are.
        folder: PathBuf,
        /// How many files.
        files: usize,
    },
    /// An object was deleted by a teardown.
    Deleted {
        /// `Plan mig/x`, `VM x on vsphere`.
        object: String,
    },
    /// A teardown set a shared setting back to what it was before the run.
    Restored {
        /// `/spec/controller_precopy_interval of ForkliftController openshift-mtv/forklift-controller`.
        object: String,
    },
    /// An object is still there after a teardown.
    LeftBehind {
        /// `Plan mig/x`, `VM x on vsphere`.
        object: String,
        /// Why.
        reason: String,
    },
    /// The run ended.
    RunFinished {
        /// Exit code.
        #[serde(serialize_with = "code")]
        exit: ExitCode,
        /// How long it took.
        #[serde(serialize_with = "seconds")]
        took: Duration,
        /// Requests by service and verb.
        requests: BTreeMap<String, u64>,
    },
}

impl What {
    /// Changes every text that can hold what a server, a guest or a panic said.
    #[must_use]
    pub fn map_texts(self, map: &impl Fn(String) -> String) -> Self {
        match self {
            Self::Facts { facts } => Self::Facts { facts: facts.into_iter().map(|(name, value)| (name, map(value))).collect() },
            Self::StepProgress { doing, percent } => Self::StepProgress { doing: map(doing), percent },
            Self::StateChanged { object, state } => Self::StateChanged { object: map(object), state: map(state) },
            Self::Warning { message, hints } => Self::Warning { message: map(message), hints: hints.into_iter().map(map).collect() },
            Self::StepFinished { verdict, took, trouble, notes } => {
                let trouble = trouble.map(|trouble| trouble.map_texts(map));
                Self::StepFinished { verdict, took, trouble, notes: notes.into_iter().map(map).collect() }
            }
            Self::StepSkipped { reason } => Self::StepSkipped { reason: map(reason) },
            Self::CancelBegun { stage, reason } => Self::CancelBegun { stage, reason: map(reason) },
            Self::Deleted { object } => Self::Deleted { object: map(object) },
            Self::Restored { object } => Self::Restored { object: map(object) },
            Self::LeftBehind { object, reason } => Self::LeftBehind { object: map(object), reason: map(reason) },
            // What the run itself says of itself.
            Self::RunStarted { .. }
            | Self::Collected { .. }
            | Self::ScenarioStarted
            | Self::StepStarted
            | Self::ScenarioFinished { .. }
            | Self::RunFinished { .. } => self,
        }
    }
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn code<S: serde::Serializer>(exit: &ExitCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(exit.code)
}
