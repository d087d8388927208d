//! Copy-offload: the array copied each disk by itself where it can, and the ESXi host did where it cannot.

use super::{Check, Comparison, Finding, Offloaded, Subject};
use crate::providers::Disk;

/// How disks were copied.
pub struct CopyOffload;

impl Check for CopyOffload {
    fn name(&self) -> &'static str {
        "copy-offload"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        subject.offload.is_none().then(|| "the Plan has no copy-offload".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let Some(offload) = subject.offload else { return };
        subject.source.disks.iter().for_each(|disk| judge(disk, subject.wish.snapshots > 0, offload, seen));
    }
}

/// Compares the copy of a disk.
fn judge(disk: &Disk, snapshots: bool, offload: &Offloaded, seen: &mut Comparison) {
    let what = format!("xcopyUsed of {}", disk.file);
    let (expected, why) = expected(disk, snapshots, offload.non_xcopy.as_deref());
    let wanted = format!("{expected} ({why})");
    let Some(copied) = offload.copies.get(&disk.file) else {
        seen.wrong(what, wanted, "nothing told, neither by the Plan nor by a populator's log");
        return;
    };
    if !offload.hosts.is_empty() {
        let host = copied.host.as_deref().unwrap_or("not told");
        let good = offload.hosts.iter().any(|allowed| allowed == host);
        seen.judge(good, Finding::new(format!("host that copies {}", disk.file), offload.hosts.join(" or "), host));
    }
    if let (Some(task), Some(log)) = (&copied.task, &copied.log) {
        let finding = Finding::new(format!("{what} in the Plan"), format!("{log} as in the populator's log"), task);
        seen.judge(task == log, finding);
    }
    // An array that copies the LUN itself needs no command of the host for it.
    let by_lun = disk.rdm.is_some() && copied.method.as_deref() == Some("rdm");
    let actual = copied.xcopy_used().unwrap_or("not told");
    seen.judge(actual == expected || by_lun, Finding::new(what, wanted, if by_lun { "copied by the array itself" } else { actual }));
}

/// What `xcopyUsed` must be, and why.
fn expected(disk: &Disk, snapshots: bool, non_xcopy: Option<&str>) -> (&'static str, &'static str) {
    if disk.on_snapshot || snapshots {
        ("0", "disks on snapshots are read through by the host")
    } else if non_xcopy.is_some_and(|id| disk.storage_id == id) {
        ("0", "its datastore is not on the array")
    } else {
        ("1", "its datastore is on the array")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::scenario::RdmType, forklift::Copied};

    #[test]
    fn each_disk_is_judged_by_where_it_lies() {
        let disk = |store: &str| Disk { file: "[ds] a/a.vmdk".into(), storage_id: store.into(), ..Disk::default() };
        let copied = |task: Option<&str>, log: Option<&str>, method: &str| Copied {
            task: task.map(str::to_owned),
            log: log.map(str::to_owned),
            method: Some(method.to_owned()),
            failed: None,
            host: Some("host-1".to_owned()),
        };
        let on_snapshot = Disk { on_snapshot: true, ..disk("on") };
        let lun = Disk { rdm: Some(RdmType::Physical), ..disk("on") };
        let one = || Some(copied(Some("1"), Some("1"), "vib"));
        let zero = || Some(copied(Some("0"), None, "vib"));
        for (disk, snapshots, told, problems) in [
            (disk("on"), false, one(), 0),
            (disk("on"), false, zero(), 1),
            (disk("on"), false, Some(copied(None, Some("1"), "vib")), 0),
            (disk("on"), false, Some(copied(Some("1"), Some("0"), "vib")), 1),
            (disk("on"), false, Some(copied(None, None, "vib")), 1),
            (disk("on"), false, None, 1),
            (disk("off"), false, zero(), 0),
            (disk("off"), false, one(), 1),
            (disk("on"), true, zero(), 0),
            (on_snapshot, false, zero(), 0),
            (lun.clone(), false, Some(copied(Some("0"), None, "rdm")), 0),
            (lun, false, zero(), 1),
        ] {
            let copies = told.clone().into_iter().map(|told| (disk.file.clone(), told)).collect();
            let count = |offload: &Offloaded| {
                let mut seen = Comparison::default();
                judge(&disk, snapshots, offload, &mut seen);
                seen.findings.len()
            };
            let offload = Offloaded { copies, non_xcopy: Some("off".into()), hosts: vec!["host-1".into()] };
            assert_eq!(count(&offload), problems, "{disk:?} {snapshots} {told:?}");
            let others = Offloaded { hosts: vec!["host-2".into(), "host-3".into()], ..offload };
            let elsewhere = usize::from(told.is_some());
            assert_eq!(count(&others), problems + elsewhere, "{disk:?} {snapshots} {told:?}");
        }
    }
}
