//! Instances: from Pending to Running, the guest inside, and down again.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Api, ResourceExt, api::DynamicObject};
use mtv_api::kinds;
use serde_json::{Value, json};

use super::{MANAGER, Shared, guest, launcher, network, vm::INSTANCE_FINALIZER};
use crate::roles::{life::Latest, write};

/// From a running launcher pod to a running domain.
const LAUNCH: Duration = Duration::from_secs(1);
/// From a running domain to an operating system that answers: Linux, and Windows, which installs drivers first.
const BOOT: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(12));
/// Shutting a guest down.
const SHUTDOWN: Duration = Duration::from_secs(3);
/// How often a missing claim is looked for.
const LOOK: Duration = Duration::from_secs(5);

fn deleting(instance: &DynamicObject) -> Option<()> {
    instance.metadata.deletion_timestamp.as_ref().map(|_| ())
}

/// An instance as its task works with it.
struct Instance<'a> {
    shared: &'a Shared,
    api: Api<DynamicObject>,
    namespace: String,
    name: String,
    uid: String,
}

impl Instance<'_> {
    async fn current(&self) -> anyhow::Result<Option<DynamicObject>> {
        Ok(self.api.get_opt(&self.name).await?)
    }

    /// Writes a phase once, with the time of the transition.
    async fn phase(&self, phase: &str, mut status: Value) -> anyhow::Result<()> {
        let now = self.shared.cx.world.clock.now();
        let Some(object) = self.current().await? else { return Ok(()) };
        let mut times = write::list(&object.data, "/status/phaseTransitionTimestamps").to_vec();
        if times.iter().all(|t| t["phase"] != phase) {
            times.push(json!({ "phase": phase, "phaseTransitionTimestamp": now }));
        }
        status["phase"] = phase.into();
        status["phaseTransitionTimestamps"] = times.into();
        write::status(&self.api, MANAGER, &self.name, status).await.map(drop)
    }

    async fn conditions(&self, changes: &[(&str, bool, &str, &str)]) -> anyhow::Result<Vec<Value>> {
        let now = self.shared.cx.world.clock.now();
        let object = self.current().await?;
        let mut list = object.as_ref().map(|o| write::list(&o.data, "/status/conditions").to_vec()).unwrap_or_default();
        for (kind, status, reason, message) in changes {
            list = write::condition(&list, kind, *status, reason, message, &now);
        }
        Ok(list)
    }

    fn pod(&self) -> Option<std::sync::Arc<Pod>> {
        self.shared.pods.find(|pod| pod.owner_references().iter().any(|o| o.uid == self.uid))
    }
}

/// Looks after one instance.
pub(super) async fn tend(shared: Shared, mut latest: Latest<DynamicObject>) -> anyhow::Result<()> {
    let object = latest.get();
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api = write::api(&shared.cx.client, &kinds::VMI, &namespace);
    let instance = Instance { shared: &shared, api, namespace, name, uid: object.uid().unwrap_or_default() };
    if deleting(&object).is_some() {
        return down(&instance, &object).await;
    }
    if matches!(write::text(&object.data, "/status/phase"), "Succeeded" | "Failed") {
        shared.guests.remove(&instance.namespace, &instance.name);
        return Ok(());
    }
    let mut watched = latest.clone();
    tokio::select! {
        biased;
        () = watched.until(deleting) => {}
        up = up(&instance, &mut latest) => up?,
    }
    // Up is the end of the work only until the instance is to go.
    watched.until(deleting).await;
    let object = watched.get();
    down(&instance, &object).await
}

async fn up(instance: &Instance<'_>, latest: &mut Latest<DynamicObject>) -> anyhow::Result<()> {
    let object = latest.get();
    let clock = instance.shared.cx.world.clock;
    let running = write::text(&object.data, "/status/phase") == "Running";
    if write::text(&object.data, "/status/phase").is_empty() {
        let conditions = instance.conditions(&[("Ready", false, "GuestNotRunning", "Guest VM is not reported as running")]).await?;
        instance.phase("Pending", json!({ "conditions": conditions, "qosClass": "Burstable", "runtimeUser": 107 })).await?;
    }
    let claims = claims(instance, latest).await?;
    if instance.pod().is_none() {
        launcher::create(&instance.shared.cx, &object).await?;
        instance.phase("Scheduling", json!({})).await?;
    }
    let pod = latest.until(|_| instance.pod().filter(|pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running"))).await;
    let node = pod.spec.as_ref().and_then(|s| s.node_name.clone()).unwrap_or_default();
    let ip = pod.status.as_ref().and_then(|s| s.pod_ip.clone()).unwrap_or_default();
    let world = &instance.shared.cx.world;
    let system = guest::boot(instance.shared, &object, &claims)?;
    let addresses = system.as_ref().map(|s| s.addresses.clone()).unwrap_or_default();
    let windows = system.as_ref().is_some_and(|s| s.model.family == "windows");
    let mut interfaces = network::interfaces(&object.data, &ip, &addresses, windows);
    if let Some(system) = &system {
        network::configure(&mut interfaces, &system.names, &system.gateways, &system.change);
    }
    if !running {
        let active = json!({ pod.uid().unwrap_or_default(): node });
        let patch = json!({ "metadata": { "labels": { "kubevirt.io/nodeName": node } } });
        write::merge(&instance.api, MANAGER, &instance.name, patch).await?;
        instance.phase("Scheduled", json!({ "nodeName": node, "activePods": active })).await?;
        clock.sleep(LAUNCH).await;
        let shared_storage = claims
            .iter()
            .all(|c| c.spec.as_ref().and_then(|s| s.access_modes.as_ref()).is_some_and(|m| m.iter().any(|m| m == "ReadWriteMany")));
        let migratable = if shared_storage {
            ("LiveMigratable", true, "", "")
        } else {
            ("LiveMigratable", false, "DisksNotLiveMigratable", "a claim is not shared: live migration needs ReadWriteMany")
        };
        let conditions = instance.conditions(&[("Ready", true, "", ""), migratable, ("StorageLiveMigratable", true, "", "")]).await?;
        let seen = network::status(&interfaces, None);
        instance.phase("Running", guest::domain(&object.data, &claims, &json!({ "conditions": conditions, "interfaces": seen, "migrationMethod": if shared_storage { "LiveMigration" } else { "BlockMigration" } }))).await?;
    }
    // A disk without a system that the lab knows: the domain runs and nothing answers, as with an empty disk.
    let Some(system) = system else { return Ok(()) };
    clock.sleep(if windows { BOOT.1 } else { BOOT.0 }).await;
    let mut status = json!({ "interfaces": network::status(&interfaces, Some(system.model.agent)) });
    if system.model.agent {
        status["conditions"] = instance.conditions(&[("AgentConnected", true, "", "")]).await?.into();
        status["guestOSInfo"] = guest::os_info(&system.model);
    }
    let machine = guest::machine(&system, &interfaces, &claims, world.clock);
    instance.shared.guests.put(&instance.namespace, &instance.name, machine);
    write::status(&instance.api, MANAGER, &instance.name, status).await.map(drop)
}

/// The claims of the instance's volumes, in their order, once all are there.
async fn claims(instance: &Instance<'_>, latest: &mut Latest<DynamicObject>) -> anyhow::Result<Vec<PersistentVolumeClaim>> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(instance.shared.cx.client.clone(), &instance.namespace);
    loop {
        let object = latest.get();
        let volumes = write::list(&object.data, "/spec/volumes").iter();
        let names = volumes.filter_map(|v| v.pointer("/persistentVolumeClaim/claimName").or_else(|| v.pointer("/dataVolume/name")));
        let (mut found, mut missing) = (Vec::new(), None);
        for name in names.filter_map(Value::as_str) {
            match api.get_opt(name).await? {
                Some(claim) => found.push(claim),
                None => missing = Some(name.to_owned()),
            }
        }
        let Some(missing) = missing else { return Ok(found) };
        let message = format!("PVC {}/{missing} does not exist, waiting for it to appear", instance.namespace);
        let conditions = instance.conditions(&[("Synchronized", false, "FailedPvcNotFound", &message)]).await?;
        write::status(&instance.api, MANAGER, &instance.name, json!({ "conditions": conditions })).await?;
        tokio::time::sleep(instance.shared.cx.world.clock.scaled(LOOK)).await;
    }
}

async fn down(instance: &Instance<'_>, object: &DynamicObject) -> anyhow::Result<()> {
    instance.shared.guests.remove(&instance.namespace, &instance.name);
    if write::text(&object.data, "/status/phase") == "Running" {
        instance.shared.cx.world.clock.sleep(SHUTDOWN).await;
    }
    if !matches!(write::text(&object.data, "/status/phase"), "Succeeded" | "Failed") {
        let conditions = instance.conditions(&[("Ready", false, "PodTerminating", "virt-launcher pod is terminating")]).await?;
        instance.phase("Succeeded", json!({ "conditions": conditions })).await?;
    }
    let pods: Api<Pod> = Api::namespaced(instance.shared.cx.client.clone(), &instance.namespace);
    if let Some(pod) = instance.pod() {
        write::delete(&pods, &pod.name_any(), pod.uid(), Some(0)).await?;
    }
    let Some(current) = instance.current().await? else { return Ok(()) };
    if current.metadata.uid.as_deref() != Some(&instance.uid) {
        return Ok(());
    }
    write::finalizer(&instance.api, MANAGER, &current, INSTANCE_FINALIZER, false).await
}
