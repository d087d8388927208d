//! The controllers' view of the Kubernetes API: objects as JSON, as they stand on the wire.
//!
//! Controllers read the API server itself and not a cache: a reconcile then never acts on something older than the event
//! that caused it. Which objects there are to read is known from the watches, so that a look costs the same however many plans
//! there are.

use http::Request;
use kube::{
    Api, Client,
    api::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams},
    core::{DynamicObject, request},
};
use mtv_api::kinds::Kind;
use serde_json::{Value, json};

/// Name under which the controllers write: `metadata.managedFields[].manager`.
pub const MANAGER: &str = "forklift-controller";

/// Namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// Builds one.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    pub fn of(object: &Value) -> Self {
        Self::new(object.text("/metadata/namespace"), object.text("/metadata/name"))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Look-ups in JSON that read what is absent as empty.
pub trait Look {
    /// The text at a JSON pointer, empty if there is none.
    fn text(&self, pointer: &str) -> &str;
    /// The number at a JSON pointer, zero if there is none.
    fn number(&self, pointer: &str) -> i64;
    /// The list at a JSON pointer, empty if there is none.
    fn items(&self, pointer: &str) -> &[Value];
    /// The UID of the object.
    fn uid(&self) -> &str;
    /// The value of a label.
    fn label(&self, name: &str) -> Option<&str>;
    /// The value of an annotation.
    fn annotation(&self, name: &str) -> Option<&str>;
    /// Whether a condition of this type holds.
    fn holds(&self, kind: &str) -> bool;
    /// Whether the status is about the newest spec.
    fn reconciled(&self) -> bool;
}

impl Look for Value {
    fn text(&self, pointer: &str) -> &str {
        self.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn number(&self, pointer: &str) -> i64 {
        self.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
    }

    fn items(&self, pointer: &str) -> &[Value] {
        self.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.pointer("/metadata/labels")?.get(name)?.as_str()
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.pointer("/metadata/annotations")?.get(name)?.as_str()
    }

    fn holds(&self, kind: &str) -> bool {
        self.items("/status/conditions").iter().any(|c| c.text("/type") == kind && c.text("/status") == "True")
    }

    fn reconciled(&self) -> bool {
        self.number("/status/observedGeneration") >= self.number("/metadata/generation")
    }
}

/// How the rest of an owned object goes when it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// The garbage collector removes what it owned.
    Background,
    /// What it owned stays.
    Orphan,
}

/// Access to the API.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
}

impl Cluster {
    /// Wraps a client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// An API for a kind in a namespace, or in all of them.
    pub fn api(&self, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = kind.resource();
        if kind.namespaced && !namespace.is_empty() {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        }
    }

    /// An object, if it is there.
    pub async fn get(&self, kind: &Kind, namespace: &str, name: &str) -> kube::Result<Option<Value>> {
        if name.is_empty() || (kind.namespaced && namespace.is_empty()) {
            return Ok(None);
        }
        let api = self.api(kind, namespace);
        self.read(request::Request::new(api.resource_url()).get(name, &GetParams::default())).await
    }

    /// Reads as JSON at once: by way of a typed object it would be built twice, and a lab reads all the time. None if there is
    /// nothing there.
    async fn read(&self, request: Result<Request<Vec<u8>>, request::Error>) -> kube::Result<Option<Value>> {
        match self.client.request(request.map_err(kube::Error::BuildRequest)?).await {
            Ok(found) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Objects in a namespace (empty: all) that match a label selector (empty: all).
    pub async fn list(&self, kind: &Kind, namespace: &str, selector: &str) -> kube::Result<Vec<Value>> {
        let params = if selector.is_empty() { ListParams::default() } else { ListParams::default().labels(selector) };
        let api = self.api(kind, namespace);
        let found = self.read(request::Request::new(api.resource_url()).list(&params)).await?;
        // A kind that this cluster does not know has no objects: CNV or Multus may be absent.
        let Some(Value::Array(items)) = found.and_then(|mut list| list.get_mut("items").map(Value::take)) else { return Ok(Vec::new()) };
        Ok(items)
    }

    /// Creates an object; its kind is filled in.
    pub async fn create(&self, kind: &Kind, namespace: &str, mut object: Value) -> kube::Result<Value> {
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.kind);
        if kind.namespaced {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let object: DynamicObject = serde_json::from_value(object).map_err(kube::Error::SerdeError)?;
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        value(self.api(kind, namespace).create(&params, &object).await?)
    }

    /// Merges a patch into an object.
    pub async fn merge(&self, kind: &Kind, namespace: &str, name: &str, patch: &Value) -> kube::Result<Value> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        value(self.api(kind, namespace).patch(name, &params, &Patch::Merge(patch)).await?)
    }

    /// Replaces the status of an object that was read before. On a conflict the object is read again, and if nobody
    /// changed its spec in between, the status goes onto the newer one. An unchanged status is not written.
    pub async fn write_status(&self, kind: &Kind, object: &Value, status: Value) -> kube::Result<()> {
        let key = Key::of(object);
        let api = self.api(kind, &key.namespace);
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let mut newest = object.clone();
        // Five rounds: a conflict needs another writer each time, and there are at most three of them.
        for _ in 0..5 {
            if newest.get("status") == Some(&status) {
                return Ok(());
            }
            newest["status"] = status.clone();
            newest["apiVersion"] = json!(kind.api_version());
            newest["kind"] = json!(kind.kind);
            let body: DynamicObject = serde_json::from_value(newest).map_err(kube::Error::SerdeError)?;
            match api.replace_status(&key.name, &params, &body).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(error)) if error.code == 404 => return Ok(()),
                Err(kube::Error::Api(error)) if error.code == 409 => {}
                Err(error) => return Err(error),
            }
            match self.get(kind, &key.namespace, &key.name).await? {
                Some(found) if found.uid() == object.uid() => newest = found,
                _ => return Ok(()),
            }
        }
        Err(kube::Error::Service(format!("status of {} {key} changed under each of five writes", kind.kind).into()))
    }

    /// Deletes an object; one that is gone counts as deleted.
    pub async fn delete(&self, kind: &Kind, namespace: &str, name: &str, propagation: Propagation) -> kube::Result<()> {
        let params = match propagation {
            Propagation::Background => DeleteParams::background(),
            Propagation::Orphan => DeleteParams::orphan(),
        };
        match self.api(kind, namespace).delete(name, &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes all objects that match a selector.
    pub async fn delete_all(&self, kind: &Kind, namespace: &str, selector: &str) -> kube::Result<()> {
        for object in self.list(kind, namespace, selector).await? {
            let key = Key::of(&object);
            self.delete(kind, &key.namespace, &key.name, Propagation::Background).await?;
        }
        Ok(())
    }
}

fn value(object: DynamicObject) -> kube::Result<Value> {
    serde_json::to_value(object).map_err(kube::Error::SerdeError)
}
