//! Claims that a storage array fills: a pod for each, which is not tried again, and at most so many at once for each host.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, TypedObjectReference};
use kube::{Api, ResourceExt, api::ListParams};
use mtv_api::kinds::{EVENT, FORKLIFT_CONTROLLER, Kind, VSPHERE_XCOPY_VOLUME_POPULATOR};
use serde_json::{Value, json};

use super::{
    super::{Context, life::Latest, write},
    MANAGER, Work, pod, progress,
};

/// How often the controller looks at what it waits for.
const LOOK: Duration = Duration::from_secs(1);
/// How long a claim waits that found too many pods at work.
const THROTTLED: Duration = Duration::from_secs(10);
/// Label of populators: host that the copy goes through.
const HOST: &str = "sourceHost";
/// The kind of these populators.
const KIND: &Kind = &VSPHERE_XCOPY_VOLUME_POPULATOR;

/// Fills a claim.
pub(super) async fn populate(cx: Context, mut latest: Latest<PersistentVolumeClaim>) -> anyhow::Result<()> {
    let seen = latest.get();
    let source = seen.spec.as_ref().and_then(|s| s.data_source_ref.as_ref());
    let Some(source) = source.filter(|source| is(source)) else { return Ok(()) };
    let kind = KIND;
    let (namespace, name, uid) = (seen.namespace().unwrap_or_default(), seen.name_any(), seen.uid().unwrap_or_default());
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(cx.client.clone(), &namespace);
    let Some(claim) = claims.get_opt(&name).await?.filter(|c| c.uid() == seen.uid()) else { return Ok(()) };
    if claim.metadata.deletion_timestamp.is_some() || claim.spec.as_ref().is_some_and(|s| s.volume_name.is_some()) {
        return Ok(());
    }
    let populators = write::api(&cx.client, kind, &namespace);
    let Some(populator) = populators.get_opt(&source.name).await? else {
        // It comes a moment after its claim.
        latest.changed_within(cx.world.clock.scaled(LOOK)).await;
        anyhow::bail!("claim {namespace}/{name}: no {} {} yet", kind.kind, source.name);
    };
    let pods: Api<Pod> = Api::namespaced(cx.client.clone(), &namespace);
    let pod_name = format!("populate-{uid}");
    let work = Work { cx: &cx, claim: &claim, namespace: &namespace, uid: uid.clone() };
    if pods.get_opt(&pod_name).await?.is_none() {
        wait_for_turn(&cx, &claim, &populator.data, populator.labels().get(HOST)).await?;
        work.prime().await?;
        write::create_in(&pods, MANAGER, &pod::of(&claim, &populator, kind, &pod_name, &work.prime_name())?).await?;
        event(&cx, &claim, "Normal", "PopulatorCreated", "Populator started").await;
    }
    loop {
        let Some(pod) = pods.get_opt(&pod_name).await? else { anyhow::bail!("pod {namespace}/{pod_name} was deleted") };
        progress::read(&pod, &uid, &populators, &source.name).await;
        match pod.status.as_ref().and_then(|s| s.phase.as_deref()) {
            Some("Succeeded") => break,
            Some("Failed") => {
                let text = format!(
                    "VSphere xcopy populator failed (no retry): Please check the logs of the populator pod, {namespace}/{pod_name}"
                );
                event(&cx, &claim, "Warning", "PopulatorFailed", &text).await;
                return Ok(());
            }
            _ => cx.world.clock.sleep(LOOK).await,
        }
    }
    work.hand_over().await?;
    event(&cx, &claim, "Normal", "PopulatorFinished", "Populator finished").await;
    Ok(())
}

/// Whether a claim's source is one of these.
pub(super) fn is(source: &TypedObjectReference) -> bool {
    source.api_group.as_deref() == Some(KIND.group) && source.kind == KIND.kind
}

/// Waits until fewer pods than the limit work for the same host.
async fn wait_for_turn(cx: &Context, claim: &PersistentVolumeClaim, populator: &Value, host: Option<&String>) -> anyhow::Result<()> {
    let own = write::text(populator, "/spec/migrationHost");
    let host = if own.is_empty() { host.map(String::as_str).unwrap_or_default() } else { own };
    if host.is_empty() {
        return Ok(());
    }
    let namespace = &cx.world.datacenter.cluster.mtv_namespace;
    loop {
        let controllers = write::api(&cx.client, &FORKLIFT_CONTROLLER, namespace).list(&ListParams::default()).await?;
        let limit = controllers.items.first().map(|c| c.data["spec"]["controller_max_populator_inflight"].clone()).unwrap_or_default();
        let limit = limit.as_u64().or_else(|| limit.as_str()?.parse().ok()).unwrap_or(20);
        let pods = Api::<Pod>::all(cx.client.clone()).list(&ListParams::default().labels(&format!("{HOST}={host}"))).await?;
        let at_work = |pod: &&Pod| {
            pod.name_any().starts_with("populate-")
                && !matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
        };
        let active = pods.items.iter().filter(at_work).count() as u64;
        if limit == 0 || active < limit {
            return Ok(());
        }
        let text = format!("Waiting for available populator slot on host {host} ({active}/{limit} in-flight)");
        event(cx, claim, "Normal", "PopulatorThrottled", &text).await;
        cx.world.clock.sleep(THROTTLED).await;
    }
}

/// Tells people. An event that cannot be written is no reason to stop.
async fn event(cx: &Context, claim: &PersistentVolumeClaim, kind: &str, reason: &str, text: &str) {
    let now = cx.world.clock.now();
    let namespace = claim.namespace().unwrap_or_default();
    let event = json!({
        "metadata": { "generateName": format!("{}.", claim.name_any()), "namespace": namespace },
        "involvedObject": { "kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": namespace, "name": claim.name_any(), "uid": claim.uid() },
        "type": kind, "reason": reason, "message": text, "count": 1, "firstTimestamp": now, "lastTimestamp": now,
        "source": { "component": MANAGER }, "reportingComponent": MANAGER, "reportingInstance": "",
    });
    if let Err(error) = write::create(&cx.client, MANAGER, &EVENT, event).await {
        tracing::debug!("an event about claim {} was not written: {error:#}", claim.name_any());
    }
}
