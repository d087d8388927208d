//! A real Kubernetes API: etcd, kube-apiserver and, if asked for, kube-controller-manager.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::{assets, certificates, process::Process};

/// Longest wait for a server to be ready. kube-apiserver takes 4 to 6 s on two idle cores.
const READY: Duration = Duration::from_mins(2);
/// How often a server that starts is asked; they offer nothing to watch.
const EVERY: Duration = Duration::from_millis(50);
/// Starts until one finds its ports free: between choosing a port and using it, somebody else may take it.
const TRIES: usize = 3;

/// User with every right (group `system:masters`).
pub const ADMIN: &str = "admin";
/// User without any right but those of everyone who can log in.
pub const NOBODY: &str = "nobody";

/// What is started beside the API server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Controllers of kube-controller-manager; none: it does not run. Names as its `--controllers` has them, such as
    /// `namespace-controller`, `garbage-collector-controller`, `job-controller`, `persistentvolume-binder-controller`.
    pub controllers: Vec<&'static str>,
    /// More flags for kube-apiserver.
    pub apiserver_flags: Vec<String>,
}

impl Options {
    /// With the controllers that clean up: namespaces end, and what lost its owner goes.
    pub fn cleaning() -> Self {
        Self { controllers: vec!["namespace-controller", "garbage-collector-controller"], ..Self::default() }
    }
}

/// A running cluster without nodes. Two users: [`ADMIN`] and [`NOBODY`], with the tokens `token-admin` and `token-nobody`.
#[derive(Debug)]
pub struct RealCluster {
    // Ended in this order.
    _manager: Option<Process>,
    _apiserver: Process,
    _etcd: Process,
    url: String,
    authority: String,
    kubeconfig: PathBuf,
    folder: tempfile::TempDir,
}

/// Bearer token of a user.
pub fn token(user: &str) -> String {
    format!("token-{user}")
}

fn kubeconfig(url: &str, authority: &str, user: &str) -> String {
    let authority = BASE64_STANDARD.encode(authority);
    let token = token(user);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: real\nclusters:\n- name: real\n  cluster:\n    server: {url}\n    certificate-authority-data: {authority}\n\
         contexts:\n- name: real\n  context:\n    cluster: real\n    user: {user}\n    namespace: default\nusers:\n- name: {user}\n  user:\n    token: {token}\n"
    )
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("failed to find a free port")?.local_addr()?.port())
}

impl RealCluster {
    /// Starts a cluster and waits until it is ready; `None` without assets (see [`assets::find`]).
    ///
    /// # Errors
    /// A server ended, or was not ready in two minutes: with the end of what it printed.
    pub async fn start(options: Options) -> anyhow::Result<Option<Self>> {
        let (Some(etcd), Some(apiserver)) = (assets::find("etcd"), assets::find("kube-apiserver")) else { return Ok(None) };
        let manager = if options.controllers.is_empty() {
            None
        } else {
            let Some(manager) = assets::find("kube-controller-manager") else { return Ok(None) };
            Some(manager)
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut last = None;
        for _ in 0..TRIES {
            match Self::try_start(&etcd, &apiserver, manager.as_deref(), &options).await {
                Ok(cluster) => return Ok(Some(cluster)),
                Err(error) if format!("{error:#}").contains("address already in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no port was free in {TRIES} tries")))
    }

    async fn try_start(etcd: &Path, apiserver: &Path, manager: Option<&Path>, options: &Options) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("failed to make a folder for the cluster")?;
        let at = |file: &str| folder.path().join(file).display().to_string();
        let authority = certificates::write(folder.path()).context("failed to make the cluster's certificates")?;
        let (client_url, peer_url) = (format!("http://127.0.0.1:{}", free_port()?), format!("http://127.0.0.1:{}", free_port()?));
        let mut etcd = Process::start(
            etcd,
            &[
                format!("--data-dir={}", at("etcd")),
                "--unsafe-no-fsync".to_owned(),
                format!("--listen-client-urls={client_url}"),
                format!("--advertise-client-urls={client_url}"),
                format!("--listen-peer-urls={peer_url}"),
                format!("--initial-advertise-peer-urls={peer_url}"),
                format!("--initial-cluster=default={peer_url}"),
                "--log-level=error".to_owned(),
            ],
            folder.path(),
        )?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        ready(&http, &format!("{client_url}/readyz"), &mut etcd).await?;

        let users = format!("{},{ADMIN},{ADMIN},\"system:masters\"\n{},{NOBODY},{NOBODY}\n", token(ADMIN), token(NOBODY));
        fs::write(at("tokens.csv"), users)?;
        let port = free_port()?;
        let url = format!("https://127.0.0.1:{port}");
        let mut flags = vec![
            format!("--etcd-servers={client_url}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            "--endpoint-reconciler-type=none".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            format!("--token-auth-file={}", at("tokens.csv")),
            format!("--tls-cert-file={}", at("server.pem")),
            format!("--tls-private-key-file={}", at("server.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", at("accounts.pem")),
            format!("--service-account-signing-key-file={}", at("accounts.key")),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            // Aggregated API servers.
            format!("--requestheader-client-ca-file={}", at("ca.pem")),
            format!("--requestheader-allowed-names={}", certificates::FRONT_PROXY),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            format!("--proxy-client-cert-file={}", at("proxy.pem")),
            format!("--proxy-client-key-file={}", at("proxy.key")),
        ];
        flags.extend(options.apiserver_flags.iter().cloned());
        let mut apiserver = Process::start(apiserver, &flags, folder.path())?;
        let roots = vec![reqwest::Certificate::from_pem(authority.as_bytes())?];
        let https = reqwest::Client::builder().no_proxy().tls_certs_only(roots).build()?;
        ready(&https, &format!("{url}/readyz"), &mut apiserver).await?;

        let path = folder.path().join("kubeconfig");
        fs::write(&path, kubeconfig(&url, &authority, ADMIN))?;
        let manager = match manager {
            None => None,
            Some(manager) => {
                let flags = [
                    format!("--kubeconfig={}", path.display()),
                    format!("--controllers={}", options.controllers.join(",")),
                    "--secure-port=0".to_owned(),
                    "--leader-elect=false".to_owned(),
                ];
                Some(Process::start(manager, &flags, folder.path())?)
            }
        };
        Ok(Self { _manager: manager, _apiserver: apiserver, _etcd: etcd, url, authority, kubeconfig: path, folder })
    }

    /// URL of the API.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate that clients must trust, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.authority
    }

    /// The file of [`ADMIN`]'s kubeconfig. It goes with the cluster.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A user's kubeconfig.
    pub fn kubeconfig_of(&self, user: &str) -> String {
        kubeconfig(&self.url, &self.authority, user)
    }

    /// A folder that goes with the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A client of [`ADMIN`].
    ///
    /// # Errors
    /// The kubeconfig is none, which would be a mistake of this crate.
    pub async fn client(&self) -> anyhow::Result<kube::Client> {
        self.client_of(ADMIN).await
    }

    /// A client of a user.
    ///
    /// # Errors
    /// As [`RealCluster::client`].
    pub async fn client_of(&self, user: &str) -> anyhow::Result<kube::Client> {
        let kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig_of(user))?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        // Loopback needs no proxy, whatever the environment says.
        config.proxy_url = None;
        Ok(kube::Client::try_from(config)?)
    }
}

/// Waits until a health endpoint says yes.
async fn ready(http: &reqwest::Client, url: &str, server: &mut Process) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut last = "no answer".to_owned();
    while start.elapsed() < READY {
        server.alive()?;
        match http.get(url).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => last = format!("status {}", answer.status()),
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(EVERY).await;
    }
    anyhow::bail!("{url} was not ready after {READY:?}, last: {last}\n{}", server.tail())
}
