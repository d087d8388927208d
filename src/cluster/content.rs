//! Everything that a namespace holds, of whichever kind: what the API's discovery names, listed by metadata alone.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use http::{Request, header::ACCEPT};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::discovery::{Discovery, Scope, verbs};
use serde::Deserialize;

use super::{
    Cluster, described, fate, fate_of_list, is_not_found, timed,
    wire::{self, Resource},
};
use crate::retry::{Fate, Safety};

/// Lists that are under way at the same time. API servers count a list as more than one seat, so this stays low.
const SIDE_BY_SIDE: usize = 12;

/// Metadata only: what is in a Secret is nobody's business here. Servers behind an aggregation layer may know full objects only.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// Groups whose objects are views of others, or measurements: nobody puts anything there.
const VIEWS: &[&str] = &[
    "custom.metrics.k8s.io",
    "external.metrics.k8s.io",
    "metrics.k8s.io",
    "packages.operators.coreos.com",
    "project.openshift.io",
    "quota.openshift.io",
];

/// Kinds that controllers alone keep, with names of their own or of what they follow.
const KEPT_BY_CONTROLLERS: &[&str] = &["Endpoints", "EndpointSlice", "Event", "ImageStreamTag", "ImageTag", "Lease"];

/// Names under which controllers write, as `metadata.managedFields` has them: those of Kubernetes, OpenShift and OLM that put objects
/// into every namespace, and those of MTV, KubeVirt and CDI, which work where Plans and VMs are.
const CONTROLLERS: &[&str] = &[
    "catalog",
    "cdi-apiserver",
    "cdi-controller",
    "cdi-operator",
    "cluster-policy-controller",
    "forklift-api",
    "forklift-controller",
    "forklift-operator",
    "forklift-populator-controller",
    "kube-controller-manager",
    "olm",
    "openshift-controller-manager",
    "ovnkube",
    "service-ca-operator",
    "virt-api",
    "virt-cdi-controller",
    "virt-controller",
    "virt-handler",
    "virt-operator",
    "volume-populator",
];

/// A kind whose objects live in namespaces and can be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    api_version: String,
    /// `ConfigMap`.
    pub kind: String,
    plural: String,
}

impl Served {
    /// Core kinds are always served, and their objects always have a UID.
    fn is_core(&self) -> bool {
        !self.api_version.contains('/')
    }

    fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.api_version.contains('/') { "apis" } else { "api" };
        let place = namespace.map_or_else(String::new, |namespace| format!("namespaces/{namespace}/"));
        format!("/{root}/{}/{place}{}", self.api_version, self.plural)
    }
}

/// An object, as its metadata describes it.
#[derive(Debug, Clone)]
pub struct Content {
    /// Its kind.
    pub kind: Served,
    /// Its metadata.
    pub metadata: ObjectMeta,
}

impl Content {
    /// `ConfigMap ns/name`.
    pub fn name(&self) -> String {
        let metadata = &self.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        format!("{} {namespace}/{}", self.kind.kind, metadata.name.as_deref().unwrap_or_default())
    }

    /// Value of a label; empty without it.
    pub fn label(&self, key: &str) -> &str {
        self.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str).unwrap_or_default()
    }

    fn annotated(&self, key: &str) -> bool {
        self.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(key))
    }
}

/// A list of any kind, as far as it is read. What has no list is not an empty one.
#[derive(Deserialize)]
struct List {
    #[serde(deserialize_with = "listed")]
    items: Vec<Item>,
}

/// Servers written in Go may write an empty list as null.
fn listed<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Item>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Deserialize)]
struct Item {
    metadata: ObjectMeta,
}

/// Everything that was found, and what could not be looked at.
#[derive(Debug, Default)]
pub struct Contents {
    /// Objects, each once.
    pub objects: Vec<Content>,
    /// Kinds that the login may not list, as `Widget`.
    pub unseen: Vec<String>,
}

impl Cluster {
    /// Kinds that live in namespaces and can be listed, each in one version. The cluster is asked once per process.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub async fn served(&self) -> anyhow::Result<&[Served]> {
        let ask = || async {
            let unread = |gave_up| described(&gave_up, "read", "the kinds that the cluster serves");
            // Two requests. A server that does not know them refuses the format, or answers with whole JSON of another kind.
            let unknown = |error: &kube::Error| match error {
                kube::Error::SerdeError(error) => error.is_data(),
                kube::Error::Api(status) => matches!(status.code, 404 | 406),
                _ => false,
            };
            // Anything else that cannot be read may have been cut on its way.
            let judged = |error: &kube::Error| if unknown(error) { Fate::Final } else { fate(error) };
            let at_once = |patience| timed(patience, Discovery::new(self.client().clone()).run_aggregated());
            let all = match self.policy().run(Safety::Repeatable, judged, at_once).await {
                Ok(all) if all.groups().next().is_some() => all,
                Err(gave_up) if !unknown(&gave_up.error) => return Err(unread(gave_up)),
                // API servers before 1.27 know the long way only: a request per group.
                _ => {
                    let one_by_one = |patience| timed(patience, Discovery::new(self.client().clone()).run());
                    self.policy().run(Safety::Repeatable, fate, one_by_one).await.map_err(unread)?
                }
            };
            let listed = all.groups().flat_map(kube::discovery::ApiGroup::resources_by_stability).filter(|(resource, abilities)| {
                abilities.scope == Scope::Namespaced
                    && abilities.supports_operation(verbs::LIST)
                    && !VIEWS.contains(&resource.group.as_str())
                    && !KEPT_BY_CONTROLLERS.contains(&resource.kind.as_str())
            });
            let served =
                listed.map(|(resource, _)| Served { api_version: resource.api_version, kind: resource.kind, plural: resource.plural });
            anyhow::Ok(served.collect())
        };
        Ok(self.served.get_or_try_init(ask).await?)
    }

    /// Lists everything in a namespace. A kind that is served no more has no objects, and one that may not be listed is named.
    ///
    /// # Errors
    /// The cluster does not answer, or not with a list.
    pub async fn everything_in(&self, namespace: &str) -> anyhow::Result<Contents> {
        let kinds = self.served().await?;
        let lists: Vec<_> = kinds.iter().map(|kind| self.metadata_of(kind, Some(namespace))).collect();
        let lists: Vec<_> = futures::stream::iter(lists).buffered(SIDE_BY_SIDE).collect().await;
        let mut contents = Contents::default();
        let mut known = BTreeSet::new();
        for (kind, list) in kinds.iter().zip(lists) {
            match list? {
                Some(all) => {
                    let garbled = kind.is_core() && all.iter().any(|object| object.uid.as_ref().is_none_or(String::is_empty));
                    anyhow::ensure!(!garbled, "failed to list {} {namespace}/: an object in the answer has no UID", kind.kind);
                    // Virtual objects have no UID; some kinds are served by two groups.
                    let new = all.into_iter().filter(|object| object.uid.clone().is_some_and(|uid| known.insert(uid)));
                    contents.objects.extend(new.map(|metadata| Content { kind: kind.clone(), metadata }));
                }
                None => contents.unseen.push(kind.kind.clone()),
            }
        }
        Ok(contents)
    }

    /// Metadata of all objects of a kind; `None` if the login may not list it.
    async fn metadata_of(&self, kind: &Served, namespace: Option<&str>) -> anyhow::Result<Option<Vec<ObjectMeta>>> {
        let path = kind.path(namespace);
        let list = |patience| {
            let request = Request::get(&path).header(ACCEPT, METADATA).body(Vec::new()).map_err(kube::Error::HttpError);
            let of = Resource::at(&kind.api_version, &kind.plural);
            timed(patience, async move { wire::listed(self.client(), of, self.client().request::<List>(request?).await).await })
        };
        match self.policy().run(Safety::Repeatable, fate_of_list, list).await {
            Ok(list) => Ok(Some(list.items.into_iter().map(|item| item.metadata).collect())),
            Err(gave_up) => match &gave_up.error {
                error if is_not_found(error) => Ok(Some(Vec::new())),
                kube::Error::Api(status) if status.code == 405 => Ok(Some(Vec::new())),
                kube::Error::Api(status) if status.code == 403 => Ok(None),
                _ => {
                    let place = namespace.map_or_else(String::new, |namespace| format!(" {namespace}/"));
                    Err(described(&gave_up, "list", &format!("{}{place}", kind.kind)))
                }
            },
        }
    }

    /// The objects of a namespace that somebody put there: not those that `ours` knows, not what controllers put into namespaces by
    /// themselves, and not what is owned, because it is judged by its owner. `made` is when the namespace was created, `runs` the
    /// label on namespaces of runs, whose content is no sign of a controller.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub async fn strangers_in(
        &self,
        contents: Contents,
        made: Option<Timestamp>,
        runs: &str,
        ours: impl Fn(&Content) -> bool,
    ) -> anyhow::Result<Vec<Content>> {
        let mut strangers: Vec<Content> = contents.objects.into_iter().filter(|object| !is_usual(object) && !ours(object)).collect();
        let mut kinds: Vec<Served> = Vec::new();
        for stranger in strangers.iter().filter(|stranger| came_with(stranger, made)) {
            if !kinds.contains(&stranger.kind) {
                kinds.push(stranger.kind.clone());
            }
        }
        // Operators may put an object of the same name into every namespace: it came with the namespace, and others have it too.
        if kinds.is_empty() {
            return Ok(strangers);
        }
        // Runs side by side make objects of the same names.
        let of_runs = self.list(&mtv_api::kinds::NAMESPACE, None, runs).await?;
        let of_runs: BTreeSet<_> = of_runs.into_iter().map(|namespace| namespace.metadata.name).collect();
        for kind in kinds {
            let all = self.metadata_of(&kind, None).await?.unwrap_or_default();
            strangers.retain(|stranger| {
                let twin = |other: &&ObjectMeta| {
                    other.name == stranger.metadata.name
                        && other.namespace != stranger.metadata.namespace
                        && !of_runs.contains(&other.namespace)
                };
                let elsewhere: BTreeSet<_> = all.iter().filter(twin).map(|other| other.namespace.clone()).collect();
                stranger.kind != kind || !came_with(stranger, made) || elsewhere.len() < EVERYWHERE
            });
        }
        Ok(strangers)
    }
}

/// How long after a namespace its usual content comes: controllers act within seconds.
const WITH_ITS_NAMESPACE: std::time::Duration = std::time::Duration::from_secs(30);

/// An object of a name in so many other namespaces is one that a controller puts into each.
const EVERYWHERE: usize = 3;

/// Whether an object was created right after its namespace.
fn came_with(object: &Content, made: Option<Timestamp>) -> bool {
    let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let (Some(made), Some(created)) = (made, created) else { return false };
    std::time::Duration::try_from(created.duration_since(made)).is_ok_and(|later| later <= WITH_ITS_NAMESPACE)
}

/// Whether controllers put an object into every namespace, or it follows another one, or is on its way out.
fn is_usual(object: &Content) -> bool {
    let metadata = &object.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let owned = metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty());
    let going = metadata.deletion_timestamp.is_some() && metadata.finalizers.as_ref().is_none_or(Vec::is_empty);
    let writers = metadata.managed_fields.as_deref().unwrap_or_default();
    let controllers = |writer: &ManagedFieldsEntry| writer.manager.as_deref().is_some_and(|name| CONTROLLERS.contains(&name));
    let by_controllers = !writers.is_empty() && writers.iter().all(controllers);
    let usual = match object.kind.kind.as_str() {
        "ConfigMap" => matches!(name, "kube-root-ca.crt" | "openshift-service-ca.crt"),
        // Forklift makes the account of its populators, which has nothing but a name.
        "ServiceAccount" => matches!(name, "default" | "builder" | "deployer" | "populator"),
        "RoleBinding" => name.starts_with("system:") || name.starts_with("populator"),
        "Role" => name.starts_with("populator"),
        // Tokens and pull secrets of a ServiceAccount, which is judged itself.
        "Secret" => ["kubernetes.io/service-account.name", "openshift.io/internal-registry-auth-token.service-account"]
            .iter()
            .any(|key| object.annotated(key)),
        // OLM copies them into every namespace.
        "ClusterServiceVersion" => metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("olm.copiedFrom")),
        _ => false,
    };
    owned || going || usual || by_controllers
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: &str, metadata: serde_json::Value) -> Content {
        let kind = Served { api_version: "v1".into(), kind: kind.into(), plural: "x".into() };
        Content { kind, metadata: serde_json::from_value(metadata).unwrap() }
    }

    #[test]
    fn what_controllers_keep_in_every_namespace_is_usual_and_the_rest_is_not() {
        let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]);
        for (kind, metadata, expected) in [
            ("ConfigMap", json!({"name": "kube-root-ca.crt"}), true),
            ("ConfigMap", json!({"name": "theirs"}), false),
            ("ServiceAccount", json!({"name": "default"}), true),
            ("ServiceAccount", json!({"name": "ci"}), false),
            ("RoleBinding", json!({"name": "system:image-pullers"}), true),
            ("RoleBinding", json!({"name": "admin"}), false),
            ("Secret", json!({"name": "default-token-x", "annotations": {"kubernetes.io/service-account.name": "default"}}), true),
            ("Secret", json!({"name": "theirs"}), false),
            ("Pod", json!({"name": "p", "ownerReferences": owner}), true),
            ("Deployment", json!({"name": "d"}), false),
            ("ServiceAccount", json!({"name": "populator"}), true),
            ("ConfigMap", json!({"name": "hook", "managedFields": [{"manager": "forklift-controller"}]}), true),
            ("ServiceAccount", json!({"name": "ci", "managedFields": [{"manager": "kubectl-create"}]}), false),
            ("VirtualMachine", json!({"name": "v", "managedFields": [{"manager": "kubectl"}, {"manager": "virt-controller"}]}), false),
            ("Pod", json!({"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}), true),
            ("Pod", json!({"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]}), false),
        ] {
            assert_eq!(is_usual(&object(kind, metadata.clone())), expected, "{kind} {metadata}");
        }
    }

    #[test]
    fn only_what_came_right_after_its_namespace_came_with_it() {
        let made = "2026-01-01T00:00:00Z".parse().ok();
        let at = |time: &str| object("ConfigMap", json!({"name": "x", "creationTimestamp": time}));
        assert!(came_with(&at("2026-01-01T00:00:03Z"), made));
        assert!(!came_with(&at("2026-01-01T00:05:00Z"), made) && !came_with(&at("2025-12-31T00:00:00Z"), made));
        assert!(!came_with(&at("2026-01-01T00:00:03Z"), None));
    }

    #[test]
    fn an_answer_without_a_list_is_not_an_empty_list() {
        let read = |text: &str| serde_json::from_str::<List>(text).map(|list| list.items.len()).ok();
        assert_eq!(read(r#"{"items": []}"#), Some(0));
        assert_eq!(read(r#"{"items": null}"#), Some(0));
        assert_eq!(read(r#"{"items": [{"metadata": {"name": "x"}}]}"#), Some(1));
        for text in ["{}", "[]", r#"{"items": [{}]}"#, r#"{"items": "x"}"#, r#"{"kind": "Status"}"#] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn paths_name_group_and_namespace() {
        let core = Served { api_version: "v1".into(), kind: "ConfigMap".into(), plural: "configmaps".into() };
        assert_eq!(core.path(Some("n")), "/api/v1/namespaces/n/configmaps");
        let other = Served { api_version: "apps/v1".into(), kind: "Deployment".into(), plural: "deployments".into() };
        assert_eq!(other.path(None), "/apis/apps/v1/deployments");
    }
}
