//! Claims that a storage array fills: for each disk a claim, a populator, and a Secret with all that the populator logs in with.

use anyhow::Context as _;
use base64::{Engine, engine::general_purpose::STANDARD};
use mtv_api::{
    forklift::VmStatus,
    kinds::{PVC, SECRET, SERVICE_ACCOUNT, VSPHERE_XCOPY_VOLUME_POPULATOR},
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{disks, labels, prefix, rows};
use crate::forklift::{
    cluster::Look,
    migrate::Fatal,
    plan::Work,
    source::{Collection, Disk, Machine, Migrating},
};

/// Annotation of claims that an array fills: the source's backing file.
const COPY_OFFLOAD: &str = "copy-offload";
/// Start of the annotations by which CDI knows an import.
const IMPORT: &str = "cdi.kubevirt.io/storage";
/// Account that populators run as.
const ACCOUNT: &str = "populator";

/// Whether the plan's storage map has the array copy.
pub fn used(work: &Work<'_>) -> bool {
    let rows = work.storage.as_ref().map(|map| map.items("/spec/map")).unwrap_or_default();
    work.settings.copy_offload && rows.iter().any(|row| row.pointer("/offloadPlugin/vsphereXcopyConfig").is_some())
}

/// The plugin's settings for a disk, if its row has any.
async fn plugin<'w>(work: &'w Work<'_>, disk: &Disk) -> anyhow::Result<Option<(&'w Value, &'w Value)>> {
    let rows = rows(work, work.storage.as_ref(), Collection::Storage, &disk.storage).await?;
    Ok(rows.first().and_then(|row| Some((*row, row.pointer("/offloadPlugin/vsphereXcopyConfig")?))))
}

/// Whether some disks of a VM would be copied by the array and others not, which Forklift does not do.
pub async fn mixed(work: &Work<'_>, machine: &Machine) -> anyhow::Result<bool> {
    if !used(work) {
        return Ok(false);
    }
    for disk in &machine.disks {
        if plugin(work, disk).await?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Creates what is missing.
pub async fn ensure(work: &Work<'_>, migration: &str, vm: &VmStatus) -> anyhow::Result<()> {
    let cluster = &work.context.cluster;
    let namespace = work.spec.target_namespace.as_str();
    let machine = work.machine(&vm.id).await?;
    let base = base_secret(work, migration, &vm.id).await?;
    let existing = disks::claims(work, migration, &vm.id).await?;
    let migrating = Migrating { work, migration, vm, machine: &machine, secret: base.text("/metadata/name") };
    for (index, disk) in machine.sorted_disks().enumerate() {
        let Some((row, plugin)) = plugin(work, disk).await? else { continue };
        let secret = format!("{}-{index}", migrating.secret);
        let claim = match existing.iter().find(|claim| claim.annotation(disks::SOURCE) == Some(disk.task.as_str())) {
            Some(claim) => claim.clone(),
            None => cluster.create(&PVC, namespace, claim(&migrating, disk, index, row, &secret)?).await?,
        };
        let owner =
            json!([{ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": claim.text("/metadata/name"), "uid": claim.uid() }]);
        disk_secret(&migrating, &base, plugin, &secret, &owner).await?;
        if cluster.get(&SERVICE_ACCOUNT, namespace, ACCOUNT).await?.is_none() {
            accept_existing(cluster.create(&SERVICE_ACCOUNT, namespace, json!({ "metadata": { "name": ACCOUNT } })).await)?;
        }
        let hosts = plugin.items("/dedicatedMigrationHosts");
        let mut spec = json!({
            "vmId": vm.id, "vmdkPath": copied(vm, disk), "secretName": secret, "storageVendorProduct": plugin.text("/storageVendorProduct"),
        });
        // The real one draws a host by chance for each disk; in turn they are all used as well.
        if let Some(host) = hosts.get(index % hosts.len().max(1)) {
            spec["migrationHost"] = host.clone();
        }
        let populator = json!({
            "metadata": { "name": claim.text("/metadata/name"), "labels": claim["metadata"]["labels"], "ownerReferences": owner },
            "spec": spec,
        });
        accept_existing(cluster.create(&VSPHERE_XCOPY_VOLUME_POPULATOR, namespace, populator).await)?;
    }
    Ok(())
}

/// The file that the populator copies. Warm, it is the base, and changed blocks bring the rest; cold, the disk's present state.
fn copied<'d>(vm: &VmStatus, disk: &'d Disk) -> &'d str {
    if vm.warm.is_some() { &disk.task } else { &disk.file }
}

fn accept_existing(result: kube::Result<Value>) -> kube::Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop),
    }
}

/// A copy of the Provider's Secret, which those of the disks are made of.
async fn base_secret(work: &Work<'_>, migration: &str, vm: &str) -> anyhow::Result<Value> {
    let cluster = &work.context.cluster;
    let namespace = work.spec.target_namespace.as_str();
    let selector = format!("plan={},vmID={vm},migration={migration},isPopulator=true", work.uid());
    if let Some(secret) = cluster.list(&SECRET, namespace, &selector).await?.into_iter().next() {
        return Ok(secret);
    }
    let provider = work.source.as_ref().context("the plan has no source provider")?;
    let (from, name) = (provider.text("/spec/secret/namespace"), provider.text("/spec/secret/name"));
    let source = cluster.get(&SECRET, from, name).await?.with_context(|| format!("secret {from}/{name} is not there"))?;
    let mut labels = labels(work, migration, vm);
    labels["isPopulator"] = json!("true");
    let secret = json!({ "metadata": { "generateName": prefix(work, vm), "labels": labels }, "type": "Opaque", "data": source["data"] });
    Ok(cluster.create(&SECRET, namespace, secret).await?)
}

/// The Secret of a disk: login of the source, of the array, and the keys for its ESXi host.
async fn disk_secret(migrating: &Migrating<'_>, base: &Value, plugin: &Value, name: &str, owner: &Value) -> anyhow::Result<()> {
    let Migrating { work, migration, vm, .. } = migrating;
    let cluster = &work.context.cluster;
    let namespace = work.spec.target_namespace.as_str();
    let provider = work.source.clone().unwrap_or_default();
    let home = provider.text("/metadata/namespace");
    let reference = plugin.text("/secretRef");
    let Some(storage) = cluster.get(&SECRET, home, reference).await? else {
        return Err(Fatal(format!("failed to merge secrets for populators: storage secret {home}/{reference} is not there")).into());
    };
    let mut data: Map<String, Value> = base["data"].as_object().cloned().unwrap_or_default();
    for (key, value) in base["data"].as_object().into_iter().flatten() {
        let names: &[&str] = match key.as_str() {
            "user" => &["GOVMOMI_USERNAME", "accessKeyId"],
            "password" => &["GOVMOMI_PASSWORD", "secretKey"],
            "insecureSkipVerify" => &["GOVMOMI_INSECURE"],
            _ => &[],
        };
        data.extend(names.iter().map(|name| ((*name).to_owned(), value.clone())));
    }
    data.extend(storage["data"].as_object().cloned().unwrap_or_default());
    let mut put = |key: &str, value: &str| data.insert(key.to_owned(), json!(STANDARD.encode(value)));
    let url = provider.text("/spec/url");
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    put("GOVMOMI_HOSTNAME", host.as_deref().unwrap_or(url));
    let method = provider.text("/spec/settings/esxiCloneMethod");
    if !method.is_empty() {
        put("ESXI_CLONE_METHOD", method);
    }
    put("HOST_LEASE_NAMESPACE", &work.context.options.mtv_namespace);
    put("HOST_LEASE_DURATION_SECONDS", "10");
    for (kind, key, field) in [("private", "SSH_PRIVATE_KEY", "private-key"), ("public", "SSH_PUBLIC_KEY", "public-key")] {
        let secret = cluster.get(&SECRET, home, &format!("offload-ssh-keys-{}-{kind}", provider.text("/metadata/name"))).await?;
        if let Some(value) = secret.as_ref().and_then(|s| s["data"].get(field)) {
            data.insert(key.to_owned(), value.clone());
        }
    }
    let labels = json!({ "migration": migration, "plan": work.uid(), "vmID": vm.id });
    let secret = json!({ "metadata": { "name": name, "labels": labels, "ownerReferences": owner }, "type": "Opaque", "data": data });
    Ok(accept_existing(cluster.create(&SECRET, namespace, secret).await)?)
}

fn claim(migrating: &Migrating<'_>, disk: &Disk, index: usize, row: &Value, secret: &str) -> anyhow::Result<Value> {
    let Migrating { work, migration, vm, machine, .. } = migrating;
    let mut labels = json!({ "migration": migration, "plan": work.uid(), "vmdkKey": disk.key.to_string(), "vmID": vm.id });
    if !machine.host.is_empty() {
        labels["sourceHost"] = json!(machine.host);
    }
    if disk.shared {
        labels["shareable"] = json!("true");
    }
    let mut annotations =
        json!({ disks::SOURCE: disk.task, COPY_OFFLOAD: copied(vm, disk), format!("{IMPORT}.import.secretName"): secret });
    if let Some(warm) = &vm.warm {
        let provider = work.source.clone().unwrap_or_default();
        let snapshot = warm.precopies.last().and_then(|p| p.snapshot.clone()).unwrap_or_default();
        // CDI takes the array's copy for the first checkpoint of an import that it made itself.
        for (key, value) in [
            ("import.endpoint", provider.text("/spec/url")),
            ("import.backingFile", &disk.task),
            ("import.uuid", &machine.uuid),
            ("import.vddk.thumbprint", provider.text("/status/fingerprint")),
            ("pod.vddk.initimageurl", &work.vddk_image()),
            ("pod.phase", "Succeeded"),
            ("import.source", "vddk"),
            ("checkpoint.final", "false"),
            ("checkpoint.current", &snapshot),
            ("checkpoint.previous", ""),
            ("import.importPodName", "xcopy-initial-offload"),
            (&format!("checkpoint.copied.{snapshot}"), "xcopy-initial-offload"),
        ] {
            annotations[format!("{IMPORT}.{key}")] = json!(value);
        }
    }
    let mut metadata = json!({ "labels": labels, "annotations": annotations });
    disks::name_claim(migrating, disk, index, &mut metadata)?;
    // Populators are called like their claims, so the names are complete.
    if let Some(beginning) = metadata.as_object_mut().and_then(|m| m.remove("generateName")) {
        let digest = Sha256::digest(format!("{migration}/{}/{}/{}/{index}", vm.id, disk.key, disk.file));
        let tail: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        metadata["name"] = json!(format!("{}-{tail}", beginning.as_str().unwrap_or_default().trim_end_matches('-')));
    }
    let name = metadata["name"].clone();
    let destination = &row["destination"];
    let access = Some(destination.text("/accessMode")).filter(|mode| !mode.is_empty()).unwrap_or("ReadWriteMany");
    Ok(json!({
        "metadata": metadata,
        "spec": {
            "storageClassName": destination.text("/storageClass"),
            "volumeMode": "Block",
            "accessModes": [access],
            "resources": { "requests": { "storage": disk.capacity.to_string() } },
            "dataSourceRef": { "apiGroup": VSPHERE_XCOPY_VOLUME_POPULATOR.group, "kind": VSPHERE_XCOPY_VOLUME_POPULATOR.kind, "name": name },
        },
    }))
}
