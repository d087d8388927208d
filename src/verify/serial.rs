//! Serial number: the firmware serial that the guest sees is made of the source's BIOS UUID, in VMware's own notation since
//! OpenShift 4.20 (licences are bound to it), as a plain UUID before; of a source that has a serial number of its own, it is that.

use super::{Check, Comparison, Finding, NONE, Subject};
use crate::config::profile::ProviderKind;

/// Firmware serial.
pub struct Serial;

impl Check for Serial {
    fn name(&self) -> &'static str {
        "serial"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        if subject.source.serial.is_some() {
            return None;
        }
        if subject.kind != ProviderKind::Vsphere {
            return Some(format!("Forklift makes it of something else for a source of type {}", subject.kind));
        }
        subject.source.uuid.is_none().then(|| "the source has no BIOS UUID".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let source = subject.source;
        // Without a release to go by (no OpenShift), both notations are right.
        let release = subject.openshift.map(|v| v.at_least_minor(4, 20));
        let accepted = match (&source.serial, &source.uuid, release) {
            (Some(serial), ..) => vec![serial.clone()],
            (None, None, _) => return,
            (None, Some(uuid), Some(true)) => vec![vmware_serial(uuid)],
            (None, Some(uuid), Some(false)) => vec![uuid.clone()],
            (None, Some(uuid), None) => vec![vmware_serial(uuid), uuid.clone()],
        };
        let actual = subject.target.serial.as_deref().filter(|serial| !serial.is_empty());
        let good = accepted.iter().any(|a| a.eq_ignore_ascii_case(actual.unwrap_or_default()));
        seen.judge(good, Finding::new("firmware serial", accepted.join(" or "), actual.unwrap_or(NONE)));
    }
}

/// `VMware-42 2c 6a 2a 5e a9 10 83-39 f3 3b 14 0f ff b4 44` for a UUID.
pub fn vmware_serial(uuid: &str) -> String {
    let hex: Vec<char> = uuid.chars().filter(|c| *c != '-').collect();
    let bytes: Vec<String> = hex.chunks(2).map(|pair| pair.iter().collect()).collect();
    let (first, second) = bytes.split_at(bytes.len().min(8));
    format!("VMware-{}-{}", first.join(" "), second.join(" "))
}
