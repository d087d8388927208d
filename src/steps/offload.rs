//! Copy-offload: how a clone is asked for, what its StorageMap says, and what populators tell while a Plan runs.

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use mtv_api::forklift::{OffloadPlugin, PlanStatus, SourceRef, StorageDestination, StorageEntry, VsphereXcopyConfig};

use super::Scene;
use crate::{
    config::{
        copyoffload::CopyOffload,
        scenario::{AddedDisk, Datastore, DedicatedHosts, RdmType, Scenario, ScenarioVm},
    },
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx},
    forklift::{self, Copies},
    providers::{CloneRequest, NewDisk, NewDiskKind},
    run::Offload,
    verify::Offloaded,
};

/// Adds to a clone's request what its entry in the scenario asks for, and where the profile wants clones of copy-offload.
pub fn describe(scene: &Scene<'_>, wish: &ScenarioVm, request: &mut CloneRequest) -> Result<(), Failure> {
    let offload = scene.session.profile.copyoffload();
    // Only a Plan with copy-offload needs its clones on the array.
    let placed = offload.filter(|_| scene.scenario.copies_offload());
    request.datastore = match &wish.target_datastore_id {
        Some(wanted) => Some(datastore(offload, wanted)?),
        None => placed.and_then(|offload| offload.datastore_id.clone()),
    };
    request.avoided_hosts = match offload {
        Some(offload) if scene.scenario.pin_to_non_dedicated_host => offload.dedicated_migration_hosts.clone(),
        _ => Vec::new(),
    };
    request.host = wish.target_esxi_host.clone().or_else(|| placed.and_then(|offload| offload.esxi.host.clone()));
    request.resource_pool = placed.and_then(|offload| offload.resource_pool.clone());
    request.provisioning = wish.disk_type;
    for disk in &wish.add_disks {
        request.disks.push(match disk {
            AddedDisk::Virtual(disk) => NewDisk {
                kind: NewDiskKind::Empty {
                    bytes: u64::from(disk.size_gb) << 30,
                    provisioning: disk.provision_type,
                    mode: disk.disk_mode,
                    controller: disk.controller,
                },
                datastore: disk.datastore_id.as_ref().map(|wanted| datastore(offload, wanted)).transpose()?,
                folder: disk.datastore_path.clone(),
            },
            AddedDisk::Rdm(mode) => rdm(offload, *mode)?,
        });
    }
    Ok(())
}

/// The mapping of the profile's LUN; its file lies on the datastore of the clones, which is block storage.
fn rdm(offload: Option<&CopyOffload>, mode: RdmType) -> Result<NewDisk, Failure> {
    let lun = offload.and_then(|offload| offload.rdm_lun_uuid.clone()).ok_or_else(|| missing("rdm_lun_uuid"))?;
    Ok(NewDisk { kind: NewDiskKind::Rdm { lun, mode }, datastore: offload.and_then(|offload| offload.datastore_id.clone()), folder: None })
}

fn datastore(offload: Option<&CopyOffload>, wanted: &Datastore) -> Result<String, Failure> {
    if let Datastore::Id(id) = wanted {
        return Ok(id.clone());
    }
    let found = offload.and_then(|offload| offload.datastore(wanted));
    found.map(str::to_owned).ok_or_else(|| missing(wanted.profile_field().unwrap_or_default()))
}

fn missing(field: &str) -> Failure {
    Failure::Errored(
        Diagnosis::new(
            Id::OffloadNotConfigured,
            format!("the scenario needs `{field}`, which the profile's copyoffload section does not have"),
        )
        .hint(format!("add `{field}` to the profile, or leave the scenario out")),
    )
}

/// Rows of the StorageMap of a Plan with copy-offload.
pub fn storage_entries(scene: &Scene<'_>, storage_class: &str) -> Result<Vec<StorageEntry>, Failure> {
    let (Some(profile), Some(offload)) = (scene.session.profile.copyoffload(), &scene.session.offload) else {
        return Err(Failure::Errored(Diagnosis::new(Id::OffloadNotConfigured, "the run was not prepared for copy-offload")));
    };
    let hosts = dedicated(scene.scenario, profile);
    Ok(offload_rows(profile, offload, &scene.scenario.profile_fields(), storage_class, &hosts))
}

/// Ids of the hosts that a scenario lets copy; none: those that the VMs are on.
pub fn dedicated(scenario: &Scenario, profile: &CopyOffload) -> Vec<String> {
    match &scenario.dedicated_hosts {
        None => Vec::new(),
        Some(DedicatedHosts::Profile) => profile.dedicated_migration_hosts.clone(),
        Some(DedicatedHosts::Ids(ids)) => ids.clone(),
    }
}

/// Rows of a StorageMap that has the array copy: for the datastore of the clones, and for those that the scenario needs besides,
/// by the keys of the profile. A datastore that the array cannot copy from has the plugin as well: Forklift then has the ESXi
/// host copy.
pub fn offload_rows(
    profile: &CopyOffload,
    offload: &Offload,
    needed: &BTreeSet<&str>,
    storage_class: &str,
    hosts: &[String],
) -> Vec<StorageEntry> {
    let plugin = OffloadPlugin {
        vsphere_xcopy_config: Some(VsphereXcopyConfig {
            secret_ref: offload.secret.clone(),
            storage_vendor_product: offload.vendor.clone(),
            dedicated_migration_hosts: hosts.to_vec(),
        }),
    };
    let row = |id: &str| StorageEntry {
        source: SourceRef::by_id(id),
        destination: StorageDestination {
            storage_class: storage_class.to_owned(),
            volume_mode: Some("Block".to_owned()),
            // Forklift then takes ReadWriteMany, which live migration needs.
            access_mode: None,
        },
        offload_plugin: Some(plugin.clone()),
    };
    let mut ids: Vec<&str> = profile.datastore_id.as_deref().into_iter().collect();
    ids.extend(
        ["secondary_datastore_id", "non_xcopy_datastore_id"].into_iter().filter(|f| needed.contains(f)).filter_map(|f| profile.field(f)),
    );
    ids.into_iter().map(row).collect()
}

/// Follows a Plan with copy-offload to its end: its Secrets must come, and what its populators say is kept.
pub async fn follow(
    scene: &Scene<'_>,
    cx: &StepCx,
    namespace: &str,
    plan: &str,
    migration: &str,
    limit: Duration,
    following: impl Future<Output = Result<PlanStatus, Failure>>,
) -> Result<(PlanStatus, Offloaded), Failure> {
    let cluster = scene.session.cluster();
    let copies = Mutex::new(Copies::new());
    let secrets = forklift::wait_for_secret(cluster, cx, (&scene.session.namespace, namespace), plan, limit);
    let logs = forklift::read_logs(cluster, cx, namespace, migration, limit, &copies);
    let mut following = std::pin::pin!(following);
    let mut logs = std::pin::pin!(logs);
    let mut secrets = std::pin::pin!(secrets);
    let mut secret_seen = false;
    let mut logs_ended = false;
    let status = loop {
        tokio::select! {
            biased;
            status = &mut following => break status?,
            seen = &mut secrets, if !secret_seen => {
                seen?;
                secret_seen = true;
            }
            () = &mut logs, if !logs_ended => logs_ended = true,
        }
    };
    let mut copies = std::mem::take(&mut *copies.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    if !forklift::succeeded(&status, migration) {
        forklift::read_last_logs(cluster, namespace, migration, &mut copies).await;
    }
    forklift::add_tasks(&status, &mut copies);
    let profile = scene.session.profile.copyoffload();
    let non_xcopy = profile.and_then(|offload| offload.non_xcopy_datastore_id.clone());
    let hosts = profile.map(|offload| dedicated(scene.scenario, offload)).unwrap_or_default();
    Ok((status, Offloaded { copies, non_xcopy, hosts }))
}
