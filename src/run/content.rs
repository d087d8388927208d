//! What lies in a namespace of ours and is not ours: a namespace takes its content along, so it is looked at before it goes.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use kube::api::DynamicObject;
use mtv_api::kinds::{self, Kind};

use super::{Teardown, names::RUN_LABEL};
use crate::{
    cluster::name_of,
    engine::Failure,
    journal::{Entry, Record},
};

/// Kinds of which people and tools make objects on purpose, and no controller does behind the scenes. Forklift makes
/// VirtualMachines, and labels them with the UID of their Plan.
const MADE_ON_PURPOSE: &[&Kind] =
    &[&kinds::PLAN, &kinds::MIGRATION, &kinds::PROVIDER, &kinds::STORAGE_MAP, &kinds::NETWORK_MAP, &kinds::NAD, &kinds::VM];

/// Kinds of which controllers make objects of their own in every namespace: only one that has a name of ours is looked at.
const MADE_BY_MANY: &[&Kind] = &[&kinds::SECRET, &kinds::CONFIG_MAP];

impl Teardown<'_> {
    /// Objects in a namespace of ours that are not of this run, as `Plan mig/x`.
    pub(super) async fn foreign_in(&self, namespace: &str) -> Result<Vec<String>, Failure> {
        let records = self.journal.snapshot();
        let named: BTreeSet<(&str, &str)> = records.iter().filter_map(|r| object_in(r, namespace)).collect();
        let kinds = MADE_ON_PURPOSE.iter().chain(MADE_BY_MANY.iter().filter(|kind| named.iter().any(|(k, _)| *k == kind.kind)));
        let lists = try_join_all(kinds.map(|kind| async move {
            // A kind that the cluster does not serve has no objects.
            let objects = self.cluster.list_in_served(kind, namespace).await?;
            anyhow::Ok((*kind, objects.unwrap_or_default()))
        }))
        .await?;
        let plans: BTreeSet<&str> = records.iter().filter_map(plan_uid).collect();
        let uids: BTreeSet<&str> = records.iter().filter_map(|r| r.reference.as_deref()).collect();
        let mut foreign = Vec::new();
        for (kind, objects) in &lists {
            for object in objects {
                let name = object.metadata.name.as_deref().unwrap_or_default();
                let counts = MADE_ON_PURPOSE.contains(kind) || named.contains(&(kind.kind, name));
                if counts && !self.belongs(object, &plans, &uids) {
                    foreign.push(name_of(kind, Some(namespace), name));
                }
            }
        }
        Ok(foreign)
    }

    /// Ours by label or UID, made by Forklift for a Plan of ours, owned by another object, or on its way out already.
    fn belongs(&self, object: &DynamicObject, plans: &BTreeSet<&str>, uids: &BTreeSet<&str>) -> bool {
        let label = |key: &str| object.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
        label(RUN_LABEL) == Some(&self.run)
            || label("plan").is_some_and(|plan| plans.contains(plan))
            || object.metadata.uid.as_deref().is_some_and(|uid| uids.contains(uid))
            || object.metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty())
            || (object.metadata.deletion_timestamp.is_some() && object.metadata.finalizers.as_ref().is_none_or(Vec::is_empty))
    }
}

/// Kind and name of a record inside the namespace.
fn object_in<'r>(record: &'r Record, wanted: &str) -> Option<(&'r str, &'r str)> {
    match &record.entry {
        Entry::Object { kind, namespace, name, .. } if namespace == wanted => Some((kind, name)),
        _ => None,
    }
}

fn plan_uid(record: &Record) -> Option<&str> {
    match &record.entry {
        Entry::Object { kind, .. } if kind == kinds::PLAN.kind => record.reference.as_deref(),
        _ => None,
    }
}
