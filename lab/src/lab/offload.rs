//! What a profile of the vCenter says about copy-offload.

use std::collections::BTreeMap;

use toml::Value;

use crate::datacenter::{DataCenter, DatastoreModel};

/// The tables of the profile, if a storage class has an array: its datastores and one that is not on it, its login, and the
/// ESXi hosts. `datastores` and `hosts` are ids by name, `ssh` is where the SSH server of all ESXi hosts listens.
pub(super) fn tables(
    model: &DataCenter,
    datastores: &BTreeMap<String, String>,
    hosts: &BTreeMap<String, String>,
    ssh: &str,
) -> Vec<(&'static str, Vec<(String, Value)>)> {
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
    let (own, extra): (Vec<_>, Vec<_>) = array.keys.iter().partition(|(key, _)| vendor_key(key).is_some());
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
        ("esxi_ssh_host_key", crate::esxi::fingerprint().unwrap_or_default()),
        ("esxi_user", esxi.user.clone()),
        ("esxi_password", esxi.password.clone()),
    ];
    let own = own.into_iter().filter_map(|(key, value)| Some((vendor_key(key)?, value.clone())));
    let mut section: Vec<(String, Value)> =
        section.into_iter().chain(own).map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
    // The first host is that of the clones.
    let dedicated: Vec<String> = model.vsphere.hosts.iter().skip(1).filter_map(|name| hosts.get(name).cloned()).collect();
    if !dedicated.is_empty() {
        section.push(("dedicated_migration_hosts".to_owned(), Value::from(dedicated)));
    }
    let mut tables = vec![("copyoffload", section)];
    if !extra.is_empty() {
        let keys = extra.into_iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        tables.push(("copyoffload.storage_secret_extra", keys));
    }
    tables
}

/// The profile's own key for a key of the storage Secret.
fn vendor_key(secret: &str) -> Option<&'static str> {
    Some(match secret {
        "ONTAP_SVM" => "ontap_svm",
        "STORAGE_ID" => "vantara_storage_id",
        "STORAGE_PORT" => "vantara_storage_port",
        "HOSTGROUP_ID_LIST" => "vantara_hostgroup_id_list",
        "PURE_CLUSTER_PREFIX" => "pure_cluster_prefix",
        "POWERFLEX_SYSTEM_ID" => "powerflex_system_id",
        "POWERMAX_SYMMETRIX_ID" => "powermax_symmetrix_id",
        _ => return None,
    })
}
