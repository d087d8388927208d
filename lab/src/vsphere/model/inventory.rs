//! Looking things up in the inventory, and what every entity can do.

use std::collections::BTreeMap;

use super::{Entity, Kind, Model, vm::Vm};
use crate::vsphere::{fault::Fault, ids::MoRef};

impl Entity {
    /// Type of the managed object.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Folder(_) => "Folder",
            Kind::Datacenter { .. } => "Datacenter",
            Kind::Cluster { .. } => "ClusterComputeResource",
            Kind::Pool => "ResourcePool",
            Kind::Host => "HostSystem",
            Kind::Datastore { .. } => "Datastore",
            Kind::Network => "Network",
            Kind::Portgroup { .. } => "DistributedVirtualPortgroup",
            Kind::Switch { .. } => "VmwareDistributedVirtualSwitch",
            Kind::Vm(_) => "VirtualMachine",
        }
    }

    /// Reference to it.
    pub fn moref(&self) -> MoRef {
        MoRef::new(self.type_name(), &self.id)
    }

    /// The machine, if it is one.
    pub fn vm(&self) -> Option<&Vm> {
        if let Kind::Vm(vm) = &self.kind { Some(vm) } else { None }
    }
}

impl Model {
    /// An entity.
    pub fn entity(&self, id: &str) -> Option<&Entity> {
        self.entities.get(id)
    }

    /// An entity that must be there.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub fn find(&self, object: &MoRef) -> Result<&Entity, Fault> {
        self.entities.get(&object.id).ok_or_else(|| Fault::not_found(object))
    }

    /// An entity that must be there, to change it.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub fn find_mut(&mut self, object: &MoRef) -> Result<&mut Entity, Fault> {
        self.entities.get_mut(&object.id).ok_or_else(|| Fault::not_found(object))
    }

    /// A reference to an entity; for a value that dangles, one of the given type.
    pub fn moref(&self, id: &str, otherwise: &'static str) -> MoRef {
        self.entity(id).map_or_else(|| MoRef::new(otherwise, id), Entity::moref)
    }

    /// A machine that must be there.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub fn vm(&self, id: &str) -> Result<&Vm, Fault> {
        self.entity(id).and_then(Entity::vm).ok_or_else(|| Fault::not_found(&MoRef::new("VirtualMachine", id)))
    }

    /// A machine that must be there, to change it.
    ///
    /// # Errors
    /// `ManagedObjectNotFound`.
    pub fn vm_mut(&mut self, id: &str) -> Result<&mut Vm, Fault> {
        match self.entities.get_mut(id).map(|e| &mut e.kind) {
            Some(Kind::Vm(vm)) => Ok(vm),
            _ => Err(Fault::not_found(&MoRef::new("VirtualMachine", id))),
        }
    }

    /// All machines.
    pub fn vms(&self) -> impl Iterator<Item = (&Entity, &Vm)> {
        self.entities.values().filter_map(|e| e.vm().map(|vm| (e, vm)))
    }

    /// Entities of one type.
    pub fn of_type(&self, kind: &'static str) -> impl Iterator<Item = &Entity> {
        self.entities.values().filter(move |e| e.type_name() == kind)
    }

    /// What is in an entity, by the tree of parents.
    pub fn children<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a Entity> + use<'a> {
        let id = id.to_owned();
        self.entities.values().filter(move |e| e.parent.as_ref() == Some(&id))
    }

    /// A child by name.
    pub fn child(&self, id: &str, name: &str) -> Option<&Entity> {
        self.children(id).find(|e| e.name == name)
    }

    /// An entity by type and name, wherever it is.
    pub fn named(&self, kind: &str, name: &str) -> Option<&Entity> {
        self.entities.values().find(|e| e.type_name() == kind && e.name == name)
    }

    /// The entity and what it is in, up to the root.
    pub fn ancestors<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a Entity> {
        std::iter::successors(self.entity(id), |e| e.parent.as_deref().and_then(|p| self.entity(p)))
    }

    /// The machine that a snapshot belongs to.
    pub fn snapshot_owner(&self, snapshot: &str) -> Option<(&Entity, &Vm)> {
        self.vms().find(|(_, vm)| vm.snapshot(snapshot).is_some())
    }

    /// Refuses a name that is taken in a folder.
    ///
    /// # Errors
    /// `DuplicateName`.
    pub fn free_name(&self, folder: &str, name: &str) -> Result<(), Fault> {
        match self.child(folder, name) {
            Some(taken) => Err(Fault::duplicate_name(name, taken.moref())),
            None => Ok(()),
        }
    }

    /// Adds an entity.
    pub fn add(&mut self, id: impl Into<String>, name: impl Into<String>, parent: Option<&str>, kind: Kind) -> String {
        let id = id.into();
        let parent = parent.map(str::to_owned);
        self.entities.insert(id.clone(), Entity { id: id.clone(), name: name.into(), parent, custom: BTreeMap::new(), kind });
        id
    }

    /// Datastore id and path of a datastore path `[name] path`.
    ///
    /// # Errors
    /// `InvalidDatastorePath`, or `InvalidDatastore` for an unknown name.
    pub fn datastore_path(&self, path: &str) -> Result<(String, String), Fault> {
        let invalid = || Fault::new("InvalidDatastorePath", format!("'{path}' is no datastore path")).with("datastorePath", path);
        let (name, rest) = path.strip_prefix('[').and_then(|p| p.split_once(']')).ok_or_else(invalid)?;
        let datastore = self
            .named("Datastore", name)
            .ok_or_else(|| Fault::new("InvalidDatastore", format!("there is no datastore {name}")).with("name", name))?;
        Ok((datastore.id.clone(), rest.trim_start().to_owned()))
    }

    /// Numbers machines that are new on their hosts, in the order in which they were made.
    pub fn number_machines(&mut self) {
        let made = |id: &str| id.trim_start_matches("vm-").parse::<u64>().unwrap_or_default();
        let known = |host: &str, id: &str| self.number_at(host, id).is_some();
        let mut fresh: Vec<(u64, String, String)> = self
            .vms()
            .filter(|(entity, vm)| !known(&vm.host, &entity.id))
            .map(|(entity, vm)| (made(&entity.id), vm.host.clone(), entity.id.clone()))
            .collect();
        fresh.sort();
        for (_, host, machine) in fresh {
            let numbers = self.agents.entry(host).or_default();
            let next = numbers.values().max().map_or(1, |last| last + 1);
            numbers.insert(machine, next);
        }
    }

    /// The number of a machine at the agent of a host; also of one that is gone.
    pub fn number_at(&self, host: &str, machine: &str) -> Option<u64> {
        self.agents.get(host)?.get(machine).copied()
    }

    /// Every file on a datastore that the inventory knows of: path and size in bytes.
    pub fn files(&self, datastore: &str) -> Vec<(String, i64)> {
        let Some(prefix) = self.entity(datastore).map(|d| format!("[{}] ", d.name)) else { return Vec::new() };
        let mut out = Vec::new();
        for (_, vm) in self.vms().filter(|(_, vm)| vm.connection == "connected") {
            if let Some(path) = vm.vmx.strip_prefix(&prefix) {
                out.push((path.to_owned(), 3_217));
                out.push((format!("{}.nvram", path.trim_end_matches(".vmx")), 8_684));
            }
            for file in vm.backing_files() {
                if let Some(path) = file.strip_prefix(&prefix) {
                    out.push((path.to_owned(), 1 << 30));
                }
            }
        }
        out.sort();
        out.dedup();
        out
    }
}
