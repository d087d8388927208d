//! Disk count: as many disks as the source VM had, which is at least one more than the scenario adds.

use super::{Check, Problem, Subject};

/// Number of disks.
pub struct DiskCount;

impl Check for DiskCount {
    fn name(&self) -> &'static str {
        "disk count"
    }

    fn skip(&self, _: &Subject<'_>) -> Option<String> {
        None
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        let (source, target) = (subject.source.disks.len(), &subject.target.disks);
        let least = 1 + subject.wish.add_disks.len();
        if source < least {
            return vec![Problem::new("disks of the source VM, with those that the scenario adds", format!("at least {least}"), source)];
        }
        if source == target.len() {
            return Vec::new();
        }
        let names: Vec<_> = target.iter().map(|d| d.claim.as_str()).collect();
        vec![Problem::new("number of disks", source, format!("{} [{}]", target.len(), names.join(", ")))]
    }
}
