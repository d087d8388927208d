//! The `copyoffload` table of a profile: read with its mistakes, and completed from the environment when the profile is selected.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::{
    copyoffload::{CopyOffload, ENV_PREFIX, Esxi, EsxiCloneMethod, MissingField, STORAGE_FIELDS, StorageVendor, TOKEN, variable},
    diagnostics::{Problem, Problems, Source},
    profile_file::{Env, Secrets},
    read::{self, At, Kind},
};
use crate::{
    guest::{HOST_KEY_FORMS, parse_host_key},
    secrets::{Sealed, Secret, SecretValue},
};

/// Copying by the storage array. Variables `COPYOFFLOAD_…` win over the keys of storage and ESXi: `COPYOFFLOAD_STORAGE_PASSWORD`
/// over `storage_password`.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CopyOffload")]
pub(super) struct RawCopyOffload {
    /// Kind of the storage array.
    #[schemars(with = "Option<StorageVendor>")]
    storage_vendor_product: Option<At<String>>,
    /// Datastore of the clones, on the array: its managed object reference, such as "datastore-12".
    datastore_id: Option<At<String>>,
    /// A second datastore on the same array, for scenarios with two.
    secondary_datastore_id: Option<At<String>>,
    /// A datastore that the array cannot copy from, for scenarios that fall back to copying over the network.
    non_xcopy_datastore_id: Option<At<String>>,
    /// VM or template to clone in place of those that scenarios name.
    default_vm_name: Option<At<String>>,
    /// Address of the array's management API.
    storage_hostname: Option<At<String>>,
    /// User of the array.
    storage_username: Option<At<String>>,
    /// Password of the array's user, inline.
    storage_password: Option<At<Sealed>>,
    /// Environment variable that holds the password of the array's user.
    storage_password_env: Option<At<String>>,
    /// File that holds the password of the array's user.
    storage_password_file: Option<At<String>>,
    /// Token of the array in place of user and password (pureFlashArray), inline.
    storage_token: Option<At<Sealed>>,
    /// Environment variable that holds the array's token.
    storage_token_env: Option<At<String>>,
    /// File that holds the array's token.
    storage_token_file: Option<At<String>>,
    /// Leave TLS of the array unverified, in MTV. Default: false.
    storage_skip_ssl_verification: Option<At<bool>>,
    /// Further keys of the storage Secret. `COPYOFFLOAD_STORAGE_SECRET_EXTRA`, a JSON object, adds to them and wins.
    #[expect(dead_code, reason = "read on its own, so that all its mistakes are told; it stands here for the schema and the known keys")]
    storage_secret_extra: Option<BTreeMap<String, RawExtra>>,
    /// Storage virtual machine (ontap).
    ontap_svm: Option<At<String>>,
    /// Serial number of the array (vantara).
    vantara_storage_id: Option<At<String>>,
    /// Port of the array's management API (vantara).
    vantara_storage_port: Option<At<String>>,
    /// Host groups, such as "CL1-A,1:CL2-B,2" (vantara).
    vantara_hostgroup_id_list: Option<At<String>>,
    /// `px_` and the first 8 characters of the Portworx cluster's UID (pureFlashArray).
    pure_cluster_prefix: Option<At<String>>,
    /// Id of the system (powerflex).
    powerflex_system_id: Option<At<String>>,
    /// Id of the array (powermax).
    powermax_symmetrix_id: Option<At<String>>,
    /// How MTV makes an ESXi host copy: by an installed extension, or over SSH. Default: vib.
    #[schemars(with = "Option<EsxiCloneMethod>")]
    esxi_clone_method: Option<At<String>>,
    /// ESXi host that copies, by its name in vCenter. Clones are placed on it.
    esxi_host: Option<At<String>>,
    /// User of the ESXi host's SSH server.
    esxi_user: Option<At<String>>,
    /// Password of the ESXi host's user, inline.
    esxi_password: Option<At<Sealed>>,
    /// Environment variable that holds the password of the ESXi host's user.
    esxi_password_env: Option<At<String>>,
    /// File that holds the password of the ESXi host's user.
    esxi_password_file: Option<At<String>>,
    /// Address of the ESXi host's SSH server, `HOST` or `HOST:PORT`. Default: `esxi_host`, port 22.
    esxi_ssh_address: Option<At<String>>,
    /// SSH key that the ESXi host must have: its fingerprint `SHA256:…` as `ssh-keygen -lf` prints it, or the line that
    /// `ssh-keyscan HOST` prints. Default: the first key that the host shows is taken for the run, and reported.
    esxi_ssh_host_key: Option<At<String>>,
    /// LUN that scenarios map raw into a VM, `naa.…`. Nothing else may use it.
    rdm_lun_uuid: Option<At<String>>,
    /// Resource pool of the clones, by name. Default: that of the source VM, or of its host's cluster.
    resource_pool: Option<At<String>>,
    /// ESXi hosts that copy in place of the VM's own: managed object references.
    dedicated_migration_hosts: Option<Vec<At<String>>>,
}

/// Value of a further key of the storage Secret.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "StorageSecretValue")]
#[expect(dead_code, reason = "values are read one by one, so that all their mistakes are told; this is for the schema")]
enum RawExtra {
    /// A text.
    Text(String),
    /// "true" or "false".
    Switch(bool),
    /// A whole number.
    Number(i64),
}

const KIND: Kind = Kind { noun: "`copyoffload`", refused: &[] };

/// The table as it stands in its file.
#[derive(Debug, Clone)]
pub(super) struct Given {
    raw: RawCopyOffload,
    vendor: Option<StorageVendor>,
    method: EsxiCloneMethod,
    extra: BTreeMap<String, SecretValue>,
}

impl RawCopyOffload {
    /// Texts of storage fields by key.
    fn field(&self, key: &str) -> Option<&At<String>> {
        match key {
            "storage_hostname" => self.storage_hostname.as_ref(),
            "storage_username" => self.storage_username.as_ref(),
            "ontap_svm" => self.ontap_svm.as_ref(),
            "vantara_storage_id" => self.vantara_storage_id.as_ref(),
            "vantara_storage_port" => self.vantara_storage_port.as_ref(),
            "vantara_hostgroup_id_list" => self.vantara_hostgroup_id_list.as_ref(),
            "pure_cluster_prefix" => self.pure_cluster_prefix.as_ref(),
            "powerflex_system_id" => self.powerflex_system_id.as_ref(),
            "powermax_symmetrix_id" => self.powermax_symmetrix_id.as_ref(),
            _ => None,
        }
    }
}

/// Reads the table; what is missing is asked for only when a scenario needs it.
pub(super) fn read(source: &Arc<Source>, mut table: At<DeTable<'_>>, problems: &mut Problems) -> Given {
    let extra = read::take_table(source, &mut table.value, "storage_secret_extra", problems);
    let extra = extra.map(|extra| extra_keys(source, &extra.value, problems)).unwrap_or_default();
    let raw: RawCopyOffload = read::fill(source, table.value, &table.span, KIND, problems);
    let vendors: Vec<(&str, StorageVendor)> = StorageVendor::ALL.iter().map(|v| (v.name(), *v)).collect();
    let vendor = raw
        .storage_vendor_product
        .as_ref()
        .filter(|found| !found.value.trim().is_empty())
        .and_then(|found| read::one_of(source, "storage_vendor_product", found, &vendors, problems));
    let methods = [EsxiCloneMethod::Vib, EsxiCloneMethod::Ssh].map(|method| (method.name(), method));
    let method = raw.esxi_clone_method.as_ref().and_then(|found| read::one_of(source, "esxi_clone_method", found, &methods, problems));
    let given = Given { raw, vendor, method: method.unwrap_or_default(), extra };
    given.check(source, problems);
    given
}

fn extra_keys(source: &Arc<Source>, table: &DeTable<'_>, problems: &mut Problems) -> BTreeMap<String, SecretValue> {
    let mut extra = BTreeMap::new();
    for (key, value) in table {
        let name = key.get_ref().to_string();
        if let Err(why) = secret_key(&name) {
            problems.push(Problem::error(format!("`{name}` is no key of a Secret")).at(source, key.span(), "").help(why));
            continue;
        }
        let value = match value.get_ref() {
            DeValue::String(text) => text_value(text),
            DeValue::Boolean(on) => Some(SecretValue::Plain(on.to_string())),
            DeValue::Integer(number) => Some(SecretValue::Plain(number.as_str().to_owned())),
            other => {
                let problem = read::wrong_kind(source, value.span(), &name, "a text, a number or true and false", other);
                problems.push(problem.help("values of a Secret are texts"));
                None
            }
        };
        extra.extend(value.map(|value| (name, value)));
    }
    extra
}

/// Empty ones are left out, as mtv-api-tests does.
fn text_value(text: &str) -> Option<SecretValue> {
    (!text.trim().is_empty()).then(|| SecretValue::Secret(Secret::new(text)))
}

/// What Kubernetes allows as a key of a Secret.
fn secret_key(name: &str) -> Result<(), &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    if name.is_empty() || name.len() > 253 || !name.chars().all(allowed) {
        return Err("use letters, digits, `_`, `-` and `.`, for example `STORAGE_HTTP_TIMEOUT_SECONDS`");
    }
    Ok(())
}

/// What is wrong with the value of a key, wherever it came from.
fn wrong_value(key: &str, value: &str) -> Option<&'static str> {
    let digits = |text: &str, least: usize| text.len() >= least && text.chars().all(|c| c.is_ascii_hexdigit());
    match key {
        "rdm_lun_uuid" if !value.strip_prefix("naa.").is_some_and(|rest| digits(rest, 16)) => Some(
            "write the LUN's canonical name, `naa.` and at least 16 hexadecimal digits, as `esxcli storage core device list` prints it",
        ),
        "pure_cluster_prefix" if value.strip_prefix("px_").is_none_or(|rest| rest.chars().count() != 8) => {
            Some("write `px_` and the first 8 characters of the Portworx cluster's UID (`status.clusterUid` of the StorageCluster)")
        }
        "vantara_storage_port" if value.parse::<u16>().ok().is_none_or(|port| port == 0) => Some("write a port number from 1 to 65535"),
        "vantara_hostgroup_id_list" if !value.split(':').all(is_host_group) => {
            Some("write `PORT,NUMBER` for each host group, with `:` between them, for example `CL1-A,1:CL2-B,2`")
        }
        "esxi_ssh_host_key" if parse_host_key(value).is_none() => Some(HOST_KEY_FORMS),
        "datastore_id" | "secondary_datastore_id" | "non_xcopy_datastore_id" | "dedicated_migration_hosts"
            if value.trim().is_empty() || value.chars().any(char::is_whitespace) =>
        {
            Some("write a managed object reference, such as `datastore-12` or `host-34`, not a name")
        }
        _ => None,
    }
}

fn is_host_group(entry: &str) -> bool {
    entry.split_once(',').is_some_and(|(port, number)| !port.trim().is_empty() && number.trim().parse::<u32>().is_ok())
}

impl Given {
    /// Values that can be no good for anybody.
    fn check(&self, source: &Arc<Source>, problems: &mut Problems) {
        let raw = &self.raw;
        let own = [
            ("rdm_lun_uuid", &raw.rdm_lun_uuid),
            ("datastore_id", &raw.datastore_id),
            ("secondary_datastore_id", &raw.secondary_datastore_id),
            ("non_xcopy_datastore_id", &raw.non_xcopy_datastore_id),
            ("esxi_ssh_host_key", &raw.esxi_ssh_host_key),
        ];
        let own = own.into_iter().filter_map(|(key, found)| Some((key, found.as_ref()?)));
        let fields = STORAGE_FIELDS.iter().filter_map(|field| Some((field.key, raw.field(field.key)?)));
        let hosts = raw.dedicated_migration_hosts.iter().flatten().map(|host| ("dedicated_migration_hosts", host));
        for (key, found) in own.chain(fields.filter(|(_, found)| !found.value.is_empty())).chain(hosts) {
            if let Some(help) = wrong_value(key, &found.value) {
                let title = format!("`{}` is no value of `{key}`", found.value);
                problems.push(Problem::error(title).at(source, found.span.clone(), "").help(help));
            }
        }
        self.check_datastores(source, problems);
        let Some(vendor) = self.vendor else { return };
        for field in STORAGE_FIELDS.iter().filter(|field| field.vendor.is_some_and(|owner| owner != vendor)) {
            if let (Some(found), Some(owner)) = (raw.field(field.key), field.vendor) {
                problems.push(
                    Problem::warning(format!("`{}` has no meaning for {vendor}", field.key))
                        .at(source, found.span.clone(), format!("for {owner} only"))
                        .help("remove the key, or correct `storage_vendor_product`"),
                );
            }
        }
    }

    /// Datastores play different parts, so they must differ; and the first one is the base of the others.
    fn check_datastores(&self, source: &Arc<Source>, problems: &mut Problems) {
        let raw = &self.raw;
        let parts = [
            ("datastore_id", &raw.datastore_id),
            ("secondary_datastore_id", &raw.secondary_datastore_id),
            ("non_xcopy_datastore_id", &raw.non_xcopy_datastore_id),
        ];
        for (index, (key, found)) in parts.iter().enumerate() {
            let Some(found) = found else { continue };
            for (other, earlier) in &parts[..index] {
                if let Some(earlier) = earlier.as_ref().filter(|earlier| earlier.value == found.value) {
                    problems.push(
                        Problem::error(format!("`{key}` and `{other}` are the same datastore"))
                            .at(source, found.span.clone(), "")
                            .also(source, earlier.span.clone(), "the same")
                            .help(format!("name another datastore, or remove `{key}`")),
                    );
                }
            }
            if index > 0 && raw.datastore_id.is_none() {
                problems.push(
                    Problem::error(format!("`{key}` needs `datastore_id`"))
                        .at(source, found.span.clone(), "")
                        .help("add `datastore_id`: the datastore on the array that clones are placed on"),
                );
            }
        }
    }

    /// Whether a field of [`CopyOffload::missing`] is a secret that the table does name, but that could not be fetched.
    pub(super) fn names_secret_of(&self, field: &MissingField) -> bool {
        let raw = &self.raw;
        let given = [
            (
                "storage_password",
                raw.storage_password.is_some() || raw.storage_password_env.is_some() || raw.storage_password_file.is_some(),
            ),
            ("esxi_password", raw.esxi_password.is_some() || raw.esxi_password_env.is_some() || raw.esxi_password_file.is_some()),
        ];
        given.into_iter().any(|(key, given)| given && field.key == key)
    }

    /// The section with its secrets, completed from the environment.
    pub(super) fn select(&self, env: Env<'_>, secrets: &mut Secrets<'_>) -> CopyOffload {
        let raw = &self.raw;
        for key in FILE_ONLY.iter().filter(|key| env(&variable(key)).is_some_and(|value| !value.trim().is_empty())) {
            secrets
                .problems
                .push(Problem::warning(format!("environment variable {} has no effect", variable(key))).help(format!(
                    "write `{key}` into the profile: variables win for logins, fields of the vendor and the ESXi host only"
                )));
        }
        // An empty variable counts as unset, as in mtv-api-tests.
        let given = |key: &str| env(&variable(key)).filter(|value| !value.trim().is_empty());
        let text = |found: &Option<At<String>>| found.as_ref().map(|found| found.value.clone()).filter(|text| !text.trim().is_empty());
        // What the environment gives need not be fetched from anywhere else, and may be missing there.
        let mut secret = |key: &str, inline: &_, variable: &_, file: &_| match given(key) {
            Some(value) => Some(Secret::new(value)),
            None => secrets.one(key, inline, variable, file),
        };
        let password = secret("storage_password", &raw.storage_password, &raw.storage_password_env, &raw.storage_password_file);
        let token = secret("storage_token", &raw.storage_token, &raw.storage_token_env, &raw.storage_token_file);
        let esxi_password = secret("esxi_password", &raw.esxi_password, &raw.esxi_password_env, &raw.esxi_password_file);
        let mut storage = BTreeMap::new();
        for field in STORAGE_FIELDS.iter().filter(|f| f.vendor.is_none() || f.vendor == self.vendor) {
            let from_env = given(field.key);
            if let Some(help) = from_env.as_deref().and_then(|value| wrong_value(field.key, value)) {
                let title = format!("environment variable {} holds no value of `{}`", variable(field.key), field.key);
                secrets.problems.push(Problem::error(title).help(help));
            }
            let value = from_env.or_else(|| raw.field(field.key).map(|found| found.value.clone()));
            storage.extend(value.filter(|v| !v.trim().is_empty()).map(|v| (field.secret_key.to_owned(), SecretValue::Plain(v))));
        }
        storage.extend(password.map(|password| ("STORAGE_PASSWORD".to_owned(), SecretValue::Secret(password))));
        storage.extend(token.map(|token| (TOKEN.to_owned(), SecretValue::Secret(token))));
        let skip = given("storage_skip_ssl_verification").map(|text| matches!(text.to_lowercase().as_str(), "true" | "1" | "yes"));
        if let Some(skip) = skip.or_else(|| raw.storage_skip_ssl_verification.as_ref().map(|skip| skip.value)) {
            storage.insert("STORAGE_SKIP_SSL_VERIFICATION".to_owned(), SecretValue::Plain(skip.to_string()));
        }
        // In this order, the last one wins: fields, the file's further keys, those of the environment.
        storage.extend(self.extra.clone());
        storage.extend(extra_of_environment(env, secrets.problems));
        CopyOffload {
            vendor: self.vendor,
            datastore_id: text(&raw.datastore_id),
            secondary_datastore_id: text(&raw.secondary_datastore_id),
            non_xcopy_datastore_id: text(&raw.non_xcopy_datastore_id),
            default_vm_name: text(&raw.default_vm_name),
            rdm_lun_uuid: text(&raw.rdm_lun_uuid),
            resource_pool: text(&raw.resource_pool),
            dedicated_migration_hosts: raw.dedicated_migration_hosts.iter().flatten().map(|host| host.value.clone()).collect(),
            storage,
            clone_method: self.method,
            esxi: Esxi {
                host: given("esxi_host").or_else(|| text(&raw.esxi_host)),
                user: given("esxi_user").or_else(|| text(&raw.esxi_user)),
                password: esxi_password,
                ssh_address: given("esxi_ssh_address").or_else(|| text(&raw.esxi_ssh_address)),
                ssh_host_key: given("esxi_ssh_host_key").or_else(|| text(&raw.esxi_ssh_host_key)),
            },
        }
    }
}

/// Keys that have no variable, as in mtv-api-tests: what belongs to the array and its datastores, and not to a login.
const FILE_ONLY: &[&str] = &[
    "storage_vendor_product",
    "datastore_id",
    "secondary_datastore_id",
    "non_xcopy_datastore_id",
    "default_vm_name",
    "rdm_lun_uuid",
    "resource_pool",
    "dedicated_migration_hosts",
    "esxi_clone_method",
];

/// `COPYOFFLOAD_STORAGE_SECRET_EXTRA`: a JSON object of texts, numbers and switches. It may hold secrets and is never shown.
fn extra_of_environment(env: Env<'_>, problems: &mut Problems) -> BTreeMap<String, SecretValue> {
    let name = format!("{ENV_PREFIX}STORAGE_SECRET_EXTRA");
    let Some(text) = env(&name).filter(|text| !text.trim().is_empty()) else { return BTreeMap::new() };
    let wrong = |what: String| {
        Problem::error(format!("environment variable {name} {what}"))
            .help("write a JSON object, for example {\"STORAGE_HTTP_TIMEOUT_SECONDS\": \"60\"}")
    };
    let entries = match serde_json::from_str(&text) {
        Ok(serde_json::Value::Object(entries)) => entries,
        Ok(_) => {
            problems.push(wrong("is no JSON object".to_owned()));
            return BTreeMap::new();
        }
        Err(error) => {
            problems.push(wrong(format!("is not valid JSON (column {})", error.column())));
            return BTreeMap::new();
        }
    };
    let mut extra = BTreeMap::new();
    for (key, value) in entries {
        if secret_key(&key).is_err() {
            problems.push(wrong(format!("has a key that a Secret cannot have: `{key}`")));
            continue;
        }
        let value = match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => text_value(&text),
            serde_json::Value::Bool(on) => Some(SecretValue::Plain(on.to_string())),
            serde_json::Value::Number(number) => Some(SecretValue::Plain(number.to_string())),
            _ => {
                problems.push(wrong(format!("has a value that is no text, number or switch: that of `{key}`")));
                None
            }
        };
        extra.extend(value.map(|value| (key, value)));
    }
    extra
}
