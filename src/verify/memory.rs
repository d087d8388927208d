//! Memory: exactly that of the source, in mebibytes.

use super::{Check, Problem, Subject};

/// Guest memory.
pub struct Memory;

impl Check for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        (subject.source.memory_mib == 0).then(|| "the source tells no memory size".to_owned())
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        let expected = subject.source.memory_mib * 1024 * 1024;
        match subject.target.memory_bytes {
            Some(actual) if actual == expected => Vec::new(),
            Some(actual) => vec![Problem::new(
                "memory",
                format!("{} MiB", subject.source.memory_mib),
                format!("{:.1} MiB", actual as f64 / 1_048_576.0),
            )],
            None => vec![Problem::new("memory", format!("{} MiB", subject.source.memory_mib), "none")],
        }
    }
}
