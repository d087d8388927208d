//! Checks of a migrated virtual machine. Each check is one file: it compares what the source was with what the cluster has,
//! and fetches nothing. Its result is data: every property that was compared, expected beside actual.

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

pub use crate::checks::{Finding, NONE};
pub use marker::{PATH as MARKER_PATH, text as marker_text};
pub use node::LabelledNode;
pub use serial::vmware_serial;
pub use static_ips::{has_any as has_static_addresses, missing as missing_addresses};
pub use target::{TargetDisk, TargetNic, TargetVm, quantity_bytes};
pub use tls::ProviderTls;

use crate::{
    checks::{CheckResult, CheckVerdict, CheckedVm},
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

/// What a check compared so far.
#[derive(Debug, Default)]
pub struct Comparison {
    findings: Vec<Finding>,
    evidence: Vec<Finding>,
}

impl Comparison {
    /// Notes a property that was compared; `good` says whether it is as expected.
    pub fn judge(&mut self, good: bool, finding: Finding) {
        if good { self.evidence.push(finding) } else { self.findings.push(finding) }
    }

    /// Compares two texts.
    pub fn same(&mut self, what: impl Into<String>, expected: impl ToString, actual: impl ToString) {
        let finding = Finding::new(what, expected, actual);
        self.judge(finding.expected == finding.actual, finding);
    }

    /// Notes a property that is not as expected.
    pub fn wrong(&mut self, what: impl Into<String>, expected: impl ToString, actual: impl ToString) {
        self.findings.push(Finding::new(what, expected, actual));
    }

    /// Notes a property that is as expected.
    pub fn right(&mut self, what: impl Into<String>, expected: impl ToString, actual: impl ToString) {
        self.evidence.push(Finding::new(what, expected, actual));
    }
}

/// A check of one VM.
pub trait Check: Sync {
    /// Stable name, used in reports.
    fn name(&self) -> &'static str;
    /// Why it does not apply, if it does not.
    fn skip(&self, subject: &Subject<'_>) -> Option<String>;
    /// Compares, and notes every property that it looks at: the right ones are the evidence that the check did its work.
    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison);
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

/// Runs all checks on one VM. Their results come in the order of [`CHECKS`].
pub fn check(subject: &Subject<'_>) -> Vec<CheckResult> {
    let vm = checked_vm(subject.wish, subject.source, Some(&subject.target.name));
    let run = |check: &&dyn Check| {
        let result = |verdict, reason, seen: Comparison| CheckResult {
            vm: vm.clone(),
            check: check.name().to_owned(),
            verdict,
            reason,
            findings: seen.findings,
            evidence: seen.evidence,
        };
        if let Some(reason) = check.skip(subject) {
            return result(CheckVerdict::Skipped, Some(reason), Comparison::default());
        }
        let mut seen = Comparison::default();
        check.compare(subject, &mut seen);
        let verdict = if seen.findings.is_empty() { CheckVerdict::Passed } else { CheckVerdict::Failed };
        result(verdict, None, seen)
    };
    CHECKS.iter().map(run).collect()
}

/// Name of the check that comes before all others: the migration made a VirtualMachine.
pub const EXISTENCE: &str = "existence";

/// Results for a VM that its migration should have made and that is not there. `what` is the object, `found` what was found instead.
pub fn missing(wish: &ScenarioVm, source: &VmDescription, what: &str, found: &str) -> Vec<CheckResult> {
    let existence = CheckResult {
        vm: checked_vm(wish, source, None),
        check: EXISTENCE.to_owned(),
        verdict: CheckVerdict::Failed,
        reason: None,
        findings: vec![Finding::new(what, "exists after its migration", found)],
        evidence: Vec::new(),
    };
    std::iter::once(existence).chain(unchecked(wish, source, "there is no VirtualMachine to check")).collect()
}

/// Results of all checks of a VM of which none can be made, for one reason.
pub fn unchecked(wish: &ScenarioVm, source: &VmDescription, reason: &str) -> Vec<CheckResult> {
    let result = |check: &&dyn Check| CheckResult {
        vm: checked_vm(wish, source, None),
        check: check.name().to_owned(),
        verdict: CheckVerdict::Skipped,
        reason: Some(reason.to_owned()),
        findings: Vec::new(),
        evidence: Vec::new(),
    };
    CHECKS.iter().map(result).collect()
}

fn checked_vm(wish: &ScenarioVm, source: &VmDescription, target: Option<&str>) -> CheckedVm {
    CheckedVm {
        source: wish.name.clone(),
        clone: Some(source.name.clone()).filter(|name| *name != wish.name),
        target: target.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests;
