//! The keys of a profile: what they are, which kinds need them, and which kinds only know them.

use std::{ops::Range, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    config::{
        copyoffload_file::RawCopyOffload,
        profile::ProviderKind,
        read::{At, Kind, LATER, Refused},
    },
    secrets::Sealed,
};

/// A source of virtual machines. Each secret is given in exactly one of three ways: inline, by `…_env` (name of an environment
/// variable) or by `…_file` (path of a file; a newline at its end is cut off).
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Provider", extend("required" = ["type"]))]
pub(in crate::config) struct RawProfile {
    /// Kind of the source.
    #[serde(rename = "type")]
    #[schemars(with = "Option<ProviderKind>")]
    pub(super) kind: Option<At<String>>,
    /// Version of the source, as profiles of mtv-api-tests have it. Without effect.
    #[expect(dead_code, reason = "nothing is named after it; it stands here for the schema and the known keys")]
    pub(super) version: Option<At<String>>,
    /// Host name of the source, as profiles of mtv-api-tests have it. Without effect: `api_url` says it.
    #[expect(dead_code, reason = "`api_url` says it; it stands here for the schema and the known keys")]
    pub(super) fqdn: Option<At<String>>,
    /// URL of the API: `https://HOST/sdk` (vsphere), `https://HOST/ovirt-engine/api` (ovirt), `https://HOST:5000/v3` (openstack), `HOST:/PATH` of the NFS share (ova).
    pub(super) api_url: Option<At<String>>,
    /// User name.
    pub(super) username: Option<At<String>>,
    /// Password, inline. Keep the file readable by yourself only.
    pub(super) password: Option<At<Sealed>>,
    /// Environment variable that holds the password.
    pub(super) password_env: Option<At<String>>,
    /// File that holds the password.
    pub(super) password_file: Option<At<String>>,
    /// Leave TLS of this endpoint unverified, in mtv-test and in Forklift. Default: false.
    pub(super) insecure_skip_verify: Option<At<bool>>,
    /// Reach this endpoint without TLS where its URL is `http://`: passwords and tokens are then sent unencrypted. Default: false.
    pub(super) allow_plain_http: Option<At<bool>>,
    /// PEM file of certificates to trust for this endpoint beside the system's; relative to this file.
    pub(super) ca_file: Option<At<PathBuf>>,
    /// PEM certificates to trust for this endpoint beside the system's, inline.
    pub(super) ca_pem: Option<At<String>>,
    /// Image with the VDDK, `spec.settings.vddkInitImage` of the Provider (vsphere).
    pub(super) vddk_init_image: Option<At<String>>,
    /// What `api_url` leads to: `vcenter` (the default) or `esxi` (vsphere).
    #[schemars(with = "Option<EndpointType>")]
    pub(super) endpoint_type: Option<At<String>>,
    /// Name of the profile of the vCenter that clones for an ESXi host (vsphere, with `endpoint_type = "esxi"`).
    pub(super) clone_provider: Option<At<String>>,
    /// User of Linux guests.
    pub(super) guest_vm_linux_user: Option<At<String>>,
    /// Password of Linux guests, inline.
    pub(super) guest_vm_linux_password: Option<At<Sealed>>,
    /// Environment variable that holds the password of Linux guests.
    pub(super) guest_vm_linux_password_env: Option<At<String>>,
    /// File that holds the password of Linux guests.
    pub(super) guest_vm_linux_password_file: Option<At<String>>,
    /// User of Windows guests.
    pub(super) guest_vm_win_user: Option<At<String>>,
    /// Password of Windows guests, inline.
    pub(super) guest_vm_win_password: Option<At<Sealed>>,
    /// Environment variable that holds the password of Windows guests.
    pub(super) guest_vm_win_password_env: Option<At<String>>,
    /// File that holds the password of Windows guests.
    pub(super) guest_vm_win_password_file: Option<At<String>>,
    /// Data center that clones are made in (ovirt). Default: that of the template.
    pub(super) data_center: Option<At<String>>,
    /// Domain of the user (openstack).
    pub(super) user_domain_name: Option<At<String>>,
    /// Region (openstack).
    pub(super) region_name: Option<At<String>>,
    /// Project (openstack).
    pub(super) project_name: Option<At<String>>,
    /// Id of the user's domain (openstack).
    pub(super) user_domain_id: Option<At<String>>,
    /// Id of the project's domain (openstack).
    pub(super) project_domain_id: Option<At<String>>,
    /// URL of the SMB share with the disks (hyperv).
    pub(super) smb_url: Option<At<String>>,
    /// User of the SMB share (hyperv).
    pub(super) smb_user: Option<At<String>>,
    /// Password of the SMB share (hyperv), inline.
    pub(super) smb_password: Option<At<Sealed>>,
    /// Environment variable that holds the password of the SMB share (hyperv).
    pub(super) smb_password_env: Option<At<String>>,
    /// File that holds the password of the SMB share (hyperv).
    pub(super) smb_password_file: Option<At<String>>,
    /// Copying by the storage array (vsphere).
    #[expect(dead_code, reason = "read on its own, so that all its mistakes are told; it stands here for the schema and the known keys")]
    pub(super) copyoffload: Option<RawCopyOffload>,
}

/// What the SDK URL of a vSphere source leads to, as Forklift spells it in `spec.settings.sdkEndpoint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum EndpointType {
    /// A vCenter.
    Vcenter,
    /// An ESXi host.
    Esxi,
}

pub(super) const PROFILE: Kind = Kind { noun: "a provider profile", refused: REFUSED };

/// Keys of mtv-api-tests' `.providers.json` that have no meaning here, or not yet.
const REFUSED: &[Refused] = &[
    ("ca_bundle", "write `ca_file = \"PATH\"`"),
    ("host", "write `api_url`"),
    ("luks_passphrase", LATER),
    ("storage_class", "it is a run setting: `--storage-class`, or `storage_class` in mtv-test.toml"),
    ("verify_ssl", "write `insecure_skip_verify`, which means the opposite"),
];

/// A key of which some kinds need a value: name, kinds, what it is for.
pub(super) type Need = (&'static str, &'static [ProviderKind], &'static str);

/// Keys that must have a value. A local OpenShift source uses the cluster's own login, so it needs none.
pub(super) const NEEDS: &[Need] = {
    use ProviderKind::{Hyperv, Openstack, Ova, Ovirt, Vsphere};
    &[
        ("api_url", &[Vsphere, Ovirt, Openstack, Ova, Hyperv], "URL of the source's API"),
        ("username", &[Vsphere, Ovirt, Openstack, Hyperv], "user that clones and migrates VMs"),
        ("password", &[Vsphere, Ovirt, Openstack, Hyperv], "its password: `password`, `password_env` or `password_file`"),
        ("user_domain_name", &[Openstack], "domain of the user"),
        ("region_name", &[Openstack], "region of the source VMs"),
        ("project_name", &[Openstack], "project of the source VMs"),
        ("user_domain_id", &[Openstack], "id of the user's domain"),
        ("project_domain_id", &[Openstack], "id of the project's domain"),
        ("smb_url", &[Hyperv], "URL of the SMB share with the disks"),
    ]
};

/// Keys that only some kinds know.
pub(super) const ONLY: &[(&str, &[ProviderKind])] = &[
    ("vddk_init_image", &[ProviderKind::Vsphere]),
    ("endpoint_type", &[ProviderKind::Vsphere]),
    ("clone_provider", &[ProviderKind::Vsphere]),
    ("data_center", &[ProviderKind::Ovirt]),
    ("user_domain_name", &[ProviderKind::Openstack]),
    ("region_name", &[ProviderKind::Openstack]),
    ("project_name", &[ProviderKind::Openstack]),
    ("user_domain_id", &[ProviderKind::Openstack]),
    ("project_domain_id", &[ProviderKind::Openstack]),
    ("smb_url", &[ProviderKind::Hyperv]),
    ("smb_user", &[ProviderKind::Hyperv]),
    ("smb_password", &[ProviderKind::Hyperv]),
    ("smb_password_env", &[ProviderKind::Hyperv]),
    ("smb_password_file", &[ProviderKind::Hyperv]),
];

/// A key that stands in the file: where, and whether it holds nothing but blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) span: Range<usize>,
    pub(super) blank: bool,
}

impl RawProfile {
    /// A key that only some kinds have or need, if it is there. A secret is there in whichever way it is given.
    pub(super) fn given(&self, key: &str) -> Option<Given> {
        let text = |found: &Option<At<String>>| found.as_ref().map(|at| Given { span: at.span.clone(), blank: at.value.trim().is_empty() });
        let secret = |found: &Option<At<Sealed>>| found.as_ref().map(|at| Given { span: at.span.clone(), blank: at.value.is_blank() });
        match key {
            "api_url" => text(&self.api_url),
            "username" => text(&self.username),
            "password" => secret(&self.password).or_else(|| text(&self.password_env)).or_else(|| text(&self.password_file)),
            "vddk_init_image" => text(&self.vddk_init_image),
            "endpoint_type" => text(&self.endpoint_type),
            "clone_provider" => text(&self.clone_provider),
            "data_center" => text(&self.data_center),
            "user_domain_name" => text(&self.user_domain_name),
            "region_name" => text(&self.region_name),
            "project_name" => text(&self.project_name),
            "user_domain_id" => text(&self.user_domain_id),
            "project_domain_id" => text(&self.project_domain_id),
            "smb_url" => text(&self.smb_url),
            "smb_user" => text(&self.smb_user),
            "smb_password" => secret(&self.smb_password),
            "smb_password_env" => text(&self.smb_password_env),
            "smb_password_file" => text(&self.smb_password_file),
            _ => None,
        }
    }
}
