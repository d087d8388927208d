//! What is printed about a command line that clap cannot parse: clap's tips where they help, and ours where the habits of pytest
//! and of other tools lead to an option that does not exist here.

use clap::{
    Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::config::suggest;

/// Options of pytest, mtv-api-tests and other tools, and what does the same here.
const ELSEWHERE: &[(&[&str], &str)] = &[
    (&["-k"], "names select scenarios, and `*` stands for any text: mtv-test run '*PART*'"),
    (&["--collect-only", "--co", "--setup-plan", "--dry-run"], "`mtv-test list` shows what would run, and contacts nobody"),
    (&["--tc", "--tc-file"], "`--set KEY=VALUE` changes a setting; source and StorageClass: `--provider`, `--storage-class`"),
    (&["-n", "--numprocesses", "--workers", "--parallel"], "`--jobs N` runs scenarios at the same time"),
    (&["--log-file"], "`--results-dir DIR` names the folder of junit-report.xml and run.log"),
    (&["--jira"], "set `jira_url`, and put the token into MTV_TEST_JIRA_TOKEN"),
    (&["--providers-json"], "`--providers FILE` names a TOML file with the same keys"),
    (&["--openshift-python-wrapper-log-debug"], "`-vv` shows requests and answers"),
    (&["--markers"], "`mtv-test list` shows the markers of each scenario"),
];

/// The same error with tips that lead somewhere.
pub(super) fn explained(mut error: Error) -> Error {
    match error.kind() {
        ErrorKind::UnknownArgument => {
            // Names of scenarios never begin with a dash, so that there is nothing to pass behind `--`.
            error.remove(ContextKind::Suggested);
            let wrong = text(&error, ContextKind::InvalidArg);
            let wrong = wrong.split('=').next().unwrap_or_default();
            if let Some((_, tip)) = ELSEWHERE.iter().find(|(options, _)| options.contains(&wrong)) {
                error.remove(ContextKind::SuggestedArg);
                // clap builds it around what it suggested.
                error.remove(ContextKind::Usage);
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![(*tip).into()]));
            } else {
                keep_near(&mut error, wrong, ContextKind::SuggestedArg);
            }
        }
        ErrorKind::InvalidSubcommand => {
            let wrong = text(&error, ContextKind::InvalidSubcommand);
            keep_near(&mut error, &wrong, ContextKind::SuggestedSubcommand);
        }
        _ => {}
    }
    error
}

fn text(error: &Error, kind: ContextKind) -> String {
    error.get(kind).map(ToString::to_string).unwrap_or_default()
}

/// Leaves out what is suggested for a few common letters only: nobody who writes `explain` means `clean`.
fn keep_near(error: &mut Error, wrong: &str, kind: ContextKind) {
    let suggested: Vec<String> = match error.get(kind) {
        Some(ContextValue::String(one)) => vec![one.clone()],
        Some(ContextValue::Strings(many)) => many.clone(),
        _ => return,
    };
    // Dashes would count as common letters.
    let bare = |text: &str| text.trim_start_matches('-').split([' ', '=']).next().unwrap_or_default().to_owned();
    let near: Vec<String> = suggested.into_iter().filter(|one| suggest::nearest(&bare(wrong), [bare(one).as_str()]).is_some()).collect();
    match near.as_slice() {
        [] => {
            error.remove(kind);
            error.remove(ContextKind::Usage);
        }
        [one] => {
            error.insert(kind, ContextValue::String(one.clone()));
        }
        _ => {
            error.insert(kind, ContextValue::Strings(near));
        }
    }
}

#[cfg(test)]
mod tests {
    fn tip(line: &str) -> String {
        let error = super::super::parser().try_get_matches_from(line.split(' ')).unwrap_err();
        super::explained(error).to_string()
    }

    #[test]
    fn tips_lead_to_what_does_the_same_here() {
        for (line, wanted) in [
            ("mtv-test run -k sanity", "'*PART*'"),
            ("mtv-test run --collect-only", "mtv-test list"),
            ("mtv-test run --dry-run", "mtv-test list"),
            ("mtv-test run --tc=source_provider:x", "--set KEY=VALUE"),
            ("mtv-test run -n 4", "--jobs N"),
            ("mtv-test run --log-file=x.log", "--results-dir"),
            ("mtv-test run --markr x", "'--marker'"),
            ("mtv-test lst", "'list'"),
        ] {
            assert!(tip(line).contains(wanted), "{line}: {}", tip(line));
        }
    }

    #[test]
    fn no_tip_is_better_than_a_wrong_one() {
        for (line, unwanted) in [
            ("mtv-test explain", "tip:"),
            ("mtv-test run -k sanity", "as a value"),
            ("mtv-test run --collect-only", "--color"),
            ("mtv-test run --tc=x:y", "--datacenter"),
            ("mtv-test run --zzz", "tip:"),
        ] {
            assert!(!tip(line).contains(unwanted), "{line}: {}", tip(line));
        }
    }
}
