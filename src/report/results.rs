//! The folder of a run's results: a new one per run, and `latest`, which leads to the newest.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
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
    /// Why `latest` does not lead here, if it does not.
    pub warning: Option<String>,
}

/// The folder for results when the user names none: what the CI host collects, or `mtv-test-results`.
pub fn default_dir(artifact_dir: Option<OsString>) -> PathBuf {
    artifact_dir.filter(|dir| !dir.is_empty()).map_or_else(|| PathBuf::from("mtv-test-results"), PathBuf::from)
}

/// Writes what a file holds to the disk. A file system that cannot say so, as some of SMB and FUSE, is no reason to fail: a process
/// that dies leaves the file whole there as well.
pub fn sync(file: &File) -> io::Result<()> {
    unsupported_is_fine(file.sync_all())
}

/// Takes the answer of a file system that does not know an operation for success.
pub fn unsupported_is_fine(done: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match done {
        Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => Ok(()),
        done => done,
    }
}

/// Makes the folder `<time>-<run id>` in `dir`, and lets `latest` lead to it. Earlier runs stay as they are, and so does a file or
/// folder `latest` that is no link.
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
    let does_not_lead =
        |why| format!("{} does not lead to this run: {why}; its results are in {}", dir.join("latest").display(), own.display());
    Ok(Results {
        warning: link_latest(dir, &name).err().map(does_not_lead),
        junit: own.join("junit-report.xml"),
        resources: own.join("resources.json"),
        events: own.join("events.ndjson"),
        log: own.join("run.log"),
        dir: own,
    })
}

/// Renames a new link over the old one, so that `latest` exists at every moment. Relative, so that the folder can be moved.
fn link_latest(dir: &Path, name: &str) -> Result<(), String> {
    let (new, latest) = (dir.join(format!(".latest-{name}")), dir.join("latest"));
    if fs::symlink_metadata(&latest).is_ok_and(|found| !found.is_symlink()) {
        return Err("it is a file or folder of somebody else and stays as it is".to_owned());
    }
    let text = |error: io::Error| error.to_string();
    symlink(name, &new).map_err(text)?;
    kill_points::pass("rename of the link to the results");
    fs::rename(&new, latest).inspect_err(|_| drop(fs::remove_file(&new))).map_err(text)?;
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
    fn a_file_or_folder_named_latest_is_not_touched() {
        for file in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let latest = folder.path().join("latest");
            let precious = if file { latest.clone() } else { latest.join("precious") };
            fs::create_dir_all(precious.parent().unwrap()).unwrap();
            fs::write(&precious, "x").unwrap();
            let results = create(folder.path(), "r1").unwrap();
            assert!(results.dir.is_dir());
            let warning = results.warning.unwrap();
            assert!(warning.contains("latest") && warning.contains(&results.dir.display().to_string()), "{warning}");
            assert_eq!(fs::read_to_string(precious).unwrap(), "x");
        }
    }

    #[test]
    fn a_link_named_latest_is_replaced_wherever_it_leads() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/nonexistent/x", folder.path().join("latest")).unwrap();
        let results = create(folder.path(), "r1").unwrap();
        assert_eq!(results.warning, None);
        assert_eq!(fs::canonicalize(folder.path().join("latest")).unwrap(), fs::canonicalize(results.dir).unwrap());
    }

    #[test]
    fn only_what_a_file_system_does_not_know_is_forgiven() {
        for (number, fine) in [(libc_einval(), true), (1, true), (95, true), (5, false), (28, false)] {
            assert_eq!(unsupported_is_fine(Err(io::Error::from_raw_os_error(number))).is_ok(), fine, "{number}");
        }
    }

    /// EINVAL; the others above are EPERM, EOPNOTSUPP, EIO and ENOSPC.
    const fn libc_einval() -> i32 {
        22
    }

    #[test]
    fn the_ci_host_names_the_folder() {
        assert_eq!(default_dir(Some("/artifacts".into())), Path::new("/artifacts"));
        assert_eq!(default_dir(Some("".into())), Path::new("mtv-test-results"));
        assert_eq!(default_dir(None), Path::new("mtv-test-results"));
    }
}
