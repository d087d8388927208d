//! Scenarios: what to migrate, with which options, and what must be true afterwards.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::profile::ProviderKind;

/// How long to wait for the guest agent of a migrated VM: mtv-api-tests' 301 s, a second more than KubeVirt's own five minutes.
pub const DEFAULT_GUEST_AGENT_TIMEOUT: Duration = Duration::from_secs(301);

/// Wanted or observed power in a scenario file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PowerWish {
    /// Running.
    On,
    /// Stopped.
    Off,
}

/// A virtual machine of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScenarioVm {
    /// Name of the VM or template in the source, which is cloned.
    pub name: String,
    /// Power of the clone before the migration; unset leaves it as it was made.
    pub source_vm_power: Option<PowerWish>,
    /// Whether the guest agent must be connected afterwards.
    pub guest_agent: bool,
    /// Snapshots to take of the clone before the migration.
    pub snapshots: u32,
}

/// What a scenario needs of its surroundings; unmet, it is skipped with the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Requirements {
    /// Kinds of sources that it works with; empty means all.
    pub providers: Vec<ProviderKind>,
    /// Least MTV release, such as `2.6.0`.
    pub min_mtv_version: Option<String>,
    /// Least OpenShift release, such as `4.18`.
    pub min_ocp_version: Option<String>,
}

/// A scenario as it stands in its file, defaults filled in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scenario {
    /// Name: that of its table.
    pub name: String,
    /// File, `embedded:NAME` for those in the binary.
    pub file: PathBuf,
    /// Line of the table's header, from 1.
    pub line: usize,
    /// One sentence.
    pub description: String,
    /// Names it had elsewhere: pytest names, Polarion ids.
    pub aliases: Vec<String>,
    /// Words to select by.
    pub markers: Vec<String>,
    /// What it needs.
    pub requires: Requirements,
    /// Virtual machines.
    pub virtual_machines: Vec<ScenarioVm>,
    /// Precopies while the source runs, then a cutover.
    pub warm_migration: bool,
    /// `Plan.spec.targetPowerState`, and checked afterwards.
    pub target_power_state: Option<PowerWish>,
    /// `Plan.spec.preserveStaticIPs`.
    pub preserve_static_ips: bool,
    /// `Plan.spec.targetNamespace` instead of the run's own namespace.
    pub vm_target_namespace: Option<String>,
    /// Namespace of the NetworkAttachmentDefinitions instead of the run's own.
    pub multus_namespace: Option<String>,
    /// `Plan.spec.targetLabels`; a value that is not given becomes the run id.
    pub target_labels: BTreeMap<String, Option<String>>,
    /// How long to wait for the guest agent.
    pub guest_agent_timeout: Duration,
}
