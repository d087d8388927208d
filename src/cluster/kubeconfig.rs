//! Kubeconfig files: which are read, how they are merged, and which cluster and user their context selects, as kubectl does.
//!
//! Errors name the file, and what it has instead. They never repeat what a file holds beyond names and addresses.

use std::{
    io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use kube::config::{AuthInfo, Cluster as NamedServer, Kubeconfig, KubeconfigError};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use secrecy::ExposeSecret as _;

use crate::{
    diagnosis::{Diagnosis, Explained, Id},
    files,
    net::{proxy::Proxy, without_login},
    providers::tls::{Identity, Trust},
    secrets::{Secret, excerpt},
};

/// Longest address that an error repeats, characters.
const ADDRESS: usize = 200;

/// Where a login was found, for messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// Such as `kubeconfig /home/me/.kube/config`, `cluster_host` or `the service account of this pod`.
    pub place: String,
    /// Context in it.
    pub context: Option<String>,
    /// User in it.
    pub user: Option<String>,
}

impl Origin {
    /// All of it in one line.
    pub fn line(&self) -> String {
        let part = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!(", {name} {value}")).unwrap_or_default();
        format!("{}{}{}", self.place, part("context", &self.context), part("user", &self.user))
    }
}

/// A cluster and a user of it.
#[derive(Debug)]
pub(super) struct Selected {
    /// URL of the API server, as the file has it.
    pub server: String,
    /// What its certificate is verified with.
    pub trust: Trust,
    /// Name that is expected in its certificate, in place of the URL's host.
    pub server_name: Option<String>,
    /// Its own proxy.
    pub proxy: Option<Proxy>,
    /// Certificate of the user.
    pub identity: Option<Identity>,
    /// The user.
    pub auth: AuthInfo,
    /// Where it was found.
    pub origin: Origin,
}

/// The kubeconfig files that apply: the one that is named, else those of `KUBECONFIG`, else `~/.kube/config` if it is there.
fn files(named: Option<&Path>) -> Vec<PathBuf> {
    if let Some(file) = named {
        return vec![file.to_owned()];
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(list) = variable("KUBECONFIG") {
        let all = std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty());
        // A file that does not exist is passed over, as kubectl does.
        let there: Vec<PathBuf> = all.filter(|path| path.exists()).collect();
        if !there.is_empty() {
            return there;
        }
    }
    variable("HOME").map(|home| Path::new(&home).join(".kube/config")).filter(|path| path.exists()).into_iter().collect()
}

/// Reads the files and selects a context: the one that is named, else the current one. `None` if there is no file.
///
/// # Errors
/// A file cannot be read, or the context, its cluster or its user is not there.
pub(super) fn select(named: Option<&Path>, context: Option<&str>) -> Result<Option<Selected>, Explained> {
    let files = files(named);
    if files.is_empty() {
        return Ok(None);
    }
    let place = format!("kubeconfig {}", files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "));
    let mut merged = Kubeconfig::default();
    for file in &files {
        let mut read = read(file)?;
        // An empty one is none: the next file may have it.
        read.current_context = read.current_context.filter(|context| !context.is_empty());
        merged = merged.merge(read).map_err(|error| unusable(&place, &error.to_string()))?;
    }
    pick(merged, context, place).map(Some)
}

fn unusable(place: &str, why: &str) -> Explained {
    Explained(Diagnosis::new(Id::ClusterNotConfigured, format!("{place} cannot be used: {why}")))
}

fn read(file: &Path) -> Result<Kubeconfig, Explained> {
    let failed =
        |why: &str| Explained(Diagnosis::new(Id::ClusterNotConfigured, format!("failed to read kubeconfig {}: {why}", file.display())));
    if files::given_by_caller(file) {
        // A shell's `<(command)`: it can be read once, and its paths are relative to nothing.
        let text = files::read_text(file, files::LIMIT).map_err(|error| failed(&plain(&error)))?;
        return Kubeconfig::from_yaml(text.trim_start_matches('\u{feff}')).map_err(|error| broken(file, error));
    }
    // It is opened first to see that it is a regular file: another one might never end.
    files::open(file, std::fs::OpenOptions::new().read(true)).map_err(|error| failed(&plain(&error)))?;
    Kubeconfig::read_from(file).map_err(|error| broken(file, error))
}

/// What is wrong with a file. The library's text repeats parts of it, which may be a token.
fn broken(file: &Path, error: KubeconfigError) -> Explained {
    let failed =
        |why: &str| Explained(Diagnosis::new(Id::ClusterNotConfigured, format!("failed to read kubeconfig {}: {why}", file.display())));
    match error {
        KubeconfigError::ReadConfig(error, _) => failed(&plain(&error)),
        KubeconfigError::Parse(error) => {
            let at = error.location().filter(|at| at.line() > 0);
            let at = at.map(|at| format!(" at line {}, column {}", at.line(), at.column())).unwrap_or_default();
            failed(&format!("it is not valid YAML of a kubeconfig{at}"))
        }
        other => failed(&other.to_string()),
    }
}

/// An error of the operating system, in the words of its tools.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Names for a hint: `it has a, b`, or that there are none.
fn has<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() { format!("it has no {what}s") } else { format!("its {what}s are {}", names.join(", ")) }
}

fn pick(all: Kubeconfig, context: Option<&str>, place: String) -> Result<Selected, Explained> {
    let wrong = |what: String, hints: &[String]| {
        Explained(Diagnosis::new(Id::ClusterNotConfigured, format!("{place} cannot be used: {what}")).hints(hints.to_vec()))
    };
    let contexts = || has("context", all.contexts.iter().map(|context| &context.name));
    let choose = "choose one with --context NAME, or `kubectl config use-context NAME`".to_owned();
    let Some(name) = context.map(str::to_owned).or_else(|| all.current_context.clone()) else {
        return Err(wrong("it has no current context".to_owned(), &[contexts(), choose]));
    };
    let Some(context) = all.contexts.iter().find(|known| known.name == name).and_then(|known| known.context.as_ref()) else {
        return Err(wrong(format!("it has no context `{name}`"), &[contexts(), choose]));
    };
    let cluster = all.clusters.iter().find(|known| known.name == context.cluster).and_then(|known| known.cluster.as_ref());
    let Some(cluster) = cluster else {
        let clusters = has("cluster", all.clusters.iter().map(|cluster| &cluster.name));
        return Err(wrong(format!("it has no cluster `{}`, which context `{name}` names", context.cluster), &[clusters]));
    };
    let user = context.user.clone().filter(|user| !user.is_empty());
    let mut auth = match &user {
        None => AuthInfo::default(),
        Some(user) => {
            let Some(found) = all.auth_infos.iter().find(|known| known.name == *user) else {
                let users = has("user", all.auth_infos.iter().map(|user| &user.name));
                return Err(wrong(format!("it has no user `{user}`, which context `{name}` names"), &[users]));
            };
            found.auth_info.clone().unwrap_or_default()
        }
    };
    register(&auth);
    let Some(server) = cluster.server.clone().filter(|server| !server.trim().is_empty()) else {
        return Err(wrong(format!("cluster `{}` has no server", context.cluster), &[]));
    };
    let proxy = cluster.proxy_url.as_deref().filter(|url| !url.trim().is_empty());
    let proxy = proxy.map(|url| Proxy::parse(url, "proxy-url of the kubeconfig")).transpose().map_err(|why| wrong(why, &[]))?;
    let trust = trust(cluster).map_err(|why| wrong(format!("cluster `{}`: {why}", context.cluster), &[]))?;
    let of_user = |why: String| wrong(format!("user `{}`: {why}", user.as_deref().unwrap_or_default()), &[]);
    let identity = identity(&auth).map_err(of_user)?;
    if let Some(exec) = auth.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = cluster.try_into().ok();
    }
    Ok(Selected {
        server: server.trim().to_owned(),
        trust,
        server_name: cluster.tls_server_name.clone().filter(|name| !name.is_empty()),
        proxy,
        identity,
        auth,
        origin: Origin { place: place.clone(), context: Some(name), user },
    })
}

/// What is written inline, as base64, or in a file.
fn inline_or_file(key: &str, data: Option<&str>, file: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        return BASE64_STANDARD.decode(data.trim()).map(Some).map_err(|_| format!("{key}-data is not base64"));
    }
    let Some(file) = file.filter(|file| !file.is_empty()) else { return Ok(None) };
    files::read(Path::new(file), files::LIMIT).map(Some).map_err(|error| format!("failed to read {key} {file}: {}", plain(&error)))
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|_| format!("{key} holds a damaged certificate"))?;
    if read.is_empty() { Err(format!("{key} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")) } else { Ok(read) }
}

fn trust(cluster: &NamedServer) -> Result<Trust, String> {
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Ok(Trust::anything());
    }
    let key = "certificate-authority";
    match inline_or_file(key, cluster.certificate_authority_data.as_deref(), cluster.certificate_authority.as_deref())? {
        Some(pem) => certificates(key, &pem).map(Trust::only),
        None => Ok(Trust::default()),
    }
}

fn identity(auth: &AuthInfo) -> Result<Option<Identity>, String> {
    let certificate = inline_or_file("client-certificate", auth.client_certificate_data.as_deref(), auth.client_certificate.as_deref())?;
    let data = auth.client_key_data.as_ref().map(secrecy::ExposeSecret::expose_secret);
    let key = inline_or_file("client-key", data, auth.client_key.as_deref())?;
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => pair(&certificate, &key).map(Some),
        (Some(_), None) => Err("it has a client certificate, but no key for it".to_owned()),
        (None, Some(_)) => Err("it has a client key, but no certificate for it".to_owned()),
    }
}

/// A client certificate and its key, in PEM.
pub(super) fn pair(certificate: &[u8], key: &[u8]) -> Result<Identity, String> {
    register_key(&String::from_utf8_lossy(key));
    let chain = certificates("client-certificate", certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "client-key holds no private key in PEM".to_owned())?;
    Ok(Identity { chain, key: std::sync::Arc::new(key) })
}

/// Every secret of a login is masked from now on.
fn register(auth: &AuthInfo) {
    for secret in [&auth.token, &auth.password, &auth.client_key_data].into_iter().flatten() {
        drop(Secret::new(secret.expose_secret().trim()));
    }
    for value in auth.auth_provider.iter().flat_map(|provider| &provider.config) {
        if value.0.contains("token") || value.0.contains("secret") {
            drop(Secret::new(value.1.trim()));
        }
    }
}

/// The lines of a private key, without those that every key has.
fn register_key(pem: &str) {
    let lines: Vec<&str> = pem.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("-----")).collect();
    drop(Secret::new(lines.join("\n")));
}

/// An address for an error: masked, short, and without a login in it.
pub(super) fn shown(address: &str) -> String {
    excerpt(&without_login(address), ADDRESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(yaml: &str, context: Option<&str>) -> Result<Selected, String> {
        let all = Kubeconfig::from_yaml(yaml).unwrap();
        let text = |Explained(trouble): Explained| std::iter::once(trouble.summary).chain(trouble.hints).collect::<Vec<_>>().join("\n");
        pick(all, context, "kubeconfig k".to_owned()).map_err(text)
    }

    const GOOD: &str = "clusters: [{name: c, cluster: {server: 'https://h:6443', tls-server-name: n, proxy-url: 'socks5://p'}}]\n\
        users: [{name: u, user: {token: t-of-kubeconfig}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n";

    #[test]
    fn a_context_selects_cluster_and_user() {
        let selected = picked(GOOD, Some("x")).unwrap();
        assert_eq!(selected.origin.line(), "kubeconfig k, context x, user u");
        assert_eq!((selected.server.as_str(), selected.server_name.as_deref()), ("https://h:6443", Some("n")));
        assert_eq!(selected.proxy.unwrap().to_string(), "socks5://p:1080 (proxy-url of the kubeconfig)");
        assert!(selected.trust.verifies());
    }

    #[test]
    fn what_is_missing_is_named_with_what_is_there() {
        for (change, context, expected) in [
            (("", ""), None, "it has no current context\nits contexts are x\n"),
            (("", ""), Some("y"), "it has no context `y`\nits contexts are x\n"),
            (("name: c", "name: other"), Some("x"), "it has no cluster `c`, which context `x` names\nits clusters are other"),
            (("name: u", "name: other"), Some("x"), "it has no user `u`, which context `x` names\nits users are other"),
            (("server: 'https://h:6443'", "server: ''"), Some("x"), "cluster `c` has no server"),
            (("socks5://p", "ftp://p"), Some("x"), "unsupported scheme `ftp`"),
            (("tls-server-name: n", "certificate-authority-data: 'bm9uc2Vuc2U='"), Some("x"), "holds no certificate in PEM"),
            (("tls-server-name: n", "certificate-authority-data: '%'"), Some("x"), "certificate-authority-data is not base64"),
            (("tls-server-name: n", "certificate-authority: /no/such/ca"), Some("x"), "/no/such/ca: no such file"),
            (("token: t", "client-certificate-data: eA==, token: t"), Some("x"), "but no key for it"),
        ] {
            let error = picked(&GOOD.replace(change.0, change.1), context).unwrap_err();
            assert!(error.starts_with("kubeconfig k cannot be used: ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_broken_file_is_named_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("k");
        for text in
            ["users: [{name: u, user: {token: [sha256~of-broken-file]}}]", "a: b: sha256~of-broken-file", "\t- sha256~of-broken-file"]
        {
            std::fs::write(&file, text).unwrap();
            let error = read(&file).unwrap_err().to_string();
            assert!(error.contains(&file.display().to_string()) && !error.contains("of-broken-file"), "{error}");
        }
        assert!(read(folder.path()).unwrap_err().to_string().contains("it is a folder"));
        assert!(read(&folder.path().join("gone")).unwrap_err().to_string().ends_with("no such file"));
    }
}
