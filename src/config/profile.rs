//! Provider profiles: where virtual machines come from.

use std::{fmt, path::PathBuf};

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
    /// PEM certificates to trust for this endpoint beside the system's and those of `ca_file`.
    pub ca_pem: Option<String>,
    /// Login of Linux guests.
    pub guest_linux: Option<GuestLogin>,
    /// Login of Windows guests.
    pub guest_windows: Option<GuestLogin>,
    /// Kind of the source, with what only profiles of this kind have.
    pub details: Details,
}

/// What only profiles of one kind have. Kinds that this release cannot migrate from are not among them.
#[derive(Debug, Clone)]
pub enum Details {
    /// VMware vSphere.
    Vsphere(Box<VsphereProfile>),
    /// RHV / oVirt.
    Ovirt(OvirtProfile),
    /// OpenStack.
    Openstack(OpenstackProfile),
    /// OpenShift Virtualization; without `api_url` on the cluster of the run.
    Openshift,
    /// OVA files on an NFS share.
    Ova,
}

/// A vCenter, or an ESXi host with the vCenter that clones for it.
#[derive(Debug, Clone, Default)]
pub struct VsphereProfile {
    /// `Provider.spec.settings.vddkInitImage`.
    pub vddk_init_image: Option<String>,
    /// Copying by the storage array.
    pub copyoffload: Option<CopyOffload>,
    /// Set: `api_url` leads to an ESXi host, and this profile is the vCenter that clones for it.
    pub clone_provider: Option<Box<Profile>>,
}

/// An oVirt engine.
#[derive(Debug, Clone, Default)]
pub struct OvirtProfile {
    /// Data center that clones are made in; none: that of the template.
    pub data_center: Option<String>,
}

/// A project of a cloud. A domain whose id is empty is found by its name.
#[derive(Debug, Clone, Default)]
pub struct OpenstackProfile {
    /// Domain of the user.
    pub user_domain_name: String,
    /// Id of the user's domain.
    pub user_domain_id: String,
    /// Project.
    pub project_name: String,
    /// Id of the project's domain.
    pub project_domain_id: String,
    /// Region; empty: any.
    pub region_name: String,
}

impl From<VsphereProfile> for Details {
    fn from(profile: VsphereProfile) -> Self {
        Self::Vsphere(Box::new(profile))
    }
}

impl Details {
    /// The kind.
    pub const fn kind(&self) -> ProviderKind {
        match self {
            Self::Vsphere(_) => ProviderKind::Vsphere,
            Self::Ovirt(_) => ProviderKind::Ovirt,
            Self::Openstack(_) => ProviderKind::Openstack,
            Self::Openshift => ProviderKind::Openshift,
            Self::Ova => ProviderKind::Ova,
        }
    }
}

impl Profile {
    /// A profile with nothing but a name and what its kind needs.
    pub fn new(name: impl Into<String>, details: Details) -> Self {
        Self {
            name: name.into(),
            api_url: String::new(),
            username: String::new(),
            password: Secret::new(""),
            insecure_skip_verify: false,
            allow_plain_http: false,
            ca_file: None,
            ca_pem: None,
            guest_linux: None,
            guest_windows: None,
            details,
        }
    }

    /// Kind of the source.
    pub const fn kind(&self) -> ProviderKind {
        self.details.kind()
    }

    /// What only vSphere has.
    pub fn vsphere(&self) -> Option<&VsphereProfile> {
        match &self.details {
            Details::Vsphere(vsphere) => Some(vsphere),
            _ => None,
        }
    }

    /// Copying by the storage array.
    pub fn copyoffload(&self) -> Option<&CopyOffload> {
        self.vsphere()?.copyoffload.as_ref()
    }

    /// The profile of the vCenter that clones, where `api_url` leads to an ESXi host.
    pub fn clone_provider(&self) -> Option<&Self> {
        self.vsphere()?.clone_provider.as_deref()
    }

    /// Whether the source is reached without TLS: passwords and tokens go out unencrypted.
    pub fn plain_http(&self) -> bool {
        let openstack = self.kind() == ProviderKind::Openstack;
        self.allow_plain_http && (openstack || self.api_url.trim_start().to_lowercase().starts_with("http://"))
    }

    /// The switch of mtv-api-tests for all sources wins over the profile's own, where it is set.
    pub fn override_tls(&mut self, settings: &Settings) {
        if let Some(skip) = settings.source_provider_insecure_skip_verify {
            self.insecure_skip_verify = skip;
        }
        if let Details::Vsphere(vsphere) = &mut self.details
            && let Some(cloner) = &mut vsphere.clone_provider
        {
            cloner.override_tls(settings);
        }
    }
}
