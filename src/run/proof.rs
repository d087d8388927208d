//! Whether something is provably a run's: the only reason to delete or change it. A file alone proves nothing; the object has to say
//! it itself, by the run's label or hold, under a name and in a place that runs give.

use kube::api::DynamicObject;
use mtv_api::kinds::{self, Kind};

use super::{
    names::{self, RUN_LABEL, SCENARIO_LABEL},
    shared::holds,
};
use crate::cluster::{Cluster, Content, FIELD_MANAGER};

/// Kinds of objects that runs create, themselves or by way of Forklift. Nothing else is ever deleted, so that neither a journal nor
/// a label on a Node, say, can lead to its deletion.
pub const KINDS: &[&Kind] = &[
    &kinds::NAMESPACE,
    &kinds::MIGRATION,
    &kinds::PLAN,
    &kinds::STORAGE_MAP,
    &kinds::NETWORK_MAP,
    &kinds::HOOK,
    &kinds::HOST,
    &kinds::CONVERSION,
    &kinds::PROVIDER,
    &kinds::NAD,
    &kinds::SECRET,
    &kinds::CONFIG_MAP,
    &kinds::SERVICE_ACCOUNT,
    &kinds::CLUSTER_ROLE_BINDING,
    &kinds::VM,
    &kinds::DATA_VOLUME,
    &kinds::PVC,
    &kinds::JOB,
    &kinds::POD,
];

/// Kinds of shared objects that runs change or hold.
pub const SHARED: &[&Kind] = &[&kinds::FORKLIFT_CONTROLLER, &kinds::STORAGE_PROFILE, &kinds::NODE, &kinds::NAMESPACE];

/// Whether runs change this field of this kind. Nothing else is ever restored.
pub fn is_changed_by_runs(kind: &Kind, pointer: &str) -> bool {
    match kind.kind {
        "ForkliftController" => pointer == "/spec/controller_precopy_interval",
        "StorageProfile" => pointer == "/spec/claimPropertySets",
        "Node" => pointer.strip_prefix("/metadata/labels/").is_some_and(|key| !key.is_empty() && !key.contains('/')),
        _ => false,
    }
}

/// What an object is to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The run's.
    Ours,
    /// Provably not the one that the run made: that one does not exist any more, or never did.
    Another,
    /// A namespace of mtv-test that this run does not hold (any more).
    NotHeld,
    /// Nothing proves that it is the run's; with the reason.
    Unproved(String),
}

/// Why a run cannot have made an object of this kind in this place; the cluster need not be asked. `held` are namespaces that
/// scenarios name and that the run holds.
pub fn misplaced(run: &str, kind: &Kind, namespace: &str, name: &str, held: impl FnOnce(&str) -> bool) -> Option<String> {
    if !KINDS.contains(&kind) {
        return Some(format!("runs create no objects of kind {}", kind.kind));
    }
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b));
    if name.is_empty() || namespace.is_empty() == kind.namespaced || !plain(name) || !plain(namespace) {
        return Some(format!("no {} can have this name and namespace", kind.kind));
    }
    if kind == &kinds::NAMESPACE {
        return names::is_of_the_system(name).then(|| "it is a namespace of the cluster itself".to_owned());
    }
    if kind == &kinds::CLUSTER_ROLE_BINDING {
        return (!names::is_gather(run, name)).then(|| format!("run {run} gives no {} this name", kind.kind));
    }
    // Networks lie where scenarios want them, under names that tell the run; what else lies outside of the run's own namespaces was
    // made by Forklift in one that the run holds.
    let placed = names::is_own_namespace(run, namespace) || kind == &kinds::NAD || (!names::is_of_the_system(namespace) && held(namespace));
    (!placed).then(|| format!("{namespace} is not a namespace of run {run}"))
}

/// What an object that is there is to a run. `recorded` is the UID that the journal has of it.
pub fn whose(run: &str, kind: &Kind, object: &DynamicObject, recorded: Option<&str>) -> Whose {
    let metadata = &object.metadata;
    if metadata.uid.as_ref().is_none_or(String::is_empty) {
        return Whose::Unproved("the cluster's answer has no UID".to_owned());
    }
    if recorded.is_some_and(|recorded| metadata.uid.as_deref() != Some(recorded)) {
        return Whose::Another;
    }
    let name = metadata.name.as_deref().unwrap_or_default();
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let of = label(RUN_LABEL);
    if kind == &kinds::NAMESPACE && !names::is_own_namespace(run, name) {
        return match of {
            Some(_) if holds(object).contains_key(run) => Whose::Ours,
            Some(other) if other != run => Whose::NotHeld,
            _ => Whose::Unproved(format!("it does not carry the hold of run {run}")),
        };
    }
    match of {
        Some(of) if of == run => {}
        Some(_) if recorded.is_none() => return Whose::Another,
        Some(other) => return Whose::Unproved(format!("it carries the label of run {other}")),
        None => return Whose::Unproved(format!("it does not carry the label of run {run}")),
    }
    if kind == &kinds::NAD && !names::is_own_namespace(run, metadata.namespace.as_deref().unwrap_or_default()) {
        let named = label(SCENARIO_LABEL).is_some_and(|scenario| names::is_nad(run, scenario, name));
        if !named {
            return Whose::Unproved(format!("run {run} gives no network this name"));
        }
    }
    if recorded.is_none() && is_copy(metadata) {
        return Whose::Unproved(format!("it carries the label of run {run}, but mtv-test did not write it: it is a copy"));
    }
    Whose::Ours
}

/// Whether somebody else than mtv-test wrote an object with our label: its managed fields name every writer. Forklift and KubeVirt
/// copy labels too, and are known by the label `plan`. A server that keeps no managed fields proves nothing.
fn is_copy(metadata: &kube::core::ObjectMeta) -> bool {
    let writers = metadata.managed_fields.as_deref().unwrap_or_default();
    let by_forklift = metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("plan"));
    !writers.is_empty() && !by_forklift && !writers.iter().any(|writer| writer.manager.as_deref() == Some(FIELD_MANAGER))
}

/// Whether the content of a namespace of the run is the run's own: by label, and by UID where that is known.
pub fn is_content_of(run: &str, object: &Content, recorded: impl FnOnce(&str) -> bool) -> bool {
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    names::is_run_id(run) && object.label(RUN_LABEL) == run && (recorded(uid) || !is_copy(&object.metadata))
}

/// What somebody put into a namespace of a run that holds nothing but what the run itself creates, as `ConfigMap ns/name`.
///
/// # Errors
/// The cluster does not answer.
pub async fn strangers(cluster: &Cluster, namespace: &DynamicObject, run: &str) -> anyhow::Result<Vec<String>> {
    let contents = cluster.everything_in(namespace.metadata.name.as_deref().unwrap_or_default()).await?;
    let made = namespace.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let theirs = cluster.strangers_in(contents, made, RUN_LABEL, |object| is_content_of(run, object, |_| false)).await?;
    Ok(theirs.iter().map(Content::name).collect())
}

/// A reason for which something stays, with what became of it.
pub fn left_alone(reason: &str) -> String {
    format!("{reason}; it was left alone")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const RUN: &str = "abcdefghij";

    fn object(metadata: Value) -> DynamicObject {
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    fn labelled(name: &str, namespace: &str, run: &str) -> DynamicObject {
        object(json!({"name": name, "namespace": namespace, "uid": "u", "labels": {RUN_LABEL: run}}))
    }

    #[test]
    fn only_kinds_and_places_of_runs_count() {
        let own = "mtv-test-abcdefghij";
        for (kind, namespace, name, allowed) in [
            (&kinds::NODE, "", "worker-0", false),
            (&kinds::STORAGE_CLASS, "", "nfs", false),
            (&kinds::FORKLIFT_CONTROLLER, "openshift-mtv", "forklift-controller", false),
            (&kinds::NAMESPACE, "", "kube-system", false),
            (&kinds::NAMESPACE, "", "openshift-mtv", false),
            (&kinds::NAMESPACE, "", "default", false),
            (&kinds::NAMESPACE, "", own, true),
            (&kinds::NAMESPACE, "", "shared-by-scenarios", true),
            (&kinds::SECRET, own, "vsphere-credentials", true),
            (&kinds::SECRET, "kube-system", "bootstrap", false),
            (&kinds::SECRET, "victim", "x", false),
            (&kinds::SECRET, "", "x", false),
            (&kinds::SECRET, own, "", false),
            (&kinds::SECRET, own, "../../victim/secrets/x", false),
            (&kinds::NAMESPACE, own, own, false),
            (&kinds::PLAN, "held", "x", true),
            (&kinds::PLAN, "kube-held", "x", false),
            (&kinds::NAD, "default", "cb-123456-1", true),
            (&kinds::CLUSTER_ROLE_BINDING, "", "mtv-test-gather-abcdefghij-12ab", true),
            (&kinds::CLUSTER_ROLE_BINDING, "", "cluster-admins", false),
        ] {
            let refused = misplaced(RUN, kind, namespace, name, |namespace| namespace.ends_with("held"));
            assert_eq!(refused.is_none(), allowed, "{} {namespace}/{name}: {refused:?}", kind.kind);
        }
    }

    #[test]
    fn fields_that_no_run_sets_are_never_restored() {
        for (kind, pointer, allowed) in [
            (&kinds::FORKLIFT_CONTROLLER, "/spec/controller_precopy_interval", true),
            (&kinds::FORKLIFT_CONTROLLER, "/spec/image_fqin", false),
            (&kinds::STORAGE_PROFILE, "/spec/claimPropertySets", true),
            (&kinds::NODE, "/metadata/labels/a~1b", true),
            (&kinds::NODE, "/metadata/labels/", false),
            (&kinds::NODE, "/metadata/labels", false),
            (&kinds::NODE, "/spec/taints", false),
            (&kinds::CLUSTER_ROLE_BINDING, "/subjects", false),
            (&kinds::SECRET, "/data/password", false),
            (&kinds::NAMESPACE, "/metadata/labels/a", false),
        ] {
            assert_eq!(is_changed_by_runs(kind, pointer), allowed, "{} {pointer}", kind.kind);
        }
    }

    #[test]
    fn an_object_has_to_say_itself_whose_it_is() {
        let own = "mtv-test-abcdefghij";
        let plan = |run: &str, recorded| whose(RUN, &kinds::PLAN, &labelled("p", own, run), recorded);
        assert_eq!(plan(RUN, Some("u")), Whose::Ours);
        assert_eq!(plan(RUN, None), Whose::Ours);
        assert_eq!(plan(RUN, Some("v")), Whose::Another, "the UID is another one's");
        assert_eq!(plan("klmnpqrstu", None), Whose::Another);
        assert!(matches!(plan("klmnpqrstu", Some("u")), Whose::Unproved(_)));
        let bare = object(json!({"name": "p", "namespace": own, "uid": "u"}));
        assert!(matches!(whose(RUN, &kinds::PLAN, &bare, Some("u")), Whose::Unproved(_)), "the UID of a file proves nothing");
        assert!(matches!(whose(RUN, &kinds::PLAN, &bare, None), Whose::Unproved(_)));
        let garbled = object(json!({"name": "p", "namespace": own, "labels": {RUN_LABEL: RUN}}));
        assert!(matches!(whose(RUN, &kinds::PLAN, &garbled, Some("u")), Whose::Unproved(_)), "an answer without a UID proves nothing");
    }

    #[test]
    fn namespaces_of_scenarios_need_the_hold_of_the_run() {
        let hold = r#"{"since":"2026-01-01T00:00:00Z"}"#;
        let namespace = |name: &str, metadata: Value| {
            let mut all = json!({"name": name, "uid": "u"});
            all.as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
            whose(RUN, &kinds::NAMESPACE, &object(all), Some("u"))
        };
        let held = json!({"labels": {RUN_LABEL: "klmnpqrstu"}, "annotations": {format!("mtv-test.io/hold.{RUN}"): hold}});
        assert_eq!(namespace("vms", held), Whose::Ours);
        assert_eq!(namespace("vms", json!({"labels": {RUN_LABEL: "klmnpqrstu"}})), Whose::NotHeld);
        assert!(matches!(namespace("vms", json!({"labels": {RUN_LABEL: RUN}})), Whose::Unproved(_)), "a copy has the label, too");
        assert!(matches!(namespace("vms", json!({})), Whose::Unproved(_)));
        assert_eq!(namespace("mtv-test-abcdefghij", json!({"labels": {RUN_LABEL: RUN}})), Whose::Ours);
        assert!(matches!(namespace("mtv-test-abcdefghij", json!({})), Whose::Unproved(_)));
    }

    #[test]
    fn what_others_wrote_with_our_label_is_a_copy_unless_the_journal_knows_its_uid() {
        let own = "mtv-test-abcdefghij";
        let written = |manager: &str, labels: Value| {
            object(json!({"name": "p", "namespace": own, "uid": "u", "labels": labels,
                "managedFields": [{"manager": manager, "operation": "Update"}]}))
        };
        let ours = json!({RUN_LABEL: RUN});
        assert_eq!(whose(RUN, &kinds::STORAGE_MAP, &written(FIELD_MANAGER, ours.clone()), None), Whose::Ours);
        assert!(matches!(whose(RUN, &kinds::STORAGE_MAP, &written("kubectl-create", ours.clone()), None), Whose::Unproved(_)));
        assert_eq!(whose(RUN, &kinds::STORAGE_MAP, &written("kubectl-create", ours), Some("u")), Whose::Ours);
        let by_forklift = json!({RUN_LABEL: RUN, "plan": "x"});
        assert_eq!(whose(RUN, &kinds::VM, &written("forklift-controller", by_forklift), None), Whose::Ours);
    }

    #[test]
    fn networks_elsewhere_need_the_name_that_their_scenario_gives() {
        let base = names::nad_base(RUN, "warm");
        let nad = |name: &str| {
            let labels = json!({RUN_LABEL: RUN, SCENARIO_LABEL: "warm"});
            whose(RUN, &kinds::NAD, &object(json!({"name": name, "namespace": "default", "uid": "u", "labels": labels})), None)
        };
        assert_eq!(nad(&format!("{base}-1")), Whose::Ours);
        assert!(matches!(nad("cnv-bridge"), Whose::Unproved(_)));
    }
}
