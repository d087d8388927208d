//! Reads a journal, whole or damaged. Damage loses at most the records that it hit, and is reported with its place.

use std::{fmt, path::Path};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Holder, foreign,
    format::{HEAD, HEAD_1, Line, MARK, NAME, TAIL, VERSION, decode},
    model::{Change, Header, Record},
    state::Ledger,
};
use crate::files;

/// Largest journal that is read, in bytes. A run writes about 2 kB for each object that it creates and
/// deletes, so this is enough for a hundred thousand.
pub(super) const LIMIT: u64 = 256 << 20;

/// A place in the file that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Offset in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.offset, self.what)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// When, by the clock of the run's machine.
    pub at: Timestamp,
    /// Exit code of its process.
    pub exit: u8,
}

/// What could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// The header; none in lists of mtv-api-tests, and where damage has left neither it nor a holder that knows the run.
    pub header: Option<Header>,
    /// The process that took the journal last.
    pub holder: Option<Holder>,
    /// The process of the run itself; none where the file does not say.
    pub maker: Option<Holder>,
    /// The run's own word that it is over, its teardown included.
    pub ended: Option<Ended>,
    /// The file is the very one that the run's process had open, and was free to be locked: that process has ended.
    pub left_behind: bool,
    /// Kinds of change that this release does not know, with their record.
    pub unknown: Vec<String>,
    /// Records in the order of their intents.
    pub records: Vec<Record>,
    /// What is not as it was written. Empty for a whole file.
    pub damage: Vec<Damage>,
    /// The list was written by mtv-api-tests: no UIDs, no states; ownership has to be proved otherwise.
    pub foreign: bool,
    /// Lines as they are, to write a whole file again.
    pub(super) lines: Vec<Line>,
}

impl Read {
    /// Whether not even one record was ever written: the run was stopped before it had made anything.
    pub fn is_unwritten(&self) -> bool {
        !self.foreign && self.lines.is_empty() && self.damage.iter().all(|damage| damage.what == CUT_AT_ONCE)
    }

    /// The format's version, as the records have it.
    fn version(&self) -> Option<u32> {
        self.lines.iter().find_map(|line| if let Change::Header { version, .. } = line.change { Some(version) } else { None })
    }
}

/// What is said of a file that was cut while it was being made.
const CUT_AT_ONCE: &str = "cut off before the first record";

/// Reads a file.
///
/// # Errors
/// The file cannot be read, or is no list of resources at all, or is of a later format version. Damage is no error.
pub fn read(path: &Path) -> Result<Read> {
    let once = || {
        files::read(path, LIMIT)
            .map_err(Into::into)
            .and_then(|bytes| parse(&bytes))
            .with_context(|| format!("failed to read {}", path.display()))
    };
    let found = once()?;
    // Whoever reads in the middle of an append of a running process may see half of it. What is really damaged stays so.
    if found.damage.is_empty() { Ok(found) } else { once() }
}

/// The first line, as far as it decides who may read the file.
#[derive(Deserialize)]
struct Document {
    format: String,
    version: u32,
    #[serde(rename = "records")]
    _records: Vec<serde::de::IgnoredAny>,
}

/// Reads the bytes of a file. See [`read`].
pub fn parse(bytes: &[u8]) -> Result<Read> {
    let strict = serde_json::from_slice::<Document>(bytes);
    if strict.is_err() && position(bytes, MARK.as_bytes()).is_none() {
        return without_records(bytes);
    }
    let mut found = scan(bytes);
    // No sum covers the first line: a header that says otherwise is right, and the line is damaged.
    if let Ok(document) = &strict
        && document.format == NAME
        && document.version > VERSION
        && found.version().is_none_or(|version| version > VERSION)
    {
        bail!("format version {} is newer than this release can read ({VERSION})", document.version)
    }
    // Whatever the marks and sums do not cover is covered by this.
    if let Err(error) = strict
        && found.damage.is_empty()
    {
        found.damage.push(Damage { offset: bytes.len(), what: format!("the document is not whole: {error}") });
    }
    Ok(found)
}

/// Neither JSON of ours nor a single record: a list of mtv-api-tests, a journal cut in its first record, or no journal.
fn without_records(bytes: &[u8]) -> Result<Read> {
    if let Ok(list) = serde_json::from_slice::<serde_json::Value>(bytes) {
        let records = foreign::records(&list)?;
        return Ok(Read { records, foreign: true, ..Read::default() });
    }
    // A file that was cut while it was being made. Anything else is a mistake of the user.
    if bytes.len().min(HEAD.len()) > common(bytes) {
        bail!("this is neither a journal of mtv-test nor a resources.json of mtv-api-tests");
    }
    let what = CUT_AT_ONCE.to_owned();
    Ok(Read { damage: vec![Damage { offset: bytes.len(), what }], ..Read::default() })
}

/// Collects the records by their marks. Linear in the length of the file: every byte belongs to one stretch, from one mark to
/// the next.
fn scan(bytes: &[u8]) -> Read {
    let mut found = Read::default();
    let mut ledger = Ledger::default();
    let mut next_seq = 0;
    let mut start = position(bytes, MARK.as_bytes()).unwrap_or(bytes.len());
    if ![HEAD, HEAD_1].iter().any(|head| &bytes[..start] == head.as_bytes()) {
        found.damage.push(Damage { offset: common(bytes), what: "the first line is not as it was written".to_owned() });
    }
    while start < bytes.len() {
        let after = start + MARK.len();
        let end = position(&bytes[after..], MARK.as_bytes()).map_or(bytes.len(), |at| after + at);
        let last = end == bytes.len();
        let (record, closing) = split(&bytes[start..end]);
        let expected = if last { TAIL } else { super::format::SEPARATOR };
        match decode(record) {
            Ok(line) => {
                if line.seq != next_seq {
                    let what = format!("record {} follows where record {next_seq} should", line.seq);
                    found.damage.push(Damage { offset: start, what });
                }
                next_seq = line.seq + 1;
                if !ledger.apply(&line.change) {
                    let what = format!("record {} speaks of an entry that is lost", line.seq);
                    found.damage.push(Damage { offset: start, what });
                }
                match &line.change {
                    Change::Held { holder } => {
                        found.holder = Some(holder.clone());
                        if !holder.cleans {
                            found.maker = Some(holder.clone());
                        }
                    }
                    Change::Ended { exit } => found.ended = Some(Ended { at: line.at, exit: *exit }),
                    // Made after the run's end: then it was not the end.
                    Change::Intent { .. } => found.ended = None,
                    Change::Unknown(fields) => {
                        let kind = fields.get("change").and_then(serde_json::Value::as_str).unwrap_or_default();
                        found.unknown.push(format!("record {} is of a kind that this release does not know: `{kind}`", line.seq));
                    }
                    _ => {}
                }
                found.lines.push(line);
                if closing != expected.as_bytes() {
                    let what = if last { "the closing lines are missing or changed" } else { "the separator is changed" };
                    found.damage.push(Damage { offset: start + record.len(), what: what.to_owned() });
                }
            }
            Err(what) => {
                found.damage.push(Damage { offset: start, what: format!("record lost: {what}") });
                // The gap in the numbers is this one, and already told.
                next_seq += 1;
            }
        }
        start = end;
    }
    found.header = ledger.header.clone().or_else(|| found.holder.as_ref().and_then(Header::of_holder));
    found.records = ledger.records();
    found
}

/// A record and what follows it. The record ends where its JSON value ends; if that cannot be told, it is all record.
fn split(stretch: &[u8]) -> (&[u8], &[u8]) {
    let mut values = serde_json::Deserializer::from_slice(stretch).into_iter::<serde::de::IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => stretch.split_at(values.byte_offset()),
        _ => (stretch, &[]),
    }
}

/// Length of what the bytes have in common with the first line as it is written.
fn common(bytes: &[u8]) -> usize {
    let with = |head: &str| bytes.iter().zip(head.as_bytes()).take_while(|(a, b)| a == b).count();
    with(HEAD).max(with(HEAD_1))
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
