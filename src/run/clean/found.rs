//! What runs have left, found by labels on the cluster and by marks on a source: no journal is needed.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::Timestamp;
use kube::api::DynamicObject;
use mtv_api::kinds::{self, Kind};

use crate::{
    cluster::Cluster,
    config::profile::ProviderKind,
    journal::Entry,
    providers::{ProviderResult, SourceProvider},
    run::{
        names::{RUN_LABEL, SCENARIO_LABEL},
        shared::{Hold, holds},
    },
};

/// Kinds that runs create. Only these are looked for, so that a label on a Node, say, can never lead to its deletion.
const KINDS: &[&Kind] = &[
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

/// Kinds of shared objects that runs change.
const SHARED: &[&Kind] = &[&kinds::FORKLIFT_CONTROLLER, &kinds::STORAGE_PROFILE, &kinds::NODE, &kinds::NAMESPACE];

/// What a run has left.
#[derive(Debug, Default)]
pub struct Left {
    /// What there is, with its UID or id.
    pub entries: Vec<(Entry, String)>,
    /// When the youngest of it was made.
    pub newest: Option<Timestamp>,
}

impl Left {
    fn add(&mut self, entry: Entry, reference: String, made: Option<Timestamp>) {
        self.entries.push((entry, reference));
        self.newest = self.newest.max(made);
    }
}

/// What runs have left, by run id, and what could not be looked at.
#[derive(Debug, Default)]
pub struct Found {
    /// By run id.
    pub runs: BTreeMap<String, Left>,
    /// Why a kind could not be listed, a sentence each.
    pub blind: Vec<String>,
}

/// Looks on the cluster; for one run, or for all.
pub async fn on_cluster(cluster: &Cluster, run: Option<&str>) -> Found {
    let selector = run.map_or_else(|| RUN_LABEL.to_owned(), |run| format!("{RUN_LABEL}={run}"));
    let labelled = join_all(KINDS.iter().map(|kind| cluster.list_served(kind, &selector)));
    let all = join_all(SHARED.iter().map(|kind| cluster.list_served(kind, "")));
    let (labelled, all) = tokio::join!(labelled, all);
    let mut found = Found::default();
    for (kind, objects) in KINDS.iter().zip(labelled) {
        match objects {
            Ok(objects) => objects.into_iter().flatten().for_each(|object| found.take(kind, &object)),
            Err(error) => found.blind.push(format!("{error:#}")),
        }
    }
    for (kind, objects) in SHARED.iter().zip(all) {
        match objects {
            Ok(objects) => objects.into_iter().flatten().for_each(|object| found.take_holds(kind, &object, run)),
            Err(error) => found.blind.push(format!("{error:#}")),
        }
    }
    found
}

impl Found {
    fn take(&mut self, kind: &Kind, object: &DynamicObject) {
        let label = |key: &str| object.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
        let Some(run) = label(RUN_LABEL).filter(|run| !run.is_empty()) else { return };
        let entry = Entry::Object {
            api_version: kind.api_version(),
            kind: kind.kind.to_owned(),
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
            scenario: label(SCENARIO_LABEL),
        };
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let made = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        self.runs.entry(run).or_default().add(entry, uid, made);
    }

    fn take_holds(&mut self, kind: &Kind, object: &DynamicObject, wanted: Option<&str>) {
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let name = object.metadata.name.clone().unwrap_or_default();
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        for (run, Hold { since, fields }) in holds(object) {
            if wanted.is_some_and(|wanted| wanted != run) {
                continue;
            }
            let left = self.runs.entry(run.clone()).or_default();
            if kind == &kinds::NAMESPACE {
                let labelled = object.metadata.labels.as_ref().and_then(|labels| labels.get(RUN_LABEL)) == Some(&run);
                let entry = Entry::Object {
                    api_version: kind.api_version(),
                    kind: kind.kind.to_owned(),
                    namespace: String::new(),
                    name: name.clone(),
                    scenario: None,
                };
                if !labelled {
                    left.add(entry, uid.clone(), Some(since));
                }
                continue;
            }
            for (field, held) in fields {
                let entry = Entry::Patch {
                    api_version: kind.api_version(),
                    kind: kind.kind.to_owned(),
                    namespace: namespace.clone(),
                    name: name.clone(),
                    field,
                    before: held.before,
                    after: held.after,
                };
                left.add(entry, uid.clone(), Some(since));
            }
        }
    }

    /// Adds what a source has, under the name of its profile. On one that cannot clone, runs make nothing.
    ///
    /// # Errors
    /// The source cannot list its VMs.
    pub async fn add_source(&mut self, source: &dyn SourceProvider, profile: &str) -> ProviderResult<()> {
        if !source.abilities().clones {
            return Ok(());
        }
        for marked in source.marked().await? {
            let Some(run) = marked.vm.run else { continue };
            let entry = clone_entry(profile, source.kind(), marked.vm.name);
            self.runs.entry(run).or_default().add(entry, marked.vm.id, marked.created);
        }
        Ok(())
    }
}

/// The entry of a clone.
pub fn clone_entry(profile: &str, provider: ProviderKind, name: String) -> Entry {
    Entry::Clone { profile: profile.to_owned(), provider, name, scenario: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: serde_json::Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn objects_are_sorted_by_run_and_the_youngest_tells_the_age() {
        let mut found = Found::default();
        for (name, run, made) in
            [("a", "r1", "2026-01-01T00:00:00Z"), ("b", "r1", "2026-01-03T00:00:00Z"), ("c", "r2", "2026-01-02T00:00:00Z")]
        {
            found.take(
                &kinds::PLAN,
                &object(json!({"metadata": {"name": name, "namespace": "n", "uid": name,
                "creationTimestamp": made, "labels": {RUN_LABEL: run}}})),
            );
        }
        found.take(&kinds::PLAN, &object(json!({"metadata": {"name": "foreign", "namespace": "n"}})));
        assert_eq!(found.runs.len(), 2);
        assert_eq!(found.runs["r1"].entries.len(), 2);
        assert_eq!(found.runs["r1"].newest, Some("2026-01-03T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn holds_on_shared_objects_belong_to_their_runs() {
        let mut found = Found::default();
        let hold = r#"{"since":"2026-01-01T00:00:00Z","fields":{"/spec/a":{"before":1,"after":2}}}"#;
        let controller = object(json!({"metadata": {"name": "c", "namespace": "mtv", "annotations": {"mtv-test.io/hold.r1": hold}}}));
        found.take_holds(&kinds::FORKLIFT_CONTROLLER, &controller, Some("r2"));
        assert!(found.runs.is_empty());
        found.take_holds(&kinds::FORKLIFT_CONTROLLER, &controller, None);
        assert_eq!(found.runs["r1"].entries[0].0.to_string(), "/spec/a of ForkliftController mtv/c");
        let namespace = object(json!({"metadata": {"name": "n", "labels": {RUN_LABEL: "r1"},
            "annotations": {"mtv-test.io/hold.r1": r#"{"since":"2026-01-01T00:00:00Z"}"#, "mtv-test.io/hold.r3": r#"{"since":"2026-01-01T00:00:00Z"}"#}}}));
        found.take_holds(&kinds::NAMESPACE, &namespace, None);
        assert_eq!(found.runs["r1"].entries.len(), 1, "by its label it is found anyway");
        assert_eq!(found.runs["r3"].entries[0].0.to_string(), "Namespace n");
    }
}
