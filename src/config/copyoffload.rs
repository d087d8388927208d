//! Copying by the storage array: what a vSphere profile says about the array, its datastores and the ESXi host that copies.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::scenario::{Datastore, ScenarioVm};
use crate::secrets::{Secret, SecretValue};

/// Start of the environment variables that win over the profile: `COPYOFFLOAD_STORAGE_PASSWORD` over `storage_password`.
pub const ENV_PREFIX: &str = "COPYOFFLOAD_";

/// Storage arrays that Forklift can offload copies to, as its StorageMap spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StorageVendor {
    /// NetApp ONTAP.
    Ontap,
    /// Hitachi Vantara.
    Vantara,
    /// HPE Primera, 3PAR.
    Primera3par,
    /// Pure Storage FlashArray.
    #[serde(rename = "pureFlashArray")]
    PureFlashArray,
    /// Dell PowerFlex.
    Powerflex,
    /// Dell PowerMax.
    Powermax,
    /// Dell PowerStore.
    Powerstore,
    /// Infinidat InfiniBox.
    Infinibox,
    /// IBM FlashSystem.
    Flashsystem,
}

impl StorageVendor {
    /// All vendors, in the order in which they are listed.
    pub const ALL: &[Self] = &[
        Self::Ontap,
        Self::Vantara,
        Self::Primera3par,
        Self::PureFlashArray,
        Self::Powerflex,
        Self::Powermax,
        Self::Powerstore,
        Self::Infinibox,
        Self::Flashsystem,
    ];

    /// As Forklift spells it; upper and lower case count.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ontap => "ontap",
            Self::Vantara => "vantara",
            Self::Primera3par => "primera3par",
            Self::PureFlashArray => "pureFlashArray",
            Self::Powerflex => "powerflex",
            Self::Powermax => "powermax",
            Self::Powerstore => "powerstore",
            Self::Infinibox => "infinibox",
            Self::Flashsystem => "flashsystem",
        }
    }
}

impl fmt::Display for StorageVendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How MTV makes an ESXi host copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EsxiCloneMethod {
    /// By an extension that is installed on the host.
    #[default]
    Vib,
    /// Over SSH, with a key of MTV that is allowed there for the time of the run.
    Ssh,
}

impl EsxiCloneMethod {
    /// As `Provider.spec.settings.esxiCloneMethod` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vib => "vib",
            Self::Ssh => "ssh",
        }
    }
}

/// A key of the profile that becomes a key of the storage Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageField {
    /// In the profile; its variable is [`ENV_PREFIX`] with this in capitals.
    pub key: &'static str,
    /// In the Secret.
    pub secret_key: &'static str,
    /// Who needs it; none: everybody.
    pub vendor: Option<StorageVendor>,
    /// What it is, for people.
    pub what: &'static str,
}

/// Key of the token that a FlashArray takes in place of user and password.
pub const TOKEN: &str = "STORAGE_TOKEN";

/// Keys of the storage Secret that somebody needs, with the names that MTV's populator reads them by.
pub const STORAGE_FIELDS: &[StorageField] = {
    use StorageVendor::{Ontap, Powerflex, Powermax, PureFlashArray, Vantara};
    const fn field(key: &'static str, secret_key: &'static str, vendor: Option<StorageVendor>, what: &'static str) -> StorageField {
        StorageField { key, secret_key, vendor, what }
    }
    &[
        field("storage_hostname", "STORAGE_HOSTNAME", None, "address of the array's management API"),
        field("storage_username", "STORAGE_USERNAME", None, "user of the array"),
        field("storage_password", "STORAGE_PASSWORD", None, "password of the array's user"),
        field("ontap_svm", "ONTAP_SVM", Some(Ontap), "storage virtual machine"),
        field("vantara_storage_id", "STORAGE_ID", Some(Vantara), "serial number of the array"),
        field("vantara_storage_port", "STORAGE_PORT", Some(Vantara), "port of the array's management API"),
        field("vantara_hostgroup_id_list", "HOSTGROUP_ID_LIST", Some(Vantara), "host groups, such as `CL1-A,1:CL2-B,2`"),
        field("pure_cluster_prefix", "PURE_CLUSTER_PREFIX", Some(PureFlashArray), "`px_` and 8 characters of the Portworx cluster's UID"),
        field("powerflex_system_id", "POWERFLEX_SYSTEM_ID", Some(Powerflex), "id of the system"),
        field("powermax_symmetrix_id", "POWERMAX_SYMMETRIX_ID", Some(Powermax), "id of the array"),
    ]
};

/// Variable that wins over a key of the profile.
pub fn variable(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.to_uppercase())
}

/// How to get into the ESXi host that copies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Esxi {
    /// Its name in vCenter; clones are placed on it.
    pub host: Option<String>,
    /// User of its SSH server.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Address of its SSH server, with a port if that is not 22, where its name in vCenter is not the way.
    pub ssh_address: Option<String>,
    /// Its SSH host key: `SHA256:…`, or a line of `known_hosts`. Unset: the first key that it shows is taken, and reported.
    pub ssh_host_key: Option<String>,
}

/// The copy-offload section of a vSphere profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyOffload {
    /// The array's kind.
    pub vendor: Option<StorageVendor>,
    /// Datastore of clones, a managed object reference such as `datastore-12`.
    pub datastore_id: Option<String>,
    /// A second datastore on the same array.
    pub secondary_datastore_id: Option<String>,
    /// A datastore that the array cannot copy from.
    pub non_xcopy_datastore_id: Option<String>,
    /// Source in place of those that scenarios name.
    pub default_vm_name: Option<String>,
    /// LUN for raw device mappings, `naa.…`.
    pub rdm_lun_uuid: Option<String>,
    /// Resource pool of clones, by name.
    pub resource_pool: Option<String>,
    /// ESXi hosts that copy, in place of the VM's own: managed object references.
    pub dedicated_migration_hosts: Vec<String>,
    /// The storage Secret, as far as it is given.
    pub storage: BTreeMap<String, SecretValue>,
    /// How MTV makes an ESXi host copy.
    pub clone_method: EsxiCloneMethod,
    /// The ESXi host.
    pub esxi: Esxi,
}

/// A key that a `copyoffload` section lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingField {
    /// The key.
    pub key: &'static str,
    /// The environment variable that may give it instead.
    pub variable: Option<String>,
    /// What it is, for people.
    pub what: String,
}

impl MissingField {
    fn new(key: &'static str, variable: Option<String>, what: impl Into<String>) -> Self {
        Self { key, variable, what: what.into() }
    }

    /// The key, and the variable that may give it.
    pub fn name(&self) -> String {
        let variable = self.variable.as_ref().map(|variable| format!(" (or {variable})")).unwrap_or_default();
        format!("`{}`{variable}", self.key)
    }
}

impl std::fmt::Display for MissingField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name(), self.what)
    }
}

impl CopyOffload {
    /// What every scenario with copy-offload needs and neither profile nor environment gives; empty when it is complete.
    pub fn missing(&self) -> Vec<MissingField> {
        let mut missing = Vec::new();
        let absent = |value: &Option<String>| value.as_deref().is_none_or(|text| text.trim().is_empty());
        if self.vendor.is_none() {
            missing.push(MissingField::new("storage_vendor_product", None, "the array's kind"));
        }
        if absent(&self.datastore_id) {
            missing.push(MissingField::new("datastore_id", None, "datastore on the array, such as \"datastore-12\""));
        }
        let token = self.vendor == Some(StorageVendor::PureFlashArray) && self.storage.contains_key(TOKEN);
        for field in STORAGE_FIELDS {
            let needed = field.vendor.is_none_or(|vendor| Some(vendor) == self.vendor);
            let by_token = token && ["STORAGE_USERNAME", "STORAGE_PASSWORD"].contains(&field.secret_key);
            let given = self.storage.get(field.secret_key).is_some_and(|value| !value.expose().trim().is_empty());
            if needed && !by_token && !given {
                missing.push(MissingField::new(field.key, Some(variable(field.key)), field.what));
            }
        }
        if self.clone_method == EsxiCloneMethod::Ssh {
            let password = self.esxi.password.as_ref().is_none_or(Secret::is_empty);
            for (key, what, absent) in [
                ("esxi_host", "ESXi host that copies", absent(&self.esxi.host)),
                ("esxi_user", "user of its SSH server", absent(&self.esxi.user)),
                ("esxi_password", "password of that user", password),
            ] {
                if absent {
                    let what = format!("{what}, for `esxi_clone_method = \"ssh\"`");
                    missing.push(MissingField::new(key, Some(variable(key)), what));
                }
            }
        }
        missing
    }

    /// Name of the VM that is cloned for an entry of a scenario: the entry's own, or the one that stands in for it.
    pub fn source_name<'a>(&'a self, vm: &'a ScenarioVm) -> &'a str {
        self.default_vm_name.as_deref().filter(|_| vm.clone).unwrap_or(&vm.name)
    }

    /// Value of a key that only some scenarios need, by its name in the profile; see `Scenario::profile_fields`.
    pub fn field(&self, key: &str) -> Option<&str> {
        match key {
            "storage_vendor_product" => self.vendor.map(StorageVendor::name),
            "datastore_id" => self.datastore_id.as_deref(),
            "secondary_datastore_id" => self.secondary_datastore_id.as_deref(),
            "non_xcopy_datastore_id" => self.non_xcopy_datastore_id.as_deref(),
            "rdm_lun_uuid" => self.rdm_lun_uuid.as_deref(),
            _ => None,
        }
    }

    /// Id of a datastore that a scenario names; none if the profile does not have it.
    pub fn datastore<'a>(&'a self, wanted: &'a Datastore) -> Option<&'a str> {
        match wanted {
            Datastore::Id(id) => Some(id),
            Datastore::Secondary => self.secondary_datastore_id.as_deref(),
            Datastore::NonXcopy => self.non_xcopy_datastore_id.as_deref(),
        }
    }

    /// The datastores that a StorageMap of copy-offload names, each once: the first, then the second and the one without
    /// XCOPY where the profile has them.
    pub fn datastores(&self) -> Vec<&str> {
        [&self.datastore_id, &self.secondary_datastore_id, &self.non_xcopy_datastore_id].into_iter().filter_map(Option::as_deref).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(vendor: StorageVendor) -> CopyOffload {
        let plain = |field: &StorageField| (field.secret_key.to_owned(), SecretValue::Plain("x".into()));
        let storage = STORAGE_FIELDS.iter().filter(|f| f.vendor.is_none_or(|v| v == vendor)).map(plain).collect();
        CopyOffload { vendor: Some(vendor), datastore_id: Some("datastore-1".into()), storage, ..CopyOffload::default() }
    }

    #[test]
    fn each_vendor_misses_its_own_fields_and_no_others() {
        for vendor in StorageVendor::ALL {
            let full = complete(*vendor);
            assert_eq!(full.missing(), [], "{vendor}");
            for field in STORAGE_FIELDS.iter().filter(|f| f.vendor.is_none_or(|v| v == *vendor)) {
                let mut without = full.clone();
                without.storage.remove(field.secret_key);
                let missing = without.missing();
                assert_eq!(missing.len(), 1, "{vendor} without {}: {missing:?}", field.key);
                assert_eq!(
                    (missing[0].key, missing[0].variable.as_deref()),
                    (field.key, Some(variable(field.key).as_str())),
                    "{missing:?}"
                );
                let shown = missing[0].to_string();
                assert!(shown.contains(field.key) && shown.contains(&variable(field.key)), "{shown}");
            }
        }
    }

    #[test]
    fn a_token_stands_for_user_and_password_of_a_flash_array_only() {
        for (vendor, expected) in [(StorageVendor::PureFlashArray, 0), (StorageVendor::Ontap, 2)] {
            let mut offload = complete(vendor);
            offload.storage.remove("STORAGE_USERNAME");
            offload.storage.remove("STORAGE_PASSWORD");
            offload.storage.insert(TOKEN.into(), SecretValue::Secret(Secret::new("token-of-the-array")));
            assert_eq!(offload.missing().len(), expected, "{vendor}");
        }
    }

    #[test]
    fn ssh_needs_a_login() {
        let mut offload = CopyOffload { clone_method: EsxiCloneMethod::Ssh, ..complete(StorageVendor::Powerstore) };
        assert_eq!(offload.missing().len(), 3);
        offload.esxi =
            Esxi { host: Some("esxi-0".into()), user: Some("root".into()), password: Some(Secret::new("pw-of-esxi")), ..Esxi::default() };
        assert_eq!(offload.missing(), []);
    }

    #[test]
    fn vendors_read_as_the_storage_map_spells_them() {
        for vendor in StorageVendor::ALL {
            assert_eq!(serde_json::to_value(vendor).unwrap(), vendor.name());
        }
    }
}
