//! The VirtualMachine, from what the inventory knows of the source VM.

use mtv_api::{
    forklift::VmStatus,
    kinds::{PVC, VM},
    template,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{copied, disks, labels, rows};
use crate::forklift::{
    cluster::Look,
    migrate::itinerary::Facts,
    plan::{
        Work,
        validate::{network_fields, volume_fields},
    },
    source::{Collection, Disk, Machine, Nic},
};

/// Longest serial number of a disk that QEMU keeps.
const SERIAL: usize = 20;

/// Creates the VirtualMachine unless it is there, and makes it the owner of its claims.
pub async fn ensure(work: &Work<'_>, migration: &str, vm: &VmStatus, facts: &Facts) -> anyhow::Result<()> {
    let cluster = &work.context.cluster;
    let namespace = &work.spec.target_namespace;
    let selector = format!("plan={},vmID={},migration={migration}", work.uid(), vm.id);
    let claims = disks::claims(work, migration, &vm.id).await?;
    let found = cluster.list(&VM, namespace, &selector).await?.into_iter().next();
    let machine = if let Some(machine) = found {
        machine
    } else {
        let object = build(work, migration, vm, &claims, facts).await?;
        cluster.create(&VM, namespace, object).await?
    };
    let owner = json!({
        "apiVersion": VM.api_version(), "kind": VM.kind, "name": machine.text("/metadata/name"), "uid": machine.uid(),
        "controller": false, "blockOwnerDeletion": true,
    });
    for claim in claims {
        let patch = json!({ "metadata": { "ownerReferences": [owner] } });
        cluster.merge(&PVC, namespace, claim.text("/metadata/name"), &patch).await?;
    }
    Ok(())
}

async fn build(work: &Work<'_>, migration: &str, vm: &VmStatus, claims: &[Value], facts: &Facts) -> anyhow::Result<Value> {
    let source = &work.machine(&vm.id).await?;
    let name = vm.target_name();
    let compatible = facts.converts || !work.traits().converts || work.spec.rest.get("useCompatibilityMode") == Some(&json!(false));
    let mut labels = labels(work, migration, &vm.id);
    if work.traits().converts {
        labels["guestConverted"] = json!(facts.converts.to_string());
    }
    let mut metadata = json!({ "name": name, "labels": labels });
    if name != vm.name {
        metadata["annotations"] = json!({ "openshift.io/display-name": vm.name, "original-ID": vm.id });
    }
    if source.object.is_some() {
        let mut spec = copied::spec(work, vm, source, claims, run_strategy(work, vm, source)).await?;
        place(work, &mut spec);
        return Ok(json!({ "metadata": metadata, "spec": spec }));
    }
    let (interfaces, networks) = networks(work, vm, source, compatible).await?;
    let (disk_list, volumes) = volumes(work, vm, source, claims, compatible);
    let mut domain = json!({
        "cpu": { "cores": source.cores, "sockets": source.sockets },
        "devices": {
            "disks": disk_list,
            "inputs": [{ "bus": if compatible { "virtio" } else { "usb" }, "name": "tablet", "type": "tablet" }],
            "interfaces": interfaces,
            "tpm": if source.tpm { json!({ "persistent": true }) } else { json!({ "enabled": false }) },
        },
        "firmware": { "bootloader": bootloader(source), "serial": serial(work, source) },
        "memory": { "guest": format!("{}Mi", source.memory_mib) },
        "resources": {},
    });
    if let Some(threads) = source.threads {
        domain["cpu"]["threads"] = json!(threads);
    }
    let nested = vm.rest.get("enableNestedVirtualization").and_then(Value::as_bool).or(work.spec.enable_nested_virtualization);
    if let Some(nested) = nested {
        let policy = if nested { "optional" } else { "disable" };
        domain["cpu"]["features"] = json!([{ "name": "vmx", "policy": policy }, { "name": "svm", "policy": policy }]);
    }
    if source.secure_boot {
        domain["features"] = json!({ "smm": { "enabled": true } });
    }
    let pod = json!({ "domain": domain, "networks": networks, "volumes": volumes });
    let mut spec = json!({
        "runStrategy": run_strategy(work, vm, source),
        "template": {
            "metadata": {
                "annotations": { "vm.kubevirt.io/flavor": "", "vm.kubevirt.io/os": "", "vm.kubevirt.io/workload": "" },
                "labels": { "app": name },
            },
            "spec": pod,
        },
    });
    if let Some(instance_type) = vm.rest.get("instanceType").and_then(Value::as_str).filter(|t| !t.is_empty()) {
        // What the type gives must not be given twice.
        if let Some(domain) = spec.pointer_mut("/template/spec/domain").and_then(Value::as_object_mut) {
            domain.remove("cpu");
            domain.remove("memory");
        }
        spec["instancetype"] = json!({ "name": instance_type });
    }
    place(work, &mut spec);
    Ok(json!({ "metadata": metadata, "spec": spec }))
}

/// What the Plan says of labels and places, whatever the source; the VM's own label `app` is not the Plan's to give.
fn place(work: &Work<'_>, spec: &mut Value) {
    let template = &mut spec["template"];
    for (key, value) in &work.spec.target_labels {
        if key != "app" || template["metadata"]["labels"].get(key).is_none() {
            template["metadata"]["labels"][key] = json!(value);
        }
    }
    if !work.spec.target_node_selector.is_empty() {
        template["spec"]["nodeSelector"] = json!(work.spec.target_node_selector);
    }
    if let Some(affinity) = &work.spec.target_affinity {
        template["spec"]["affinity"] = affinity.clone();
    }
}

fn run_strategy(work: &Work<'_>, vm: &VmStatus, source: &Machine) -> &'static str {
    let own = vm.rest.get("targetPowerState").and_then(Value::as_str).filter(|s| !s.is_empty());
    let target = own.or(work.spec.target_power_state.as_deref()).unwrap_or("auto");
    let on = match target {
        "on" => true,
        "off" => false,
        // A Windows guest must run once, so that its first reboots can be awaited.
        _ => vm.restore_power_state.as_deref() == Some("On") || (work.settings.wait_for_reboot && source.windows && work.traits().converts),
    };
    if on { "Always" } else { "Halted" }
}

fn bootloader(source: &Machine) -> Value {
    if source.efi { json!({ "efi": { "secureBoot": source.secure_boot } }) } else { json!({ "bios": {} }) }
}

/// Serial number of the firmware: since OpenShift 4.20 in the form that VMware's own guests see.
fn serial(work: &Work<'_>, source: &Machine) -> String {
    if let Some(serial) = &source.serial {
        return serial.clone();
    }
    let uuid = source.uuid.as_str();
    let mut parts = work.context.options.openshift_version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let version = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if version >= (4, 20) && work.settings.vmware_serial { vmware_serial(uuid) } else { uuid.to_owned() }
}

fn vmware_serial(uuid: &str) -> String {
    let hex: Vec<char> = uuid.to_lowercase().chars().filter(|c| *c != '-').collect();
    if hex.len() != 32 || !hex.iter().all(char::is_ascii_hexdigit) {
        return uuid.to_owned();
    }
    let pairs: Vec<String> = hex.chunks(2).map(|pair| pair.iter().collect()).collect();
    format!("VMware-{}-{}", pairs[..8].join(" "), pairs[8..].join(" "))
}

async fn networks(work: &Work<'_>, vm: &VmStatus, source: &Machine, compatible: bool) -> anyhow::Result<(Vec<Value>, Vec<Value>)> {
    let (mut interfaces, mut networks) = (Vec::new(), Vec::new());
    let own = vm.rest.get("networkNameTemplate").or_else(|| work.spec.rest.get("networkNameTemplate")).and_then(Value::as_str);
    let mut used: Vec<String> = Vec::new();
    for nic in &source.nics {
        let rows = rows(work, work.network.as_ref(), Collection::Networks, &nic.network).await?;
        // Several rows for one network are a pool: each adapter gets another NetworkAttachmentDefinition.
        let full = |row: &Value| format!("{}/{}", row.text("/destination/namespace"), row.text("/destination/name"));
        let row = match rows.as_slice() {
            [] => anyhow::bail!("network {} is not mapped", nic.network),
            [row] => *row,
            rows => match rows.iter().find(|row| row.text("/destination/type") != "multus" || !used.contains(&full(row))) {
                Some(row) => *row,
                None => continue,
            },
        };
        used.push(full(row));
        let destination = &row["destination"];
        let kind = destination.text("/type");
        if kind == "ignored" {
            continue;
        }
        let index = interfaces.len();
        let fields = network_fields(destination.text("/name"), destination.text("/namespace"), kind, i64::try_from(index)?);
        let name = named(own, fields).unwrap_or_else(|| format!("net-{index}"));
        let (interface, network) = interface(nic, &name, kind, destination, compatible);
        interfaces.push(interface);
        networks.push(network);
    }
    Ok((interfaces, networks))
}

fn interface(nic: &Nic, name: &str, kind: &str, destination: &Value, compatible: bool) -> (Value, Value) {
    let mut interface = json!({ "model": if compatible { "virtio" } else { "e1000e" }, "name": name });
    if !nic.mac.is_empty() {
        interface["macAddress"] = json!(nic.mac);
    }
    let mut network = json!({ "name": name });
    if kind == "multus" {
        interface["bridge"] = json!({});
        network["multus"] = json!({ "networkName": format!("{}/{}", destination.text("/namespace"), destination.text("/name")) });
    } else {
        interface["masquerade"] = json!({});
        network["pod"] = json!({});
    }
    if !nic.connected {
        interface["state"] = json!("down");
    }
    (interface, network)
}

/// What a name template gives; `None` if there is none or it fails, which falls back to the default.
fn named(template: Option<&str>, fields: template::Data) -> Option<String> {
    template::label(template.filter(|t| !t.is_empty())?, fields).ok()
}

fn volumes(work: &Work<'_>, vm: &VmStatus, source: &Machine, claims: &[Value], compatible: bool) -> (Vec<Value>, Vec<Value>) {
    let own = vm.rest.get("volumeNameTemplate").or_else(|| work.spec.rest.get("volumeNameTemplate")).and_then(Value::as_str);
    let detected = vm.rest.get("detectedBootDisk").and_then(Value::as_u64).and_then(|d| usize::try_from(d).ok());
    let root = if vm.rest.contains_key("rootDisk") { disks::root_disk(&vm.rest) } else { detected.unwrap_or(0) };
    let as_lun = vm.rest.get("rdmAsLun").and_then(Value::as_bool).or(work.spec.rdm_as_lun) == Some(true);
    let (mut disk_list, mut volumes) = (Vec::new(), Vec::new());
    for (index, disk) in source.sorted_disks().enumerate() {
        let Some(claim) = claims.iter().find(|c| c.annotation(disks::SOURCE) == Some(disk.task.as_str())) else { continue };
        let claim_name = claim.text("/metadata/name");
        let fields = volume_fields(claim_name, i64::try_from(index).unwrap_or_default());
        let name = named(own, fields).unwrap_or_else(|| format!("vol-{index}"));
        let (device, bus) = match (disk.rdm && as_lun, compatible) {
            (true, _) => ("lun", "scsi"),
            (false, true) => ("disk", "virtio"),
            (false, false) => ("disk", "sata"),
        };
        let mut entry = json!({ device: { "bus": bus }, "name": name, "serial": disk_serial(disk, &vm.id) });
        if index == root {
            entry["bootOrder"] = json!(1);
        }
        if disk.shared {
            entry["shareable"] = json!(true);
            entry["cache"] = json!("none");
        }
        disk_list.push(entry);
        volumes.push(json!({ "name": name, "persistentVolumeClaim": { "claimName": claim_name } }));
    }
    (disk_list, volumes)
}

/// Serial number of a disk: the backing's, as far as it fits, or one made from VM and key.
fn disk_serial(disk: &Disk, vm: &str) -> String {
    let clean: String = disk.serial.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(SERIAL).collect();
    if !clean.is_empty() {
        return clean;
    }
    let digest = Sha256::digest(format!("{vm}:{}", disk.key));
    let hex: Vec<String> = digest.iter().take(SERIAL / 2).map(|byte| format!("{byte:02x}")).collect();
    hex.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_read_as_recorded() {
        assert_eq!(vmware_serial("63d40cc5-9cba-5cc1-884a-f7f19070ecea"), "VMware-63 d4 0c c5 9c ba 5c c1-88 4a f7 f1 90 70 ec ea");
        assert_eq!(vmware_serial("odd"), "odd");
        let disk = Disk { serial: "b95003e9-7241-514a-9ba0-82a06c0d235a".into(), ..Disk::default() };
        assert_eq!(disk_serial(&disk, "vm-66"), "b95003e9-7241-514a-9");
        assert_eq!(disk_serial(&Disk { key: 2000, ..Disk::default() }, "vm-1").len(), SERIAL);
    }

    #[test]
    fn interfaces_follow_the_map() {
        let nic = Nic { mac: "00:50:56:00:03:01".into(), connected: true, ..Nic::default() };
        let (interface, network) = interface(&nic, "net-0", "pod", &json!({}), true);
        assert_eq!(interface, json!({ "macAddress": "00:50:56:00:03:01", "masquerade": {}, "model": "virtio", "name": "net-0" }));
        assert_eq!(network, json!({ "name": "net-0", "pod": {} }));
        let nic = Nic { connected: false, ..nic };
        let (interface, network) = super::interface(&nic, "net-1", "multus", &json!({ "namespace": "default", "name": "br" }), true);
        assert_eq!((interface["bridge"].clone(), interface["state"].clone()), (json!({}), json!("down")));
        assert_eq!(network["multus"]["networkName"], "default/br");
    }
}
