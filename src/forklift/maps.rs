//! StorageMap and NetworkMap from what the source says of its VMs.

use std::collections::{BTreeMap, BTreeSet};

use mtv_api::forklift::{NetworkDestination, NetworkEntry, SourceRef, StorageDestination, StorageEntry};

use crate::providers::{Disk, Nic, VmDescription};

/// One row per storage that a disk lies on, each to the same StorageClass.
pub fn storage_entries(vms: &[&VmDescription], storage_class: &str) -> Vec<StorageEntry> {
    // Two storages of one name are two storages.
    let id = |disk: &Disk| disk.storage_ref.as_ref().and_then(|source| source.id.clone()).unwrap_or_default();
    let storages: BTreeMap<(&str, String), &Disk> =
        vms.iter().flat_map(|vm| &vm.disks).map(|disk| ((disk.storage.as_str(), id(disk)), disk)).collect();
    storages
        .into_iter()
        .map(|((name, _), disk)| StorageEntry {
            source: disk.storage_ref.clone().unwrap_or_else(|| SourceRef::by_name(name)),
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

/// One adapter for each source network of the VMs, in the order in which they are met.
fn source_networks<'v>(vms: &[&'v VmDescription]) -> Vec<&'v Nic> {
    let mut seen = BTreeSet::new();
    vms.iter().flat_map(|vm| &vm.nics).filter(|nic| seen.insert(nic.network_id.as_str())).collect()
}

/// The first network goes to the pod network, each further one to a NetworkAttachmentDefinition of its own.
/// Returns the rows and, by source network id, where it goes.
///
/// Rows name their source by id, unless the source says otherwise: names of networks need not be unique in a vCenter, and Forklift finds two pod networks of
/// one VM (condition VMMultiplePodNetworkMappings) only in maps by id.
pub fn network_entries(vms: &[&VmDescription], nad_namespace: &str, nad_base: &str) -> (Vec<NetworkEntry>, Vec<(String, NetworkTarget)>) {
    let networks = source_networks(vms);
    let targets: Vec<(String, NetworkTarget)> = networks
        .iter()
        .enumerate()
        .map(|(index, nic)| {
            let target = if index == 0 {
                NetworkTarget::Pod
            } else {
                NetworkTarget::Multus { namespace: nad_namespace.to_owned(), name: format!("{nad_base}-{index}") }
            };
            (nic.network_id.clone(), target)
        })
        .collect();
    let rows = targets
        .iter()
        .zip(networks)
        .map(|((id, target), nic)| NetworkEntry {
            source: nic.network_ref.clone().unwrap_or_else(|| SourceRef::by_id(id)),
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

    fn vm(disks: &[&str], networks: &[&str]) -> VmDescription {
        let nic = |id: &&str| Nic { network: format!("name of {id}"), network_id: (*id).to_owned(), ..Nic::default() };
        let disk = |storage: &&str| Disk { bytes: 1, storage: (*storage).to_owned(), ..Disk::default() };
        VmDescription { nics: networks.iter().map(nic).collect(), disks: disks.iter().map(disk).collect(), ..VmDescription::default() }
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

    #[test]
    fn storages_of_one_name_have_a_row_each() {
        let mut vm = vm(&["ds", "ds", "a/b"], &["pod"]);
        for (disk, id) in vm.disks.iter_mut().zip(["datastore-1", "datastore-2", "datastore-3"]) {
            disk.storage_ref = Some(SourceRef::by_id(id));
        }
        let rows = storage_entries(&[&vm], "sc");
        assert_eq!(
            rows.iter().map(|row| row.source.id.as_deref().unwrap()).collect::<Vec<_>>(),
            ["datastore-3", "datastore-1", "datastore-2"]
        );
    }

    #[test]
    fn a_source_may_name_its_things_otherwise() {
        let mut vm = vm(&["disk-1"], &["pod"]);
        vm.disks[0].storage_ref = Some(SourceRef::by_id("disk-1"));
        vm.nics[0].network_ref = Some(SourceRef { kind: Some("pod".to_owned()), ..SourceRef::default() });
        assert_eq!(storage_entries(&[&vm], "sc")[0].source, SourceRef::by_id("disk-1"));
        let (rows, targets) = network_entries(&[&vm], "ns", "cb-1");
        assert_eq!((rows[0].source.kind.as_deref(), rows[0].source.id.as_deref()), (Some("pod"), None));
        assert_eq!(targets[0].0, "pod");
    }
}
