//! Checks of a migrated virtual machine. Each check is one file: it compares what the source was with what the cluster has,
//! and fetches nothing. All problems of a VM are collected and shown together, expected beside actual.

mod affinity;
mod boot;
mod cpu;
mod cpu_features;
mod disk_count;
mod guest_agent;
mod hooks;
mod labels;
mod marker;
mod memory;
mod network;
mod nic_names;
mod node;
mod offload;
mod power;
mod power_off;
mod pvc_names;
mod rdm;
mod serial;
mod snapshots;
mod ssh;
mod static_ips;
mod storage;
mod target;
mod target_name;
mod tls;

use mtv_api::forklift::VmStatus;

pub use marker::{PATH as MARKER_PATH, text as marker_text};
pub use node::LabelledNode;
pub use serial::vmware_serial;
pub use static_ips::{has_any as has_static_addresses, missing as missing_addresses};
pub use target::{TargetDisk, TargetNic, TargetVm, quantity_bytes};
pub use tls::ProviderTls;

use crate::{
    config::{
        profile::ProviderKind,
        scenario::{Scenario, ScenarioVm},
    },
    forklift::{Copies, NetworkTarget},
    guest::GuestView,
    providers::{Snapshot, VmDescription},
    select::Version,
};

/// What a guest answered when it was asked, if it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Not asked, with the reason.
    No(String),
    /// It did what was asked; with what it said.
    Yes(String),
    /// It did not; with what was found instead.
    Failed(String),
}

/// Everything that checks compare: one VM before and after its migration.
pub struct Subject<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Run id: the value of labels that are given none.
    pub run: &'a str,
    /// Kind of the source.
    pub kind: ProviderKind,
    /// Name of the Plan.
    pub plan: &'a str,
    /// The VM's entry in the scenario.
    pub wish: &'a ScenarioVm,
    /// What the Plan's status says of it.
    pub status: &'a VmStatus,
    /// The source VM right before the migration.
    pub source: &'a VmDescription,
    /// Its snapshots after the migration; `None` if there were none before.
    pub snapshots_after: Option<&'a [Snapshot]>,
    /// The migrated VM.
    pub target: &'a TargetVm,
    /// Where each source network goes, by its id.
    pub networks: &'a [(String, NetworkTarget)],
    /// StorageClass of the run.
    pub storage_class: &'a str,
    /// Access mode that claims of it must have, if that is known.
    pub access_mode: Option<&'a str>,
    /// OpenShift release, if the cluster is one.
    pub openshift: Option<&'a Version>,
    /// Whether the guest agent connected.
    pub agent: &'a Asked,
    /// Whether a login by SSH worked.
    pub ssh: &'a Asked,
    /// What the file with the run's text holds in the migrated guest.
    pub marker: &'a Asked,
    /// How its disks were copied; `None` without copy-offload.
    pub offload: Option<&'a Offloaded>,
    /// The guest's adapters.
    pub guest: &'a GuestView,
    /// The node that was labelled for the scenario's VMs.
    pub node: Option<&'a LabelledNode>,
    /// TLS setting of the source Provider, with the first VM of a scenario.
    pub tls: Option<&'a ProviderTls>,
    /// Events of the source that say that a user stopped the VM.
    pub stopped_by_user: Option<&'a [String]>,
}

/// How the disks of a Plan with copy-offload were copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offloaded {
    /// What is known of each copy.
    pub copies: Copies,
    /// Id of the datastore that the array cannot copy from.
    pub non_xcopy: Option<String>,
    /// Ids of the hosts that may copy; empty: those that the VMs are on.
    pub hosts: Vec<String>,
}

impl Subject<'_> {
    /// The scenario's template of PVC names for this VM.
    fn pvc_template(&self) -> Option<&str> {
        self.scenario.pvc_template(self.wish.plan, self.kind).filter(|template| !template.is_empty())
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it is about: `sockets`, `network of 00:50:56:…`.
    pub about: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub actual: String,
}

impl Problem {
    /// Builds one.
    pub fn new(about: impl Into<String>, expected: impl ToString, actual: impl ToString) -> Self {
        Self { about: about.into(), expected: expected.to_string(), actual: actual.to_string() }
    }
}

/// A check of one VM.
pub trait Check: Sync {
    /// Stable name, used in reports.
    fn name(&self) -> &'static str;
    /// Why it does not apply, if it does not.
    fn skip(&self, subject: &Subject<'_>) -> Option<String>;
    /// What is wrong.
    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem>;
}

/// All checks in the order of reports. A new check is one file and one line here.
pub const CHECKS: &[&dyn Check] = &[
    &tls::Tls,
    &target_name::TargetName,
    &power::PowerState,
    &cpu::Cpu,
    &cpu_features::CpuFeatures,
    &memory::Memory,
    &boot::Boot,
    &network::Network,
    &disk_count::DiskCount,
    &storage::Storage,
    &rdm::RawDevices,
    &pvc_names::PvcNames,
    &offload::CopyOffload,
    &snapshots::Snapshots,
    &serial::Serial,
    &guest_agent::GuestAgent,
    &ssh::SshLogin,
    &marker::DataMarker,
    &static_ips::StaticIps,
    &nic_names::NicNames,
    &power_off::FalsePowerOff,
    &node::NodePlacement,
    &labels::Labels,
    &affinity::Affinity,
    &hooks::Hooks,
];

/// What the checks say of one VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// A line per check that passed or did not apply.
    pub notes: Vec<String>,
    /// A line per problem, expected beside actual.
    pub problems: Vec<String>,
}

/// Runs all checks on one VM.
pub fn check(subject: &Subject<'_>) -> Report {
    let mut report = Report::default();
    let vm = &subject.target.name;
    for check in CHECKS {
        if let Some(reason) = check.skip(subject) {
            report.notes.push(format!("{vm}: {} not checked: {reason}", check.name()));
            continue;
        }
        let problems = check.problems(subject);
        if problems.is_empty() {
            report.notes.push(format!("{vm}: {} ok", check.name()));
        }
        for problem in problems {
            report.problems.push(format!(
                "{vm}: {} - {}: expected {}, actual {}",
                check.name(),
                problem.about,
                problem.expected,
                problem.actual
            ));
        }
    }
    report
}

#[cfg(test)]
mod tests;
