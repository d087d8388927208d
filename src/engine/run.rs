//! The run: set up once, scenarios side by side, their steps in order, tear down at the end.
//!
//! One task owns the state of the run. Each step runs in a task of its own and only its result comes back, so a step that
//! panics or never ends cannot hurt the others.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use futures::StreamExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Closed, Deadline, Emitter, Interrupts, Leftover, Outcome, PlannedRun, PlannedStep, StepCx, Totals, Workload,
    attempt::{Ended, OnTimeout, attempt, boxed, human},
    signals::Ladder,
};
use crate::{
    diagnosis::{Diagnosis, Id},
    events::{PlannedScenario, Verdict, What},
};

/// Why nothing is cleaned up where the user wants to keep it.
pub const SWITCHED_OFF: &str = "the teardown is switched off";

/// Why a run has neither set-up nor teardown.
const NOT_NEEDED: &str = "not needed: no scenario could run";

/// Names of the steps that belong to the run itself.
pub const SET_UP: &str = "set_up";
/// See [`SET_UP`].
pub const TEAR_DOWN: &str = "tear_down";

/// How to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Scenarios at the same time, at least 1.
    pub jobs: usize,
    /// Leave everything in place: neither steps that clean up nor the teardown are run.
    pub skip_teardown: bool,
    /// A run of which nothing ran is a success.
    pub allow_all_skipped: bool,
    /// Longest time for set-up and scenarios together. The teardown comes on top.
    pub run_limit: Duration,
    /// Longest time for one scenario.
    pub scenario_limit: Duration,
    /// Longest time for the set-up.
    pub set_up_limit: Duration,
    /// Longest time for the teardown.
    pub tear_down_limit: Duration,
    /// Folder of the results, for the report.
    pub results: PathBuf,
}

impl Default for Options {
    /// Limits that only a run that hangs can reach: a scenario is ended by its steps' own limits long before.
    fn default() -> Self {
        Self {
            jobs: 4,
            skip_teardown: false,
            allow_all_skipped: false,
            run_limit: Duration::from_hours(24),
            scenario_limit: Duration::from_hours(6),
            set_up_limit: Duration::from_mins(30),
            tear_down_limit: Duration::from_mins(30),
            results: PathBuf::new(),
        }
    }
}

/// What one scenario came to.
struct Finished {
    verdict: Verdict,
    steps: Totals,
    internal: Vec<String>,
}

/// The parts that everything in a run shares.
struct Run {
    workload: Arc<dyn Workload>,
    options: Options,
    emitter: Emitter,
    ladder: Ladder,
    deadline: Deadline,
}

/// Runs the scenarios and returns what came out. Everything on the way is told through `emitter`, from `RunStarted` to
/// `RunFinished`; nothing is emitted afterwards.
pub async fn run(
    scenarios: Vec<PlannedRun>,
    workload: Arc<dyn Workload>,
    options: Options,
    emitter: Emitter,
    interrupts: Interrupts,
) -> Outcome {
    let started = Instant::now();
    let run = Run { workload, deadline: Deadline::after(options.run_limit), options, emitter, ladder: Ladder::new() };
    run.emitter.emit(What::RunStarted {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        results: run.options.results.clone(),
        scenarios: scenarios.iter().map(planned).collect(),
    });
    let mut outcome = tokio::select! {
        biased;
        outcome = run.all(&scenarios) => outcome,
        () = run.ladder.climb(interrupts, &run.emitter) => Outcome::default(),
    };
    outcome.interrupts = run.ladder.stage();
    for (what, totals) in [("scenarios", outcome.scenarios), ("steps", outcome.steps)] {
        if !totals.balanced() {
            let message = format!("the ledger of {what} does not balance: {totals:?}");
            run.emitter.emit(What::Warning { message: format!("internal error: {message}"), hints: Vec::new() });
            outcome.internal.push(message);
        }
    }
    let (exit, requests) = (outcome.exit(), run.workload.requests());
    run.emitter.emit(What::RunFinished { exit, took: started.elapsed(), requests });
    outcome
}

fn planned(scenario: &PlannedRun) -> PlannedScenario {
    PlannedScenario {
        name: scenario.name.clone(),
        steps: step_names(scenario),
        skip: scenario.closed.as_ref().and_then(Closed::skip).map(str::to_owned),
        aliases: scenario.aliases.clone(),
    }
}

/// Names of the steps, made unique: a kind that comes again gets a number, `plan`, `plan-2`. Reports tell steps by name.
pub fn step_names(scenario: &PlannedRun) -> Vec<String> {
    let mut seen = BTreeSet::new();
    scenario
        .steps
        .iter()
        .map(|step| {
            let mut name = step.name.to_owned();
            let mut number = 2;
            while !seen.insert(name.clone()) {
                name = format!("{}-{number}", step.name);
                number += 1;
            }
            name
        })
        .collect()
}

impl Run {
    async fn all(&self, scenarios: &[PlannedRun]) -> Outcome {
        let mut outcome = Outcome {
            scenarios: Totals { planned: scenarios.len(), ..Totals::default() },
            steps: Totals { planned: scenarios.iter().map(|s| s.steps.len()).sum(), ..Totals::default() },
            allow_all_skipped: self.options.allow_all_skipped,
            ..Outcome::default()
        };
        let runnable = scenarios.iter().any(|s| s.closed.is_none());
        let blocked = if runnable { self.set_up(&mut outcome).await } else { self.not_needed(SET_UP) };

        let finished: Vec<Finished> = futures::stream::iter(scenarios.iter().enumerate())
            .map(|(index, scenario)| self.scenario(index, scenario, blocked.as_deref()))
            .buffer_unordered(self.options.jobs.max(1))
            .collect()
            .await;
        for one in finished {
            outcome.scenarios.count(one.verdict);
            outcome.steps.add(one.steps);
            outcome.internal.extend(one.internal);
        }
        outcome.out_of_time = self.deadline.left().is_zero();

        if runnable {
            self.tear_down(&mut outcome).await;
        } else {
            self.not_needed(TEAR_DOWN);
        }
        outcome
    }

    /// Says that a step of the run has nothing to do. Blocks nothing.
    fn not_needed(&self, step: &str) -> Option<String> {
        self.emitter.step(step).emit(What::StepSkipped { reason: NOT_NEEDED.to_owned() });
        None
    }

    /// Returns the reason why no scenario can run, if there is one.
    async fn set_up(&self, outcome: &mut Outcome) -> Option<String> {
        let emitter = self.emitter.step(SET_UP);
        if self.ladder.work.is_cancelled() {
            emitter.emit(What::StepSkipped { reason: "the run was interrupted".to_owned() });
            outcome.set_up = Some(Verdict::Skipped);
            return Some("the run was interrupted".to_owned());
        }
        let limit = self.options.set_up_limit;
        let cx = cx(&emitter, self.deadline.within(limit), &self.ladder.work);
        let workload = Arc::clone(&self.workload);
        emitter.emit(What::StepStarted);
        let ended = attempt(cx, limit, &self.ladder.leave, OnTimeout::Errored, |cx| boxed(async move { workload.set_up(&cx).await })).await;
        outcome.set_up = Some(ended.verdict);
        outcome.internal.extend(ended.internal.clone());
        let reason = match ended.verdict {
            Verdict::Passed => None,
            Verdict::Interrupted => Some("the run was interrupted".to_owned()),
            _ => {
                let summary = ended.trouble.as_ref().map_or("unknown", |t| t.summary.as_str());
                Some(format!("set-up did not succeed: {summary}"))
            }
        };
        finish(&emitter, ended.verdict, ended.took, ended.trouble, ended.value.unwrap_or_default());
        reason
    }

    async fn tear_down(&self, outcome: &mut Outcome) {
        let emitter = self.emitter.step(TEAR_DOWN);
        let skip = if self.options.skip_teardown {
            Some(SWITCHED_OFF)
        } else if self.ladder.tear_down.is_cancelled() {
            Some("interrupted twice")
        } else {
            None
        };
        if let Some(reason) = skip {
            emitter.emit(What::StepSkipped { reason: reason.to_owned() });
            outcome.tear_down = Some(Verdict::Skipped);
            return;
        }
        let limit = self.options.tear_down_limit;
        // Not within the run's deadline: a run that is late must clean up all the same.
        let cx = cx(&emitter, Deadline::after(limit), &self.ladder.tear_down);
        let workload = Arc::clone(&self.workload);
        emitter.emit(What::StepStarted);
        let ended: Ended<Vec<Leftover>> =
            attempt(cx, limit, &self.ladder.leave, OnTimeout::Errored, |cx| boxed(async move { workload.tear_down(&cx).await })).await;
        outcome.internal.extend(ended.internal);
        outcome.left = ended.value.unwrap_or_default();
        for Leftover { object, reason } in &outcome.left {
            emitter.emit(What::LeftBehind { object: object.clone(), reason: reason.clone() });
        }
        let (verdict, trouble) =
            if outcome.left.is_empty() { (ended.verdict, ended.trouble) } else { (Verdict::Failed, Some(left_behind(&outcome.left))) };
        outcome.tear_down = Some(verdict);
        finish(&emitter, verdict, ended.took, trouble, Vec::new());
    }

    async fn scenario(&self, index: usize, scenario: &PlannedRun, blocked: Option<&str>) -> Finished {
        let emitter = self.emitter.scenario(&scenario.name);
        let names = step_names(scenario);
        let mut finished = Finished { verdict: Verdict::Skipped, steps: Totals::default(), internal: Vec::new() };
        let skip = |reason: &str| Some(Closed::Skip(reason.to_owned()));
        let closed = match (&scenario.closed, blocked) {
            (Some(closed), _) => Some(closed.clone()),
            (None, Some(reason)) => skip(reason),
            (None, None) if self.ladder.work.is_cancelled() => skip("the run was interrupted"),
            (None, None) if self.deadline.left().is_zero() => {
                skip(&format!("the run's time of {} was up before it could start", human(self.options.run_limit)))
            }
            (None, None) => self.workload.gate(index),
        };
        if let Some(Closed::Error(trouble)) = closed {
            unmet(&emitter, &names, trouble, &mut finished);
            return finished;
        }
        if let Some(Closed::Skip(reason)) = closed {
            for name in &names {
                skipped(&emitter.step(name), &reason, &mut finished.steps);
            }
            emitter.emit(What::ScenarioFinished { verdict: Verdict::Skipped, took: Duration::ZERO });
            return finished;
        }

        let started = Instant::now();
        let deadline = self.deadline.within(self.options.scenario_limit);
        emitter.emit(What::ScenarioStarted);
        // Why the steps from here on are not run, except those that clean up.
        let mut stopped: Option<String> = None;
        let mut begun = false;
        for (position, (step, name)) in scenario.steps.iter().zip(&names).enumerate() {
            let emitter = emitter.step(name);
            let token = if step.always { &self.ladder.tear_down } else { &self.ladder.work };
            let reason = if step.always && self.options.skip_teardown {
                if finished.steps.failed + finished.steps.errored > 0 {
                    self.collect(index, step, &emitter).await;
                }
                Some(SWITCHED_OFF.to_owned())
            } else if token.is_cancelled() || (step.always && !begun && self.ladder.work.is_cancelled()) {
                Some("the run was interrupted".to_owned())
            } else if step.always {
                None
            } else {
                stopped.clone()
            };
            if let Some(reason) = reason {
                skipped(&emitter, &reason, &mut finished.steps);
                continue;
            }
            begun = true;
            // What cleans up gets its own time even when the scenario has used up its own.
            let until = if step.always { Deadline::after(step.limit) } else { deadline.within(step.limit) };
            let cx = cx(&emitter, until, token);
            let workload = Arc::clone(&self.workload);
            emitter.emit(What::StepStarted);
            let work = move |cx: StepCx| boxed(async move { workload.step(index, position, &cx).await });
            let ended = attempt(cx, step.limit, &self.ladder.leave, OnTimeout::Failed, work).await;
            finished.steps.count(ended.verdict);
            finished.internal.extend(ended.internal.map(|what| format!("{} {name}: {what}", scenario.name)));
            if ended.verdict != Verdict::Passed && stopped.is_none() {
                stopped = Some(match ended.verdict {
                    Verdict::Interrupted => "the run was interrupted".to_owned(),
                    _ => format!("because {name} failed"),
                });
            }
            finish(&emitter, ended.verdict, ended.took, ended.trouble, ended.value.unwrap_or_default());
        }
        finished.verdict = verdict_of(finished.steps, self.ladder.work.is_cancelled());
        emitter.emit(What::ScenarioFinished { verdict: finished.verdict, took: started.elapsed() });
        finished
    }
}

impl Run {
    /// Has the workload collect what explains a failure, within the time of the step that would have done it.
    async fn collect(&self, index: usize, step: &PlannedStep, emitter: &Emitter) {
        let cx = cx(emitter, Deadline::after(step.limit), &self.ladder.work);
        let workload = Arc::clone(&self.workload);
        let work = move |cx: StepCx| boxed(async move { workload.collect(index, &cx).await });
        let ended = attempt(cx, step.limit, &self.ladder.leave, OnTimeout::Errored, work).await;
        if let Some(trouble) = ended.trouble.filter(|_| ended.verdict != Verdict::Interrupted) {
            emitter.emit(What::Warning { message: format!("nothing could be collected: {}", trouble.summary), hints: trouble.hints });
        }
    }
}

/// A scenario that was asked for and cannot run: its first step is in error, the others are not run.
fn unmet(emitter: &Emitter, names: &[String], trouble: Diagnosis, finished: &mut Finished) {
    finished.verdict = Verdict::Errored;
    emitter.emit(What::ScenarioStarted);
    let mut trouble = Some(trouble);
    for name in names {
        let step = emitter.step(name);
        match trouble.take() {
            Some(trouble) => {
                finished.steps.count(Verdict::Errored);
                finish(&step, Verdict::Errored, Duration::ZERO, Some(trouble), Vec::new());
            }
            None => skipped(&step, "because something that the scenario needs is missing", &mut finished.steps),
        }
    }
    emitter.emit(What::ScenarioFinished { verdict: Verdict::Errored, took: Duration::ZERO });
}

fn cx(emitter: &Emitter, deadline: Deadline, parent: &CancellationToken) -> StepCx {
    StepCx { emitter: emitter.clone(), deadline, cancel: parent.child_token() }
}

/// A scenario is as good as its worst step. What was found counts more than that it was stopped afterwards.
fn verdict_of(steps: Totals, stopped: bool) -> Verdict {
    if steps.failed > 0 {
        Verdict::Failed
    } else if steps.errored > 0 {
        Verdict::Errored
    } else if steps.interrupted > 0 || (stopped && steps.skipped > 0) {
        Verdict::Interrupted
    } else {
        Verdict::Passed
    }
}

fn skipped(emitter: &Emitter, reason: &str, steps: &mut Totals) {
    emitter.emit(What::StepSkipped { reason: reason.to_owned() });
    steps.count(Verdict::Skipped);
}

fn finish(emitter: &Emitter, verdict: Verdict, took: Duration, trouble: Option<Diagnosis>, notes: Vec<String>) {
    emitter.emit(What::StepFinished { verdict, took, trouble, notes });
}

fn left_behind(left: &[Leftover]) -> Diagnosis {
    let plural = if left.len() == 1 { "object was" } else { "objects were" };
    let diagnosis = Diagnosis::new(Id::TeardownLeftovers, format!("{} {plural} left behind", left.len()));
    left.iter().fold(diagnosis, |diagnosis, left| diagnosis.evidence(format!("{}: {}", left.object, left.reason)))
}
