//! Conversions: what the plan controller asks of virt-v2v and of the inspection, and where their pods are.

use base64::{Engine, engine::general_purpose::STANDARD};
use mtv_api::{
    forklift::VmStatus,
    kinds::{CONVERSION, POD, SECRET},
};
use serde_json::{Value, json};

use super::{disks, labels, prefix, source_secret};
use crate::forklift::{cluster::Look, plan::Work, source::Migrating};

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
    let machine = work.machine(&vm.id).await?;
    let migrating = Migrating { work, migration, vm, machine: &machine, secret: &secret };
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
        "settings": settings(&migrating)?,
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
fn settings(migrating: &Migrating<'_>) -> anyhow::Result<Value> {
    let vm = migrating.vm;
    let mut settings = json!({ "V2V_extra_args": "[]", "V2V_inspector_extra_args": "[]", "V2V_vmName": vm.name });
    if let Value::Object(own) = migrating.work.connected()?.v2v_settings(migrating)? {
        own.into_iter().for_each(|(key, value)| settings[key] = value);
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
    let source = work.connected()?;
    let login = source.login();
    let labels = json!({ "plan": work.uid(), "vmID": vm.id, "conversion-type": "DeepInspection" });
    let mut secret_labels = labels.clone();
    secret_labels["isConnection"] = json!("true");
    let text = |value: &str| json!(STANDARD.encode(value));
    let mut data = json!({
        "url": text(&login.url), "user": text(login.text("user")), "password": text(login.text("password")),
        "fingerprint": text(provider.text("/status/fingerprint")),
        "insecureSkipVerify": text(if login.insecure() { "true" } else { "false" }),
    });
    if let Some(ca) = login.ca().filter(|_| !login.insecure()) {
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
