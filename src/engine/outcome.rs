//! What a run came to, and the one function that makes an exit code of it.

use super::Leftover;
use crate::{
    events::Verdict,
    exit::{self, ExitCode},
};

/// Verdicts, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many there were to judge.
    pub planned: usize,
    /// [`Verdict::Passed`].
    pub passed: usize,
    /// [`Verdict::Failed`].
    pub failed: usize,
    /// [`Verdict::Errored`].
    pub errored: usize,
    /// [`Verdict::Skipped`].
    pub skipped: usize,
    /// [`Verdict::Interrupted`].
    pub interrupted: usize,
}

impl Totals {
    /// Counts one verdict.
    pub fn count(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Passed => &mut self.passed,
            Verdict::Failed => &mut self.failed,
            Verdict::Errored => &mut self.errored,
            Verdict::Skipped => &mut self.skipped,
            Verdict::Interrupted => &mut self.interrupted,
        } += 1;
    }

    /// Adds the verdicts of a part; what was planned stays.
    pub fn add(&mut self, part: Self) {
        self.passed += part.passed;
        self.failed += part.failed;
        self.errored += part.errored;
        self.skipped += part.skipped;
        self.interrupted += part.interrupted;
    }

    /// Whether everything planned has exactly one verdict. Anything else is a defect of the engine, and must not look like a pass.
    pub fn balanced(&self) -> bool {
        self.planned == self.passed + self.failed + self.errored + self.skipped + self.interrupted
    }
}

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Scenarios by verdict.
    pub scenarios: Totals,
    /// Their steps by verdict.
    pub steps: Totals,
    /// How the common set-up ended; `None` when it was not needed.
    pub set_up: Option<Verdict>,
    /// How the common teardown ended; `None` when there was nothing to tear down.
    pub tear_down: Option<Verdict>,
    /// What is known to be left.
    pub left: Vec<Leftover>,
    /// Defects of the tool that showed: panics, a ledger that does not balance.
    pub internal: Vec<String>,
    /// Highest stage of the interrupt ladder, 0 for none.
    pub interrupts: u8,
    /// The run's own time limit ended before all scenarios had started.
    pub out_of_time: bool,
    /// A run of which nothing ran is a success: the user says so.
    pub allow_all_skipped: bool,
}

impl Outcome {
    /// The exit code. The order is that of how much a code says about the others:
    ///
    /// 1. a defect of the tool makes every other statement doubtful;
    /// 2. an interrupted run is incomplete, whatever it found so far;
    /// 3. a failure is a finding about MTV: that something else could not be tested must not hide it;
    /// 4. an environment that cannot be used leaves something untested;
    /// 5. a run of which nothing ran has shown nothing, unless the user allows it;
    /// 6. left-behind objects are the only blemish of a run that passed. A teardown that could not finish counts, because
    ///    nobody knows what it would have found; one that the user switched off (`skipped`) does not.
    pub fn exit(&self) -> ExitCode {
        let ended = |verdict| self.set_up == Some(verdict);
        let totals = self.scenarios;
        if !self.internal.is_empty() || !totals.balanced() || !self.steps.balanced() {
            exit::INTERNAL
        } else if self.interrupts > 0 || totals.interrupted > 0 || ended(Verdict::Interrupted) {
            exit::INTERRUPTED
        } else if totals.failed > 0 || ended(Verdict::Failed) {
            exit::FAILED
        } else if totals.errored > 0 || ended(Verdict::Errored) {
            exit::ENVIRONMENT
        } else if self.out_of_time {
            exit::FAILED
        } else if totals.planned == 0 {
            exit::NOTHING_SELECTED
        } else if totals.skipped == totals.planned && !self.allow_all_skipped {
            exit::NOTHING_RAN
        } else if !self.left.is_empty() || !matches!(self.tear_down, None | Some(Verdict::Passed | Verdict::Skipped)) {
            exit::LEFT_BEHIND
        } else {
            exit::PASSED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An outcome of scenarios with these verdicts and one step each.
    fn of(verdicts: &[Verdict]) -> Outcome {
        let mut totals = Totals { planned: verdicts.len(), ..Totals::default() };
        for verdict in verdicts {
            totals.count(*verdict);
        }
        Outcome { scenarios: totals, steps: totals, set_up: Some(Verdict::Passed), tear_down: Some(Verdict::Passed), ..Outcome::default() }
    }

    #[test]
    fn every_combination_has_its_exit_code() {
        use Verdict::{Errored, Failed, Interrupted, Passed, Skipped};
        let left = vec![Leftover { object: "Plan mig/x".into(), reason: "finalizer".into() }];
        let internal = vec!["panic".to_owned()];
        let table: Vec<(&str, Outcome, ExitCode)> = vec![
            ("nothing", Outcome::default(), exit::NOTHING_SELECTED),
            ("passed", of(&[Passed, Passed]), exit::PASSED),
            ("some skipped", of(&[Passed, Skipped]), exit::PASSED),
            ("all skipped", of(&[Skipped, Skipped]), exit::NOTHING_RAN),
            ("all skipped, which is allowed", Outcome { allow_all_skipped: true, ..of(&[Skipped]) }, exit::PASSED),
            ("all skipped and left", Outcome { left: left.clone(), ..of(&[Skipped]) }, exit::NOTHING_RAN),
            ("skipped and errored", of(&[Skipped, Errored]), exit::ENVIRONMENT),
            ("one failed", of(&[Passed, Failed, Skipped]), exit::FAILED),
            ("failed and left", Outcome { left: left.clone(), ..of(&[Failed]) }, exit::FAILED),
            ("failed beats errored", of(&[Failed, Errored]), exit::FAILED),
            ("errored beats a run out of time", Outcome { out_of_time: true, ..of(&[Errored, Skipped]) }, exit::ENVIRONMENT),
            ("interrupted beats both", of(&[Failed, Errored, Interrupted]), exit::INTERRUPTED),
            ("interrupted between scenarios", Outcome { interrupts: 1, ..of(&[Passed, Skipped]) }, exit::INTERRUPTED),
            ("interrupted and left", Outcome { interrupts: 2, left: left.clone(), ..of(&[Interrupted]) }, exit::INTERRUPTED),
            ("internal beats all", Outcome { internal, interrupts: 1, ..of(&[Failed, Errored]) }, exit::INTERNAL),
            ("ledger", Outcome { scenarios: Totals { planned: 2, passed: 1, ..Totals::default() }, ..of(&[Passed]) }, exit::INTERNAL),
            ("ledger of steps", Outcome { steps: Totals { planned: 2, passed: 3, ..Totals::default() }, ..of(&[Passed]) }, exit::INTERNAL),
            ("set-up errored", Outcome { set_up: Some(Errored), ..of(&[Skipped]) }, exit::ENVIRONMENT),
            ("set-up failed", Outcome { set_up: Some(Failed), ..of(&[Skipped]) }, exit::FAILED),
            ("set-up interrupted", Outcome { set_up: Some(Interrupted), ..of(&[Skipped]) }, exit::INTERRUPTED),
            ("left", Outcome { left, ..of(&[Passed]) }, exit::LEFT_BEHIND),
            ("teardown failed", Outcome { tear_down: Some(Failed), ..of(&[Passed]) }, exit::LEFT_BEHIND),
            ("teardown errored", Outcome { tear_down: Some(Errored), ..of(&[Passed]) }, exit::LEFT_BEHIND),
            ("teardown switched off", Outcome { tear_down: Some(Skipped), ..of(&[Passed]) }, exit::PASSED),
            ("no set-up needed", Outcome { set_up: None, tear_down: None, ..of(&[Skipped]) }, exit::NOTHING_RAN),
            ("out of time", Outcome { out_of_time: true, ..of(&[Passed, Skipped]) }, exit::FAILED),
        ];
        for (name, outcome, expected) in table {
            assert_eq!(outcome.exit(), expected, "{name}");
        }
    }
}
