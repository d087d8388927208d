//! What commands work out before they do anything: the profile's kind, and whether a cluster is named.

use std::path::{Path, PathBuf};

use super::{CliError, ClusterOptions};
use crate::{
    cluster::{ConnectOptions, PasswordLogin, check_kubeconfig},
    config::{
        certificate,
        diagnostics::Problems,
        profile::{Profile, ProviderKind},
        profile_file::ProfileFile,
        settings::Settings,
        settings_keys::{JIRA_TOKEN_ENV, PASSWORD_ENV, PASSWORD_ENV_OF_JOBS},
        settings_load::{Origin, Resolved},
    },
    diagnosis::{Explained, Hinted},
    exit, files, jira,
    net::without_login,
    secrets::Secret,
    select::Surroundings,
};

/// What is known of a run before anybody is contacted.
pub struct Known {
    kind: Option<ProviderKind>,
    profile: Option<Profile>,
    remote: bool,
    jira: bool,
}

impl Known {
    /// With this profile, or only with its kind.
    pub fn new(kind: Option<ProviderKind>, profile: Option<Profile>, settings: &Settings) -> Self {
        Self { kind, profile, remote: settings.remote_ocp_cluster.is_some(), jira: settings.jira_url.is_some() }
    }

    /// With a Jira to ask, whatever the settings say.
    pub fn with_jira(self) -> Self {
        Self { jira: true, ..self }
    }

    /// Kind of the source, if it is known.
    pub fn kind(&self) -> Option<ProviderKind> {
        self.kind
    }

    /// The profile, if it is known and complete.
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// As gates take it.
    pub fn surroundings(&self) -> Surroundings<'_> {
        let profile = self.profile.as_ref();
        Surroundings { kind: self.kind, profile, remote: self.remote, jira: self.jira, ..Surroundings::default() }
    }
}

/// What is known for `list`, where everything is optional: nothing of the source without a profile, or where the profile is
/// only a default and its file is not there; as much of the profile as is there, where it is not complete here. With what a run
/// would refuse the profile for.
///
/// # Errors
/// The file cannot be read, it has no such profile, or no release migrates from that kind of source: what a run says.
pub fn known(resolved: &Resolved) -> Result<(Known, Problems), CliError> {
    let nothing = || Ok((Known::new(None, None, &resolved.settings), Problems::default()));
    let settings = &resolved.settings;
    let Some(name) = &settings.source_provider else { return nothing() };
    let asked = matches!(resolved.origin("source_provider"), Origin::Flag(_)) || *resolved.origin("providers") != Origin::Default;
    if !asked && !settings.providers.exists() {
        return nothing();
    }
    let file = ProfileFile::load(&settings.providers)?;
    let kind = file.kind(name)?;
    let (profile, problems) = file.outline(name, &|name| std::env::var(name).ok())?;
    if kind.unsupported().is_some() {
        return Err(problems.into());
    }
    Ok((Known::new(Some(kind), profile, settings), problems))
}

/// The Jira of the settings, with its token.
///
/// # Errors
/// The URL is none, or the file of the token cannot be read.
pub fn jira(settings: &Settings) -> Result<Option<jira::Options>, CliError> {
    let Some(url) = &settings.jira_url else { return Ok(None) };
    let token = match &settings.jira_token_file {
        Some(file) => {
            let text = files::read_text(file, files::LIMIT);
            let text = text.map_err(|e| CliError::usage(format!("failed to read the token of Jira from {}: {e}", file.display())))?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        None => std::env::var(JIRA_TOKEN_ENV).ok(),
    };
    let token = token.filter(|token| !token.is_empty()).map(Secret::new);
    usable_ca("jira_ca_file", settings.jira_ca_file.as_deref())?;
    let options = jira::Options { url: url.clone(), token, ca_file: settings.jira_ca_file.clone(), ca_pem: None };
    // It contacts nobody, and knows what a URL of Jira looks like.
    jira::Jira::new(options.clone()).map_err(|Hinted { text, hints }| hints.into_iter().fold(CliError::usage(text), CliError::hint))?;
    Ok(Some(options))
}

/// Certificates of a setting must be there, and must be able to verify something.
fn usable_ca(setting: &str, file: Option<&Path>) -> Result<(), CliError> {
    let Some(file) = file else { return Ok(()) };
    certificate::check_file(file, jiff::Timestamp::now())
        .map_err(|unusable| CliError::usage(format!("{setting}: {}", unusable.what)).hint(unusable.help))
}

/// How to reach the cluster: `--kubeconfig` and `--context` win over a login by user and password, this over everything that is
/// found by itself. A login that is only half given is an error: another cluster must not be taken in its place.
pub fn connect_options(options: &ClusterOptions, settings: &Settings) -> Result<ConnectOptions, CliError> {
    let by_flag = options.kubeconfig.is_some() || options.context.is_some();
    let login = if by_flag { None } else { password_login(settings)? };
    Ok(ConnectOptions {
        kubeconfig: options.kubeconfig.clone(),
        context: options.context.clone(),
        login,
        insecure: settings.insecure_verify_skip,
        plain_http: settings.cluster_allow_plain_http,
    })
}

fn password_login(settings: &Settings) -> Result<Option<PasswordLogin>, CliError> {
    let half = |there: &str, missing: &str| {
        CliError::usage(format!("{there} is set, but {missing} is not"))
            .hint("a login by user and password needs cluster_host, cluster_username and a password")
            .hint("to use a kubeconfig all the same, name it with --kubeconfig FILE")
    };
    let (host, username) = match (&settings.cluster_host, &settings.cluster_username) {
        (None, None) => return Ok(None),
        (Some(host), Some(username)) => (host, username),
        (Some(_), None) => return Err(half("cluster_host", "cluster_username")),
        (None, Some(_)) => return Err(half("cluster_username", "cluster_host")),
    };
    let host = cluster_url(host, settings.cluster_allow_plain_http)?;
    let Some(password) = password(settings)? else {
        return Err(half("cluster_host", "the password")
            .hint(format!("put it into {PASSWORD_ENV}, or into a file that cluster_password_file names")));
    };
    usable_ca("cluster_ca_file", settings.cluster_ca_file.as_deref())?;
    Ok(Some(PasswordLogin { host, username: username.clone(), password, ca_file: settings.cluster_ca_file.clone(), ca_pem: None }))
}

/// `cluster_host` as a URL. It may leave the scheme out, and holds no login: that has settings of its own.
fn cluster_url(host: &str, plain_http: bool) -> Result<String, CliError> {
    let host = host.trim().trim_end_matches('/');
    let host = if host.contains("://") { host.to_owned() } else { format!("https://{host}") };
    let wrong = |why: &str| {
        CliError::usage(format!("cluster_host `{}` cannot be used: {why}", without_login(&host)))
            .hint("write https://HOST:PORT; user and password have settings of their own")
    };
    let url = reqwest::Url::parse(&host).map_err(|error| wrong(&error.to_string()))?;
    if host.contains('@') {
        return Err(wrong("it holds a login"));
    }
    match url.scheme() {
        "https" => {}
        "http" if plain_http => {}
        "http" => return Err(wrong("http:// would send the password without encryption").hint("cluster_allow_plain_http = true allows it")),
        other => return Err(wrong(&format!("unknown scheme `{other}`"))),
    }
    if url.port() == Some(0) || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it is more than a host and a port"));
    }
    Ok(host)
}

/// From a file or the environment, never from the command line, which every user of the machine can read.
fn password(settings: &Settings) -> Result<Option<Secret>, CliError> {
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty()).map(Secret::new);
    match (&settings.cluster_password_file, &settings.cluster_password_env) {
        (Some(_), Some(_)) => {
            Err(CliError::usage("cluster_password_file and cluster_password_env are both set").hint("keep one of the two"))
        }
        (Some(file), None) => match files::read_text(file, files::LIMIT) {
            Ok(text) if text.trim_end_matches(['\r', '\n']).is_empty() => Err(CliError::usage(format!("{} is empty", file.display()))),
            Ok(text) => Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n'])))),
            Err(error) => Err(CliError::usage(format!("failed to read the password of the cluster from {}: {error}", file.display()))),
        },
        (None, Some(name)) => {
            let missing = || CliError::usage(format!("environment variable {name} is not set")).hint("cluster_password_env names it");
            var(name).ok_or_else(missing).map(Some)
        }
        (None, None) => Ok(var(PASSWORD_ENV).or_else(|| var(PASSWORD_ENV_OF_JOBS))),
    }
}

/// Whether any cluster is named: by option, environment, default file, or because this is a pod; and whether the kubeconfig that
/// names it can be used.
pub fn require_cluster(options: &ConnectOptions) -> Result<(), CliError> {
    if options.login.is_some() {
        return Ok(());
    }
    let hints = |error: CliError| {
        error
            .hint("name a cluster with `--kubeconfig FILE` or KUBECONFIG, or log in so that ~/.kube/config exists")
            .hint("or log in by user and password: cluster_host, cluster_username and MTV_TEST_CLUSTER_PASSWORD")
            .hint("or add `--lab` to run against the simulated data centre that mtv-test carries")
    };
    if let Some(file) = &options.kubeconfig {
        return if file.exists() {
            require_kubeconfig(options)
        } else {
            Err(hints(CliError::usage(format!("kubeconfig {} does not exist", file.display()))))
        };
    }
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(list) = var("KUBECONFIG") {
        let files: Vec<PathBuf> = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect();
        if files.iter().any(|file| file.exists()) {
            return require_kubeconfig(options);
        }
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        return Err(hints(CliError::usage(format!("KUBECONFIG names no file that exists: {}", names.join(", ")))));
    }
    if var("HOME").is_some_and(|home| Path::new(&home).join(".kube/config").exists()) {
        return require_kubeconfig(options);
    }
    if var("KUBERNETES_SERVICE_HOST").is_some() {
        return Ok(());
    }
    Err(hints(CliError::environment("no cluster is configured")))
}

/// Whether the kubeconfig files that are there can be used: a context that does not exist is a mistake of the command line, like
/// a file that cannot be read. Contacts nobody.
pub fn require_kubeconfig(options: &ConnectOptions) -> Result<(), CliError> {
    check_kubeconfig(options).map_err(|Explained(diagnosis)| CliError::diagnosed(exit::USAGE, diagnosis))
}
