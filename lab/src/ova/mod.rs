//! A share with OVA files: what stands in each file, as Forklift's OVA server reads it.
//!
//! Mounting an NFS share needs rights that the lab does not ask for, so there are no files: their descriptions are the data
//! centre's, and the contents of their disks are kept where those of all disks are.

use sha2::{Digest as _, Sha256};

use crate::{
    datacenter::VmModel,
    world::{DiskImage, World},
};

/// Folder in which pods mount the share.
pub const MOUNT: &str = "/ova";

/// An id as Forklift's OVA server makes them: the same for the same file, whenever it is read.
pub fn id(kind: &str, name: &str) -> String {
    let digest = Sha256::digest(format!("{kind}\0{name}"));
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Path of the file of a VM below the mounted share.
pub fn path(vm: &VmModel) -> String {
    format!("{MOUNT}/{}.ova", vm.name)
}

/// Name of a VM's disk in its OVF description.
pub fn disk_name(vm: &VmModel, index: usize) -> String {
    format!("{}-disk{}.vmdk", vm.name, index + 1)
}

/// How a migration calls a disk: the file and the disk in it.
pub fn task(vm: &VmModel, index: usize) -> String {
    format!("{}::{}", path(vm), disk_name(vm, index))
}

/// Puts the contents of all disks in their place.
pub fn fill(world: &World) {
    for vm in &world.datacenter.ova.vms {
        for index in 0..vm.disks.len() {
            // The first disk boots.
            let guest = (index == 0).then(|| vm.guest.clone());
            world.disks.put(task(vm, index), DiskImage { guest });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        datacenter::{DEFAULT, DataCenter},
    };

    #[test]
    fn ids_are_stable_and_differ_by_kind() {
        assert_eq!(id("vm", "a"), id("vm", "a"));
        assert_ne!(id("vm", "a"), id("disk", "a"));
        assert_eq!(id("vm", "a").len(), 36);
    }

    #[test]
    fn the_first_disk_boots() {
        let world = World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(1.0));
        fill(&world);
        let vm = world.datacenter.ova.vms.iter().find(|vm| vm.disks.len() == 2).unwrap();
        assert!(world.guest(&task(vm, 0)).is_some() && world.guest(&task(vm, 1)).is_none());
    }
}
