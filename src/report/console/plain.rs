//! Progress without a terminal: a line when a step starts and ends; with `-v` also what it waits for and which states it sees.

use super::style::Paint;
use crate::{
    diagnosis::with_hints,
    engine::human,
    events::{Event, Verdict, What},
    report::{
        model::{Run, Scenario},
        screen::Screen,
    },
    secrets::printable,
};

pub(super) struct Plain {
    screen: Screen,
    paint: Paint,
    verbosity: u8,
}

impl Plain {
    pub fn new(screen: Screen, paint: Paint, verbosity: u8) -> Self {
        Self { screen, paint, verbosity }
    }

    pub fn event(&mut self, event: &Event, run: &Run) {
        if let Some(mut text) = line(&event.what, self.paint, self.verbosity) {
            if matches!(event.what, What::ScenarioFinished { verdict: Verdict::Skipped, .. }) {
                text.push_str(&why_skipped(event, run));
            }
            let place = [event.scenario.as_deref(), event.step.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("/");
            let place = if place.is_empty() { String::new() } else { format!("{}: ", self.paint.bold(place)) };
            let elapsed = self.paint.dim(format!("[{:>7.1}s]", event.elapsed));
            self.screen.line(&format!("{elapsed} {place}{text}"));
        }
    }
}

/// What an event looks like without its place; none if it is not shown at this verbosity.
pub(super) fn line(what: &What, paint: Paint, verbosity: u8) -> Option<String> {
    Some(match what {
        What::RunStarted { version, results, scenarios } => {
            format!("mtv-test {version} runs {}; results in {}", count(scenarios.len(), "scenario"), results.display())
        }
        What::StepStarted => "started".to_owned(),
        What::StepFinished { verdict, took, trouble, .. } => {
            let why = trouble.as_ref().map(|t| format!(": {}", t.summary)).unwrap_or_default();
            format!("{} after {}{why}", paint.verdict(*verdict, 0), human(*took))
        }
        // A scenario that is skipped as a whole is told once, when it ends.
        What::StepSkipped { .. } if verbosity == 0 => return None,
        What::StepSkipped { reason } => format!("skipped: {reason}"),
        What::ScenarioFinished { verdict: Verdict::Skipped, .. } => paint.verdict(Verdict::Skipped, 0),
        What::ScenarioFinished { verdict, took } => format!("scenario {} after {}", paint.verdict(*verdict, 0), human(*took)),
        What::Warning { message, hints } => format!("{}: {}", paint.warning("warning"), with_hints(message, hints)),
        What::CancelBegun { reason, .. } => paint.warning(reason),
        What::Collected { folder, files } => format!("collected {} in {}", count(*files, "file"), folder.display()),
        What::LeftBehind { object, reason } => format!("{}: {object}: {reason}", paint.warning("left behind")),
        What::StepProgress { doing, percent } if verbosity > 0 => match percent {
            Some(percent) => format!("{doing} ({percent:.0}%)"),
            None => doing.clone(),
        },
        What::StateChanged { object, state } if verbosity > 0 => format!("{object}: {state}"),
        What::Deleted { object } if verbosity > 0 => format!("deleted {object}"),
        What::Restored { object } if verbosity > 0 => format!("restored {object}"),
        What::Facts { facts } if verbosity > 0 => {
            facts.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
        }
        What::RunFinished { exit, took, .. } if verbosity > 0 => format!("exit code {} after {}", exit.code, human(*took)),
        _ => return None,
    })
}

/// `: reason` of a scenario that is skipped as a whole.
pub(super) fn why_skipped(event: &Event, run: &Run) -> String {
    let scenario = run.scenarios.iter().find(|s| Some(&s.name) == event.scenario.as_ref());
    scenario.and_then(Scenario::skip_reason).map(|reason| format!(": {}", printable(reason))).unwrap_or_default()
}

/// `1 scenario`, `2 scenarios`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// A step that did not pass, for the live console, which shows nothing of those that did.
pub(super) fn trouble(place: &str, verdict: Verdict, summary: &str, paint: Paint) -> String {
    format!("{} {}: {summary}", paint.verdict(verdict, 8), paint.bold(place))
}
