//! Provider profiles: `[provider.NAME]` tables. A file may hold many; only the selected one has to be complete.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::{
    blot::{Show, blot},
    copyoffload_file::{self, Given, RawCopyOffload},
    diagnostics::{Problem, Problems, Source},
    profile::{GuestLogin, Profile, ProviderKind},
    read::{self, At, Kind, LATER, Refused},
};
use crate::secrets::{MASK, Secret};

/// A source of virtual machines. Each secret is given in exactly one of three ways: inline, by `…_env` (name of an environment
/// variable) or by `…_file` (path of a file; a newline at its end is cut off).
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Provider", extend("required" = ["type"]))]
pub(super) struct RawProfile {
    /// Kind of the source.
    #[serde(rename = "type")]
    #[schemars(with = "Option<ProviderKind>")]
    kind: Option<At<String>>,
    /// Version of the source, used in names only.
    version: Option<At<String>>,
    /// Host name of the source. Default: the host of `api_url`.
    fqdn: Option<At<String>>,
    /// URL of the API: `https://HOST/sdk` (vsphere), `https://HOST/ovirt-engine/api` (ovirt), `https://HOST:5000/v3` (openstack), `HOST:/PATH` of the NFS share (ova).
    api_url: Option<At<String>>,
    /// User name.
    username: Option<At<String>>,
    /// Password, inline. Keep the file readable by yourself only.
    password: Option<At<String>>,
    /// Environment variable that holds the password.
    password_env: Option<At<String>>,
    /// File that holds the password.
    password_file: Option<At<String>>,
    /// Leave TLS of this endpoint unverified, in mtv-test and in Forklift. Default: false.
    insecure_skip_verify: Option<At<bool>>,
    /// PEM file of certificates to trust for this endpoint beside the system's; relative to this file.
    ca_file: Option<At<PathBuf>>,
    /// PEM certificates to trust for this endpoint beside the system's, inline.
    ca_pem: Option<At<String>>,
    /// Image with the VDDK, `spec.settings.vddkInitImage` of the Provider (vsphere).
    vddk_init_image: Option<At<String>>,
    /// What `api_url` leads to: `vcenter` (the default) or `esxi` (vsphere).
    #[schemars(with = "Option<EndpointType>")]
    endpoint_type: Option<At<String>>,
    /// Name of the profile of the vCenter that clones for an ESXi host (vsphere, with `endpoint_type = "esxi"`).
    clone_provider: Option<At<String>>,
    /// User of Linux guests.
    guest_vm_linux_user: Option<At<String>>,
    /// Password of Linux guests, inline.
    guest_vm_linux_password: Option<At<String>>,
    /// Environment variable that holds the password of Linux guests.
    guest_vm_linux_password_env: Option<At<String>>,
    /// File that holds the password of Linux guests.
    guest_vm_linux_password_file: Option<At<String>>,
    /// User of Windows guests.
    guest_vm_win_user: Option<At<String>>,
    /// Password of Windows guests, inline.
    guest_vm_win_password: Option<At<String>>,
    /// Environment variable that holds the password of Windows guests.
    guest_vm_win_password_env: Option<At<String>>,
    /// File that holds the password of Windows guests.
    guest_vm_win_password_file: Option<At<String>>,
    /// Data center that clones are made in (ovirt). Default: that of the template.
    data_center: Option<At<String>>,
    /// Domain of the user (openstack).
    user_domain_name: Option<At<String>>,
    /// Region (openstack).
    region_name: Option<At<String>>,
    /// Project (openstack).
    project_name: Option<At<String>>,
    /// Id of the user's domain (openstack).
    user_domain_id: Option<At<String>>,
    /// Id of the project's domain (openstack).
    project_domain_id: Option<At<String>>,
    /// URL of the SMB share with the disks (hyperv).
    smb_url: Option<At<String>>,
    /// User of the SMB share (hyperv).
    smb_user: Option<At<String>>,
    /// Password of the SMB share (hyperv), inline.
    smb_password: Option<At<String>>,
    /// Environment variable that holds the password of the SMB share (hyperv).
    smb_password_env: Option<At<String>>,
    /// File that holds the password of the SMB share (hyperv).
    smb_password_file: Option<At<String>>,
    /// Copying by the storage array (vsphere).
    #[expect(dead_code, reason = "read on its own, so that all its mistakes are told; it stands here for the schema and the known keys")]
    copyoffload: Option<RawCopyOffload>,
}

/// What the SDK URL of a vSphere source leads to, as Forklift spells it in `spec.settings.sdkEndpoint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum EndpointType {
    /// A vCenter.
    Vcenter,
    /// An ESXi host.
    Esxi,
}

const PROFILE: Kind = Kind { noun: "a provider profile", refused: REFUSED };

/// Keys of mtv-api-tests' `.providers.json` that have no meaning here, or not yet.
const REFUSED: &[Refused] = &[
    ("ca_bundle", "write `ca_file = \"PATH\"`"),
    ("host", "write `api_url`"),
    ("luks_passphrase", LATER),
    ("storage_class", "it is a run setting: `--storage-class`, or `storage_class` in mtv-test.toml"),
    ("verify_ssl", "write `insecure_skip_verify`, which means the opposite"),
];

/// A key of which some kinds need a value: name, kinds, what it is for.
type Need = (&'static str, &'static [ProviderKind], &'static str);

/// Keys that must have a value. A local OpenShift source uses the cluster's own login, so it needs none.
const NEEDS: &[Need] = {
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
const ONLY: &[(&str, &[ProviderKind])] = &[
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

impl RawProfile {
    /// Texts by key; secrets only by whether they are there.
    fn text(&self, key: &str) -> Option<&At<String>> {
        match key {
            "api_url" => self.api_url.as_ref(),
            "username" => self.username.as_ref(),
            "password" => self.password.as_ref().or(self.password_env.as_ref()).or(self.password_file.as_ref()),
            "vddk_init_image" => self.vddk_init_image.as_ref(),
            "endpoint_type" => self.endpoint_type.as_ref(),
            "clone_provider" => self.clone_provider.as_ref(),
            "data_center" => self.data_center.as_ref(),
            "user_domain_name" => self.user_domain_name.as_ref(),
            "region_name" => self.region_name.as_ref(),
            "project_name" => self.project_name.as_ref(),
            "user_domain_id" => self.user_domain_id.as_ref(),
            "project_domain_id" => self.project_domain_id.as_ref(),
            "smb_url" => self.smb_url.as_ref(),
            "smb_user" => self.smb_user.as_ref(),
            "smb_password" => self.smb_password.as_ref(),
            "smb_password_env" => self.smb_password_env.as_ref(),
            "smb_password_file" => self.smb_password_file.as_ref(),
            _ => None,
        }
    }
}

/// Environment variables, as the tool or a test gives them.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A profile as it stands in its file: nothing is required yet and no secret has been fetched.
#[derive(Debug)]
struct Entry {
    name: At<String>,
    kind: Option<ProviderKind>,
    raw: RawProfile,
    /// Its `copyoffload` table.
    offload: Option<Given>,
    /// Whether its URL leads to an ESXi host.
    esxi: bool,
    /// Keys as they stand in the file, without secrets.
    shown: Vec<ShownKey>,
    /// What is wrong with this table.
    problems: Problems,
}

/// A key of a profile as `mtv-test config` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownKey {
    /// Name.
    pub key: String,
    /// Value; [`MASK`] for whatever can be a secret.
    pub value: String,
    /// Line from 1.
    pub line: usize,
}

/// A file of provider profiles.
#[derive(Debug)]
pub struct ProfileFile {
    path: PathBuf,
    source: Arc<Source>,
    entries: Vec<Entry>,
    /// What is wrong outside of any profile.
    problems: Problems,
    /// Readable by every user of the machine.
    world_readable: bool,
}

impl ProfileFile {
    /// Reads a file. Fails only if it cannot be read or is not TOML; problems of a profile are told when it is selected.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let text = read::text(path).map_err(|problem| problem.help("providers.example.toml shows what the file holds"))?;
        Self::parse(path, &text, world_readable(path))
    }

    /// Reads a text as if it stood in a file.
    pub fn parse(path: &Path, text: &str, world_readable: bool) -> Result<Self, Problems> {
        let source = Source::new(path.display().to_string(), blot(text, Show::Harmless));
        let mut problems = Problems::default();
        if text.trim_start().starts_with('{') {
            // Its lines are not shown: they hold passwords.
            let problem = Problem::error(format!("{} is JSON, as mtv-api-tests has its profiles", path.display()));
            let help = "write them as TOML: for each profile a table `[provider.NAME]` with a line `key = value` for each of its keys, which are the same; providers.example.toml shows them";
            problems.push(problem.help(help));
            return Err(problems);
        }
        let Some(document) = read::document(&source, text, &mut problems) else { return Err(problems) };
        let tables = read::named_tables(&source, &document, "provider", &mut problems);
        let entries = tables.into_iter().map(|(name, mut table)| {
            let mut problems = Problems::default();
            let shown = shown_keys(&source, &table);
            let offload = read::take_table(&source, &mut table, "copyoffload", &mut problems);
            let offload_at = offload.as_ref().map(|table| table.span.clone());
            let offload = offload.map(|table| copyoffload_file::read(&source, table, &mut problems));
            let mut raw: RawProfile = read::fill(&source, table, &name.span, PROFILE, &mut problems);
            let words: Vec<(&str, ProviderKind)> = ProviderKind::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
            let kind =
                raw.kind.take().and_then(|found| read::one_of(&source, "type", &found, &words, &mut problems).map(|kind| (kind, found)));
            if let Some((kind, found)) = &kind {
                misplaced(&source, &raw, *kind, &found.span, &mut problems);
                if let Some(at) = offload_at.clone().filter(|_| *kind != ProviderKind::Vsphere) {
                    problems.push(
                        Problem::error(format!("`copyoffload` has no meaning for {kind}"))
                            .at(&source, at, "for vsphere only")
                            .also(&source, found.span.clone(), "type of this profile")
                            .help("remove the table, or correct the type"),
                    );
                }
            }
            let esxi = endpoint(&source, &raw, offload_at, &mut problems);
            let missing_type = kind.is_none() && problems.is_empty();
            if missing_type {
                let types: Vec<String> = ProviderKind::ALL.iter().map(|kind| format!("\"{kind}\"")).collect();
                problems.push(
                    Problem::error(format!("provider profile `{}` has no `type`", name.value))
                        .at(&source, name.span.clone(), "")
                        .help(format!("add `type = …`: one of {}", types.join(", "))),
                );
            }
            Entry { name, kind: kind.map(|(kind, _)| kind), raw, offload, esxi, shown, problems }
        });
        let entries = entries.collect();
        Ok(Self { path: path.to_owned(), entries, source, problems, world_readable })
    }

    /// Names of all profiles in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.entries.iter().map(|entry| entry.name.value.as_str())
    }

    /// Keys of a profile in the order of the file, without secrets. `Err` tells which profiles there are.
    pub fn shown(&self, name: &str) -> Result<&[ShownKey], Problems> {
        Ok(&self.entry(name)?.shown)
    }

    /// Kind of a profile, without asking whether it is complete. `Err` tells which profiles there are.
    pub fn kind(&self, name: &str) -> Result<ProviderKind, Problems> {
        let entry = self.entry(name)?;
        entry.kind.ok_or_else(|| entry.problems.clone())
    }

    /// The selected profile, complete and with its secrets, and warnings about it.
    pub fn select(&self, name: &str, env: Env<'_>) -> Result<(Profile, Problems), Problems> {
        let entry = self.entry(name)?;
        let mut problems = self.problems.clone();
        problems.append(entry.problems.clone());
        let Some(kind) = entry.kind else { return Err(problems) };
        if let Some(problem) = self.missing(entry, kind, Problem::error) {
            problems.push(problem);
        }
        let cloner = self.cloner(entry, env, &mut problems);
        let mut secrets = Secrets { file: self, env, problems: &mut problems };
        let raw = &entry.raw;
        let password = secrets.one("password", &raw.password, &raw.password_env, &raw.password_file);
        let linux = secrets.one(
            "guest_vm_linux_password",
            &raw.guest_vm_linux_password,
            &raw.guest_vm_linux_password_env,
            &raw.guest_vm_linux_password_file,
        );
        let windows = secrets.one(
            "guest_vm_win_password",
            &raw.guest_vm_win_password,
            &raw.guest_vm_win_password_env,
            &raw.guest_vm_win_password_file,
        );
        let smb = secrets.one("smb_password", &raw.smb_password, &raw.smb_password_env, &raw.smb_password_file);
        let copyoffload = entry.offload.as_ref().map(|offload| offload.select(env, &mut secrets));
        let guest_linux = secrets.login("linux", &raw.guest_vm_linux_user, linux);
        let guest_windows = secrets.login("win", &raw.guest_vm_win_user, windows);
        let text = |found: &Option<At<String>>| found.as_ref().map(|found| found.value.clone());
        let api_url = text(&raw.api_url).unwrap_or_default();
        let extra = [
            "data_center",
            "user_domain_name",
            "region_name",
            "project_name",
            "user_domain_id",
            "project_domain_id",
            "smb_url",
            "smb_user",
        ];
        let profile = Profile {
            name: name.to_owned(),
            file: self.path.clone(),
            kind,
            version: text(&raw.version).unwrap_or_default(),
            fqdn: text(&raw.fqdn).unwrap_or_else(|| host(&api_url)),
            api_url,
            username: text(&raw.username).unwrap_or_default(),
            password: password.unwrap_or_else(|| Secret::new("")),
            insecure_skip_verify: raw.insecure_skip_verify.as_ref().is_some_and(|skip| skip.value),
            ca_file: raw.ca_file.as_ref().map(|file| self.beside(&file.value)),
            ca_pem: text(&raw.ca_pem),
            vddk_init_image: text(&raw.vddk_init_image),
            guest_linux,
            guest_windows,
            extra: extra.iter().filter_map(|key| Some(((*key).to_owned(), raw.text(key)?.value.clone()))).collect(),
            extra_secrets: smb.into_iter().map(|smb| ("smb_password".to_owned(), smb)).collect(),
            copyoffload,
            clone_provider: cloner.map(Box::new),
        };
        self.check_ca(entry, &profile, &mut problems);
        if let Some(url) = &raw.api_url
            && let Some(login) = login(&url.value)
        {
            // It is known to the mask from here on, whatever else is said about this profile.
            let password = login.split_once(':').map_or(login, |(_, password)| password);
            Secret::new(password);
            problems.push(
                Problem::error("`api_url` holds a login")
                    .at(&self.source, url.span.clone(), "")
                    .help("write user and password into `username` and `password`, and the URL without them"),
            );
        }
        problems.into_result(profile)
    }

    /// Everything that is wrong with any profile. What is missing is a warning: only the selected one has to be complete.
    pub fn check(&self) -> Problems {
        let mut problems = self.problems.clone();
        if self.entries.is_empty() && problems.is_empty() {
            let problem = Problem::error(format!("{} holds no provider profile", self.path.display()));
            problems.push(problem.help("write a table `[provider.NAME]`"));
        }
        for entry in &self.entries {
            problems.append(entry.problems.clone());
            if let Some(problem) = self.cloner_entry(entry).and_then(Result::err) {
                problems.push(problem);
            }
            if let Some(problem) = entry.kind.and_then(|kind| self.missing(entry, kind, Problem::warning)) {
                problems.push(problem);
            }
            // A variable that is set elsewhere is no mistake of the file: any value will do here.
            let env = |_: &str| Some("set".to_owned());
            let mut secrets = Secrets { file: self, env: &env, problems: &mut problems };
            let raw = &entry.raw;
            secrets.exactly_one("password", &raw.password, &raw.password_env, &raw.password_file);
            secrets.exactly_one(
                "guest_vm_linux_password",
                &raw.guest_vm_linux_password,
                &raw.guest_vm_linux_password_env,
                &raw.guest_vm_linux_password_file,
            );
            secrets.exactly_one(
                "guest_vm_win_password",
                &raw.guest_vm_win_password,
                &raw.guest_vm_win_password_env,
                &raw.guest_vm_win_password_file,
            );
            secrets.exactly_one("smb_password", &raw.smb_password, &raw.smb_password_env, &raw.smb_password_file);
            if let Some(offload) = &entry.offload {
                offload.exactly_one(&mut secrets);
            }
        }
        problems
    }

    fn entry(&self, name: &str) -> Result<&Entry, Problems> {
        self.entries.iter().find(|entry| entry.name.value == name).ok_or_else(|| {
            let names: Vec<String> = self.names().map(|known| format!("`{known}`")).collect();
            let mut problem = Problem::error(format!("{} has no provider profile `{name}`", self.path.display()))
                .help_maybe(super::suggest::nearest(name, self.names()).map(|near| format!("did you mean `{near}`?")));
            problem = problem.help(if names.is_empty() {
                format!("write a table `[provider.{name}]`; providers.example.toml shows its keys")
            } else {
                format!("it holds {}", names.join(", "))
            });
            // What is wrong with the file as a whole may be why the profile is not found.
            let mut problems = self.problems.clone();
            problems.push(problem);
            problems
        })
    }

    /// The entry of the vCenter that clones for an ESXi host, or why it cannot be that; none for other entries.
    fn cloner_entry(&self, entry: &Entry) -> Option<Result<&Entry, Problem>> {
        let named = entry.raw.clone_provider.as_ref().filter(|name| entry.esxi && !name.value.trim().is_empty())?;
        let wrong = |why: &str| Problem::error(format!("`clone_provider`: {why}")).at(&self.source, named.span.clone(), "");
        let vcenters = || -> Vec<&str> {
            self.entries
                .iter()
                .filter(|other| other.kind == Some(ProviderKind::Vsphere) && !other.esxi)
                .map(|other| other.name.value.as_str())
                .collect()
        };
        let choice = |problem: Problem| match vcenters().as_slice() {
            [] => problem.help("write a table `[provider.NAME]` of type vsphere for the vCenter that manages the host"),
            names => problem.help(format!("profiles of vCenters: `{}`", names.join("`, `"))),
        };
        Some(match self.entries.iter().find(|other| other.name.value == named.value) {
            None => {
                let near = super::suggest::nearest(&named.value, vcenters()).map(|near| format!("did you mean `{near}`?"));
                Err(choice(wrong(&format!("there is no profile `{}` in this file", named.value)).help_maybe(near)))
            }
            Some(other) if other.esxi => {
                let which = if other.name.value == entry.name.value { "the profile itself" } else { "one of an ESXi host too" };
                Err(choice(wrong(&format!("`{}` is {which}, and ESXi hosts cannot clone", named.value))))
            }
            Some(other) => match other.kind {
                Some(ProviderKind::Vsphere) | None => Ok(other),
                Some(kind) => Err(choice(wrong(&format!("profile `{}` is of type {kind}, not vsphere", named.value)))),
            },
        })
    }

    /// The profile of the vCenter that clones for an ESXi host, complete and with its secrets.
    fn cloner(&self, entry: &Entry, env: Env<'_>, problems: &mut Problems) -> Option<Profile> {
        match self.cloner_entry(entry)? {
            Ok(cloner) => match self.select(&cloner.name.value, env) {
                Ok((profile, told)) => {
                    problems.append(told);
                    Some(profile)
                }
                Err(told) => {
                    problems.append(told);
                    None
                }
            },
            Err(problem) => {
                problems.push(problem);
                None
            }
        }
    }

    /// One problem that lists all keys without which the profile cannot be used.
    fn missing(&self, entry: &Entry, kind: ProviderKind, severity: fn(String) -> Problem) -> Option<Problem> {
        let cloner = entry.esxi && entry.raw.clone_provider.as_ref().is_none_or(|name| name.value.trim().is_empty());
        let missing: Vec<String> = NEEDS
            .iter()
            .filter(|(key, kinds, _)| kinds.contains(&kind) && entry.raw.text(key).is_none_or(|found| found.value.trim().is_empty()))
            .map(|(key, _, what)| format!("`{key}`: {what}"))
            .chain(cloner.then(|| {
                "`clone_provider`: name of the profile of the vCenter that manages the host, which cannot clone itself".to_owned()
            }))
            .collect();
        if missing.is_empty() {
            return None;
        }
        let title = format!("provider profile `{}` is not complete", entry.name.value);
        let problem = severity(title).at(&self.source, entry.name.span.clone(), format!("a profile of type {kind} needs more keys"));
        Some(missing.into_iter().fold(problem, |problem, key| problem.help(format!("add {key}"))))
    }

    /// Paths in a profile are relative to its file, so that a run from another folder finds the same ones.
    fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    /// Certificates must be there, and must be certificates: found now, not when the first connection fails.
    fn check_ca(&self, entry: &Entry, profile: &Profile, problems: &mut Problems) {
        let begin = "-----BEGIN CERTIFICATE-----";
        let help = format!("PEM certificates begin with `{begin}`");
        if let (Some(at), Some(file)) = (&entry.raw.ca_file, &profile.ca_file) {
            match fs::read_to_string(file) {
                Err(error) => problems.push(Problem::error(format!("cannot read {}: {}", file.display(), read::io_reason(&error))).at(
                    &self.source,
                    at.span.clone(),
                    "",
                )),
                Ok(text) if !text.contains(begin) => problems.push(
                    Problem::error(format!("{} holds no PEM certificate", file.display()))
                        .at(&self.source, at.span.clone(), "")
                        .help(help.clone()),
                ),
                Ok(_) => {}
            }
        }
        if let Some(at) = entry.raw.ca_pem.as_ref().filter(|pem| !pem.value.contains(begin)) {
            problems.push(Problem::error("`ca_pem` holds no PEM certificate").at(&self.source, at.span.clone(), "").help(help));
        }
    }
}

fn shown_keys(source: &Arc<Source>, table: &DeTable<'_>) -> Vec<ShownKey> {
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    let shown = keys.into_iter().map(|(key, value)| {
        let name = key.get_ref().to_string();
        let value = match value.get_ref() {
            DeValue::String(text) if Show::Harmless.value(&name, text) => text.to_string(),
            DeValue::Boolean(on) => on.to_string(),
            _ => MASK.to_owned(),
        };
        ShownKey { key: name, value, line: source.line(key.span().start) }
    });
    shown.collect()
}

/// Whether the URL leads to an ESXi host, and what does not go with that.
fn endpoint(source: &Arc<Source>, raw: &RawProfile, offload: Option<Range<usize>>, problems: &mut Problems) -> bool {
    let words = [("vcenter", EndpointType::Vcenter), ("esxi", EndpointType::Esxi)];
    let found = raw.endpoint_type.as_ref().map(|found| read::one_of(source, "endpoint_type", found, &words, problems));
    let esxi = found == Some(Some(EndpointType::Esxi));
    if let (Some(cloner), false) = (&raw.clone_provider, esxi)
        && found != Some(None)
    {
        problems.push(
            Problem::error("`clone_provider` is for ESXi hosts only: a vCenter clones by itself")
                .at(source, cloner.span.clone(), "")
                .help("remove the key, or write `endpoint_type = \"esxi\"` if `api_url` leads to an ESXi host"),
        );
    }
    if let (Some(at), Some(endpoint), true) = (offload, &raw.endpoint_type, esxi) {
        problems.push(
            Problem::error("`copyoffload` needs a vCenter: the ids of its datastores are not those of the ESXi host")
                .at(source, at, "")
                .also(source, endpoint.span.clone(), "this is an ESXi host")
                .help("put the table into the profile of the vCenter, and run scenarios with copy-offload with that"),
        );
    }
    esxi
}

/// Keys that another kind of source knows.
fn misplaced(source: &Arc<Source>, raw: &RawProfile, kind: ProviderKind, at: &Range<usize>, problems: &mut Problems) {
    for (key, kinds) in ONLY {
        if let (false, Some(found)) = (kinds.contains(&kind), raw.text(key)) {
            let owners: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            problems.push(
                Problem::error(format!("`{key}` has no meaning for {kind}"))
                    .at(source, found.span.clone(), format!("for {} only", owners.join(", ")))
                    .also(source, at.clone(), "type of this profile")
                    .help("remove the key, or correct the type"),
            );
        }
    }
}

/// Host of `https://host:port/path` or `host:/path`.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or_default().to_owned();
    }
    authority.split(':').next().unwrap_or_default().to_owned()
}

/// User and password of a URL that holds them.
fn login(url: &str) -> Option<&str> {
    url.split_once("://")?.1.rsplit_once('@').map(|(login, _)| login)
}

/// Whether every user of the machine can read the file.
fn world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}

/// Fetches secrets and remembers what went wrong.
pub(super) struct Secrets<'a> {
    file: &'a ProfileFile,
    env: Env<'a>,
    pub(super) problems: &'a mut Problems,
}

type MaybeText = Option<At<String>>;

impl Secrets<'_> {
    /// At most one of the three ways, and a warning for one that everybody can read.
    pub(super) fn exactly_one(&mut self, key: &str, inline: &MaybeText, env: &MaybeText, file: &MaybeText) -> bool {
        let source = &self.file.source;
        let mut given = [inline, env, file].into_iter().flatten();
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            self.problems.push(
                Problem::error(format!("`{key}` is given in two ways"))
                    .at(source, second.span.clone(), "second")
                    .also(source, first.span.clone(), "first")
                    .help(format!("keep one of `{key}`, `{key}_env` and `{key}_file`")),
            );
            return false;
        }
        if let (Some(inline), true) = (inline, self.file.world_readable) {
            self.problems.push(
                Problem::warning(format!("`{key}` stands in a file that every user of this machine can read"))
                    .at(source, inline.span.clone(), "")
                    .help(format!("chmod 600 {}, or use `{key}_env` or `{key}_file`", self.file.path.display())),
            );
        }
        true
    }

    /// The secret, if one is given.
    pub(super) fn one(&mut self, key: &str, inline: &MaybeText, env: &MaybeText, file: &MaybeText) -> Option<Secret> {
        if !self.exactly_one(key, inline, env, file) {
            return None;
        }
        let source = &self.file.source;
        if let Some(inline) = inline {
            return Some(Secret::new(inline.value.clone()));
        }
        if let Some(name) = env {
            let value = (self.env)(&name.value).filter(|value| !value.is_empty());
            if value.is_none() {
                self.problems.push(
                    Problem::error(format!("environment variable {} is not set", name.value))
                        .at(source, name.span.clone(), format!("holds `{key}`"))
                        .help(format!("set {} and run again", name.value)),
                );
            }
            return value.map(Secret::new);
        }
        let at = file.as_ref()?;
        let path = self.file.beside(Path::new(&at.value));
        match fs::read_to_string(&path) {
            Ok(mut text) => {
                if text.ends_with('\n') {
                    text.pop();
                    if text.ends_with('\r') {
                        text.pop();
                    }
                }
                if text.is_empty() {
                    let title = format!("{} is empty", path.display());
                    self.problems.push(Problem::error(title).at(source, at.span.clone(), format!("holds `{key}`")));
                    return None;
                }
                Some(Secret::new(text))
            }
            Err(error) => {
                let title = format!("cannot read {}: {}", path.display(), read::io_reason(&error));
                self.problems.push(Problem::error(title).at(source, at.span.clone(), format!("holds `{key}`")));
                None
            }
        }
    }

    /// User and password of a guest: both or none.
    fn login(&mut self, guest: &str, user: &MaybeText, password: Option<Secret>) -> Option<GuestLogin> {
        match (user, password) {
            (Some(user), Some(password)) => Some(GuestLogin { user: user.value.clone(), password }),
            (Some(user), None) if !self.problems.has_errors() => {
                self.problems.push(
                    Problem::error(format!("`guest_vm_{guest}_user` has no password")).at(&self.file.source, user.span.clone(), "").help(
                        format!("add `guest_vm_{guest}_password`, `guest_vm_{guest}_password_env` or `guest_vm_{guest}_password_file`"),
                    ),
                );
                None
            }
            (None, Some(_)) => {
                self.problems.push(
                    Problem::error(format!("`guest_vm_{guest}_password` has no user"))
                        .help(format!("add `guest_vm_{guest}_user` to the profile")),
                );
                None
            }
            _ => None,
        }
    }
}
