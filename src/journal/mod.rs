//! The journal, `resources.json`: everything that a run has made or is about to make, so that it can be deleted again
//! whatever happens to the process or the machine.
//!
//! An entry is durable before the request goes out ([`Journal::intend`]), and gets the object's identity as soon as there
//! is an answer ([`Journal::created`]). The file is a whole JSON document after every append; see [`format`] for how.

pub mod foreign;
pub mod format;
mod lock;
pub mod model;
pub mod order;
pub mod read;
mod state;
#[cfg(test)]
mod tests;
mod writer;

pub use lock::{Holder, Life, holder};
pub use model::{Cluster, Entry, EntryId, Header, ProfileRef, Record, State};
pub use read::{Damage, Ended, Read, read};

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};

use self::{model::Change, state::Ledger, writer::Writer};

/// An open journal. Clones write to the same file; the lock is released when the last one is gone.
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    ledger: Mutex<Ledger>,
    /// None: nothing has to survive this process.
    writer: Option<Writer>,
}

impl Journal {
    /// Creates the file, which must not exist, with mode 0600, and locks it. Durable on return, its folder entry included.
    pub fn create(path: &Path, header: &Header) -> Result<Self> {
        let mut ledger = Ledger::default();
        let run = header.run.clone();
        let header: Change = header.clone().into();
        ledger.apply(&header);
        let holder = Holder::this_process(&run);
        let changes = |file: &File| vec![header, Change::Held { holder: holder.of_file(file) }];
        let writer = Writer::create(path, changes).with_context(|| format!("failed to create the journal {}", path.display()))?;
        Ok(Self::over(path, ledger, writer))
    }

    /// Opens the journal of a run that is over, for `clean`: it is locked, and what is deleted is appended.
    ///
    /// A damaged file is set aside as `….damaged` and replaced by what could be read of it.
    ///
    /// # Errors
    /// The file cannot be read, is no journal of ours, or another process holds it; the error says which process.
    pub fn resume(path: &Path) -> Result<(Self, Read)> {
        let (writer, found) = Writer::resume(path).with_context(|| format!("failed to open the journal {}", path.display()))?;
        let ledger = Ledger::of(&found);
        Ok((Self::over(path, ledger, writer), found))
    }

    /// The same for a file that can be read only, as an artifact of a CI job often is, or on a full disk: nothing is noted in it, and
    /// whoever cleans again finds out what is gone.
    ///
    /// # Errors
    /// The file cannot be read, or another process holds it.
    pub fn read_only(path: &Path) -> Result<(Self, Read)> {
        if let Some(holder) = holder(path) {
            anyhow::bail!("failed to open the journal {}: it is in use by {holder}", path.display());
        }
        let mut found = read(path)?;
        found.left_behind = found.maker.as_ref().is_some_and(|maker| lock::is_free(path, maker));
        let shared = Shared { path: path.to_owned(), ledger: Mutex::new(Ledger::of(&found)), writer: None };
        Ok((Self { shared: Arc::new(shared) }, found))
    }

    /// What was read of a file, to be looked at: nothing is locked or written.
    pub fn of(found: &Read) -> Self {
        Self { shared: Arc::new(Shared { path: PathBuf::new(), ledger: Mutex::new(Ledger::of(found)), writer: None }) }
    }

    /// A list without a file: of what was found by its label or mark, and can be found so again.
    pub fn in_memory(header: &Header, found: impl IntoIterator<Item = (Entry, String)>) -> Self {
        let mut ledger = Ledger::default();
        ledger.apply(&header.clone().into());
        for (entry, reference) in found {
            let id = ledger.next_id();
            ledger.apply(&Change::Created { id, entry, reference });
        }
        Self { shared: Arc::new(Shared { path: PathBuf::new(), ledger: Mutex::new(ledger), writer: None }) }
    }

    fn over(path: &Path, ledger: Ledger, writer: Writer) -> Self {
        Self { shared: Arc::new(Shared { path: path.to_owned(), ledger: Mutex::new(ledger), writer: Some(writer) }) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Notes that something is about to be made. Durable on return: only then may the request go out.
    pub async fn intend(&self, entry: Entry) -> Result<EntryId> {
        let id = self.ledger().next_id();
        self.append(Change::Intent { id, entry }).await?;
        Ok(id)
    }

    /// Notes that it was made, with its UID (objects), id (clones) or an empty text (patches).
    ///
    /// The entry is repeated in the file, so that damage to one record loses no object.
    pub async fn created(&self, id: EntryId, reference: impl Into<String>) -> Result<()> {
        let entry = self.ledger().entry(id).with_context(|| format!("the journal has no entry {id}"))?;
        self.append(Change::Created { id, entry, reference: reference.into() }).await
    }

    /// Notes that its deletion was asked for.
    pub async fn deleting(&self, id: EntryId) -> Result<()> {
        self.append(Change::Deleting { id }).await
    }

    /// Notes that it is gone, or was never made.
    pub async fn gone(&self, id: EntryId) -> Result<()> {
        self.append(Change::Gone { id }).await
    }

    /// Notes that the run is over, its teardown included, with the exit code of its process.
    pub async fn ended(&self, exit: u8) -> Result<()> {
        self.append(Change::Ended { exit }).await
    }

    /// Notes which cluster it is: the journal is opened before the connection is made.
    pub async fn connected(&self, cluster: Cluster) -> Result<()> {
        let header = self.header().map(|header| Header { cluster: Some(cluster), ..header });
        let header = header.context("the journal has lost its header")?;
        self.append(header.into()).await
    }

    /// The header, unless it was lost to damage.
    pub fn header(&self) -> Option<Header> {
        self.ledger().header.clone()
    }

    /// All records in the order of their intents, those on their way to the disk included.
    pub fn snapshot(&self) -> Vec<Record> {
        self.ledger().records()
    }

    async fn append(&self, change: Change) -> Result<()> {
        // Applied first: a step that is stopped while it waits for the disk must not make the teardown miss anything.
        self.ledger().apply(&change);
        let Some(writer) = &self.shared.writer else { return Ok(()) };
        writer.append(change).await.with_context(|| format!("failed to write the journal {}", self.shared.path.display()))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Nothing in the ledger panics half-way, so a poisoned one is whole.
        self.shared.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
