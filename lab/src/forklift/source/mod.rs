//! Sources of virtual machines as Forklift sees them: one folder per kind and one line in [`KINDS`].
//!
//! A [`Kind`] knows how a Provider of it logs in and what its migrations look like; a [`Source`] is one Provider that is
//! connected: what its inventory holds and what a migration does with it. All else (maps, plans, the machine of phases, the
//! VirtualMachine) is the same for all kinds and speaks of a [`Machine`].

mod http;
mod login;
pub mod machine;
pub mod openshift;
mod openstack;
pub mod ova;
mod ovirt;
mod populated;
mod reader;
pub mod vsphere;

use std::{any::Any, sync::Arc, time::Duration};

use ::http::StatusCode;
use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use mtv_api::forklift::VmStatus;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

pub use self::{
    login::Login,
    machine::{Disk, Machine, Nic},
};
use super::{cluster::Cluster, plan::Work, reference::Reference};
use crate::{inventory::News, world::World};

/// All kinds whose Providers can be connected. A new source is one folder beside this file and one line here.
pub const KINDS: &[&dyn Kind] = &[&vsphere::Vsphere, &openshift::Openshift, &openstack::Openstack, &ovirt::Ovirt, &ova::Ova];

/// The kind of this name, as in `Provider.spec.type`.
pub fn kind(name: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.name() == name)
}

/// What kinds work with beside their own servers.
#[derive(Clone)]
pub struct Site {
    /// The cluster that Forklift runs on.
    pub cluster: Cluster,
    /// Data centre, time and contents of disks.
    pub world: World,
}

/// What migrations of a kind look like.
#[derive(Debug, Clone, Copy)]
pub struct Traits {
    /// Whether it can be migrated while it runs.
    pub warm: bool,
    /// Whether virt-v2v makes a KubeVirt guest of it.
    pub converts: bool,
    /// Whether virt-v2v can copy the disks as well.
    pub v2v_copies: bool,
    /// Whether VMware's disk library is needed.
    pub vddk: bool,
    /// Whether the disks arrive in another format, which is converted after the copy.
    pub converts_snapshot: bool,
    /// Template of PVC names where nobody gives one.
    pub pvc_template: &'static str,
    /// Whether the API server completes these names unless the plan says otherwise.
    pub generate_name: bool,
}

impl Traits {
    /// Those of a source whose guests are KVM's already and whose disks CDI or a populator copies.
    pub const PLAIN: Self = Self {
        warm: false,
        converts: false,
        v2v_copies: false,
        vddk: false,
        converts_snapshot: false,
        pvc_template: mtv_api::template::DEFAULT_PVC_TEMPLATE,
        generate_name: true,
    };
}

/// Why a connection test failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The login was refused, which only another Secret mends.
    pub login: bool,
    /// What the condition says.
    pub text: String,
}

impl Refused {
    /// Not the login.
    pub fn other(text: impl Into<String>) -> Self {
        Self { login: false, text: text.into() }
    }
}

/// A kind of source.
pub trait Kind: Send + Sync {
    /// As in `Provider.spec.type`.
    fn name(&self) -> &'static str;
    /// What its migrations look like.
    fn traits(&self) -> Traits;
    /// Keys that a Provider's Secret lacks, in the order in which the condition names them.
    fn missing(&self, login: &Login) -> Vec<String>;
    /// Connects and logs in. Returns the SHA-1 of the server's certificate, empty for kinds whose Providers do not tell it.
    fn test<'a>(&'a self, site: &'a Site, login: &'a Login) -> BoxFuture<'a, Result<String, Refused>>;
    /// Begins to read what the source holds. `changed` is told whenever that changes.
    fn open(&self, site: &Site, provider: &str, login: Login, changed: broadcast::Sender<News>) -> Arc<dyn Source>;
    /// Makes what the controller makes beside a Provider, once its Secret is whole.
    fn beside<'a>(&'a self, _site: &'a Site, _provider: &'a Value) -> BoxFuture<'a, anyhow::Result<()>> {
        ready(Ok(())).boxed()
    }
}

/// What a map or plan looks up in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collection {
    /// Virtual machines that can be migrated.
    Vms,
    /// Networks.
    Networks,
    /// Datastores, storage domains, volume types, storage classes.
    Storage,
}

/// An answer of the inventory service.
#[derive(Debug)]
pub enum Reply {
    /// With this body.
    Json(Value),
    /// A status without a body.
    Status(StatusCode),
    /// The service has no such path.
    NoSuchPath,
    /// The cluster could not be asked.
    Broken(kube::Error),
}

/// What a request to the inventory service asks for beside its path.
#[derive(Debug, Clone)]
pub struct Query {
    /// How much of each object; `None` where the request does not say.
    pub detail: Option<u8>,
    /// Longest list.
    pub limit: usize,
    /// Objects to leave out at the beginning of a list.
    pub offset: usize,
    /// Name or path of the objects, empty for all.
    pub name: String,
    /// Namespace of the objects, empty for all.
    pub namespace: String,
}

impl Query {
    /// The part of a list that was asked for.
    pub fn page(&self, list: Vec<Value>) -> Value {
        Value::Array(list.into_iter().skip(self.offset).take(self.limit).collect())
    }
}

/// Power of a source VM, as a VM's status tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    On,
    /// It does not.
    Off,
    /// Neither.
    Unknown,
}

impl Power {
    /// As in `restorePowerState`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::On => "On",
            Self::Off => "Off",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a plan wants of its VMs, as far as a source judges it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Precopies while the source runs.
    pub warm: bool,
    /// Static addresses are kept.
    pub static_addresses: bool,
}

/// How the disks of a VM come to the cluster.
#[derive(Debug)]
pub enum Volumes {
    /// The source is not ready to be read; ask again.
    NotYet,
    /// By DataVolumes: what CDI reads, `spec.source` and annotations, one for each disk in the order of [`Machine::order`].
    Imports(Vec<Import>),
    /// By populators: the source made claims and populators itself.
    Populated,
}

/// What a DataVolume reads.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// `spec.source`.
    pub source: Value,
    /// Annotations beside those of all DataVolumes.
    pub annotations: Map<String, Value>,
}

impl Import {
    /// Nothing: virt-v2v writes on the empty volume.
    pub fn blank() -> Self {
        Self { source: json!({ "blank": {} }), annotations: Map::new() }
    }
}

/// A migration's view of the VM that it copies.
pub struct Migrating<'a> {
    /// The plan during this look.
    pub work: &'a Work<'a>,
    /// UID of the Migration.
    pub migration: &'a str,
    /// Status of the VM.
    pub vm: &'a VmStatus,
    /// What the inventory says of it.
    pub machine: &'a Machine,
    /// Name of the Secret with the source's credentials in the target namespace.
    pub secret: &'a str,
}

/// A connected Provider.
pub trait Source: Any + Send + Sync {
    /// With what it logged in: a changed Secret means another one.
    fn login(&self) -> &Login;
    /// Whether everything was read once.
    fn has_parity(&self) -> bool;
    /// Waits until everything was read once; false if that takes longer than `patience`.
    fn reads_all_within(&self, patience: Duration) -> BoxFuture<'_, bool>;

    /// Counters of the inventory service's `GET /providers?detail=1`.
    fn counters(&self) -> BoxFuture<'_, Value>;
    /// Answers `GET /providers/KIND/UID/…`; `rest` is what follows the UID and is never empty.
    fn answer<'a>(&'a self, provider: &'a str, rest: &'a [&'a str], query: &'a Query) -> BoxFuture<'a, Reply>;

    /// Everything that a reference means: nothing, one, or several of one name.
    fn find<'a>(&'a self, what: Collection, reference: &'a Reference) -> BoxFuture<'a, anyhow::Result<Vec<Reference>>>;
    /// A VM by its id.
    fn machine<'a>(&'a self, id: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Machine>>>;
    /// Types of the conditions that a VM gives its plan, beside those that all kinds share.
    fn problems<'a>(&'a self, _id: &'a str, _wanted: Wanted) -> BoxFuture<'a, anyhow::Result<Vec<&'static str>>> {
        ready(Ok(Vec::new())).boxed()
    }

    /// Logs in for what a migration does on the source.
    fn session(&self) -> BoxFuture<'_, anyhow::Result<Box<dyn Session>>>;
    /// Says where the disks of a VM are read, and makes what is needed for that.
    fn volumes<'a>(&'a self, migrating: &'a Migrating<'a>) -> BoxFuture<'a, anyhow::Result<Volumes>>;
    /// Data of the Secret that CDI or virt-v2v reads.
    fn credentials(&self) -> Vec<(&'static str, String)>;
    /// Environment of virt-v2v, for kinds that it converts.
    fn v2v_settings(&self, _migrating: &Migrating<'_>) -> anyhow::Result<Value> {
        Ok(json!({}))
    }
    /// Takes away what [`Source::volumes`] made on the source, when a VM is through or given up.
    fn release<'a>(&'a self, _work: &'a Work<'a>, _vm: &'a VmStatus) -> BoxFuture<'a, anyhow::Result<()>> {
        ready(Ok(())).boxed()
    }
}

/// A login on a source, for what a migration does there. Errors that end the migration are [`super::migrate::Fatal`].
pub trait Session: Send + Sync {
    /// Power of a VM.
    fn power<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<Power>>;
    /// Asks a running VM to go off. Does not wait for it.
    fn power_off<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<()>>;
    /// Switches a VM on, if it is not.
    fn power_on<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<()>>;
    /// Snapshots, for kinds that can be migrated warm.
    fn snapshots(&self) -> Option<&dyn Snapshots> {
        None
    }
    /// Logs out.
    fn end(&self) -> BoxFuture<'_, ()>;
}

/// Where a task of a source stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Not at its end.
    Running,
    /// Ended, with the id of what it made.
    Done(String),
    /// Ended with this error.
    Failed(String),
    /// The source does not know it any more.
    Forgotten,
}

/// Snapshots of a warm migration.
pub trait Snapshots: Send + Sync {
    /// Begins a snapshot; the task's id.
    fn create<'a>(&'a self, vm: &'a str) -> BoxFuture<'a, anyhow::Result<String>>;
    /// Begins to remove a snapshot; the task's id.
    fn remove<'a>(&'a self, vm: &'a str, snapshot: &'a str) -> BoxFuture<'a, anyhow::Result<String>>;
    /// Where a task stands.
    fn task<'a>(&'a self, task: &'a str) -> BoxFuture<'a, anyhow::Result<TaskState>>;
    /// `deltas` of a precopy: disk and change id of the snapshot.
    fn deltas<'a>(&'a self, snapshot: &'a str) -> BoxFuture<'a, anyhow::Result<Vec<Value>>>;
}
