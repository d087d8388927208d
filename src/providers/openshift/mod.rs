//! OpenShift Virtualization as a source: the cluster that the run works on, or another one that the profile names.
//!
//! There is nothing to clone: a VM is made of a boot source of the cluster, in a namespace that the run has for its source VMs.
//! `machine` is the shape of such a VM, `make` and `remove` its life, `describe` what checks compare, `watch` the waits.

mod describe;
mod machine;
mod make;
mod remove;
mod watch;

use std::{collections::BTreeMap, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use kube::api::DynamicObject;
use mtv_api::kinds;
use tokio::sync::RwLock;

use super::{
    Access, CloneRequest, Cloner, Leaving, Machines, MarkedVm, ProviderError, ProviderErrorKind, ProviderResult, Source, SourceVm,
    VmDescription, http,
};
use crate::{
    cluster::{Cluster, ConnectOptions, PasswordLogin},
    config::{
        profile::{GuestLogin, Profile, ProviderKind},
        scenario::PowerWish,
    },
    diagnosis::{Diagnosis, Id},
    secrets::SecretValue,
};

/// Label on everything that a run makes; the one of [`crate::run::names::RUN_LABEL`].
const RUN_LABEL: &str = crate::run::names::RUN_LABEL;

/// A connected cluster.
pub struct Openshift {
    cluster: Cluster,
    /// Shared while a VM is created in the run's namespace, exclusive while the last one has left and the namespace is deleted.
    gate: RwLock<()>,
    /// Whether it is the cluster that the run works on.
    home: bool,
    description: String,
    /// Login that the guests of new VMs get.
    guest: Option<GuestLogin>,
}

impl Openshift {
    /// Connects; `home` is the source where the profile names no other cluster.
    pub async fn connect(profile: &Profile, home: Option<&Cluster>) -> ProviderResult<Self> {
        let (cluster, is_home) = match home {
            Some(home) if profile.api_url.is_empty() => (home.clone(), true),
            None if profile.api_url.is_empty() => {
                return Err(ProviderError::unreachable(format!(
                    "profile `{}` names no api_url, so its VMs are on the cluster of the run, and there is none here",
                    profile.name
                )));
            }
            _ => (other(profile).await?, false),
        };
        let server = cluster.server();
        watch::has_kubevirt(&cluster, &server).await?;
        let place = if is_home { ", the cluster of the run" } else { "" };
        Ok(Self {
            gate: RwLock::default(),
            description: format!("openshift {server}{place}"),
            cluster,
            home: is_home,
            guest: profile.guest_linux.clone(),
        })
    }

    /// The VM of an id, among those that runs have made.
    async fn by_id(&self, id: &str, doing: &str) -> ProviderResult<DynamicObject> {
        let all = self.marked_objects(doing).await?;
        let found = all.into_iter().find(|vm| vm.metadata.uid.as_deref() == Some(id));
        found.ok_or_else(|| ProviderError::not_found(format!("{doing}: there is no VM {id} (any more)")))
    }

    /// The VMs of all runs. A namespace in which a run has no VM stands for itself: the run died before it had one, or while the
    /// namespace went. On the cluster of the run it is known by its label like everything there.
    async fn all_marked(&self) -> ProviderResult<Vec<MarkedVm>> {
        let made = |object: &DynamicObject| object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let vms = self.marked_objects("look for the VMs of runs").await?;
        let mut all: Vec<MarkedVm> = vms.iter().map(|vm| MarkedVm { vm: listed(vm), created: made(vm) }).collect();
        if self.home {
            return Ok(all);
        }
        let namespaces = self.cluster.list(&kinds::NAMESPACE, None, RUN_LABEL).await;
        for namespace in namespaces.map_err(|error| failed("look for namespaces of runs", &error))? {
            let found = listed(&namespace);
            let of_vms = found.run.as_deref().is_some_and(|run| machine::namespace(run) == found.name);
            if of_vms && !all.iter().any(|marked| marked.vm.run == found.run) {
                all.push(MarkedVm { created: made(&namespace), vm: SourceVm { id: String::new(), ..found } });
            }
        }
        Ok(all)
    }

    async fn marked_objects(&self, doing: &str) -> ProviderResult<Vec<DynamicObject>> {
        let listed = self.cluster.list(&kinds::VM, None, RUN_LABEL).await;
        let all = listed.map_err(|error| failed(doing, &error))?;
        // What Forklift makes of a source VM carries the labels of its Plan; it is no source VM.
        let of_forklift = |vm: &DynamicObject| vm.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("plan"));
        Ok(all.into_iter().filter(|vm| !of_forklift(vm)).collect())
    }
}

/// Logs in to another cluster as `oc login` does.
async fn other(profile: &Profile) -> ProviderResult<Cluster> {
    http::require_tls(&http::endpoint(&profile.api_url, "https://HOST:6443")?, profile, "api_url")?;
    let login = PasswordLogin {
        host: profile.api_url.clone(),
        username: profile.username.clone(),
        password: profile.password.clone(),
        ca_file: profile.ca_file.clone(),
        ca_pem: profile.ca_pem.clone(),
    };
    let (insecure, plain_http) = (profile.insecure_skip_verify, profile.allow_plain_http);
    let options = ConnectOptions { login: Some(login), insecure, plain_http, ..ConnectOptions::default() };
    Cluster::connect(&options).await.map_err(|error| {
        let diagnosis = Diagnosis::of_error(&error);
        let text = diagnosis.line(": ");
        // The hints of a cluster's own connection name the keys of another file.
        match diagnosis.id {
            Id::ClusterAuthRefused => ProviderError::login(text).hint("check `username` and `password` of the profile"),
            Id::ClusterCertificateUntrusted => {
                ProviderError::certificate(text).hint("set `ca_file` of the profile to the cluster's CA, or `insecure_skip_verify = true`")
            }
            _ => ProviderError::unreachable(text).hint("check `api_url` of the profile, and the network"),
        }
    })
}

/// A request to the cluster that failed, with the hints that its error carries. `doing` may be empty.
fn failed(doing: &str, error: &anyhow::Error) -> ProviderError {
    let diagnosis = Diagnosis::of_error(error);
    let doing = if doing.is_empty() { String::new() } else { format!("{doing}: ") };
    ProviderError::operation(format!("{doing}{}", diagnosis.line(": "))).with_hints(diagnosis.hints)
}

fn listed(vm: &DynamicObject) -> SourceVm {
    SourceVm {
        id: vm.metadata.uid.clone().unwrap_or_default(),
        name: vm.metadata.name.clone().unwrap_or_default(),
        run: vm.metadata.labels.as_ref().and_then(|labels| labels.get(RUN_LABEL)).cloned(),
    }
}

impl Source for Openshift {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Openshift
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    /// By URL and token. A login without a token reaches the cluster of the run as Forklift itself does, without a Secret.
    fn access(&self) -> Option<Access> {
        let Some(token) = self.cluster.token() else {
            return Some(Access { url: String::new(), secret: Vec::new() });
        };
        let plain = |text: &str| SecretValue::Plain(text.to_owned());
        let url = self.cluster.server();
        let insecure = if self.cluster.tls_verified() { "false" } else { "true" };
        let mut secret = vec![("url", plain(&url)), ("token", SecretValue::Secret(token)), ("insecureSkipVerify", plain(insecure))];
        if self.cluster.tls_verified() {
            secret.extend(self.cluster.trusted().filter(|ca| !ca.is_empty()).map(|ca| ("cacert", SecretValue::Plain(ca))));
        }
        Some(Access { url, secret })
    }

    fn ca_chain(&self) -> BoxFuture<'_, ProviderResult<Option<String>>> {
        async { Ok(self.cluster.trusted().filter(|ca| !ca.is_empty())) }.boxed()
    }

    fn requests(&self) -> BTreeMap<String, u64> {
        // On the cluster of the run they are counted there.
        if self.home { BTreeMap::new() } else { self.cluster.requests() }
    }

    fn disconnect(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn machines(&self) -> Machines<'_> {
        Machines::Cloned(self)
    }
}

impl Cloner for Openshift {
    fn clone_vm<'a>(&'a self, request: &'a CloneRequest) -> BoxFuture<'a, ProviderResult<String>> {
        async move {
            let made = make::vm(&self.cluster, &self.gate, request, self.guest.as_ref()).await;
            if made.is_err()
                && let Err(error) = remove::half_made(&self.cluster, request).await
            {
                // What cannot be removed now is in the journal.
                tracing::warn!(clone = request.name, "a source VM that could not be made stays: {error}");
            }
            made
        }
        .boxed()
    }

    fn set_power<'a>(&'a self, id: &'a str, power: PowerWish) -> BoxFuture<'a, ProviderResult<()>> {
        async move {
            let doing = format!("switch VM {id}");
            let vm = self.by_id(id, &doing).await?;
            make::switch(&self.cluster, &vm, power).await
        }
        .boxed()
    }

    fn wait_for_guest<'a>(&'a self, id: &'a str, patience: Duration) -> BoxFuture<'a, ProviderResult<bool>> {
        async move {
            let vm = self.by_id(id, &format!("wait for the guest of VM {id}")).await?;
            watch::guest(&self.cluster, &vm, patience).await
        }
        .boxed()
    }

    fn describe_vm<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<VmDescription>> {
        async move {
            let doing = format!("describe VM {id}");
            let vm = self.by_id(id, &doing).await?;
            let namespace = vm.metadata.namespace.clone().unwrap_or_default();
            let failed = |error: anyhow::Error| failed(&doing, &error);
            let name = vm.metadata.name.clone().unwrap_or_default();
            let instance = self.cluster.get(&kinds::VMI, Some(&namespace), &name).await.map_err(failed)?;
            let claims = self.cluster.list(&kinds::PVC, Some(&namespace), "").await.map_err(failed)?;
            Ok(describe::vm(&vm, instance.as_ref(), &claims))
        }
        .boxed()
    }

    fn find<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, ProviderResult<Vec<SourceVm>>> {
        async move {
            let all = self.marked_objects("look for source VMs").await?;
            let mut found: Vec<SourceVm> = all.iter().map(listed).filter(|vm| names.contains(&vm.name)).collect();
            found.sort_by(|a, b| a.name.cmp(&b.name));
            found.dedup_by(|a, b| a.name == b.name);
            Ok(found)
        }
        .boxed()
    }

    fn of_run<'a>(&'a self, run: &'a str) -> BoxFuture<'a, ProviderResult<Vec<SourceVm>>> {
        async move {
            let all = self.all_marked().await?;
            Ok(all.into_iter().map(|marked| marked.vm).filter(|vm| vm.run.as_deref() == Some(run)).collect())
        }
        .boxed()
    }

    fn marked(&self) -> BoxFuture<'_, ProviderResult<Vec<MarkedVm>>> {
        self.all_marked().boxed()
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<()>> {
        async move {
            match self.by_id(id, &format!("delete VM {id}")).await {
                Ok(vm) => remove::vm(&self.cluster, &vm).await,
                Err(error) if error.is(ProviderErrorKind::NotFound) => Ok(()),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn remove<'a>(&'a self, leaving: Leaving<'a>) -> BoxFuture<'a, ProviderResult<bool>> {
        remove::all_of(&self.cluster, &self.gate, leaving).boxed()
    }

    fn remains<'a>(&'a self, leaving: Leaving<'a>) -> BoxFuture<'a, ProviderResult<Vec<String>>> {
        remove::remains(&self.cluster, leaving).boxed()
    }
}

/// Whether an object is made by a run.
fn is_of(object: &DynamicObject, run: &str) -> bool {
    object.metadata.labels.as_ref().and_then(|l| l.get(RUN_LABEL)).is_some_and(|r| r == run)
}
