//! The operating system that an instance boots, and what KubeVirt tells about domain and system.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{ResourceExt, api::DynamicObject};
use russh::keys::PrivateKey;
use serde_json::{Value, json};

use super::{Shared, network::Nic};
use crate::{
    clock::Clock,
    datacenter::GuestModel,
    faults::GuestChange,
    guests::{self, Disk, Files, Guest},
    roles::{cdi::claim::FILESYSTEM_OVERHEAD, quantity, write},
};

/// What stands on the boot disk.
pub(super) struct System {
    pub(super) model: GuestModel,
    /// Addresses configured in the system, by MAC address.
    pub(super) addresses: BTreeMap<String, Vec<String>>,
    /// Gateways configured in the system, by MAC address.
    pub(super) gateways: BTreeMap<String, String>,
    /// Names of adapters in the system's configuration, by MAC address.
    pub(super) names: BTreeMap<String, String>,
    /// What turns out otherwise.
    pub(super) change: GuestChange,
    host_key: PrivateKey,
    serials: Vec<String>,
    files: Files,
}

/// The system of the disk that boots: the first in boot order that has one.
pub(super) fn boot(shared: &Shared, instance: &DynamicObject, claims: &[PersistentVolumeClaim]) -> anyhow::Result<Option<System>> {
    let devices = write::list(&instance.data, "/spec/domain/devices/disks");
    let volumes = write::list(&instance.data, "/spec/volumes");
    let order = |claim: &PersistentVolumeClaim| {
        let name = claim.name_any();
        let volume = volumes
            .iter()
            .find(|v| write::text(v, "/persistentVolumeClaim/claimName") == name || write::text(v, "/dataVolume/name") == name);
        let device = volume.and_then(|v| devices.iter().find(|d| d["name"] == v["name"]));
        device.and_then(|d| d["bootOrder"].as_u64()).unwrap_or(u64::MAX)
    };
    let mut sorted: Vec<_> = claims.iter().collect();
    sorted.sort_by_key(|claim| order(claim));
    for claim in sorted {
        let disk = format!("pvc:{}", claim.uid().unwrap_or_default());
        let Some(mut model) = shared.cx.world.guest(&disk) else { continue };
        let change = shared.cx.world.faults.guest(&instance.name_any());
        model.agent = change.agent.unwrap_or(model.agent);
        return Ok(Some(System {
            model,
            addresses: shared.cx.world.disks.addresses(&disk),
            gateways: shared.cx.world.disks.gateways(&disk),
            names: shared.cx.world.disks.names(&disk),
            files: if change.lose_files { Files::default() } else { Files::on(Arc::clone(&shared.cx.world.disks), disk.clone()) },
            change,
            host_key: guests::host_key(&shared.guests.secret, &disk)?,
            serials: devices.iter().map(|d| write::text(d, "/serial").to_owned()).collect(),
        }));
    }
    Ok(None)
}

/// The guest that answers over SSH.
pub(super) fn machine(system: &System, nics: &[Nic], claims: &[PersistentVolumeClaim], clock: Clock) -> Guest {
    let serials = system.serials.iter().cloned().chain(std::iter::repeat(String::new()));
    Guest {
        model: system.model.clone(),
        interfaces: nics.iter().map(|nic| nic.guest.clone()).collect(),
        disks: claims.iter().zip(serials).map(|(claim, serial)| Disk { size: size(claim), serial }).collect(),
        clock,
        host_key: system.host_key.clone(),
        ssh: system.change.ssh,
        files: system.files.clone(),
    }
}

/// Size of the disk in a claim: in a file system the image leaves room for the overhead.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes of disks, far below 2^52")]
fn size(claim: &PersistentVolumeClaim) -> u64 {
    let spec = claim.spec.as_ref();
    let request = spec.and_then(|s| s.resources.as_ref()).and_then(|r| r.requests.as_ref()).and_then(|r| r.get("storage"));
    let bytes = request.and_then(|q| quantity::bytes(&q.0)).unwrap_or(0);
    if spec.and_then(|s| s.volume_mode.as_deref()) == Some("Block") {
        return bytes;
    }
    let usable = bytes as f64 * (1.0 - FILESYSTEM_OVERHEAD);
    usable as u64 / quantity::MIB * quantity::MIB
}

/// What a running domain adds to the status.
pub(super) fn domain(instance: &Value, claims: &[PersistentVolumeClaim], base: &Value) -> Value {
    let cpu = |field: &str| instance.pointer(&format!("/spec/domain/cpu/{field}")).and_then(Value::as_u64).unwrap_or(1);
    let memory =
        instance.pointer("/spec/domain/memory/guest").or_else(|| instance.pointer("/spec/domain/resources/requests/memory")).cloned();
    let volumes: Vec<_> = write::list(instance, "/spec/volumes")
        .iter()
        .zip(b'a'..=b'z')
        .map(|(volume, letter)| {
            let name = write::text(volume, "/persistentVolumeClaim/claimName");
            let mut status = json!({ "name": volume["name"], "target": format!("vd{}", char::from(letter)) });
            if let Some(claim) = claims.iter().find(|c| c.name_any() == name) {
                let spec = claim.spec.clone().unwrap_or_default();
                let capacity = claim.status.as_ref().and_then(|s| s.capacity.clone());
                status["persistentVolumeClaimInfo"] = json!({ "claimName": name, "accessModes": spec.access_modes, "capacity": capacity, "requests": spec.resources.and_then(|r| r.requests), "volumeMode": spec.volume_mode, "filesystemOverhead": FILESYSTEM_OVERHEAD.to_string() });
            }
            status
        })
        .collect();
    let mut status = base.clone();
    status["currentCPUTopology"] = json!({ "sockets": cpu("sockets"), "cores": cpu("cores"), "threads": cpu("threads") });
    if let Some(memory) = memory {
        status["memory"] = json!({ "guestAtBoot": memory, "guestCurrent": memory, "guestRequested": memory });
    }
    status["machine"] = json!({ "type": write::text(instance, "/spec/domain/machine/type") });
    status["volumeStatus"] = volumes.into();
    status["launcherContainerImageVersion"] = "registry.redhat.io/container-native-virtualization/virt-launcher-rhel9:v4.20.0".into();
    status
}

/// `guestOSInfo` as the guest agent tells it.
pub(super) fn os_info(model: &GuestModel) -> Value {
    let id = model.os_info.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let version = model.os_info.trim_start_matches(|c: char| !c.is_ascii_digit());
    if model.family == "windows" {
        return json!({ "id": "mswindows", "name": "Microsoft Windows", "prettyName": model.full_name, "version": model.full_name, "versionId": version, "kernelRelease": "17763", "kernelVersion": "10.0", "machine": "x86_64" });
    }
    json!({ "id": id, "name": model.full_name.split(" (").next(), "prettyName": model.full_name, "version": version, "versionId": version, "kernelRelease": "5.14.0-503.11.1.el9_5.x86_64", "kernelVersion": "#1 SMP PREEMPT_DYNAMIC", "machine": "x86_64" })
}

/// The answer of the sub-resource `guestosinfo`.
pub(super) fn agent_info(guest: &Guest) -> Value {
    json!({
        "apiVersion": "subresources.kubevirt.io/v1",
        "kind": "VirtualMachineInstanceGuestAgentInfo",
        "metadata": {},
        "guestAgentVersion": "6.2.0",
        "supportedCommands": [{ "name": "guest-ping", "enabled": true }, { "name": "guest-get-osinfo", "enabled": true }],
        "hostname": guest.model.host_name,
        "os": os_info(&guest.model),
        "timezone": "UTC, 0",
        "userList": [],
        "fsInfo": { "disks": [] },
        "fsFreezeStatus": "thawed",
    })
}
