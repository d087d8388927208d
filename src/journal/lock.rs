//! Who holds a journal.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::Path,
};

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files;

/// A process that has a journal open for writing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// Run id.
    pub run: String,
    /// Since when.
    pub since: Timestamp,
}

impl Holder {
    /// Stands for the run in a journal that does not tell.
    pub(super) const UNKNOWN_RUN: &str = "unknown";

    /// This process, from now on.
    pub fn this_process(run: &str) -> Self {
        Self { pid: std::process::id(), host: host_name(), run: run.to_owned(), since: Timestamp::now() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}, run {}, since {:.0}", self.pid, self.host, self.run, self.since)
    }
}

/// The kernel's own name of the host; in a container that is the pod's name, which is what a reader looks for.
fn host_name() -> String {
    let from_kernel = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = from_kernel.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown host".to_owned() } else { name.to_owned() }
}

/// The process that holds a journal now, if one does. A file that cannot be opened is held by nobody.
pub fn holder(path: &Path) -> Option<Holder> {
    let file = files::open(path, OpenOptions::new().read(true)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => super::read(path).ok()?.holder,
        _ => None,
    }
}

/// What Linux answers where a network file system has no lock service.
const ENOLCK: i32 = 37;

/// Locks the file for this process, or says who has it.
pub(super) fn acquire(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            // Reading needs no lock: the holder keeps the file whole.
            let holder = super::read(path).ok().and_then(|read| read.holder);
            let who = holder.map_or_else(|| "another process".to_owned(), |h| h.to_string());
            Err(anyhow!("it is in use by {who}"))
        }
        // Some network file systems have no locks. Two cleaners at once are rare and harmless; no cleaner is not.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(ENOLCK) => {
            tracing::warn!(path = %path.display(), "the file system cannot lock files: nothing stops a second process");
            Ok(())
        }
        Err(TryLockError::Error(error)) => Err(error).context("failed to lock it"),
    }
}
