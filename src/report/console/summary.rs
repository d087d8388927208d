//! The summary at the end: a line per scenario, then what went wrong, what is left and how to go on.

use std::{fmt::Write, path::Path};

use super::{
    plain::count,
    style::{Paint, word},
};
use crate::{
    diagnosis::Diagnosis,
    engine::{SET_UP, TEAR_DOWN, human},
    events::Verdict,
    exit,
    report::model::{Run, Scenario, Step, StepState},
};

/// Renders the summary.
pub fn summary(run: &Run, paint: Paint, clean: Option<&str>) -> String {
    let mut text = String::from("\n");
    let width = run.scenarios.iter().map(|s| s.name.chars().count()).max().unwrap_or(0);
    for scenario in &run.scenarios {
        line(&mut text, &scenario_line(scenario, width, paint));
    }
    // In the order of time: set-up, scenarios, teardown.
    let own = |wanted: &'static str| run.own.iter().filter(move |step| step.name == wanted).map(|step| (None, step));
    let scenarios = run.scenarios.iter().flat_map(|s| s.steps.iter().map(move |step| (Some(s.name.as_str()), step)));
    for (scenario, step) in own(SET_UP).chain(scenarios).chain(own(TEAR_DOWN)) {
        if let StepState::Ended { verdict, took, trouble: Some(trouble), notes } = &step.state
            && *verdict != Verdict::Passed
        {
            let place = scenario.map_or_else(|| step.name.clone(), |name| format!("{name}, step {}", step.name));
            text.push('\n');
            line(&mut text, &format!("{} {} after {}", paint.verdict(*verdict, 0), paint.bold(place), human(*took)));
            failure(&mut text, trouble, notes, paint);
        }
    }
    let warnings: Vec<&(Option<String>, String)> = run.warnings.iter().collect();
    if !warnings.is_empty() {
        text.push('\n');
        line(&mut text, &paint.warning(format!("{}:", count(warnings.len(), "warning"))));
        for (scenario, message) in warnings {
            let place = scenario.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            for (at, part) in message.lines().enumerate() {
                line(&mut text, &if at == 0 { format!("  {place}{part}") } else { format!("    {part}") });
            }
        }
    }
    if !run.collected.is_empty() {
        text.push('\n');
    }
    for (_, folder, files) in &run.collected {
        line(&mut text, &format!("Collected: {} ({})", folder.display(), count(*files, "file")));
    }
    leftovers(&mut text, run, paint, clean);
    text.push('\n');
    totals(&mut text, run, paint);
    text
}

fn line(text: &mut String, content: &str) {
    text.push_str(content.trim_end());
    text.push('\n');
}

fn scenario_line(scenario: &Scenario, width: usize, paint: Paint) -> String {
    let name = format!("{:<width$}", scenario.name);
    let (verdict, took) = scenario.ended.map_or((Verdict::Interrupted, None), |(verdict, took)| (verdict, Some(took)));
    let time = took.filter(|took| !took.is_zero()).map(human).unwrap_or_default();
    let remark = match verdict {
        Verdict::Skipped => scenario.skip_reason().unwrap_or_default().to_owned(),
        Verdict::Passed => count(scenario.steps.iter().filter(|s| passed(s)).count(), "step"),
        _ => scenario.steps.iter().find(|s| stopped_here(s)).map(|s| format!("at {}", s.name)).unwrap_or_default(),
    };
    format!("{} {}  {time:>7}  {remark}", paint.verdict(verdict, 8), paint.bold(name))
}

fn passed(step: &Step) -> bool {
    matches!(step.state, StepState::Ended { verdict: Verdict::Passed, .. })
}

fn stopped_here(step: &Step) -> bool {
    matches!(step.state, StepState::Ended { verdict, .. } if verdict != Verdict::Passed)
}

fn failure(text: &mut String, trouble: &Diagnosis, notes: &[String], paint: Paint) {
    for part in trouble.summary.lines() {
        line(text, &format!("  {part}"));
    }
    for detail in trouble.details().filter(|detail| **detail != trouble.summary).chain(notes).flat_map(|d| d.lines()) {
        line(text, &format!("    {detail}"));
    }
    for hint in &trouble.hints {
        line(text, &format!("  {}: {hint}", paint.bold("hint")));
    }
}

fn leftovers(text: &mut String, run: &Run, paint: Paint, clean: Option<&str>) {
    // The teardown's own failure has listed the objects already.
    if !run.may_have_left_something() {
        return;
    }
    text.push('\n');
    if run.left.is_empty() && run.kept() {
        line(text, "Everything that the run made is still in place, as --skip-teardown asks.");
    } else if run.left.is_empty() {
        line(text, &paint.warning("The teardown was not run to its end: objects may be left behind."));
    } else {
        line(text, &paint.warning(format!("{} left behind.", count(run.left.len(), "object"))));
    }
    match clean {
        Some(command) => {
            line(text, if run.left.is_empty() && run.kept() { "To delete it:" } else { "To delete what is left:" });
            line(text, &format!("  {}", paint.bold(command)));
        }
        None => line(text, "The cluster ends with this process, so there is nothing to delete."),
    }
}

fn totals(text: &mut String, run: &Run, paint: Paint) {
    let of = |wanted| run.scenarios.iter().filter(|s| s.ended.map(|(verdict, _)| verdict) == Some(wanted)).count();
    let verdicts = [Verdict::Passed, Verdict::Failed, Verdict::Errored, Verdict::Interrupted, Verdict::Skipped];
    let counts: Vec<String> = verdicts
        .into_iter()
        .map(|verdict| (verdict, of(verdict)))
        .filter(|(verdict, number)| *number > 0 || *verdict == Verdict::Passed)
        .map(|(verdict, number)| format!("{number} {}", word(verdict).to_lowercase()))
        .collect();
    let mut head = format!("{}: {}", count(run.scenarios.len(), "scenario"), counts.join(", "));
    if let Some(finished) = &run.finished {
        let _ = write!(head, " in {}", human(finished.took));
    }
    line(text, &paint.bold(head));
    if !run.results.as_os_str().is_empty() {
        line(text, &format!("Results: {}", run.results.display()));
    }
    if let Some(finished) = run.finished.as_ref().filter(|f| f.exit.code != 0) {
        let errored = of(Verdict::Errored);
        let beside = match (finished.exit == exit::FAILED, errored) {
            (false, _) | (true, 0) => String::new(),
            (true, _) => format!("; {} could not be tested: see ERROR above", count(errored, "scenario")),
        };
        line(text, &format!("Exit code {}: {}{beside}.", finished.exit.code, finished.exit.meaning));
    }
}

/// The command that deletes what a run left, ready for a shell: `mtv-test clean 'my results/resources.json' --context lab`.
pub fn clean_command(resources: &Path, options: &[String]) -> String {
    let words = [std::borrow::Cow::Borrowed("mtv-test"), "clean".into(), resources.to_string_lossy()];
    let options = options.iter().map(|option| std::borrow::Cow::Borrowed(option.as_str()));
    words.into_iter().chain(options).map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

/// A word as a POSIX shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clean_command_survives_a_shell() {
        let options = ["--kubeconfig".to_owned(), "it's mine".to_owned(), String::new()];
        assert_eq!(
            clean_command(Path::new("a b/resources.json"), &options),
            r"mtv-test clean 'a b/resources.json' --kubeconfig 'it'\''s mine' ''"
        );
    }
}
