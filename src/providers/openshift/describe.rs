//! From VirtualMachine, instance and claims to the description of a source VM.

use kube::api::DynamicObject;
use mtv_api::forklift::SourceRef;
use serde_json::Value;

use crate::{
    cluster::ObjectExt as _,
    providers::{Disk, Nic, Power, VmDescription},
    verify::quantity_bytes,
};

/// Describes a VM. What its instance type gives, CPUs and memory, is not told: the migrated VM refers to the same type.
pub fn vm(vm: &DynamicObject, instance: Option<&DynamicObject>, claims: &[DynamicObject]) -> VmDescription {
    let spec = "/spec/template/spec";
    let list = |pointer: &str| vm.at(&format!("{spec}{pointer}")).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let number = |key: &str| {
        let told = vm.at(&format!("{spec}/domain/cpu/{key}")).and_then(Value::as_u64);
        told.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)
    };
    let memory = vm.text(&format!("{spec}/domain/memory/guest")).and_then(quantity_bytes);
    let namespace = vm.metadata.namespace.clone().unwrap_or_default();
    let networks = list("/networks");
    let status = instance.and_then(|i| i.at("/status/interfaces")).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let nic = |interface: &Value| nic(interface, networks, status, &namespace);
    let claim =
        |volume: &Value| volume["dataVolume"]["name"].as_str().or(volume["persistentVolumeClaim"]["claimName"].as_str()).map(str::to_owned);
    let disk = |name: String| disk(&name, claims.iter().find(|claim| claim.metadata.name.as_deref() == Some(name.as_str())));
    let conditions = instance.and_then(|i| i.at("/status/conditions")).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let preference = vm.text("/spec/preference/name").unwrap_or_default();
    VmDescription {
        id: vm.metadata.uid.clone().unwrap_or_default(),
        name: vm.metadata.name.clone().unwrap_or_default(),
        namespace: Some(namespace.clone()),
        uuid: vm.text(&format!("{spec}/domain/firmware/uuid")).map(str::to_lowercase),
        power: match vm.text("/status/printableStatus") {
            Some("Running") => Power::On,
            Some("Stopped") => Power::Off,
            _ => Power::Other,
        },
        sockets: number("sockets"),
        cores_per_socket: number("cores"),
        memory_mib: memory.map(|bytes| bytes >> 20),
        nics: list("/domain/devices/interfaces").iter().map(nic).collect(),
        disks: list("/volumes").iter().filter_map(claim).map(disk).collect(),
        tools_running: conditions.iter().any(|c| c["type"] == "AgentConnected" && c["status"] == "True"),
        windows: preference.starts_with("windows"),
        ..VmDescription::default()
    }
}

/// An adapter. Its MAC address counts only if the VM itself says it: KubeVirt gives another one to each instance otherwise.
fn nic(interface: &Value, networks: &[Value], status: &[Value], namespace: &str) -> Nic {
    let name = interface["name"].as_str().unwrap_or_default();
    let multus = networks.iter().find(|n| n["name"] == name).and_then(|n| n["multus"]["networkName"].as_str());
    let (id, reference) = match multus {
        None => ("pod".to_owned(), SourceRef { kind: Some("pod".to_owned()), ..SourceRef::default() }),
        Some(full) => {
            let full = if full.contains('/') { full.to_owned() } else { format!("{namespace}/{full}") };
            (full.clone(), SourceRef::by_name(full))
        }
    };
    let addresses = status.iter().find(|i| i["name"] == name).and_then(|i| i["ipAddresses"].as_array());
    Nic {
        name: name.to_owned(),
        mac: interface["macAddress"].as_str().unwrap_or_default().to_lowercase(),
        network: id.clone(),
        network_id: id,
        network_ref: Some(reference),
        addresses: addresses.into_iter().flatten().filter_map(|a| a.as_str().map(str::to_owned)).collect(),
        ..Nic::default()
    }
}

fn disk(name: &str, claim: Option<&DynamicObject>) -> Disk {
    let text = |pointer| claim.and_then(|c| c.text(pointer));
    Disk {
        name: name.to_owned(),
        bytes: text("/spec/resources/requests/storage").and_then(quantity_bytes).unwrap_or_default(),
        storage: text("/spec/storageClassName").unwrap_or_default().to_owned(),
        ..Disk::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::providers::openshift::machine;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_vm_is_described_with_the_networks_and_claims_that_it_refers_to() {
        let mut body = machine::body("r", "web", Some(("rhel", "x")));
        body["metadata"]["uid"] = json!("u");
        body["status"] = json!({ "printableStatus": "Running" });
        let instance = json!({ "status": {
            "interfaces": [{ "name": "default", "ipAddresses": ["10.1.2.3"] }],
            "conditions": [{ "type": "AgentConnected", "status": "True" }],
        } });
        let claim = json!({ "metadata": { "name": "web" }, "spec": { "storageClassName": "sc", "resources": { "requests": { "storage": "30Gi" } } } });
        let found = vm(&object(body), Some(&object(instance)), &[object(claim)]);
        assert_eq!((found.id.as_str(), found.namespace.as_deref(), found.power), ("u", Some("mtv-test-r-source-vms"), Power::On));
        let networks: Vec<&str> = found.nics.iter().map(|nic| nic.network_id.as_str()).collect();
        assert_eq!(networks, ["pod", "mtv-test-r-source-vms/cb-source"]);
        assert_eq!(found.nics[0].network_ref.as_ref().and_then(|r| r.kind.as_deref()), Some("pod"));
        assert_eq!(found.nics[0].addresses, ["10.1.2.3"]);
        assert_eq!(found.disks.len(), 1, "cloud-init is no disk");
        assert_eq!((found.disks[0].bytes, found.disks[0].storage.as_str()), (30 << 30, "sc"));
        assert!(found.tools_running && !found.windows);
    }
}
