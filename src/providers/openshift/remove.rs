//! Removing of source VMs, and of their namespace with the last one.

use std::time::Duration;

use kube::api::DynamicObject;
use mtv_api::kinds;
use tokio::sync::RwLock;

use super::{is_of, listed, machine, watch};
use crate::{
    cluster::Cluster,
    providers::{CloneRequest, Leaving, ProviderError, ProviderResult},
    run::proof,
};

/// Longest wait for a VM or a namespace to be gone: a running guest is shut down first.
const GONE: Duration = Duration::from_mins(10);

/// Deletes a VM and waits until it is gone; its disk goes with it.
pub async fn vm(cluster: &Cluster, vm: &DynamicObject) -> ProviderResult<()> {
    let (namespace, name) = (vm.metadata.namespace.as_deref().unwrap_or_default(), vm.metadata.name.as_deref().unwrap_or_default());
    let uid = vm.metadata.uid.as_deref();
    let deleted = cluster.delete(&kinds::VM, Some(namespace), name, uid).await;
    deleted.map_err(|error| super::failed("", &error))?;
    watch::gone(cluster, &kinds::VM, namespace, name, uid, GONE).await
}

/// Deletes a VM whose making failed, if it is there. Its namespace stays for the other VMs of the run, whose making may be under way.
pub async fn half_made(cluster: &Cluster, request: &CloneRequest) -> ProviderResult<()> {
    let namespace = machine::namespace(&request.run);
    let found = cluster.get(&kinds::VM, Some(&namespace), &request.name).await;
    match found.map_err(|error| super::failed("", &error))? {
        Some(found) if is_of(&found, &request.run) => vm(cluster, &found).await,
        _ => Ok(()),
    }
}

/// What [`all_of`] would take.
pub async fn remains(cluster: &Cluster, leaving: Leaving<'_>) -> ProviderResult<Vec<String>> {
    let namespace = machine::namespace(leaving.run);
    let failed = |error: anyhow::Error| super::failed("", &error);
    let Some(home) = cluster.get(&kinds::NAMESPACE, None, &namespace).await.map_err(failed)? else { return Ok(Vec::new()) };
    if !is_of(&home, leaving.run) {
        return Err(ProviderError::operation(format!("namespace {namespace} does not carry the run's label; it was left alone")));
    }
    let mut all = Vec::new();
    if let Some(found) = cluster.get(&kinds::VM, Some(&namespace), leaving.name).await.map_err(failed)? {
        let listed = listed(&found);
        if leaving.is_it(&listed.id, listed.run.as_deref())? {
            all.push(format!("VM {}", leaving.name));
        }
    }
    let others = cluster.list(&kinds::VM, Some(&namespace), "").await.map_err(failed)?;
    let stays =
        others.iter().any(|vm| !is_of(vm, leaving.run)) || !proof::strangers(cluster, &home, leaving.run).await.map_err(failed)?.is_empty();
    if !stays {
        all.push(format!("Namespace {namespace} with its last VM"));
    }
    Ok(all)
}

/// Deletes the VM of a name and, when it was the last one, the namespace that the run made for them: also when the making had
/// come no further than that. `gate` keeps the namespace from being deleted under a VM that is just being created.
pub async fn all_of(cluster: &Cluster, gate: &RwLock<()>, leaving: Leaving<'_>) -> ProviderResult<bool> {
    let namespace = machine::namespace(leaving.run);
    let failed = |error: anyhow::Error| super::failed("", &error);
    let Some(home) = cluster.get(&kinds::NAMESPACE, None, &namespace).await.map_err(failed)? else { return Ok(false) };
    if !is_of(&home, leaving.run) {
        return Err(ProviderError::operation(format!("namespace {namespace} does not carry the run's label; it was left alone")));
    }
    let mut removed = false;
    if let Some(found) = cluster.get(&kinds::VM, Some(&namespace), leaving.name).await.map_err(failed)? {
        let listed = listed(&found);
        if leaving.is_it(&listed.id, listed.run.as_deref())? {
            vm(cluster, &found).await?;
            removed = true;
        }
    }
    let nobody_creates = gate.write().await;
    if cluster.list(&kinds::VM, Some(&namespace), "").await.map_err(failed)?.is_empty() {
        let theirs = proof::strangers(cluster, &home, leaving.run).await.map_err(failed)?;
        if !theirs.is_empty() {
            return Err(ProviderError::operation(format!(
                "namespace {namespace} holds objects that are not of this run; it was left alone with them ({})",
                theirs.join(", ")
            )));
        }
        let uid = home.metadata.uid.as_deref();
        cluster.delete(&kinds::NAMESPACE, None, &namespace, uid).await.map_err(failed)?;
        // Whoever creates a VM from now on sees that the namespace is being deleted, and waits for its end.
        drop(nobody_creates);
        watch::gone(cluster, &kinds::NAMESPACE, "", &namespace, uid, GONE).await?;
        removed = true;
    }
    Ok(removed)
}
