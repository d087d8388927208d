//! Claims and volumes: what the persistent-volume controller and a provisioner with immediate binding do.

use std::collections::BTreeMap;

use anyhow::Context as _;
use k8s_openapi::{
    api::{
        core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus, PersistentVolumeSpec},
        storage::v1::StorageClass,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, ResourceExt,
    api::ListParams,
    runtime::{reflector::Store, watcher},
};
use serde_json::json;

use super::{
    Context,
    life::{self, Latest},
    write,
};

const MANAGER: &str = "lab-pv";
/// Keeps a claim while pods use it. The lab's pods end before their claims, so it only delays the deletion by one look.
const PROTECTION: &str = "kubernetes.io/pvc-protection";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Starts the role.
///
/// # Errors
/// The lab ended meanwhile.
pub async fn start(cx: &Context) -> anyhow::Result<()> {
    let classes = life::observe(cx, Api::<StorageClass>::all(cx.client.clone()), (), |_| {}).await?;
    let context = cx.clone();
    let claims =
        life::each(cx, Api::all(cx.client.clone()), watcher::Config::default(), move |claim| bind(context.clone(), classes.clone(), claim))
            .await?;
    let context = cx.clone();
    let volumes =
        life::each(cx, Api::all(cx.client.clone()), watcher::Config::default(), move |volume| release(context.clone(), volume)).await?;
    // A volume is released when its claim goes.
    life::observe(cx, Api::<PersistentVolumeClaim>::all(cx.client.clone()), (), move |claim| {
        if let Some(volume) = claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()) {
            volumes.poke("", volume);
        }
    })
    .await?;
    drop(claims);
    Ok(())
}

async fn bind(cx: Context, classes: Store<StorageClass>, mut latest: Latest<PersistentVolumeClaim>) -> anyhow::Result<()> {
    let claim = latest.get();
    let (name, namespace) = (claim.name_any(), claim.namespace().unwrap_or_default());
    let api: Api<PersistentVolumeClaim> = Api::namespaced(cx.client.clone(), &namespace);
    if claim.metadata.deletion_timestamp.is_some() {
        cx.world.disks.remove(&format!("pvc:{}", claim.uid().unwrap_or_default()));
        return write::finalizer(&api, MANAGER, &*claim, PROTECTION, false).await;
    }
    let spec = claim.spec.clone().unwrap_or_default();
    if claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound") || populated_by_others(&claim) {
        return Ok(());
    }
    let Some(class) = class_of(&classes, spec.storage_class_name.as_deref()) else {
        tracing::debug!(namespace, name, class = spec.storage_class_name, "no such storage class: the claim stays pending");
        // Classes may be made later; the next look at this claim comes with its next change.
        return Ok(());
    };
    let uid = claim.uid().unwrap_or_default();
    let volume = format!("pvc-{uid}");
    let capacity = spec.resources.clone().and_then(|r| r.requests).unwrap_or_default();
    let object = PersistentVolume {
        metadata: ObjectMeta {
            name: Some(volume.clone()),
            annotations: Some([("pv.kubernetes.io/provisioned-by".to_owned(), class.provisioner.clone())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes.clone(),
            capacity: Some(capacity.clone()),
            claim_ref: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("PersistentVolumeClaim".to_owned()),
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                uid: Some(uid),
                ..ObjectReference::default()
            }),
            csi: Some(k8s_openapi::api::core::v1::CSIPersistentVolumeSource {
                driver: class.provisioner.clone(),
                volume_handle: volume.clone(),
                ..Default::default()
            }),
            persistent_volume_reclaim_policy: class.reclaim_policy.clone().or_else(|| Some("Delete".to_owned())),
            storage_class_name: Some(class.name_any()),
            volume_mode: spec.volume_mode.clone().or_else(|| Some("Filesystem".to_owned())),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    };
    let volumes: Api<PersistentVolume> = Api::all(cx.client.clone());
    write::create_in(&volumes, MANAGER, &object).await?;
    write::status(&volumes, MANAGER, &volume, json!({ "phase": "Bound" })).await?;
    let mut finalizers = claim.finalizers().to_vec();
    if !finalizers.iter().any(|f| f == PROTECTION) {
        finalizers.push(PROTECTION.to_owned());
    }
    let annotations: BTreeMap<&str, &str> = [
        ("pv.kubernetes.io/bind-completed", "yes"),
        ("pv.kubernetes.io/bound-by-controller", "yes"),
        ("volume.kubernetes.io/storage-provisioner", class.provisioner.as_str()),
    ]
    .into();
    let patch = json!({
        "metadata": { "annotations": annotations, "finalizers": finalizers, "resourceVersion": claim.resource_version() },
        "spec": { "volumeName": volume },
    });
    write::merge(&api, MANAGER, &name, patch).await?;
    let status = PersistentVolumeClaimStatus {
        phase: Some("Bound".to_owned()),
        access_modes: spec.access_modes,
        capacity: Some(capacity),
        ..PersistentVolumeClaimStatus::default()
    };
    write::status(&api, MANAGER, &name, serde_json::to_value(status).context("write a claim's status")?).await?;
    Ok(())
}

/// Claims with a data source of a foreign kind are bound by that kind's populator.
fn populated_by_others(claim: &PersistentVolumeClaim) -> bool {
    let source = claim.spec.as_ref().and_then(|s| s.data_source_ref.as_ref());
    source.is_some_and(|s| s.kind != "PersistentVolumeClaim" && s.kind != "VolumeSnapshot")
}

fn class_of(classes: &Store<StorageClass>, name: Option<&str>) -> Option<std::sync::Arc<StorageClass>> {
    match name {
        Some("") => None,
        Some(name) => classes.find(|class| class.name_any() == name),
        None => classes.find(|class| class.annotations().get(DEFAULT_CLASS).is_some_and(|v| v == "true")),
    }
}

async fn release(cx: Context, mut latest: Latest<PersistentVolume>) -> anyhow::Result<()> {
    let volume = latest.get();
    let Some(spec) = &volume.spec else { return Ok(()) };
    let Some(claim) = &spec.claim_ref else { return Ok(()) };
    let (Some(namespace), Some(name), Some(uid)) = (&claim.namespace, &claim.name, &claim.uid) else { return Ok(()) };
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cx.client.clone(), namespace);
    if claims.get_opt(name).await?.is_some_and(|c| c.uid().as_deref() == Some(uid)) {
        return Ok(());
    }
    let volumes: Api<PersistentVolume> = Api::all(cx.client.clone());
    let phase = volume.status.as_ref().and_then(|s| s.phase.as_deref());
    if phase != Some("Released") {
        write::status(&volumes, MANAGER, &volume.name_any(), json!({ "phase": "Released" })).await?;
    }
    if spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete") {
        for finalizer in ["kubernetes.io/pv-protection", "external-provisioner.volume.kubernetes.io/finalizer"] {
            write::finalizer(&volumes, MANAGER, &*volume, finalizer, false).await?;
        }
        write::delete(&volumes, &volume.name_any(), volume.uid(), None).await?;
    }
    Ok(())
}

/// The volumes of claims in a namespace, for tests of the room and of others.
///
/// # Errors
/// What the server says.
pub async fn volumes_of(cx: &Context, namespace: &str) -> anyhow::Result<Vec<String>> {
    let volumes = Api::<PersistentVolume>::all(cx.client.clone()).list(&ListParams::default()).await?;
    let of = |v: &PersistentVolume| v.spec.as_ref().and_then(|s| s.claim_ref.as_ref()).and_then(|c| c.namespace.clone());
    Ok(volumes.iter().filter(|v| of(v).as_deref() == Some(namespace)).map(ResourceExt::name_any).collect())
}
