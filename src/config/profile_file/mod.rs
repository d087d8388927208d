//! Provider profiles: `[provider.NAME]` tables. A file may hold many; only the selected one has to be complete.

mod esxi;
mod model;
mod secrets;

pub(super) use model::RawProfile;
pub(super) use secrets::Secrets;

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::de::{DeTable, DeValue};

use self::model::{NEEDS, ONLY, PROFILE};
use super::{
    blot::{Show, blot},
    copyoffload_file::{self, Given},
    diagnostics::{Problem, Problems, Source},
    profile::{Profile, ProviderKind},
    read::{self, At},
};
use crate::secrets::{MASK, Secret};

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
            let esxi = esxi::is_esxi(&source, &raw, offload_at, &mut problems);
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
            allow_plain_http: raw.allow_plain_http.as_ref().is_some_and(|allow| allow.value),
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
        self.check_scheme(entry, &mut problems);
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
            self.check_scheme(entry, &mut problems);
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

    /// Passwords go out in the clear only where the user says so.
    fn check_scheme(&self, entry: &Entry, problems: &mut Problems) {
        let allowed = entry.raw.allow_plain_http.as_ref().is_some_and(|allow| allow.value);
        let Some(url) = entry.raw.api_url.as_ref().filter(|url| !allowed && url.value.trim_start().to_lowercase().starts_with("http://"))
        else {
            return;
        };
        problems.push(
            Problem::error("`api_url` is not https: passwords and tokens would be sent unencrypted")
                .at(&self.source, url.span.clone(), "")
                .help("write `https://…`; where the source has no TLS, add `allow_plain_http = true`, which the report then shows"),
        );
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
