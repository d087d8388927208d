//! StorageMap and NetworkMap from what the source says of its VMs.

use std::collections::BTreeSet;

use mtv_api::forklift::{NetworkDestination, NetworkEntry, SourceRef, StorageDestination, StorageEntry};

use crate::providers::VmDescription;

/// One row per datastore that a disk lies on, each to the same StorageClass.
pub fn storage_entries(vms: &[&VmDescription], storage_class: &str) -> Vec<StorageEntry> {
    let names: BTreeSet<&str> = vms.iter().flat_map(|vm| &vm.disks).map(|d| d.storage.as_str()).collect();
    names
        .into_iter()
        .map(|name| StorageEntry {
            source: SourceRef::by_name(name),
            destination: StorageDestination { storage_class: storage_class.to_owned(), ..StorageDestination::default() },
            offload_plugin: None,
        })
        .collect()
}

/// Where adapters of a source network go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkTarget {
    /// The pod network.
    Pod,
    /// A NetworkAttachmentDefinition.
    Multus {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl std::fmt::Display for NetworkTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pod => f.write_str("pod"),
            Self::Multus { namespace, name } => write!(f, "{namespace}/{name}"),
        }
    }
}

/// Source networks of the VMs in the order in which they are met, each once: id and name.
pub fn source_networks(vms: &[&VmDescription]) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    vms.iter()
        .flat_map(|vm| &vm.nics)
        .filter(|nic| seen.insert(nic.network_id.clone()))
        .map(|nic| (nic.network_id.clone(), nic.network.clone()))
        .collect()
}

/// The first network goes to the pod network, each further one to a NetworkAttachmentDefinition of its own.
/// Returns the rows and, by source network id, where it goes.
///
/// Rows name their source by id: names of networks need not be unique in a vCenter, and Forklift finds two pod networks of
/// one VM (condition VMMultiplePodNetworkMappings) only in maps by id.
pub fn network_entries(vms: &[&VmDescription], nad_namespace: &str, nad_base: &str) -> (Vec<NetworkEntry>, Vec<(String, NetworkTarget)>) {
    let targets: Vec<(String, NetworkTarget)> = source_networks(vms)
        .into_iter()
        .enumerate()
        .map(|(index, (id, _))| {
            let target = if index == 0 {
                NetworkTarget::Pod
            } else {
                NetworkTarget::Multus { namespace: nad_namespace.to_owned(), name: format!("{nad_base}-{index}") }
            };
            (id, target)
        })
        .collect();
    let rows = targets
        .iter()
        .map(|(id, target)| NetworkEntry {
            source: SourceRef::by_id(id),
            destination: match target {
                NetworkTarget::Pod => NetworkDestination { kind: "pod".to_owned(), namespace: None, name: None },
                NetworkTarget::Multus { namespace, name } => {
                    NetworkDestination { kind: "multus".to_owned(), namespace: Some(namespace.clone()), name: Some(name.clone()) }
                }
            },
        })
        .collect();
    (rows, targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{Disk, Nic, Power};

    fn vm(disks: &[&str], networks: &[&str]) -> VmDescription {
        VmDescription {
            id: "vm-1".into(),
            name: "a".into(),
            uuid: String::new(),
            power: Power::Off,
            sockets: 1,
            cores_per_socket: 1,
            memory_mib: 1,
            nics: networks
                .iter()
                .map(|n| Nic {
                    name: String::new(),
                    mac: String::new(),
                    network: format!("name of {n}"),
                    network_id: (*n).into(),
                    addresses: vec![],
                })
                .collect(),
            disks: disks.iter().map(|d| Disk { bytes: 1, storage: (*d).into(), key: 1, ..Disk::default() }).collect(),
            snapshots: vec![],
            tools_running: false,
            windows: false,
        }
    }

    #[test]
    fn each_datastore_and_each_network_has_one_row() {
        let (first, second) = (vm(&["ds1", "ds2", "ds1"], &["net-1", "net-2"]), vm(&["ds2"], &["net-2", "net-3"]));
        let storage = storage_entries(&[&first, &second], "sc");
        assert_eq!(storage.len(), 2);
        assert!(storage.iter().all(|e| e.destination.storage_class == "sc"));
        let (rows, targets) = network_entries(&[&first, &second], "ns", "cb-1");
        assert_eq!(
            targets.iter().map(|(id, t)| format!("{id}={t}")).collect::<Vec<_>>(),
            ["net-1=pod", "net-2=ns/cb-1-1", "net-3=ns/cb-1-2"]
        );
        assert_eq!(rows.len(), 3);
    }
}
