//! Who holds a journal.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::MetadataExt as _,
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
    /// It is a clean-up, and not the run itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cleans: bool,
    /// What tells the process from others of its number; empty in journals of version 1.
    #[serde(flatten)]
    pub process: Process,
    /// Device and inode of the journal that it holds: a copy has others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<(u64, u64)>,
}

impl Holder {
    /// Stands for the run in a journal that does not tell.
    pub(super) const UNKNOWN_RUN: &str = "unknown";

    /// This process, from now on.
    pub fn this_process(run: &str) -> Self {
        Self {
            pid: std::process::id(),
            host: host_name(),
            run: run.to_owned(),
            since: Timestamp::now(),
            cleans: false,
            process: Process::this(),
            file: None,
        }
    }

    /// This process, which cleans up after a run.
    pub(super) fn cleaner(run: &str) -> Self {
        Self { cleans: true, ..Self::this_process(run) }
    }

    /// The same, of this file.
    pub(super) fn of_file(self, file: &File) -> Self {
        Self { file: identity(file), ..self }
    }

    /// Whether the process still runs, as far as this machine can tell.
    pub fn life(&self) -> Life {
        self.process.life(self.pid)
    }

    /// Whether this file is the very one that the holder had open, on the same running machine: whoever locks it knows that the
    /// holder has ended.
    pub fn held(&self, file: &File) -> bool {
        self.file.is_some() && self.file == identity(file) && !self.process.boot.is_empty() && self.process.boot == Process::this().boot
    }
}

fn identity(file: &File) -> Option<(u64, u64)> {
    let meta = file.metadata().ok()?;
    Some((meta.dev(), meta.ino()))
}

/// What tells a process from every other one of its number, as `/proc` says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Boot ID of the machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot: String,
    /// Namespaces in which its number and its start mean something.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub space: String,
    /// When it started, in ticks of the kernel since the machine booted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticks: Option<u64>,
}

/// Whether a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Alive,
    /// It has ended.
    Dead,
    /// It is on another machine, in another container, or cannot be seen from here.
    Unknown,
}

impl Process {
    /// This process.
    fn this() -> Self {
        let pid = std::process::id();
        let link = |name: &str| Some(fs::read_link(format!("/proc/self/ns/{name}")).ok()?.to_string_lossy().into_owned());
        Self {
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default(),
            // The start of a process counts from the boot of its time namespace; kernels before 5.6 have none.
            space: link("pid").map(|pid| format!("{pid} {}", link("time").unwrap_or_default())).unwrap_or_default(),
            ticks: stat(pid).map(|stat| stat.ticks),
        }
    }

    fn life(&self, pid: u32) -> Life {
        let here = Self::this();
        let known = !self.boot.is_empty() && !self.space.is_empty() && self.ticks.is_some();
        if !known || self.boot != here.boot || self.space != here.space {
            return Life::Unknown;
        }
        let Some(id) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return Life::Unknown };
        if rustix::process::test_kill_process(id) == Err(rustix::io::Errno::SRCH) {
            return Life::Dead;
        }
        match stat(pid) {
            // A zombie has ended; nobody has asked for its exit code yet.
            Some(stat) if Some(stat.ticks) != self.ticks || stat.ended => Life::Dead,
            Some(_) => Life::Alive,
            // It ended in between, or `/proc` hides processes of others.
            None => Life::Unknown,
        }
    }
}

/// What is read of `/proc/PID/stat`.
struct Stat {
    ended: bool,
    ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 3 is the state, field 22 the start; the name in field 2 may hold spaces and parentheses, see proc_pid_stat(5).
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X" | "x");
    Some(Stat { ended, ticks: fields.nth(18)?.parse().ok()? })
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

/// Whether the file is the one that this holder had open, and nobody has it open for writing any more.
pub(super) fn is_free(path: &Path, holder: &Holder) -> bool {
    let Ok(file) = files::open(path, OpenOptions::new().read(true)) else { return false };
    holder.held(&file) && file.try_lock_shared().is_ok()
}

/// What Linux answers where a network file system has no lock service.
const ENOLCK: i32 = 37;

/// Locks the file for this process, or says who has it. False where the file system has no locks.
pub(super) fn acquire(file: &File, path: &Path) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => {
            // Reading needs no lock: the holder keeps the file whole.
            let holder = super::read(path).ok().and_then(|read| read.holder);
            let who = holder.map_or_else(|| "another process".to_owned(), |h| h.to_string());
            Err(anyhow!("it is in use by {who}"))
        }
        // Some network file systems have no locks. Two cleaners at once are rare and harmless; no cleaner is not.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(ENOLCK) => {
            tracing::warn!(path = %path.display(), "the file system cannot lock files: nothing stops a second process");
            Ok(false)
        }
        Err(TryLockError::Error(error)) => Err(error).context("failed to lock it"),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_start_of_a_process_is_read_behind_its_name() {
        let stat = parse_stat("42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 10").unwrap();
        assert!(!stat.ended && stat.ticks == 987_654);
        assert!(parse_stat("42 (x) Z 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0").unwrap().ended);
        for text in ["", "42", "42 (x) S 1 2", "42 (x"] {
            assert!(parse_stat(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_process_is_told_from_a_later_one_of_its_number() {
        let me = Holder::this_process("r");
        assert_eq!(me.life(), Life::Alive);
        let with = |change: &dyn Fn(&mut Process)| {
            let mut other = me.clone();
            change(&mut other.process);
            other.life()
        };
        assert_eq!(with(&|process| process.ticks = process.ticks.map(|ticks| ticks + 1)), Life::Dead);
        assert_eq!(with(&|process| process.boot = "another".to_owned()), Life::Unknown);
        assert_eq!(with(&|process| process.space = "another".to_owned()), Life::Unknown);
        assert_eq!(with(&|process| *process = Process::default()), Life::Unknown);
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let holder = Holder { pid: child.id(), process: Process { ticks: stat(child.id()).map(|s| s.ticks), ..me.process.clone() }, ..me };
        assert_eq!(holder.life(), Life::Alive);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(holder.life(), Life::Dead);
    }
}
