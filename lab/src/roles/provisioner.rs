//! The storage driver: makes a volume for each claim that asks for one of it, and removes it when the claim is gone.

use k8s_openapi::{
    api::{
        core::v1::{CSIPersistentVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec},
        storage::v1::StorageClass,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, ResourceExt,
    runtime::{reflector::Store, watcher},
};

use super::{
    Context,
    life::{self, Latest},
    pv, write,
};

/// The driver's name, in the storage classes of the lab.
pub const DRIVER: &str = "csi.lab.mtv-test.io";

const MANAGER: &str = "lab-provisioner";
/// Annotation of volumes: who made them.
const MADE_BY: &str = "pv.kubernetes.io/provisioned-by";

/// Starts the role.
///
/// # Errors
/// The lab ended meanwhile.
pub async fn start(cx: &Context) -> anyhow::Result<()> {
    let classes = life::observe(cx, Api::<StorageClass>::all(cx.client.clone()), (), |_| {}).await?;
    let context = cx.clone();
    life::each(cx, Api::all(cx.client.clone()), watcher::Config::default(), move |claim| provide(context.clone(), classes.clone(), claim))
        .await?;
    let context = cx.clone();
    life::each(cx, Api::all(cx.client.clone()), watcher::Config::default(), move |volume| remove(context.clone(), volume)).await?;
    Ok(())
}

/// Name of the volume that is made for a claim.
pub(super) fn volume_of(claim: &str) -> String {
    format!("pvc-{claim}")
}

async fn provide(cx: Context, classes: Store<StorageClass>, mut latest: Latest<PersistentVolumeClaim>) -> anyhow::Result<()> {
    let claim = latest.get();
    let asked = claim.annotations().get(pv::PROVISIONER).is_some_and(|who| who == DRIVER);
    let spec = claim.spec.clone().unwrap_or_default();
    if !asked || claim.metadata.deletion_timestamp.is_some() || spec.volume_name.is_some() || populated_by_others(&claim) {
        return Ok(());
    }
    let (name, namespace, uid) = (claim.name_any(), claim.namespace(), claim.uid().unwrap_or_default());
    let Some(class) = pv::class_of(&classes, spec.storage_class_name.as_deref()) else { return Ok(()) };
    let volume = volume_of(&uid);
    let object = PersistentVolume {
        metadata: ObjectMeta {
            name: Some(volume.clone()),
            annotations: Some([(MADE_BY.to_owned(), DRIVER.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes,
            capacity: spec.resources.and_then(|r| r.requests),
            claim_ref: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("PersistentVolumeClaim".to_owned()),
                name: Some(name),
                namespace,
                uid: Some(uid),
                ..ObjectReference::default()
            }),
            csi: Some(CSIPersistentVolumeSource { driver: DRIVER.to_owned(), volume_handle: volume, ..Default::default() }),
            persistent_volume_reclaim_policy: class.reclaim_policy.clone().or_else(|| Some("Delete".to_owned())),
            storage_class_name: Some(class.name_any()),
            volume_mode: spec.volume_mode.or_else(|| Some("Filesystem".to_owned())),
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    };
    write::create_in(&Api::<PersistentVolume>::all(cx.client.clone()), MANAGER, &object).await.map(drop)
}

/// Claims with a data source of a foreign kind are filled by that kind's populator.
fn populated_by_others(claim: &PersistentVolumeClaim) -> bool {
    let source = claim.spec.as_ref().and_then(|s| s.data_source_ref.as_ref());
    source.is_some_and(|s| s.kind != "PersistentVolumeClaim" && s.kind != "VolumeSnapshot")
}

async fn remove(cx: Context, mut latest: Latest<PersistentVolume>) -> anyhow::Result<()> {
    let volume = latest.get();
    let spec = volume.spec.clone().unwrap_or_default();
    let released = volume.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Released");
    let mine = volume.annotations().get(MADE_BY).is_some_and(|who| who == DRIVER);
    if !mine || !released || volume.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    if spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete") {
        cx.world.disks.remove(&format!("pvc:{}", spec.claim_ref.and_then(|c| c.uid).unwrap_or_default()));
        write::delete(&Api::<PersistentVolume>::all(cx.client.clone()), &volume.name_any(), volume.uid(), None).await?;
    }
    Ok(())
}
