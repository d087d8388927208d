//! DataVolumes: one per disk, empty ones where virt-v2v copies, VDDK imports where CDI does.

use anyhow::Context as _;
use mtv_api::{
    forklift::VmStatus,
    kinds::{CONFIG_MAP, DATA_VOLUME, PVC},
};
use serde_json::{Value, json};

use super::{labels, prefix, rows, source_secret};
use crate::{
    forklift::{
        cluster::Look,
        plan::{Work, vms},
        template,
    },
    inventory::vsphere::vm::{Disk, Vm},
};

/// Annotation that names the source's backing file.
pub const SOURCE: &str = "forklift.konveyor.io/disk-source";
/// Annotation with the place among the VM's disks, from zero.
pub const INDEX: &str = "forklift.konveyor.io/disk-index";

/// A backing file's name without the number that a snapshot gives its delta: `a-000001.vmdk` is `a.vmdk`.
pub fn base_file(file: &str) -> String {
    let Some(stem) = file.strip_suffix(".vmdk") else { return file.to_owned() };
    match stem.rsplit_once('-') {
        Some((base, number)) if number.len() == 6 && number.bytes().all(|b| b.is_ascii_digit()) => format!("{base}.vmdk"),
        _ => file.to_owned(),
    }
}

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

/// Creates what is missing: Secret, ConfigMap, DataVolumes.
pub async fn ensure(work: &Work<'_>, migration: &str, vm: &VmStatus) -> anyhow::Result<()> {
    let cluster = &work.context.cluster;
    let namespace = &work.spec.target_namespace;
    let secret = source_secret(work, migration, &vm.id, "isDV").await?;
    let selector = format!("plan={},vmID={},migration={migration},resource=vm-config", work.uid(), vm.id);
    if cluster.list(&CONFIG_MAP, namespace, &selector).await?.is_empty() {
        let map = json!({ "metadata": { "generateName": prefix(work, &vm.id), "labels": labels(work, migration, &vm.id) } });
        cluster.create(&CONFIG_MAP, namespace, map).await?;
    }
    let existing = data_volumes(work, migration, &vm.id).await?;
    let collector = work.collector()?;
    let volumes: Vec<(String, Value)> = {
        let model = collector.model();
        let source =
            model.get(&vm.id).and_then(|o| o.vm.as_ref()).with_context(|| format!("vm {} is not in the source's inventory", vm.id))?;
        let mut volumes = Vec::new();
        for (index, disk) in source.sorted_disks().into_iter().enumerate() {
            let rows = rows(work.storage.as_ref(), &model, "datastores", &disk.datastore.id);
            let row = rows.first().with_context(|| format!("datastore {} is not mapped", disk.datastore.id))?;
            volumes.push((base_file(&disk.file), volume(work, migration, vm, source, disk, index, &row["destination"], &secret)?));
        }
        volumes
    };
    for (file, volume) in volumes {
        if !existing.iter().any(|found| found.annotation(SOURCE) == Some(file.as_str())) {
            cluster.create(&DATA_VOLUME, namespace, volume).await?;
        }
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "all that a DataVolume is made of")]
fn volume(
    work: &Work<'_>,
    migration: &str,
    vm: &VmStatus,
    source: &Vm,
    disk: &Disk,
    index: usize,
    destination: &Value,
    secret: &str,
) -> anyhow::Result<Value> {
    let file = base_file(&disk.file);
    let v2v = work.v2v_copies();
    let mut labels = labels(work, migration, &vm.id);
    let mut annotations = labels.clone();
    annotations["cdi.kubevirt.io/storage.deleteAfterCompletion"] = json!("false");
    annotations[SOURCE] = json!(file);
    annotations[INDEX] = json!(index.to_string());
    let mut spec = json!({
        "source": { "blank": {} },
        "storage": {
            "resources": { "requests": { "storage": quantity(disk.capacity) } },
            "storageClassName": destination.text("/storageClass"),
        },
    });
    if !v2v {
        labels["vmUUID"] = json!(source.uuid);
        annotations["cdi.kubevirt.io/storage.bind.immediate.requested"] = json!("true");
        let provider = work.source.clone().unwrap_or_default();
        spec["source"] = json!({ "vddk": {
            "backingFile": file, "url": provider.text("/spec/url"), "uuid": source.uuid, "secretRef": secret,
            "thumbprint": provider.text("/status/fingerprint"), "initImageURL": work.vddk_image(),
        } });
    }
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
    let name = claim_name(work, vm, source, disk, index)?;
    if work.spec.pvc_name_template_use_generate_name.unwrap_or(true) {
        metadata["generateName"] = json!(if name.ends_with('-') { name } else { name + "-" });
    } else {
        metadata["name"] = json!(name.trim_end_matches('-'));
    }
    Ok(json!({ "metadata": metadata, "spec": spec }))
}

fn claim_name(work: &Work<'_>, vm: &VmStatus, source: &Vm, disk: &Disk, index: usize) -> anyhow::Result<String> {
    let plan_vm = work.plan_vm(&vm.id, &vm.name).cloned().unwrap_or_default();
    let template = work.pvc_template(&plan_vm);
    let target = work.target_name(&plan_vm, &vm.id, &vm.name);
    let root = i64::try_from(root_disk(&plan_vm.rest)).unwrap_or_default();
    let mut named = disk.clone();
    named.file = base_file(&disk.file);
    let fields = vms::pvc_fields(work.name(), source, &target, &named, index, root, disk.shared);
    template::label(&template, &fields, vms::TEMPLATE_DATA)
        .map_err(|error| super::super::migrate::Fatal(format!("the PVC name template cannot be used: {error}")).into())
}

/// Index of the root disk that the plan names: `/dev/sdb` is 1, nothing is 0.
pub fn root_disk(vm: &serde_json::Map<String, Value>) -> usize {
    let device = vm.get("rootDisk").and_then(Value::as_str).unwrap_or_default();
    let letter = device.strip_prefix("/dev/sd").and_then(|rest| rest.bytes().next()).filter(u8::is_ascii_lowercase);
    letter.map_or(0, |letter| usize::from(letter - b'a'))
}

/// Bytes as Kubernetes writes them, rounded up to whole mebibytes.
fn quantity(bytes: i64) -> String {
    let mebibytes = (bytes + 0xF_FFFF) >> 20;
    if mebibytes % 1024 == 0 { format!("{}Gi", mebibytes / 1024) } else { format!("{mebibytes}Mi") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshots_number_is_cut() {
        assert_eq!(base_file("[ds] a/a-000012.vmdk"), "[ds] a/a.vmdk");
        assert_eq!(base_file("[ds] a/web-1.vmdk"), "[ds] a/web-1.vmdk");
        assert_eq!(base_file("disk"), "disk");
    }

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
