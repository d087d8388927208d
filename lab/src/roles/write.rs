//! Writing to the API the way controllers do: what is there already or gone already is no failure.

use std::fmt::Debug;

use anyhow::Context as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
};
use mtv_api::kinds::Kind;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// Objects of a kind in a namespace; for cluster-wide kinds the namespace is not looked at.
pub fn api(client: &Client, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
    if kind.namespaced {
        Api::namespaced_with(client.clone(), namespace, &kind.resource())
    } else {
        Api::all_with(client.clone(), &kind.resource())
    }
}

/// All objects of a kind.
pub fn all(client: &Client, kind: &Kind) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &kind.resource())
}

/// Merges into the status. `None` if the object is gone.
///
/// # Errors
/// What the server says.
pub async fn status<K>(api: &Api<K>, manager: &str, name: &str, status: Value) -> anyhow::Result<Option<K>>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let patch = Patch::Merge(json!({ "status": status }));
    let written = api.patch_status(name, &params(manager), &patch).await;
    missing(written).with_context(|| format!("write the status of {} {name}", api.resource_url()))
}

/// Merges into the object. `None` if it is gone.
///
/// # Errors
/// What the server says.
pub async fn merge<K>(api: &Api<K>, manager: &str, name: &str, patch: Value) -> anyhow::Result<Option<K>>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    missing(api.patch(name, &params(manager), &Patch::Merge(patch)).await).with_context(|| format!("patch {} {name}", api.resource_url()))
}

fn params(manager: &str) -> PatchParams {
    PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() }
}

/// Creates an object of the lab's own unless one of that name is there; then `None`.
///
/// # Errors
/// What the server says, "already exists" excepted.
pub async fn create(client: &Client, manager: &str, kind: &Kind, mut object: Value) -> anyhow::Result<Option<DynamicObject>> {
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.into();
    let namespace = text(&object, "/metadata/namespace").to_owned();
    let object: DynamicObject = serde_json::from_value(object).context("read an object of the lab's own")?;
    create_in(&api(client, kind, &namespace), manager, &object).await
}

/// Creates an object unless one of that name is there; then `None`.
///
/// # Errors
/// What the server says, "already exists" excepted.
pub async fn create_in<K>(api: &Api<K>, manager: &str, object: &K) -> anyhow::Result<Option<K>>
where
    K: Resource + Clone + DeserializeOwned + serde::Serialize + Debug,
{
    let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
    match api.create(&params, object).await {
        Ok(made) => Ok(Some(made)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error).with_context(|| {
            let name = object.meta().name.as_deref().or(object.meta().generate_name.as_deref()).unwrap_or_default();
            format!("create {} {name}", api.resource_url())
        }),
    }
}

/// The words of the API server's refusal, if an error is one.
pub fn refusal(error: &anyhow::Error) -> Option<&str> {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) if status.code == 403 => Some(&status.message),
        _ => None,
    }
}

/// Writes a warning about an object, once for each reason: the real recorder counts repetitions in one event.
///
/// # Errors
/// What the server says.
pub async fn warn(
    client: &Client,
    component: &str,
    kind: &Kind,
    (namespace, name, uid): (&str, &str, &str),
    (reason, message): (&str, &str),
    now: &str,
) -> anyhow::Result<()> {
    let event = json!({
        "metadata": { "name": format!("{name}.{}", reason.to_lowercase()), "namespace": namespace },
        "involvedObject": { "apiVersion": kind.api_version(), "kind": kind.kind, "namespace": namespace, "name": name, "uid": uid },
        "type": "Warning", "reason": reason, "message": message,
        "source": { "component": component },
        "firstTimestamp": now, "lastTimestamp": now, "count": 1,
    });
    create(client, component, &mtv_api::kinds::EVENT, event).await.map(drop)
}

/// Deletes an object, this one and not a namesake. It is no failure if it is gone.
///
/// # Errors
/// What the server says.
pub async fn delete<K>(api: &Api<K>, name: &str, uid: Option<String>, grace: Option<u32>) -> anyhow::Result<()>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let params = DeleteParams {
        grace_period_seconds: grace,
        preconditions: uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(error) => Err(error).with_context(|| format!("delete {} {name}", api.resource_url())),
    }
}

/// Adds or removes a finalizer, with the object's version as lock.
///
/// # Errors
/// What the server says; a conflict when the object has changed since it was read.
pub async fn finalizer<K>(api: &Api<K>, manager: &str, object: &K, name: &str, wanted: bool) -> anyhow::Result<()>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut list = object.finalizers().to_vec();
    if list.iter().any(|f| f == name) == wanted {
        return Ok(());
    }
    if wanted {
        list.push(name.to_owned());
    } else {
        list.retain(|f| f != name);
    }
    let patch = json!({ "metadata": { "finalizers": list, "resourceVersion": object.resource_version() } });
    merge(api, manager, &object.name_any(), patch).await.map(drop)
}

/// What a controller writes into what it makes: deleted with the owner, which waits for it in the foreground.
pub fn controller_of(kind: &Kind, name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: kind.api_version(),
        kind: kind.kind.to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The conditions with one set: the transition time moves only when the status does.
pub fn condition(list: &[Value], kind: &str, status: bool, reason: &str, message: &str, now: &str) -> Vec<Value> {
    let status = if status { "True" } else { "False" };
    let mut list = list.to_vec();
    let same = |c: &Value| c["type"] == kind;
    let since = list.iter().find(|c| same(c) && c["status"] == status).and_then(|c| c["lastTransitionTime"].as_str());
    let since = since.unwrap_or(now).to_owned();
    let mut new = Map::new();
    new.insert("type".to_owned(), kind.into());
    new.insert("status".to_owned(), status.into());
    new.insert("lastTransitionTime".to_owned(), since.into());
    for (key, text) in [("reason", reason), ("message", message)] {
        if !text.is_empty() {
            new.insert(key.to_owned(), text.into());
        }
    }
    match list.iter().position(same) {
        Some(at) => list[at] = new.into(),
        None => list.push(new.into()),
    }
    list
}

/// Whether the condition holds.
pub fn holds(list: &[Value], kind: &str) -> bool {
    list.iter().any(|c| c["type"] == kind && c["status"] == "True")
}

/// A list of values under a pointer; empty if there is none.
pub fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text under a pointer; empty if there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// "Not found" as nothing.
///
/// # Errors
/// Every other error.
pub fn missing<T>(result: kube::Result<T>) -> kube::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

fn code(error: &anyhow::Error) -> Option<u16> {
    error.chain().find_map(|cause| match cause.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    })
}

/// Whether somebody else wrote first.
pub fn is_conflict(error: &anyhow::Error) -> bool {
    code(error) == Some(409)
}

/// Whether the object, or its namespace, is going or gone.
pub fn is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<kube::Error>() {
        // Forbidden for any other reason is a mistake of ours.
        Some(kube::Error::Api(status)) => status.code == 404 || (status.code == 403 && status.message.contains("being terminated")),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let first = condition(&[], "Ready", false, "Starting", "", "t1");
        let second = condition(&first, "Ready", false, "StillStarting", "soon", "t2");
        assert_eq!(second[0]["lastTransitionTime"], "t1");
        assert_eq!(second[0]["reason"], "StillStarting");
        let third = condition(&second, "Ready", true, "", "", "t3");
        assert_eq!(third, [json!({ "type": "Ready", "status": "True", "lastTransitionTime": "t3" })]);
        assert!(holds(&third, "Ready"));
    }
}
