//! Sources of virtual machines. One small trait; a new provider is one folder and one line in [`connect`].

mod clone_request;
mod error;
pub(crate) mod http;
mod machine;
mod openshift;
mod openstack;
mod ova;
mod ovirt;
mod poll;
mod rest;
pub(crate) mod tls;
pub mod vsphere;

pub use clone_request::{CloneRequest, Leaving, NewDisk, NewDiskKind};
pub use error::{ProviderError, ProviderErrorKind, ProviderResult};
pub use machine::{Boot, Disk, GuestAddress, MarkedVm, Nic, Power, Snapshot, SourceVm, VmDescription};

use std::{collections::BTreeMap, time::Duration};

use futures::future::BoxFuture;
use serde_json::Value;

use crate::{
    cluster::Cluster,
    config::profile::{GuestLogin, Profile, ProviderKind},
    guest::Unverified,
    secrets::Secret,
};

/// What a source lets the tool do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Clones can be made, switched and deleted. Where they cannot, the VMs of a scenario are migrated themselves, as the
    /// inventory describes them.
    pub clones: bool,
    /// Snapshots can be taken.
    pub snapshots: bool,
    /// Commands can be run in the guests of running VMs without a network.
    pub guest_commands: bool,
}

/// A command for the shell of a Linux guest. It must do no harm when it is carried out twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestCommand {
    /// A word that tells it from others of the run: letters, digits and dashes.
    pub name: String,
    /// The command line.
    pub line: String,
    /// Whether what it prints is fetched; the line is a single command then.
    pub fetch: bool,
}

/// What a command in a guest came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestAnswer {
    /// Exit status.
    pub status: i64,
    /// What it printed, if that was to be fetched.
    pub output: String,
}

/// With what Forklift connects to a source, where the profile does not say it.
#[derive(Debug, Clone)]
pub struct Access {
    /// `Provider.spec.url`.
    pub url: String,
    /// Data of the Provider's Secret; empty for a Provider without one.
    pub secret: Vec<(&'static str, Field)>,
}

/// A value of a Provider's Secret. Not all of them are secrets: `insecureSkipVerify` must not be masked wherever "true" is told.
#[derive(Debug, Clone)]
pub enum Field {
    /// May be shown.
    Plain(String),
    /// May not.
    Secret(Secret),
}

impl Field {
    /// The value itself, for the request that creates the Secret.
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(value) => value,
            Self::Secret(value) => value.expose(),
        }
    }
}

/// Whether a source VM of this name is one that is asked about.
pub type Concerns<'a> = dyn Fn(&str) -> bool + Send + Sync + 'a;

/// A connected source. Every method has its own deadline and answers with a sentence when it fails.
pub trait SourceProvider: Send + Sync {
    /// Which kind of source it is.
    fn kind(&self) -> ProviderKind;
    /// For people: kind, host, version.
    fn describe(&self) -> String;
    /// What it lets the tool do.
    fn abilities(&self) -> Abilities {
        Abilities { clones: true, snapshots: true, guest_commands: false }
    }
    /// With what Forklift connects to it; `None`: with URL, user and password of the profile.
    fn access(&self) -> Option<Access> {
        None
    }
    /// PEM certificates of the endpoint, for the Provider's Secret. `None` where TLS is not verified.
    fn ca_chain(&self) -> BoxFuture<'_, ProviderResult<Option<String>>>;
    /// Clones a VM or template; the clone is powered off. Returns its id.
    fn clone_vm<'a>(&'a self, request: &'a CloneRequest) -> BoxFuture<'a, ProviderResult<String>>;
    /// Brings a VM to a power state; nothing to do is success.
    fn set_power<'a>(&'a self, id: &'a str, power: Power) -> BoxFuture<'a, ProviderResult<()>>;
    /// Waits until the guest reports its network; false when the time is up, which is no error.
    fn wait_for_guest<'a>(&'a self, id: &'a str, patience: Duration) -> BoxFuture<'a, ProviderResult<bool>>;
    /// Runs a command in the guest of a running VM through its tools.
    fn run_in_guest<'a>(
        &'a self,
        id: &'a str,
        _login: &'a GuestLogin,
        _command: &'a GuestCommand,
    ) -> BoxFuture<'a, ProviderResult<GuestAnswer>> {
        Box::pin(async move { Err(ProviderError::unsupported(format!("VM {id}: {} runs no commands in guests", self.kind()))) })
    }
    /// Takes a snapshot without memory.
    fn snapshot<'a>(&'a self, id: &'a str, name: &'a str) -> BoxFuture<'a, ProviderResult<()>>;
    /// Describes a VM.
    fn describe_vm<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<VmDescription>>;
    /// Describes a VM from what Forklift's inventory says of it, for sources that the tool cannot ask themselves.
    fn describe_inventory(&self, vm: &Value) -> ProviderResult<VmDescription> {
        let name = vm["name"].as_str().unwrap_or_default();
        Err(ProviderError::unsupported(format!("a source of type {} describes VM {name} itself", self.kind())))
    }
    /// Events that say that a user stopped a VM; `None` for sources that keep no such log.
    fn stopped_by_user<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, ProviderResult<Option<Vec<String>>>> {
        Box::pin(async { Ok(None) })
    }
    /// VMs of these names, each name at most once in the answer; missing ones are left out.
    fn find<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, ProviderResult<Vec<SourceVm>>>;
    /// All VMs made by a run, by the mark that `clone_vm` leaves.
    fn of_run<'a>(&'a self, run: &'a str) -> BoxFuture<'a, ProviderResult<Vec<SourceVm>>>;
    /// All VMs made by any run, by the same mark.
    fn marked(&self) -> BoxFuture<'_, ProviderResult<Vec<MarkedVm>>> {
        let kind = self.kind();
        Box::pin(async move { Err(ProviderError::unsupported(format!("VMs that runs have left on {kind} cannot be listed yet"))) })
    }
    /// Waits until no clone is being made any more of a VM whose name `concerns`: a run that was killed may have asked for one.
    /// Returns those that are still being made when `patience` is over, a sentence each.
    fn settle<'a>(&'a self, _concerns: &'a Concerns<'a>, _patience: Duration) -> BoxFuture<'a, ProviderResult<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    /// Powers off and deletes a VM; one that is gone already is success.
    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<()>>;
    /// Removes a clone and all else that its making may have left, also when it failed half-way. What is there under its name
    /// but is not provably the run's is left alone, which is an error unless it is provably another run's. Returns whether anything was there.
    fn remove<'a>(&'a self, leaving: Leaving<'a>) -> BoxFuture<'a, ProviderResult<bool>> {
        Box::pin(async move {
            let mut removed = false;
            for vm in self.find(&[leaving.name.to_owned()]).await? {
                if leaving.is_it(&vm.id, vm.run.as_deref())? {
                    self.delete(&vm.id).await?;
                    removed = true;
                }
            }
            Ok(removed)
        })
    }
    /// What [`SourceProvider::remove`] would take, one line each; reads only.
    fn remains<'a>(&'a self, leaving: Leaving<'a>) -> BoxFuture<'a, ProviderResult<Vec<String>>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for vm in self.find(&[leaving.name.to_owned()]).await? {
                if leaving.is_it(&vm.id, vm.run.as_deref())? {
                    all.push(format!("VM {}", vm.name));
                }
            }
            Ok(all)
        })
    }
    /// Name of a volume snapshot by its id; `None` if it is not there.
    fn volume_snapshot<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<Option<String>>> {
        Box::pin(async move { Err(ProviderError::unsupported(format!("volume snapshot {id}: {} has none", self.kind()))) })
    }
    /// Deletes a volume snapshot; one that is gone already is success.
    fn delete_volume_snapshot<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        Box::pin(async move { Err(ProviderError::unsupported(format!("volume snapshot {id}: {} has none", self.kind()))) })
    }
    /// Name of a datastore by its id; an id that does not exist is an error that names those that do.
    fn datastore_name<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<String>> {
        Box::pin(async move { Err(ProviderError::unsupported(format!("datastore {id}: {} has no datastores by id", self.kind()))) })
    }
    /// Lets a public SSH key of a run into the host that copies disks, for MTV's wrapper on this datastore only. False if it was
    /// let in before.
    fn authorize_key<'a>(&'a self, _key: &'a str, _run: &'a str, _datastore: &'a str) -> BoxFuture<'a, ProviderResult<bool>> {
        Box::pin(async move { Err(ProviderError::unsupported(format!("{} has no hosts that copy disks", self.kind()))) })
    }
    /// Keeps a public SSH key out of that host, as far as this run let it in; whether it was in. Anybody else's lines stay. With
    /// `look_only` nothing is changed.
    fn revoke_key<'a>(&'a self, _key: &'a str, _run: &'a str, _look_only: bool) -> BoxFuture<'a, ProviderResult<bool>> {
        Box::pin(async move { Err(ProviderError::unsupported(format!("{} has no hosts that copy disks", self.kind()))) })
    }
    /// The SSH host key of that host, if it was taken without proof and was not asked for before: to be reported.
    fn unverified_host_key(&self) -> Option<Unverified> {
        None
    }
    /// Ends the session.
    fn disconnect(&self) -> BoxFuture<'_, ()>;
    /// Requests made so far, by name of the call.
    fn requests(&self) -> BTreeMap<String, u64>;
}

/// Connects to the source that a profile names, with what the profile alone says.
pub async fn connect(profile: &Profile) -> ProviderResult<Box<dyn SourceProvider>> {
    connect_at(profile, None).await
}

/// Connects to the source that a profile names. `home` is the cluster that the run works on: it is the source where a profile
/// of type openshift names no other.
pub async fn connect_at(profile: &Profile, home: Option<&Cluster>) -> ProviderResult<Box<dyn SourceProvider>> {
    match profile.kind {
        // One line per kind joins here as its client lands.
        ProviderKind::Vsphere => Box::pin(vsphere::connect(profile)).await,
        ProviderKind::Openstack => Ok(Box::new(openstack::Openstack::connect(profile).await?)),
        ProviderKind::Openshift => Ok(Box::new(openshift::Openshift::connect(profile, home).await?)),
        ProviderKind::Ova => Ok(Box::new(ova::Ova::new(profile)?)),
        ProviderKind::Ovirt => Ok(Box::new(ovirt::Ovirt::connect(profile).await?)),
        ProviderKind::Hyperv => {
            Err(ProviderError::unsupported(format!("profile `{}` is of type hyperv; this release cannot migrate from there", profile.name)))
        }
    }
}
