//! Making and switching of source VMs.

use std::time::Duration;

use kube::api::DynamicObject;
use mtv_api::kinds::{self, Kind};
use serde_json::Value;
use tokio::sync::RwLock;

use super::{
    is_of, machine,
    watch::{self, refused},
};
use crate::{
    cluster::{Cluster, NotCreated, name_of},
    config::{
        profile::{GuestLogin, ProviderKind},
        scenario::PowerWish,
    },
    providers::{CloneRequest, ProviderError, ProviderResult},
};

/// Longest wait for a new VM's disk: a copy of the boot source, 20 minutes as for clones elsewhere (mtv-api-tests).
const DISK: Duration = Duration::from_mins(20);
/// Longest wait for a VM to start or stop, as mtv-api-tests has it.
const SWITCH: Duration = Duration::from_mins(4);

/// Longest wait for the run's namespace to be deleted before it is created again.
const NAMESPACE_GONE: Duration = Duration::from_mins(4);

/// Makes a VM of a run and waits until it could be started. Returns its UID. `gate` is held until the VM is there, so that the
/// scenario of the last other VM does not delete the namespace meanwhile.
pub async fn vm(cluster: &Cluster, gate: &RwLock<()>, request: &CloneRequest, guest: Option<&GuestLogin>) -> ProviderResult<String> {
    request.must_be_plain(ProviderKind::Openshift)?;
    let doing = format!("make VM {} in place of {}", request.name, request.source);
    boot_source(cluster, &doing).await?;
    let run = request.run.as_str();
    let nobody_deletes = gate.read().await;
    create(cluster, &kinds::NAMESPACE, machine::namespace_body(run), run, &doing).await?;
    create(cluster, &kinds::NAD, machine::network_body(run), run, &doing).await?;
    let made = create(
        cluster,
        &kinds::VM,
        machine::body(run, &request.name, guest.map(|login| (login.user.as_str(), login.password.expose()))),
        run,
        &doing,
    )
    .await?;
    drop(nobody_deletes);
    let namespace = machine::namespace(run);
    let awaited = format!("{doing}: its disk to be copied");
    let volume = watch::until(cluster, &kinds::DATA_VOLUME, &namespace, &request.name, DISK, &awaited, |volume| {
        match text(volume, "/status/phase") {
            "Succeeded" | "WaitForFirstConsumer" | "PendingPopulation" => Ok(true),
            "Failed" => Err(ProviderError::operation(format!("{doing}: the copy of the boot source failed"))),
            _ => Ok(false),
        }
    })
    .await?;
    if text(&volume, "/status/phase") != "Succeeded" {
        // The storage class binds a claim when somebody uses it: the VM has to run once.
        switch(cluster, &made, PowerWish::On).await?;
        switch(cluster, &made, PowerWish::Off).await?;
    }
    made.metadata.uid.ok_or_else(|| ProviderError::operation(format!("{doing}: the VM has no UID")))
}

/// Switches a VM on or off and waits until it is.
pub async fn switch(cluster: &Cluster, vm: &DynamicObject, power: PowerWish) -> ProviderResult<()> {
    let (namespace, name) = (vm.metadata.namespace.as_deref().unwrap_or_default(), vm.metadata.name.as_deref().unwrap_or_default());
    let (verb, state) = match power {
        PowerWish::On => ("start", "Running"),
        PowerWish::Off => ("stop", "Stopped"),
    };
    let doing = format!("{verb} VM {namespace}/{name}");
    if text(vm, "/status/printableStatus") != state {
        cluster.switch(namespace, name, verb).await.map_err(|error| super::failed("", &error))?;
    }
    watch::until(cluster, &kinds::VM, namespace, name, SWITCH, &format!("{doing}: the VM to be {state}"), |vm| {
        Ok(text(vm, "/status/printableStatus") == state)
    })
    .await
    .map(drop)
}

/// The boot source must be there: without it the VM would wait for its disk for ever.
async fn boot_source(cluster: &Cluster, doing: &str) -> ProviderResult<()> {
    let (namespace, name) = machine::BOOT_SOURCE;
    for (kind, namespace, name) in [
        (&kinds::DATA_SOURCE, Some(namespace), name),
        (&kinds::CLUSTER_INSTANCE_TYPE, None, machine::INSTANCE_TYPE),
        (&kinds::CLUSTER_PREFERENCE, None, machine::PREFERENCE),
    ] {
        let found = cluster.get(kind, namespace, name).await.map_err(|error| super::failed(doing, &error))?;
        if found.is_none() {
            return Err(ProviderError::not_found(format!("{doing}: {} does not exist", name_of(kind, namespace, name)))
                .hint("OpenShift Virtualization brings it, are its common boot sources and instance types deployed?"));
        }
    }
    Ok(())
}

/// Creates an object that may be the run's already: other VMs of the run share namespace and network.
async fn create(cluster: &Cluster, kind: &'static Kind, body: Value, run: &str, doing: &str) -> ProviderResult<DynamicObject> {
    let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let namespace = body["metadata"]["namespace"].as_str().map(str::to_owned);
    let object = name_of(kind, namespace.as_deref(), &name);
    loop {
        let found = match cluster.create_once(kind, &body, |found| is_of(found, run)).await {
            Ok(found) => found,
            Err(NotCreated::Failed { error, .. }) => return Err(refused(&error, &format!("{doing}: {object}"))),
            Err(NotCreated::Foreign) => {
                return Err(ProviderError::operation(format!(
                    "{doing}: {object} exists already and is not of this run; it was left alone"
                )));
            }
            Err(NotCreated::Unseen(error)) => return Err(super::failed(doing, &error)),
        };
        if kind != &kinds::NAMESPACE || found.metadata.deletion_timestamp.is_none() {
            return Ok(found);
        }
        // The scenario of the last VM in it is deleting the namespace: it comes back once it does not exist any more.
        watch::gone(cluster, kind, "", &name, found.metadata.uid.as_deref(), NAMESPACE_GONE).await?;
    }
}

fn text<'o>(object: &'o DynamicObject, pointer: &str) -> &'o str {
    object.data.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
