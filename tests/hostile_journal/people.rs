//! What people put into a run's namespace keeps the namespace.

use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    discovery::{Discovery, Scope, verbs},
};
use mtv_api::kinds;
use serde_json::json;

use crate::{
    bed::{clean, everything, killed, make, one_of_every_kind, text},
    support::{Lab, told},
};

/// Deletes an object as its owner does: its finalizers, too.
async fn remove(api: &Api<DynamicObject>, name: &str) {
    let _ = api.delete(name, &DeleteParams::default()).await;
    while api.get_opt(name).await.unwrap().is_some() {
        let _ = api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"metadata": {"finalizers": null}}))).await;
    }
}

/// Kinds of which people put something into the namespace, at least.
const KINDS: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn what_people_put_into_the_namespace_of_a_run_stays_whatever_its_kind() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let client = lab.client().await;
    let objects = lab.objects().await;
    let (folder, run, namespace) = killed(&lab, "people", "sanity-cold").await;
    one_of_every_kind(&client, &namespace, "theirs").await;
    let all = everything(&client).await;
    let theirs: Vec<_> = all.into_iter().filter(|(_, victim)| victim.namespace == namespace && victim.name == "theirs").collect();
    // What follows another object goes and comes with it.
    let owned = ["Endpoints", "EndpointSlice", "Event", "Lease"];
    let theirs: Vec<_> = theirs.into_iter().filter(|(_, victim)| !owned.contains(&victim.kind.as_str())).collect();
    let kinds_of: std::collections::BTreeSet<_> = theirs.iter().map(|(_, victim)| victim.kind.clone()).collect();
    assert!(kinds_of.len() >= KINDS, "{kinds_of:?}");

    // A copy of one of the run's own objects, with its label.
    let labels = json!({"mtv-test.io/run": run, "app.kubernetes.io/managed-by": "mtv-test"});
    let map = json!({"metadata": {"labels": labels}, "spec": {"provider": {"source": {}, "destination": {}}, "map": []}});
    make(&client, &kinds::STORAGE_MAP, Some(&namespace), "copied", map).await;

    let file = text(&folder).to_owned();
    let dry = clean(&lab, &[&file, "--dry-run"]);
    let kept = clean(&lab, &[&file]);
    assert_eq!(kept.status.code(), Some(8), "{}", told(&kept));
    for output in [&dry, &kept] {
        assert!(told(output).contains("it holds objects that are not of this run"), "{}", told(output));
        for kind in &kinds_of {
            assert!(told(output).contains(&format!("{kind} {namespace}/theirs")), "{kind}: {}", told(output));
        }
        assert!(told(output).contains(&format!("StorageMap {namespace}/copied")), "{}", told(output));
    }
    let after = everything(&client).await;
    for (name, victim) in &theirs {
        assert_eq!(after.get(name).map(|now| (&now.uid, &now.content)), Some((&victim.uid, &victim.content)), "{name}");
    }
    // What is the run's is gone one by one.
    for kind in ["Plan", "Migration", "Provider", "StorageMap", "NetworkMap"] {
        let left = after
            .values()
            .filter(|object| object.namespace == namespace && object.kind == kind && !["theirs", "copied"].contains(&object.name.as_str()))
            .count();
        assert_eq!(left, 0, "{kind}: {}", told(&kept));
    }
    assert_eq!(lab.clones_of(&run).await, Vec::<String>::new());

    // Each alone is enough: they are taken away one after the other, and the namespace stays until the last one is gone.
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let resources: Vec<_> = discovery.groups().flat_map(kube::discovery::ApiGroup::resources_by_stability).collect();
    for (number, (_, victim)) in theirs.iter().enumerate() {
        let dry = clean(&lab, &[&file, "--dry-run"]);
        assert!(told(&dry).contains(&format!("{} {namespace}/theirs", victim.kind)), "{}: {}", victim.kind, told(&dry));
        assert!(told(&dry).contains(&format!("would leave Namespace {namespace}")), "after {number}: {}", told(&dry));
        let of_kind = resources.iter().find(|(resource, abilities)| {
            resource.kind == victim.kind
                && resource.api_version == victim.api_version
                && abilities.scope == Scope::Namespaced
                && abilities.supports_operation(verbs::DELETE)
        });
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &of_kind.unwrap().0);
        remove(&api, "theirs").await;
    }
    let dry = clean(&lab, &[&file, "--dry-run"]);
    assert!(told(&dry).contains(&format!("StorageMap {namespace}/copied")), "{}", told(&dry));
    remove(&Api::namespaced_with(client.clone(), &namespace, &kinds::STORAGE_MAP.resource()), "copied").await;
    // And what controllers made of theirs.
    let pods: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &kinds::POD.resource());
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        remove(&pods, pod.metadata.name.as_deref().unwrap()).await;
    }
    let done = clean(&lab, &[&file]);
    assert!(done.status.success(), "{}", told(&done));
    let cluster_scoped = |names: std::collections::BTreeSet<String>| {
        names.into_iter().filter(|name| !name.contains("/theirs")).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(cluster_scoped(lab.objects().await), objects);
    let namespaces: Api<DynamicObject> = Api::all_with(client, &kinds::NAMESPACE.resource());
    assert!(namespaces.get_opt(&namespace).await.unwrap().is_none());
}
