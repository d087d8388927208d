//! The file format: one JSON document, one record per line, each with a checksum and a number.
//!
//! ```json
//! {"format":"mtv-test.resources","version":2,"records":[
//! {"sum":"0f3a…","seq":0,"at":"…","change":"header",…},
//! {"sum":"77b1…","seq":1,"at":"…","change":"held",…},
//! …
//! {"sum":"c4d9…","seq":57,"at":"…","change":"ended","exit":0}
//! ]}
//! ```
//!
//! A run ends its journal with `ended`, once its teardown is through. A file without it is of a run that was
//! killed, or that still goes on.
//!
//! Versions: 1 had no `ended`, and its `held` said less of the process. It is still read, and continued as
//! it is. A release that knows only version 1 refuses version 2, because it would take `ended` for damage
//! and knows nothing of a run's sign of life. Within a version fields may be added, and kinds of change: one
//! that is not known is kept and reported.
//!
//! An append overwrites the closing lines by the new records and the closing lines, in one positional write, so whoever
//! reads the file finds a whole document. If the machine dies in the middle of such a write, the records before it are
//! untouched, and [`super::read`] finds them by their marks; the one that is lost had not been called durable yet, so its request
//! had not gone out.
//!
//! The sum comes first and covers every byte of the record after it, so it is checked on the bytes as they stand.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::model::{CHANGES, Change};

/// Value of `format`.
pub const NAME: &str = "mtv-test.resources";

/// Version of the format. A reader refuses a higher one.
pub const VERSION: u32 = 2;

/// First line.
pub(super) const HEAD: &str = "{\"format\":\"mtv-test.resources\",\"version\":2,\"records\":[\n";

/// First line of version 1.
pub(super) const HEAD_1: &str = "{\"format\":\"mtv-test.resources\",\"version\":1,\"records\":[\n";

/// What follows the last record.
pub(super) const TAIL: &str = "\n]}\n";

/// Between two records.
pub(super) const SEPARATOR: &str = ",\n";

/// How every record begins. It cannot occur inside of one, because JSON escapes the quotes of texts.
pub(super) const MARK: &str = "{\"sum\":\"";

/// Hex digits of the sum: 64 bits, far more than chance damage can hit.
const SUM_LENGTH: usize = 16;

/// A record without its sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub seq: u64,
    pub at: Timestamp,
    #[serde(flatten)]
    pub change: Change,
}

fn sum(body: &[u8]) -> String {
    let hash = Sha256::digest(body);
    let first = hash.iter().take(SUM_LENGTH / 2).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    format!("{first:0SUM_LENGTH$x}")
}

/// A record as it stands in the file, without separator.
pub(super) fn encode(line: &Line) -> serde_json::Result<String> {
    let json = serde_json::to_string(line)?;
    // `{"seq":…}` becomes `{"sum":"…","seq":…}`.
    let body = json.strip_prefix('{').unwrap_or(&json);
    Ok(format!("{MARK}{}\",{body}", sum(body.as_bytes())))
}

/// The record that stands in these bytes, which begin with [`MARK`] and end with the record; or what is wrong with it.
pub(super) fn decode(bytes: &[u8]) -> Result<Line, String> {
    let rest = bytes.get(MARK.len()..).ok_or("cut off")?;
    let (stored, rest) = rest.split_at_checked(SUM_LENGTH).ok_or("cut off")?;
    let body = rest.strip_prefix(b"\",").ok_or("the checksum is not where it should be")?;
    if sum(body).as_bytes() != stored {
        return Err("the checksum does not match".to_owned());
    }
    let mut json = Vec::with_capacity(body.len() + 1);
    json.push(b'{');
    json.extend_from_slice(body);
    let not_understood = |error: serde_json::Error| format!("not understood: {error}");
    let line: Line = serde_json::from_slice(&json).map_err(not_understood)?;
    match &line.change {
        // Of a known kind, and still only read as what it may be: the error of its own kind says more.
        Change::Unknown(fields) => match fields.get("change").and_then(serde_json::Value::as_str) {
            Some(kind) if CHANGES.contains(&kind) => Err(format!("not understood: a `{kind}` that this release cannot read")),
            Some(_) => Ok(line),
            None => Err("not understood: it does not say what changed".to_owned()),
        },
        _ => Ok(line),
    }
}
