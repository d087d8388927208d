//! `events.ndjson`: every event, one JSON object a line.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result};

use super::Sink;
use crate::events::Event;

/// Writes the events.
#[derive(Debug)]
pub struct NdjsonSink {
    file: File,
}

impl NdjsonSink {
    /// Creates the file with mode 0600.
    pub fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        Ok(Self { file: file.with_context(|| format!("failed to create {}", path.display()))? })
    }
}

impl Sink for NdjsonSink {
    fn name(&self) -> &'static str {
        "events.ndjson"
    }

    /// One unbuffered write per line, so that a process that is killed leaves whole lines.
    fn event(&mut self, event: &Event) -> Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        Ok(())
    }
}
