//! Conversions: what the plan controller asks of virt-v2v and of the inspection, and where their pods are.

use anyhow::Context as _;
use base64::{Engine, engine::general_purpose::STANDARD};
use mtv_api::{
    forklift::VmStatus,
    kinds::{CONVERSION, POD, SECRET},
};
use serde_json::{Value, json};

use super::{disks, labels, prefix, source_secret};
use crate::forklift::{cluster::Look, plan::Work, provider, vcenter::Access};

/// The Conversion of a VM that is no inspection.
pub async fn guest(work: &Work<'_>, vm: &str) -> kube::Result<Option<Value>> {
    let all = work.context.cluster.list(&CONVERSION, work.namespace(), &format!("plan={},vmID={vm}", work.uid())).await?;
    Ok(all.into_iter().find(|c| matches!(c.label("conversion-type"), Some("Remote" | "InPlace"))))
}

/// The virt-v2v pod of a VM.
pub async fn guest_pod(work: &Work<'_>, vm: &str) -> kube::Result<Option<Value>> {
    let selector = format!("plan={},vmID={vm},forklift.app=virt-v2v", work.uid());
    Ok(work.context.cluster.list(&POD, &work.spec.target_namespace, &selector).await?.into_iter().next())
}

/// Makes sure that there is a Conversion for a VM.
pub async fn ensure_guest(work: &Work<'_>, migration: &str, vm: &VmStatus) -> anyhow::Result<()> {
    if guest(work, &vm.id).await?.is_some() {
        return Ok(());
    }
    let secret = source_secret(work, migration, &vm.id, "isV2V").await?;
    let claims = disks::claims(work, migration, &vm.id).await?;
    let access = provider::access(work.context, &work.source.clone().unwrap_or_default()).await?;
    let in_place = !work.v2v_copies();
    let kind = if in_place { "InPlace" } else { "Remote" };
    let mut labels = labels(work, migration, &vm.id);
    labels["forklift.app"] = json!("virt-v2v");
    labels["conversion-type"] = json!(kind);
    let rest = &work.spec.rest;
    let mut affinity = json!({ "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 100,
        "podAffinityTerm": {
            "labelSelector": { "matchExpressions": [{ "key": "forklift.app", "operator": "In", "values": ["virt-v2v"] }] },
            "namespaceSelector": {}, "topologyKey": "kubernetes.io/hostname",
        },
    }] } });
    if let Some(own) = rest.get("convertorAffinity") {
        affinity = own.clone();
    }
    if let Some(Value::Object(own)) = rest.get("convertorLabels") {
        own.iter().for_each(|(key, value)| labels[key] = value.clone());
    }
    let mut pod_settings = json!({ "affinity": affinity, "generateName": prefix(work, &vm.id), "requestKVM": true });
    for (from, to) in [("convertorNodeSelector", "nodeSelector"), ("serviceAccount", "serviceAccount")] {
        if let Some(value) = rest.get(from) {
            pod_settings[to] = value.clone();
        }
    }
    let disks: Vec<Value> = claims.iter().enumerate().map(|(index, claim)| disk(claim, index)).collect();
    let mut spec = json!({
        "type": kind,
        "connection": { "secret": { "name": secret, "namespace": work.spec.target_namespace } },
        "destination": { "name": work.spec.provider.destination.name, "namespace": work.spec.provider.destination.namespace },
        "disks": disks,
        "image": work.context.options.virt_v2v_image,
        "localMigration": work.destination_is_host(),
        "podSettings": pod_settings,
        "settings": settings(work, vm, &access)?,
        "targetNamespace": work.spec.target_namespace,
        "vm": { "id": vm.id, "name": vm.name },
        "xfsCompatibility": rest.get("xfsCompatibility") == Some(&json!(true)),
    });
    let vddk = work.vddk_image();
    if !vddk.is_empty() {
        spec["vddkImage"] = json!(vddk);
    }
    let object = json!({ "metadata": { "generateName": prefix(work, &vm.id), "labels": labels }, "spec": spec });
    work.context.cluster.create(&CONVERSION, work.namespace(), object).await?;
    Ok(())
}

fn disk(claim: &Value, index: usize) -> Value {
    let block = claim.text("/spec/volumeMode") == "Block";
    let mut disk = json!({
        "name": claim.text("/metadata/name"), "namespace": claim.text("/metadata/namespace"),
        "volumeMode": if block { "Block" } else { "Filesystem" },
    });
    if block {
        disk["devicePath"] = json!(format!("/dev/block{index}"));
    } else {
        disk["mountPath"] = json!(format!("/mnt/disks/disk{index}"));
    }
    disk
}

/// What virt-v2v is told in its environment.
fn settings(work: &Work<'_>, vm: &VmStatus, access: &Access) -> anyhow::Result<Value> {
    let provider = work.source.clone().unwrap_or_default();
    let collector = work.collector()?;
    let model = collector.model();
    let source = model.get(&vm.id).and_then(|o| o.vm.as_ref()).with_context(|| format!("vm {} is not in the source's inventory", vm.id))?;
    let authority = access.url.split("://").last().and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let user: String = access.user.replace('\\', "%5c").replace('@', "%40");
    let verify = if access.ca.is_none() { "?no_verify=1" } else { "" };
    let mut settings = json!({
        "V2V_HOSTNAME": source.host_name,
        "V2V_extra_args": "[]",
        "V2V_fingerprint": provider.text("/status/fingerprint"),
        "V2V_inspector_extra_args": "[]",
        "V2V_libvirtURL": format!("vpx://{user}@{authority}{}{verify}", model.host_path(source)),
        "V2V_source": "vSphere",
        "V2V_vmName": vm.name,
    });
    if !work.is_warm() && work.spec.preserve_static_ips.unwrap_or(true) {
        settings["V2V_preserveStaticIPs"] = json!("true");
        let addresses: Vec<String> = source.guest_networks.iter().map(|g| format!("{}:ip:{},,{}", g.mac, g.ip, g.prefix)).collect();
        if !addresses.is_empty() {
            settings["V2V_staticIPs"] = json!(addresses.join("_"));
        }
    }
    if let Some(new) = vm.new_name.as_deref().filter(|n| !n.is_empty()) {
        settings["V2V_NewName"] = json!(new);
    }
    if let Some(root) = vm.rest.get("rootDisk") {
        settings["V2V_RootDisk"] = root.clone();
    }
    Ok(settings)
}

/// The inspection of a VM.
pub async fn inspection(work: &Work<'_>, vm: &str) -> kube::Result<Option<Value>> {
    let selector = format!("plan={},vmID={vm},conversion-type=DeepInspection", work.uid());
    Ok(work.context.cluster.list(&CONVERSION, work.namespace(), &selector).await?.into_iter().next())
}

/// Asks for the inspection of a VM at a snapshot, in the Plan's namespace.
pub async fn create_inspection(work: &Work<'_>, vm: &VmStatus, snapshot: &str) -> anyhow::Result<()> {
    let cluster = &work.context.cluster;
    let provider = work.source.clone().unwrap_or_default();
    let access = provider::access(work.context, &provider).await?;
    let labels = json!({ "plan": work.uid(), "vmID": vm.id, "conversion-type": "DeepInspection" });
    let mut secret_labels = labels.clone();
    secret_labels["isConnection"] = json!("true");
    let text = |value: &str| json!(STANDARD.encode(value));
    let mut data = json!({
        "url": text(&access.url), "user": text(&access.user), "password": text(&access.password),
        "fingerprint": text(provider.text("/status/fingerprint")),
        "insecureSkipVerify": text(if access.ca.is_none() { "true" } else { "false" }),
    });
    if let Some(ca) = &access.ca {
        data["cacert"] = text(ca);
    }
    let secret = json!({
        "metadata": { "generateName": format!("{}di-", prefix(work, &vm.id)), "labels": secret_labels }, "type": "Opaque", "data": data,
    });
    let secret = cluster.create(&SECRET, work.namespace(), secret).await?;
    let object = json!({
        "metadata": { "generateName": prefix(work, &vm.id), "labels": labels },
        "spec": {
            "type": "DeepInspection",
            "connection": { "secret": { "name": secret.text("/metadata/name"), "namespace": work.namespace() } },
            "destination": {},
            "podSettings": { "requestKVM": true },
            "settings": { "SNAPSHOT_MOREF": snapshot },
            "targetNamespace": work.namespace(),
            "vddkImage": work.vddk_image(),
            "vm": { "id": vm.id, "name": vm.name },
            "xfsCompatibility": false,
        },
    });
    cluster.create(&CONVERSION, work.namespace(), object).await?;
    Ok(())
}
