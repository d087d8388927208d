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
        Err(ProviderError::unsupported(format!(
            "clone `{}` of `{}`: a source of type {kind} makes clones like their originals, without another datastore, host, pool, \
             layout or further disks",
            self.name, self.source
        ))
        .hint("give the scenario `requires.providers = [\"vsphere\"]`"))
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
    /// The id was looked up and judged a moment ago, by other proof than a mark. An id that a file holds is no proof.
    pub looked_up: bool,
}

impl<'a> Leaving<'a> {
    /// A clone of a run, by its mark.
    pub fn of_run(run: &'a str, name: &'a str, id: Option<&'a str>) -> Self {
        Self { name, run, id, looked_up: false }
    }

    /// Whether a VM of its name is this clone: it carries the run's mark, and has the id that is known. One of another run or with
    /// another id is not, and then ours was never made or is gone; one without a mark could be anybody's, which is an error.
    pub fn is_it(&self, id: &str, mark: Option<&str>) -> ProviderResult<bool> {
        let same_id = self.id.is_none_or(|known| known == id);
        if self.looked_up && self.id.is_some() && same_id {
            return Ok(true);
        }
        match mark.filter(|mark| !mark.is_empty()) {
            Some(mark) if mark == self.run && same_id => Ok(true),
            Some(mark) if mark == self.run => {
                tracing::warn!(
                    vm = self.name,
                    id,
                    "a VM of this name carries the run's mark and is not the clone: a copy; it was left alone"
                );
                Ok(false)
            }
            Some(_) => {
                tracing::warn!(vm = self.name, "a VM of this name is of another run; it was left alone");
                Ok(false)
            }
            None => Err(ProviderError::operation(
                "a VM of this name is there, but it does not carry the run's mark; it was left alone".to_owned(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_known_by_its_mark_and_its_id_alone_proves_nothing() {
        let leaving = |id| Leaving::of_run("r1", "vm", id);
        assert!(leaving(Some("vm-1")).is_it("vm-1", Some("r1")).unwrap());
        assert!(leaving(None).is_it("vm-1", Some("r1")).unwrap());
        assert!(!leaving(Some("vm-1")).is_it("vm-2", Some("r1")).unwrap(), "a copy has the mark, too");
        assert!(!leaving(Some("vm-1")).is_it("vm-1", Some("r2")).unwrap());
        assert!(leaving(Some("vm-1")).is_it("vm-1", None).is_err(), "an id in a file is no proof");
        assert!(leaving(None).is_it("vm-1", Some("")).is_err());
        let looked_up = Leaving { looked_up: true, ..Leaving::of_run("", "vm", Some("vm-1")) };
        assert!(looked_up.is_it("vm-1", None).unwrap());
        assert!(looked_up.is_it("vm-2", None).is_err());
    }
}
