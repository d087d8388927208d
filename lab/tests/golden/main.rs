//! The lab's Forklift against recordings of the real one: one test per file of a folder.
//!
//! The user's actions are repeated in the recorded order, each when the states that came before it have come. Then the
//! sequence of distinct states of each object must be the recorded one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answers;
#[path = "../bench/mod.rs"]
mod bench;
mod outside;
mod replay;
mod state;
mod time;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use libtest_mimic::{Arguments, Trial};

/// Where the lab differs from a recording, with the reason.
#[derive(serde::Deserialize)]
struct Differences {
    state: Vec<Difference>,
    #[serde(default)]
    answer: Vec<Answer>,
}

#[derive(serde::Deserialize)]
struct Answer {
    file: String,
    /// Name of the answer in its recording.
    name: String,
    reason: String,
}

#[derive(serde::Deserialize)]
struct Difference {
    file: String,
    object: String,
    states: Vec<usize>,
    reason: String,
}

impl Differences {
    fn read() -> Self {
        toml::from_str(include_str!("differences.toml")).unwrap()
    }

    /// What need not come of a file, by object.
    fn of(&self, file: &str) -> BTreeMap<String, Vec<usize>> {
        self.state.iter().filter(|d| d.file == file).map(|d| (d.object.clone(), d.states.clone())).collect()
    }
}

fn folder() -> PathBuf {
    std::env::var_os("MTV_TEST_GOLDEN").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden"), PathBuf::from)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = folder();
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("no recordings in {}: set MTV_TEST_GOLDEN to their folder", folder.display());
        return ExitCode::SUCCESS;
    };
    let mut files: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    let differences = Differences::read();
    for Difference { file, object, reason, .. } in &differences.state {
        println!("{file}, {object}: differs, because {reason}");
    }
    for Answer { file, name: answer, reason } in &differences.answer {
        println!("{file}, {answer}: differs, because {reason}");
    }
    let trials = files.into_iter().filter_map(|file| {
        let name = file.file_stem()?.to_str()?.to_owned();
        let left_out = differences.of(&name);
        let answers: Vec<String> = differences.answer.iter().filter(|d| d.file == name).map(|d| d.name.clone()).collect();
        let has_answers = answers::FILES.contains(&name.as_str());
        Some(Trial::test(format!("golden::{name}"), move || {
            if has_answers { answers::run(&file, &answers) } else { replay::run(&file, &left_out) }.map_err(Into::into)
        }))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
