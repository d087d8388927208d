//! Places at which tests kill the process: before and after each append to the journal, each request and each rename.
//!
//! For tests of crash safety only. Without the two variables a point costs the reading of one static. They work in release
//! builds too, so that the binary that is shipped can be judged.
//!
//! - `MTV_TEST_KILL_AT=N`: the process ends by SIGKILL at the N-th point that it comes to, counted from 1.
//! - `MTV_TEST_KILL_LOG=FILE`: the name of each point that is passed is appended to FILE, a line each.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// At which point to die.
pub const AT: &str = "MTV_TEST_KILL_AT";
/// Where the names of the points go.
pub const LOG: &str = "MTV_TEST_KILL_LOG";

/// What the environment asks for, read once.
struct Plan {
    at: Option<u64>,
    log: Option<PathBuf>,
    passed: AtomicU64,
}

fn plan() -> Option<&'static Plan> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    PLAN.get_or_init(|| {
        let at = std::env::var(AT).ok().and_then(|number| number.trim().parse().ok());
        let log = std::env::var_os(LOG).map(PathBuf::from);
        (at.is_some() || log.is_some()).then(|| Plan { at, log, passed: AtomicU64::new(0) })
    })
    .as_ref()
}

/// A point. The name says what comes or came: `before create`, `after journal sync`.
pub fn pass(name: &str) {
    if let Some(plan) = plan() {
        count(plan, name);
    }
}

fn count(plan: &Plan, name: &str) {
    let number = plan.passed.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some(path) = &plan.log
        && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path)
    {
        // One write, so that lines of several threads stay whole. A test that finds none tells.
        let _ = file.write_all(format!("{number} {name}\n").as_bytes());
    }
    match plan.at {
        Some(at) if number == at => die(),
        // The process is about to end: no thread goes beyond the point where it is.
        Some(at) if number > at => stay(),
        _ => {}
    }
}

/// SIGKILL to this process, sent by a shell, because the signal cannot be sent from safe Rust.
fn die() -> ! {
    let sent = Command::new("sh").args(["-c", "kill -9 \"$PPID\""]).stdin(Stdio::null()).spawn();
    if sent.is_err() {
        // Ends as suddenly: nothing is unwound, nothing is flushed.
        std::process::abort();
    }
    stay()
}

fn stay() -> ! {
    loop {
        thread::sleep(Duration::from_mins(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_numbered_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("points");
        let plan = Plan { at: Some(9), log: Some(log.clone()), passed: AtomicU64::new(0) };
        count(&plan, "before create");
        count(&plan, "after create");
        assert_eq!(std::fs::read_to_string(log).unwrap(), "1 before create\n2 after create\n");
    }
}
