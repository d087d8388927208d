//! Disk count: as many disks as the source VM had, which is at least one more than the scenario adds.

use super::{Check, Comparison, Finding, Subject};

/// Number of disks.
pub struct DiskCount;

impl Check for DiskCount {
    fn name(&self) -> &'static str {
        "disk count"
    }

    fn skip(&self, _: &Subject<'_>) -> Option<String> {
        None
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let (source, target) = (subject.source.disks.len(), &subject.target.disks);
        let least = 1 + subject.wish.add_disks.len();
        if source < least {
            seen.wrong("disks of the source VM, with those that the scenario adds", format!("at least {least}"), source);
            return;
        }
        let names: Vec<_> = target.iter().map(|d| d.claim.as_str()).collect();
        let actual = format!("{} [{}]", target.len(), names.join(", "));
        seen.judge(source == target.len(), Finding::new("number of disks", source, actual));
    }
}
