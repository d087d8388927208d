//! The claim of a DataVolume.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use k8s_openapi::{
    api::{
        core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements},
        storage::v1::StorageClass,
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    ResourceExt,
    api::{DynamicObject, ObjectMeta},
    runtime::reflector::Store,
};
use mtv_api::kinds;
use serde_json::Value;

use crate::{
    roles::{
        quantity::{MIB, bytes},
        write,
    },
    world::World,
};

/// CDI's default share of a file system that is not there for a disk image (CDIConfig `filesystemOverhead`, 0.06).
pub(in crate::roles) const FILESYSTEM_OVERHEAD: f64 = 0.06;

/// Whether the claim belongs to this DataVolume, or was there before under another owner and is adopted.
pub(super) fn owned(claim: &PersistentVolumeClaim, volume: &DynamicObject) -> bool {
    claim.owner_references().iter().any(|o| Some(&o.uid) == volume.metadata.uid.as_ref())
}

/// The claim; `None` while the storage class does not exist.
///
/// # Errors
/// The size is no quantity.
pub(super) fn of(volume: &DynamicObject, classes: &Store<StorageClass>, world: &World) -> anyhow::Result<Option<PersistentVolumeClaim>> {
    let storage = volume.data.pointer("/spec/storage").or_else(|| volume.data.pointer("/spec/pvc")).cloned().unwrap_or_default();
    let inflate = volume.data.pointer("/spec/storage").is_some();
    let Some(class) = class_of(classes, storage.get("storageClassName").and_then(Value::as_str)) else { return Ok(None) };
    let model = world.datacenter.cluster.storage_classes.iter().find(|c| c.name == class.name_any());
    let mode = storage.get("volumeMode").and_then(Value::as_str);
    let mode = mode.or(model.map(|m| m.volume_mode.as_str())).unwrap_or("Filesystem").to_owned();
    let asked_modes: Vec<String> = write::list(&storage, "/accessModes").iter().filter_map(|m| Some(m.as_str()?.to_owned())).collect();
    let default = model.map_or("ReadWriteOnce", |m| m.access_mode.as_str()).to_owned();
    let name = volume.name_any();
    let asked = write::text(&storage, "/resources/requests/storage");
    let bytes = bytes(asked).with_context(|| format!("datavolume {name}: size `{asked}` is no quantity"))?;
    let size = if inflate && mode == "Filesystem" { Quantity(with_overhead(bytes).to_string()) } else { Quantity(asked.to_owned()) };
    let mut labels = volume.labels().clone();
    for (key, value) in [
        ("app", "containerized-data-importer"),
        ("app.kubernetes.io/component", "storage"),
        ("app.kubernetes.io/managed-by", "cdi-controller"),
        ("alerts.k8s.io/KubePersistentVolumeFillingUp", "disabled"),
    ] {
        labels.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let annotations: BTreeMap<String, String> = volume.annotations().clone();
    Ok(Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: volume.namespace(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![write::controller_of(&kinds::DATA_VOLUME, &name, &volume.uid().unwrap_or_default())]),
            finalizers: Some(vec!["kubernetes.io/pvc-protection".to_owned()]),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(if asked_modes.is_empty() { vec![default] } else { asked_modes }),
            volume_mode: Some(mode),
            storage_class_name: Some(class.name_any()),
            resources: Some(VolumeResourceRequirements { requests: Some([("storage".to_owned(), size)].into()), limits: None }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }))
}

fn class_of(classes: &Store<StorageClass>, name: Option<&str>) -> Option<Arc<StorageClass>> {
    let default =
        |class: &StorageClass| class.annotations().get("storageclass.kubernetes.io/is-default-class").is_some_and(|v| v == "true");
    match name.filter(|n| !n.is_empty()) {
        Some(name) => classes.find(|class| class.name_any() == name),
        None => classes.find(default),
    }
}

/// A claim so large that the disk fits in its file system.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes of disks, far below 2^52")]
fn with_overhead(bytes: u64) -> u64 {
    (bytes.next_multiple_of(MIB) as f64 / (1.0 - FILESYSTEM_OVERHEAD)).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_fits_in_its_file_system() {
        let claim = with_overhead(10 << 30);
        assert!(claim as f64 * (1.0 - FILESYSTEM_OVERHEAD) >= (10_u64 << 30) as f64);
        assert_eq!(with_overhead(1), with_overhead(MIB));
    }
}
