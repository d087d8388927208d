//! Forklift's volume populators: claims whose data source is a populator of Forklift get a volume with content.
//!
//! As the real controller does: a claim of its own (`prime-UID`) gets a volume from the storage driver, a pod (`populate-UID`)
//! fills it, and then the volume is given to the claim that asked.

mod pod;
mod progress;
mod xcopy;

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{Api, ResourceExt, runtime::watcher};
use mtv_api::kinds::{self, Kind};
use serde_json::{Value, json};

use super::{
    Context,
    life::{self, Latest},
    write,
};

const MANAGER: &str = "lab-populator";
/// How often claim, pod and volume are looked at: the real controller hears of each change, and of progress every five seconds.
const LOOK: Duration = Duration::from_secs(1);
/// Copying a disk, whatever its size: the lab's disks are empty. Progress is told along the way.
const COPY: Duration = Duration::from_secs(8);
/// Tries of a pod that fails, as in the real controller. Copies by the storage array are an affair of `xcopy`.
const TRIES: u32 = 3;
/// Annotation of a volume: which claim got it from a populator.
pub(super) const POPULATED_FROM: &str = "forklift.konveyor.io/populated-from";
/// Labels that the claim's helper shares with it.
const SHARED: &[&str] = &["migration", "plan", "vmID"];
/// Annotation of the claim: how often its pod was made again.
const RECREATIONS: &str = "recreations";

/// Where the content of what a populator reads is kept, by its `spec`.
type Content = fn(&Value) -> String;

/// Kinds of populators, with where the content of what they read is kept in the world.
const POPULATORS: &[(&Kind, Content)] = &[
    (&kinds::OVIRT_VOLUME_POPULATOR, |spec| format!("ovirt:{}", write::text(spec, "/diskId"))),
    (&kinds::OPENSTACK_VOLUME_POPULATOR, |spec| format!("openstack:{}", write::text(spec, "/imageId"))),
];

/// Starts the role.
///
/// # Errors
/// The lab ended meanwhile.
pub async fn start(cx: &Context) -> anyhow::Result<()> {
    let context = cx.clone();
    life::each(cx, Api::all(cx.client.clone()), watcher::Config::default(), move |claim: Latest<PersistentVolumeClaim>| {
        let context = context.clone();
        async move {
            // The two tell their claims apart by the kind of the source.
            let mut claim = claim;
            if claim.get().spec.as_ref().and_then(|s| s.data_source_ref.as_ref()).is_some_and(xcopy::is) {
                xcopy::populate(context, claim).await
            } else {
                populate(context, claim).await
            }
        }
    })
    .await?;
    Ok(())
}

/// The populator that a claim names.
fn asked(claim: &PersistentVolumeClaim) -> Option<(&'static Kind, Content, String)> {
    let source = claim.spec.as_ref()?.data_source_ref.as_ref()?;
    let (kind, content) =
        POPULATORS.iter().find(|(kind, _)| source.api_group.as_deref() == Some(kind.group) && source.kind == kind.kind)?;
    Some((kind, *content, source.name.clone()))
}

async fn populate(cx: Context, mut latest: Latest<PersistentVolumeClaim>) -> anyhow::Result<()> {
    let claim = latest.get();
    let bound = claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
    let Some((kind, content, name)) = asked(&claim) else { return Ok(()) };
    if claim.metadata.deletion_timestamp.is_some() || bound {
        return Ok(());
    }
    let namespace = claim.namespace().unwrap_or_default();
    let populators = write::api(&cx.client, kind, &namespace);
    let Some(populator) = populators.get_opt(&name).await? else {
        latest.changed_within(cx.world.clock.scaled(LOOK)).await;
        return Ok(());
    };
    let work = Work { cx: &cx, claim: &claim, namespace: &namespace, uid: claim.uid().unwrap_or_default() };
    work.prime().await?;
    if !work.copied(kind, &name).await? {
        anyhow::bail!("claim {namespace}/{}: its populator pod failed", claim.name_any());
    }
    let from = content(populator.data.get("spec").unwrap_or(&Value::Null));
    cx.world.disks.copy(&from, format!("pvc:{}", work.uid));
    work.hand_over().await
}

struct Work<'a> {
    cx: &'a Context,
    claim: &'a PersistentVolumeClaim,
    namespace: &'a str,
    uid: String,
}

impl Work<'_> {
    fn prime_name(&self) -> String {
        format!("prime-{}", self.uid)
    }

    fn claims(&self) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.cx.client.clone(), self.namespace)
    }

    /// The claim that gets the volume first: the same without a data source.
    async fn prime(&self) -> anyhow::Result<()> {
        let mut spec = serde_json::to_value(self.claim.spec.clone().unwrap_or_default())?;
        if let Value::Object(spec) = &mut spec {
            spec.retain(|key, _| !matches!(key.as_str(), "dataSource" | "dataSourceRef" | "volumeName"));
        }
        let owner = write::controller_of(&kinds::PVC, &self.claim.name_any(), &self.uid);
        let labels: serde_json::Map<String, Value> =
            SHARED.iter().filter_map(|key| Some(((*key).to_owned(), json!(self.claim.labels().get(*key)?)))).collect();
        let prime = json!({ "metadata": { "name": self.prime_name(), "namespace": self.namespace, "labels": labels, "ownerReferences": [owner] }, "spec": spec });
        write::create(&self.cx.client, MANAGER, &kinds::PVC, prime).await.map(drop)
    }

    /// Runs the pod until it has filled the volume; false if it failed for good.
    async fn copied(&self, kind: &Kind, populator: &str) -> anyhow::Result<bool> {
        let name = format!("populate-{}", self.uid);
        let pods: Api<Pod> = Api::namespaced(self.cx.client.clone(), self.namespace);
        let mut tries = 1;
        let mut since = None;
        loop {
            let pod = pods.get_opt(&name).await?;
            let phase = pod.as_ref().and_then(|p| p.status.as_ref()).and_then(|s| s.phase.as_deref()).unwrap_or_default();
            match phase {
                "Succeeded" => {
                    self.progress(kind, populator, 100).await?;
                    return Ok(true);
                }
                "Failed" if tries >= TRIES => return Ok(false),
                "Failed" => {
                    write::delete(&pods, &name, pod.and_then(|p| p.uid()), Some(0)).await?;
                    let patch = json!({ "metadata": { "annotations": { RECREATIONS: tries.to_string() } } });
                    write::merge(&self.claims(), MANAGER, &self.claim.name_any(), patch).await?;
                    tries += 1;
                    since = None;
                }
                "Running" => {
                    let begin = *since.get_or_insert_with(tokio::time::Instant::now);
                    let share = begin.elapsed().as_secs_f64() / self.cx.world.clock.scaled(COPY).as_secs_f64();
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 99")]
                    let percent = (share * 100.0).clamp(0.0, 99.0) as u32;
                    self.progress(kind, populator, percent).await?;
                }
                "" => self.pod(&name).await?,
                _ => {}
            }
            self.cx.world.clock.sleep(LOOK).await;
        }
    }

    async fn pod(&self, name: &str) -> anyhow::Result<()> {
        let mut labels = json!({ "pvcName": self.claim.name_any() });
        for key in ["migration", "vmID", "plan", "sourceHost"] {
            if let Some(value) = self.claim.labels().get(key) {
                labels[key] = json!(value);
            }
        }
        let block = self.claim.spec.as_ref().and_then(|s| s.volume_mode.as_deref()) == Some("Block");
        let mut container = json!({ "name": "populate", "image": "lab.invalid/populator:latest",
            "ports": [{ "containerPort": 8443, "name": "metrics", "protocol": "TCP" }],
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } } });
        if block {
            container["volumeDevices"] = json!([{ "name": "target", "devicePath": "/dev/block" }]);
        } else {
            container["volumeMounts"] = json!([{ "name": "target", "mountPath": "/mnt" }]);
        }
        let owner = write::controller_of(&kinds::PVC, &self.claim.name_any(), &self.uid);
        let pod = json!({
            "metadata": { "name": name, "namespace": self.namespace, "labels": labels, "ownerReferences": [owner] },
            "spec": {
                "containers": [container], "restartPolicy": "Never",
                "securityContext": { "runAsNonRoot": true, "runAsUser": 107, "seccompProfile": { "type": "RuntimeDefault" } },
                "volumes": [{ "name": "target", "persistentVolumeClaim": { "claimName": self.prime_name() } }],
            },
        });
        write::create(&self.cx.client, MANAGER, &kinds::POD, pod).await.map(drop)
    }

    async fn progress(&self, kind: &Kind, populator: &str, percent: u32) -> anyhow::Result<()> {
        let api = write::api(&self.cx.client, kind, self.namespace);
        // Populators have no status subresource.
        write::merge(&api, MANAGER, populator, json!({ "status": { "progress": percent.to_string() } })).await.map(drop)
    }

    /// Gives the volume to the claim that asked for it, and takes the other one away once that is bound.
    async fn hand_over(&self) -> anyhow::Result<()> {
        let claims = self.claims();
        let volumes: Api<PersistentVolume> = Api::all(self.cx.client.clone());
        let (name, prime) = (self.claim.name_any(), self.prime_name());
        loop {
            let bound = |claim: &PersistentVolumeClaim| claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
            if claims.get_opt(&name).await?.is_none_or(|claim| claim.uid().as_deref() != Some(&self.uid) || bound(&claim)) {
                return write::delete(&claims, &prime, None, None).await;
            }
            let volume = claims.get_opt(&prime).await?.filter(bound).and_then(|p| p.spec?.volume_name);
            if let Some(volume) = volume {
                let reference = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name, "namespace": self.namespace,
                    "uid": self.uid, "resourceVersion": Value::Null });
                write::merge(
                    &volumes,
                    MANAGER,
                    &volume,
                    json!({
                        "metadata": { "annotations": { POPULATED_FROM: format!("{}/{name}", self.namespace) } },
                        "spec": { "claimRef": reference },
                    }),
                )
                .await?;
            }
            self.cx.world.clock.sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_names_its_populator() {
        let claim = |group: &str, kind: &str| {
            let claim = json!({ "spec": { "dataSourceRef": { "apiGroup": group, "kind": kind, "name": "p" } } });
            serde_json::from_value::<PersistentVolumeClaim>(claim).unwrap()
        };
        let found = asked(&claim("forklift.konveyor.io", "OvirtVolumePopulator")).unwrap();
        assert_eq!((found.0.plural, found.1(&json!({ "diskId": "d" }))), ("ovirtvolumepopulators", "ovirt:d".to_owned()));
        assert!(asked(&claim("snapshot.storage.k8s.io", "VolumeSnapshot")).is_none());
        assert!(asked(&PersistentVolumeClaim::default()).is_none());
    }
}
