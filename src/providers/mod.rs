//! Sources of virtual machines. One small trait; a new provider is one folder and one line in [`connect`].

pub(crate) mod http;
mod openshift;
mod openstack;
mod ova;
mod ovirt;
mod poll;
mod rest;
pub(crate) mod tls;
pub mod vsphere;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use futures::future::BoxFuture;
use jiff::Timestamp;
use mtv_api::forklift::SourceRef;
use serde_json::Value;

use crate::{
    cluster::Cluster,
    config::{
        profile::{GuestLogin, Profile, ProviderKind},
        scenario::{DiskController, DiskMode, DiskType, RdmType},
    },
    secrets::Secret,
};

/// Why a provider could not do what it was asked for. The kind decides the exit code and whether a retry makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderError {
    /// User name or password refused.
    Login(String),
    /// No connection, with the address.
    Unreachable(String),
    /// The certificate is not trusted.
    Certificate(String),
    /// A VM, datastore or other object that does not exist, or exists twice.
    NotFound(String),
    /// The source refused or failed an operation.
    Operation(String),
    /// The deadline ended; what was awaited.
    Deadline(String),
    /// The source cannot do this at all.
    Unsupported(String),
}

impl ProviderError {
    /// Whether it is the environment (address, certificate, login) rather than the operation.
    pub fn is_environment(&self) -> bool {
        matches!(self, Self::Login(_) | Self::Unreachable(_) | Self::Certificate(_))
    }
}

impl std::fmt::Display for ProviderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Login(text)
        | Self::Unreachable(text)
        | Self::Certificate(text)
        | Self::NotFound(text)
        | Self::Operation(text)
        | Self::Deadline(text)
        | Self::Unsupported(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for ProviderError {}

/// Result of a provider operation.
pub type ProviderResult<T> = Result<T, ProviderError>;

/// Power of a VM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// Runs.
    On,
    /// Does not run.
    #[default]
    Off,
    /// Suspended, paused, in between.
    Other,
}

/// What a disk that is added to a clone holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewDiskKind {
    /// A new, empty disk.
    Empty {
        /// Size.
        bytes: u64,
        /// Layout.
        provisioning: DiskType,
        /// Mode.
        mode: DiskMode,
        /// Bus.
        controller: DiskController,
    },
    /// A LUN, mapped raw.
    Rdm {
        /// Its canonical name, `naa.…`.
        lun: String,
        /// How it is mapped.
        mode: RdmType,
    },
}

/// A disk that is added to a clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDisk {
    /// What it holds.
    pub kind: NewDiskKind,
    /// Id of its datastore; none: that of the clone.
    pub datastore: Option<String>,
    /// Folder on the datastore, made if it is not there; none: that of the clone. It stays when the clone goes: others may
    /// have files in it.
    pub folder: Option<String>,
}

/// How to clone a VM.
#[derive(Debug, Clone, Default)]
pub struct CloneRequest {
    /// Name of the VM or template to clone.
    pub source: String,
    /// Name of the clone. Unique by the run id in it.
    pub name: String,
    /// Run id, written into the clone so that ownership can be proved from the source alone.
    pub run: String,
    /// Switch on changed block tracking, which warm migration needs.
    pub changed_block_tracking: bool,
    /// Id of the datastore of its disks; none: that of the source.
    pub datastore: Option<String>,
    /// Host that it is placed on, by name; none: the source decides.
    pub host: Option<String>,
    /// Hosts that it must not be placed on, by id, where no host is asked for.
    pub avoided_hosts: Vec<String>,
    /// Resource pool, by name; none: that of the source VM.
    pub resource_pool: Option<String>,
    /// Layout of the disks that it gets from its source; none: as there.
    pub provisioning: Option<DiskType>,
    /// Disks that it gets beside those of its source.
    pub disks: Vec<NewDisk>,
}

impl CloneRequest {
    /// Whether it asks for anything that only some sources can do.
    pub fn is_special(&self) -> bool {
        self.datastore.is_some()
            || self.host.is_some()
            || !self.avoided_hosts.is_empty()
            || self.resource_pool.is_some()
            || self.provisioning.is_some()
            || !self.disks.is_empty()
    }

    /// For sources that only make clones like their originals: what they cannot do is refused and never left out in silence.
    pub fn must_be_plain(&self, kind: ProviderKind) -> ProviderResult<()> {
        if !self.is_special() {
            return Ok(());
        }
        Err(ProviderError::Unsupported(format!(
            "clone `{}` of `{}`: a source of type {kind} makes clones like their originals, without another datastore, host, pool, \
             layout or further disks; hint: give the scenario `requires.providers = [\"vsphere\"]`",
            self.name, self.source
        )))
    }
}

/// A VM of a source as it is listed: what `clean` needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceVm {
    /// Managed object reference for vSphere, UUID elsewhere.
    pub id: String,
    /// Name.
    pub name: String,
    /// Run id found in the VM, if it is a clone of ours.
    pub run: Option<String>,
}

/// A VM that a run has made, whichever run: what a search for leftovers needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedVm {
    /// The VM; `run` is set.
    pub vm: SourceVm,
    /// When it was made, where the source tells.
    pub created: Option<Timestamp>,
}

/// What a source says of one network adapter.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Nic {
    /// Device label.
    pub name: String,
    /// MAC address, lower case with colons.
    pub mac: String,
    /// Network name.
    pub network: String,
    /// Network id (managed object reference for vSphere): what tells one network from another.
    pub network_id: String,
    /// How a NetworkMap names the network, where that is not by its id.
    pub network_ref: Option<SourceRef>,
    /// Guest addresses, if tools tell.
    pub addresses: Vec<String>,
    /// The same with what tools tell of their configuration; empty where they tell addresses only.
    pub configured: Vec<GuestAddress>,
    /// Default gateway by way of this adapter, if tools tell.
    pub gateway: Option<IpAddr>,
    /// Name of the adapter in the guest, if the source tells.
    pub guest_name: Option<String>,
}

/// An address in a guest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GuestAddress {
    /// The address.
    pub ip: IpAddr,
    /// Length of its network's prefix.
    pub prefix: Option<u8>,
    /// Whether it was configured by hand rather than given by DHCP; `None` where tools do not tell, as those of many Linuxes.
    pub fixed: Option<bool>,
}

/// What a source says of one disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Disk {
    /// Device label.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Datastore, storage domain, volume type or storage class.
    pub storage: String,
    /// How a StorageMap names the storage, where that is not by its name.
    pub storage_ref: Option<SourceRef>,
    /// Device key.
    pub key: i64,
    /// Id of the datastore (managed object reference for vSphere), empty if the source does not tell.
    pub storage_id: String,
    /// `[datastore] folder/file.vmdk` of the base disk, below all snapshots; empty where disks are no files.
    pub file: String,
    /// Layout; none where the source does not tell.
    pub provisioning: Option<DiskType>,
    /// Mode; none where the source does not tell, or has one that no scenario asks for.
    pub mode: Option<DiskMode>,
    /// How it is mapped, if it is a LUN.
    pub rdm: Option<RdmType>,
    /// Kind of controller: `scsi`, `sata`, `ide` or `nvme`; empty where the source does not tell.
    pub bus: String,
    /// Whether it is a difference to a snapshot.
    pub on_snapshot: bool,
    /// Key of its controller; 0 where the source does not tell.
    pub controller: i64,
    /// Its place on the controller; 0 where the source does not tell.
    pub unit: i64,
}

/// A snapshot of a source VM.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    /// Number within the VM.
    pub id: i64,
    /// Name.
    pub name: String,
    /// RFC 3339.
    pub created: String,
    /// Power of the VM when it was taken.
    pub state: String,
}

/// How a VM boots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Boot {
    /// By UEFI; otherwise by BIOS.
    pub efi: bool,
    /// UEFI verifies what it boots.
    pub secure: bool,
    /// It has a TPM.
    pub tpm: bool,
}

/// Everything that checks need to know about a source VM, in one description.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct VmDescription {
    /// Managed object reference for vSphere, UUID elsewhere.
    pub id: String,
    /// Name.
    pub name: String,
    /// Namespace, OpenShift sources only.
    pub namespace: Option<String>,
    /// BIOS UUID.
    pub uuid: String,
    /// Serial number of the firmware, where the migrated VM gets it as it is; otherwise it is made of the UUID.
    pub serial: Option<String>,
    /// How it boots, where the source tells.
    pub boot: Option<Boot>,
    /// Power.
    pub power: Power,
    /// Sockets; 0 where the source does not tell.
    pub sockets: u32,
    /// Cores per socket; 0 where the source does not tell.
    pub cores_per_socket: u32,
    /// Mebibytes; 0 where the source does not tell.
    pub memory_mib: u64,
    /// Network adapters.
    pub nics: Vec<Nic>,
    /// Disks.
    pub disks: Vec<Disk>,
    /// Snapshots, oldest first, all branches.
    pub snapshots: Vec<Snapshot>,
    /// Whether a guest agent or tools run.
    pub tools_running: bool,
    /// Whether the guest is Windows.
    pub windows: bool,
}

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

/// A clone that is to go, as the journal knows it.
#[derive(Debug, Clone, Copy)]
pub struct Leaving<'a> {
    /// Its name.
    pub name: &'a str,
    /// The run that made it.
    pub run: &'a str,
    /// Its id, if the making came to its end.
    pub id: Option<&'a str>,
}

impl Leaving<'_> {
    /// Whether a VM of its name is this clone, by id or by the run that the VM's mark names. One of another run is not, and then
    /// ours was never made or is gone; one without a mark could be anybody's, which is an error.
    pub fn is_it(&self, id: &str, run: Option<&str>) -> ProviderResult<bool> {
        if self.id == Some(id) || run == Some(self.run) {
            return Ok(true);
        }
        if run.is_some() {
            tracing::warn!(vm = self.name, "a VM of this name is of another run; it was left alone");
            return Ok(false);
        }
        Err(ProviderError::Operation("a VM of this name is there, but it does not carry the run's mark; it was left alone".to_owned()))
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
        Box::pin(async move { Err(ProviderError::Unsupported(format!("VM {id}: {} runs no commands in guests", self.kind()))) })
    }
    /// Takes a snapshot without memory.
    fn snapshot<'a>(&'a self, id: &'a str, name: &'a str) -> BoxFuture<'a, ProviderResult<()>>;
    /// Describes a VM.
    fn describe_vm<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<VmDescription>>;
    /// Describes a VM from what Forklift's inventory says of it, for sources that the tool cannot ask themselves.
    fn describe_inventory(&self, vm: &Value) -> ProviderResult<VmDescription> {
        let name = vm["name"].as_str().unwrap_or_default();
        Err(ProviderError::Unsupported(format!("a source of type {} describes VM {name} itself", self.kind())))
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
        Box::pin(async move { Err(ProviderError::Unsupported(format!("VMs that runs have left on {kind} cannot be listed yet"))) })
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
    /// Name of a volume snapshot by its id; `None` if it is not there.
    fn volume_snapshot<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<Option<String>>> {
        Box::pin(async move { Err(ProviderError::Unsupported(format!("volume snapshot {id}: {} has none", self.kind()))) })
    }
    /// Deletes a volume snapshot; one that is gone already is success.
    fn delete_volume_snapshot<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        Box::pin(async move { Err(ProviderError::Unsupported(format!("volume snapshot {id}: {} has none", self.kind()))) })
    }
    /// Name of a datastore by its id; an id that does not exist is an error that names those that do.
    fn datastore_name<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<String>> {
        Box::pin(async move { Err(ProviderError::Unsupported(format!("datastore {id}: {} has no datastores by id", self.kind()))) })
    }
    /// Lets a public SSH key into the host that copies disks, for MTV's wrapper on this datastore only. False if it was let in
    /// before.
    fn authorize_key<'a>(&'a self, _key: &'a str, _datastore: &'a str) -> BoxFuture<'a, ProviderResult<bool>> {
        Box::pin(async move { Err(ProviderError::Unsupported(format!("{} has no hosts that copy disks", self.kind()))) })
    }
    /// Keeps a public SSH key out of that host; one that is out is success.
    fn revoke_key<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        Box::pin(async move { Err(ProviderError::Unsupported(format!("{} has no hosts that copy disks", self.kind()))) })
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
            Err(ProviderError::Unsupported(format!("profile `{}` is of type hyperv; this release cannot migrate from there", profile.name)))
        }
    }
}
