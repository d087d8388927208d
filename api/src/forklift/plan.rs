//! Spec of a Plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ObjectRef, ProviderPair};

/// Spec of a Plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanSpec {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where VMs are created.
    pub target_namespace: String,
    /// Precopies while the source runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub warm: bool,
    /// `cold`, `warm`, `live` or `conversion`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Source and destination.
    pub provider: ProviderPair,
    /// Maps.
    pub map: PlanMap,
    /// Virtual machines.
    pub vms: Vec<PlanVm>,
    /// Set to retire the plan.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
    /// Keep static addresses in the guest. The CRD's default is true, so both values are written.
    #[serde(skip_serializing_if = "Option::is_none", rename = "preserveStaticIPs")]
    pub preserve_static_ips: Option<bool>,
    /// Go template of PVC names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pvc_name_template: Option<String>,
    /// Whether the template's result is a prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pvc_name_template_use_generate_name: Option<bool>,
    /// `on`, `off` or `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_power_state: Option<String>,
    /// Labels of the VM's template.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub target_labels: BTreeMap<String, String>,
    /// Node selector of the VM's template.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub target_node_selector: BTreeMap<String, String>,
    /// Affinity of the VM's template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_affinity: Option<Value>,
    /// Whether raw device mappings become LUNs of the VM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rdm_as_lun: Option<bool>,
    /// Whether guests may run virtual machines of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_nested_virtualization: Option<bool>,
    /// Inspection before a warm migration. The CRD's default is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_preflight_inspection: Option<bool>,
    /// Whether a failed or canceled VM is deleted. The CRD's default is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_vm_on_fail_migration: Option<bool>,
    /// Whether shared disks are copied. The CRD's default is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrate_shared_disks: Option<bool>,
    /// Whether the guest is left as it is. The CRD's default is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_guest_conversion: Option<bool>,
    /// Everything else, kept on a round trip.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

/// Maps of a Plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanMap {
    /// NetworkMap.
    pub network: ObjectRef,
    /// StorageMap.
    pub storage: ObjectRef,
}

/// A virtual machine of a Plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanVm {
    /// Inventory id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name in the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace, OpenShift sources only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name in the destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_name: Option<String>,
    /// Hooks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookRef>,
    /// Everything else, kept on a round trip.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

/// A hook of a VM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookRef {
    /// `PreHook` or `PostHook`.
    pub step: String,
    /// The Hook.
    pub hook: ObjectRef,
}
