//! Hooks: each one that the scenario has was a step of the VM's pipeline, and ended as it has to: the built-in failing one, and
//! one that the scenario expects to fail, with an error, any other without.

use mtv_api::forklift::StepStatus;

use super::{Check, Comparison, Subject};
use crate::config::scenario::Hook;

/// Results of hooks.
pub struct Hooks;

impl Check for Hooks {
    fn name(&self) -> &'static str {
        "hooks"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        wanted(subject).all(|(_, hook)| hook.is_none()).then(|| "the scenario has none".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let pipeline = &subject.status.pipeline;
        for (step, hook) in wanted(subject) {
            let Some(hook) = hook else { continue };
            let expected_step = subject.scenario.expect_failure.as_ref().and_then(|failure| failure.step.as_deref());
            let expected = if *hook == Hook::Fail || expected_step == Some(step) { "failed" } else { "succeeded" };
            seen.same(step, expected, result(pipeline.iter().find(|s| s.name == step)));
        }
    }
}

fn wanted<'a>(subject: &'a Subject<'_>) -> impl Iterator<Item = (&'static str, Option<&'a Hook>)> {
    [("PreHook", subject.scenario.pre_hook.as_ref()), ("PostHook", subject.scenario.post_hook.as_ref())].into_iter()
}

fn result(step: Option<&StepStatus>) -> &'static str {
    match step {
        None => "no such step in the pipeline",
        Some(step) if step.error.is_some() => "failed",
        Some(step) if step.completed.is_some() => "succeeded",
        Some(_) => "not run",
    }
}
