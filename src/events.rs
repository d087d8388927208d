//! Everything that happens in a run, as data. The engine emits events; every report is fed by them and by nothing else, so that each
//! report can be produced again from `events.ndjson`.
//!
//! The format is described in `docs/events.md` and by `schemas/events.json`, which is generated from these types. Texts in events
//! are masked before they are emitted, so that every sink is clean by construction.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{checks::CheckResult, diagnosis::Diagnosis, exit::ExitCode};

/// Version of the event format, `v` on each line of `events.ndjson`. Within a version events and fields are only ever added, so
/// that a reader ignores what it does not know.
pub const FORMAT: u32 = 1;

/// An event with its time and place.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Version of the format.
    pub v: u32,
    /// Wall clock of this machine, RFC 3339.
    #[schemars(with = "String")]
    pub ts: Timestamp,
    /// Seconds since the run started, by the monotonic clock.
    pub elapsed: f64,
    /// Run id.
    pub run: String,
    /// Scenario, where the event belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Step, where the event belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// How a step or scenario ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PlannedScenario {
    /// Name.
    pub name: String,
    /// Names of its steps in order.
    pub steps: Vec<String>,
    /// Reason if it will not be run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<String>,
    /// Names it had elsewhere.
    pub aliases: Vec<String>,
}

/// How an execution of a Plan, or a stage of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MigrationEnd {
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
    /// It was canceled.
    Canceled,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
        #[serde(default, skip_serializing_if = "Option::is_none")]
        percent: Option<f64>,
    },
    /// A condition or phase of an object changed.
    StateChanged {
        /// `Plan mig/x`.
        object: String,
        /// New state in a few words.
        state: String,
    },
    /// A condition of a Forklift object changed while the run watched it.
    ConditionChanged {
        /// `Plan mig/x`.
        object: String,
        /// Type of the condition: `Ready`, `VMNotFound`.
        condition: String,
        /// `True`, `False` or `Unknown`; `None` if the condition is no longer there.
        status: Option<String>,
        /// Category: `Critical`, `Warn`, …
        #[serde(default, skip_serializing_if = "Option::is_none")]
        category: Option<String>,
        /// Reason, a single word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Message for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// Forklift began to execute a Plan.
    MigrationStarted {
        /// `namespace/name` of the Plan and of the Migration.
        plan: String,
        /// Source VMs by name.
        vms: Vec<String>,
    },
    /// An execution of a Plan ended.
    MigrationFinished {
        /// `namespace/name` of the Plan.
        plan: String,
        /// How.
        end: MigrationEnd,
    },
    /// A stage of a VM's pipeline started.
    StageStarted {
        /// `namespace/name` of the Plan.
        plan: String,
        /// Name of the VM on the source.
        vm: String,
        /// Name of the stage in Forklift's pipeline: `DiskTransfer`.
        stage: String,
    },
    /// A stage of a VM's pipeline ended.
    StageFinished {
        /// `namespace/name` of the Plan.
        plan: String,
        /// Name of the VM on the source.
        vm: String,
        /// Name of the stage.
        stage: String,
        /// How.
        end: MigrationEnd,
        /// How long it took by the cluster's clock, in seconds, if both times are known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took: Option<f64>,
        /// Forklift's reasons if it failed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reasons: Vec<String>,
    },
    /// A stage that copies the disks of a VM moved on.
    DiskProgress {
        /// `namespace/name` of the Plan.
        plan: String,
        /// Name of the VM on the source.
        vm: String,
        /// Name of the stage.
        stage: String,
        /// Bytes copied so far.
        done: u64,
        /// Bytes to copy.
        total: u64,
    },
    /// A precopy of a warm migration ended.
    PrecopyFinished {
        /// `namespace/name` of the Plan.
        plan: String,
        /// Name of the VM on the source.
        vm: String,
        /// Number of the precopy, from 1.
        number: u32,
    },
    /// The cutover of a warm migration was set.
    CutoverSet {
        /// `namespace/name` of the Plan.
        plan: String,
        /// When, by the cluster's clock, RFC 3339.
        at: String,
    },
    /// A source VM was cloned.
    Cloned {
        /// Name of the source VM or template.
        source: String,
        /// Name of the clone.
        clone: String,
        /// Id of the clone on the source.
        id: String,
        /// Datastore, storage domain or volume types of its disks.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        storage: Vec<String>,
    },
    /// The run created an object on the cluster.
    Created {
        /// `Plan mig/x`.
        object: String,
    },
    /// A request failed in a way that passes, and is sent again.
    Retried {
        /// Number of the attempt that failed, from 1.
        attempt: u32,
        /// Seconds until the next one.
        pause: f64,
    },
    /// Something worth telling that is no failure.
    Warning {
        /// A sentence.
        message: String,
        /// What the user might do.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hints: Vec<String>,
    },
    /// A check of a migrated VM ended.
    CheckFinished(CheckResult),
    /// A step ended.
    StepFinished {
        /// How.
        verdict: Verdict,
        /// How long it took, in seconds.
        #[serde(with = "seconds")]
        #[schemars(with = "f64")]
        took: Duration,
        /// Why it did not pass.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trouble: Option<Diagnosis>,
        /// What it found out, for the report: one line per check.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
        /// How long it took, in seconds.
        #[serde(with = "seconds")]
        #[schemars(with = "f64")]
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
        #[serde(with = "code")]
        #[schemars(with = "u8")]
        exit: ExitCode,
        /// How long it took, in seconds.
        #[serde(with = "seconds")]
        #[schemars(with = "f64")]
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
            Self::ConditionChanged { object, condition, status, category, reason, message } => Self::ConditionChanged {
                object: map(object),
                condition: map(condition),
                status: status.map(map),
                category: category.map(map),
                reason: reason.map(map),
                message: message.map(map),
            },
            Self::StageFinished { plan, vm, stage, end, took, reasons } => {
                let reasons = reasons.into_iter().map(map).collect();
                Self::StageFinished { plan: map(plan), vm: map(vm), stage: map(stage), end, took, reasons }
            }
            Self::MigrationStarted { plan, vms } => Self::MigrationStarted { plan: map(plan), vms: vms.into_iter().map(map).collect() },
            Self::MigrationFinished { plan, end } => Self::MigrationFinished { plan: map(plan), end },
            Self::StageStarted { plan, vm, stage } => Self::StageStarted { plan: map(plan), vm: map(vm), stage: map(stage) },
            Self::DiskProgress { plan, vm, stage, done, total } => {
                Self::DiskProgress { plan: map(plan), vm: map(vm), stage: map(stage), done, total }
            }
            Self::PrecopyFinished { plan, vm, number } => Self::PrecopyFinished { plan: map(plan), vm: map(vm), number },
            Self::CutoverSet { plan, at } => Self::CutoverSet { plan: map(plan), at: map(at) },
            Self::Cloned { source, clone, id, storage } => {
                let storage = storage.into_iter().map(map).collect();
                Self::Cloned { source: map(source), clone: map(clone), id: map(id), storage }
            }
            Self::Created { object } => Self::Created { object: map(object) },
            Self::Warning { message, hints } => Self::Warning { message: map(message), hints: hints.into_iter().map(map).collect() },
            Self::StepFinished { verdict, took, trouble, notes } => {
                let trouble = trouble.map(|trouble| trouble.map_texts(map));
                Self::StepFinished { verdict, took, trouble, notes: notes.into_iter().map(map).collect() }
            }
            Self::CheckFinished(result) => Self::CheckFinished(result.map_texts(map)),
            Self::StepSkipped { reason } => Self::StepSkipped { reason: map(reason) },
            Self::CancelBegun { stage, reason } => Self::CancelBegun { stage, reason: map(reason) },
            Self::Deleted { object } => Self::Deleted { object: map(object) },
            Self::Restored { object } => Self::Restored { object: map(object) },
            Self::LeftBehind { object, reason } => Self::LeftBehind { object: map(object), reason: map(reason) },
            // What the run itself says of itself.
            Self::RunStarted { .. }
            | Self::Collected { .. }
            | Self::Retried { .. }
            | Self::ScenarioStarted
            | Self::StepStarted
            | Self::ScenarioFinished { .. }
            | Self::RunFinished { .. } => self,
        }
    }
}

/// Durations as seconds with a fraction.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Exit codes as their number.
mod code {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::exit::{self, ExitCode};

    pub fn serialize<S: Serializer>(exit: &ExitCode, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(exit.code)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ExitCode, D::Error> {
        let code = u8::deserialize(deserializer)?;
        exit::ALL.iter().find(|exit| exit.code == code).copied().ok_or_else(|| D::Error::custom(format!("unknown exit code {code}")))
    }
}
