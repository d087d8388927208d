//! Target name: the one that the scenario asks for, else the source's own where Kubernetes accepts it, else the one that
//! Forklift makes of it: lower case, no underscores, at most 63 characters, with a random end where it is taken.

use mtv_api::names;

use super::{Check, Comparison, Finding, Subject};

/// Name of the migrated VM.
pub struct TargetName;

/// Random characters, with their dash, behind a name that is taken.
const TAIL: usize = 5;

impl Check for TargetName {
    fn name(&self) -> &'static str {
        "target name"
    }

    fn skip(&self, _: &Subject<'_>) -> Option<String> {
        None
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let source = subject.source.name.as_str();
        let actual = subject.target.name.as_str();
        let (expected, random_end) = match &subject.wish.target_name {
            Some(wanted) => (wanted.clone(), false),
            None if names::is_subdomain(source) => (source.to_owned(), false),
            None => (names::sanitise(source), true),
        };
        let tail = |base: &str| actual.strip_prefix(base).is_some_and(|rest| rest.len() == TAIL && rest.starts_with('-'));
        let base: String = expected.chars().take(names::LABEL - TAIL).collect();
        // A name without a single character that can be kept becomes `vm-` and four random ones.
        let fits =
            if expected.is_empty() { tail("vm") } else { actual == expected || (random_end && tail(base.trim_end_matches(['-', '.']))) };
        let wanted = if expected.is_empty() { "vm-????".to_owned() } else { expected };
        seen.judge(fits, Finding::new(format!("name for VM {source}"), wanted, actual));
        let valid = names::is_subdomain(actual);
        if !valid {
            seen.wrong(format!("name for VM {source}"), "one that Kubernetes accepts", actual);
        }
        if fits && valid {
            seen.same("name in the Plan's status", actual, subject.status.target_name());
        }
    }
}
