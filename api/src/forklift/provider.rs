//! Provider, StorageMap, NetworkMap and Hook.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ObjectRef;
use crate::condition::Condition;

/// Spec of a Provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderSpec {
    /// `vsphere`, `ovirt`, `openstack`, `openshift`, `ova`, `hyperv`, `ec2`.
    #[serde(rename = "type")]
    pub kind: String,
    /// SDK URL; empty for the cluster that Forklift runs in.
    pub url: String,
    /// Credentials; empty for the cluster that Forklift runs in.
    pub secret: ObjectRef,
    /// Such as `vddkInitImage` and `sdkEndpoint`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// Status of a Provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderStatus {
    /// `Staging`, `Ready`, `ValidationFailed` or `ConnectionFailed`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Generation that the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// SHA-1 of the source's TLS certificate, `AA:BB:…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// Conditions and generation: the status of maps and hooks, and the common part of all others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Conditions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Generation that the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Source and destination Provider of a map or plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderPair {
    /// Where VMs come from.
    pub source: ObjectRef,
    /// Where they go.
    pub destination: ObjectRef,
}

/// How a map names something of the source: at least one of id, name and type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceRef {
    /// Managed object reference for vSphere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name, or full path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace, OpenShift sources only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// `pod` for the pod network of an OpenShift source.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl SourceRef {
    /// By name.
    pub fn by_name(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// By id.
    pub fn by_id(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::default() }
    }
}

/// Spec of a StorageMap (`E` = [`StorageEntry`]) or NetworkMap (`E` = [`NetworkEntry`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapSpec<E> {
    /// Source and destination.
    pub provider: ProviderPair,
    /// Entries.
    pub map: Vec<E>,
}

/// One row of a StorageMap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageEntry {
    /// Datastore, storage domain or volume type.
    pub source: SourceRef,
    /// Where its disks go.
    pub destination: StorageDestination,
    /// Copying by the storage array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offload_plugin: Option<OffloadPlugin>,
}

/// Destination of a StorageMap row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageDestination {
    /// StorageClass name.
    pub storage_class: String,
    /// `Filesystem` or `Block`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_mode: Option<String>,
    /// `ReadWriteOnce`, `ReadWriteMany` or `ReadOnlyMany`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_mode: Option<String>,
}

/// Copying by the storage array.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffloadPlugin {
    /// XCOPY from vSphere datastores.
    #[serde(rename = "vsphereXcopyConfig", skip_serializing_if = "Option::is_none")]
    pub vsphere_xcopy_config: Option<VsphereXcopyConfig>,
}

/// Array credentials and vendor for XCOPY.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VsphereXcopyConfig {
    /// Name of a Secret in the source Provider's namespace.
    pub secret_ref: String,
    /// Such as `ontap`.
    pub storage_vendor_product: String,
    /// Ids of the ESXi hosts that copy, in place of the VM's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dedicated_migration_hosts: Vec<String>,
}

/// One row of a NetworkMap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkEntry {
    /// Network of the source.
    pub source: SourceRef,
    /// Where its adapters go.
    pub destination: NetworkDestination,
}

/// Destination of a NetworkMap row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkDestination {
    /// `pod`, `multus` or `ignored`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Namespace of the NetworkAttachmentDefinition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the NetworkAttachmentDefinition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Spec of a Hook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HookSpec {
    /// Image that runs the playbook.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Ansible playbook in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playbook: Option<String>,
    /// ServiceAccount of the Job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<i64>,
}
