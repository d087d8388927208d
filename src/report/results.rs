//! The folder of a run's results: a new one per run, and `latest`, which leads to the newest.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::kill_points;

/// Where the results of a run go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Results {
    /// The run's own folder.
    pub dir: PathBuf,
    /// `junit-report.xml`.
    pub junit: PathBuf,
    /// `resources.json`, the journal.
    pub resources: PathBuf,
    /// `events.ndjson`.
    pub events: PathBuf,
    /// `run.log`.
    pub log: PathBuf,
}

/// The folder for results when the user names none: what the CI host collects, or `mtv-test-results`.
pub fn default_dir(artifact_dir: Option<OsString>) -> PathBuf {
    artifact_dir.filter(|dir| !dir.is_empty()).map_or_else(|| PathBuf::from("mtv-test-results"), PathBuf::from)
}

/// Makes the folder `<time>-<run id>` in `dir`, and lets `latest` lead to it. Earlier runs stay as they are.
pub fn create(dir: &Path, run_id: &str) -> Result<Results> {
    let fail = || format!("failed to make the folder for the results in {}", dir.display());
    fs::create_dir_all(dir).with_context(fail)?;
    let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut name = format!("{stamp}-{run_id}");
    let mut number = 2;
    let own = loop {
        let own = dir.join(&name);
        match fs::create_dir(&own) {
            Ok(()) => break own,
            // Only two runs of one id in one second meet here.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                name = format!("{stamp}-{run_id}-{number}");
                number += 1;
            }
            Err(error) => return Err(error).with_context(fail),
        }
    };
    if let Err(error) = link_latest(dir, &name) {
        tracing::warn!("{} does not lead to this run: {error}", dir.join("latest").display());
    }
    Ok(Results {
        junit: own.join("junit-report.xml"),
        resources: own.join("resources.json"),
        events: own.join("events.ndjson"),
        log: own.join("run.log"),
        dir: own,
    })
}

/// Renames a new link over the old one, so that `latest` exists at every moment. Relative, so that the folder can be moved.
fn link_latest(dir: &Path, name: &str) -> io::Result<()> {
    let new = dir.join(format!(".latest-{name}"));
    symlink(name, &new)?;
    kill_points::pass("rename of the link to the results");
    fs::rename(&new, dir.join("latest")).inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })?;
    kill_points::pass("link to the results renamed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latest_leads_to_the_newest_and_earlier_runs_stay() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("results");
        let first = create(&base, "r1").unwrap();
        fs::write(&first.junit, "first").unwrap();
        let second = create(&base, "r1").unwrap();
        assert_ne!(first.dir, second.dir);
        fs::write(&second.junit, "second").unwrap();
        assert_eq!(fs::read_to_string(base.join("latest/junit-report.xml")).unwrap(), "second");
        assert_eq!(fs::read_to_string(&first.junit).unwrap(), "first");
        let names: Vec<String> = fs::read_dir(&base).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names.len(), 3, "nothing else is left: {names:?}");
    }

    #[test]
    fn a_folder_named_latest_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("latest")).unwrap();
        fs::write(folder.path().join("latest/precious"), "x").unwrap();
        let results = create(folder.path(), "r1").unwrap();
        assert!(results.dir.is_dir());
        assert!(folder.path().join("latest/precious").exists());
    }

    #[test]
    fn the_ci_host_names_the_folder() {
        assert_eq!(default_dir(Some("/artifacts".into())), Path::new("/artifacts"));
        assert_eq!(default_dir(Some("".into())), Path::new("mtv-test-results"));
        assert_eq!(default_dir(None), Path::new("mtv-test-results"));
    }
}
