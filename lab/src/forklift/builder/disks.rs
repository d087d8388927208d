//! DataVolumes: one per disk, empty ones where virt-v2v copies, VDDK imports where CDI does.

use anyhow::Context as _;
use mtv_api::{
    forklift::VmStatus,
    kinds::{CONFIG_MAP, DATA_VOLUME, PVC},
    template,
};
use serde_json::{Value, json};

use super::{labels, offload, prefix, rows, source_secret};
use crate::forklift::{
    cluster::Look,
    plan::{Work, vms},
    source::{Collection, Disk, Import, Machine, Migrating, Volumes},
};

/// Annotation that names the source's backing file.
pub const SOURCE: &str = "forklift.konveyor.io/disk-source";
/// Annotation with the place among the VM's disks, from zero.
pub const INDEX: &str = "forklift.konveyor.io/disk-index";

/// DataVolumes of a VM, of one Migration.
pub async fn data_volumes(work: &Work<'_>, migration: &str, vm: &str) -> kube::Result<Vec<Value>> {
    let selector = format!("migration={migration},vmID={vm}");
    work.context.cluster.list(&DATA_VOLUME, &work.spec.target_namespace, &selector).await
}

/// Claims of a VM, of one Migration, in the order of the disks. CDI's helpers of the same labels are left out.
pub async fn claims(work: &Work<'_>, migration: &str, vm: &str) -> kube::Result<Vec<Value>> {
    let selector = format!("migration={migration},vmID={vm}");
    let mut claims = work.context.cluster.list(&PVC, &work.spec.target_namespace, &selector).await?;
    claims.retain(|claim| !claim.text("/metadata/name").starts_with("prime-") && claim.annotation(SOURCE).is_some());
    claims.sort_by_key(|claim| claim.annotation(INDEX).and_then(|i| i.parse::<usize>().ok()).unwrap_or(usize::MAX));
    Ok(claims)
}

/// Creates what is missing: Secret, ConfigMap, DataVolumes or what the source has in place of them. False if the source is
/// not ready to be read yet.
pub async fn ensure(work: &Work<'_>, migration: &str, vm: &VmStatus) -> anyhow::Result<bool> {
    let cluster = &work.context.cluster;
    let namespace = &work.spec.target_namespace;
    if offload::used(work) {
        offload::ensure(work, migration, vm).await?;
        if !work.is_warm() {
            return Ok(true);
        }
    }
    let secret = source_secret(work, migration, &vm.id, "isDV").await?;
    let selector = format!("plan={},vmID={},migration={migration},resource=vm-config", work.uid(), vm.id);
    if cluster.list(&CONFIG_MAP, namespace, &selector).await?.is_empty() {
        let map = json!({ "metadata": { "generateName": prefix(work, &vm.id), "labels": labels(work, migration, &vm.id) } });
        cluster.create(&CONFIG_MAP, namespace, map).await?;
    }
    let machine = work.machine(&vm.id).await?;
    let migrating = Migrating { work, migration, vm, machine: &machine, secret: &secret };
    let imports = match work.connected()?.volumes(&migrating).await? {
        Volumes::NotYet => return Ok(false),
        Volumes::Populated => return Ok(true),
        Volumes::Imports(imports) => imports,
    };
    let existing = data_volumes(work, migration, &vm.id).await?;
    let mut volumes = Vec::new();
    for (index, (disk, import)) in machine.sorted_disks().zip(imports).enumerate() {
        let rows = rows(work, work.storage.as_ref(), Collection::Storage, &disk.storage).await?;
        let row = rows.first().with_context(|| format!("storage {} is not mapped", disk.storage))?;
        volumes.push((&disk.task, volume(&migrating, disk, index, &row["destination"], import)?));
    }
    let filled = if offload::used(work) { claims(work, migration, &vm.id).await? } else { Vec::new() };
    for (task, mut volume) in volumes {
        if let Some(claim) = filled.iter().find(|claim| claim.annotation(SOURCE) == Some(task.as_str())) {
            // Imports of the changes go on with the claim that the array has filled.
            if let Some(metadata) = volume["metadata"].as_object_mut() {
                metadata.remove("generateName");
            }
            volume["metadata"]["name"] = claim["metadata"]["name"].clone();
            for (key, value) in
                [("allowClaimAdoption", Some("true")), ("storage.prePopulated", Some("true")), ("storage.usePopulator", None)]
            {
                volume["metadata"]["annotations"][format!("cdi.kubevirt.io/{key}")] = json!(value);
            }
            if let Some(annotations) = volume.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
                annotations.retain(|_, value| !value.is_null());
            }
        }
        if !existing.iter().any(|found| found.annotation(SOURCE) == Some(task.as_str())) {
            cluster.create(&DATA_VOLUME, namespace, volume).await?;
        }
    }
    Ok(true)
}

fn volume(migrating: &Migrating<'_>, disk: &Disk, index: usize, destination: &Value, import: Import) -> anyhow::Result<Value> {
    let Migrating { work, migration, vm, machine, .. } = migrating;
    let mut labels = labels(work, migration, &vm.id);
    let mut annotations = labels.clone();
    annotations["cdi.kubevirt.io/storage.deleteAfterCompletion"] = json!("false");
    annotations[SOURCE] = json!(disk.task);
    annotations[INDEX] = json!(index.to_string());
    if !work.v2v_copies() {
        if work.converts() {
            labels["vmUUID"] = json!(machine.uuid);
        }
        annotations["cdi.kubevirt.io/storage.bind.immediate.requested"] = json!("true");
    }
    import.annotations.into_iter().for_each(|(key, value)| annotations[key] = value);
    let mut spec = json!({
        "source": import.source,
        "storage": {
            "resources": { "requests": { "storage": quantity(disk.capacity) } },
            "storageClassName": destination.text("/storageClass"),
        },
    });
    if work.is_warm() {
        annotations["cdi.kubevirt.io/storage.usePopulator"] = json!("false");
        let snapshot = vm.warm.as_ref().and_then(|w| w.precopies.last()).and_then(|p| p.snapshot.clone()).unwrap_or_default();
        spec["checkpoints"] = json!([{ "current": snapshot, "previous": "" }]);
    }
    for (field, key) in [("accessMode", "accessModes"), ("volumeMode", "volumeMode")] {
        if let Some(mode) = destination.get(field).filter(|m| m.as_str().is_some_and(|m| !m.is_empty())) {
            spec["storage"][key] = if key == "accessModes" { json!([mode]) } else { mode.clone() };
        }
    }
    if let Some(network) = work.spec.rest.get("transferNetwork") {
        annotations["v1.multus-cni.io/default-network"] = json!(format!("{}/{}", network.text("/namespace"), network.text("/name")));
    }
    if let Some(account) = work.spec.rest.get("serviceAccount") {
        annotations["cdi.kubevirt.io/storage.pod.serviceAccountName"] = account.clone();
    }
    let mut metadata = json!({ "labels": labels, "annotations": annotations });
    name_claim(migrating, disk, index, &mut metadata)?;
    Ok(json!({ "metadata": metadata, "spec": spec }))
}

/// Gives an object the name of a disk's claim, or the beginning of it.
pub fn name_claim(migrating: &Migrating<'_>, disk: &Disk, index: usize, metadata: &mut Value) -> anyhow::Result<()> {
    let name = claim_name(migrating.work, migrating.vm, migrating.machine, disk, index)?;
    if migrating.work.spec.pvc_name_template_use_generate_name.unwrap_or(migrating.work.traits().generate_name) {
        metadata["generateName"] = json!(if name.ends_with('-') { name } else { name + "-" });
    } else {
        metadata["name"] = json!(name.trim_end_matches('-'));
    }
    Ok(())
}

fn claim_name(work: &Work<'_>, vm: &VmStatus, machine: &Machine, disk: &Disk, index: usize) -> anyhow::Result<String> {
    let plan_vm = work.plan_vm(&vm.id, &vm.name).cloned().unwrap_or_default();
    let template = work.pvc_template(&plan_vm);
    let target = work.target_name(&plan_vm, &vm.id, &vm.name);
    // A delta's file is called like its base once it is copied.
    let named = Disk { file: disk.task.clone(), ..disk.clone() };
    let data = template::DiskData { root: root_disk(&plan_vm.rest), ..vms::disk_data(work.name(), machine, &target, &named, index) };
    template::label(&template, template::pvc_data(&data))
        .map_err(|error| super::super::migrate::Fatal(format!("the PVC name template cannot be used: {error}")).into())
}

/// Index of the root disk that the plan names: `/dev/sdb` is 1, nothing is 0.
pub fn root_disk(vm: &serde_json::Map<String, Value>) -> usize {
    let device = vm.get("rootDisk").and_then(Value::as_str).unwrap_or_default();
    let letter = device.strip_prefix("/dev/sd").and_then(|rest| rest.bytes().next()).filter(u8::is_ascii_lowercase);
    letter.map_or(0, |letter| usize::from(letter - b'a'))
}

/// Bytes as Kubernetes writes them, rounded up to whole mebibytes.
pub fn quantity(bytes: i64) -> String {
    let mebibytes = (bytes + 0xF_FFFF) >> 20;
    if mebibytes % 1024 == 0 { format!("{}Gi", mebibytes / 1024) } else { format!("{mebibytes}Mi") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_mebibytes() {
        assert_eq!(quantity(10 << 30), "10Gi");
        assert_eq!(quantity((1 << 30) + 1), "1025Mi");
    }

    #[test]
    fn the_root_disk_has_a_letter() {
        let vm = |device: &str| json!({ "rootDisk": device }).as_object().unwrap().clone();
        assert_eq!(root_disk(&vm("/dev/sdc")), 2);
        assert_eq!(root_disk(&vm("/dev/vda")), 0);
        assert_eq!(root_disk(&serde_json::Map::new()), 0);
    }
}
