//! What runs have left, found by labels on the cluster and by marks on a source: no journal is needed.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use jiff::Timestamp;
use kube::api::DynamicObject;
use mtv_api::kinds::{self, Kind};

use crate::{
    cluster::Cluster,
    config::profile::ProviderKind,
    engine::Leftover,
    journal::Entry,
    providers::{ProviderResult, Source},
    run::{
        names::{self, RUN_LABEL, SCENARIO_LABEL},
        proof::{self, KINDS, SHARED, Whose},
        shared::{Hold, holds},
    },
};

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
    /// What carries the label or mark of a run and is not provably its: copies that people made. They stay.
    pub kept: Vec<Leftover>,
    /// Namespaces that scenarios name, with the run that holds them.
    held: BTreeSet<(String, String)>,
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
    for (kind, objects) in SHARED.iter().zip(&all).filter(|(kind, _)| **kind == &kinds::NAMESPACE) {
        objects.iter().flatten().flatten().for_each(|object| found.note_held(kind, object));
    }
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
    /// Notes which runs hold a namespace.
    fn note_held(&mut self, kind: &Kind, object: &DynamicObject) {
        let name = object.metadata.name.clone().unwrap_or_default();
        for run in holds(object).into_keys() {
            if proof::whose(&run, kind, object, None) == Whose::Ours {
                self.held.insert((run, name.clone()));
            }
        }
    }

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
        let (place, name) = (object.metadata.namespace.as_deref().unwrap_or_default(), object.metadata.name.as_deref().unwrap_or_default());
        let held = |namespace: &str| self.held.contains(&(run.clone(), namespace.to_owned()));
        let doubt = proof::misplaced(&run, kind, place, name, held).or_else(|| match proof::whose(&run, kind, object, None) {
            Whose::Ours => None,
            Whose::Unproved(reason) => Some(reason),
            Whose::Another | Whose::NotHeld => Some("nothing else than the label says so".to_owned()),
        });
        if let Some(reason) = doubt {
            self.kept.push(Leftover { object: entry.to_string(), reason: not_named(&run, &format!(": {reason}")) });
            return;
        }
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
                if !labelled && proof::whose(&run, kind, object, None) == Whose::Ours {
                    left.add(entry, uid.clone(), Some(since));
                }
                continue;
            }
            for (field, held) in fields.into_iter().filter(|(field, _)| proof::is_changed_by_runs(kind, field)) {
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
    pub async fn add_source(&mut self, source: &dyn Source, profile: &str) -> ProviderResult<()> {
        let Some(cloner) = source.cloner() else { return Ok(()) };
        for marked in cloner.marked().await? {
            let Some(run) = marked.vm.run else { continue };
            if !(names::is_clone(&run, &marked.vm.name) || marked.vm.name == names::source_namespace(&run)) {
                self.kept.push(copy(profile, &marked.vm.name, &marked.vm.id, &run));
                continue;
            }
            let entry = clone_entry(profile, source.kind(), marked.vm.name);
            self.runs.entry(run).or_default().add(entry, marked.vm.id, marked.created);
        }
        Ok(())
    }
}

/// Something on a source that carries a run's mark under a name that the run does not give: a copy inherits the mark.
pub fn copy(profile: &str, name: &str, id: &str, run: &str) -> Leftover {
    let what = if id.is_empty() { "" } else { "VM " };
    Leftover { object: format!("{what}{name} on {profile}"), reason: not_named(run, "") }
}

fn not_named(run: &str, why: &str) -> String {
    format!("carries the mark of run {run} but is not named by it{why}; left alone")
}

/// The entry of a clone.
pub fn clone_entry(profile: &str, provider: ProviderKind, name: String) -> Entry {
    Entry::Clone { profile: profile.to_owned(), provider, name, scenario: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const R1: &str = "run1run1aa";
    const R2: &str = "run2run2aa";

    fn object(value: serde_json::Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn objects_are_sorted_by_run_and_the_youngest_tells_the_age() {
        let mut found = Found::default();
        for (name, run, made) in [("a", R1, "2026-01-01T00:00:00Z"), ("b", R1, "2026-01-03T00:00:00Z"), ("c", R2, "2026-01-02T00:00:00Z")] {
            found.take(
                &kinds::PLAN,
                &object(json!({"metadata": {"name": name, "namespace": format!("mtv-test-{run}"), "uid": name,
                "creationTimestamp": made, "labels": {RUN_LABEL: run}}})),
            );
        }
        found.take(&kinds::PLAN, &object(json!({"metadata": {"name": "foreign", "namespace": "n"}})));
        let copied = json!({"metadata": {"name": "a", "namespace": "debug", "uid": "a2", "labels": {RUN_LABEL: R1}}});
        found.take(&kinds::STORAGE_MAP, &object(copied));
        assert_eq!(found.runs.len(), 2);
        assert_eq!(found.kept.iter().map(|kept| kept.object.as_str()).collect::<Vec<_>>(), ["StorageMap debug/a"]);
        assert!(found.kept[0].reason.contains("carries the mark of run run1run1aa but is not named by it"), "{}", found.kept[0].reason);
        assert_eq!(found.runs[R1].entries.len(), 2);
        assert_eq!(found.runs[R1].newest, Some("2026-01-03T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn holds_on_shared_objects_belong_to_their_runs() {
        let mut found = Found::default();
        let hold = r#"{"since":"2026-01-01T00:00:00Z","fields":{"/spec/controller_precopy_interval":{"before":1,"after":2},"/spec/a":{"after":2}}}"#;
        let controller =
            object(json!({"metadata": {"name": "c", "namespace": "mtv", "annotations": {"mtv-test.io/hold.run1run1aa": hold}}}));
        found.take_holds(&kinds::FORKLIFT_CONTROLLER, &controller, Some(R2));
        assert!(found.runs.is_empty());
        found.take_holds(&kinds::FORKLIFT_CONTROLLER, &controller, None);
        assert_eq!(found.runs[R1].entries[0].0.to_string(), "/spec/controller_precopy_interval of ForkliftController mtv/c");
        assert_eq!(found.runs[R1].entries.len(), 1, "no run changes another field");
        let namespace = object(json!({"metadata": {"name": "n", "uid": "u", "labels": {RUN_LABEL: R1},
            "annotations": {"mtv-test.io/hold.run1run1aa": r#"{"since":"2026-01-01T00:00:00Z"}"#, "mtv-test.io/hold.run3run3aa": r#"{"since":"2026-01-01T00:00:00Z"}"#}}}));
        found.take_holds(&kinds::NAMESPACE, &namespace, None);
        assert_eq!(found.runs[R1].entries.len(), 1, "by its label it is found anyway");
        assert_eq!(found.runs["run3run3aa"].entries[0].0.to_string(), "Namespace n");
    }
}
