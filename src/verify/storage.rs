//! Storage: no disk smaller than the source's, all of the run's StorageClass, with the access mode that the StorageMap asks for
//! or else the one that CDI takes for that class.

use super::{Check, Problem, Subject};

/// Disks.
pub struct Storage;

impl Check for Storage {
    fn name(&self) -> &'static str {
        "storage"
    }

    fn skip(&self, _: &Subject<'_>) -> Option<String> {
        None
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        let (source, target) = (&subject.source.disks, &subject.target.disks);
        for disk in target {
            if disk.storage_class.as_deref() != Some(subject.storage_class) {
                let actual = disk.storage_class.as_deref().unwrap_or("none");
                problems.push(Problem::new(format!("storage class of {}", disk.claim), subject.storage_class, actual));
            } else if let Some(expected) = subject.access_mode
                && disk.access_modes.first().map(String::as_str) != Some(expected)
            {
                let actual = format!("[{}]", disk.access_modes.join(", "));
                problems.push(Problem::new(format!("access mode of {}", disk.claim), expected, actual));
            }
        }
        // The order of disks may change between bus types, so sizes are compared in order of size. A claim may be larger than
        // its disk: CDI adds room for the file system, and arrays round up. It must never be smaller.
        let mut expected: Vec<u64> = source.iter().map(|d| d.bytes).collect();
        let mut actual: Vec<(u64, &str)> = target.iter().map(|d| (d.bytes, d.claim.as_str())).collect();
        expected.sort_unstable();
        actual.sort_unstable();
        if expected.len() == actual.len() {
            for (expected, (actual, claim)) in expected.into_iter().zip(actual) {
                if actual < expected {
                    problems.push(Problem::new(
                        format!("size of {claim}"),
                        format!("at least {expected} bytes"),
                        format!("{actual} bytes"),
                    ));
                }
            }
        }
        problems
    }
}
