//! OpenShift Virtualization: the cluster that Forklift runs on, or another one. Everything is read when it is asked for.

mod export;
mod machine;
mod session;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use http::StatusCode;
use mtv_api::{
    forklift::VmStatus,
    kinds::{NAD, STORAGE_CLASS, VM},
};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{Collection, Kind, Login, Machine, Migrating, Query, Refused, Reply, Session, Site, Source, Traits, Volumes};
use crate::{
    forklift::{
        cluster::{Cluster, Look},
        plan::Work,
        reference::Reference,
    },
    inventory::News,
    inventory::openshift as inventory,
};

/// The kind.
pub struct Openshift;

impl Kind for Openshift {
    fn name(&self) -> &'static str {
        "openshift"
    }

    fn traits(&self) -> Traits {
        Traits { pvc_template: "{{.SourcePVCName}}", generate_name: false, ..Traits::PLAIN }
    }

    fn missing(&self, login: &Login) -> Vec<String> {
        // The cluster that Forklift runs on has no Secret.
        if login.url.is_empty() { Vec::new() } else { login.lacks(&["token"]) }
    }

    fn test<'a>(&'a self, site: &'a Site, login: &'a Login) -> BoxFuture<'a, Result<String, Refused>> {
        async move {
            if login.url.is_empty() {
                return site
                    .cluster
                    .client()
                    .apiserver_version()
                    .await
                    .map(|_| String::new())
                    .map_err(|error| Refused::other(error.to_string()));
            }
            let tried = async {
                let client = remote(login)?;
                // Any authenticated user may read this; an unknown token may not.
                client.request::<Value>(http::Request::get("/api/v1/namespaces/default").body(Vec::new())?).await?;
                anyhow::Ok(String::new())
            };
            tried.await.map_err(|error| Refused::other(format!("{error:#}")))
        }
        .boxed()
    }

    fn open(&self, site: &Site, provider: &str, login: Login, _changed: broadcast::Sender<News>) -> Arc<dyn Source> {
        let cluster = if login.url.is_empty() { Some(site.cluster.clone()) } else { remote(&login).ok().map(Cluster::new) };
        tracing::debug!(provider, url = login.url, "an OpenShift provider is read from its cluster");
        Arc::new(Connected { login, cluster: cluster.unwrap_or_else(|| site.cluster.clone()) })
    }
}

/// A client of another cluster, with the token of the Provider's Secret.
fn remote(login: &Login) -> anyhow::Result<kube::Client> {
    let mut config = kube::Config::new(login.url.parse().context("`url` is none")?);
    config.auth_info.token = Some(login.get("token").context("the secret has no token")?.to_owned().into());
    config.accept_invalid_certs = login.insecure();
    if let Some(pem) = login.ca() {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        config.root_cert = Some(CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).map(|c| c.to_vec()).collect());
    }
    Ok(kube::Client::try_from(config)?)
}

/// A Provider of the kind.
pub struct Connected {
    login: Login,
    cluster: Cluster,
}

impl Source for Connected {
    fn login(&self) -> &Login {
        &self.login
    }

    fn has_parity(&self) -> bool {
        true
    }

    fn reads_all_within(&self, _patience: Duration) -> BoxFuture<'_, bool> {
        ready(true).boxed()
    }

    fn counters(&self) -> BoxFuture<'_, Value> {
        async move { inventory::counters(&self.cluster).await.unwrap_or_else(|_| json!({})) }.boxed()
    }

    fn answer<'a>(&'a self, provider: &'a str, rest: &'a [&'a str], query: &'a Query) -> BoxFuture<'a, Reply> {
        async move {
            let Some(kind) = inventory::collection(rest[0]) else { return Reply::NoSuchPath };
            let detail = if rest.len() > 1 { u8::MAX } else { query.detail.unwrap_or(0) };
            let list = match inventory::list(&self.cluster, provider, rest[0], kind, &query.namespace, detail).await {
                Ok(list) => list,
                Err(error) => return Reply::Broken(error),
            };
            match rest {
                [_] => {
                    Reply::Json(query.page(list.into_iter().filter(|o| query.name.is_empty() || o.text("/name") == query.name).collect()))
                }
                [_, id] => match list.into_iter().find(|o| o.text("/uid") == *id) {
                    Some(found) => Reply::Json(found),
                    None => Reply::Status(StatusCode::NOT_FOUND),
                },
                _ => Reply::NoSuchPath,
            }
        }
        .boxed()
    }

    fn find<'a>(&'a self, what: Collection, reference: &'a Reference) -> BoxFuture<'a, anyhow::Result<Vec<Reference>>> {
        async move {
            let kind = match what {
                Collection::Vms => &VM,
                Collection::Networks => &NAD,
                Collection::Storage => &STORAGE_CLASS,
            };
            let (namespace, name) = match reference.name.split_once('/') {
                Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
                None => (reference.namespace.clone(), reference.name.clone()),
            };
            let all = self.cluster.list(kind, &namespace, "").await?;
            let same = |o: &&Value| if reference.id.is_empty() { o.text("/metadata/name") == name } else { o.uid() == reference.id };
            let found = |o: &Value| Reference {
                id: o.uid().to_owned(),
                name: o.text("/metadata/name").to_owned(),
                namespace: if what == Collection::Vms { o.text("/metadata/namespace").to_owned() } else { String::new() },
                kind: String::new(),
            };
            Ok(all.iter().filter(same).map(found).collect())
        }
        .boxed()
    }

    fn machine<'a>(&'a self, id: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Machine>>> {
        machine::read(&self.cluster, id).boxed()
    }

    fn session(&self) -> BoxFuture<'_, anyhow::Result<Box<dyn Session>>> {
        ready(Ok(Box::new(session::LoggedIn(self.cluster.clone())) as Box<dyn Session>)).boxed()
    }

    fn volumes<'a>(&'a self, migrating: &'a Migrating<'a>) -> BoxFuture<'a, anyhow::Result<Volumes>> {
        export::volumes(&self.cluster, migrating).boxed()
    }

    /// The token of an export, which is known once its links are.
    fn credentials(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn release<'a>(&'a self, work: &'a Work<'a>, vm: &'a VmStatus) -> BoxFuture<'a, anyhow::Result<()>> {
        export::release(&self.cluster, work.uid(), &vm.id).boxed()
    }
}
