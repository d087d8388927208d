//! A server as a child process that never outlives the test.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

/// Runs the program and kills it once standard input ends, which it does with the test process, however that ends.
/// The last `wait` gives the program's exit code.
const GUARD: &str =
    r#"exec 3<&0; "$@" </dev/null 3<&- & child=$!; { cat <&3 >/dev/null; kill -9 $child; } 2>/dev/null & exec 3<&-; wait $child"#;

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it prints goes to `LOG_FOLDER/NAME.log`.
    ///
    /// # Errors
    /// The log file cannot be made, or there is no shell.
    pub fn start(program: &Path, arguments: &[String], log_folder: &Path) -> anyhow::Result<Self> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = log_folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
        let child = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        Ok(Self { child, name, log })
    }

    /// An error once the program has ended: with the end of what it printed.
    ///
    /// # Errors
    /// It has ended.
    pub fn alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("{} ended with {status}:\n{}", self.name, self.tail()),
        }
    }

    /// The end of what it printed.
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The end of its input makes the guard kill the program; the guard ends after it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
