//! Inventory of an OVA provider: objects as the service shows them, with the keys of Go's own types inside lists.

use serde_json::{Value, json};

use crate::{
    datacenter::{DataCenter, OvaModel, VmModel},
    ova,
};

/// Objects of a collection, in full.
pub fn all(center: &DataCenter, provider: &str, collection: &str) -> Option<Vec<Value>> {
    let model = &center.ova;
    // What the appliance's OperatingSystemSection says.
    let os_type = |vm: &VmModel| center.guests.get(&vm.guest).map(|guest| guest.guest_id.clone()).unwrap_or_default();
    let link = |id: &str| format!("providers/ova/{provider}/{collection}/{id}");
    let header = |id: String, name: &str| json!({ "selfLink": link(&id), "id": id, "name": name });
    Some(match collection {
        "vms" | "workloads" => {
            model.vms.iter().map(|vm| merge(header(ova::id("vm", &vm.name), &vm.name), details(vm, &os_type(vm)))).collect()
        }
        "networks" => {
            names(model).into_iter().map(|name| merge(header(ova::id("network", name), name), json!({ "Description": "" }))).collect()
        }
        "disks" => disks(model).map(|(vm, index)| merge(header(disk_id(vm, index), &ova::disk_name(vm, index)), disk(vm, index))).collect(),
        "storages" => disks(model).map(|(vm, index)| header(disk_id(vm, index), &ova::disk_name(vm, index))).collect(),
        _ => return None,
    })
}

/// The header of an object: what a list without detail shows.
pub fn header(object: &Value) -> Value {
    json!({ "id": object["id"], "name": object["name"], "selfLink": object["selfLink"] })
}

fn merge(mut header: Value, more: Value) -> Value {
    if let (Value::Object(header), Value::Object(more)) = (&mut header, more) {
        header.extend(more);
    }
    header
}

/// Networks of all files, each once.
fn names(model: &OvaModel) -> Vec<&str> {
    let mut names: Vec<&str> = model.vms.iter().flat_map(|vm| &vm.nics).map(|nic| nic.network.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn disks(model: &OvaModel) -> impl Iterator<Item = (&VmModel, usize)> {
    model.vms.iter().flat_map(|vm| (0..vm.disks.len()).map(move |index| (vm, index)))
}

/// Id of a disk, which is that of its storage too.
pub fn disk_id(vm: &VmModel, index: usize) -> String {
    ova::id("disk", &ova::task(vm, index))
}

fn disk(vm: &VmModel, index: usize) -> Value {
    json!({
        "FilePath": ova::path(vm),
        "Capacity": vm.disks[index].size_gib,
        "CapacityAllocationUnits": "byte * 2^30",
        "DiskId": format!("vmdisk{}", index + 1),
        "FileRef": format!("file{}", index + 1),
        "Format": "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized",
        "PopulatedSize": 0,
    })
}

fn details(vm: &VmModel, os_type: &str) -> Value {
    let named = |id: String, name: &str| json!({ "ID": id, "Variant": "", "Name": name, "Revision": 0 });
    let disks: Vec<Value> =
        (0..vm.disks.len()).map(|index| merge(named(disk_id(vm, index), &ova::disk_name(vm, index)), disk(vm, index))).collect();
    let mut networks: Vec<Value> = Vec::new();
    for nic in &vm.nics {
        let network = merge(named(ova::id("network", &nic.network), &nic.network), json!({ "Description": "" }));
        if !networks.contains(&network) {
            networks.push(network);
        }
    }
    // An OVF file seldom says a MAC address: who imports it gives one.
    let nics =
        vm.nics.iter().enumerate().map(
            |(index, nic)| json!({ "Name": format!("Network adapter {}", index + 1), "MAC": "", "Network": nic.network, "Config": [] }),
        );
    json!({
        "revisionValidated": 1,
        "policyVersion": 0,
        "ovfPath": format!("{}.ova", vm.name),
        "exportSource": "VMware",
        "osType": os_type,
        "uuid": ova::id("uuid", &vm.name),
        "firmware": vm.firmware,
        "secureBoot": false,
        "cpuAffinity": [],
        "cpuCount": vm.cpus,
        "coresPerSocket": vm.cores_per_socket,
        "memoryMB": vm.memory_mib,
        "memoryUnits": "byte * 2^20",
        "cpuUnits": "hertz * 10^6",
        "networks": networks,
        "disks": disks,
        "nics": nics.collect::<Vec<_>>(),
        "devices": [],
        "concerns": [],
    })
}
