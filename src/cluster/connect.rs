//! Finding and reaching a cluster the way kubectl does.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{Cluster, Requests, hub::Hub};

/// Longest wait for a TCP connection to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Which cluster, as kubectl's own flags say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `--kubeconfig`; otherwise `KUBECONFIG`, `~/.kube/config`, then the pod's own service account.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
}

impl Cluster {
    /// Reads the configuration; contacts nobody yet.
    ///
    /// # Errors
    /// No cluster is configured, or the configuration cannot be used.
    pub async fn connect(options: &ConnectOptions) -> anyhow::Result<Self> {
        let mut config = configuration(options).await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let requests = Requests::default();
        let client = ClientBuilder::try_from(config.clone())
            .with_context(|| format!("failed to set up a client for {}", config.cluster_url))?
            .with_layer(&requests)
            .build();
        Ok(Self { client, hub: Hub::default(), requests, config })
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

/// A client of the same login for another address.
pub(super) fn client_for(config: &Config, url: &str, more_ca: &str) -> anyhow::Result<Client> {
    let mut config = config.clone();
    config.cluster_url = url.parse().with_context(|| format!("`{url}` is not a URL"))?;
    config.tls_server_name = None;
    if let Some(roots) = &mut config.root_cert {
        for certificate in CertificateDer::pem_slice_iter(more_ca.as_bytes()) {
            roots.push(certificate.context("a certificate of the ingress CA bundle cannot be read")?.to_vec());
        }
    }
    Client::try_from(config).with_context(|| format!("failed to set up a client for {url}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let options = ConnectOptions { kubeconfig: Some("no/such/file".into()), context: None };
        let error = Cluster::connect(&options).await.err().unwrap();
        assert!(format!("{error:#}").contains("no/such/file"), "{error:#}");
    }
}
