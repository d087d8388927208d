//! Progress on a terminal: one line per running scenario at the bottom, finished ones scroll away above.

use std::{collections::BTreeMap, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use super::{plain, style::Paint};
use crate::{
    engine::human,
    events::{Event, Verdict, What},
    report::{model::Run, screen::Screen},
};

/// How often the elapsed time moves on.
const TICK: Duration = Duration::from_millis(250);

/// Names are padded to the longest one, but not beyond this many characters: the rest of the line is for what happens.
const WIDEST: usize = 32;

/// Characters of a percent bar.
const BAR: usize = 20;

pub(super) struct Live {
    screen: Screen,
    paint: Paint,
    verbosity: u8,
    /// The lines by scenario; the run's own steps have the empty name.
    lines: BTreeMap<String, Line>,
}

struct Line {
    bar: ProgressBar,
    step: String,
    doing: String,
    percent: Option<f64>,
}

impl Live {
    pub fn new(screen: Screen, paint: Paint, verbosity: u8) -> Self {
        Self { screen, paint, verbosity, lines: BTreeMap::new() }
    }

    pub fn event(&mut self, event: &Event, run: &Run) {
        let scenario = event.scenario.clone().unwrap_or_default();
        match &event.what {
            What::StepStarted => {
                let step = event.step.clone().unwrap_or_default();
                self.update(&scenario, run, |line| {
                    line.step = step;
                    line.doing.clear();
                    line.percent = None;
                });
            }
            What::StepProgress { doing, percent } => self.update(&scenario, run, |line| {
                line.doing.clone_from(doing);
                line.percent = *percent;
            }),
            What::StepFinished { verdict, trouble, .. } => {
                let place = [event.scenario.as_deref(), event.step.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("/");
                if let (Some(trouble), true) = (trouble, *verdict != Verdict::Passed) {
                    self.screen.line(&plain::trouble(&place, *verdict, &trouble.summary, self.paint));
                }
                if scenario.is_empty() {
                    self.remove(&scenario);
                }
            }
            What::ScenarioFinished { verdict, took } => {
                self.remove(&scenario);
                let name = self.paint.bold(&scenario);
                let time = match verdict {
                    Verdict::Skipped => plain::why_skipped(event, run),
                    _ => format!("  {}", human(*took)),
                };
                self.screen.line(&format!("{} {name}{time}", self.paint.verdict(*verdict, 8)));
            }
            What::RunFinished { .. } => {
                for line in std::mem::take(&mut self.lines).into_values() {
                    self.drop_line(&line);
                }
            }
            other => {
                if let Some(text) = plain::line(other, self.paint, self.verbosity) {
                    let place = if scenario.is_empty() { String::new() } else { format!("{}: ", self.paint.bold(&scenario)) };
                    self.screen.line(&format!("{place}{text}"));
                }
            }
        }
    }

    fn update(&mut self, scenario: &str, run: &Run, change: impl FnOnce(&mut Line)) {
        let Some(bars) = self.screen.bars() else { return };
        let line = self.lines.entry(scenario.to_owned()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner());
            // The template is a constant, and the test below renders it.
            if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
                bar.set_style(style);
            }
            let name = if scenario.is_empty() { "mtv-test" } else { scenario };
            let width = run.scenarios.iter().map(|s| s.name.chars().count()).max().unwrap_or(0).min(WIDEST);
            bar.set_prefix(format!("{name:<width$}"));
            bar.enable_steady_tick(TICK);
            Line { bar, step: String::new(), doing: String::new(), percent: None }
        });
        change(line);
        line.bar.set_message(message(&line.step, &line.doing, line.percent));
    }

    fn remove(&mut self, scenario: &str) {
        if let Some(line) = self.lines.remove(scenario) {
            self.drop_line(&line);
        }
    }

    fn drop_line(&self, line: &Line) {
        line.bar.finish_and_clear();
        if let Some(bars) = self.screen.bars() {
            bars.remove(&line.bar);
        }
    }
}

/// Scenario, time since it started, and what it does, cut to the width of the terminal.
const TEMPLATE: &str = "{spinner} {prefix} {elapsed:>4} {wide_msg}";

/// `migrate  [========            ]  41%  copying disks of vm-1`.
fn message(step: &str, doing: &str, percent: Option<f64>) -> String {
    let bar = percent.map(|percent| {
        let percent = percent.clamp(0.0, 100.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 20 after the clamp")]
        let full = (percent / 100.0 * BAR as f64) as usize;
        format!("[{}{}] {percent:>3.0}%", "=".repeat(full), " ".repeat(BAR - full))
    });
    [Some(step.to_owned()), bar, Some(doing.to_owned())].into_iter().flatten().filter(|s| !s.is_empty()).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_understood() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn a_line_shows_step_percent_and_what_is_awaited() {
        assert_eq!(message("plan", "waiting for Plan x to be Ready", None), "plan  waiting for Plan x to be Ready");
        assert_eq!(message("migrate", "copying", Some(41.2)), "migrate  [========            ]  41%  copying");
        assert_eq!(message("migrate", "", Some(250.0)), "migrate  [====================] 100%");
        assert_eq!(message("migrate", "", Some(f64::NAN)).len(), "migrate  [] NaN%".len() + BAR);
    }
}
