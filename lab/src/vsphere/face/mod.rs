//! Who answers: the vCenter, or the host agent of one of its ESXi hosts.
//!
//! A host agent serves the same SDK for the same machines in a world of its own: other ids (`ids`), no cluster, no other host
//! (`shown`), nothing that only a vCenter can do. Requests are translated on their way in and answers on their way out
//! (`values`), so that what happens by way of the host is seen by the vCenter at once, and the other way round.

mod ids;
mod shown;
mod values;

use super::{
    ids::MoRef,
    methods::Outcome,
    model::{
        Entity, Kind, Model,
        build::{DATACENTER, DATASTORE_FOLDER, HOST_FOLDER, NETWORK_FOLDER, ROOT, VM_FOLDER},
        task::Task,
    },
    soap::Request,
    types::{Sight, entity},
    value::Value,
};
use crate::{datacenter::Login, faults, world::World};

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Face {
    /// The vCenter.
    Vcenter,
    /// The agent of the host with this id in the vCenter.
    Agent(String),
}

/// Methods that a host agent does not offer: they need more than one host, or are the vCenter's alone.
const CENTER_ONLY: &[&str] = &[
    "CloneVM_Task",
    "CreateClusterEx",
    "CreateDatacenter",
    "CreateDVS_Task",
    "CreateFolder",
    "CreateStoragePod",
    "AddStandaloneHost_Task",
    "MarkAsTemplate",
    "MarkAsVirtualMachine",
    "MigrateVM_Task",
    "MoveIntoFolder_Task",
    "RelocateVM_Task",
    "SetCustomValue",
    "setCustomValue",
];

/// Properties of the compute resource that a host agent has in place of a cluster.
const COMPUTE: &[&str] =
    &["resourcePool", "host", "datastore", "network", "summary", "environmentBrowser", "configurationEx", "lifecycleManaged"];

impl Face {
    /// Whose login it takes.
    pub fn login(&self, world: &World) -> Login {
        match self {
            Self::Vcenter => world.datacenter.vsphere.login.clone(),
            Self::Agent(_) => world.datacenter.vsphere.esxi_login.clone(),
        }
    }

    /// Its name in rules of faults.
    pub const fn server(&self) -> faults::Server {
        match self {
            Self::Vcenter => faults::Server::Vsphere,
            Self::Agent(_) => faults::Server::Esxi,
        }
    }

    /// Whether it is a vCenter.
    pub const fn is_vcenter(&self) -> bool {
        matches!(self, Self::Vcenter)
    }

    /// Whether it offers a method at all.
    pub fn offers(&self, method: &str) -> bool {
        self.is_vcenter() || !CENTER_ONLY.contains(&method)
    }

    /// The host that answers, if it is one.
    fn host(&self) -> Option<&str> {
        match self {
            Self::Vcenter => None,
            Self::Agent(host) => Some(host),
        }
    }

    /// Whether an entity, task or snapshot is to be seen here.
    pub fn shows(&self, model: &Model, id: &str) -> bool {
        let Some(host) = self.host() else { return true };
        if let Some(entity) = model.entity(id) {
            return shows_entity(model, host, entity);
        }
        if let Some(task) = model.task(id) {
            return shows_task(model, host, task);
        }
        if let Some((_, vm)) = model.snapshot_owner(id) {
            return vm.host == host;
        }
        true
    }

    /// The type of an entity.
    pub fn type_name(&self, entity: &Entity) -> &'static str {
        match (self, &entity.kind) {
            (Self::Agent(_), Kind::Cluster { .. }) => "ComputeResource",
            _ => entity.type_name(),
        }
    }

    /// Names of the properties of an entity, where they are not those of the vCenter's.
    pub fn names(&self, entity: &Entity) -> Option<&'static [&'static str]> {
        matches!((self, &entity.kind), (Self::Agent(_), Kind::Cluster { .. })).then_some(COMPUTE)
    }

    /// What stands in an entity: a host agent has no folders but its four.
    pub fn children<'m>(&self, model: &'m Model, id: &str) -> Vec<&'m Entity> {
        let Some(host) = self.host() else { return model.children(id).collect() };
        let shown = model.entities.values().filter(|entity| shows_entity(model, host, entity));
        match id {
            VM_FOLDER => shown.filter(|entity| entity.vm().is_some()).collect(),
            _ => shown.filter(|entity| entity.parent.as_deref() == Some(id)).collect(),
        }
    }

    /// An entity's name.
    pub fn name<'m>(&self, model: &'m Model, entity: &'m Entity) -> &'m str {
        match self {
            Self::Vcenter => &entity.name,
            Self::Agent(host) => shown::name(model, host, entity),
        }
    }

    /// A property of an entity, if it is set.
    pub fn property(&self, sight: Sight<'_>, entity: &Entity, name: &str) -> Option<Value> {
        match self.host() {
            Some(host) => shown::property(sight, host, entity, name),
            None => entity::property(sight.model, entity, name),
        }
    }
}

/// Whether a host agent shows a task: its own, and those of its vCenter that are about it or its machines. A clone is the vCenter's
/// work; the host hears of its parts only.
fn shows_task(model: &Model, host: &str, task: &Task) -> bool {
    if task.user == model.world.datacenter.vsphere.esxi_login.user {
        return true;
    }
    let about = model.entity(&task.entity.id).map_or_else(
        || model.number_at(host, &task.entity.id).is_some(),
        |entity| entity.id == host || entity.vm().is_some_and(|vm| vm.host == host),
    );
    about && !task.description_id.starts_with("VirtualMachine.clone")
}

/// Whether a host agent shows an entity of its vCenter.
fn shows_entity(model: &Model, host: &str, entity: &Entity) -> bool {
    let parent = model.entity(host).and_then(|host| host.parent.as_deref());
    match &entity.kind {
        Kind::Folder(_) => [ROOT, VM_FOLDER, HOST_FOLDER, DATASTORE_FOLDER, NETWORK_FOLDER].contains(&entity.id.as_str()),
        Kind::Datacenter { .. } => entity.id == DATACENTER,
        Kind::Cluster { .. } => parent == Some(entity.id.as_str()),
        Kind::Pool => entity.parent.as_deref() == parent,
        Kind::Host => entity.id == host,
        Kind::Datastore { .. } | Kind::Network => true,
        Kind::Portgroup { uplink, .. } => !uplink,
        Kind::Switch { .. } => false,
        Kind::Vm(vm) => vm.host == host,
    }
}

impl Face {
    /// A request as the model understands it.
    pub fn understand(&self, model: &Model, request: &mut Request) {
        values::inward(self, model, request);
    }

    /// An answer as clients see it.
    pub fn show(&self, model: &Model, reply: Outcome) -> Outcome {
        values::outward(self, model, reply)
    }

    /// Whether `ServiceContent` has a manager of this name.
    pub fn has_manager(&self, field: &str) -> bool {
        self.is_vcenter() || ids::AGENT_MANAGERS.iter().any(|manager| manager.0 == field)
    }

    /// A reference of a client as the model has it. What is not to be seen here leads nowhere.
    pub fn inward(&self, model: &Model, object: &MoRef) -> MoRef {
        let Some(host) = self.host() else { return object.clone() };
        let id = ids::inward(model, host, &object.id).unwrap_or_else(|| ids::nowhere(&object.id));
        MoRef::new(object.kind.clone(), id)
    }
}
