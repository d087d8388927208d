//! Removing what a Plan made in its target namespace: VirtualMachines, DataVolumes, claims and volumes. They are not in the
//! journal, Forklift creates them; that they are ours is told by their label `plan`, which is the UID of a Plan of ours.

use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use kube::api::DynamicObject;
use mtv_api::kinds::{self, Kind};

use super::teardown::told;
use crate::{
    cluster::{Awaited, Cluster, ObjectExt as _},
    engine::{Failure, StepCx},
    events::What,
};

/// What [`remove`] would delete, as `VirtualMachine ns/x`.
///
/// # Errors
/// The cluster does not answer.
pub async fn made(cluster: &Cluster, namespace: &str, plan: &str) -> Result<Vec<String>, Failure> {
    let selector = format!("plan={plan}");
    let mut all = Vec::new();
    for kind in KINDS {
        let labelled = cluster.list_in_served(kind, namespace, &selector).await?.unwrap_or_default();
        all.extend(labelled.iter().map(|object| told(kind, namespace, object)));
    }
    Ok(all)
}

/// What Forklift makes for a Plan, users first.
const KINDS: [&Kind; 3] = [&kinds::VM, &kinds::DATA_VOLUME, &kinds::PVC];

/// Removes it and waits until it is gone. VirtualMachines own their claims, so those usually go by themselves.
pub async fn remove(cluster: &Cluster, cx: &StepCx, namespace: &str, plan: &str, limit: Duration) -> Result<(), Failure> {
    let mine = |o: &DynamicObject| o.metadata.labels.as_ref().and_then(|l| l.get("plan")).is_some_and(|p| p == plan);
    let claims = cluster.watched(cx, &kinds::PVC, Some(namespace), mine).await?;
    for kind in KINDS {
        let objects = cluster.watched(cx, kind, Some(namespace), mine).await?;
        // A claim that its VirtualMachine takes along is being deleted already.
        let standing = objects.iter().filter(|o| o.metadata.deletion_timestamp.is_none() && !owned_by_gone(o, kind));
        for result in join_all(standing.map(|o| delete(cluster, kind, namespace, o))).await {
            result?;
        }
        let until = "of the Plan to be gone";
        let awaited = Awaited { kind, namespace: Some(namespace), name: "", until, limit };
        cluster.wait_all(cx, awaited, |all| Ok(all.iter().all(|o| !mine(o)).then_some(()))).await?;
        for object in &objects {
            cx.emitter.emit(What::Deleted { object: told(kind, namespace, object) });
        }
    }
    wait_for_volumes(cluster, cx, namespace, &claims, limit).await
}

/// Whether the garbage collector will take a claim: its owner, a VirtualMachine, was deleted just before.
fn owned_by_gone(object: &DynamicObject, kind: &Kind) -> bool {
    kind == &kinds::PVC && object.metadata.owner_references.iter().flatten().any(|o| o.kind == kinds::VM.kind)
}

async fn delete(cluster: &Cluster, kind: &'static Kind, namespace: &str, object: &DynamicObject) -> Result<(), Failure> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    cluster.delete(kind, Some(namespace), name, object.metadata.uid.as_deref()).await?;
    Ok(())
}

/// Waits until the volumes of deleted claims are gone. A volume that its StorageClass retains is not ours to delete.
async fn wait_for_volumes(
    cluster: &Cluster,
    cx: &StepCx,
    namespace: &str,
    claims: &[DynamicObject],
    limit: Duration,
) -> Result<(), Failure> {
    let uids: BTreeSet<&str> = claims.iter().filter_map(|c| c.metadata.uid.as_deref()).collect();
    if uids.is_empty() {
        return Ok(());
    }
    let awaited = Awaited { kind: &kinds::PV, namespace: None, name: "", until: "of the Plan's claims to be gone", limit };
    let held = |volume: &DynamicObject| {
        volume.text("/spec/claimRef/namespace") == Some(namespace)
            && volume.text("/spec/claimRef/uid").is_some_and(|uid| uids.contains(uid))
            && volume.text("/spec/persistentVolumeReclaimPolicy") != Some("Retain")
    };
    cluster.wait_all(cx, awaited, |all| Ok(all.iter().all(|v| !held(v)).then_some(()))).await
}
