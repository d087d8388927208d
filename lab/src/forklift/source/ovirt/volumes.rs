//! Claims that populators fill, one per disk.

use anyhow::Context as _;
use mtv_api::kinds::{OVIRT_VOLUME_POPULATOR, PVC, STORAGE_PROFILE};
use serde_json::{Value, json};

use crate::forklift::{
    builder::{
        disks::{self, INDEX, SOURCE},
        labels, rows,
    },
    cluster::Look,
    source::{Collection, Disk, Login, Migrating},
};

/// Share of a file system that is not there for the disk image (`controller_filesystem_overhead`, 10 %).
const FILESYSTEM_OVERHEAD: i64 = 10;

/// Creates the populators and claims that are missing.
pub async fn ensure(login: &Login, migrating: &Migrating<'_>) -> anyhow::Result<()> {
    let existing = disks::claims(migrating.work, migrating.migration, &migrating.vm.id).await?;
    for (index, disk) in migrating.machine.sorted_disks().enumerate() {
        if existing.iter().any(|claim| claim.annotation(SOURCE) == Some(disk.task.as_str())) {
            continue;
        }
        let populator = populator(login, migrating, disk).await?;
        claim(migrating, disk, index, &populator).await?;
    }
    Ok(())
}

fn disk_labels(migrating: &Migrating<'_>, disk: &Disk) -> Value {
    let mut labels = labels(migrating.work, migrating.migration, &migrating.vm.id);
    labels["diskID"] = json!(disk.task);
    labels
}

/// The populator of a disk; its name.
async fn populator(login: &Login, migrating: &Migrating<'_>, disk: &Disk) -> anyhow::Result<String> {
    let cluster = &migrating.work.context.cluster;
    let namespace = &migrating.work.spec.target_namespace;
    let selector = format!("migration={},vmID={},diskID={}", migrating.migration, migrating.vm.id, disk.task);
    if let Some(found) = cluster.list(&OVIRT_VOLUME_POPULATOR, namespace, &selector).await?.first() {
        return Ok(found.text("/metadata/name").to_owned());
    }
    let engine = login.url.trim_end_matches("/ovirt-engine/api");
    let object = json!({
        "metadata": { "generateName": format!("{}-", disk.task), "labels": disk_labels(migrating, disk) },
        "spec": { "engineUrl": engine, "engineSecretName": migrating.secret, "diskId": disk.task },
    });
    Ok(cluster.create(&OVIRT_VOLUME_POPULATOR, namespace, object).await?.text("/metadata/name").to_owned())
}

async fn claim(migrating: &Migrating<'_>, disk: &Disk, index: usize, populator: &str) -> anyhow::Result<()> {
    let work = migrating.work;
    let rows = rows(work, work.storage.as_ref(), Collection::Storage, &disk.storage).await?;
    let destination = &rows.first().with_context(|| format!("storage domain {} is not mapped", disk.storage))?["destination"];
    let class = destination.text("/storageClass");
    let profile = work.context.cluster.get(&STORAGE_PROFILE, "", class).await?.unwrap_or_default();
    let set = profile.items("/status/claimPropertySets").first().cloned().unwrap_or_default();
    let chosen = |own: &str, default: &str| if own.is_empty() { default.to_owned() } else { own.to_owned() };
    let access = set.items("/accessModes").first().and_then(Value::as_str).unwrap_or("ReadWriteOnce");
    let mode = chosen(destination.text("/volumeMode"), chosen(set.text("/volumeMode"), "Filesystem").as_str());
    let size = if mode == "Filesystem" { disk.capacity * 100 / (100 - FILESYSTEM_OVERHEAD) } else { disk.capacity };
    let mut metadata = json!({
        "labels": disk_labels(migrating, disk), "annotations": { SOURCE: disk.task, INDEX: index.to_string() },
    });
    disks::name_claim(migrating, disk, index, &mut metadata)?;
    let claim = json!({
        "metadata": metadata,
        "spec": {
            "accessModes": [chosen(destination.text("/accessMode"), access)], "volumeMode": mode, "storageClassName": class,
            "resources": { "requests": { "storage": disks::quantity(size) } },
            "dataSourceRef": { "apiGroup": OVIRT_VOLUME_POPULATOR.group, "kind": OVIRT_VOLUME_POPULATOR.kind, "name": populator },
        },
    });
    work.context.cluster.create(&PVC, &work.spec.target_namespace, claim).await.map(drop)?;
    Ok(())
}
