//! Snapshots: those of the source are the same after the migration: number, id, name, state, and time to the minute.

use super::{Check, Comparison, Subject};
use crate::providers::Snapshot;

/// Snapshots of the source VM.
pub struct Snapshots;

/// `2026-01-02T03:04` of an RFC 3339 time: vCenter's own precision differs between calls.
const TO_THE_MINUTE: usize = 16;

impl Check for Snapshots {
    fn name(&self) -> &'static str {
        "snapshots"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        (subject.source.snapshots.is_empty() || subject.snapshots_after.is_none()).then(|| "the source had none".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let (before, after) = (&subject.source.snapshots, subject.snapshots_after.unwrap_or_default());
        seen.same("number of snapshots", before.len(), after.len());
        for snapshot in before {
            let found = after.iter().find(|s| s.id == snapshot.id).map_or("gone".to_owned(), line);
            seen.same(format!("snapshot {}", snapshot.id), line(snapshot), found);
        }
    }
}

fn line(snapshot: &Snapshot) -> String {
    let minute = snapshot.created.get(..TO_THE_MINUTE).unwrap_or(&snapshot.created);
    format!("`{}` {} {minute}", snapshot.name, snapshot.state)
}
