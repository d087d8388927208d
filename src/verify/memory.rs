//! Memory: exactly that of the source, in mebibytes.

use super::{Check, Comparison, Finding, NONE, Subject};

/// Bytes of a mebibyte.
const MIB: u64 = 1 << 20;

/// Guest memory.
pub struct Memory;

impl Check for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        subject.source.memory_mib.is_none().then(|| "the source tells no memory size".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let Some(mebibytes) = subject.source.memory_mib else { return };
        let actual = subject.target.memory_bytes;
        let good = actual == Some(mebibytes * MIB);
        let shown = match actual {
            None => NONE.to_owned(),
            Some(_) if good => mebibytes.to_string(),
            Some(bytes) => format!("{:.1}", bytes as f64 / MIB as f64),
        };
        seen.judge(good, Finding::new("memory", mebibytes, shown).unit("MiB"));
    }
}
