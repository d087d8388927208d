//! Adapters and disks.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::{
    super::{
        Engine,
        documents::{self, Document},
        model::{Disk, Model, Nic, content},
    },
    Changed, DISK_ADDED, Refusal, conflict, done, incomplete, missing, named, number, text, truth, vm_of,
};
use crate::world::DiskImage;

/// Making an empty disk.
const CREATE: Duration = Duration::from_secs(3);
/// Making one larger.
const EXTEND: Duration = Duration::from_secs(2);
/// Removing one.
const REMOVE: Duration = Duration::from_secs(2);

pub fn add_nic(engine: &Engine, id: &str, body: &Value) -> Changed {
    let mut model = engine.model();
    let name = text(body, "/name").to_owned();
    if name.is_empty() {
        return Err(incomplete("Nic", "name", "add"));
    }
    let profile = named(&model.profiles, body, "/vnic_profile", "VnicProfile")?.unwrap_or_default();
    if vm_of(&mut model, id)?.nics.iter().any(|nic| nic.name == name) {
        return Err(conflict("[Cannot add Interface. The Network Interface name is already in use.]"));
    }
    let (nic, given) = (model.id(), text(body, "/mac/address").to_lowercase());
    let mac = if given.is_empty() { model.mac() } else { given };
    let made = Nic { id: nic, name, mac, profile, addresses: Vec::new() };
    let vm = vm_of(&mut model, id)?;
    vm.nics.push(made.clone());
    Ok((StatusCode::CREATED, Document::one("nic", documents::nic(vm, &made))))
}

pub fn update_nic(engine: &Engine, id: &str, nic: &str, body: &Value) -> Changed {
    let mut model = engine.model();
    let profile = named(&model.profiles, body, "/vnic_profile", "VnicProfile")?;
    let vm = vm_of(&mut model, id)?;
    let found = vm.nics.iter_mut().find(|own| own.id == nic).ok_or_else(|| missing(nic))?;
    if !text(body, "/name").is_empty() {
        text(body, "/name").clone_into(&mut found.name);
    }
    if let Some(profile) = profile {
        found.profile = profile;
    }
    let changed = found.clone();
    Ok((StatusCode::OK, Document::one("nic", documents::nic(vm, &changed))))
}

pub fn remove_nic(engine: &Engine, id: &str, nic: &str) -> Changed {
    let mut model = engine.model();
    let vm = vm_of(&mut model, id)?;
    if !vm.nics.iter().any(|own| own.id == nic) {
        return Err(missing(nic));
    }
    if vm.status == "up" {
        return Err(conflict("[Cannot remove Interface. The VM Network Interface is plugged to a running VM.]"));
    }
    vm.nics.retain(|own| own.id != nic);
    Ok(done())
}

/// Begins an empty disk; its id.
fn make(engine: &Engine, model: &mut Model, body: &Value, otherwise: &str, correlation: &str) -> Result<String, Refusal> {
    let size = number(body, "/provisioned_size").ok_or_else(|| incomplete("Disk", "provisionedSize", "add"))?;
    if !matches!(text(body, "/format"), "cow" | "raw") {
        return Err(incomplete("Disk", "format", "add"));
    }
    let place = body.pointer("/storage_domains/storage_domain").map(|list| list.get(0).unwrap_or(list)).cloned().unwrap_or_default();
    let domain = named(&model.domains, &place, "", "StorageDomain")?;
    let domain = domain.ok_or_else(|| incomplete("Disk", "storageDomains.storageDomain", "add"))?;
    let alias = [text(body, "/alias"), text(body, "/name"), otherwise].into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    let id = model.id();
    let made = Disk {
        id: id.clone(),
        alias: alias.to_owned(),
        size,
        domain,
        status: "locked".to_owned(),
        format: text(body, "/format").to_owned(),
        sparse: truth(body, "/sparse").unwrap_or(text(body, "/format") == "cow"),
    };
    model.world.disks.put(content(&id), DiskImage { guest: None });
    model.disks.insert(id.clone(), made);
    let (disk, correlation) = (id.clone(), correlation.to_owned());
    engine.later(CREATE, move |_, model| {
        let Some(disk) = model.disks.get_mut(&disk) else { return };
        "ok".clone_into(&mut disk.status);
        let text = format!("The disk '{}' was successfully added.", disk.alias);
        model.event(DISK_ADDED, "normal", text, None, &correlation);
    });
    Ok(id)
}

pub fn add_disk(engine: &Engine, body: &Value, correlation: &str) -> Changed {
    let mut model = engine.model();
    let id = make(engine, &mut model, body, "", correlation)?;
    let shown = documents::disk(&model, &model.disks[&id]);
    Ok((StatusCode::ACCEPTED, Document::one("disk", shown)))
}

/// Attaches a disk that is there, or a new one.
pub fn attach(engine: &Engine, id: &str, body: &Value, correlation: &str) -> Changed {
    let mut model = engine.model();
    let vm = vm_of(&mut model, id)?;
    if vm.status == "image_locked" {
        return Err(conflict("[Cannot add Virtual Disk. VM is locked. Please try again in a few minutes.]"));
    }
    for needed in ["interface", "bootable"] {
        if body.get(needed).is_none() {
            return Err(incomplete("DiskAttachment", needed, "add"));
        }
    }
    let (otherwise, asked) = (format!("{}_Disk{}", vm.name, vm.disks.len() + 1), text(body, "/disk/id").to_owned());
    let disk = if asked.is_empty() {
        make(engine, &mut model, body.get("disk").unwrap_or(&Value::Null), &otherwise, correlation)?
    } else {
        match model.disks.get(&asked) {
            None => return Err(missing(&asked)),
            Some(_) if model.vms.values().any(|vm| vm.disks.contains(&asked)) => {
                return Err(conflict("[Cannot attach Virtual Disk. The specified disk is already attached to a VM and is not shareable.]"));
            }
            Some(_) => asked,
        }
    };
    let boots = truth(body, "/bootable") == Some(true);
    let vm = vm_of(&mut model, id)?;
    if boots && !vm.disks.is_empty() {
        return Err(conflict("[Cannot add Virtual Disk. VM already has a bootable disk.]"));
    }
    vm.disks.push(disk.clone());
    let shown = documents::attachment(vm, &disk);
    Ok((StatusCode::CREATED, Document::one("disk_attachment", shown)))
}

pub fn update_disk(engine: &Engine, vm: Option<&str>, disk: &str, body: &Value) -> Changed {
    let mut model = engine.model();
    let found = model.disks.get_mut(disk).ok_or_else(|| missing(disk))?;
    for key in ["/name", "/alias"] {
        if !text(body, key).is_empty() {
            text(body, key).clone_into(&mut found.alias);
        }
    }
    if let Some(size) = number(body, "/provisioned_size").filter(|size| *size != found.size) {
        if size < found.size {
            return Err(conflict("[Cannot edit Virtual Disk. New disk size cannot be smaller than the current one.]"));
        }
        if found.status == "locked" {
            return Err(conflict("[Cannot edit Virtual Disk. Disk is locked. Please try again in a few minutes.]"));
        }
        "locked".clone_into(&mut found.status);
        let id = disk.to_owned();
        engine.later(EXTEND, move |_, model| {
            if let Some(disk) = model.disks.get_mut(&id) {
                disk.size = size;
                "ok".clone_into(&mut disk.status);
            }
        });
    }
    let found = found.clone();
    Ok((
        StatusCode::OK,
        match vm {
            Some(vm) => Document::one("disk_attachment", documents::attachment(vm_of(&mut model, vm)?, disk)),
            None => Document::one("disk", documents::disk(&model, &found)),
        },
    ))
}

pub fn detach(engine: &Engine, id: &str, disk: &str, only: bool) -> Changed {
    let mut model = engine.model();
    let vm = vm_of(&mut model, id)?;
    if !vm.disks.iter().any(|own| own == disk) {
        return Err(missing(disk));
    }
    if vm.status == "image_locked" {
        return Err(conflict("[Cannot detach Virtual Disk. VM is locked. Please try again in a few minutes.]"));
    }
    vm.disks.retain(|own| own != disk);
    if !only {
        gone(engine, &mut model, disk);
    }
    Ok(done())
}

pub fn remove_disk(engine: &Engine, disk: &str) -> Changed {
    let mut model = engine.model();
    let found = model.disks.get(disk).ok_or_else(|| missing(disk))?;
    if found.status == "locked" {
        return Err(conflict("[Cannot remove Virtual Disk. Disk is locked. Please try again in a few minutes.]"));
    }
    let running = model.vms.values().find(|vm| vm.disks.iter().any(|own| own == disk) && !matches!(vm.status.as_str(), "down" | "ok"));
    if running.is_some() {
        return Err(conflict("[Cannot remove Virtual Disk. At least one of the VMs is not down.]"));
    }
    for vm in model.vms.values_mut() {
        vm.disks.retain(|own| own != disk);
    }
    gone(engine, &mut model, disk);
    Ok(done())
}

/// Removes a disk after a while.
fn gone(engine: &Engine, model: &mut Model, disk: &str) {
    if let Some(disk) = model.disks.get_mut(disk) {
        "locked".clone_into(&mut disk.status);
    }
    let id = disk.to_owned();
    engine.later(REMOVE, move |_, model| {
        model.disks.remove(&id);
        model.world.disks.remove(&content(&id));
    });
}
