//! Provider profiles: where virtual machines come from.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{copyoffload::CopyOffload, settings::Settings};
use crate::secrets::Secret;

/// Kind of a source, as Forklift spells it in `Provider.spec.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// VMware vSphere.
    Vsphere,
    /// RHV / oVirt.
    Ovirt,
    /// OpenStack.
    Openstack,
    /// OpenShift Virtualization.
    Openshift,
    /// OVA files on an NFS share.
    Ova,
    /// Hyper-V.
    Hyperv,
}

impl ProviderKind {
    /// All kinds, in the order in which they are listed.
    pub const ALL: &[Self] = &[Self::Vsphere, Self::Ovirt, Self::Openstack, Self::Openshift, Self::Ova, Self::Hyperv];

    /// As Forklift spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vsphere => "vsphere",
            Self::Ovirt => "ovirt",
            Self::Openstack => "openstack",
            Self::Openshift => "openshift",
            Self::Ova => "ova",
            Self::Hyperv => "hyperv",
        }
    }

    /// Why this release cannot migrate from this kind of source; none for those that it can.
    pub const fn unsupported(self) -> Option<&'static str> {
        match self {
            Self::Hyperv => Some("this release cannot migrate from there"),
            Self::Vsphere | Self::Ovirt | Self::Openstack | Self::Openshift | Self::Ova => None,
        }
    }

    /// Whether Forklift migrates running VMs of this kind: only vSphere and oVirt track changed blocks.
    pub const fn can_warm(self) -> bool {
        matches!(self, Self::Vsphere | Self::Ovirt)
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// User and password of a guest operating system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLogin {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// A profile that is complete for its kind.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Name of its table.
    pub name: String,
    /// File that it stands in.
    pub file: PathBuf,
    /// Kind of the source.
    pub kind: ProviderKind,
    /// Version of the source, used in names only.
    pub version: String,
    /// Host name; default: that of `api_url`.
    pub fqdn: String,
    /// SDK URL, `Provider.spec.url`.
    pub api_url: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret,
    /// Whether the tool itself and Forklift leave TLS of this endpoint unverified. The user's own choice; default false.
    pub insecure_skip_verify: bool,
    /// Whether the source may be reached without TLS. The user's own choice; default false.
    pub allow_plain_http: bool,
    /// PEM file of certificates to trust for this endpoint beside the system's.
    pub ca_file: Option<PathBuf>,
    /// `Provider.spec.settings.vddkInitImage`.
    pub vddk_init_image: Option<String>,
    /// Login of Linux guests.
    pub guest_linux: Option<GuestLogin>,
    /// Login of Windows guests.
    pub guest_windows: Option<GuestLogin>,
    /// PEM certificates to trust for this endpoint beside the system's and those of `ca_file`.
    pub ca_pem: Option<String>,
    /// What only some kinds have, such as OpenStack's `region_name`.
    pub extra: BTreeMap<String, String>,
    /// Secrets that only some kinds have, such as Hyper-V's `smb_password`.
    pub extra_secrets: BTreeMap<String, Secret>,
    /// Copying by the storage array (vsphere).
    pub copyoffload: Option<CopyOffload>,
    /// Set: `api_url` leads to an ESXi host, and this profile is the vCenter that clones for it (vsphere).
    pub clone_provider: Option<Box<Profile>>,
}

impl Profile {
    /// Whether the source is reached without TLS: passwords and tokens go out unencrypted.
    pub fn plain_http(&self) -> bool {
        self.allow_plain_http && (self.kind == ProviderKind::Openstack || self.api_url.trim_start().to_lowercase().starts_with("http://"))
    }

    /// The switch of mtv-api-tests for all sources wins over the profile's own, where it is set.
    pub fn override_tls(&mut self, settings: &Settings) {
        if let Some(skip) = settings.source_provider_insecure_skip_verify {
            self.insecure_skip_verify = skip;
        }
        if let Some(cloner) = &mut self.clone_provider {
            cloner.override_tls(settings);
        }
    }
}
