//! What lies in a namespace of ours and is not ours: a namespace takes its content along, so everything that it serves is looked at
//! before it goes.

use std::collections::BTreeSet;

use kube::api::DynamicObject;
use mtv_api::kinds;

use super::{
    Teardown, names,
    proof::{self, Whose},
};
use crate::{
    cluster::Content,
    engine::{Failure, StepCx},
    journal::{Entry, Record},
};

impl Teardown<'_> {
    /// Objects in a namespace of ours that are not of this run, as `Plan mig/x`.
    pub(super) async fn foreign_in(&self, namespace: &DynamicObject, cx: &StepCx) -> Result<Vec<String>, Failure> {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let contents = self.cluster.everything_in(name).await?;
        if !contents.unseen.is_empty() {
            cx.progress(format!("the login may not list {} in namespace {name}: not looked for there", contents.unseen.join(", ")), None);
        }
        let records = self.journal.snapshot();
        let uids: BTreeSet<&str> = records.iter().filter_map(|r| r.reference.as_deref()).collect();
        let executed = self.executed(&records).await;
        let known = |object: &Content| {
            if self.looked_up {
                return object.metadata.uid.as_deref().is_some_and(|uid| uids.contains(uid)) || executed.made(object);
            }
            proof::is_content_of(&self.run, object, |uid| uids.contains(uid)) || executed.made(object)
        };
        let made = namespace.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let strangers = self.cluster.strangers_in(contents, made, names::RUN_LABEL, known).await?;
        Ok(strangers.iter().map(Content::name).collect())
    }

    /// UIDs of the run's Plans and Migrations, by which Forklift labels what it makes. One that the file names although the object of
    /// that UID is not the run's proves nothing.
    async fn executed(&self, records: &[Record]) -> Executed {
        let of = |wanted: &str| -> Vec<(String, String)> {
            let recorded = records.iter().filter_map(|record| match &record.entry {
                Entry::Object { kind, namespace, name, .. } if kind == wanted => {
                    let own = self.looked_up || names::is_own_namespace(&self.run, namespace);
                    Some((record.reference.clone()?, name.clone())).filter(|_| own)
                }
                _ => None,
            });
            recorded.collect()
        };
        let (mut plans, mut migrations) = (of(kinds::PLAN.kind), of(kinds::MIGRATION.kind));
        if !self.looked_up {
            for (kind, known) in [(&kinds::PLAN, &mut plans), (&kinds::MIGRATION, &mut migrations)] {
                if known.is_empty() {
                    continue;
                }
                // Those that are gone were deleted by this run's teardown; those that are there can be asked.
                let there = self.cluster.list_served(kind, "").await.ok().flatten().unwrap_or_default();
                let foreign = there.iter().filter(|object| proof::whose(&self.run, kind, object, None) != Whose::Ours);
                let foreign: BTreeSet<&str> = foreign.filter_map(|object| object.metadata.uid.as_deref()).collect();
                known.retain(|(uid, _)| !foreign.contains(uid.as_str()));
            }
        }
        Executed { plans, migrations }
    }
}

/// The run's Plans and Migrations, with UID and name.
struct Executed {
    plans: Vec<(String, String)>,
    migrations: Vec<(String, String)>,
}

impl Executed {
    /// Whether Forklift made an object for one of them.
    fn made(&self, object: &Content) -> bool {
        let has = |known: &[(String, String)], uid: &str| !uid.is_empty() && known.iter().any(|(known, _)| known == uid);
        let name = object.metadata.name.as_deref().unwrap_or_default();
        // What is made for a Plan and not for one of its VMs carries no UID in all releases; it is called after the Plan.
        let helper = [("resource", "vddk-config"), ("resource", "hook-config"), ("use", "vddk-conf")]
            .iter()
            .any(|(key, value)| object.label(key) == *value);
        let called_after = || {
            let plan = |plan: &str| name.strip_prefix(plan).is_some_and(|rest| rest.starts_with('-'));
            self.plans.iter().any(|(_, known)| plan(known))
        };
        has(&self.plans, object.label("plan")) || has(&self.migrations, object.label("migration")) || (helper && called_after())
    }
}
