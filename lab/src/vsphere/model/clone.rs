//! New machines: clones, machines made from nothing, registered ones; and their end.

use std::collections::BTreeMap;

use mtv_api::xml::Node;

use super::{
    Kind, Model,
    device::{Backing, Device, MANY, chipset},
    power::PowerOp,
    reconfigure::{apply_extra_config, flag, reference},
    vm::{Power, Vm},
};
use crate::vsphere::{fault::Fault, ids::MoRef};

impl Model {
    /// Whether a clone is possible, before its task begins to copy.
    ///
    /// # Errors
    /// What the API names for the part of the specification that is refused.
    pub fn check_clone(&self, source: &str, folder: &MoRef, name: &str, spec: &Node) -> Result<(), Fault> {
        let vm = self.vm(source)?;
        if name.is_empty() {
            return Err(Fault::new("InvalidName", "A name is needed.").with("name", name));
        }
        self.vm_folder(folder)?;
        self.free_name(&folder.id, name)?;
        if vm.connection != "connected" {
            return Err(Fault::invalid_state(format!("The machine is {}.", vm.connection)));
        }
        let location = spec.child("location").ok_or_else(|| Fault::invalid_argument("spec.location"))?;
        let template = flag(spec, "template").unwrap_or(false);
        if template && flag(spec, "powerOn").unwrap_or(false) {
            return Err(Fault::invalid_argument("spec.powerOn"));
        }
        if vm.template && !template && location.child("pool").is_none() {
            return Err(Fault::invalid_argument("spec.location.pool"));
        }
        for (field, kind) in [("datastore", "Datastore"), ("host", "HostSystem"), ("pool", "ResourcePool")] {
            if let Some(wanted) = reference(location, field)
                && self.find(&wanted)?.type_name() != kind
            {
                return Err(Fault::invalid_argument(&format!("spec.location.{field}")));
            }
        }
        if let Some(snapshot) = reference(spec, "snapshot")
            && vm.snapshot(&snapshot.id).is_none()
        {
            return Err(Fault::not_found(&snapshot));
        }
        for locator in location.children_named("disk") {
            let key: Option<i32> = super::reconfigure::number(locator, "diskId");
            if key.and_then(|key| vm.device(key)).and_then(Device::disk).is_none() {
                return Err(Fault::invalid_argument("spec.location.disk.diskId"));
            }
        }
        Ok(())
    }

    fn vm_folder(&self, folder: &MoRef) -> Result<(), Fault> {
        match &self.find(folder)?.kind {
            Kind::Folder(types) if types.contains(&"VirtualMachine") => Ok(()),
            _ => Err(Fault::not_supported("The folder takes no virtual machines.")),
        }
    }

    /// Clones a machine and returns the new one.
    ///
    /// # Errors
    /// As `check_clone`, and what device changes of the specification are refused with.
    pub fn clone_vm(&mut self, source: &str, folder: &MoRef, name: &str, spec: &Node, user: &str) -> Result<MoRef, Fault> {
        self.check_clone(source, folder, name, spec)?;
        let original = self.vm(source)?.clone();
        let empty = Node::default();
        let location = spec.child("location").unwrap_or(&empty);
        let template = flag(spec, "template").unwrap_or(false);
        let mut vm = original.clone();
        if let Some(snapshot) = reference(spec, "snapshot").and_then(|s| original.snapshot(&s.id)) {
            vm.devices.clone_from(&snapshot.devices);
            (vm.cpus, vm.cores_per_socket, vm.memory_mib) = snapshot.sizes;
        }
        let home = match reference(location, "datastore") {
            Some(datastore) => datastore.id,
            None => self.datastore_path(&original.vmx)?.0,
        };
        let home_name = self.entity(&home).map(|d| d.name.clone()).unwrap_or_default();
        let directory = self.free_directory(&home_name, name);
        vm.template = template;
        vm.pool = if template { None } else { reference(location, "pool").map(|p| p.id).or(original.pool) };
        vm.host = reference(location, "host").map_or(original.host, |h| h.id);
        vm.power = Power::Off;
        vm.uuid = self.uuid(0x42);
        vm.instance_uuid = self.uuid(0x50);
        vm.vmx = format!("[{home_name}] {directory}/{name}.{}", if template { "vmtx" } else { "vmx" });
        vm.snapshots = Vec::new();
        vm.current_snapshot = None;
        vm.created = Self::now();
        vm.boot_time = None;
        vm.boot = 0;
        vm.tools_running = false;
        vm.deltas = 0;
        vm.changes = 0;
        vm.config_version = 1;
        vm.busy = None;
        // Changed block tracking does not come along: it must be asked for.
        vm.change_tracking = false;
        vm.extra_config.retain(|key, _| !key.ends_with("ctkEnabled"));
        let transform = location.get("transform");
        let mut number = 0;
        let mut made = Vec::new();
        for device in &mut vm.devices {
            let key = device.key;
            if let Some(disk) = device.disk_mut() {
                let locator = location.children_named("disk").find(|l| l.get("diskId").map(str::trim) == Some(key.to_string().as_str()));
                let datastore = locator.and_then(|l| reference(l, "datastore")).map(|d| d.id);
                let datastore =
                    datastore.or_else(|| reference(location, "datastore").map(|d| d.id)).unwrap_or_else(|| disk.backing.datastore.clone());
                let label = self.entity(&datastore).map(|d| d.name.clone()).unwrap_or_default();
                let suffix = if number == 0 { String::new() } else { format!("_{number}") };
                number += 1;
                let file = format!("[{label}] {directory}/{name}{suffix}.vmdk");
                self.world.disks.copy(&disk.backing.file, file.clone());
                made.push(file.clone());
                let mut thin = match transform {
                    Some("sparse") => true,
                    Some("flat") => false,
                    _ => disk.backing.thin,
                };
                let mut eager = disk.backing.eager && !thin;
                if let Some(backing) = locator.and_then(|l| l.child("diskBackingInfo")) {
                    thin = flag(backing, "thinProvisioned").unwrap_or(thin);
                    eager = flag(backing, "eagerlyScrub").unwrap_or(eager);
                }
                disk.backing =
                    Backing { file, datastore, thin, eager, uuid: self.uuid(0x60), change_id: None, parent: None, ..disk.backing.clone() };
            }
        }
        for device in &mut vm.devices {
            if let Some(nic) = device.nic_mut() {
                nic.connected = false;
                if nic.address_type != "manual" {
                    nic.mac = self.mac();
                }
            }
        }
        if let Err(fault) = self.finish_clone(&mut vm, name, spec, location) {
            for file in made {
                self.world.disks.remove(&file);
            }
            return Err(fault);
        }
        let id = self.next_id("vm");
        self.add(&id, name, Some(&folder.id), Kind::Vm(Box::new(vm)));
        let source_name = self.entity(source).map(|e| e.name.clone()).unwrap_or_default();
        self.event("VmClonedEvent", &id, user, |name| format!("{source_name} was cloned to {name}"));
        if flag(spec, "powerOn").unwrap_or(false) {
            self.power(&id, PowerOp::On, user)?;
        }
        Ok(MoRef::new("VirtualMachine", id))
    }

    fn finish_clone(&mut self, vm: &mut Vm, name: &str, spec: &Node, location: &Node) -> Result<(), Fault> {
        self.apply_device_changes(vm, name, location)?;
        if let Some(config) = spec.child("config") {
            self.apply_settings(vm, config);
            self.apply_device_changes(vm, name, config)?;
        }
        vm.settle_change_tracking();
        Ok(())
    }

    /// Settings of a `ConfigSpec` for a machine that is being made.
    fn apply_settings(&self, vm: &mut Vm, config: &Node) {
        if let Some(cpus) = super::reconfigure::number(config, "numCPUs").filter(|n| *n > 0) {
            vm.cpus = cpus;
        }
        if let Some(memory) = super::reconfigure::number(config, "memoryMB").filter(|n| *n > 0) {
            vm.memory_mib = memory;
        }
        if let Some(cores) = super::reconfigure::number(config, "numCoresPerSocket").filter(|n| *n > 0) {
            vm.cores_per_socket = cores;
        }
        if let Some(text) = config.get("annotation") {
            text.clone_into(&mut vm.annotation);
        }
        if let Some(guest) = config.get("guestId").filter(|g| !g.is_empty()) {
            self.set_guest_id(vm, guest);
        }
        if let Some(firmware) = config.get("firmware").filter(|f| !f.is_empty()) {
            firmware.clone_into(&mut vm.firmware);
        }
        if let Some(uuid) = config.get("uuid").filter(|u| !u.is_empty()) {
            uuid.clone_into(&mut vm.uuid);
        }
        if let Some(uuid) = config.get("instanceUuid").filter(|u| !u.is_empty()) {
            uuid.clone_into(&mut vm.instance_uuid);
        }
        if let Some(secure) = config.child("bootOptions").and_then(|b| flag(b, "efiSecureBootEnabled")) {
            vm.secure_boot = secure;
        }
        if let Some(tracking) = flag(config, "changeTrackingEnabled") {
            vm.change_tracking = tracking;
        }
        apply_extra_config(vm, config);
    }

    /// A directory of this name that no machine uses yet.
    fn free_directory(&self, datastore: &str, name: &str) -> String {
        let taken = |directory: &String| {
            let prefix = format!("[{datastore}] {directory}/");
            self.vms().any(|(_, vm)| vm.folder() == prefix || vm.backing_files().iter().any(|f| f.starts_with(&prefix)))
        };
        std::iter::once(name.to_owned()).chain((1..MANY).map(|n| format!("{name}_{n}"))).find(|d| !taken(d)).unwrap_or_default()
    }

    /// Makes a machine from nothing.
    ///
    /// # Errors
    /// `DuplicateName`, `InvalidDatastorePath`, or what device changes are refused with.
    pub fn create_vm(&mut self, folder: &MoRef, config: &Node, pool: &MoRef, host: Option<&MoRef>, user: &str) -> Result<MoRef, Fault> {
        self.vm_folder(folder)?;
        let name = config.get("name").filter(|n| !n.is_empty()).ok_or_else(|| Fault::invalid_argument("config.name"))?.to_owned();
        self.free_name(&folder.id, &name)?;
        let path = config.at(&["files", "vmPathName"]).map(|n| n.text.as_str()).unwrap_or_default();
        let (datastore, rest) = self.datastore_path(path)?;
        let label = self.entity(&datastore).map(|d| d.name.clone()).unwrap_or_default();
        let directory = self.free_directory(&label, &name);
        let vmx =
            if rest.rsplit('.').next() == Some("vmx") { format!("[{label}] {rest}") } else { format!("[{label}] {directory}/{name}.vmx") };
        let host = match host {
            Some(host) => self.find(host)?.id.clone(),
            None => self.of_type("HostSystem").next().map(|h| h.id.clone()).unwrap_or_default(),
        };
        let mut vm = self.blank(vmx, host, self.find(pool)?.id.clone());
        self.apply_settings(&mut vm, config);
        self.apply_device_changes(&mut vm, &name, config)?;
        let id = self.next_id("vm");
        self.add(&id, &name, Some(&folder.id), Kind::Vm(Box::new(vm)));
        self.event("VmCreatedEvent", &id, user, |name| format!("{name} was made"));
        Ok(MoRef::new("VirtualMachine", id))
    }

    /// Registers a machine whose files lie on a datastore.
    ///
    /// # Errors
    /// `DuplicateName`, `FileNotFound` if no disk lies beside the given file, `InvalidArgument`.
    pub fn register_vm(
        &mut self,
        folder: &MoRef,
        path: &str,
        name: Option<&str>,
        template: bool,
        pool: Option<&MoRef>,
    ) -> Result<MoRef, Fault> {
        self.vm_folder(folder)?;
        let (datastore, rest) = self.datastore_path(path)?;
        let file = rest.rsplit('/').next().unwrap_or_default();
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let name = name.filter(|n| !n.is_empty()).unwrap_or(stem).to_owned();
        self.free_name(&folder.id, &name)?;
        if !template && pool.is_none() {
            return Err(Fault::invalid_argument("pool"));
        }
        let directory = path.rfind('/').map_or("", |at| &path[..=at]);
        let disk = format!("{directory}{stem}.vmdk");
        if self.world.disks.get(&disk).is_none() {
            return Err(Fault::file_not_found(path));
        }
        let host = self.of_type("HostSystem").next().map(|h| h.id.clone()).unwrap_or_default();
        let pool = pool.map(|p| p.id.clone());
        let mut vm = self.blank(path.to_owned(), host, pool.clone().unwrap_or_default());
        vm.template = template;
        vm.pool = pool;
        let controller = super::build::ensure_controller(&mut vm.devices, "pvscsi");
        vm.devices.push(super::device::Device {
            key: 2000,
            controller: Some(controller),
            unit: Some(0),
            label: "Hard disk 1".to_owned(),
            kind: super::device::DeviceKind::Disk(super::device::Disk {
                capacity_kib: 16 << 20,
                backing: Backing {
                    file: disk,
                    datastore,
                    mode: "persistent".to_owned(),
                    thin: true,
                    eager: false,
                    sharing: "sharingNone".to_owned(),
                    uuid: self.uuid(0x60),
                    change_id: None,
                    parent: None,
                    raw: None,
                },
            }),
        });
        let id = self.next_id("vm");
        self.add(&id, &name, Some(&folder.id), Kind::Vm(Box::new(vm)));
        Ok(MoRef::new("VirtualMachine", id))
    }

    fn blank(&mut self, vmx: String, host: String, pool: String) -> Vm {
        Vm {
            template: false,
            power: Power::Off,
            host,
            pool: Some(pool),
            uuid: self.uuid(0x42),
            instance_uuid: self.uuid(0x50),
            guest_id: "otherGuest64".to_owned(),
            guest_full_name: "Other (64-bit)".to_owned(),
            firmware: "bios".to_owned(),
            secure_boot: false,
            annotation: String::new(),
            cpus: 1,
            cores_per_socket: 1,
            memory_mib: 1024,
            change_tracking: false,
            vmx,
            extra_config: BTreeMap::new(),
            devices: chipset(),
            snapshots: Vec::new(),
            current_snapshot: None,
            created: Self::now(),
            boot_time: None,
            boot: 0,
            tools_running: false,
            deltas: 0,
            changes: 0,
            connection: "connected".to_owned(),
            config_version: 1,
            busy: None,
        }
    }

    /// Moves a machine to another host, pool or datastore.
    ///
    /// # Errors
    /// `ManagedObjectNotFound` for targets that are not there.
    pub fn relocate(&mut self, id: &str, spec: &Node) -> Result<(), Fault> {
        let mut vm = self.vm(id)?.clone();
        for field in ["host", "pool", "datastore"] {
            if let Some(target) = reference(spec, field) {
                self.find(&target)?;
            }
        }
        if let Some(host) = reference(spec, "host") {
            vm.host = host.id;
        }
        if let Some(pool) = reference(spec, "pool").filter(|_| !vm.template) {
            vm.pool = Some(pool.id);
        }
        if let Some(datastore) = reference(spec, "datastore") {
            let label = self.entity(&datastore.id).map(|d| d.name.clone()).unwrap_or_default();
            let moved = |file: &str| file.split_once(']').map_or_else(|| file.to_owned(), |(_, rest)| format!("[{label}]{rest}"));
            vm.vmx = moved(&vm.vmx);
            let lists = vm.devices.iter_mut().chain(vm.snapshots.iter_mut().flat_map(|s| s.devices.iter_mut()));
            for disk in lists.filter_map(super::device::Device::disk_mut) {
                let mut backing = Some(&mut disk.backing);
                while let Some(here) = backing {
                    let file = moved(&here.file);
                    if file != here.file {
                        self.world.disks.copy(&here.file, file.clone());
                        self.world.disks.remove(&here.file);
                        here.file = file;
                        here.datastore.clone_from(&datastore.id);
                    }
                    backing = here.parent.as_deref_mut();
                }
            }
        }
        self.find_mut(&MoRef::new("VirtualMachine", id))?.kind = Kind::Vm(Box::new(vm));
        Ok(())
    }

    /// Takes a machine out of the inventory, with its disks if wanted.
    ///
    /// # Errors
    /// `InvalidPowerState` while it runs.
    pub fn remove_vm(&mut self, id: &str, files: bool, user: &str) -> Result<(), Fault> {
        let vm = self.vm(id)?;
        if vm.power == Power::On {
            return Err(Fault::invalid_power_state(vm.power.name(), Some("poweredOff")));
        }
        // A disk that another machine has as well (attached, or shared) stays.
        let doomed: Vec<String> = vm
            .backing_files()
            .into_iter()
            .filter(|file| !self.vms().any(|(e, other)| e.id != id && other.backing_files().contains(file)))
            .collect();
        self.event("VmRemovedEvent", id, user, |name| format!("{name} was removed"));
        if files {
            for file in doomed {
                self.world.disks.remove(&file);
            }
        }
        self.entities.remove(id);
        Ok(())
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

    fn model() -> Model {
        Model::new(&World::new(DataCenter::parse(DEFAULT).unwrap(), Clock::new(1.0)))
    }

    fn folder() -> MoRef {
        MoRef::new("Folder", super::super::build::VM_FOLDER)
    }

    fn spec(text: &str) -> Node {
        Node::parse(&format!(r#"<spec xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{text}</spec>"#)).unwrap()
    }

    fn id(model: &Model, name: &str) -> String {
        model.named("VirtualMachine", name).unwrap().id.clone()
    }

    #[test]
    fn a_clone_has_its_own_identity_and_the_same_guest() {
        let mut model = model();
        let source = id(&model, "mtv-tests-rhel8");
        let wanted = spec(
            r#"<location/><template>false</template><config><annotation>mine</annotation>
               <deviceChange><operation>edit</operation><device xsi:type="VirtualVmxnet3"><key>4000</key><addressType>generated</addressType></device></deviceChange>
               <extraConfig><key>ctkEnabled</key><value>true</value></extraConfig></config><powerOn>false</powerOn>"#,
        );
        let clone = model.clone_vm(&source, &folder(), "copy", &wanted, "me").unwrap();
        let (original, copy) = (model.vm(&source).unwrap(), model.vm(&clone.id).unwrap());
        assert_ne!(original.uuid, copy.uuid);
        assert!(copy.change_tracking);
        assert_eq!(copy.annotation, "mine");
        assert_eq!(copy.boot_file(), Some("[nfs-datastore] copy/copy.vmdk"));
        let macs: Vec<_> = original.nics().chain(copy.nics()).map(|(_, nic)| nic.mac.clone()).collect();
        assert_eq!(macs.iter().collect::<std::collections::BTreeSet<_>>().len(), macs.len());
        assert_eq!(model.world.guest("[nfs-datastore] copy/copy.vmdk").unwrap().os_info, "rhel8.8");
        let again = model.clone_vm(&source, &folder(), "copy", &wanted, "me").unwrap_err();
        assert_eq!(again.detail.kind, "DuplicateName");
        model.remove_vm(&clone.id, true, "me").unwrap();
        assert!(model.world.disks.get("[nfs-datastore] copy/copy.vmdk").is_none());
    }

    #[test]
    fn a_template_needs_a_pool_and_does_not_start() {
        let mut model = model();
        let template = id(&model, "xcopy-template-test");
        let refused = model.clone_vm(&template, &folder(), "copy", &spec("<location/>"), "").unwrap_err();
        assert_eq!(refused.detail.kind, "InvalidArgument");
        assert_eq!(model.power(&template, PowerOp::On, "").unwrap_err().detail.kind, "NotSupported");
        let with_pool = spec(r#"<location><pool type="ResourcePool">resgroup-8</pool></location><powerOn>true</powerOn>"#);
        let clone = model.clone_vm(&template, &folder(), "copy", &with_pool, "").unwrap();
        assert_eq!(model.vm(&clone.id).unwrap().power, Power::On);
        assert_eq!(model.remove_vm(&clone.id, true, "").unwrap_err().detail.kind, "InvalidPowerState");
    }

    #[test]
    fn a_refused_device_leaves_no_file() {
        let mut model = model();
        let source = id(&model, "mtv-tests-rhel8");
        let wanted = spec(
            r#"<location/><config><deviceChange><operation>add</operation><fileOperation>create</fileOperation>
               <device xsi:type="VirtualDisk"><key>-101</key><backing xsi:type="VirtualDiskFlatVer2BackingInfo"><fileName>[nfs-datastore]</fileName><diskMode>persistent</diskMode></backing>
               <controllerKey>1000</controllerKey><unitNumber>0</unitNumber><capacityInKB>1048576</capacityInKB></device></deviceChange></config>"#,
        );
        let fault = model.clone_vm(&source, &folder(), "copy", &wanted, "").unwrap_err();
        assert_eq!(fault.detail.kind, "InvalidDeviceSpec");
        assert!(model.world.disks.get("[nfs-datastore] copy/copy.vmdk").is_none());
        let right = spec(&wanted.to_string().replace("<unitNumber>0<", "<unitNumber>1<").replace("<spec>", "").replace("</spec>", ""));
        let clone = model.clone_vm(&source, &folder(), "copy", &right, "").unwrap();
        let files: Vec<_> = model.vm(&clone.id).unwrap().disks().map(|(d, disk)| (d.key, disk.backing.file.clone())).collect();
        assert_eq!(files[1], (2001, "[nfs-datastore] copy/copy_1.vmdk".to_owned()));
    }
}
