//! The OpenShift cluster: connection, plain requests, one shared watch per kind and scope, and the port-forward stream.

mod bounded;
mod clock;
mod conditions;
mod connect;
mod content;
mod count;
mod create;
mod error;
mod exec;
mod hub;
mod kubeconfig;
mod login;
mod oauth;
mod object;
mod pause;
mod plugin;
mod portforward;
mod prometheus;
mod route;
mod service;
mod trace;
mod watch;
mod wire;
mod young;

pub use clock::ServerClock;
pub use connect::{ConnectOptions, PasswordLogin, check_kubeconfig};
pub use content::{Content, Contents, Served};
pub use count::Requests;
pub use create::NotCreated;
pub use error::{describe, fate, id_of, is_conflict, is_not_found, words};
pub use exec::copy_out;
pub(crate) use oauth::feed as feed_login;
pub use object::{ObjectExt, name_of, state_of};
pub use portforward::forward;
pub use service::{Service, Unusable, said, unusable};

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::AsyncReadExt as _;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions},
};
use mtv_api::kinds::Kind;
use serde_json::Value;

use crate::{
    engine::{Failure, StepCx},
    limits::Limit,
    providers::tls::pem,
    retry::{Fate, NoAnswer, Policy, Safety},
    secrets::Secret,
};
use connect::Endpoint;
use error::{described, fate_of_list, fate_of_patch};
use hub::Hub;
use kubeconfig::Origin;
use login::Login;
use young::Young;

/// Name under which the API server knows our writes.
pub const FIELD_MANAGER: &str = "mtv-test";

/// Longest wait for the first list of a watch.
const LIST_LIMIT: Duration = Duration::from_mins(1);

/// Lines of a log that are asked for, from its end.
const LOG_LINES: u32 = 50_000;

/// Reads a log and keeps its end.
async fn tail(log: &mut (impl futures::AsyncRead + Unpin)) -> std::io::Result<String> {
    let most = usize::try_from(Limit::Log.bytes()).unwrap_or(usize::MAX);
    let (mut kept, mut cut) = (Vec::new(), false);
    let mut piece = vec![0; 64 * 1024];
    loop {
        let count = log.read(&mut piece).await?;
        if count == 0 {
            break;
        }
        kept.extend_from_slice(&piece[..count]);
        if kept.len() > 2 * most {
            kept.drain(..kept.len() - most);
            cut = true;
        }
    }
    if kept.len() > most {
        kept.drain(..kept.len() - most);
        cut = true;
    }
    let text = String::from_utf8_lossy(&kept);
    Ok(if cut { format!("[cut: the last {} of this log]\n{text}", Limit::Log) } else { text.into_owned() })
}

/// A connected cluster. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    hub: Hub,
    requests: Requests,
    clock: ServerClock,
    endpoint: Arc<Endpoint>,
    login: Arc<Login>,
    /// Where the login was found, for messages.
    origin: Arc<Origin>,
    young: Young,
    policy: Policy,
    /// Kinds that the cluster serves, once they were asked for.
    served: std::sync::Arc<tokio::sync::OnceCell<Vec<Served>>>,
}

/// One attempt, with an end.
async fn timed<T>(patience: Duration, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    let late = |_| kube::Error::Service(Box::new(NoAnswer(patience)));
    tokio::time::timeout(patience, request).await.map_err(late)?
}

/// What a wait is about: one object, told by name, in the scope of a shared watch.
#[derive(Debug, Clone)]
pub struct Awaited<'a> {
    /// Kind of the object.
    pub kind: &'static Kind,
    /// Namespace, for kinds that have one.
    pub namespace: Option<&'a str>,
    /// Name.
    pub name: &'a str,
    /// What is awaited, after "waiting for Plan mig/x": `to be Ready`.
    pub until: &'a str,
    /// Longest wait; the step's own deadline holds as well.
    pub limit: Duration,
}

impl Cluster {
    /// URL of the API server.
    pub fn server(&self) -> String {
        self.endpoint.url()
    }

    /// Whether the server's certificate is verified; unverified is the user's own choice.
    pub fn tls_verified(&self) -> bool {
        self.endpoint.trust.verifies()
    }

    /// The API server's clock.
    pub fn clock(&self) -> &ServerClock {
        &self.clock
    }

    /// Host of the API server, without port.
    pub fn host(&self) -> &str {
        self.endpoint.config.cluster_url.host().unwrap_or_default()
    }

    /// The bearer token of the login, if it has a lasting one: client certificates have none, and that of a program ends soon.
    pub fn token(&self) -> Option<Secret> {
        self.login.lasting_token()
    }

    /// Whether requests carry a bearer token.
    pub fn has_token(&self) -> bool {
        self.login.has_token()
    }

    /// Certificates that the login trusts, in PEM; `None` where they are not verified, empty where the system's are enough.
    pub fn trusted(&self) -> Option<String> {
        self.endpoint.trust.verifies().then(|| pem(self.endpoint.trust.own()))
    }

    /// The client, for streams and hand-made paths.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Requests made so far, by verb.
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.requests.snapshot()
    }

    fn api(&self, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) if kind.namespaced => Api::namespaced_with(self.client.clone(), namespace, &kind.resource()),
            _ => Api::all_with(self.client.clone(), &kind.resource()),
        }
    }

    /// How requests are repeated.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The same with another policy.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Reads an object; `None` only if the API server says that it does not exist.
    pub async fn get(&self, kind: &'static Kind, namespace: Option<&str>, name: &str) -> anyhow::Result<Option<DynamicObject>> {
        let read = |patience| timed(patience, wire::get(&self.client, kind, namespace, name));
        match self.policy.run(Safety::Repeatable, fate, read).await {
            Ok(object) => Ok(Some(object)),
            Err(gave_up) if is_not_found(&gave_up.error) => Ok(None),
            Err(gave_up) => Err(described(&gave_up, "read", &name_of(kind, namespace, name))),
        }
    }

    /// Lists objects; `labels` is a label selector, empty for all.
    pub async fn list(&self, kind: &'static Kind, namespace: Option<&str>, labels: &str) -> anyhow::Result<Vec<DynamicObject>> {
        let params = &ListParams::default().labels(labels);
        let read = |patience| timed(patience, wire::list(&self.client, kind, namespace, params));
        let list = self.policy.run(Safety::Repeatable, fate_of_list, read).await;
        Ok(list.map_err(|gave_up| described(&gave_up, "list", &name_of(kind, namespace, "")))?.items)
    }

    /// What the containers of a pod have printed; of a long log the end, with a word about it.
    pub async fn pod_log(&self, namespace: &str, name: &str) -> anyhow::Result<String> {
        self.log(namespace, name, &format!("?tailLines={LOG_LINES}")).await
    }

    /// The last lines that a container of a pod has printed, at most 64 KiB of them; without a container that of a pod that has
    /// only one.
    pub async fn pod_log_tail(&self, namespace: &str, name: &str, container: Option<&str>, lines: usize) -> anyhow::Result<String> {
        let container = container.map(|container| format!("&container={container}")).unwrap_or_default();
        self.log(namespace, name, &format!("?tailLines={lines}&limitBytes=65536{container}")).await
    }

    async fn log(&self, namespace: &str, name: &str, query: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/log{query}");
        let read = |patience| {
            let request = http::Request::get(&path).body(Vec::new()).map_err(kube::Error::HttpError);
            timed(patience, async {
                let mut stream = Box::pin(self.client.request_stream(request?).await?);
                tail(&mut stream).await.map_err(kube::Error::ReadEvents)
            })
        };
        let log = self.policy.run(Safety::Repeatable, fate, read).await;
        log.map_err(|gave_up| described(&gave_up, "read the log of", &name_of(&mtv_api::kinds::POD, Some(namespace), name)))
    }

    /// Sends a create, once. The caller has to know what a conflict or an unclear answer means for it.
    pub async fn post(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        body: &Value,
        patience: Duration,
    ) -> Result<DynamicObject, kube::Error> {
        // What cannot be sent is told apart from an answer that cannot be read.
        let unsent = |error| kube::Error::BuildRequest(kube::core::request::Error::SerializeBody(error));
        let object: DynamicObject = serde_json::from_value(body.clone()).map_err(unsent)?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let created = async { wire::judged(&self.client, kind, self.api(kind, namespace).create(&params, &object).await).await };
        let created = timed(patience, created).await;
        // Also after an unclear answer: it may have been created.
        if *kind == mtv_api::kinds::NAMESPACE
            && !matches!(created, Err(kube::Error::Api(_)))
            && let Some(name) = &object.metadata.name
        {
            self.young.note(name);
        }
        created
    }

    /// Changes an object by a JSON merge patch. Merge patches that set values are safe to repeat.
    pub async fn patch(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> anyhow::Result<Option<DynamicObject>> {
        let params = &PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = &Patch::Merge(patch);
        let send = |patience| timed(patience, wire::patch(&self.client, kind, namespace, name, params, patch));
        match self.policy.run(Safety::Repeatable, fate_of_patch, send).await {
            Ok(object) => Ok(Some(object)),
            Err(gave_up) if is_not_found(&gave_up.error) => Ok(None),
            Err(gave_up) => Err(described(&gave_up, "change", &name_of(kind, namespace, name))),
        }
    }

    /// The same if the object still has this version; false if it has another one, or is gone. An unclear answer is followed by a
    /// second try, which the version makes harmless, and then counts as false: look again.
    pub async fn patch_at(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        version: &str,
        patch: &Value,
    ) -> anyhow::Result<bool> {
        let params = &PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let mut patch = patch.clone();
        patch["metadata"]["resourceVersion"] = Value::from(version);
        let patch = &Patch::Merge(&patch);
        let send = |patience| timed(patience, wire::patch(&self.client, kind, namespace, name, params, patch));
        match self.policy.run(Safety::Repeatable, fate, send).await {
            Ok(_) => Ok(true),
            Err(gave_up) if is_not_found(&gave_up.error) || is_conflict(&gave_up.error) => Ok(false),
            Err(gave_up) => Err(described(&gave_up, "change", &name_of(kind, namespace, name))),
        }
    }

    /// Lists objects of all namespaces by a label selector; `None` if the cluster does not serve the kind.
    pub async fn list_served(&self, kind: &'static Kind, labels: &str) -> anyhow::Result<Option<Vec<DynamicObject>>> {
        self.list_if_served(kind, None, labels).await
    }

    /// Lists objects of a namespace by a label selector; `None` if the cluster does not serve the kind.
    pub async fn list_in_served(&self, kind: &'static Kind, namespace: &str, labels: &str) -> anyhow::Result<Option<Vec<DynamicObject>>> {
        self.list_if_served(kind, Some(namespace), labels).await
    }

    async fn list_if_served(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        labels: &str,
    ) -> anyhow::Result<Option<Vec<DynamicObject>>> {
        let params = &ListParams::default().labels(labels);
        let read = |patience| timed(patience, wire::list(&self.client, kind, namespace, params));
        match self.policy.run(Safety::Repeatable, fate_of_list, read).await {
            Ok(list) => Ok(Some(list.items)),
            Err(gave_up) if is_not_found(&gave_up.error) => Ok(None),
            Err(gave_up) => Err(described(&gave_up, "list", &name_of(kind, namespace, ""))),
        }
    }

    /// Deletes an object if it still has this UID and this version; false if not, or if it is gone already.
    pub async fn delete_at(&self, kind: &'static Kind, namespace: Option<&str>, object: &DynamicObject) -> anyhow::Result<bool> {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let preconditions = Preconditions { uid: object.metadata.uid.clone(), resource_version: object.metadata.resource_version.clone() };
        self.delete_if(kind, namespace, name, Some(preconditions)).await
    }

    /// Deletes an object if it still has this UID; false if it is gone already or another one has its name.
    pub async fn delete(&self, kind: &'static Kind, namespace: Option<&str>, name: &str, uid: Option<&str>) -> anyhow::Result<bool> {
        let preconditions = uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        self.delete_if(kind, namespace, name, preconditions).await
    }

    async fn delete_if(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        preconditions: Option<Preconditions>,
    ) -> anyhow::Result<bool> {
        let wanted = preconditions.clone().unwrap_or_default();
        let params =
            &DeleteParams { preconditions, propagation_policy: Some(kube::api::PropagationPolicy::Background), ..DeleteParams::default() };
        let mut conflicts = self.policy.start();
        loop {
            conflicts.begin();
            let send = |patience| timed(patience, wire::delete(&self.client, kind, namespace, name, params));
            match self.policy.run(Safety::Repeatable, fate, send).await {
                Ok(()) => return Ok(true),
                Err(gave_up) if is_not_found(&gave_up.error) => return Ok(false),
                // Another object has the name, or this one was changed in the same moment: a look tells.
                Err(gave_up) if is_conflict(&gave_up.error) => {
                    let there = self.get(kind, namespace, name).await?;
                    let same = there.is_some_and(|object| {
                        let metadata = object.metadata;
                        (wanted.uid.is_none() || metadata.uid == wanted.uid)
                            && (wanted.resource_version.is_none() || metadata.resource_version == wanted.resource_version)
                    });
                    if !same {
                        return Ok(false);
                    }
                    if !conflicts.again(None).await {
                        return Err(error::describe(&gave_up.error, conflicts.story(), "delete", &name_of(kind, namespace, name)));
                    }
                }
                Err(gave_up) => return Err(described(&gave_up, "delete", &name_of(kind, namespace, name))),
            }
        }
    }

    /// Waits until `look` finds what it wants in an object that may be absent. `look` answers `Ok(None)` to wait on and an
    /// error to give up. Served by one shared watch per kind and namespace, so that waiting costs no requests of its own.
    pub async fn wait<T>(
        &self,
        cx: &StepCx,
        awaited: Awaited<'_>,
        look: impl FnMut(Option<&DynamicObject>) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        self.hub.wait_one(self, cx, awaited, look).await
    }

    /// Waits until an object of this UID is gone; another object of the same name does not count.
    pub async fn wait_gone(
        &self,
        cx: &StepCx,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        uid: Option<&str>,
        limit: Duration,
    ) -> Result<(), Failure> {
        let awaited = Awaited { kind, namespace, name, until: "to be gone", limit };
        self.wait(cx, awaited, |object| {
            let there = object.is_some_and(|o| uid.is_none() || o.metadata.uid.as_deref() == uid);
            Ok((!there).then_some(()))
        })
        .await
    }

    /// The same for all objects of a kind in a namespace; `awaited.name` is empty.
    pub async fn wait_all<T>(
        &self,
        cx: &StepCx,
        awaited: Awaited<'_>,
        look: impl FnMut(&[&DynamicObject]) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        self.hub.wait_all(self, cx, awaited, look).await
    }

    /// Objects of a kind that the shared watch knows and that `keep` accepts.
    pub async fn watched(
        &self,
        cx: &StepCx,
        kind: &'static Kind,
        namespace: Option<&str>,
        keep: impl Fn(&DynamicObject) -> bool,
    ) -> Result<Vec<DynamicObject>, Failure> {
        let awaited = Awaited { kind, namespace, name: "", until: "to be listed", limit: LIST_LIMIT };
        self.wait_all(cx, awaited, |all| Ok(Some(all.iter().filter(|o| keep(o)).map(|o| (*o).clone()).collect()))).await
    }

    /// Starts or stops a virtual machine. One that is in that state already is success.
    pub async fn switch(&self, namespace: &str, vm: &str, verb: &str) -> anyhow::Result<()> {
        let path = format!("/apis/subresources.kubevirt.io/v1/namespaces/{namespace}/virtualmachines/{vm}/{verb}");
        let send = |patience| {
            let request = http::Request::put(&path).header("content-type", "application/json").body(b"{}".to_vec());
            timed(patience, async { self.client.request_text(request.map_err(kube::Error::HttpError)?).await })
        };
        // KubeVirt refuses what is so already with a conflict; one of two writers at the same moment is another matter.
        let already =
            |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 409 && says_already(&status.message));
        let fate = |error: &kube::Error| if already(error) { Fate::Final } else { fate_of_patch(error) };
        match self.policy.run(Safety::Repeatable, fate, send).await {
            Ok(_) => Ok(()),
            Err(gave_up) if already(&gave_up.error) => Ok(()),
            Err(gave_up) => Err(described(&gave_up, verb, &format!("VirtualMachine {namespace}/{vm}"))),
        }
    }

    /// A client of the same login for another address: Forklift's inventory behind its Route. Certificates are verified with
    /// the cluster's CA, the system's and `more_ca` (PEM), unless the user's kubeconfig leaves the cluster itself unverified.
    pub fn client_for(&self, url: &str, more_ca: &str) -> anyhow::Result<Client> {
        connect::client_for(&self.endpoint, &self.login, url, more_ca, "inventory")
    }
}

/// Whether KubeVirt says that a machine is in the wanted state, or gets there by itself.
fn says_already(message: &str) -> bool {
    ["already", "not running", "does not support manual", "not support manual"].iter().any(|words| message.contains(words))
}
