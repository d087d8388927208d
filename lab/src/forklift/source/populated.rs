//! Claims that populators fill, one per disk.

use anyhow::Context as _;
use mtv_api::kinds::{Kind, PVC, STORAGE_PROFILE};
use serde_json::{Value, json};

use super::{Collection, Disk, Migrating};
use crate::forklift::{
    builder::{
        disks::{self, INDEX, SOURCE},
        labels, rows,
    },
    cluster::Look,
};

/// Share of a file system that is not there for the disk image (`controller_filesystem_overhead`, 10 %).
const FILESYSTEM_OVERHEAD: i64 = 10;

/// The populator of a disk.
pub struct Populator {
    /// Its kind.
    pub kind: &'static Kind,
    /// Label of populator and claim that tells the disk, with its value.
    pub label: (&'static str, String),
    /// Beginning of its name, which the API server completes.
    pub name: String,
    /// `spec`.
    pub spec: Value,
}

/// Creates the populators and claims that are missing.
pub async fn ensure(migrating: &Migrating<'_>, populator: impl Fn(&Disk) -> Populator + Send + Sync) -> anyhow::Result<()> {
    let existing = disks::claims(migrating.work, migrating.migration, &migrating.vm.id).await?;
    for (index, disk) in migrating.machine.sorted_disks().enumerate() {
        if existing.iter().any(|claim| claim.annotation(SOURCE) == Some(disk.task.as_str())) {
            continue;
        }
        let populator = populator(disk);
        let mut labels = labels(migrating.work, migrating.migration, &migrating.vm.id);
        labels[populator.label.0] = json!(populator.label.1);
        let name = create(migrating, &populator, &labels).await?;
        claim(migrating, disk, index, &populator, &name, &labels).await?;
    }
    Ok(())
}

/// The populator, made unless it is there; its name.
async fn create(migrating: &Migrating<'_>, populator: &Populator, labels: &Value) -> anyhow::Result<String> {
    let cluster = &migrating.work.context.cluster;
    let namespace = &migrating.work.spec.target_namespace;
    let (key, value) = &populator.label;
    let selector = format!("migration={},vmID={},{key}={value}", migrating.migration, migrating.vm.id);
    if let Some(found) = cluster.list(populator.kind, namespace, &selector).await?.first() {
        return Ok(found.text("/metadata/name").to_owned());
    }
    let object = json!({ "metadata": { "generateName": populator.name, "labels": labels }, "spec": populator.spec });
    Ok(cluster.create(populator.kind, namespace, object).await?.text("/metadata/name").to_owned())
}

async fn claim(
    migrating: &Migrating<'_>,
    disk: &Disk,
    index: usize,
    populator: &Populator,
    name: &str,
    labels: &Value,
) -> anyhow::Result<()> {
    let work = migrating.work;
    let rows = rows(work, work.storage.as_ref(), Collection::Storage, &disk.storage).await?;
    let destination = &rows.first().with_context(|| format!("storage {} is not mapped", disk.storage))?["destination"];
    let class = destination.text("/storageClass");
    let profile = work.context.cluster.get(&STORAGE_PROFILE, "", class).await?.unwrap_or_default();
    let set = profile.items("/status/claimPropertySets").first().cloned().unwrap_or_default();
    let chosen = |own: &str, default: &str| if own.is_empty() { default.to_owned() } else { own.to_owned() };
    let access = set.items("/accessModes").first().and_then(Value::as_str).unwrap_or("ReadWriteOnce");
    let mode = chosen(destination.text("/volumeMode"), chosen(set.text("/volumeMode"), "Filesystem").as_str());
    let size = if mode == "Filesystem" { disk.capacity * 100 / (100 - FILESYSTEM_OVERHEAD) } else { disk.capacity };
    let mut metadata = json!({ "labels": labels, "annotations": { SOURCE: disk.task, INDEX: index.to_string() } });
    disks::name_claim(migrating, disk, index, &mut metadata)?;
    let claim = json!({
        "metadata": metadata,
        "spec": {
            "accessModes": [chosen(destination.text("/accessMode"), access)], "volumeMode": mode, "storageClassName": class,
            "resources": { "requests": { "storage": disks::quantity(size) } },
            "dataSourceRef": { "apiGroup": populator.kind.group, "kind": populator.kind.kind, "name": name },
        },
    });
    work.context.cluster.create(&PVC, &work.spec.target_namespace, claim).await.map(drop)?;
    Ok(())
}
