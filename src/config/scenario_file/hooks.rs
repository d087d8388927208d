//! Hooks and expected failures.

use std::{ops::Range, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use toml::de::DeTable;

use super::{
    Reader,
    raw::{FAILURE, HOOK, RawFailure, RawHook},
};
use crate::config::{
    diagnostics::Problem,
    read::{self, At},
    scenario::{ExpectedFailure, Hook, PIPELINE},
    suggest::did_you_mean,
};

/// Whether something is to succeed.
const RESULTS: &[(&str, bool)] = &[("succeed", true), ("fail", false)];

/// A hook with its place.
pub(super) struct LocatedHook {
    pub hook: Hook,
    pub span: Range<usize>,
}

/// The hooks of a scenario.
#[derive(Default)]
pub(super) struct Hooks {
    pub pre: Option<LocatedHook>,
    pub post: Option<LocatedHook>,
}

impl Reader<'_> {
    /// A hook: exactly one of its three ways.
    pub(super) fn hook(&mut self, key: &str, table: At<DeTable<'_>>, file: &Path) -> Option<LocatedHook> {
        let before = self.problems.len();
        let raw: RawHook = read::fill(self.source, table.value, &table.span, HOOK, self.problems);
        let given: Vec<&At<String>> = [&raw.expected_result, &raw.playbook_base64, &raw.playbook_file].into_iter().flatten().collect();
        let ways = "`expected_result`, `playbook_base64` and `playbook_file`";
        match given.as_slice() {
            [_] => {}
            [] if self.problems.len() > before => return None,
            [] => {
                self.wrong(&table.span, format!("`{key}` does not say what to run"), "", &format!("give one of {ways}"));
                return None;
            }
            [first, others @ ..] => {
                let problem = others.iter().fold(
                    Problem::error(format!("`{key}` has more than one playbook")).at(self.source, first.span.clone(), "one"),
                    |problem, other| problem.also(self.source, other.span.clone(), "another"),
                );
                self.problems.push(problem.help(format!("keep one of {ways}")));
                return None;
            }
        }
        let hook = if let Some(result) = &raw.expected_result {
            let succeeds = read::one_of(self.source, "expected_result", result, RESULTS, self.problems)?;
            if succeeds { Hook::Succeed } else { Hook::Fail }
        } else {
            let (text, span) = match (&raw.playbook_base64, &raw.playbook_file) {
                (Some(encoded), _) => (self.decoded(key, encoded)?, &encoded.span),
                (None, Some(name)) => (self.playbook(key, name, file)?, &name.span),
                (None, None) => return None,
            };
            if let Err(why) = Hook::check(&text) {
                self.wrong(span, format!("the playbook of `{key}` cannot be run: {why}"), "", "a playbook is a YAML list of plays");
                return None;
            }
            Hook::Playbook(text)
        };
        Some(LocatedHook { hook, span: table.span })
    }

    fn decoded(&mut self, key: &str, encoded: &At<String>) -> Option<String> {
        let help = "`base64 -w0 playbook.yml` makes it; `playbook_file` takes the file as it is";
        let Ok(bytes) = STANDARD.decode(encoded.value.trim()) else {
            self.wrong(&encoded.span, format!("`playbook_base64` of `{key}` is no base64"), "", help);
            return None;
        };
        let text = String::from_utf8(bytes);
        if text.is_err() {
            self.wrong(&encoded.span, format!("the playbook of `{key}` is not UTF-8"), "", help);
        }
        text.ok()
    }

    /// Reads a playbook's file, relative to the scenario file.
    fn playbook(&mut self, key: &str, name: &At<String>, file: &Path) -> Option<String> {
        let path = file.parent().unwrap_or(Path::new("")).join(&name.value);
        if name.value.trim().is_empty() {
            self.wrong(&name.span, format!("`playbook_file` of `{key}` is empty"), "", "name a file, relative to this one");
            return None;
        }
        match read::text(&path) {
            Ok(text) => Some(text),
            Err(problem) => {
                self.problems.push((*problem).at(self.source, name.span.clone(), format!("playbook of `{key}`")));
                None
            }
        }
    }

    /// The failure that the scenario asks for, in its new or its old form.
    pub(super) fn expected_failure(
        &mut self,
        table: Option<At<DeTable<'_>>>,
        old: Option<At<String>>,
        hooks: &Hooks,
    ) -> Option<ExpectedFailure> {
        let fails = |hook: &Option<LocatedHook>| hook.as_ref().filter(|hook| hook.hook == Hook::Fail).map(|hook| hook.span.clone());
        let (pre, post) = (fails(&hooks.pre), fails(&hooks.post));
        let old = old.and_then(|old| {
            let succeeds = read::one_of(self.source, "expected_migration_result", &old, RESULTS, self.problems)?;
            Some((succeeds, old.span))
        });
        let failing_step = || match (&pre, &post) {
            (Some(_), _) => Some("PreHook".to_owned()),
            (None, Some(_)) => Some("PostHook".to_owned()),
            (None, None) => None,
        };
        let (expected, span) = match (table, old) {
            (Some(table), Some((_, old))) => {
                self.problems.push(
                    Problem::error("`expect_failure` and `expected_migration_result` exclude each other")
                        .at(self.source, old, "the old way")
                        .also(self.source, table.span.clone(), "the new way")
                        .help("keep `expect_failure`"),
                );
                (Some(self.failure(table.value, &table.span)), None)
            }
            (Some(table), None) => (Some(self.failure(table.value, &table.span)), Some(table.span)),
            (None, Some((false, span))) => (Some(ExpectedFailure { step: failing_step(), text: None, in_hook: true }), Some(span)),
            (None, Some((true, _)) | None) => (None, None),
        };
        if let (Some(ExpectedFailure { in_hook: true, .. }), Some(span), None, None) = (&expected, &span, &hooks.pre, &hooks.post) {
            self.wrong(
                span,
                "`expected_migration_result = \"fail\"` is about a hook, and the scenario has none".to_owned(),
                "",
                "add `post_hook = { expected_result = \"fail\" }`, or write `expect_failure = { step = \"…\" }` for a failure in another step",
            );
        }
        match (&expected, failing_step(), pre.or(post)) {
            (None, Some(step), Some(place)) => self.wrong(
                &place,
                "the hook is made to fail, but no failure is expected".to_owned(),
                "fails the migration",
                &format!("add `expect_failure = {{ step = \"{step}\" }}`"),
            ),
            (Some(ExpectedFailure { step: Some(wanted), .. }), Some(step), Some(place))
                if *wanted != step && PIPELINE.contains(&wanted.as_str()) =>
            {
                let problem = Problem::error(format!("the migration fails in step {step} already"));
                let problem = problem.at(self.source, place, "made to fail");
                let problem = span.map_or(problem.clone(), |span| problem.also(self.source, span, format!("expects {wanted}")));
                self.problems.push(problem.help("a migration ends with its first failure"));
            }
            _ => {}
        }
        expected
    }

    fn failure(&mut self, table: DeTable<'_>, span: &Range<usize>) -> ExpectedFailure {
        let raw: RawFailure = read::fill(self.source, table, span, FAILURE, self.problems);
        let step = raw.step.map(|step| {
            if !PIPELINE.contains(&step.value.as_str()) {
                let help = did_you_mean(&step.value, "steps of the pipeline", PIPELINE.iter().copied()).unwrap_or_default();
                self.wrong(&step.span, format!("`{}` is no step of a Plan's pipeline", step.value), "", &help);
            }
            step.value
        });
        let text = raw.text.filter(|text| {
            let blank = text.value.trim().is_empty();
            if blank {
                self.wrong(&text.span, "`text` is empty".to_owned(), "", "remove it, or say what the reasons must contain");
            }
            !blank
        });
        ExpectedFailure { step, text: text.map(|text| text.value), in_hook: false }
    }
}
