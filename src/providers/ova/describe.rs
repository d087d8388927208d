//! From what the inventory says of a VM in an OVA file to its description.

use mtv_api::forklift::SourceRef;
use serde_json::Value;

use crate::providers::{Disk, Nic, Power, ProviderError, ProviderResult, VmDescription};

/// Describes a VM.
pub fn vm(vm: &Value) -> ProviderResult<VmDescription> {
    let text = |key: &str| vm[key].as_str().unwrap_or_default();
    let (id, name) = (text("id"), text("name"));
    if id.is_empty() || name.is_empty() {
        return Err(ProviderError::operation("the inventory names a VM without id or name".to_owned()));
    }
    let number = |key: &str| vm[key].as_u64().unwrap_or_default();
    let small = |number: u64| u32::try_from(number).unwrap_or_default();
    let cores = number("coresPerSocket").max(1);
    let list = |key: &str| vm[key].as_array().map_or(&[][..], Vec::as_slice);
    let told = |what: String, read: Option<u64>| {
        read.ok_or_else(|| ProviderError::operation(format!("VM {name}: {what} of its OVF description cannot be read")))
    };
    let units = text("memoryUnits");
    // Without units OVF counts memory in mebibytes.
    let memory = bytes(number("memoryMB"), if units.is_empty() { "byte * 2^20" } else { units });
    let mut disks = Vec::new();
    for disk in list("disks") {
        let units = disk["CapacityAllocationUnits"].as_str().unwrap_or_default();
        let capacity = bytes(disk["Capacity"].as_u64().unwrap_or_default(), units);
        let id = disk["ID"].as_str().unwrap_or_default();
        disks.push(Disk {
            name: disk["Name"].as_str().unwrap_or_default().to_owned(),
            bytes: told(format!("the size unit `{units}`"), capacity)?,
            storage: id.to_owned(),
            // Names of disks repeat from file to file.
            storage_ref: Some(SourceRef::by_id(id)),
            ..Disk::default()
        });
    }
    Ok(VmDescription {
        id: id.to_owned(),
        name: name.to_owned(),
        uuid: text("uuid").to_lowercase(),
        serial: Some(text("uuid").to_owned()).filter(|uuid| !uuid.is_empty()),
        power: Power::Off,
        sockets: small(number("cpuCount") / cores),
        cores_per_socket: if number("cpuCount") == 0 { 0 } else { small(cores) },
        memory_mib: told(format!("the memory unit `{units}`"), memory)? >> 20,
        nics: list("nics").iter().map(nic).collect(),
        disks,
        windows: text("osType").to_lowercase().contains("win"),
        ..VmDescription::default()
    })
}

fn nic(nic: &Value) -> Nic {
    let text = |key: &str| nic[key].as_str().unwrap_or_default().to_owned();
    let network = text("Network");
    Nic {
        name: text("Name"),
        mac: text("MAC").to_lowercase(),
        network_id: network.clone(),
        network_ref: Some(SourceRef::by_name(network.clone())),
        network,
        ..Nic::default()
    }
}

/// Bytes of a number in a unit of DMTF DSP0004: `byte`, `byte * 1024`, `byte * 2^30`, and the abbreviations of old files.
fn bytes(number: u64, unit: &str) -> Option<u64> {
    let factor = match unit.trim() {
        "" | "byte" | "bytes" => 1,
        "KB" | "KiloBytes" => 1 << 10,
        "MB" | "MegaBytes" => 1 << 20,
        "GB" | "GigaBytes" => 1 << 30,
        other => {
            let power = other.strip_prefix("byte")?.trim().strip_prefix('*')?.trim();
            match power.split_once('^') {
                Some((base, exponent)) => base.trim().parse::<u64>().ok()?.checked_pow(exponent.trim().parse().ok()?)?,
                None => power.parse().ok()?,
            }
        }
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn units_of_ovf_are_read() {
        for (number, unit, wanted) in [
            (16, "byte * 2^30", Some(16 << 30)),
            (1 << 30, "byte", Some(1 << 30)),
            (7, "", Some(7)),
            (2, "MegaBytes", Some(2 << 20)),
            (3, "byte * 1024", Some(3072)),
            (1, "parsec", None),
            (1, "byte * 2^64", None),
        ] {
            assert_eq!(bytes(number, unit), wanted, "{number} {unit}");
        }
    }

    #[test]
    fn a_vm_is_described_by_the_inventory() {
        let found = vm(&json!({
            "id": "i", "name": "web", "uuid": "A", "cpuCount": 4, "coresPerSocket": 2, "memoryMB": 2048, "memoryUnits": "byte * 2^20",
            "nics": [{ "Name": "nic 1", "MAC": "", "Network": "VM Network" }],
            "disks": [{ "ID": "d", "Name": "web-disk1.vmdk", "Capacity": 2, "CapacityAllocationUnits": "byte * 2^30" }],
        }))
        .unwrap();
        assert_eq!((found.sockets, found.cores_per_socket, found.memory_mib, found.power), (2, 2, 2048, Power::Off));
        assert_eq!((found.disks[0].bytes, found.disks[0].storage_ref.clone()), (2 << 30, Some(SourceRef::by_id("d"))));
        assert_eq!(found.nics[0].network_ref, Some(SourceRef::by_name("VM Network")));
        let error = vm(&json!({ "id": "i", "name": "web", "disks": [{ "Capacity": 1, "CapacityAllocationUnits": "x" }] })).unwrap_err();
        assert!(error.to_string().contains("size unit `x`"), "{error}");
    }
}
