//! What goes after a VM was migrated, before it is migrated again, and when it is given up.

use mtv_api::{
    forklift::VmStatus,
    kinds::{CONFIG_MAP, CONVERSION, DATA_VOLUME, JOB, POD, PVC, SECRET, VM, VSPHERE_XCOPY_VOLUME_POPULATOR},
};

use crate::forklift::{
    cluster::{Look, Propagation},
    conditions::has_any,
    plan::Work,
};

/// Removes what the migration of a VM made and nobody needs any more. `all` takes what is kept after a success as well:
/// the virt-v2v pod and its Conversion.
pub async fn clean_up(work: &Work<'_>, migration: &str, vm: &VmStatus, all: bool) -> anyhow::Result<()> {
    let cluster = &work.context.cluster;
    let (target, home) = (work.spec.target_namespace.as_str(), work.namespace());
    let mine = format!("plan={},vmID={}", work.uid(), vm.id);
    tracing::debug!(vm = vm.name, migration, all, "cleaning up");
    let delete_vm = work.spec.delete_vm_on_fail_migration.unwrap_or(true)
        || vm.rest.get("deleteVmOnFailMigration").and_then(serde_json::Value::as_bool).unwrap_or(false);
    let copied = vm.rest.get("disksCopied").and_then(serde_json::Value::as_bool).unwrap_or(false);
    if !has_any(&vm.conditions, &["Succeeded"]) && delete_vm && work.spec.kind.as_deref() != Some("conversion") && (!copied || all) {
        cluster.delete_all(&VM, target, &mine).await?;
        cluster.delete_all(&PVC, target, &mine).await?;
        cluster.delete_all(&DATA_VOLUME, target, &mine).await?;
    }
    delete_importer_pods(work, &mine).await?;
    let keep_pod = !all && work.spec.rest.get("deleteGuestConversionPod") != Some(&serde_json::json!(true));
    if !keep_pod {
        cluster.delete_all(&POD, target, &format!("{mine},forklift.app=virt-v2v")).await?;
    }
    for conversion in cluster.list(&CONVERSION, home, &mine).await? {
        if conversion.label("conversion-type") == Some("DeepInspection") || !keep_pod {
            // The secret of an inspection goes with it; that of a conversion goes with the others below.
            let secret = conversion.text("/spec/connection/secret/name");
            if conversion.text("/spec/connection/secret/namespace") == home && home != target {
                cluster.delete(&SECRET, home, secret, Propagation::Background).await?;
            }
            cluster.delete(&CONVERSION, home, conversion.text("/metadata/name"), Propagation::Background).await?;
        }
    }
    cluster.delete_all(&SECRET, home, &format!("{mine},isConnection=true")).await?;
    cluster.delete_all(&POD, home, &format!("{mine},forklift.app=deep-inspection")).await?;
    cluster.delete_all(&SECRET, target, &format!("{mine},resource=vm-config")).await?;
    cluster.delete_all(&CONFIG_MAP, target, &format!("{mine},resource=vm-config")).await?;
    cluster.delete_all(&VSPHERE_XCOPY_VOLUME_POPULATOR, target, &format!("migration={migration},vmID={}", vm.id)).await?;
    for pod in cluster.list(&POD, target, &format!("migration={migration},vmID={}", vm.id)).await? {
        if pod.text("/metadata/name").starts_with("populate-") {
            cluster.delete(&POD, target, pod.text("/metadata/name"), Propagation::Background).await?;
        }
    }
    cluster.delete_all(&JOB, home, &format!("{mine},resource=hook-config")).await?;
    remove_last_snapshot(work, vm).await;
    if let Ok(source) = work.connected() {
        source.release(work, vm).await?;
    }
    Ok(())
}

async fn delete_importer_pods(work: &Work<'_>, mine: &str) -> anyhow::Result<()> {
    let cluster = &work.context.cluster;
    let target = work.spec.target_namespace.as_str();
    for claim in cluster.list(&PVC, target, mine).await? {
        if let Some(pod) = claim.annotation("cdi.kubevirt.io/storage.import.importPodName") {
            cluster.delete(&POD, target, pod, Propagation::Background).await?;
        }
    }
    Ok(())
}

/// DataVolumes go once the VirtualMachine owns their claims, and the importers with them.
pub async fn delete_data_volumes(work: &Work<'_>, vm: &str) -> anyhow::Result<()> {
    let mine = format!("plan={},vmID={vm}", work.uid());
    work.context.cluster.delete_all(&DATA_VOLUME, &work.spec.target_namespace, &mine).await?;
    delete_importer_pods(work, &mine).await
}

/// The last snapshot of a warm migration goes from the source; often it is gone already.
pub async fn remove_last_snapshot(work: &Work<'_>, vm: &VmStatus) {
    let snapshot = vm.warm.as_ref().and_then(|w| w.precopies.last()).and_then(|p| p.snapshot.clone());
    let Some(snapshot) = snapshot else { return };
    let removed = async {
        let session = work.connected()?.session().await?;
        let removed = match session.snapshots() {
            Some(snapshots) => snapshots.remove(&vm.id, &snapshot).await.map(drop),
            None => Ok(()),
        };
        session.end().await;
        removed
    };
    if let Err(error) = removed.await {
        tracing::debug!(vm = vm.name, snapshot, error = format!("{error:#}"), "snapshot was not removed");
    }
}
