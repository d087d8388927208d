//! What disks of a clone need beside its specification: folders before it is made, and mapped LUNs after.

use mtv_api::xml::Node;

use super::{
    clone_spec::tracked,
    collector::retrieve,
    disk_spec, operate,
    placement::Place,
    props::{Object, along, filter, properties, start},
    session::{CALL, CallError, Safety, Session},
    slot::Slots,
    wire::{MoRef, request},
};
use crate::{
    config::scenario::{DiskController, RdmType},
    providers::{CloneRequest, NewDiskKind, ProviderError, ProviderResult},
};

/// Where a host lists the LUNs that it sees.
const LUNS: &str = "config.storageDevice.scsiLun";

/// Makes the folders that disks are to lie in. One that is there already is used.
pub async fn make_folders(session: &Session, place: &Place, wanted: &CloneRequest) -> ProviderResult<()> {
    let mut made: Vec<String> = Vec::new();
    for disk in &wanted.disks {
        let Some(folder) = &disk.folder else { continue };
        let path = format!("[{}] {folder}", place.store(disk.datastore.as_deref())?.name);
        if made.contains(&path) {
            continue;
        }
        let doing = format!("make the folder `{path}`");
        let files = session.live().await.files.clone();
        let (Some(files), Some(datacenter)) = (files, place.datacenter.clone()) else {
            return Err(ProviderError::unsupported(format!("{doing}: the server has no file manager or no datacenter")));
        };
        let body = || {
            request("MakeDirectory", &files).field("name", &path).with(datacenter.node("datacenter")).field("createParentDirectories", true)
        };
        match session.call(Safety::Repeatable, CALL, |_| body()).await {
            Ok(_) => {}
            // Some servers cannot tell "is there" from "cannot be made"; the clone shows which it was.
            Err(CallError::Fault(fault)) if matches!(fault.kind.as_str(), "FileAlreadyExists" | "CannotCreateFile") => {}
            Err(other) => return Err(other.explained(&doing)),
        }
        made.push(path);
    }
    Ok(())
}

/// Maps the LUNs that a clone asks for. Done on the finished clone: which LUNs there are is a matter of its host.
pub async fn map_luns(session: &Session, id: &str, place: &Place, wanted: &CloneRequest) -> ProviderResult<()> {
    let asked: Vec<_> = wanted.disks.iter().filter(|disk| matches!(disk.kind, NewDiskKind::Rdm { .. })).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let doing = format!("map LUNs into the clone `{}` ({id})", wanted.name);
    let vm = MoRef::vm(id);
    let objects = retrieve(session, |_| {
        filter(
            "specSet",
            [properties("VirtualMachine", &["config.hardware"]), properties("HostSystem", &["name", LUNS])],
            [start(&vm, false, [along("VirtualMachine", "runtime.host", [])])],
        )
    })
    .await
    .map_err(|error| error.explained(&doing))?;
    let clone =
        objects.iter().find(|o| o.id == vm).ok_or_else(|| ProviderError::not_found(format!("{doing}: it does not exist (any more)")))?;
    let host = objects.iter().find(|o| o.id.kind == "HostSystem");
    let devices: Vec<&Node> = clone.props.get("config.hardware").map(|h| h.children_named("device").collect()).unwrap_or_default();
    let mut slots = Slots::of(&devices);
    let mut changes = Vec::new();
    let mut options = Vec::new();
    for (number, disk) in asked.into_iter().enumerate() {
        let NewDiskKind::Rdm { lun, mode } = &disk.kind else { continue };
        let uuid = find_lun(host, lun).map_err(|why| ProviderError::not_found(format!("{doing}: {why}")))?;
        let slot = slots
            .next(DiskController::Scsi)
            .ok_or_else(|| ProviderError::unsupported(format!("{doing}: its SCSI controllers are full")))?;
        let store = place.store(disk.datastore.as_deref())?;
        let file = format!("[{}]", store.name);
        changes.push(disk_spec::raw(number, &slot, &store.id, &file, lun, uuid.as_deref(), *mode));
        if wanted.changed_block_tracking && *mode == RdmType::Virtual {
            options.push(tracked(&slot.name));
        }
    }
    let spec = Node::new("spec").all(slots.added).all(changes).all(options);
    operate::reconfigure(session, Safety::Once, id, &spec, &doing).await
}

/// UUID of a LUN that a host sees. Where the host does not tell its LUNs, vCenter decides.
fn find_lun(host: Option<&Object>, lun: &str) -> Result<Option<String>, String> {
    let Some(host) = host else { return Ok(None) };
    let luns = host.array(LUNS);
    if luns.is_empty() {
        return Ok(None);
    }
    if let Some(found) = luns.iter().find(|l| l.get("canonicalName") == Some(lun)) {
        return Ok(found.get("uuid").filter(|uuid| !uuid.is_empty()).map(str::to_owned));
    }
    let known: Vec<&str> = luns.iter().filter_map(|l| l.get("canonicalName")).collect();
    let name = host.text("name").unwrap_or(&host.id.value);
    Err(format!("host `{name}` sees no LUN `{lun}` (`rdm_lun_uuid`); it sees {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn luns_are_found_by_their_canonical_name() {
        let luns = Node::parse("<val><ScsiLun><canonicalName>naa.1</canonicalName><uuid>02</uuid></ScsiLun></val>").unwrap();
        let name = Node::text("val", "esxi-0");
        let props = BTreeMap::from([(LUNS.to_owned(), luns), ("name".to_owned(), name)]);
        let host = Object { id: MoRef::new("HostSystem", "host-1"), props, missing: BTreeMap::new() };
        assert_eq!(find_lun(Some(&host), "naa.1"), Ok(Some("02".into())));
        assert_eq!(find_lun(Some(&host), "naa.2").unwrap_err(), "host `esxi-0` sees no LUN `naa.2` (`rdm_lun_uuid`); it sees naa.1");
        assert_eq!(find_lun(None, "naa.2"), Ok(None));
    }
}
