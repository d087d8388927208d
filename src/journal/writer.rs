//! The one thread that writes the file. Appends that wait at the same time share one write and one fsync.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{
    Holder, Read,
    format::{HEAD, Line, SEPARATOR, TAIL, encode},
    lock,
    model::Change,
};
use crate::{
    diagnosis::{Diagnosis, Explained},
    files, kill_points,
    report::results::{sync, unsupported_is_fine},
};

/// A change to append, and where to say that it is durable.
struct Job {
    change: Change,
    done: oneshot::Sender<Result<(), Diagnosis>>,
}

/// Handle of the thread. When it is dropped the thread writes what is still in its channel, and ends.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    /// A new file with these first changes, durable. It becomes a whole document with them, before anything is made.
    pub fn create(path: &Path, changes: impl FnOnce(&File) -> Vec<Change>) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        lock::acquire(&file, path)?;
        file.write_all_at(HEAD.as_bytes(), 0)?;
        let changes = changes(&file);
        let mut tail = Tail { path: path.to_owned(), file, end: HEAD.len() as u64, seq: 0 };
        tail.append(&changes)?;
        sync_folder(path)?;
        Self::spawn(tail)
    }

    /// An existing file, repaired if need be, with this process noted as its holder.
    pub fn resume(path: &Path) -> Result<(Self, Read)> {
        let (file, locked) = open_locked(path)?;
        let mut found = super::read::parse(&files::read(path, super::read::LIMIT)?)?;
        found.left_behind = locked && found.maker.as_ref().is_some_and(|maker| maker.held(&file));
        if found.foreign {
            return Err(anyhow!("it was written by mtv-api-tests and cannot be continued"));
        }
        let mut tail = if found.damage.is_empty() {
            let length = file.metadata()?.len();
            let seq = found.lines.last().map_or(0, |line| line.seq + 1);
            Tail { path: path.to_owned(), file, end: length - TAIL.len() as u64, seq }
        } else {
            repair(path, &found)?
        };
        let run = found.header.as_ref().map_or(Holder::UNKNOWN_RUN, |header| header.run.as_str());
        tail.append(&[Change::Held { holder: Holder::cleaner(run).of_file(&tail.file) }])?;
        Ok((Self::spawn(tail)?, found))
    }

    fn spawn(mut tail: Tail) -> Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || {
            while let Ok(first) = queue.recv() {
                // Group commit: whatever has queued up during the last fsync goes into the next one.
                let batch: Vec<Job> = std::iter::once(first).chain(queue.try_iter()).collect();
                let (changes, waiting): (Vec<_>, Vec<_>) = batch.into_iter().map(|job| (job.change, job.done)).unzip();
                let result = tail.append(&changes).map_err(|error| {
                    // One line for all who wait, with the error number of the operating system as a fact.
                    let diagnosis = Diagnosis::of_error(&error);
                    Diagnosis { summary: diagnosis.line(": "), causes: Vec::new(), evidence: Vec::new(), ..diagnosis }
                });
                for done in waiting {
                    // Nobody may be listening any more: the step was stopped. The entry is in the file all the same.
                    let _ = done.send(result.clone());
                }
            }
        };
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(work).context("failed to start its thread")?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Appends; durable on return.
    pub async fn append(&self, change: Change) -> Result<()> {
        let (done, durable) = oneshot::channel();
        let gone = || anyhow!("its thread has ended");
        self.jobs.as_ref().ok_or_else(gone)?.send(Job { change, done }).map_err(|_| gone())?;
        durable.await.map_err(|_| gone())?.map_err(|diagnosis| Explained(diagnosis).into())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The open, locked file and where its closing lines begin.
struct Tail {
    path: PathBuf,
    file: File,
    end: u64,
    seq: u64,
}

impl Tail {
    /// Appends records to those that are there.
    fn append(&mut self, changes: &[Change]) -> Result<()> {
        let separator = if self.seq == 0 { "" } else { SEPARATOR };
        let text = format!("{separator}{}", self.encoded(changes)?);
        self.write(&text, changes.len())
    }

    fn encoded(&self, changes: &[Change]) -> Result<String> {
        let at = Timestamp::now();
        let lines: Result<Vec<String>, _> =
            (self.seq..).zip(changes).map(|(seq, change)| encode(&Line { seq, at, change: change.clone() })).collect();
        Ok(lines?.join(SEPARATOR))
    }

    /// One positional write over the closing lines, then fdatasync. If it fails, the file is brought back to what it was, so
    /// that a full disk does not cost the records that were there.
    fn write(&mut self, text: &str, records: usize) -> Result<()> {
        let bytes = format!("{text}{TAIL}");
        kill_points::pass("append to the journal");
        let written = self.file.write_all_at(bytes.as_bytes(), self.end).and_then(|()| {
            kill_points::pass("sync of the journal");
            unsupported_is_fine(self.file.sync_data())
        });
        kill_points::pass("journal durable");
        if let Err(error) = written {
            let back = self.file.write_all_at(TAIL.as_bytes(), self.end);
            let _ = back.and_then(|()| self.file.set_len(self.end + TAIL.len() as u64));
            return Err(error.into());
        }
        self.end += text.len() as u64;
        self.seq += records as u64;
        // What nobody can find is not durable.
        if self.file.metadata()?.nlink() == 0 {
            self.restore().context("the file was deleted and cannot be written again")?;
        }
        Ok(())
    }

    /// Puts a whole copy in the place of a file that somebody has deleted, with its folder if need be.
    fn restore(&mut self) -> Result<()> {
        tracing::warn!(path = %self.path.display(), "the journal was deleted while it was in use; it is written again");
        let folder = folder_of(&self.path);
        fs::create_dir_all(&folder)?;
        let mut bytes = vec![0; usize::try_from(self.end)? + TAIL.len()];
        self.file.read_exact_at(&mut bytes, 0)?;
        let mut new = tempfile::NamedTempFile::new_in(&folder)?;
        new.write_all(&bytes)?;
        sync(new.as_file())?;
        lock::acquire(new.as_file(), &self.path)?;
        kill_points::pass("rename of the restored journal");
        // Whatever has its name by now is somebody else's.
        self.file = new.persist_noclobber(&self.path)?;
        kill_points::pass("restored journal renamed");
        Ok(sync_folder(&self.path)?)
    }
}

/// Opens and locks. Between the two the file can have been replaced by a repair; then again.
fn open_locked(path: &Path) -> Result<(File, bool)> {
    loop {
        let file = files::open(path, OpenOptions::new().read(true).write(true))?;
        let locked = lock::acquire(&file, path)?;
        if file.metadata()?.ino() == fs::metadata(path)?.ino() {
            return Ok((file, locked));
        }
    }
}

/// Sets the damaged file aside and puts a whole one in its place, which holds every record that could be read.
fn repair(path: &Path, found: &Read) -> Result<Tail> {
    let folder = folder_of(path);
    fs::copy(path, beside(path, ".damaged")).context("failed to set the damaged file aside")?;
    let mut new = tempfile::NamedTempFile::new_in(&folder)?;
    let lines: Result<Vec<String>, _> = (0..).zip(&found.lines).map(|(seq, line)| encode(&Line { seq, ..line.clone() })).collect();
    let text = format!("{HEAD}{}", lines?.join(SEPARATOR));
    new.write_all(text.as_bytes())?;
    new.write_all(TAIL.as_bytes())?;
    sync(new.as_file())?;
    // Locked before it has its name, so that nobody finds it free.
    lock::acquire(new.as_file(), path)?;
    kill_points::pass("rename of the mended journal");
    let file = new.persist(path)?;
    kill_points::pass("mended journal renamed");
    sync_folder(path)?;
    Ok(Tail { path: path.to_owned(), file, end: text.len() as u64, seq: found.lines.len() as u64 })
}

/// Makes the file's name durable: without it a machine that dies may come back without the file.
fn sync_folder(path: &Path) -> io::Result<()> {
    sync(&File::open(folder_of(path))?)
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}
