//! What a source can do, a trait for each capability. A source that lacks one says so by not having it: nothing answers
//! "unsupported" when it is called.

use std::{collections::BTreeMap, time::Duration};

use futures::future::BoxFuture;
use serde_json::Value;

use super::{CloneRequest, Leaving, MarkedVm, ProviderResult, SourceVm, VmDescription};
use crate::{
    config::{
        profile::{GuestLogin, ProviderKind},
        scenario::PowerWish,
    },
    guest::Unverified,
    secrets::SecretValue,
};

/// With what Forklift connects to a source, where the profile does not say it.
#[derive(Debug, Clone)]
pub struct Access {
    /// `Provider.spec.url`.
    pub url: String,
    /// Data of the Provider's Secret; empty for a Provider without one.
    pub secret: Vec<(&'static str, SecretValue)>,
}

/// A connected source. Every method has its own deadline and answers with a sentence when it fails.
///
/// What only some sources can do is asked for by capability; `None` means that this source cannot do it.
pub trait Source: Send + Sync {
    /// Which kind of source it is.
    fn kind(&self) -> ProviderKind;
    /// For people: kind, host, version.
    fn describe(&self) -> String;
    /// With what Forklift connects to it; `None`: with URL, user and password of the profile.
    fn access(&self) -> Option<Access> {
        None
    }
    /// PEM certificates of the endpoint, for the Provider's Secret. `None` where TLS is not verified.
    fn ca_chain(&self) -> BoxFuture<'_, ProviderResult<Option<String>>>;
    /// Requests made so far, by name of the call.
    fn requests(&self) -> BTreeMap<String, u64>;
    /// Ends the session.
    fn disconnect(&self) -> BoxFuture<'_, ()>;
    /// Which VMs are migrated: clones of those that a scenario names, or these themselves.
    fn machines(&self) -> Machines<'_>;
    /// Makes clones of VMs and works with them.
    fn cloner(&self) -> Option<&dyn Cloner> {
        match self.machines() {
            Machines::Cloned(cloner) => Some(cloner),
            Machines::Taken(_) => None,
        }
    }
    /// Takes snapshots of VMs.
    fn snapshots(&self) -> Option<&dyn Snapshots> {
        None
    }
    /// Runs commands in guests without a network.
    fn guest_exec(&self) -> Option<&dyn GuestExec> {
        None
    }
    /// Knows who stopped a VM.
    fn power_log(&self) -> Option<&dyn PowerLog> {
        None
    }
    /// Keeps snapshots of volumes, apart from VMs.
    fn volume_snapshots(&self) -> Option<&dyn VolumeSnapshots> {
        None
    }
    /// Has a host that copies disks inside of the storage array.
    fn offload_host(&self) -> Option<&dyn OffloadHost> {
        None
    }
}

/// Which VMs of a source are migrated.
#[derive(Clone, Copy)]
pub enum Machines<'a> {
    /// Clones of those that a scenario names.
    Cloned(&'a dyn Cloner),
    /// Those that a scenario names, as Forklift's inventory describes them: the tool cannot ask the source itself.
    Taken(&'a dyn InventoryDescribed),
}

/// Whether a source VM of this name is one that is asked about.
pub type Concerns<'a> = dyn Fn(&str) -> bool + Send + Sync + 'a;

/// Makes clones, works with them and takes them away.
pub trait Cloner: Send + Sync {
    /// Clones a VM or template; the clone is powered off. Returns its id.
    fn clone_vm<'a>(&'a self, request: &'a CloneRequest) -> BoxFuture<'a, ProviderResult<String>>;
    /// Powers a VM on or off; nothing to do is success.
    fn set_power<'a>(&'a self, id: &'a str, power: PowerWish) -> BoxFuture<'a, ProviderResult<()>>;
    /// Waits until the guest reports its network; false when the time is up, which is no error.
    fn wait_for_guest<'a>(&'a self, id: &'a str, patience: Duration) -> BoxFuture<'a, ProviderResult<bool>>;
    /// Describes a VM.
    fn describe_vm<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<VmDescription>>;
    /// VMs of these names, each name at most once in the answer; missing ones are left out.
    fn find<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, ProviderResult<Vec<SourceVm>>>;
    /// All VMs made by a run, by the mark that `clone_vm` leaves.
    fn of_run<'a>(&'a self, run: &'a str) -> BoxFuture<'a, ProviderResult<Vec<SourceVm>>>;
    /// All VMs made by any run, by the same mark.
    fn marked(&self) -> BoxFuture<'_, ProviderResult<Vec<MarkedVm>>>;
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
    /// What [`Cloner::remove`] would take, one line each; reads only.
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
}

/// Describes VMs from what Forklift's inventory says of them.
pub trait InventoryDescribed: Send + Sync {
    /// Describes a VM from its object in the inventory.
    fn describe_inventory(&self, vm: &Value) -> ProviderResult<VmDescription>;
}

/// Takes snapshots of VMs.
pub trait Snapshots: Send + Sync {
    /// Takes a snapshot without memory.
    fn snapshot<'a>(&'a self, id: &'a str, name: &'a str) -> BoxFuture<'a, ProviderResult<()>>;
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

/// Runs commands in the guests of running VMs without a network.
pub trait GuestExec: Send + Sync {
    /// Runs a command in the guest of a running VM through its tools.
    fn run_in_guest<'a>(
        &'a self,
        id: &'a str,
        login: &'a GuestLogin,
        command: &'a GuestCommand,
    ) -> BoxFuture<'a, ProviderResult<GuestAnswer>>;
}

/// A log of who stopped VMs.
pub trait PowerLog: Send + Sync {
    /// Events that say that a user stopped a VM.
    fn stopped_by_user<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<Vec<String>>>;
}

/// Snapshots of volumes.
pub trait VolumeSnapshots: Send + Sync {
    /// Name of a volume snapshot by its id; `None` if it is not there.
    fn volume_snapshot<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<Option<String>>>;
    /// Deletes a volume snapshot; one that is gone already is success.
    fn delete_volume_snapshot<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<()>>;
}

/// The host that copies disks inside of the storage array, and the datastores that it copies from.
pub trait OffloadHost: Send + Sync {
    /// Name of a datastore by its id; an id that does not exist is an error that names those that do.
    fn datastore_name<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<String>>;
    /// Lets a public SSH key of a run into the host that copies disks, for MTV's wrapper on this datastore only. False if it was
    /// let in before.
    fn authorize_key<'a>(&'a self, key: &'a str, run: &'a str, datastore: &'a str) -> BoxFuture<'a, ProviderResult<bool>>;
    /// Keeps a public SSH key out of that host, as far as this run let it in; whether it was in. Anybody else's lines stay. With
    /// `look_only` nothing is changed.
    fn revoke_key<'a>(&'a self, key: &'a str, run: &'a str, look_only: bool) -> BoxFuture<'a, ProviderResult<bool>>;
    /// The SSH host key of that host, if it was taken without proof and was not asked for before: to be reported.
    fn unverified_host_key(&self) -> Option<Unverified>;
}
