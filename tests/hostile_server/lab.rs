//! A cluster that behaves, for clients of something else.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// `mtv-test lab serve`, which ends with the test.
pub struct Lab {
    child: Child,
    folder: TempDir,
    _stdout: BufReader<std::process::ChildStdout>,
}

impl Lab {
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mtv-test"));
        command.args(["lab", "serve", "--dir"]).arg(folder.path().join("lab")).env("NO_COLOR", "1");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("lab ready") {
            line.clear();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "the lab ended before it was ready");
        }
        Self { child, folder, _stdout: stdout }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("lab").join(name)
    }

    pub fn kubeconfig(&self) -> String {
        self.path("kubeconfig").display().to_string()
    }

    /// The text of its profiles.
    pub fn profiles(&self) -> String {
        fs::read_to_string(self.path("providers.toml")).unwrap()
    }

    /// Addresses and CA.
    pub fn info(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("lab.json")).unwrap()).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
