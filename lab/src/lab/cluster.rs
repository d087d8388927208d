//! An API server that is there already: how the lab reaches it, and what it needs there before its controllers start.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use futures::future::try_join_all;
use k8s_openapi::{api::core::v1::Node, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition};
use kube::{
    Api, Client, Config, ResourceExt,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use mtv_api::kinds::{self, Kind};
use serde_json::Value;

use crate::{
    kubernetes,
    roles::{openshift, write},
};

const MANAGER: &str = "lab";
/// Longest wait until a new definition is served.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// A Kubernetes API server that is there already, to be used in place of the lab's own.
#[derive(Clone)]
pub struct Cluster {
    /// Client for the lab's controllers: they need every right.
    pub client: Client,
    /// What clients of the lab are given. Holds secrets.
    pub kubeconfig: String,
    /// URL of the API.
    pub url: String,
}

impl Cluster {
    /// The cluster of a kubeconfig's current context.
    ///
    /// # Errors
    /// The file cannot be read, or what it says is no cluster with a login.
    pub async fn of_kubeconfig(file: &Path) -> anyhow::Result<Self> {
        // Whoever embeds the lab may have chosen one already.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let what = || format!("failed to read the kubeconfig {}", file.display());
        // Relative paths in the file become absolute: the copy lies in another folder.
        let kubeconfig = Kubeconfig::read_from(file).with_context(what)?;
        let copy = serde_json::to_string_pretty(&kubeconfig).with_context(what)? + "\n";
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.with_context(what)?;
        let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        Ok(Self { client: Client::try_from(config).with_context(what)?, kubeconfig: copy, url })
    }

    /// Refuses a cluster that people work with: the lab's scheduler, kubelet and OpenShift would get in its way.
    pub(super) async fn must_be_empty(&self) -> anyhow::Result<()> {
        let nodes = Api::<Node>::all(self.client.clone()).list(&ListParams::default()).await;
        let nodes = nodes.with_context(|| format!("failed to ask {} for its nodes", self.url))?;
        let of_the_lab = |node: &Node| {
            let provider = node.spec.as_ref().and_then(|spec| spec.provider_id.as_deref());
            provider.is_some_and(|id| id.starts_with(openshift::NODE_PROVIDER))
        };
        match nodes.iter().find(|node| !of_the_lab(node)) {
            None => Ok(()),
            Some(node) => anyhow::bail!(
                "{} is a cluster with nodes of its own, such as {}: the lab needs an API server that nothing else works on",
                self.url,
                node.name_any()
            ),
        }
    }

    /// Defines the kinds of the lab that this server does not serve yet; returns when all are served.
    pub(super) async fn define(&self) -> anyhow::Result<()> {
        try_join_all(kubernetes::definitions().into_iter().map(|(kind, definition)| self.define_one(kind, definition))).await.map(drop)
    }

    async fn define_one(&self, kind: &Kind, definition: Value) -> anyhow::Result<()> {
        // Asked for the resource and not for a definition: OpenShift serves some kinds by an aggregated server.
        let served = write::missing(self.client.list_api_group_resources(&kind.api_version()).await)
            .with_context(|| format!("failed to ask for the resources of {}", kind.api_version()))?;
        if served.is_some_and(|list| list.resources.iter().any(|resource| resource.name == kind.plural)) {
            return Ok(());
        }
        let name = write::text(&definition, "/metadata/name").to_owned();
        write::create(&self.client, MANAGER, &kinds::CRD, definition).await?;
        let definitions = Api::<CustomResourceDefinition>::all(self.client.clone());
        match tokio::time::timeout(ESTABLISHED, await_condition(definitions, &name, is_crd_established())).await {
            Ok(waited) => waited.map(drop).with_context(|| format!("failed to watch the definition {name}")),
            Err(_) => anyhow::bail!("the definition {name} was not established after {ESTABLISHED:?}"),
        }
    }
}
