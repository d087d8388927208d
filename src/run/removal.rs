//! How one record of the journal is taken away: canceled, archived, deleted or restored, once it is proved to be ours.

use std::{sync::atomic::Ordering, time::Duration};

use kube::api::DynamicObject;
use mtv_api::{
    condition::Conditions as _,
    forklift::{MigrationSpec, PlanSpec, PlanStatus, SourceRef},
    kinds::{self, Kind},
};
use serde_json::{Value, json};

use super::{
    Teardown, migrated,
    names::{self, RUN_LABEL},
    provider_failure,
    shared::{Field, Shared},
    teardown::Removed,
};
use crate::{
    cluster::{Awaited, ObjectExt as _, state_of},
    engine::{Failure, StepCx},
    events::Trouble,
    journal::{Entry, EntryId, Record, State},
    providers::{Leaving, SourceProvider},
};

/// Longest wait for a cancel or an archive, as mtv-api-tests has it.
const CONTROLLER: Duration = Duration::from_mins(5);

/// How often the deletion of a namespace is tried again because somebody changed it in between.
const ATTEMPTS: usize = 20;

impl Teardown<'_> {
    /// Cancels a Migration that has not ended, and waits until its Plan says so.
    pub(super) async fn cancel(&self, record: &Record, cx: &StepCx) -> Result<Removed, Failure> {
        let Entry::Object { namespace, name, .. } = &record.entry else { return Ok(Removed::Absent) };
        let Some(migration) = self.ours(&kinds::MIGRATION, Some(namespace), name, record).await? else { return Ok(Removed::Absent) };
        let plan_ref = migration.spec::<MigrationSpec>().plan;
        let plan = self.cluster.get(&kinds::PLAN, Some(&plan_ref.namespace), &plan_ref.name).await?;
        let Some(plan) = plan.filter(|p| !ended(p)) else { return Ok(Removed::Absent) };
        let vms: Vec<SourceRef> = plan
            .spec::<PlanSpec>()
            .vms
            .into_iter()
            .map(|vm| SourceRef { id: vm.id, name: vm.name, namespace: vm.namespace, kind: None })
            .collect();
        self.cluster.patch(&kinds::MIGRATION, Some(namespace), name, &json!({"spec": {"cancel": vms}})).await?;
        let awaited = Awaited {
            kind: &kinds::PLAN,
            namespace: Some(&plan_ref.namespace),
            name: &plan_ref.name,
            until: "to be canceled",
            limit: CONTROLLER,
        };
        self.cluster.wait(cx, awaited, |plan| Ok(plan.is_none_or(ended).then_some(Removed::Absent))).await
    }

    /// Archives a Plan that was executed and removes what it made.
    pub(super) async fn archive(&self, record: &Record, cx: &StepCx) -> Result<Removed, Failure> {
        let Entry::Object { namespace, name, .. } = &record.entry else { return Ok(Removed::Absent) };
        let Some(plan) = self.ours(&kinds::PLAN, Some(namespace), name, record).await? else { return Ok(Removed::Absent) };
        let status: PlanStatus = plan.status();
        if status.migration.is_some() && status.conditions.holds("Archived").is_none() {
            self.cluster.patch(&kinds::PLAN, Some(namespace), name, &json!({"spec": {"archived": true}})).await?;
            let awaited = Awaited { kind: &kinds::PLAN, namespace: Some(namespace), name, until: "to be archived", limit: CONTROLLER };
            let archived = |p: &DynamicObject| p.status::<PlanStatus>().conditions.holds("Archived").is_some();
            let result = self.cluster.wait(cx, awaited, |plan| Ok(plan.is_none_or(archived).then_some(()))).await;
            match result {
                Err(Failure::Interrupted) => return Err(Failure::Interrupted),
                Err(Failure::Failed(t) | Failure::Errored(t)) => cx.warn(format!("{}; going on with what it made", t.summary)),
                Ok(()) => {}
            }
        }
        let uid = plan.metadata.uid.as_deref().unwrap_or_default();
        migrated::remove(self.cluster, cx, &plan.spec::<PlanSpec>().target_namespace, uid, self.limit).await?;
        Ok(Removed::Absent)
    }

    /// Deletes an object or a clone, waits until it is gone, and writes that down.
    pub(super) async fn delete(&self, record: &Record, cx: &StepCx) -> Result<Removed, Failure> {
        let removed = match &record.entry {
            Entry::Object { api_version, kind, namespace, name, .. } => {
                let kind = known(api_version, kind)?;
                let namespace = Some(namespace.as_str()).filter(|n| !n.is_empty());
                match self.ours(kind, namespace, name, record).await? {
                    None => Removed::Absent,
                    Some(object) if kind == &kinds::NAMESPACE => self.delete_namespace(object, record, cx).await?,
                    Some(object) => {
                        let uid = object.metadata.uid.as_deref();
                        self.note_deleting(record.id, cx).await;
                        if self.cluster.delete(kind, namespace, name, uid).await? {
                            self.wait_gone(cx, kind, namespace, name, uid).await?;
                        }
                        Removed::Deleted
                    }
                }
            }
            Entry::Clone { profile, name, .. } => match self.sources.get(profile) {
                Some(Ok(source)) => self.delete_clone(source.as_ref(), name, record, cx).await?,
                Some(Err(reason)) => return Err(Failure::Errored(Trouble::new(reason.clone()))),
                None => return Err(Failure::Errored(Trouble::new(format!("provider profile `{profile}` is not known here")))),
            },
            Entry::AuthorizedKey { profile, key, .. } => match self.sources.get(profile) {
                Some(Ok(source)) => {
                    self.note_deleting(record.id, cx).await;
                    source.revoke_key(key).await.map_err(provider_failure)?;
                    Removed::Deleted
                }
                Some(Err(reason)) => return Err(Failure::Errored(Trouble::new(reason.clone()))),
                None => return Err(Failure::Errored(Trouble::new(format!("provider profile `{profile}` is not known here")))),
            },
            Entry::VolumeSnapshot { profile, .. } => match (self.sources.get(profile), &record.reference) {
                (Some(Ok(source)), Some(id)) => {
                    self.note_deleting(record.id, cx).await;
                    source.delete_volume_snapshot(id).await.map_err(provider_failure)?;
                    Removed::Deleted
                }
                (Some(Err(reason)), _) => return Err(Failure::Errored(Trouble::new(reason.clone()))),
                _ => return Err(Failure::Errored(Trouble::new(format!("provider profile `{profile}` is not known here")))),
            },
            Entry::Patch { .. } => return Err(Failure::Errored(Trouble::new("a change is restored and not deleted"))),
        };
        match &record.entry {
            Entry::Object { kind, name, .. } if kind == kinds::NAMESPACE.kind && removed != Removed::LeftToOthers => {
                self.gone_with(name, cx).await;
            }
            _ => {}
        }
        self.note_gone(record.id, cx).await;
        Ok(removed)
    }

    /// Deletes a namespace that nobody else uses: other runs that hold it keep it, and what somebody put into it keeps it too.
    async fn delete_namespace(&self, mut object: DynamicObject, record: &Record, cx: &StepCx) -> Result<Removed, Failure> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let shared = Shared { cluster: self.cluster, journal: self.journal, run: &self.run };
        for _ in 0..ATTEMPTS {
            if object.metadata.deletion_timestamp.is_none() {
                if shared.leave(&object).await? {
                    cx.progress(format!("leaving Namespace {name} to the runs that still use it"), None);
                    return Ok(Removed::LeftToOthers);
                }
                let foreign = self.foreign_in(&name).await?;
                if !foreign.is_empty() {
                    return Err(Failure::Errored(
                        Trouble::new("it holds objects that are not of this run; it was left alone with them").detail(foreign.join(", ")),
                    ));
                }
                self.note_deleting(record.id, cx).await;
            }
            let uid = object.metadata.uid.clone();
            if object.metadata.deletion_timestamp.is_some() || self.cluster.delete_at(&kinds::NAMESPACE, None, &object).await? {
                self.wait_gone(cx, &kinds::NAMESPACE, None, &name, uid.as_deref()).await?;
                return Ok(Removed::Deleted);
            }
            // Changed in between, perhaps by a run that joined: the next look tells.
            match self.cluster.get(&kinds::NAMESPACE, None, &name).await? {
                Some(fresh) if fresh.metadata.uid == uid => object = fresh,
                _ => return Ok(Removed::Deleted),
            }
        }
        Err(Failure::Errored(Trouble::new(format!("somebody changed it at each of {ATTEMPTS} tries"))))
    }

    /// Deletes a clone by name with all that its making left, if it carries the run's mark or is the one that the journal knows
    /// by id.
    async fn delete_clone(&self, source: &dyn SourceProvider, name: &str, record: &Record, cx: &StepCx) -> Result<Removed, Failure> {
        if record.reference.is_none() {
            // Nobody knows whether it was made, or is being made right now.
            let concerns = |vm: &str| names::is_clone_of(&self.run, vm, name);
            let left = source.settle(&concerns, self.limit.min(cx.deadline.left())).await.map_err(provider_failure)?;
            if !left.is_empty() {
                return Err(Failure::Errored(
                    Trouble::new("it may still be in the making").detail(left.join(", ")).hint("repeat this command when that has ended"),
                ));
            }
        }
        self.note_deleting(record.id, cx).await;
        let leaving = Leaving { name, run: &self.run, id: record.reference.as_deref() };
        let removed = source.remove(leaving).await.map_err(provider_failure)?;
        Ok(if removed { Removed::Deleted } else { Removed::Absent })
    }

    /// Writes down that a deletion was asked for. A journal that cannot be written, on a full disk for example, must not keep
    /// things from being removed: what is gone is found to be gone by the next clean-up too.
    async fn note_deleting(&self, id: EntryId, cx: &StepCx) {
        if let Err(error) = self.journal.deleting(id).await {
            self.unwritten(&error, cx);
        }
    }

    async fn note_gone(&self, id: EntryId, cx: &StepCx) {
        if let Err(error) = self.journal.gone(id).await {
            self.unwritten(&error, cx);
        }
    }

    fn unwritten(&self, error: &anyhow::Error, cx: &StepCx) {
        if !self.told_unwritten.swap(true, Ordering::Relaxed) {
            cx.warn(format!("{error:#}; going on with the removal"));
        }
    }

    async fn wait_gone(
        &self,
        cx: &StepCx,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        uid: Option<&str>,
    ) -> Result<(), Failure> {
        let result = self.cluster.wait_gone(cx, kind, namespace, name, uid, self.limit).await;
        let Err(Failure::Errored(trouble)) = result else { return result };
        let object = self.cluster.get(kind, namespace, name).await?;
        // A namespace says itself what keeps it: remaining content, remaining finalizers; other objects may have owners.
        let conditions = object.as_ref().and_then(|o| o.at("/status/conditions")).and_then(Value::as_array).cloned().unwrap_or_default();
        let told = conditions.iter().filter(|c| c["status"] == "True").filter_map(|c| c["message"].as_str().map(str::to_owned));
        let owners = object.as_ref().and_then(owners_of);
        let state = state_of(object.as_ref());
        Err(Failure::Errored(Trouble { details: told.chain([state]).chain(owners).collect(), ..trouble }))
    }

    /// Everything that lay in a namespace is gone with it.
    async fn gone_with(&self, namespace: &str, cx: &StepCx) {
        for record in self.journal.snapshot() {
            let inside = matches!(&record.entry, Entry::Object { namespace: n, .. } if n == namespace);
            if inside && record.state != State::Gone {
                self.note_gone(record.id, cx).await;
            }
        }
    }

    /// Puts a value back if it is still the one that the run set, and nobody else relies on it.
    pub(super) async fn restore(&self, record: &Record, cx: &StepCx) -> Result<Removed, Failure> {
        let Entry::Patch { api_version, kind, namespace, name, field, before, after } = &record.entry else { return Ok(Removed::Absent) };
        let kind = known(api_version, kind)?;
        let namespace = Some(namespace.as_str()).filter(|n| !n.is_empty());
        let shared = Shared { cluster: self.cluster, journal: self.journal, run: &self.run };
        let told = shared.restore(Field { kind, namespace, name, pointer: field }, before.as_ref(), after).await?;
        if let Some(told) = told {
            cx.warn(told);
        }
        self.note_gone(record.id, cx).await;
        Ok(Removed::Absent)
    }

    /// The object of a record, if it is there and provably ours: by the UID that the journal has, or by the run's label.
    pub(super) async fn ours(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        record: &Record,
    ) -> Result<Option<DynamicObject>, Failure> {
        let object = self.cluster.get(kind, namespace, name).await?;
        Ok(object.filter(|o| match &record.reference {
            Some(uid) if !uid.is_empty() => o.metadata.uid.as_ref() == Some(uid),
            _ => o.metadata.labels.as_ref().and_then(|l| l.get(RUN_LABEL)) == Some(&self.run),
        }))
    }
}

/// Who owns an object: an owner may make it again, or keep it.
fn owners_of(object: &DynamicObject) -> Option<String> {
    let owners: Vec<String> = object.metadata.owner_references.iter().flatten().map(|o| format!("{} {}", o.kind, o.name)).collect();
    (!owners.is_empty()).then(|| format!("owned by {}", owners.join(", ")))
}

/// A kind that this release knows.
fn known(api_version: &str, kind: &str) -> Result<&'static Kind, Failure> {
    Kind::find(api_version, kind).ok_or_else(|| {
        Failure::Errored(Trouble::new(format!("this release does not know the kind {api_version} {kind}; delete it by hand")))
    })
}

/// Whether an execution has ended, or the Plan was never executed and nothing waits for it.
fn ended(plan: &DynamicObject) -> bool {
    let conditions = plan.status::<PlanStatus>().conditions;
    ["Succeeded", "Failed", "Canceled"].iter().any(|kind| conditions.holds(kind).is_some())
}
