//! Ids of a host agent: fixed ones for what it has one of, numbers for machines, and what is made of them.

use crate::vsphere::{
    model::{
        Entity, Kind, Model,
        build::{DATACENTER, DATASTORE_FOLDER, HOST_FOLDER, NETWORK_FOLDER, ROOT, VM_FOLDER},
    },
    types::{datastore, service::MANAGERS},
};

/// Id of the host.
const HOST: &str = "ha-host";
/// Id of its compute resource.
const COMPUTE: &str = "ha-compute-res";
/// Id of its resource pool.
const POOL: &str = "ha-root-pool";
/// Folders and datacenter: the model's id and the host agent's.
const FRAME: [(&str, &str); 6] = [
    (ROOT, "ha-folder-root"),
    (DATACENTER, "ha-datacenter"),
    (VM_FOLDER, "ha-folder-vm"),
    (HOST_FOLDER, "ha-folder-host"),
    (DATASTORE_FOLDER, "ha-folder-datastore"),
    (NETWORK_FOLDER, "ha-folder-network"),
];
/// Managers by their field in `ServiceContent`, in the order of an ESXi host; the others are the vCenter's alone.
pub const AGENT_MANAGERS: [(&str, &str); 20] = [
    ("propertyCollector", "ha-property-collector"),
    ("viewManager", "ViewManager"),
    ("setting", "HostAgentSettings"),
    ("userDirectory", "ha-user-directory"),
    ("sessionManager", "ha-sessionmgr"),
    ("authorizationManager", "ha-authmgr"),
    ("serviceManager", "ha-servicemanager"),
    ("perfManager", "ha-perfmgr"),
    ("eventManager", "ha-eventmgr"),
    ("taskManager", "ha-taskmgr"),
    ("diagnosticManager", "ha-diagnosticmgr"),
    ("licenseManager", "ha-license-manager"),
    ("searchIndex", "ha-searchindex"),
    ("fileManager", "ha-nfc-file-manager"),
    ("datastoreNamespaceManager", "ha-datastore-namespace-manager"),
    ("virtualDiskManager", "ha-vdiskmanager"),
    ("ovfManager", "ha-ovf-manager"),
    ("dvSwitchManager", "ha-dvsmanager"),
    ("storageResourceManager", "ha-storage-resource-manager"),
    ("guestOperationsManager", "ha-guest-operations-manager"),
];
/// What belongs to a host: beginning of the model's id, and the host agent's.
const ATTACHED: [(&str, &str); 4] = [
    ("datastoreSystem-", "ha-datastoresystem"),
    ("networkSystem-", "networkSystem"),
    ("storageSystem-", "storageSystem"),
    ("EsxHostAdvSettings-", "ha-adv-options"),
];
const HOST_BROWSER: &str = "ha-host-datastorebrowser";
const BROWSER: &str = "-datastorebrowser";
const ENVIRONMENT: &str = "-envbrowser";
const NETWORK: &str = "HaNetwork-";
const SNAPSHOT: &str = "-snapshot-";
const TASK: &str = "haTask-";
/// Stands before ids that lead nowhere; no id of the model begins like that.
const NOWHERE: char = '!';

/// An id that no object has, and that keeps what the client wrote.
pub fn nowhere(id: &str) -> String {
    format!("{NOWHERE}{id}")
}

fn manager(field: &str) -> Option<&'static str> {
    MANAGERS.iter().find(|manager| manager.0 == field).map(|manager| manager.2)
}

/// Number in a host's id, as other ids repeat it.
fn number(host: &str) -> &str {
    host.trim_start_matches("host-")
}

/// Id of a datastore: that of its file system, and for an export where it lies.
fn datastore(entity: &Entity) -> String {
    if datastore::is_nfs(&entity.name) {
        let (server, path) = datastore::export(&entity.name);
        return format!("{server}:{path}");
    }
    datastore::volume(&entity.id)
}

/// The host agent's id for one of the model; none for what it does not know.
pub fn outward(model: &Model, host: &str, id: &str) -> Option<String> {
    if let Some(said) = id.strip_prefix(NOWHERE) {
        return Some(said.to_owned());
    }
    if let Some((_, own)) = FRAME.iter().find(|(here, _)| *here == id) {
        return Some((*own).to_owned());
    }
    if let Some((_, own)) = AGENT_MANAGERS.iter().find(|(field, _)| manager(field) == Some(id)) {
        return Some((*own).to_owned());
    }
    if MANAGERS.iter().any(|manager| manager.2 == id) {
        return None;
    }
    if let Some(entity) = model.entity(id) {
        return of_entity(model, host, entity);
    }
    if let Some(task) = model.task(id).filter(|task| super::shows_task(model, host, task)) {
        let about = outward(model, host, &task.entity.id)?;
        return Some(format!("{TASK}{about}-vim.{}-{}", task.description_id, task.number));
    }
    if let Some((machine, _)) = model.snapshot_owner(id) {
        let machine = model.number_at(host, &machine.id)?;
        return Some(format!("{machine}{SNAPSHOT}{}", id.trim_start_matches("snapshot-")));
    }
    if let Some(of) = id.strip_prefix("datastoreBrowser-") {
        return if of == host { Some(HOST_BROWSER.to_owned()) } else { Some(format!("{}{BROWSER}", outward(model, host, of)?)) };
    }
    if let Some(of) = id.strip_prefix("envbrowser-") {
        let of = if model.entity(of).is_some() { of.to_owned() } else { format!("vm-{of}") };
        return Some(format!("{}{ENVIRONMENT}", outward(model, host, &of)?));
    }
    if let Some((_, own)) = ATTACHED.iter().find(|(begin, _)| id.strip_prefix(begin) == Some(number(host))) {
        return Some((*own).to_owned());
    }
    // A machine that is gone keeps its number. What sessions have made is called the same everywhere.
    model.number_at(host, id).map(|number| number.to_string()).or_else(|| (!id.starts_with("vm-")).then(|| id.to_owned()))
}

fn of_entity(model: &Model, host: &str, entity: &Entity) -> Option<String> {
    let parent = model.entity(host).and_then(|host| host.parent.as_deref());
    match &entity.kind {
        // Folders of the vCenter are not there: what lies in them lies in the folder of its kind.
        Kind::Folder(_) => {
            let top = model.ancestors(&entity.id).find_map(|a| FRAME[2..].iter().find(|(here, _)| *here == a.id));
            top.map(|(_, own)| (*own).to_owned())
        }
        Kind::Datacenter { .. } | Kind::Switch { .. } => None,
        Kind::Cluster { .. } => (parent == Some(entity.id.as_str())).then(|| COMPUTE.to_owned()),
        Kind::Pool => model.ancestors(&entity.id).any(|a| Some(a.id.as_str()) == parent).then(|| POOL.to_owned()),
        Kind::Host => (entity.id == host).then(|| HOST.to_owned()),
        Kind::Datastore { .. } => Some(datastore(entity)),
        Kind::Network => Some(format!("{NETWORK}{}", entity.name)),
        // The switch is the vCenter's; its port groups are known to the host by the keys that it gave.
        Kind::Portgroup { uplink, .. } => (!uplink).then(|| entity.id.clone()),
        Kind::Vm(vm) if vm.host == host => model.number_at(host, &entity.id).map(|number| number.to_string()),
        Kind::Vm(_) => None,
    }
}

/// The model's id for one of the host agent; none for what is not there.
pub fn inward(model: &Model, host: &str, id: &str) -> Option<String> {
    // What sessions have made is called the same everywhere.
    if id.starts_with("session[") || id == "ServiceInstance" {
        return Some(id.to_owned());
    }
    if let Some((here, _)) = FRAME.iter().find(|(_, own)| *own == id) {
        return Some((*here).to_owned());
    }
    if let Some((field, _)) = AGENT_MANAGERS.iter().find(|(_, own)| *own == id) {
        return manager(field).map(str::to_owned);
    }
    if let Some((begin, _)) = ATTACHED.iter().find(|(_, own)| *own == id) {
        return Some(format!("{begin}{}", number(host)));
    }
    let parent = model.entity(host).and_then(|host| host.parent.clone());
    match id {
        HOST => return Some(host.to_owned()),
        COMPUTE => return parent,
        POOL => {
            let pool = model.entities.values().find(|e| matches!(e.kind, Kind::Pool) && e.parent == parent);
            return pool.map(|pool| pool.id.clone());
        }
        HOST_BROWSER => return Some(format!("datastoreBrowser-{host}")),
        _ => {}
    }
    if let Ok(wanted) = id.parse::<u64>() {
        let mut machines = model.vms().filter(|(_, vm)| vm.host == host);
        return machines.find(|(entity, _)| model.number_at(host, &entity.id) == Some(wanted)).map(|(entity, _)| entity.id.clone());
    }
    let after = |text: &str| text.rsplit('-').next().and_then(|number| number.parse::<u64>().ok());
    if id.starts_with(TASK) {
        return Some(format!("task-{}", after(id)?));
    }
    if let Some((machine, snapshot)) = id.split_once(SNAPSHOT) {
        let owner = inward(model, host, machine)?;
        let snapshot = format!("snapshot-{snapshot}");
        return model.snapshot_owner(&snapshot).is_some_and(|(entity, _)| entity.id == owner).then_some(snapshot);
    }
    if let Some(of) = id.strip_suffix(BROWSER) {
        return Some(format!("datastoreBrowser-{}", inward(model, host, of)?));
    }
    if let Some(of) = id.strip_suffix(ENVIRONMENT) {
        return Some(format!("envbrowser-{}", inward(model, host, of)?.trim_start_matches("vm-")));
    }
    let shown = |entity: &&Entity| of_entity(model, host, entity).as_deref() == Some(id);
    let kinds = |entity: &&Entity| matches!(entity.kind, Kind::Datastore { .. } | Kind::Network | Kind::Portgroup { .. });
    model.entities.values().filter(kinds).find(shown).map(|entity| entity.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        datacenter::{DEFAULT, DataCenter},
        world::World,
    };

    #[test]
    fn every_id_that_is_shown_leads_back() {
        let model = Model::new(&World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(1.0)));
        let host = model.named("HostSystem", "esxi-0.lab").unwrap().id.clone();
        let mut shown = 0;
        for entity in model.entities.values() {
            if !super::super::shows_entity(&model, &host, entity) {
                continue;
            }
            let own = outward(&model, &host, &entity.id).unwrap();
            assert_eq!(inward(&model, &host, &own).as_deref(), Some(entity.id.as_str()), "{own}");
            assert_ne!((own.as_str(), entity.vm().is_some()), (entity.id.as_str(), true));
            shown += 1;
        }
        assert!(shown > 15, "{shown}");
        let machine = model.vms().find(|(_, vm)| vm.host == host).unwrap().0;
        assert_eq!(inward(&model, &host, &machine.id), None, "the vCenter's ids mean nothing here");
        let elsewhere = model.vms().find(|(_, vm)| vm.host != host).unwrap().0;
        assert_eq!(outward(&model, &host, &elsewhere.id), None);
        assert_eq!(outward(&model, &host, &nowhere("9999")).as_deref(), Some("9999"));
        let nfs = model.named("Datastore", "nfs-datastore").unwrap();
        assert_eq!(outward(&model, &host, &nfs.id).as_deref(), Some("nfs.lab:/exports/nfs-datastore"));
    }
}
