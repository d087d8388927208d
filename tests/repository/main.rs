//! What the repository itself promises: the container builds, nothing secret is committed by accident, the commands of the README
//! exist, and its claims about mtv-api-tests hold.
#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

mod completions;
mod container;
mod events;
mod readme;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Copies a file or a folder, without what builds leave in it.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != "target" {
                copy(&entry.path(), &to.join(entry.file_name()));
            }
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Files that people make in a clone and that hold secrets, and results.
const PRIVATE: &[&str] = &[
    "providers.toml",
    "providers.lab.toml",
    ".providers.json",
    "mtv-test.toml",
    ".env",
    ".env.local",
    "jira.cfg",
    "kubeconfig",
    "secrets/ovirt-password",
    "my-lab/admin-token",
    "mtv-test-results/latest/run.log",
    "junit-report.xml",
    "resources.json",
    "events.ndjson",
];

#[test]
fn git_ignores_secrets_settings_and_results_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(folder.path()).args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.output().unwrap()
    };
    assert!(git(&["init", "--quiet"]).status.success());
    fs::copy(root().join(".gitignore"), folder.path().join(".gitignore")).unwrap();
    for path in PRIVATE {
        assert!(git(&["check-ignore", "--quiet", path]).status.success(), "{path} could be committed");
    }
    // What is in the repository stays in it, and the README's example can be copied.
    let mut kept = vec!["providers.example.toml".to_owned(), "my-scenarios/two-disks.toml".to_owned()];
    for top in ["src", "lab", "api", "testkit", "fuzz", "tests", "scenarios", "man", "completions", "schemas"] {
        let files = files(&root().join(top)).into_iter().filter(|path| !path.components().any(|part| part.as_os_str() == "target"));
        kept.extend(files.map(|path| path.strip_prefix(root()).unwrap().display().to_string()));
    }
    for path in kept.iter().filter(|path| !path.ends_with(".pending-snap") && !path.ends_with(".snap.new")) {
        assert!(!git(&["check-ignore", "--quiet", "--no-index", path]).status.success(), "{path} would be ignored");
    }
}

#[test]
fn the_build_context_leaves_out_what_is_private() {
    let ignored = read(".dockerignore");
    let patterns: Vec<&str> = ignored.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    for path in ["providers*.toml", ".providers.json", "mtv-test.toml", ".env", "jira.cfg", "kubeconfig*", "secrets", "mtv-test-results"] {
        assert!(patterns.contains(&path), "{path} would reach the build's cache");
    }
}
