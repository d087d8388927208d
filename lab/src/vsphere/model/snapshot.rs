//! Snapshots: making, removing and returning to them, and the disk files that this needs.

use super::{
    Model,
    build::vmware_uuid,
    device::{Backing, Device},
    vm::{Power, Snapshot, Vm},
};
use crate::{
    vsphere::{fault::Fault, ids::MoRef},
    world::Disks,
};

impl Vm {
    /// Gives each disk its `changeId` if changed block tracking is on and something refers to a point in time, and takes it away otherwise.
    pub fn settle_change_tracking(&mut self) {
        let wanted = self.change_tracking && !self.snapshots.is_empty();
        let number = self.changes;
        for device in &mut self.devices {
            if let Some(disk) = device.disk_mut() {
                let tracked = wanted && disk.backing.raw.is_none() && !disk.backing.mode.starts_with("independent");
                disk.backing.change_id = tracked.then(|| format!("{}/{number}", vmware_uuid(&disk.backing.uuid)));
            }
        }
    }

    /// Puts a new difference file on top of every disk that snapshots hold.
    fn branch(&mut self, disks: &Disks) {
        self.deltas += 1;
        let number = self.deltas;
        for device in &mut self.devices {
            let Some(disk) = device.disk_mut() else { continue };
            if disk.backing.mode.starts_with("independent") {
                continue;
            }
            let file = disk.backing.delta_name(number);
            disks.copy(&disk.backing.file, file.clone());
            let below = disk.backing.clone();
            disk.backing = Backing { file, parent: Some(Box::new(below)), change_id: None, ..disk.backing.clone() };
        }
    }

    /// Every list of devices whose disks may refer to a file.
    fn device_lists(&mut self) -> impl Iterator<Item = &mut Device> {
        self.devices.iter_mut().chain(self.snapshots.iter_mut().flat_map(|s| s.devices.iter_mut()))
    }

    /// Merges files that no snapshot needs any more into what builds on them.
    fn consolidate(&mut self, mut candidates: Vec<String>, disks: &Disks) {
        while let Some(file) = candidates.pop() {
            let held = self.snapshots.iter().flat_map(|s| &s.devices).chain(&self.devices).filter_map(Device::disk);
            let mut above: Vec<String> = Vec::new();
            let mut in_use = false;
            for disk in held {
                in_use |= disk.backing.file == file;
                for backing in disk.backing.chain() {
                    if backing.parent.as_ref().is_some_and(|p| p.file == file) && !above.contains(&backing.file) {
                        above.push(backing.file.clone());
                    }
                }
            }
            match (in_use, above.as_slice()) {
                (false, []) => disks.remove(&file),
                (false, [only]) => {
                    disks.copy(only, file.clone());
                    disks.remove(only);
                    let only = only.clone();
                    for disk in self.device_lists().filter_map(Device::disk_mut) {
                        merge(&mut disk.backing, &only, &file);
                    }
                }
                _ => {}
            }
        }
    }
}

/// In a chain, lets the file `upper` take name and place of the `lower` one beneath it.
fn merge(backing: &mut Backing, upper: &str, lower: &str) {
    if backing.file == upper
        && let Some(below) = backing.parent.take()
    {
        if below.file == lower {
            lower.clone_into(&mut backing.file);
            backing.parent = below.parent;
        } else {
            backing.parent = Some(below);
        }
    }
    if let Some(below) = &mut backing.parent {
        merge(below, upper, lower);
    }
}

impl Model {
    /// Makes a snapshot and returns its reference.
    ///
    /// # Errors
    /// `NotSupported` for templates; `InvalidPowerState` is never raised: machines can have snapshots in every state.
    pub fn create_snapshot(
        &mut self,
        id: &str,
        name: &str,
        description: &str,
        memory: bool,
        quiesce: bool,
        user: &str,
    ) -> Result<MoRef, Fault> {
        if self.vm(id)?.template {
            return Err(Fault::not_supported("The operation is not supported on a template."));
        }
        let snapshot = self.next_id("snapshot");
        let disks = self.world.disks.clone();
        let vm = self.vm_mut(id)?;
        vm.changes += 1;
        let number = vm.snapshots.iter().map(|s| s.number).max().unwrap_or(0) + 1;
        vm.snapshots.push(Snapshot {
            id: snapshot.clone(),
            number,
            name: name.to_owned(),
            description: description.to_owned(),
            created: Self::now(),
            power: if memory && vm.power == Power::On { Power::On } else { Power::Off },
            quiesced: quiesce && vm.power == Power::On,
            parent: vm.current_snapshot.replace(snapshot.clone()),
            devices: Vec::new(),
            sizes: (vm.cpus, vm.cores_per_socket, vm.memory_mib),
        });
        vm.settle_change_tracking();
        let devices = vm.devices.clone();
        if let Some(last) = vm.snapshots.last_mut() {
            last.devices = devices;
        }
        vm.branch(&disks);
        vm.settle_change_tracking();
        vm.config_version += 1;
        self.event("VmReconfiguredEvent", id, user, |vm| format!("snapshot {name} of {vm} was made"));
        Ok(MoRef::new("VirtualMachineSnapshot", snapshot))
    }

    /// Removes a snapshot, with those that build on it if wanted.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub fn remove_snapshot(&mut self, snapshot: &str, children: bool) -> Result<(), Fault> {
        let gone = || Fault::not_found(&MoRef::new("VirtualMachineSnapshot", snapshot));
        let id = self.snapshot_owner(snapshot).map(|(e, _)| e.id.clone()).ok_or_else(gone)?;
        let disks = self.world.disks.clone();
        let vm = self.vm_mut(&id)?;
        let mut doomed = vec![snapshot.to_owned()];
        if children {
            let mut at = 0;
            while let Some(parent) = doomed.get(at).cloned() {
                doomed.extend(vm.snapshots.iter().filter(|s| s.parent.as_ref() == Some(&parent)).map(|s| s.id.clone()));
                at += 1;
            }
        }
        // Children first: a merge needs what builds on a file to be known.
        for id in doomed.iter().rev() {
            vm.drop_snapshot(id, &disks);
        }
        vm.settle_change_tracking();
        vm.config_version += 1;
        Ok(())
    }

    /// Removes all snapshots of a machine.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub fn remove_all_snapshots(&mut self, id: &str) -> Result<(), Fault> {
        let disks = self.world.disks.clone();
        let vm = self.vm_mut(id)?;
        while let Some(last) = vm.snapshots.last().map(|s| s.id.clone()) {
            vm.drop_snapshot(&last, &disks);
        }
        vm.settle_change_tracking();
        vm.config_version += 1;
        Ok(())
    }

    /// Returns a machine to a snapshot.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub fn revert_to_snapshot(&mut self, id: &str, snapshot: &str, suppress_power_on: bool) -> Result<(), Fault> {
        let disks = self.world.disks.clone();
        let vm = self.vm_mut(id)?;
        let Some(target) = vm.snapshot(snapshot).cloned() else {
            return Err(Fault::not_found(&MoRef::new("VirtualMachineSnapshot", snapshot)));
        };
        let left: Vec<String> = vm.disks().map(|(_, disk)| disk.backing.file.clone()).collect();
        vm.devices = target.devices;
        (vm.cpus, vm.cores_per_socket, vm.memory_mib) = target.sizes;
        vm.current_snapshot = Some(target.id);
        vm.branch(&disks);
        vm.consolidate(left, &disks);
        vm.settle_change_tracking();
        vm.config_version += 1;
        match target.power {
            Power::On if !suppress_power_on => {
                if vm.power != Power::On {
                    self.power(id, super::power::PowerOp::On, "")?;
                }
            }
            _ => vm.stop(Power::Off),
        }
        Ok(())
    }
}

impl Vm {
    fn drop_snapshot(&mut self, id: &str, disks: &Disks) {
        let Some(at) = self.snapshots.iter().position(|s| s.id == id) else { return };
        let gone = self.snapshots.remove(at);
        for snapshot in &mut self.snapshots {
            if snapshot.parent.as_deref() == Some(id) {
                snapshot.parent.clone_from(&gone.parent);
            }
        }
        if self.current_snapshot.as_deref() == Some(id) {
            self.current_snapshot = gone.parent;
        }
        let files = gone.devices.iter().filter_map(Device::disk).map(|d| d.backing.file.clone()).collect();
        self.consolidate(files, disks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        datacenter::{DEFAULT, DataCenter},
        world::World,
    };

    fn machine() -> (Model, String) {
        let model = Model::new(&World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(1.0)));
        let id = model.named("VirtualMachine", "mtv-tests-rhel8").unwrap().id.clone();
        (model, id)
    }

    fn boot_chain(model: &Model, id: &str) -> Vec<String> {
        let (_, disk) = model.vm(id).unwrap().disks().next().unwrap();
        disk.backing.chain().map(|b| b.file.rsplit('/').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn files_grow_with_snapshots_and_merge_when_they_go() {
        let (mut model, id) = machine();
        let first = model.create_snapshot(&id, "one", "", false, false, "").unwrap();
        let second = model.create_snapshot(&id, "two", "", false, false, "").unwrap();
        assert_eq!(boot_chain(&model, &id), ["mtv-tests-rhel8-000002.vmdk", "mtv-tests-rhel8-000001.vmdk", "mtv-tests-rhel8.vmdk"]);
        let file = model.vm(&id).unwrap().boot_file().unwrap().to_owned();
        assert_eq!(model.world.guest(&file).unwrap().os_info, "rhel8.8");
        model.remove_snapshot(&first.id, false).unwrap();
        assert_eq!(boot_chain(&model, &id), ["mtv-tests-rhel8-000002.vmdk", "mtv-tests-rhel8.vmdk"]);
        assert_eq!(model.vm(&id).unwrap().current_snapshot.as_deref(), Some(second.id.as_str()));
        model.remove_all_snapshots(&id).unwrap();
        assert_eq!(boot_chain(&model, &id), ["mtv-tests-rhel8.vmdk"]);
        assert!(model.world.disks.get(&file).is_none());
        assert!(model.vm(&id).unwrap().current_snapshot.is_none());
    }

    #[test]
    fn change_ids_come_with_the_first_snapshot() {
        let (mut model, id) = machine();
        let change = |model: &Model| model.vm(&id).unwrap().disks().next().unwrap().1.backing.change_id.clone();
        assert_eq!(change(&model), None);
        let snapshot = model.create_snapshot(&id, "one", "", false, false, "").unwrap();
        assert!(change(&model).unwrap().ends_with("/1"));
        let held =
            model.vm(&id).unwrap().snapshot(&snapshot.id).unwrap().devices.iter().find_map(Device::disk).unwrap().backing.change_id.clone();
        assert!(held.unwrap().ends_with("/1"));
    }

    #[test]
    fn going_back_leaves_no_file_of_the_abandoned_branch() {
        let (mut model, id) = machine();
        let one = model.create_snapshot(&id, "one", "", false, false, "").unwrap();
        model.create_snapshot(&id, "two", "", false, false, "").unwrap();
        model.revert_to_snapshot(&id, &one.id, false).unwrap();
        assert_eq!(boot_chain(&model, &id), ["mtv-tests-rhel8-000003.vmdk", "mtv-tests-rhel8.vmdk"]);
        let files = model.vm(&id).unwrap().backing_files();
        assert!(!files.iter().any(|f| f.ends_with("-000002.vmdk")), "{files:?}");
    }
}
