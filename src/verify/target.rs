//! The migrated VM as the cluster has it: VirtualMachine, its instance and its claims in one description.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use serde_json::Value;

use crate::{cluster::ObjectExt as _, forklift::NetworkTarget, providers::Boot};

/// A network adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetNic {
    /// Interface name in the VM's spec.
    pub name: String,
    /// MAC address.
    pub mac: Option<String>,
    /// Where it is attached.
    pub network: NetworkTarget,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetDisk {
    /// Name of the PersistentVolumeClaim.
    pub claim: String,
    /// Requested size in bytes; 0 if the claim does not exist.
    pub bytes: u64,
    /// StorageClass.
    pub storage_class: Option<String>,
    /// Access modes.
    pub access_modes: Vec<String>,
    /// Whether the guest gets it as a LUN, with all commands.
    pub lun: bool,
    /// Its bus, such as `virtio`; empty if none is said.
    pub bus: String,
}

/// A migrated VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetVm {
    /// Name.
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// KubeVirt's own word for its state.
    pub printable_status: String,
    /// Sockets.
    pub sockets: Option<u32>,
    /// Cores per socket.
    pub cores: Option<u32>,
    /// Policies of CPU features by their names.
    pub cpu_features: BTreeMap<String, String>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Network adapters.
    pub nics: Vec<TargetNic>,
    /// Disks in the order of the VM's volumes.
    pub disks: Vec<TargetDisk>,
    /// Firmware serial.
    pub serial: Option<String>,
    /// How it boots.
    pub boot: Boot,
    /// Labels of its template.
    pub labels: BTreeMap<String, String>,
    /// Affinity of its template.
    pub affinity: Option<Value>,
    /// Node selector of its template.
    pub node_selector: BTreeMap<String, String>,
    /// Node that it runs on. Its instance knows: whoever reads that sets it.
    pub node: Option<String>,
}

impl TargetVm {
    /// Reads what a VirtualMachine and its claims say. Everything comes from specs, so the VM need not run.
    pub fn read(vm: &DynamicObject, claims: &[DynamicObject]) -> Self {
        let spec = "/spec/template/spec";
        let namespace = vm.metadata.namespace.clone().unwrap_or_default();
        let list = |pointer: &str| vm.at(&format!("{spec}{pointer}")).and_then(Value::as_array).cloned().unwrap_or_default();
        let count = |pointer: &str| vm.at(&format!("{spec}/domain{pointer}")).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let networks = list("/networks");
        let nics = list("/domain/devices/interfaces")
            .iter()
            .map(|interface| {
                let name = interface["name"].as_str().unwrap_or_default();
                let multus = networks.iter().find(|n| n["name"] == name).and_then(|n| n["multus"]["networkName"].as_str());
                TargetNic {
                    name: name.to_owned(),
                    mac: interface["macAddress"].as_str().map(str::to_owned),
                    network: multus.map_or(NetworkTarget::Pod, |full| {
                        let (ns, name) = full.split_once('/').unwrap_or((&namespace, full));
                        NetworkTarget::Multus { namespace: ns.to_owned(), name: name.to_owned() }
                    }),
                }
            })
            .collect();
        let devices = list("/domain/devices/disks");
        let disks = list("/volumes")
            .iter()
            .filter_map(|v| Some((v, v["persistentVolumeClaim"]["claimName"].as_str().or(v["dataVolume"]["name"].as_str())?)))
            .map(|(volume, name)| {
                let device = devices.iter().find(|device| device["name"] == volume["name"]);
                disk(name, device, claims.iter().find(|c| c.metadata.name.as_deref() == Some(name)))
            })
            .collect();
        let efi = vm.at(&format!("{spec}/domain/firmware/bootloader/efi")).filter(|efi| !efi.is_null());
        let tpm = vm.at(&format!("{spec}/domain/devices/tpm")).filter(|tpm| !tpm.is_null());
        let boot = Boot {
            efi: efi.is_some(),
            // KubeVirt's default.
            secure: efi.is_some_and(|efi| efi["secureBoot"].as_bool().unwrap_or(true)),
            tpm: tpm.is_some_and(|tpm| tpm["enabled"].as_bool().unwrap_or(true)),
        };
        let texts = |pointer: &str| -> BTreeMap<String, String> {
            let map = vm.at(pointer).and_then(Value::as_object).into_iter().flatten();
            map.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
        };
        let printable_status = vm.text("/status/printableStatus").unwrap_or("no status").to_owned();
        Self {
            name: vm.metadata.name.clone().unwrap_or_default(),
            running: printable_status == "Running",
            printable_status,
            sockets: count("/cpu/sockets"),
            cores: count("/cpu/cores"),
            cpu_features: list("/domain/cpu/features")
                .iter()
                .filter_map(|feature| {
                    Some((feature["name"].as_str()?.to_owned(), feature["policy"].as_str().unwrap_or("require").to_owned()))
                })
                .collect(),
            memory_bytes: vm.text(&format!("{spec}/domain/memory/guest")).and_then(quantity_bytes),
            nics,
            disks,
            serial: vm.text(&format!("{spec}/domain/firmware/serial")).map(str::to_owned),
            boot,
            labels: texts("/spec/template/metadata/labels"),
            affinity: vm.at(&format!("{spec}/affinity")).filter(|affinity| !affinity.is_null()).cloned(),
            node_selector: texts(&format!("{spec}/nodeSelector")),
            node: None,
        }
    }
}

fn disk(name: &str, device: Option<&Value>, claim: Option<&DynamicObject>) -> TargetDisk {
    let text = |pointer| claim.and_then(|c| c.text(pointer)).map(str::to_owned);
    let modes = claim.and_then(|c| c.at("/spec/accessModes")).and_then(Value::as_array).cloned().unwrap_or_default();
    let lun = device.and_then(|device| device.get("lun"));
    let bus = lun.or_else(|| device?.get("disk")).and_then(|kind| kind["bus"].as_str());
    TargetDisk {
        lun: lun.is_some(),
        bus: bus.unwrap_or_default().to_owned(),
        claim: name.to_owned(),
        bytes: text("/spec/resources/requests/storage").as_deref().and_then(quantity_bytes).unwrap_or(0),
        storage_class: text("/spec/storageClassName"),
        access_modes: modes.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

/// Bytes of a Kubernetes quantity such as `2Gi`, `1500M` or `1073741824`.
pub fn quantity_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1000_u64.pow(2),
        "G" => 1000_u64.pow(3),
        "T" => 1000_u64.pow(4),
        "P" => 1000_u64.pow(5),
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let (whole, fraction) = number.split_once('.')?;
    let (whole, digits) = (whole.parse::<u128>().ok()?, u32::try_from(fraction.len()).ok()?);
    let (scale, part) = (10_u128.checked_pow(digits)?, fraction.parse::<u128>().ok()?);
    u64::try_from((whole.checked_mul(scale)? + part).checked_mul(u128::from(factor))?.div_ceil(scale)).ok()
}
