//! CDI: a DataVolume becomes a claim with content.

pub(in crate::roles) mod claim;
mod phase;

use std::time::Duration;

use k8s_openapi::api::{core::v1::PersistentVolumeClaim, storage::v1::StorageClass};
use kube::{
    Api, ResourceExt,
    api::DynamicObject,
    runtime::{reflector::Store, watcher},
};
use mtv_api::kinds;
use serde_json::{Value, json};

use self::phase::Phase;
use super::{
    Context,
    life::{self, Latest, Lives},
    write,
};
use crate::world::DiskImage;

const MANAGER: &str = "lab-cdi";
/// From the claim to the importer's first byte: a pod has to start. Longer than the three seconds between two looks of
/// Forklift, and no multiple of them: else a look falls between the volumes of one VM.
const SCHEDULE: Duration = Duration::from_secs(4);
/// Copying a disk, or what changed since the last checkpoint, whatever the size: the lab's disks are empty.
const IMPORT: Duration = Duration::from_secs(8);
/// Progress is told this often while copying.
const TICKS: u32 = 10;
/// Annotation of the claim: the checkpoint is copied.
const COPIED: &str = "cdi.kubevirt.io/storage.checkpoint.copied.";
/// Annotation of the DataVolume: a claim of its name that is there already is taken over.
const ADOPTION: &str = "cdi.kubevirt.io/allowClaimAdoption";
/// Annotation of DataVolume and claim: the source disk.
const DISK_SOURCE: &str = "forklift.konveyor.io/disk-source";

/// Starts the role.
///
/// # Errors
/// The lab ended meanwhile.
pub async fn start(cx: &Context) -> anyhow::Result<()> {
    let (sender, receiver) = tokio::sync::watch::channel(None::<Lives<DynamicObject>>);
    let claims = life::observe(cx, Api::<PersistentVolumeClaim>::all(cx.client.clone()), (), move |claim| {
        if let Some(volumes) = &*receiver.borrow() {
            // The claim of a DataVolume has its name.
            volumes.poke(&claim.namespace().unwrap_or_default(), &claim.name_any());
        }
    })
    .await?;
    let context = cx.clone();
    let classes = life::observe(cx, Api::<StorageClass>::all(cx.client.clone()), (), |_| {}).await?;
    life::each(cx, Api::<StorageClass>::all(cx.client.clone()), watcher::Config::default(), move |class| profile(context.clone(), class))
        .await?;
    let context = cx.clone();
    let volumes = life::each(cx, write::all(&cx.client, &kinds::DATA_VOLUME), watcher::Config::default(), move |volume| {
        import(context.clone(), claims.clone(), classes.clone(), volume)
    })
    .await?;
    // Claims may have changed before there was anyone to wake.
    volumes.poke_all();
    sender.send_replace(Some(volumes));
    Ok(())
}

/// Each class has a StorageProfile of its name.
async fn profile(cx: Context, mut latest: Latest<StorageClass>) -> anyhow::Result<()> {
    let class = latest.get();
    let name = class.name_any();
    let model = cx.world.datacenter.cluster.storage_classes.iter().find(|c| c.name == name);
    // What CDI assumes of a class that it does not know.
    let (access, mode) = model.map_or(("ReadWriteOnce", "Filesystem"), |m| (m.access_mode.as_str(), m.volume_mode.as_str()));
    let api = write::all(&cx.client, &kinds::STORAGE_PROFILE);
    let labels = json!({ "app": "containerized-data-importer", "app.kubernetes.io/component": "storage", "app.kubernetes.io/managed-by": "cdi-controller" });
    write::create(&cx.client, MANAGER, &kinds::STORAGE_PROFILE, json!({ "metadata": { "name": name, "labels": labels }, "spec": {} }))
        .await?;
    let status = json!({
        "storageClass": name,
        "provisioner": class.provisioner,
        "cloneStrategy": "copy",
        "dataImportCronSourceFormat": "pvc",
        "claimPropertySets": [{ "accessModes": [access], "volumeMode": mode }],
    });
    let known = api.get_opt(&name).await?.is_some_and(|p| p.data.pointer("/status/claimPropertySets").is_some());
    if !known {
        write::status(&api, MANAGER, &name, status).await?;
    }
    Ok(())
}

/// A DataVolume as its task works with it.
struct Volume<'a> {
    cx: &'a Context,
    api: Api<DynamicObject>,
    namespace: String,
    name: String,
}

impl Volume<'_> {
    async fn say(&self, volume: &DynamicObject, phase: Phase, progress: &str, bound: bool) -> anyhow::Result<()> {
        let cloning =
            ["/spec/sourceRef", "/spec/source/pvc", "/spec/source/snapshot"].iter().any(|part| volume.data.pointer(part).is_some());
        let known = write::list(&volume.data, "/status/conditions");
        let conditions = phase.conditions(known, &self.name, bound, &self.cx.world.clock.now());
        let mut status = json!({ "phase": phase.name(cloning), "progress": progress, "claimName": self.name, "conditions": conditions });
        if matches!(phase, Phase::Crashing(_)) {
            status["restartCount"] = json!(1);
        } else if !matches!(phase, Phase::Pending | Phase::ImportScheduled) {
            status["restartCount"] = json!(0);
        }
        write::status(&self.api, MANAGER, &self.name, status).await.map(drop)
    }
}

async fn import(
    cx: Context,
    claims: Store<PersistentVolumeClaim>,
    classes: Store<StorageClass>,
    mut latest: Latest<DynamicObject>,
) -> anyhow::Result<()> {
    let seen = latest.get();
    let api = write::api(&cx.client, &kinds::DATA_VOLUME, &seen.namespace().unwrap_or_default());
    // Read again: the watch may not have brought what this task wrote last, and nothing must be imported twice.
    let Some(object) = api.get_opt(&seen.name_any()).await?.filter(|object| object.uid() == seen.uid()) else { return Ok(()) };
    let done = matches!(write::text(&object.data, "/status/phase"), "Succeeded" | "Failed");
    if object.metadata.deletion_timestamp.is_some() || done {
        return Ok(());
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let volume = Volume { cx: &cx, api, namespace, name };
    let claims_api: Api<PersistentVolumeClaim> = Api::namespaced(cx.client.clone(), &volume.namespace);
    let mine = |claim: &PersistentVolumeClaim| {
        claim.name_any() == volume.name && claim.namespace().as_deref() == Some(&volume.namespace) && claim::owned(claim, &object)
    };
    if claims.find(mine).is_none() {
        let Some(claim) = claim::of(&object, &classes, &cx.world)? else {
            volume.say(&object, Phase::Pending, "N/A", false).await?;
            latest.changed_within(cx.world.clock.scaled(SCHEDULE)).await;
            anyhow::bail!("datavolume {}/{}: its storage class does not exist", volume.namespace, volume.name);
        };
        let made = write::create_in(&claims_api, MANAGER, &claim).await;
        if let Some(words) = made.as_ref().err().and_then(write::refusal).filter(|words| words.contains("exceeded quota")) {
            volume.say(&object, Phase::Pending, "N/A", false).await?;
            let about = (volume.namespace.as_str(), volume.name.as_str(), object.metadata.uid.as_deref().unwrap_or_default());
            let now = cx.world.clock.now();
            write::warn(&cx.client, "datavolume-import-controller", &kinds::DATA_VOLUME, about, ("ErrExceededQuota", words), &now).await?;
        }
        if made?.is_none() && object.annotations().get(ADOPTION).is_some_and(|v| v == "true") {
            // The claim was made before, and the import may have it.
            let owners = json!([write::controller_of(&kinds::DATA_VOLUME, &volume.name, &object.uid().unwrap_or_default())]);
            write::merge(&claims_api, MANAGER, &volume.name, json!({ "metadata": { "ownerReferences": owners } })).await?;
        }
    }
    let blank = object.data.pointer("/spec/source/blank").is_some();
    if write::text(&object.data, "/status/phase").is_empty() {
        volume.say(&object, Phase::ImportScheduled, "N/A", false).await?;
    }
    // The claim's own watch wakes this task.
    let claim =
        latest.until(|_| claims.find(|claim| mine(claim) && claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound"))).await;
    let target = format!("pvc:{}", claim.uid().unwrap_or_default());
    if blank {
        volume.say(&latest.get(), Phase::ImportScheduled, "N/A", true).await?;
        cx.world.clock.sleep(SCHEDULE).await;
        cx.world.disks.put(&target, DiskImage::default());
        return volume.say(&latest.get(), Phase::Succeeded, "100.0%", true).await;
    }
    copy(&volume, &mut latest, &claims_api, &target).await
}

/// Copies the source: all of it, or checkpoint by checkpoint until the final one.
async fn copy(
    volume: &Volume<'_>,
    latest: &mut Latest<DynamicObject>,
    claims: &Api<PersistentVolumeClaim>,
    target: &str,
) -> anyhow::Result<()> {
    let cx = volume.cx;
    loop {
        let object = latest.get();
        let checkpoints = write::list(&object.data, "/spec/checkpoints");
        let last = checkpoints.last().map(|c| write::text(c, "/current").to_owned());
        let is_final = object.data.pointer("/spec/finalCheckpoint").and_then(Value::as_bool).unwrap_or(false);
        let claim = claims.get_opt(&volume.name).await?;
        let copied = |current: &str| claim.as_ref().is_some_and(|c| c.annotations().contains_key(&format!("{COPIED}{current}")));
        if let Some(current) = &last
            && copied(current)
        {
            if is_final {
                return volume.say(&object, Phase::Succeeded, "100.0%", true).await;
            }
            if write::text(&object.data, "/status/phase") != "Paused" {
                volume.say(&object, Phase::Paused, "100.0%", true).await?;
            }
            let seen = checkpoints.len();
            latest
                .until(|o| {
                    (write::list(&o.data, "/spec/checkpoints").len() > seen
                        || o.data.pointer("/spec/finalCheckpoint") == Some(&json!(true)))
                    .then_some(())
                })
                .await;
            continue;
        }
        volume.say(&object, Phase::ImportScheduled, "N/A", true).await?;
        cx.world.clock.sleep(SCHEDULE / 3).await;
        // An importer that finds nothing is started again and again, as a pod is; the end is whoever waits for it losing patience.
        let from = loop {
            match content(cx, &latest.get()).await? {
                Ok(from) => break from,
                Err(why) => volume.say(&latest.get(), Phase::Crashing(why), "N/A", true).await?,
            }
            latest.changed_within(cx.world.clock.scaled(IMPORT)).await;
        };
        for tick in 0..=TICKS {
            let percent = f64::from(tick) * 100.0 / f64::from(TICKS);
            volume.say(&latest.get(), Phase::ImportInProgress, &format!("{percent:.2}%"), true).await?;
            cx.world.clock.sleep(IMPORT / TICKS).await;
        }
        cx.world.disks.copy(&cx.world.disks.newest(&from), target);
        let Some(current) = last else {
            return volume.say(&latest.get(), Phase::Succeeded, "100.0%", true).await;
        };
        let patch = json!({ "metadata": { "annotations": { format!("{COPIED}{current}"): "true" } } });
        write::merge(claims, MANAGER, &volume.name, patch).await?;
    }
}

/// The disk to copy from, as the world knows it, or why the importer cannot.
async fn content(cx: &Context, object: &DynamicObject) -> anyhow::Result<Result<String, String>> {
    let text = |pointer: &str| write::text(&object.data, pointer).to_owned();
    let cloned = text("/spec/source/pvc/name");
    if !cloned.is_empty() {
        let namespace = Some(text("/spec/source/pvc/namespace")).filter(|n| !n.is_empty()).or(object.namespace()).unwrap_or_default();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(cx.client.clone(), &namespace);
        let claim = claims.get_opt(&cloned).await?;
        return Ok(claim.and_then(|c| c.uid()).map(|uid| format!("pvc:{uid}")).ok_or(format!("claim {namespace}/{cloned} does not exist")));
    }
    let reference = text("/spec/sourceRef/name");
    let candidates = [
        if reference.is_empty() { reference } else { data_source(&text("/spec/sourceRef/namespace"), &reference) },
        text("/spec/source/http/url"),
        object.data.pointer("/spec/source/imageio/diskId").and_then(Value::as_str).map(|disk| format!("ovirt:{disk}")).unwrap_or_default(),
        object.annotations().get(DISK_SOURCE).cloned().unwrap_or_default(),
        base_disk(write::text(&object.data, "/spec/source/vddk/backingFile")),
    ];
    let kinds: Vec<&String> = object.data.pointer("/spec/source").and_then(Value::as_object).into_iter().flat_map(|s| s.keys()).collect();
    Ok(candidates.into_iter().find(|disk| !disk.is_empty()).ok_or(format!("nothing in the lab serves the content of source {kinds:?}")))
}

/// How the world calls what a DataSource stands for.
pub(crate) fn data_source(namespace: &str, name: &str) -> String {
    format!("datasource:{namespace}/{name}")
}

/// The disk that a snapshot's file `…-000001.vmdk` belongs to.
fn base_disk(file: &str) -> String {
    let Some(stem) = file.strip_suffix(".vmdk") else { return file.to_owned() };
    match stem.rsplit_once('-') {
        Some((base, number)) if number.len() == 6 && number.bytes().all(|b| b.is_ascii_digit()) => format!("{base}.vmdk"),
        _ => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_of_a_snapshot_is_its_base() {
        assert_eq!(base_disk("[ds] a/a-000002.vmdk"), "[ds] a/a.vmdk");
        assert_eq!(base_disk("[ds] a-1/a-1.vmdk"), "[ds] a-1/a-1.vmdk");
        assert_eq!(base_disk(""), "");
    }
}
