//! Waits on a cluster, by watches, and what its errors mean for a source.

use std::time::Duration;

use futures::{StreamExt as _, stream::BoxStream};
use kube::{
    Api,
    api::DynamicObject,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, watch_object},
    },
};
use mtv_api::kinds::{self, Kind};
use serde_json::Value;

use crate::{
    cluster::{Cluster, ObjectExt as _, fate, id_of, name_of, state_of, words},
    diagnosis::Id,
    providers::{ProviderError, ProviderErrorKind, ProviderResult},
    retry::{NoAnswer, Safety},
};

fn api(cluster: &Cluster, kind: &'static Kind, namespace: &str) -> Api<DynamicObject> {
    if kind.namespaced {
        Api::namespaced_with(cluster.client().clone(), namespace, &kind.resource())
    } else {
        Api::all_with(cluster.client().clone(), &kind.resource())
    }
}

/// The states of one object, as they come.
struct States<'c> {
    cluster: &'c Cluster,
    kind: &'static Kind,
    namespace: &'c str,
    name: &'c str,
    watch: BoxStream<'static, watcher::Result<Option<DynamicObject>>>,
}

impl<'c> States<'c> {
    fn new(cluster: &'c Cluster, kind: &'static Kind, namespace: &'c str, name: &'c str) -> Self {
        let mut states = Self { cluster, kind, namespace, name, watch: futures::stream::pending().boxed() };
        states.begin();
        states
    }

    fn begin(&mut self) {
        self.watch = watch_object(api(self.cluster, self.kind, self.namespace), self.name).default_backoff().boxed();
    }

    /// The next one; none if the object is not there. A broken watch begins again, after a pause that grows; so does one from which
    /// nothing comes for as long as an answer may take: the connection may be half open.
    async fn next(&mut self) -> Option<DynamicObject> {
        loop {
            match tokio::time::timeout(self.cluster.policy().patience, self.watch.next()).await {
                Ok(Some(Ok(state))) => return state,
                Ok(Some(Err(_))) => {}
                Ok(None) | Err(_) => self.begin(),
            }
        }
    }
}

/// Waits until an object is as wanted. `what` is awaited, as in "make VM x: the disk to be copied".
pub async fn until(
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    patience: Duration,
    what: &str,
    wanted: impl Fn(&DynamicObject) -> ProviderResult<bool>,
) -> ProviderResult<DynamicObject> {
    let mut last = None;
    let watching = async {
        let mut states = States::new(cluster, kind, namespace, name);
        loop {
            let Some(object) = states.next().await else { continue };
            if wanted(&object)? {
                return Ok(object);
            }
            last = Some(object);
        }
    };
    match tokio::time::timeout(patience, watching).await {
        Ok(ended) => ended,
        Err(_) => Err(ProviderError::deadline(format!(
            "waited {} s in vain to {what}; last state: {}",
            patience.as_secs(),
            state_of(last.as_ref())
        ))),
    }
}

/// Waits until the object of a UID is gone.
pub async fn gone(
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    uid: Option<&str>,
    patience: Duration,
) -> ProviderResult<()> {
    let mut last = None;
    let watching = async {
        let mut states = States::new(cluster, kind, namespace, name);
        while let Some(object) = states.next().await
            && object.metadata.uid.as_deref() == uid
        {
            last = Some(object);
        }
    };
    if tokio::time::timeout(patience, watching).await.is_ok() {
        return Ok(());
    }
    let object = name_of(kind, Some(namespace).filter(|n| !n.is_empty()), name);
    Err(ProviderError::deadline(format!(
        "waited {} s in vain for {object} to be gone; last state: {}",
        patience.as_secs(),
        state_of(last.as_ref())
    )))
}

/// Waits until the guest of a VM tells its addresses; false when the time is up.
pub async fn guest(cluster: &Cluster, vm: &DynamicObject, patience: Duration) -> ProviderResult<bool> {
    let (namespace, name) = (vm.metadata.namespace.as_deref().unwrap_or_default(), vm.metadata.name.as_deref().unwrap_or_default());
    let told = |instance: &DynamicObject| {
        let conditions = instance.at("/status/conditions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        Ok(conditions.iter().any(|c| c["type"] == "AgentConnected" && c["status"] == "True"))
    };
    match until(cluster, &kinds::VMI, namespace, name, patience, "hear of its guest", told).await {
        Ok(_) => Ok(true),
        Err(error) if error.is(ProviderErrorKind::Deadline) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Asks whether the cluster has KubeVirt; `server` is its address, for errors.
pub async fn has_kubevirt(cluster: &Cluster, server: &str) -> ProviderResult<()> {
    let ask = |patience| async move {
        let request = http::Request::get("/apis/kubevirt.io/v1").body(Vec::new()).map_err(kube::Error::HttpError)?;
        let late = |_| kube::Error::Service(Box::new(NoAnswer(patience)));
        tokio::time::timeout(patience, cluster.client().request::<Value>(request)).await.map_err(late)?
    };
    let asked = cluster.policy().first_contact().run(Safety::Repeatable, fate, ask).await;
    asked.map(drop).map_err(|gave_up| refused(&gave_up.error, server))
}

/// What an error of the API server means for a source.
pub fn refused(error: &kube::Error, what: &str) -> ProviderError {
    let text = format!("{what}: {}", words(error));
    match error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
            ProviderError::login(text).hint("the login needs rights on VirtualMachines, DataVolumes and namespaces")
        }
        kube::Error::Api(status) if status.code == 404 => {
            ProviderError::not_found(text).hint("is OpenShift Virtualization installed on this cluster?")
        }
        kube::Error::Api(_) => ProviderError::operation(text),
        _ if id_of(error) == Id::ClusterCertificateUntrusted => {
            ProviderError::certificate(text).hint("give the cluster's CA by `ca_file`, or set `insecure_skip_verify = true`")
        }
        _ => ProviderError::unreachable(text).hint("check the address of the cluster, and the network"),
    }
}
