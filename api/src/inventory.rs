//! JSON of the Forklift inventory service, as far as the client reads it. Unknown fields are kept out of the way.

use serde::{Deserialize, Serialize};

/// Kind and id, the way inventory objects point at each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InventoryRef {
    /// Such as `Network` or `Datastore`.
    pub kind: String,
    /// Managed object reference for vSphere.
    pub id: String,
}

/// An entry of `GET /providers/<type>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InventoryProvider {
    /// UID of the Provider resource, the id in further paths.
    pub uid: String,
    /// Namespace of the Provider resource.
    pub namespace: String,
    /// Name of the Provider resource.
    pub name: String,
}

/// A named object: network, datastore, host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InventoryObject {
    /// Managed object reference for vSphere.
    pub id: String,
    /// Name as in the source.
    pub name: String,
    /// Full path in the source.
    pub path: String,
}

/// A disk of a vSphere VM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VsphereDisk {
    /// Device key.
    pub key: i64,
    /// Backing file, `[datastore] folder/disk.vmdk`.
    pub file: String,
    /// Datastore reference.
    pub datastore: InventoryRef,
    /// Bytes.
    pub capacity: i64,
}

/// A network adapter of a vSphere VM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VsphereNic {
    /// Network reference.
    pub network: InventoryRef,
    /// MAC address, lower case with colons.
    pub mac: String,
}

/// A vSphere VM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VsphereVm {
    /// Managed object reference.
    pub id: String,
    /// Name.
    pub name: String,
    /// `poweredOn`, `poweredOff` or `suspended`.
    pub power_state: String,
    /// Networks it is on.
    pub networks: Vec<InventoryRef>,
    /// Disks.
    pub disks: Vec<VsphereDisk>,
    /// Network adapters.
    pub nics: Vec<VsphereNic>,
}
