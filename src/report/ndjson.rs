//! `events.ndjson`: every event, one JSON object a line.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{Sink, model::Run};
use crate::events::Event;

/// Writes the events.
#[derive(Debug)]
pub struct NdjsonSink {
    path: PathBuf,
    file: File,
}

impl NdjsonSink {
    /// Creates the file with mode 0600.
    pub fn create(path: &Path) -> Result<Self> {
        let file = open(path).with_context(|| format!("failed to create {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file })
    }
}

impl Sink for NdjsonSink {
    fn name(&self) -> &'static str {
        "events.ndjson"
    }

    /// One unbuffered write per line, so that a process that is killed leaves whole lines.
    fn event(&mut self, event: &Event, _: &Run) -> Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        // Somebody has deleted the results: what was written so far comes back with what follows.
        if self.file.metadata()?.nlink() == 0 {
            fs::create_dir_all(self.path.parent().context("it has no folder")?)?;
            let mut new = open(&self.path)?;
            self.file.rewind()?;
            io::copy(&mut self.file, &mut new)?;
            self.file = new;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}
