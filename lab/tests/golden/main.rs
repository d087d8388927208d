//! The lab's Forklift against recordings of the real one: one test per file of a folder.
//!
//! The user's actions are repeated in the recorded order, each when the states that came before it have come. Then the
//! sequence of distinct states of each object must be the recorded one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../bench/mod.rs"]
mod bench;
mod replay;
mod state;
mod time;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use libtest_mimic::{Arguments, Trial};

/// Files that are compared otherwise: answers to requests.
const ANSWERS: &[&str] = &["api-rejections", "inventory-responses"];

/// Files that differ, with the reason.
const DIFFERENCES: &[(&str, &str)] = &[
    ("warm-success", "looks that fall between a volume's creation and its first phase are a matter of milliseconds"),
    ("cancel-warm-during-disk-transfer", "as warm-success; and its provider was caught while it read the inventory"),
    ("cold-success-plan-options", "the recorded VM was off before the recording began"),
    ("delete-migration-while-running", "the lab's source VM boots after it was powered on again: its tools are not up at once"),
];

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
    let trials = files.into_iter().filter_map(|file| {
        let name = file.file_stem()?.to_str()?.to_owned();
        let difference = DIFFERENCES.iter().find(|(file, _)| *file == name);
        if let Some((file, reason)) = difference {
            println!("{file} differs: {reason}");
        }
        let ignored = ANSWERS.contains(&name.as_str()) || difference.is_some();
        Some(Trial::test(format!("golden::{name}"), move || replay::run(&file).map_err(Into::into)).with_ignored_flag(ignored))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
