//! Forklift's inventory service behind its Route.

use std::time::Duration;

use anyhow::Context as _;
use futures::{FutureExt as _, future::BoxFuture};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    cluster::{Cluster, Service, Unusable, said, unusable},
    config::profile::ProviderKind,
    diagnosis::{Diagnosis, Id},
    engine::{Deadline, Failure, StepCx, human},
    retry::{Pauses, Policy},
};

/// Route of the inventory in the operator's namespace.
const ROUTE: &str = "forklift-inventory";

/// First and longest pause between looks: the inventory has no watch that survives a Route, so it is asked.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// The document of a VM, or what is there instead: another answer than the inventory's own proves nothing.
fn is_vm(answer: Option<Value>, id: &str) -> Result<Value, String> {
    match answer {
        Some(vm) if vm["id"].as_str() == Some(id) => Ok(vm),
        Some(_) => Err(format!("an answer that is not VM {id}")),
        None => Err("not there".to_owned()),
    }
}
/// Longest time for one look, with all attempts of its requests, and that of the look that begins at the deadline.
const LOOK: Duration = Policy::STANDARD.budget;
const GRACE: Duration = Duration::from_secs(2);

/// The inventory, as seen with the user's own login.
#[derive(Clone)]
pub struct Inventory {
    service: Service,
    kind: ProviderKind,
    provider: String,
    /// Whether the login has a token, which the inventory asks for.
    has_token: bool,
}

impl Inventory {
    /// Finds the Route. `provider` is the UID of the source Provider.
    pub async fn connect(cluster: &Cluster, mtv_namespace: &str, kind: ProviderKind, provider: &str) -> anyhow::Result<Self> {
        let service = cluster.service(mtv_namespace, ROUTE, "the inventory").await;
        let service = service.with_context(|| format!("the inventory cannot be reached; is MTV installed in {mtv_namespace}?"))?;
        Ok(Self { service, kind, provider: provider.to_owned(), has_token: cluster.has_token() })
    }

    /// Asks the inventory something before anything is created: one that refuses the login, or whose certificate is not
    /// trusted, is reported at once. A login that may not list all Providers may still read those of its own namespaces.
    ///
    /// # Errors
    /// It cannot be reached, is not an inventory, or refuses the login.
    pub async fn greet(cluster: &Cluster, mtv_namespace: &str, limit: Duration) -> Result<(), Failure> {
        let path = "/providers";
        let ask = async {
            let inventory = Self::connect(cluster, mtv_namespace, ProviderKind::Vsphere, "").await?;
            let (status, body) = inventory.service.read(path).await?;
            match status {
                StatusCode::OK | StatusCode::FORBIDDEN => Ok(()),
                StatusCode::UNAUTHORIZED => Err(inventory.refused(status, &body)),
                other => {
                    Err(anyhow::anyhow!("the inventory answered {other}{}", said(&body))).with_context(|| inventory.service.failed(path))
                }
            }
        };
        match Deadline::after(limit).scope(ask).await {
            Ok(()) => Ok(()),
            Err(error) => Err(explained(error)),
        }
    }

    /// Asks for the source Provider, now that it is there.
    ///
    /// # Errors
    /// The login may not read it.
    pub async fn check_rights(&self) -> Result<(), Failure> {
        let path = format!("/providers/{}/{}", self.kind, self.provider);
        match self.service.read(&path).await {
            Ok((status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), body)) => Err(explained(self.refused(status, &body))),
            // Whatever else is wrong may pass until it is needed.
            _ => Ok(()),
        }
    }

    /// Why the inventory refuses the login.
    fn refused(&self, status: StatusCode, body: &[u8]) -> anyhow::Error {
        let mut trouble =
            Diagnosis::new(Id::InventoryRefused, format!("the inventory refuses the login to the cluster ({status}){}", said(body)));
        if !self.has_token {
            trouble = trouble
                .cause("the login has no token, only a client certificate or nothing, and the inventory takes nothing but tokens")
                .hint("log in with `oc login`, or put a token into the kubeconfig: `oc create token SERVICE-ACCOUNT`");
        } else if status == StatusCode::FORBIDDEN {
            trouble = trouble
                .hint("the login needs the right to get Providers: check it with `oc auth can-i get providers.forklift.konveyor.io`");
        } else {
            trouble = trouble.hint("the token may have ended: log in again with `oc login`");
        }
        unusable(trouble)
    }

    /// Reads something of the source Provider, such as `vms/vm-12`; `None` if it is not there or not loaded yet.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let path = format!("/providers/{}/{}/{path}", self.kind, self.provider);
        let what = || self.service.failed(&path);
        let (status, body) = self.service.read(&path).await?;
        match status {
            StatusCode::OK => Ok(Some(serde_json::from_slice(&body).with_context(what)?)),
            // 206: the collector has not loaded everything yet; its body is empty.
            StatusCode::NOT_FOUND | StatusCode::PARTIAL_CONTENT => Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(self.refused(status, &body)),
            other => Err(anyhow::anyhow!("the inventory answered {other}{}", said(&body))).with_context(what),
        }
    }

    /// Waits until a VM of the source is in the inventory.
    pub async fn wait_for_vm(&self, cx: &StepCx, id: &str, name: &str, limit: Duration) -> Result<(), Failure> {
        let path = format!("vms/{id}");
        let look = || async { Ok(is_vm(self.get::<Value>(&path).await?, id)) }.boxed();
        self.wait(cx, &format!("VM {name} ({id})"), limit, look).await.map(drop)
    }

    /// Waits until a VM of this name is in the inventory, and reads it.
    pub async fn wait_for_name(&self, cx: &StepCx, name: &str, limit: Duration) -> Result<Value, Failure> {
        self.wait(cx, &format!("VM {name}"), limit, || self.by_name(name).boxed()).await
    }

    /// The VM of this name, or what is there instead.
    async fn by_name(&self, name: &str) -> anyhow::Result<Result<Value, String>> {
        let Some(all) = self.get::<Vec<Value>>("vms").await? else { return Ok(Err("not loaded".to_owned())) };
        let ids: Vec<&str> = all.iter().filter(|vm| vm["name"] == name).filter_map(|vm| vm["id"].as_str()).collect();
        match ids.as_slice() {
            [id] => Ok(is_vm(self.get::<Value>(&format!("vms/{id}")).await?, id)),
            [] => {
                let names: Vec<&str> = all.iter().filter_map(|vm| vm["name"].as_str()).collect();
                Ok(Err(format!("not there; the source has [{}]", names.join(", "))))
            }
            several => Ok(Err(format!("{} VMs have this name", several.len()))),
        }
    }

    /// Looks until something is there. A look answers what is there instead.
    async fn wait<'a, T: Send>(
        &self,
        cx: &StepCx,
        what: &str,
        limit: Duration,
        look: impl Fn() -> BoxFuture<'a, anyhow::Result<Result<T, String>>> + Send + Sync,
    ) -> Result<T, Failure> {
        let started = Instant::now();
        let mut pauses = Pauses::new(PAUSES, cx.deadline.within(limit));
        cx.progress(format!("waiting for {what} to appear in the inventory"), None);
        loop {
            let attempt = Deadline::after(pauses.patience(LOOK, GRACE));
            let last = match attempt.scope(look()).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(last)) => last,
                Err(error) if error.downcast_ref::<Unusable>().is_some() => return Err(explained(error)),
                Err(error) => format!("{error:#}"),
            };
            if pauses.over() {
                return Err(Failure::Errored(
                    Diagnosis::new(
                        Id::InventoryTimeout,
                        format!("timed out after {} waiting for {what} to appear in the inventory", human(started.elapsed())),
                    )
                    .evidence(format!("last state: {last}"))
                    .hint("is the source Provider Ready? A longer inventory_timeout helps with big sources"),
                ));
            }
            tokio::select! {
                () = cx.cancel.cancelled() => return Err(Failure::Interrupted),
                _ = pauses.wait() => {}
            }
        }
    }
}

/// The failure, with what helps when the certificate of a Route is not trusted.
fn explained(error: anyhow::Error) -> Failure {
    match Failure::from(error) {
        Failure::Errored(diagnosis) if diagnosis.id == Id::ClusterCertificateUntrusted => Failure::Errored(
            Diagnosis { id: Id::InventoryCertificateUntrusted, ..diagnosis }
                .hint("Routes are signed by the ingress CA, which ConfigMap openshift-config-managed/default-ingress-cert holds")
                .hint("where the login may not read it: add that CA to `certificate-authority` of the kubeconfig, or name it in SSL_CERT_FILE"),
        ),
        failure => failure,
    }
}
