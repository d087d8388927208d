//! `mtv-test validate`: checks files without running anything.

use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, ValueHint};

use super::{
    CliError, CliResult, ClusterOptions, context,
    error::{print_data, print_warnings},
};
use crate::{
    config::{
        catalogue,
        diagnostics::{Problem, Problems},
        profile_file::ProfileFile,
        read, scenario_file,
        settings_load::{self, Sources},
    },
    exit, select,
};

/// Check scenario, provider profile and settings files without running anything
///
/// Reports everything that `run` would refuse without contacting anybody, for every profile and scenario of the files: addresses,
/// certificates, secret files and variables that are missing, name templates, playbooks. The kind of a file is known by its tables:
/// `[scenario.NAME]`, `[provider.NAME]`, those of a data centre of the lab, or none of these, which is a settings file. Names
/// and aliases of scenarios must be unique over all files that are given.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  mtv-test validate providers.toml mtv-test.toml\n  mtv-test validate my-scenarios/")]
pub(super) struct Args {
    /// Files, or folders of which every *.toml is checked
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::AnyPath)]
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> CliResult {
    let mut problems = Problems::default();
    let mut files: Vec<PathBuf> = args.files.iter().flat_map(|path| toml_files(path, &mut problems)).collect();
    files.dedup();
    let mut scenarios = Vec::new();
    let mut lines = Vec::new();
    for file in &files {
        let mut found = Problems::default();
        let what = check(file, &mut scenarios, &mut found);
        if !found.has_errors() {
            lines.push(format!("{}: {what}\n", file.display()));
        }
        problems.append(found);
    }
    catalogue::unique(&scenarios, &mut problems);
    problems.append(select::new_markers(&scenarios));
    if problems.has_errors() {
        return Err(CliError::from(problems));
    }
    print_warnings(&problems);
    print_data(&crate::secrets::printable(&lines.concat()))?;
    Ok(exit::PASSED)
}

fn toml_files(path: &Path, problems: &mut Problems) -> Vec<PathBuf> {
    if path.is_dir() {
        return catalogue::files(path, problems);
    }
    vec![path.to_owned()]
}

/// Checks one file and says what it is.
fn check(file: &Path, scenarios: &mut Vec<scenario_file::Located>, problems: &mut Problems) -> String {
    let text = match read::text(file) {
        Ok(text) => text,
        Err(problem) => {
            problems.push(*problem);
            return String::new();
        }
    };
    let count = |number: usize, noun: &str| format!("{number} {noun}{} ok", if number == 1 { "" } else { "s" });
    match kind(&text) {
        FileKind::Scenarios => {
            let found = scenario_file::parse(file, &text, problems);
            let summary = count(found.len(), "scenario");
            scenarios.extend(found);
            summary
        }
        FileKind::Profiles => match ProfileFile::load(file) {
            Ok(profiles) => {
                problems.append(profiles.check(&|name| std::env::var(name).ok()));
                count(profiles.names().count(), "provider profile")
            }
            Err(found) => {
                problems.append(found);
                String::new()
            }
        },
        FileKind::Settings => {
            problems.append(settings(file, &text));
            "settings ok".to_owned()
        }
        #[cfg(feature = "lab")]
        FileKind::DataCenter => {
            if let Err(found) = super::lab::parse_datacenter(file, &text) {
                problems.append(found);
            }
            "data centre of the lab ok".to_owned()
        }
        #[cfg(not(feature = "lab"))]
        FileKind::DataCenter => {
            let problem = Problem::error(format!("{} is a data centre of the lab", file.display()));
            problems.push(problem.help("this mtv-test was built without the lab"));
            String::new()
        }
        FileKind::Empty => {
            let problem = Problem::error(format!("{} is empty", file.display()));
            problems.push(problem.help("write `[scenario.NAME]`, `[provider.NAME]` or settings"));
            String::new()
        }
    }
}

/// Checks a settings file, then what a run would do with it before it contacts anybody: log in, and ask Jira.
fn settings(file: &Path, text: &str) -> Problems {
    let problems = settings_load::check(file, text);
    if problems.has_errors() {
        return problems;
    }
    // Half of a login can come from the environment, as it does in a run.
    let sources = Sources { file: Some(file.to_owned()), ..Sources::from_process() };
    let resolved = match settings_load::load(&sources) {
        Ok(resolved) => resolved,
        Err(problems) => return problems,
    };
    let settings = &resolved.settings;
    let mut problems = problems;
    let login = context::connect_options(&ClusterOptions::default(), settings).err();
    for error in [login, context::jira(settings).err()].into_iter().flatten() {
        problems.push(error.into_problem(&format!("{}: ", file.display())));
    }
    problems
}

enum FileKind {
    Scenarios,
    Profiles,
    Settings,
    DataCenter,
    Empty,
}

/// Top-level tables of a data centre.
const DATA_CENTER: &[&str] = &["cluster", "source_cluster", "vsphere", "arrays", "ovirt", "openstack", "jira", "ova", "guests", "faults"];

/// What a file is, by its first table header or key; it has to be told for broken files as well.
fn kind(text: &str) -> FileKind {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        // Profiles of mtv-api-tests; how to translate them is said there.
        return FileKind::Profiles;
    }
    let mut meaningful = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let header = |line: &str, word: &str| line.trim_start_matches(['[', ' ', '"', '\'']).starts_with(word);
    let Some(first) = meaningful.next() else { return FileKind::Empty };
    let tables = || std::iter::once(first).chain(text.lines().map(str::trim)).filter(|line| line.starts_with('['));
    // A slip such as `[scenarios.x]` or `[providers.x]` begins the same way.
    if header(first, "scenario.") || tables().any(|line| header(line, "scen")) {
        FileKind::Scenarios
    } else if header(first, "provider.") || tables().any(|line| header(line, "prov")) {
        FileKind::Profiles
    } else if tables().any(|line| DATA_CENTER.contains(&line.trim_matches(['[', ' ']).split(['.', ']', ' ']).next().unwrap_or_default())) {
        FileKind::DataCenter
    } else {
        FileKind::Settings
    }
}
