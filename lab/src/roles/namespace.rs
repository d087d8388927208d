//! Namespaces that are being deleted: their contents first, then the namespace.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams, PartialObjectMeta},
    core::ApiResource,
    discovery::{Discovery, Scope, verbs},
    runtime::watcher,
};
use serde_json::{Value, json};

use super::{
    Context,
    life::{self, Latest},
    write,
};

const MANAGER: &str = "lab-namespace";
/// How often the namespace controller looks while something is left.
const LOOK: Duration = Duration::from_secs(5);
/// The finalizer that the API server gives to every namespace, in spec, not in metadata.
const FINALIZER: &str = "kubernetes";

/// Starts the role.
///
/// # Errors
/// The lab ended meanwhile.
pub async fn start(cx: &Context) -> anyhow::Result<()> {
    let context = cx.clone();
    let namespaces: Api<Namespace> = Api::all(cx.client.clone());
    life::each(cx, namespaces, watcher::Config::default(), move |namespace| terminate(context.clone(), namespace)).await?;
    Ok(())
}

async fn terminate(cx: Context, mut latest: Latest<Namespace>) -> anyhow::Result<()> {
    let namespace = latest.get();
    if namespace.metadata.deletion_timestamp.is_none() {
        return Ok(());
    }
    let name = namespace.name_any();
    let kinds = deletable(&cx.client).await?;
    let api: Api<Namespace> = Api::all(cx.client.clone());
    let mut conditions: Vec<Value> = Vec::new();
    loop {
        let left = empty(&cx.client, &name, &kinds).await?;
        let finalizers: usize = left.iter().map(|l| l.finalizers.len()).sum();
        let found = report(&conditions, &left, &cx.world.clock.now());
        if found != conditions {
            write::status(&api, MANAGER, &name, json!({ "phase": "Terminating", "conditions": found })).await?;
            conditions = found;
        }
        if left.is_empty() {
            break;
        }
        // Objects without finalizers are on their way, pods with a grace period for example.
        cx.world.clock.sleep(if finalizers == 0 { LOOK / 5 } else { LOOK }).await;
    }
    finalize(&cx.client, &name).await
}

/// What the server serves. Not by the aggregated document: for a group with sub-resources only, such as KubeVirt's, API
/// servers write `verbs: null` there, which kube-rs cannot read; and that group holds no objects anyway.
pub(super) async fn discover(client: &Client) -> anyhow::Result<Discovery> {
    Ok(Discovery::new(client.clone()).exclude(&["subresources.kubevirt.io"]).run().await?)
}

/// Every namespaced kind of the server that can be listed and deleted.
async fn deletable(client: &Client) -> anyhow::Result<Vec<ApiResource>> {
    let discovery = discover(client).await?;
    let mut kinds = Vec::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if capabilities.scope == Scope::Namespaced
                && capabilities.supports_operation(verbs::LIST)
                && capabilities.supports_operation(verbs::DELETE)
            {
                kinds.push(resource);
            }
        }
    }
    Ok(kinds)
}

struct Left {
    kind: ApiResource,
    count: usize,
    finalizers: Vec<String>,
}

/// Deletes what is not being deleted yet, and says what is still there.
async fn empty(client: &Client, namespace: &str, kinds: &[ApiResource]) -> anyhow::Result<Vec<Left>> {
    let mut left = Vec::new();
    for kind in kinds {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, kind);
        let objects: Vec<PartialObjectMeta<DynamicObject>> = match api.list_metadata(&ListParams::default()).await {
            Ok(list) => list.items,
            // A kind whose server is away: the real controller reports it and goes on; so does the next look.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 405 | 503) => continue,
            Err(error) => return Err(error.into()),
        };
        if objects.is_empty() {
            continue;
        }
        for object in objects.iter().filter(|o| o.metadata.deletion_timestamp.is_none()) {
            write::delete(&api, &object.name_any(), object.uid(), None).await?;
        }
        let objects = api.list_metadata(&ListParams::default()).await?.items;
        if !objects.is_empty() {
            let finalizers = objects.iter().flat_map(|o| o.finalizers().to_vec()).collect();
            left.push(Left { kind: kind.clone(), count: objects.len(), finalizers });
        }
    }
    Ok(left)
}

fn report(conditions: &[Value], left: &[Left], now: &str) -> Vec<Value> {
    let resources: Vec<_> = left.iter().map(|l| format!("{}.{} has {} resource instances", l.kind.plural, l.kind.group, l.count)).collect();
    let finalizers: Vec<_> = left.iter().flat_map(|l| &l.finalizers).map(|f| format!("{f} in 1 resource instances")).collect();
    let mut list = conditions.to_vec();
    for (kind, reason, message) in [
        ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
    ] {
        list = write::condition(&list, kind, false, reason, message, now);
    }
    list = if left.is_empty() {
        write::condition(&list, "NamespaceContentRemaining", false, "ContentRemoved", "All content successfully removed", now)
    } else {
        let message = format!("Some resources are remaining: {}", resources.join(", "));
        write::condition(&list, "NamespaceContentRemaining", true, "SomeResourcesRemain", &message, now)
    };
    if finalizers.is_empty() {
        write::condition(
            &list,
            "NamespaceFinalizersRemaining",
            false,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
            now,
        )
    } else {
        let message = format!("Some content in the namespace has finalizers remaining: {}", finalizers.join(", "));
        write::condition(&list, "NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", &message, now)
    }
}

/// Takes the API server's finalizer away through the sub-resource made for it; the server deletes the namespace then.
async fn finalize(client: &Client, name: &str) -> anyhow::Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    let Some(mut namespace) = api.get_opt(name).await? else { return Ok(()) };
    if let Some(spec) = &mut namespace.spec
        && let Some(list) = &mut spec.finalizers
    {
        list.retain(|f| f != FINALIZER);
    }
    let body = serde_json::to_vec(&namespace)?;
    let request =
        http::Request::put(format!("/api/v1/namespaces/{name}/finalize")).header("content-type", "application/json").body(body)?;
    write::missing(client.request::<Value>(request).await)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told() {
        let kind = mtv_api::kinds::POD.resource();
        let left = [Left { kind, count: 2, finalizers: vec!["a/b".to_owned()] }];
        let list = report(&[], &left, "t");
        assert_eq!(list.len(), 5);
        assert!(write::holds(&list, "NamespaceContentRemaining") && write::holds(&list, "NamespaceFinalizersRemaining"));
        let list = report(&list, &[], "u");
        assert!(!write::holds(&list, "NamespaceContentRemaining") && !write::holds(&list, "NamespaceFinalizersRemaining"));
    }
}
