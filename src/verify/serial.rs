//! Serial number: the firmware serial that the guest sees is made of the source's BIOS UUID, in VMware's own notation since
//! OpenShift 4.20 (licences are bound to it), as a plain UUID before; of a source that has a serial number of its own, it is that.

use super::{Check, Problem, Subject};
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
        subject.source.uuid.is_empty().then(|| "the source has no BIOS UUID".to_owned())
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        let uuid = &subject.source.uuid;
        // Without a release to go by (no OpenShift), both notations are right.
        let accepted = match subject.openshift.map(|v| v.at_least_minor(4, 20)) {
            _ if subject.source.serial.is_some() => subject.source.serial.iter().cloned().collect(),
            Some(true) => vec![vmware_serial(uuid)],
            Some(false) => vec![uuid.clone()],
            None => vec![vmware_serial(uuid), uuid.clone()],
        };
        let actual = subject.target.serial.as_deref().unwrap_or_default();
        if accepted.iter().any(|a| a.eq_ignore_ascii_case(actual)) {
            return Vec::new();
        }
        vec![Problem::new("firmware serial", accepted.join(" or "), if actual.is_empty() { "none" } else { actual })]
    }
}

/// `VMware-42 2c 6a 2a 5e a9 10 83-39 f3 3b 14 0f ff b4 44` for a UUID.
pub fn vmware_serial(uuid: &str) -> String {
    let hex: Vec<char> = uuid.chars().filter(|c| *c != '-').collect();
    let bytes: Vec<String> = hex.chunks(2).map(|pair| pair.iter().collect()).collect();
    let (first, second) = bytes.split_at(bytes.len().min(8));
    format!("VMware-{}-{}", first.join(" "), second.join(" "))
}
