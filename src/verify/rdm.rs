//! Raw device mappings: with `rdm_as_lun` they are LUNs of the migrated VM, on a SCSI bus, so that commands reach the array; all
//! other disks are virtio disks.

use super::{Check, Comparison, NONE, Subject};

/// Disks that were raw device mappings.
pub struct RawDevices;

impl Check for RawDevices {
    fn name(&self) -> &'static str {
        "raw devices"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        if subject.source.disks.iter().all(|disk| disk.rdm.is_none()) {
            return Some("the VM has no raw device mapping".to_owned());
        }
        (subject.source.disks.len() != subject.target.disks.len()).then(|| "the number of disks is not the source's".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let mapped = subject.source.disks.iter().filter(|disk| disk.rdm.is_some()).count();
        let expected = if subject.scenario.rdm_as_lun == Some(true) { mapped } else { 0 };
        seen.same("number of LUNs", expected, subject.target.disks.iter().filter(|disk| disk.lun).count());
        for disk in &subject.target.disks {
            let (what, bus) = if disk.lun { ("LUN", "scsi") } else { ("disk", "virtio") };
            seen.same(format!("bus of {what} {}", disk.claim), bus, if disk.bus.is_empty() { NONE } else { &disk.bus });
        }
    }
}
