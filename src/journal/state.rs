//! The journal's content in memory: changes applied in order.

use std::collections::BTreeMap;

use super::{
    Read,
    model::{Change, Entry, EntryId, Header, Record, State},
};

/// Records by number, and the latest header.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub header: Option<Header>,
    records: BTreeMap<EntryId, Record>,
    /// The next number.
    next: u64,
}

impl Ledger {
    pub fn of(read: &Read) -> Self {
        let records: BTreeMap<_, _> = read.records.iter().map(|r| (r.id, r.clone())).collect();
        let next = records.keys().next_back().map_or(0, |id| id.0 + 1);
        Self { header: read.header.clone(), records, next }
    }

    pub fn next_id(&mut self) -> EntryId {
        let id = EntryId(self.next);
        self.next += 1;
        id
    }

    pub fn entry(&self, id: EntryId) -> Option<Entry> {
        self.records.get(&id).map(|r| r.entry.clone())
    }

    pub fn records(&self) -> Vec<Record> {
        self.records.values().cloned().collect()
    }

    /// Applies a change. False when it speaks of an entry that is not known, which only damage can bring about.
    pub fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Header { header, .. } => self.header = Some(header.clone()),
            Change::Held { .. } | Change::Ended { .. } | Change::Unknown(_) => {}
            Change::Intent { id, entry } => {
                self.next = self.next.max(id.0 + 1);
                // A `created` that was written twice or earlier is not undone.
                let entry = entry.clone();
                self.records.entry(*id).or_insert(Record { id: *id, entry, state: State::Intent, reference: None });
            }
            Change::Created { id, entry, reference } => {
                self.next = self.next.max(id.0 + 1);
                let reference = (!reference.is_empty()).then(|| reference.clone());
                self.records.insert(*id, Record { id: *id, entry: entry.clone(), state: State::Created, reference });
            }
            Change::Deleting { id } => return self.advance(*id, State::Deleting),
            Change::Gone { id } => return self.advance(*id, State::Gone),
        }
        true
    }

    fn advance(&mut self, id: EntryId, state: State) -> bool {
        self.records.get_mut(&id).map(|record| record.state = state).is_some()
    }
}
