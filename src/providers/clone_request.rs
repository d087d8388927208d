//! Clones: what is asked for when one is made, and what is known of one that is to go.

use super::{ProviderError, ProviderResult};
use crate::config::{
    profile::ProviderKind,
    scenario::{DiskController, DiskMode, DiskType, RdmType},
};

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
