//! What the journal knows.

use std::{fmt, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Holder, format::VERSION};
use crate::config::profile::ProviderKind;

/// A run as its journal introduces it: everything that `clean` needs beside the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Run id.
    pub run: String,
    /// Version of mtv-test.
    pub tool: String,
    /// When the run started.
    pub started: Timestamp,
    /// Label that every object of the run carries, `key=value`.
    pub label: String,
    /// The cluster; unknown until the run has connected to it.
    #[serde(default)]
    pub cluster: Option<Cluster>,
    /// Sources that clones are made on.
    #[serde(default)]
    pub profiles: Vec<ProfileRef>,
    /// File that the profiles stand in.
    #[serde(default)]
    pub providers_file: Option<PathBuf>,
    /// The cluster dies with the process (`--lab`): there is nothing to clean afterwards.
    #[serde(default)]
    pub ephemeral: bool,
}

impl Header {
    /// What a holder still tells of a run whose header was lost to damage: its id, which proves ownership by label and mark.
    pub(super) fn of_holder(holder: &Holder) -> Option<Self> {
        let known = holder.run != Holder::UNKNOWN_RUN;
        known.then(|| Self {
            run: holder.run.clone(),
            tool: String::new(),
            started: holder.since,
            label: String::new(),
            cluster: None,
            profiles: Vec::new(),
            providers_file: None,
            ephemeral: false,
        })
    }
}

/// A cluster, so that `clean` does not delete on another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// URL of its API server.
    pub server: String,
    /// UID of the namespace `kube-system`, which no other cluster has.
    pub id: String,
}

/// A provider profile by name; its secrets stay where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRef {
    /// Name of its table.
    pub name: String,
    /// Kind of the source.
    pub kind: ProviderKind,
    /// URL of the source.
    pub endpoint: String,
}

/// Number of an entry, unique in its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(pub u64);

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that a run makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Entry {
    /// An object on the cluster.
    Object {
        /// `forklift.konveyor.io/v1beta1`.
        api_version: String,
        /// `Plan`.
        kind: String,
        /// Empty for cluster-scoped kinds.
        namespace: String,
        /// Name.
        name: String,
        /// Scenario that it belongs to; none for what the whole run shares.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scenario: Option<String>,
    },
    /// A clone of a virtual machine on a source.
    Clone {
        /// Name of the provider profile. Empty in lists of mtv-api-tests, which know the kind only.
        profile: String,
        /// Kind of the source.
        provider: ProviderKind,
        /// Name of the clone.
        name: String,
        /// Scenario that it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scenario: Option<String>,
    },
    /// A volume snapshot on a source, which only lists of mtv-api-tests hold.
    VolumeSnapshot {
        /// Name of the provider profile, empty when it is not known.
        profile: String,
        /// Kind of the source.
        provider: ProviderKind,
        /// Name.
        name: String,
    },
    /// An SSH key that may log in to a host of a source.
    AuthorizedKey {
        /// Name of the provider profile.
        profile: String,
        /// The host.
        host: String,
        /// The public key, as it stands in `authorized_keys`.
        key: String,
    },
    /// A change of something shared, which is restored only if nobody changed it since.
    Patch {
        /// `forklift.konveyor.io/v1beta1`.
        api_version: String,
        /// `ForkliftController`.
        kind: String,
        /// Empty for cluster-scoped kinds.
        namespace: String,
        /// Name.
        name: String,
        /// JSON pointer to the field, `/spec/controller_precopy_interval`.
        field: String,
        /// Value before; none when the field was not there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<serde_json::Value>,
        /// Value that was set.
        after: serde_json::Value,
    },
}

impl fmt::Display for Entry {
    /// `Plan mig/x`, `Namespace mig`, `VM x on vsphere`, `/spec/a of ForkliftController mtv/x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = |f: &mut fmt::Formatter<'_>, kind: &str, namespace: &str, name: &str| {
            let slash = if namespace.is_empty() { "" } else { "/" };
            write!(f, "{kind} {namespace}{slash}{name}")
        };
        match self {
            Self::Object { kind, namespace, name, .. } => object(f, kind, namespace, name),
            Self::Clone { profile, provider, name, .. } if profile.is_empty() => write!(f, "VM {name} on {provider}"),
            Self::Clone { profile, name, .. } => write!(f, "VM {name} on {profile}"),
            Self::AuthorizedKey { profile, host, .. } => write!(f, "SSH key on {host} of {profile}"),
            Self::VolumeSnapshot { provider, name, .. } => write!(f, "volume snapshot {name} on {provider}"),
            Self::Patch { kind, namespace, name, field, .. } => {
                write!(f, "{field} of ")?;
                object(f, kind, namespace, name)
            }
        }
    }
}

/// How far an entry has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The request may have gone out; nobody knows whether it was made.
    Intent,
    /// It was made.
    Created,
    /// Its deletion was asked for.
    Deleting,
    /// It is gone.
    Gone,
}

/// An entry with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Number.
    pub id: EntryId,
    /// What it is.
    pub entry: Entry,
    /// How far it has come.
    pub state: State,
    /// UID of an object, id of a clone. Unknown before the answer came, and in lists of mtv-api-tests.
    pub reference: Option<String>,
}

/// Kinds of change that this release knows, as they stand in the file.
pub(super) const CHANGES: &[&str] = &["header", "held", "intent", "created", "deleting", "gone", "ended"];

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(super) enum Change {
    /// The run introduces itself; a later one replaces it. The format's version is repeated here, where a sum covers it.
    Header {
        #[serde(default = "first_version")]
        version: u32,
        header: Header,
    },
    /// A process has taken the journal.
    Held { holder: Holder },
    /// Something is about to be made.
    Intent { id: EntryId, entry: Entry },
    /// It was made.
    Created { id: EntryId, entry: Entry, reference: String },
    /// Its deletion was asked for.
    Deleting { id: EntryId },
    /// It is gone.
    Gone { id: EntryId },
    /// The run is over, its teardown included.
    Ended {
        /// Exit code of its process.
        exit: u8,
    },
    /// A kind that this release does not know: kept as it is.
    #[serde(untagged)]
    Unknown(serde_json::Map<String, serde_json::Value>),
}

/// What the format's version is where the header does not repeat it.
fn first_version() -> u32 {
    1
}

impl From<Header> for Change {
    fn from(header: Header) -> Self {
        Self::Header { version: VERSION, header }
    }
}
