//! Claims and volumes: what the persistent-volume controller does. Volumes come from a provisioner, which it asks by an
//! annotation of the claim.

use anyhow::Context as _;
use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus},
    storage::v1::StorageClass,
};
use kube::{
    Api, ResourceExt,
    api::ListParams,
    runtime::{reflector::Store, watcher},
};
use serde_json::json;

use super::{
    Context,
    life::{self, Latest, Lives},
    provisioner, write,
};

const MANAGER: &str = "lab-pv";
/// Annotation of claims: who is to make the volume.
pub(super) const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
/// Keeps a claim while pods use it. The lab's pods end before their claims, so it only delays the deletion by one look.
const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
/// Keeps a volume while it is bound.
const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Starts the role.
///
/// # Errors
/// The lab ended meanwhile.
pub async fn start(cx: &Context) -> anyhow::Result<()> {
    let (wake_claims, woken) = tokio::sync::watch::channel(None::<Lives<PersistentVolumeClaim>>);
    let classes = life::observe(cx, Api::<StorageClass>::all(cx.client.clone()), (), |_| {}).await?;
    let known = life::observe(cx, Api::<PersistentVolume>::all(cx.client.clone()), (), move |volume| {
        let claim = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
        if let (Some(claims), Some(claim)) = (&*woken.borrow(), claim) {
            claims.poke(claim.namespace.as_deref().unwrap_or_default(), claim.name.as_deref().unwrap_or_default());
            if volume.annotations().contains_key(super::populator::POPULATED_FROM) {
                // The claim that it was taken from must look as well.
                claims.poke_all();
            }
        }
    })
    .await?;
    let context = cx.clone();
    let claims = life::each(cx, Api::all(cx.client.clone()), watcher::Config::default(), move |claim| {
        bind(context.clone(), classes.clone(), known.clone(), claim)
    })
    .await?;
    claims.poke_all();
    wake_claims.send_replace(Some(claims));
    let context = cx.clone();
    let volumes =
        life::each(cx, Api::all(cx.client.clone()), watcher::Config::default(), move |volume| release(context.clone(), volume)).await?;
    // A volume is released when its claim goes, also one that goes before it was bound.
    life::observe(cx, Api::<PersistentVolumeClaim>::all(cx.client.clone()), (), move |claim| {
        match claim.spec.as_ref().and_then(|s| s.volume_name.as_deref()) {
            Some(volume) => volumes.poke("", volume),
            None => volumes.poke("", &provisioner::volume_of(&claim.uid().unwrap_or_default())),
        }
    })
    .await?;
    Ok(())
}

async fn bind(
    cx: Context,
    classes: Store<StorageClass>,
    volumes: Store<PersistentVolume>,
    mut latest: Latest<PersistentVolumeClaim>,
) -> anyhow::Result<()> {
    let claim = latest.get();
    let (name, namespace) = (claim.name_any(), claim.namespace().unwrap_or_default());
    let api: Api<PersistentVolumeClaim> = Api::namespaced(cx.client.clone(), &namespace);
    if claim.metadata.deletion_timestamp.is_some() {
        return write::finalizer(&api, MANAGER, &*claim, CLAIM_PROTECTION, false).await;
    }
    let spec = claim.spec.clone().unwrap_or_default();
    let uid = claim.uid();
    if claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound") {
        let bound = spec.volume_name.as_deref();
        let taken = volumes
            .find(|volume| Some(volume.name_any().as_str()) == bound)
            .is_some_and(|volume| volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref()).is_some_and(|c| c.uid.is_some() && c.uid != uid));
        if taken {
            write::status(&api, MANAGER, &name, json!({ "phase": "Lost" })).await?;
        }
        return Ok(());
    }
    if claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Lost") {
        return Ok(());
    }
    let reserved = |volume: &PersistentVolume| {
        volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref()).is_some_and(|c| c.uid.is_some() && c.uid == uid)
    };
    let Some(volume) = volumes.find(reserved) else {
        let Some(class) = class_of(&classes, spec.storage_class_name.as_deref()) else {
            tracing::debug!(namespace, name, class = spec.storage_class_name, "no such storage class: the claim stays pending");
            // Classes may be made later; the next look at this claim comes with its next change.
            return Ok(());
        };
        if claim.annotations().contains_key(PROVISIONER) {
            return Ok(());
        }
        let patch =
            json!({ "metadata": { "annotations": { PROVISIONER: class.provisioner }, "resourceVersion": claim.resource_version() } });
        return write::merge(&api, MANAGER, &name, patch).await.map(drop);
    };
    write::status(&Api::<PersistentVolume>::all(cx.client.clone()), MANAGER, &volume.name_any(), json!({ "phase": "Bound" })).await?;
    let mut finalizers = claim.finalizers().to_vec();
    if !finalizers.iter().any(|f| f == CLAIM_PROTECTION) {
        finalizers.push(CLAIM_PROTECTION.to_owned());
    }
    let annotations = json!({ "pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes" });
    let patch = json!({
        "metadata": { "annotations": annotations, "finalizers": finalizers, "resourceVersion": claim.resource_version() },
        "spec": { "volumeName": volume.name_any() },
    });
    write::merge(&api, MANAGER, &name, patch).await?;
    let status = PersistentVolumeClaimStatus {
        phase: Some("Bound".to_owned()),
        access_modes: spec.access_modes,
        capacity: volume.spec.as_ref().and_then(|s| s.capacity.clone()),
        ..PersistentVolumeClaimStatus::default()
    };
    write::status(&api, MANAGER, &name, serde_json::to_value(status).context("write a claim's status")?).await?;
    Ok(())
}

pub(super) fn class_of(classes: &Store<StorageClass>, name: Option<&str>) -> Option<std::sync::Arc<StorageClass>> {
    match name {
        Some("") => None,
        Some(name) => classes.find(|class| class.name_any() == name),
        None => classes.find(|class| class.annotations().get(DEFAULT_CLASS).is_some_and(|v| v == "true")),
    }
}

async fn release(cx: Context, mut latest: Latest<PersistentVolume>) -> anyhow::Result<()> {
    let volume = latest.get();
    let claim = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref());
    let Some((namespace, name, uid)) = claim.and_then(|c| Some((c.namespace.as_ref()?, c.name.as_ref()?, c.uid.as_ref()?))) else {
        return Ok(());
    };
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cx.client.clone(), namespace);
    if claims.get_opt(name).await?.is_some_and(|c| c.uid().as_ref() == Some(uid)) {
        return Ok(());
    }
    let volumes: Api<PersistentVolume> = Api::all(cx.client.clone());
    if volume.metadata.deletion_timestamp.is_some() {
        return write::finalizer(&volumes, MANAGER, &*volume, VOLUME_PROTECTION, false).await;
    }
    if volume.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Released") {
        write::status(&volumes, MANAGER, &volume.name_any(), json!({ "phase": "Released" })).await?;
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
