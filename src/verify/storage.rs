//! Storage: no disk smaller than the source's, all of the run's StorageClass, with the access mode that the StorageMap asks for
//! or else the one that CDI takes for that class.

use super::{Check, Comparison, Finding, NONE, Subject};

/// Disks.
pub struct Storage;

impl Check for Storage {
    fn name(&self) -> &'static str {
        "storage"
    }

    fn skip(&self, _: &Subject<'_>) -> Option<String> {
        None
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let (source, target) = (&subject.source.disks, &subject.target.disks);
        for disk in target {
            let class = disk.storage_class.as_deref().unwrap_or(NONE);
            seen.same(format!("storage class of {}", disk.claim), subject.storage_class, class);
            if let Some(expected) = subject.access_mode
                && class == subject.storage_class
            {
                let good = disk.access_modes.first().map(String::as_str) == Some(expected);
                let actual = format!("[{}]", disk.access_modes.join(", "));
                seen.judge(good, Finding::new(format!("access mode of {}", disk.claim), expected, actual));
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
                let finding = Finding::new(format!("size of {claim}"), format!("at least {expected}"), actual).unit("bytes");
                seen.judge(actual >= expected, finding);
            }
        }
    }
}
