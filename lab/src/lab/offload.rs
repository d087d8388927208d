//! What a profile of the vCenter says about copy-offload.

use std::collections::BTreeMap;

use crate::datacenter::{DataCenter, DatastoreModel};

/// The tables of the profile, if a storage class has an array: its datastores and one that is not on it, its login, and the
/// ESXi host. `datastores` are their ids by name, `ssh` is where the SSH server of all ESXi hosts listens.
pub(super) fn tables(model: &DataCenter, datastores: &BTreeMap<String, String>, ssh: &str) -> Vec<(&'static str, Vec<(String, String)>)> {
    let Some(array) = model.cluster.storage_classes.iter().find_map(|class| model.array_of_class(&class.name)) else {
        return Vec::new();
    };
    let ids = |on: bool| -> Vec<String> {
        // An export is no block device, and the first datastore is every VM's own.
        let fits = move |d: &&DatastoreModel| (d.array.as_ref() == Some(&array.name)) == on && !d.name.contains("nfs");
        model.vsphere.datastores.iter().filter(fits).filter_map(|d| datastores.get(&d.name).cloned()).collect()
    };
    let (on, off) = (ids(true), ids(false));
    let at = |list: &[String], index: usize| list.get(index).cloned().unwrap_or_default();
    let esxi = &model.vsphere.esxi_login;
    let section = [
        ("storage_vendor_product", array.vendor.clone()),
        ("datastore_id", at(&on, 0)),
        ("secondary_datastore_id", at(&on, 1)),
        ("non_xcopy_datastore_id", at(&off, 0)),
        ("rdm_lun_uuid", model.vsphere.luns.first().map(|lun| lun.name.clone()).unwrap_or_default()),
        ("storage_hostname", array.hostname.clone()),
        ("storage_username", array.login.user.clone()),
        ("storage_password", array.login.password.clone()),
        ("esxi_clone_method", "ssh".to_owned()),
        ("esxi_host", model.vsphere.hosts.first().cloned().unwrap_or_default()),
        ("esxi_ssh_address", ssh.to_owned()),
        ("esxi_user", esxi.user.clone()),
        ("esxi_password", esxi.password.clone()),
    ];
    let mut tables = vec![("copyoffload", section.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())];
    if !array.keys.is_empty() {
        let keys = array.keys.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        tables.push(("copyoffload.storage_secret_extra", keys));
    }
    tables
}
