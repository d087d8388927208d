//! A source VM: the VirtualMachine with its claims, networks and storage classes.

use mtv_api::kinds::{CLUSTER_INSTANCE_TYPE, NAD, PVC, STORAGE_CLASS, VM};
use serde_json::Value;

use crate::{
    forklift::{
        cluster::{Cluster, Look},
        source::{Disk, Machine, Nic, machine::POD_NETWORK},
    },
    roles::quantity::bytes,
};

/// Reads a VM by its UID.
pub async fn read(cluster: &Cluster, id: &str) -> anyhow::Result<Option<Machine>> {
    let Some(vm) = cluster.list(&VM, "", "").await?.into_iter().find(|vm| vm.uid() == id) else { return Ok(None) };
    let namespace = vm.text("/metadata/namespace").to_owned();
    let claims = cluster.list(&PVC, &namespace, "").await?;
    let classes = cluster.list(&STORAGE_CLASS, "", "").await?;
    let networks = cluster.list(&NAD, "", "").await?;
    let spec = &vm["spec"]["template"]["spec"];
    let mut nics = Vec::new();
    for interface in spec.items("/domain/devices/interfaces") {
        let network = spec.items("/networks").iter().find(|n| n.text("/name") == interface.text("/name"));
        let multus = network.map(|n| n.text("/multus/networkName")).unwrap_or_default();
        let id = if multus.is_empty() { POD_NETWORK.to_owned() } else { network_id(&networks, multus, &namespace) };
        nics.push(Nic { network: id, mac: interface.text("/macAddress").to_lowercase(), connected: interface.text("/state") != "down" });
    }
    let mut disks = Vec::new();
    for name in claim_names(&vm) {
        let claim = claims.iter().find(|claim| claim.text("/metadata/name") == name);
        let class = claim.map(|c| c.text("/spec/storageClassName")).unwrap_or_default();
        let size = claim.map(|c| c.text("/spec/resources/requests/storage")).unwrap_or_default();
        disks.push(Disk {
            task: format!("{namespace}/{name}"),
            key: i64::try_from(disks.len())?,
            file: name.clone(),
            storage: classes.iter().find(|c| c.text("/metadata/name") == class).map(|c| c.uid().to_owned()).unwrap_or_default(),
            capacity: bytes(size).and_then(|size| i64::try_from(size).ok()).unwrap_or_default(),
            claim: Some((namespace.clone(), name)),
            ..Disk::default()
        });
    }
    let kind = cluster.get(&CLUSTER_INSTANCE_TYPE, "", vm.text("/spec/instancetype/name")).await?;
    let told = |pointer: &str, of_type: &str| {
        let own = spec.number(pointer);
        if own > 0 { own } else { kind.as_ref().map(|k| k.number(of_type)).unwrap_or_default() }
    };
    let memory = Some(spec.text("/domain/memory/guest")).filter(|m| !m.is_empty());
    let memory = memory.or(kind.as_ref().map(|k| k.text("/spec/memory/guest"))).and_then(bytes).unwrap_or_default();
    let mut ids: Vec<String> = nics.iter().map(|nic| nic.network.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(Some(Machine {
        id: id.to_owned(),
        name: vm.text("/metadata/name").to_owned(),
        namespace,
        uuid: spec.text("/domain/firmware/uuid").to_owned(),
        windows: vm.text("/spec/preference/name").starts_with("windows"),
        efi: spec.pointer("/domain/firmware/bootloader/efi").is_some(),
        sockets: told("/domain/cpu/sockets", "/spec/cpu/guest").max(1),
        cores: told("/domain/cpu/cores", "").max(1),
        memory_mib: i64::try_from(memory >> 20)?,
        networks: ids,
        nics,
        order: (0..disks.len()).collect(),
        disks,
        object: Some(vm),
        ..Machine::default()
    }))
}

/// Names of the claims behind a VM's volumes, in their order.
pub fn claim_names(vm: &Value) -> Vec<String> {
    let volumes = vm.items("/spec/template/spec/volumes").iter();
    let name = |v: &Value| {
        [v.text("/persistentVolumeClaim/claimName"), v.text("/dataVolume/name")].into_iter().find(|n| !n.is_empty()).map(str::to_owned)
    };
    volumes.filter_map(name).collect()
}

fn network_id(all: &[Value], name: &str, home: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or((home, name));
    let found = all.iter().find(|n| n.text("/metadata/namespace") == namespace && n.text("/metadata/name") == name);
    found.map(|n| n.uid().to_owned()).unwrap_or_default()
}
