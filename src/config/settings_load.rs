//! Layers of the run settings: command line over `--set` over environment over file over default.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use toml::de::{DeTable, DeValue};

use super::{
    blot::{Show, blot},
    diagnostics::{Problem, Problems, Source},
    protect, read,
    settings::Settings,
    settings_keys::{self, ENV_IGNORED, ENV_OF_JOBS, ENV_PREFIX, KEYS, Key, REFUSED, Takes, VERIFY_ENV_OF_JOBS, Value},
    suggest::did_you_mean,
};

/// Name of the settings file that is read if it exists in the current folder.
pub const DEFAULT_FILE: &str = "mtv-test.toml";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of the settings file.
    File {
        /// The file.
        file: PathBuf,
        /// Line from 1.
        line: usize,
    },
    /// An environment variable.
    Env(String),
    /// `--set`.
    Set,
    /// An option of its own, such as `--jobs`.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Set => f.write_str("--set"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Everything that settings are made of. Tests fill it without touching the process.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    /// Settings file named by the user. Unset: [`DEFAULT_FILE`], if it exists in `folder`.
    pub file: Option<PathBuf>,
    /// Folder of [`DEFAULT_FILE`]; empty means the current one.
    pub folder: PathBuf,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// `key=value` of `--set`, in order; later ones win.
    pub set: Vec<String>,
    /// Values of options of their own: key, value, option.
    pub flags: Vec<(&'static str, Value, &'static str)>,
}

impl Sources {
    /// The environment of the process. Variables that are not text cannot be settings.
    pub fn from_process() -> Self {
        let env = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
        Self { env, ..Self::default() }
    }
}

/// Settings, and where each value comes from.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The values.
    pub settings: Settings,
    origins: BTreeMap<&'static str, Origin>,
}

impl Resolved {
    /// Where the value of a setting comes from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }

    /// Brings settings back to their defaults unless this very command line gives them.
    pub fn forget_unless_given(&mut self, keys: &[&str]) {
        for key in keys.iter().filter_map(|name| settings_keys::find(name)) {
            if !matches!(self.origin(key.name), Origin::Flag(_) | Origin::Set) {
                (key.reset)(&mut self.settings);
                self.origins.remove(key.name);
            }
        }
    }

    fn write(&mut self, key: &'static Key, value: Value, origin: Origin) {
        (key.write)(&mut self.settings, value);
        self.origins.insert(key.sets.unwrap_or(key.name), origin);
    }
}

/// Resolves all layers. All mistakes of all layers are told together.
pub fn load(sources: &Sources) -> Result<Resolved, Problems> {
    let mut problems = Problems::default();
    let mut resolved = Resolved { settings: Settings::default(), origins: BTreeMap::new() };
    // CI hosts that know ARTIFACT_DIR collect what stands there; a setting of one's own still wins.
    if let Some(folder) = sources.env.get("ARTIFACT_DIR").filter(|folder| !folder.is_empty()) {
        resolved.settings.results_dir = PathBuf::from(folder);
        resolved.origins.insert("results_dir", Origin::Env("ARTIFACT_DIR".to_owned()));
    }
    let default = sources.folder.join(DEFAULT_FILE);
    let file = sources.file.clone().or_else(|| default.exists().then_some(default));
    if let Some(file) = file {
        match read::text(&file) {
            Ok(text) => from_file(&file, &text, &mut resolved, &mut problems),
            Err(problem) => problems.push(*problem),
        }
    }
    for (name, target) in ENV_OF_JOBS {
        // Below the settings file: a job's variables are about the place where it runs.
        if let (Some(value), Some(key)) = (sources.env.get(*name).filter(|value| !value.is_empty()), settings_keys::find(target))
            && *resolved.origin(key.name) == Origin::Default
        {
            resolved.write(key, Value::Text(value.clone()), Origin::Env((*name).to_owned()));
        }
    }
    verify_of_jobs(&sources.env, &mut resolved, &mut problems);
    from_env(&sources.env, &mut resolved, &mut problems);
    from_set(&sources.set, &mut resolved, &mut problems);
    for (name, value, flag) in &sources.flags {
        if let Some(key) = settings_keys::find(name) {
            resolved.write(key, value.clone(), Origin::Flag(flag));
        }
    }
    problems.into_result(resolved).map(|(resolved, _)| resolved)
}

/// Checks a settings file on its own.
pub fn check(file: &Path, text: &str) -> Problems {
    let mut problems = Problems::default();
    let mut resolved = Resolved { settings: Settings::default(), origins: BTreeMap::new() };
    from_file(file, text, &mut resolved, &mut problems);
    problems
}

fn from_file(file: &Path, text: &str, resolved: &mut Resolved, problems: &mut Problems) {
    let shown: Vec<&str> = KEYS.iter().map(|key| key.name).chain(protect::KEYS.iter().copied()).collect();
    let source = Source::new(file.display().to_string(), blot(text, Show::Known(&shown)));
    let Some(document) = read::document(&source, text, problems) else { return };
    alias_twice(&source, &document, problems);
    let mut keys: Vec<_> = document.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    for (name, value) in keys {
        if name.get_ref() == protect::TABLE {
            resolved.settings.protect.extend(protect::read(&source, file, name.span(), value, problems));
            continue;
        }
        let place = Place { source: &source, name: name.span(), value: value.span() };
        let Some(key) = known(name.get_ref(), name.get_ref(), KEYS.iter().map(|key| key.name.to_owned()), &place, problems) else {
            continue;
        };
        let parsed = match value.get_ref() {
            DeValue::String(text) => key.takes.string(text),
            DeValue::Boolean(on) if key.takes == Takes::Switch => Ok(Value::Switch(*on)),
            DeValue::Integer(number) => match i64::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
                Ok(number) => key.takes.number(number),
                Err(_) => Err(("the number is too big".to_owned(), "write a smaller number".to_owned())),
            },
            other => Err((format!("found {}", read::article(other.type_str())), wanted(key.takes).to_owned())),
        };
        let origin = Origin::File { file: file.to_owned(), line: source.line(place.name.start) };
        place.accept(key, parsed, origin, resolved, problems);
    }
}

/// Both names of one setting in one file contradict each other, or one is useless.
fn alias_twice(source: &Arc<Source>, document: &DeTable<'_>, problems: &mut Problems) {
    for key in KEYS {
        let Some(target) = key.sets else { continue };
        if let (Some((old, _)), Some((new, _))) = (document.get_key_value(key.name), document.get_key_value(target)) {
            problems.push(
                Problem::error(format!("`{}` and `{target}` are the same setting", key.name))
                    .at(source, old.span(), "")
                    .also(source, new.span(), "")
                    .help("keep one of the two"),
            );
        }
    }
}

fn wanted(takes: Takes) -> &'static str {
    match takes {
        Takes::Text | Takes::Namespace | Takes::Path => "write a text between quotes",
        Takes::Time | Takes::Minutes => "write a time such as \"5m\"",
        Takes::Count | Takes::MinuteCount => "write a whole number",
        Takes::Switch => "write `true` or `false`",
    }
}

fn from_env(env: &BTreeMap<String, String>, resolved: &mut Resolved, problems: &mut Problems) {
    for (name, text) in env.iter().filter(|(name, _)| name.starts_with(ENV_PREFIX) && !ENV_IGNORED.contains(&name.as_str())) {
        let lower = name[ENV_PREFIX.len()..].to_lowercase();
        // A variable that is no setting may hold anything, such as the password of a `password_env`.
        let line = if settings_keys::find(&lower).is_some() { format!("{name}={text}") } else { name.clone() };
        let source = Source::new("environment", line.as_str());
        let place = Place { source: &source, name: 0..name.len(), value: name.len() + 1..line.len() };
        let Some(key) = known(&lower, name, KEYS.iter().map(Key::env), &place, problems) else {
            continue;
        };
        place.accept(key, key.takes.parse(text), Origin::Env(name.clone()), resolved, problems);
    }
}

/// What a job says about verifying certificates, turned round.
fn verify_of_jobs(env: &BTreeMap<String, String>, resolved: &mut Resolved, problems: &mut Problems) {
    let (name, target) = VERIFY_ENV_OF_JOBS;
    let (Some(text), Some(key)) = (env.get(name).filter(|text| !text.is_empty()), settings_keys::find(target)) else { return };
    match Takes::Switch.parse(text) {
        Ok(Value::Switch(verify)) if *resolved.origin(key.name) == Origin::Default => {
            resolved.write(key, Value::Switch(!verify), Origin::Env(name.to_owned()));
        }
        Ok(_) => {}
        Err((what, help)) => {
            let line = format!("{name}={text}");
            let source = Source::new("environment", line.as_str());
            problems.push(Problem::error(what).at(&source, name.len() + 1..line.len(), "").help(help));
        }
    }
}

fn from_set(set: &[String], resolved: &mut Resolved, problems: &mut Problems) {
    for argument in set {
        let Some((name, text)) = argument.split_once('=') else {
            let source = Source::new("--set", argument.as_str());
            problems.push(
                Problem::error(format!("`{argument}` is no setting")).at(&source, 0..argument.len(), "").help("write `--set key=value`"),
            );
            continue;
        };
        // What is no setting may be a password, such as mtv-api-tests' `cluster_password`.
        let shown = if settings_keys::find(name).is_some() { argument.as_str() } else { name };
        let source = Source::new("--set", shown);
        let place = Place { source: &source, name: 0..name.len(), value: name.len() + 1..argument.len() };
        let Some(key) = known(name, name, KEYS.iter().map(|key| key.name.to_owned()), &place, problems) else { continue };
        place.accept(key, key.takes.parse(text), Origin::Set, resolved, problems);
    }
}

/// Where a setting stands.
struct Place<'a> {
    source: &'a Arc<Source>,
    name: Range<usize>,
    value: Range<usize>,
}

impl Place<'_> {
    fn accept(
        &self,
        key: &'static Key,
        parsed: Result<Value, (String, String)>,
        origin: Origin,
        resolved: &mut Resolved,
        problems: &mut Problems,
    ) {
        match parsed {
            Ok(value) => resolved.write(key, value, origin),
            Err((what, help)) => problems
                .push(Problem::error(format!("`{}` cannot be used: {what}", key.name)).at(self.source, self.value.clone(), "").help(help)),
        }
    }
}

/// The setting of that name; otherwise the problem is told, with the names as they are spelled in this layer.
fn known(name: &str, shown: &str, all: impl Iterator<Item = String>, place: &Place<'_>, problems: &mut Problems) -> Option<&'static Key> {
    if let Some(key) = settings_keys::find(name) {
        return Some(key);
    }
    let all: Vec<String> = all.collect();
    let problem = match REFUSED.iter().find(|(refused, _)| *refused == name) {
        Some((_, instead)) => Problem::error(format!("`{shown}` is no setting of mtv-test"))
            .at(place.source, place.name.clone(), "known from mtv-api-tests")
            .help(*instead),
        // The option `--provider` names a profile, and the setting that looks like it a file.
        None if name == "provider" => Problem::error(format!("unknown setting `{shown}`")).at(place.source, place.name.clone(), "").help(
            "the profile is `source_provider`, in the environment MTV_TEST_SOURCE_PROVIDER; `providers` is the file with the profiles",
        ),
        None => Problem::error(format!("unknown setting `{shown}`")).at(place.source, place.name.clone(), "").help_maybe(did_you_mean(
            shown,
            "known settings",
            all.iter().map(String::as_str),
        )),
    };
    problems.push(problem);
    None
}
