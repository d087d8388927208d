//! The run as far as it is known: events folded into one value, for reports that show the whole.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jiff::Timestamp;

use crate::{
    diagnosis::{self, Diagnosis},
    engine::{SET_UP, SWITCHED_OFF, TEAR_DOWN},
    events::{Event, Verdict, What},
    exit::ExitCode,
};

/// A run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Run id.
    pub id: String,
    /// Version of mtv-test.
    pub version: String,
    /// Folder of the results.
    pub results: PathBuf,
    /// When it started.
    pub started: Option<Timestamp>,
    /// Facts about the surroundings.
    pub facts: BTreeMap<String, String>,
    /// Steps of the run itself: set-up and teardown.
    pub own: Vec<Step>,
    /// Scenarios as planned.
    pub scenarios: Vec<Scenario>,
    /// What is left, with the reason.
    pub left: Vec<(String, String)>,
    /// What was collected: of which scenario if of one, the folder, and how many files.
    pub collected: Vec<(Option<String>, PathBuf, usize)>,
    /// How many objects a teardown deleted.
    pub deleted: usize,
    /// Warnings, with the scenario where they belong to one.
    pub warnings: Vec<(Option<String>, String)>,
    /// Stage of the interrupt ladder, and what it said.
    pub cancelled: Option<(u8, String)>,
    /// How it ended, if it has.
    pub finished: Option<Finished>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Exit code.
    pub exit: ExitCode,
    /// How long it took.
    pub took: Duration,
    /// Requests by service and verb.
    pub requests: BTreeMap<String, u64>,
}

/// A scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Name.
    pub name: String,
    /// Names it had elsewhere.
    pub aliases: Vec<String>,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// When it started, if it has.
    pub started: Option<Timestamp>,
    /// Its verdict and how long it took, if it has ended.
    pub ended: Option<(Verdict, Duration)>,
    /// Facts about this scenario alone.
    pub facts: BTreeMap<String, String>,
}

/// A step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Name.
    pub name: String,
    /// How far it is.
    pub state: StepState,
    /// What it told last.
    pub doing: Option<String>,
}

/// How far a step is.
#[derive(Debug, Clone)]
pub enum StepState {
    /// Not yet its turn.
    Waiting,
    /// Runs.
    Running,
    /// Was run.
    Ended {
        /// How it ended.
        verdict: Verdict,
        /// How long it took.
        took: Duration,
        /// Why it did not pass.
        trouble: Option<Diagnosis>,
        /// What it found out.
        notes: Vec<String>,
    },
    /// Will not be run.
    Skipped {
        /// Why.
        reason: String,
    },
}

impl Step {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), state: StepState::Waiting, doing: None }
    }
}

impl Scenario {
    /// The reason of a scenario of which nothing was run.
    pub fn skip_reason(&self) -> Option<&str> {
        let all = self.steps.iter().all(|s| matches!(s.state, StepState::Skipped { .. }));
        self.steps.first().filter(|_| all).and_then(|s| match &s.state {
            StepState::Skipped { reason } => Some(reason.as_str()),
            _ => None,
        })
    }
}

impl Run {
    /// Takes an event in. One that belongs to no planned step is ignored: reports must not fail on it.
    pub fn apply(&mut self, event: &Event) {
        match &event.what {
            What::RunStarted { version, results, scenarios } => {
                *self = Self {
                    id: event.run.clone(),
                    version: version.clone(),
                    results: results.clone(),
                    started: Some(event.ts),
                    own: vec![Step::new(SET_UP), Step::new(TEAR_DOWN)],
                    scenarios: scenarios
                        .iter()
                        .map(|s| Scenario {
                            name: s.name.clone(),
                            aliases: s.aliases.clone(),
                            steps: s.steps.iter().map(|name| Step::new(name)).collect(),
                            started: None,
                            ended: None,
                            facts: BTreeMap::new(),
                        })
                        .collect(),
                    ..Self::default()
                };
            }
            What::Facts { facts } => {
                let own = &mut self.facts;
                let target = match &event.scenario {
                    Some(name) => self.scenarios.iter_mut().find(|s| s.name == *name).map_or(own, |s| &mut s.facts),
                    None => own,
                };
                target.extend(facts.clone());
            }
            What::ScenarioStarted => self.on_scenario(event, |s| s.started = Some(event.ts)),
            What::ScenarioFinished { verdict, took } => self.on_scenario(event, |s| s.ended = Some((*verdict, *took))),
            What::StepStarted => self.on_step(event, |s| s.state = StepState::Running),
            What::StepProgress { doing, .. } => self.on_step(event, |s| s.doing = Some(doing.clone())),
            What::StepSkipped { reason } => self.on_step(event, |s| s.state = StepState::Skipped { reason: reason.clone() }),
            What::StepFinished { verdict, took, trouble, notes } => self.on_step(event, |s| {
                let (trouble, notes) = (trouble.clone(), notes.clone());
                s.state = StepState::Ended { verdict: *verdict, took: *took, trouble, notes };
            }),
            What::Warning { message, hints } => self.warnings.push((event.scenario.clone(), diagnosis::with_hints(message, hints))),
            What::CancelBegun { stage, reason } => self.cancelled = Some((*stage, reason.clone())),
            What::Collected { folder, files } => self.collected.push((event.scenario.clone(), folder.clone(), *files)),
            What::Deleted { .. } => self.deleted += 1,
            What::Restored { .. } => {}
            What::LeftBehind { object, reason } => self.left.push((object.clone(), reason.clone())),
            What::RunFinished { exit, took, requests } => {
                self.finished = Some(Finished { exit: *exit, took: *took, requests: requests.clone() });
            }
            What::StateChanged { .. } => {}
        }
    }

    /// Whether the teardown was left out because the user wants to keep everything.
    pub fn kept(&self) -> bool {
        self.own.iter().any(|s| s.name == TEAR_DOWN && matches!(&s.state, StepState::Skipped { reason } if reason == SWITCHED_OFF))
    }

    fn on_scenario(&mut self, event: &Event, change: impl FnOnce(&mut Scenario)) {
        if let Some(scenario) = self.scenarios.iter_mut().find(|s| Some(&s.name) == event.scenario.as_ref()) {
            change(scenario);
        }
    }

    fn on_step(&mut self, event: &Event, change: impl FnOnce(&mut Step)) {
        let steps = match &event.scenario {
            Some(name) => self.scenarios.iter_mut().find(|s| s.name == *name).map(|s| &mut s.steps),
            None => Some(&mut self.own),
        };
        let step = steps.and_then(|steps| steps.iter_mut().find(|s| Some(&s.name) == event.step.as_ref()));
        if let Some(step) = step {
            change(step);
        }
    }

    /// Whether anything is left, or may be: only a teardown that passed has looked.
    pub fn may_have_left_something(&self) -> bool {
        let set_up_begun = self.own.iter().any(|s| s.name == SET_UP && !matches!(s.state, StepState::Waiting | StepState::Skipped { .. }));
        let torn_down =
            self.own.iter().any(|s| s.name == TEAR_DOWN && matches!(s.state, StepState::Ended { verdict: Verdict::Passed, .. }));
        !self.left.is_empty() || (set_up_begun && !torn_down)
    }
}
