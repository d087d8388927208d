//! PVC names: what the scenario's template gives for each disk, in the order in which Forklift counts disks, which is also the
//! order of the VM's volumes.

use mtv_api::{
    names,
    template::{self, ClaimName, DiskData},
};

use super::{Check, Comparison, Subject};
use crate::{config::profile::ProviderKind, providers::Disk};

/// Names of PersistentVolumeClaims.
pub struct PvcNames;

/// Order of buses in which Forklift counts disks.
const BUSES: [&str; 4] = ["sata", "ide", "scsi", "nvme"];

impl Check for PvcNames {
    fn name(&self) -> &'static str {
        "pvc names"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        let Some(template) = subject.pvc_template() else { return Some("the scenario gives no template".to_owned()) };
        let needs = |field: &str| template.contains(field);
        if needs(".WinDriveLetter") {
            return Some("the source does not tell the tool the letters of drives".to_owned());
        }
        let files = subject.source.disks.iter().all(|disk| !disk.file.is_empty());
        if needs(".FileName") && !(subject.kind == ProviderKind::Vsphere && files) {
            return Some(format!("the template asks for file names, which a source of type {} does not tell", subject.kind));
        }
        (subject.source.disks.len() != subject.target.disks.len()).then(|| "the number of disks is not the source's".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let Some(template) = subject.pvc_template() else { return };
        let generate = subject.scenario.pvc_name_template_use_generate_name.unwrap_or(subject.kind != ProviderKind::Openshift);
        let actual: Vec<&str> = subject.target.disks.iter().map(|d| d.claim.as_str()).collect();
        for (index, disk) in ordered(&subject.source.disks).into_iter().enumerate() {
            let what = format!("claim of disk {index} ({}) by template `{template}`", disk.name);
            match template::claim_name(template, generate, &data(subject, disk, index)) {
                Ok(expected) if expected.is(actual[index]) => seen.right(what, shown(&expected), actual[index]),
                Ok(expected) => seen.wrong(what, shown(&expected), found(&expected, &actual, index)),
                Err(error) => seen.wrong(what, "a name", error),
            }
        }
    }
}

fn shown(name: &ClaimName) -> String {
    match name {
        ClaimName::Exact(name) => name.clone(),
        ClaimName::Generated(_) => format!("{name} and random characters"),
    }
}

fn found(expected: &ClaimName, actual: &[&str], index: usize) -> String {
    match actual.iter().position(|name| expected.is(name)) {
        Some(other) => format!("{}; {} is that of disk {other}", actual[index], actual[other]),
        None => actual[index].to_owned(),
    }
}

/// Disks as Forklift counts them: by bus, then by controller, place on it, and key.
fn ordered(disks: &[Disk]) -> Vec<&Disk> {
    let mut disks: Vec<&Disk> = disks.iter().collect();
    let bus = |disk: &Disk| BUSES.iter().position(|bus| *bus == disk.bus).unwrap_or(BUSES.len());
    disks.sort_by_key(|disk| (bus(disk), disk.controller, disk.unit, disk.key));
    disks
}

fn data(subject: &Subject<'_>, disk: &Disk, index: usize) -> DiskData {
    let source = subject.source;
    let target = subject.wish.target_name.clone().or_else(|| subject.status.new_name.clone().filter(|name| !name.is_empty()));
    DiskData {
        vm: source.name.clone(),
        target: target.unwrap_or_else(|| names::template_target(&source.name, &source.id)),
        plan: subject.plan.to_owned(),
        vm_id: source.id.clone(),
        index,
        file: disk.file.rsplit('/').next().unwrap_or_default().to_owned(),
        ..DiskData::default()
    }
}
