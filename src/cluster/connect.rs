//! Finding and reaching a cluster the way kubectl does, or as `oc login` does.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderValue, header};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use secrecy::ExposeSecret as _;

use super::{Cluster, Requests, ServerClock, bounded::Bounded, hub::Hub, oauth, pause::PauseInStatus, trace::Trace};
use crate::{retry::Policy, secrets::Secret};

/// Longest wait for a TCP connection to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How audit logs know the tool.
const AGENT: &str = concat!("mtv-test/", env!("CARGO_PKG_VERSION"));

/// Which cluster, and how to log in: as kubectl's own flags say it, or by user and password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `--kubeconfig`; otherwise `KUBECONFIG`, `~/.kube/config`, then the pod's own service account.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// Login by user and password instead of a kubeconfig.
    pub login: Option<PasswordLogin>,
    /// Leave the certificates of the cluster unverified, whatever the kubeconfig says: the user's own choice.
    pub insecure: bool,
}

/// A login through OpenShift's OAuth server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordLogin {
    /// URL of the API server.
    pub host: String,
    /// User.
    pub username: String,
    /// Password.
    pub password: Secret,
    /// PEM file of certificates to trust beside the system's, for the API server and the OAuth server.
    pub ca_file: Option<PathBuf>,
    /// Further PEM certificates to trust.
    pub ca_pem: Option<String>,
}

impl Cluster {
    /// Reads the configuration. Contacts nobody, unless it has to log in by user and password.
    ///
    /// # Errors
    /// No cluster is configured, the configuration cannot be used, or the login is refused.
    pub async fn connect(options: &ConnectOptions) -> anyhow::Result<Self> {
        let mut config = match &options.login {
            Some(login) => by_password(login, options.insecure).await?,
            None => configuration(options).await?,
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.accept_invalid_certs |= options.insecure;
        register_secrets(&mut config).await;
        if let Some(token) = &config.auth_info.token {
            // kube panics on it when it builds the client.
            http::HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
                .map_err(|_| anyhow::anyhow!("the login's token cannot be sent: it holds a line end or another control character"))?;
        }
        // Repeated by our own policy: kube's would send a create again after a 504 without a look.
        config.default_retry = false;
        config.headers.push((header::USER_AGENT, HeaderValue::from_static(AGENT)));
        let (requests, clock) = (Requests::default(), ServerClock::default());
        let client = ClientBuilder::try_from(config.clone())
            .with_context(|| format!("failed to set up a client for {}", config.cluster_url))?
            .with_layer(&Bounded::Api)
            .with_layer(&PauseInStatus)
            .with_layer(&Trace("kubernetes"))
            .with_layer(&requests)
            .with_layer(&clock)
            .build();
        Ok(Self { client, hub: Hub::default(), requests, clock, config, policy: Policy::current(), served: std::sync::Arc::default() })
    }

    /// A cluster behind a client that is there already, for tests without a network.
    pub fn over(client: Client) -> Self {
        let config = Config::new(http::Uri::from_static("https://cluster.invalid"));
        Self {
            client,
            hub: Hub::default(),
            requests: Requests::default(),
            clock: ServerClock::default(),
            config,
            policy: Policy::current(),
            served: std::sync::Arc::default(),
        }
    }
}

async fn by_password(login: &PasswordLogin, insecure: bool) -> anyhow::Result<Config> {
    let url = login.host.parse().with_context(|| format!("`{}` is no URL of an API server", login.host))?;
    let mut config = Config::new(url);
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // kube's own would send a code that holds for one try a second time.
    config.default_retry = false;
    config.accept_invalid_certs = insecure;
    let mut bundles = Vec::new();
    if let Some(file) = &login.ca_file {
        let what = format!("failed to read the certificates of {}", file.display());
        let pem = std::fs::read(file).with_context(|| what.clone())?;
        bundles.push((what, pem));
    }
    bundles.extend(login.ca_pem.iter().map(|pem| ("failed to read the certificates given for it".to_owned(), pem.clone().into_bytes())));
    if !bundles.is_empty() {
        let mut roots = Vec::new();
        for (what, pem) in bundles {
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.push(certificate.with_context(|| what.clone())?.to_vec());
            }
            anyhow::ensure!(roots.len() > before, "{what}: there is none in it");
        }
        roots.extend(rustls_native_certs::load_native_certs().certs.iter().map(|certificate| certificate.to_vec()));
        config.root_cert = Some(roots);
    }
    let token = oauth::log_in(&config, login).await?;
    config.auth_info.token = Some(token.expose().to_owned().into());
    Ok(config)
}

/// Every secret of a login is known to the mask, and none is handed to a plugin that runs beside.
async fn register_secrets(config: &mut Config) {
    let auth = &mut config.auth_info;
    for secret in [&auth.token, &auth.password, &auth.client_key_data].into_iter().flatten() {
        Secret::new(secret.expose_secret());
    }
    if let Some(data) = auth.client_key_data.as_ref().and_then(|key| BASE64_STANDARD.decode(key.expose_secret()).ok()) {
        Secret::new(String::from_utf8_lossy(&data).trim());
    }
    for file in [&auth.token_file, &auth.client_key].into_iter().flatten() {
        if let Ok(text) = tokio::fs::read_to_string(file).await {
            Secret::new(text.trim());
        }
    }
    if let Some(exec) = &mut auth.exec {
        exec.drop_env = Some(crate::secrets::variables());
    }
}

async fn configuration(options: &ConnectOptions) -> anyhow::Result<Config> {
    let selection = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &options.kubeconfig {
        let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("failed to read kubeconfig {}", path.display()))?;
        return Config::from_custom_kubeconfig(kubeconfig, &selection)
            .await
            .with_context(|| format!("kubeconfig {} cannot be used", path.display()));
    }
    if options.context.is_some() || std::env::var_os("KUBECONFIG").is_some() {
        return Config::from_kubeconfig(&selection).await.context("kubeconfig cannot be used");
    }
    Config::infer()
        .await
        .map_err(|_| anyhow::anyhow!("no cluster is configured: neither a kubeconfig nor a pod's service account was found"))
}

/// What `-vv` calls the OAuth server.
pub(super) const OAUTH: &str = "oauth";

/// A client of the same login for another address; `service` is what `-vv` calls it.
pub(super) fn client_for(config: &Config, url: &str, more_ca: &str, service: &'static str) -> anyhow::Result<Client> {
    let mut config = config.clone();
    config.cluster_url = url.parse().with_context(|| format!("`{url}` is not a URL"))?;
    config.tls_server_name = None;
    if let Some(roots) = &mut config.root_cert {
        for certificate in CertificateDer::pem_slice_iter(more_ca.as_bytes()) {
            roots.push(certificate.context("a certificate of the ingress CA bundle cannot be read")?.to_vec());
        }
    }
    let builder = ClientBuilder::try_from(config).with_context(|| format!("failed to set up a client for {url}"))?;
    // The counts are the cluster's; here the layer is for the kill points that it passes.
    let bounded = if service == OAUTH { Bounded::Login } else { Bounded::Lists };
    Ok(builder.with_layer(&bounded).with_layer(&PauseInStatus).with_layer(&Trace(service)).with_layer(&Requests::default()).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let options = ConnectOptions { kubeconfig: Some("no/such/file".into()), ..ConnectOptions::default() };
        let error = Cluster::connect(&options).await.err().unwrap();
        assert!(format!("{error:#}").contains("no/such/file"), "{error:#}");
    }
}
