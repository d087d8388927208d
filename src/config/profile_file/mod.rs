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
use zeroize::Zeroizing;

use self::model::{NEEDS, ONLY, PROFILE};
use super::{
    blot::{Show, blot},
    certificate,
    copyoffload_file::{self, Given},
    diagnostics::{Problem, Problems, Source},
    endpoint,
    profile::{Details, OpenstackProfile, OvirtProfile, Profile, ProviderKind, VsphereProfile},
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
    /// Where that stands.
    offload_at: Option<Range<usize>>,
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
        // It holds passwords.
        let text = Zeroizing::new(read::text(path).map_err(|problem| problem.help("providers.example.toml shows what the file holds"))?);
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
            let esxi = esxi::is_esxi(&source, &raw, offload_at.clone(), &mut problems);
            let missing_type = kind.is_none() && problems.is_empty();
            if missing_type {
                let types: Vec<String> = ProviderKind::ALL.iter().map(|kind| format!("\"{kind}\"")).collect();
                problems.push(
                    Problem::error(format!("provider profile `{}` has no `type`", name.value))
                        .at(&source, name.span.clone(), "")
                        .help(format!("add `type = …`: one of {}", types.join(", "))),
                );
            }
            Entry { name, kind: kind.map(|(kind, _)| kind), raw, offload, offload_at, esxi, shown, problems }
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
    ///
    /// # Errors
    /// Everything for which a run would refuse this profile without contacting anybody.
    pub fn select(&self, name: &str, env: Env<'_>) -> Result<(Profile, Problems), Problems> {
        let entry = self.entry(name)?;
        let mut problems = self.problems.clone();
        let profile = self.complete(entry, env, &mut problems);
        if let (false, Some(profile)) = (problems.has_errors(), profile) { Ok((profile, problems)) } else { Err(problems) }
    }

    /// As much of a profile as is known, even if a run would refuse it, and the problems with it. No profile without a known type.
    ///
    /// # Errors
    /// Which profiles there are, if there is none of that name.
    pub fn outline(&self, name: &str, env: Env<'_>) -> Result<(Option<Profile>, Problems), Problems> {
        let entry = self.entry(name)?;
        let mut problems = self.problems.clone();
        let profile = self.complete(entry, env, &mut problems);
        Ok((profile, problems))
    }

    /// Everything that is wrong with any profile: what a run would refuse if it selected that profile, and warnings.
    pub fn check(&self, env: Env<'_>) -> Problems {
        let mut problems = self.problems.clone();
        if self.entries.is_empty() && problems.is_empty() {
            let problem = Problem::error(format!("{} holds no provider profile", self.path.display()));
            problems.push(problem.help("write a table `[provider.NAME]`"));
        }
        for entry in &self.entries {
            let mut found = Problems::default();
            let profile = self.complete(entry, env, &mut found);
            if let (Some(offload), Some(given)) = (profile.as_ref().and_then(Profile::copyoffload), &entry.offload) {
                // Only scenarios with copy-offload need it, but nobody writes the section for anything else.
                let missing = offload.missing();
                if let (false, Some(at)) = (missing.is_empty(), &entry.offload_at) {
                    // A secret that cannot be fetched is reported with its own place.
                    let missing = missing.into_iter().filter(|field| !given.names_secret_of(field));
                    let problem = missing.fold(
                        Problem::error(format!("`copyoffload` of profile `{}` is not complete", entry.name.value)).at(
                            &self.source,
                            at.clone(),
                            "scenarios with copy-offload need more keys",
                        ),
                        |problem, field| problem.help(format!("add {field}")),
                    );
                    if !problem.helps().is_empty() {
                        found.push(problem);
                    }
                }
            }
            // A profile that clones for another one has been judged with that one.
            problems.append_new(found);
        }
        problems
    }

    /// A profile with its secrets, and everything that is wrong with it. Both `run` and `validate` judge by this.
    fn complete(&self, entry: &Entry, env: Env<'_>, problems: &mut Problems) -> Option<Profile> {
        problems.append(entry.problems.clone());
        let kind = entry.kind?;
        if let Some(why) = kind.unsupported() {
            // What else is wrong with it does not matter.
            problems.push(
                Problem::error(format!("profile `{}` is of type {kind}; {why}", entry.name.value))
                    .at(&self.source, entry.name.span.clone(), "")
                    .help("remove the table, or select another profile"),
            );
            return None;
        }
        if let Some(problem) = self.missing(entry, kind) {
            problems.push(problem);
        }
        let cloner = self.cloner(entry, env, problems);
        let mut secrets = Secrets { file: self, env, problems, inline: Vec::new() };
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
        let copyoffload = entry.offload.as_ref().map(|offload| offload.select(env, &mut secrets));
        let guest_linux = secrets.login("linux", &raw.guest_vm_linux_user, linux);
        let guest_windows = secrets.login("win", &raw.guest_vm_win_user, windows);
        if let Some(warning) = secrets.readable_by_all() {
            problems.append_new(warning.into());
        }
        let text = |found: &Option<At<String>>| found.as_ref().map(|found| found.value.clone());
        // Blanks at its ends are a slip that no API forgives.
        let api_url = text(&raw.api_url).unwrap_or_default().trim().to_owned();
        let details = match kind {
            ProviderKind::Vsphere => Details::from(VsphereProfile {
                vddk_init_image: text(&raw.vddk_init_image),
                copyoffload,
                clone_provider: cloner.map(Box::new),
            }),
            ProviderKind::Ovirt => Details::Ovirt(OvirtProfile { data_center: text(&raw.data_center) }),
            ProviderKind::Openstack => Details::Openstack(OpenstackProfile {
                user_domain_name: text(&raw.user_domain_name).unwrap_or_default(),
                user_domain_id: text(&raw.user_domain_id).unwrap_or_default(),
                project_name: text(&raw.project_name).unwrap_or_default(),
                project_domain_id: text(&raw.project_domain_id).unwrap_or_default(),
                region_name: text(&raw.region_name).unwrap_or_default(),
            }),
            ProviderKind::Openshift => Details::Openshift,
            ProviderKind::Ova => Details::Ova,
            // Refused above.
            ProviderKind::Hyperv => return None,
        };
        let profile = Profile {
            name: entry.name.value.clone(),
            api_url,
            username: text(&raw.username).unwrap_or_default(),
            password: password.unwrap_or_else(|| Secret::new("")),
            insecure_skip_verify: raw.insecure_skip_verify.as_ref().is_some_and(|skip| skip.value),
            allow_plain_http: raw.allow_plain_http.as_ref().is_some_and(|allow| allow.value),
            ca_file: raw.ca_file.as_ref().map(|file| self.beside(&file.value)),
            ca_pem: text(&raw.ca_pem),
            guest_linux,
            guest_windows,
            details,
        };
        self.check_ca(entry, &profile, problems);
        self.check_url(entry, kind, problems);
        Some(profile)
    }

    /// The address must be one that a run can use.
    fn check_url(&self, entry: &Entry, kind: ProviderKind, problems: &mut Problems) {
        let Some(url) = entry.raw.api_url.as_ref().filter(|url| !url.value.trim().is_empty()) else { return };
        if let Some(login) = endpoint::login(&url.value) {
            // It is known to the mask from here on, whatever else is said about this profile.
            let password = login.split_once(':').map_or(login, |(_, password)| password);
            Secret::new(password);
            problems.push(
                Problem::error("`api_url` holds a login")
                    .at(&self.source, url.span.clone(), "")
                    .help("write user and password into `username` and `password`, and the URL without them"),
            );
            return;
        }
        let plain_allowed = entry.raw.allow_plain_http.as_ref().is_some_and(|allow| allow.value);
        if let Err(wrong) = endpoint::check(kind, &url.value) {
            let problem = Problem::error(format!("`api_url` {}", wrong.what)).at(&self.source, url.span.clone(), "");
            problems.push(problem.help(wrong.help));
        } else if endpoint::is_plain(&url.value) && !plain_allowed {
            // Passwords go out in the clear only where the user says so.
            problems.push(
                Problem::error("`api_url` is not https: passwords and tokens would be sent unencrypted")
                    .at(&self.source, url.span.clone(), "")
                    .help("write `https://…`; where the source has no TLS, add `allow_plain_http = true`, which the report then shows"),
            );
        }
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
    fn missing(&self, entry: &Entry, kind: ProviderKind) -> Option<Problem> {
        let cloner = entry.esxi && entry.raw.clone_provider.as_ref().is_none_or(|name| name.value.trim().is_empty());
        let missing: Vec<String> = NEEDS
            .iter()
            .filter(|(key, kinds, _)| kinds.contains(&kind) && entry.raw.given(key).is_none_or(|found| found.blank))
            .map(|(key, _, what)| format!("`{key}`: {what}"))
            .chain(cloner.then(|| {
                "`clone_provider`: name of the profile of the vCenter that manages the host, which cannot clone itself".to_owned()
            }))
            .collect();
        if missing.is_empty() {
            return None;
        }
        let title = format!("provider profile `{}` is not complete", entry.name.value);
        let problem = Problem::error(title).at(&self.source, entry.name.span.clone(), format!("a profile of type {kind} needs more keys"));
        Some(missing.into_iter().fold(problem, |problem, key| problem.help(format!("add {key}"))))
    }

    /// Paths in a profile are relative to its file, so that a run from another folder finds the same ones.
    fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    /// Certificates must be there, and must be able to verify something: found now, not when the first connection fails.
    fn check_ca(&self, entry: &Entry, profile: &Profile, problems: &mut Problems) {
        let now = jiff::Timestamp::now();
        if let (Some(at), Some(file)) = (&entry.raw.ca_file, &profile.ca_file)
            && let Err(unusable) = certificate::check_file(file, now)
        {
            problems.push(Problem::error(unusable.what).at(&self.source, at.span.clone(), "").help(unusable.help));
        }
        if let Some(at) = &entry.raw.ca_pem
            && let Err(unusable) = certificate::check(at.value.as_bytes(), now)
        {
            let title = format!("`ca_pem` {}", unusable.what);
            problems.push(Problem::error(title).at(&self.source, at.span.clone(), "").help(unusable.help));
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
        if let (false, Some(found)) = (kinds.contains(&kind), raw.given(key)) {
            let owners: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            problems.push(
                Problem::error(format!("`{key}` has no meaning for {kind}"))
                    .at(source, found.span, format!("for {} only", owners.join(", ")))
                    .also(source, at.clone(), "type of this profile")
                    .help("remove the key, or correct the type"),
            );
        }
    }
}

/// Whether every user of the machine can read the file.
fn world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}
