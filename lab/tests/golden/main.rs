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
mod user;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use libtest_mimic::{Arguments, Trial};

/// Where the lab differs from a recording, with the reason.
#[derive(serde::Deserialize)]
struct Differences {
    #[serde(default)]
    state: Vec<StateDifference>,
    #[serde(default)]
    vm: Vec<VmDifference>,
    #[serde(default)]
    inventory: Vec<InventoryDifference>,
}

#[derive(serde::Deserialize)]
struct InventoryDifference {
    fields: Vec<String>,
    reason: String,
}

/// A field of machines that does not count.
#[derive(serde::Deserialize, Clone)]
pub struct VmDifference {
    /// Recording that shows the difference; it is left out of the others too.
    pub file: String,
    /// `warm` or `cold`.
    pub of: String,
    /// Name in our states.
    pub field: String,
    reason: String,
}

#[derive(serde::Deserialize)]
struct StateDifference {
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

    fn say(&self) {
        for StateDifference { file, object, reason, .. } in &self.state {
            println!("{file}, {object}: differs, because {reason}");
        }
        for VmDifference { of, field, reason, .. } in &self.vm {
            println!("{of} machines, {field}: differs, because {reason}");
        }
        for InventoryDifference { fields, reason } in &self.inventory {
            println!("inventory, {}: differs, because {reason}", fields.join(", "));
        }
    }

    /// Files that are named, but not there.
    fn unknown(&self, files: &[PathBuf]) -> Vec<String> {
        let names = self.state.iter().map(|d| &d.file).chain(self.vm.iter().map(|d| &d.file));
        let there = |name: &String| files.iter().any(|file| file.file_stem().is_some_and(|stem| *stem == **name));
        names.filter(|name| !there(name)).cloned().collect()
    }
}

/// Another folder of recordings, if the environment names one.
fn elsewhere() -> Option<PathBuf> {
    std::env::var_os("MTV_TEST_GOLDEN").map(PathBuf::from)
}

fn folder() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    // In a git worktree of the repository the folder is one level further up.
    let further = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden");
    elsewhere().unwrap_or_else(|| if beside.is_dir() { beside } else { further })
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
    differences.say();
    state::leave_out(differences.vm.clone());
    // Recordings of other situations need not show what these show.
    let strict = elsewhere().is_none();
    let unknown = differences.unknown(&files);
    let fields: Vec<String> = differences.inventory.iter().flat_map(|d| d.fields.clone()).collect();
    let mut trials: Vec<Trial> = files
        .into_iter()
        .filter_map(|file| {
            let name = file.file_stem()?.to_str()?.to_owned();
            let left_out = differences.of(&name);
            let fields = fields.clone();
            let has_answers = answers::FILES.contains(&name.as_str());
            Some(Trial::test(format!("golden::{name}"), move || {
                let done = if has_answers { answers::run(&file, &fields, strict) } else { replay::run(&file, &left_out, strict) };
                done.map_err(Into::into)
            }))
        })
        .collect();
    if strict {
        trials.push(Trial::test("golden_differences_are_known", move || {
            if unknown.is_empty() {
                Ok(())
            } else {
                Err(format!("differences of recordings that are not there: {}", unknown.join(", ")).into())
            }
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
