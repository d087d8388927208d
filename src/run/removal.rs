//! How one record of the journal is taken away: canceled, archived, deleted or restored, once it is proved to be ours. A dry run
//! takes the same decisions, and says what would be done instead of doing it.

use std::{sync::atomic::Ordering, time::Duration};

use kube::api::DynamicObject;
use mtv_api::{
    condition::Conditions as _,
    forklift::{MigrationSpec, PlanSpec, PlanStatus, SourceRef},
    kinds::{self, Kind},
};
use serde_json::{Value, json};

use super::{
    Teardown, cannot, migrated, names, offload,
    proof::{self, Whose},
    provider_failure,
    shared::{Field, Restored, Shared},
    teardown::Removed,
};
use crate::{
    cluster::{Awaited, ObjectExt as _, state_of},
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx},
    forklift::Execution,
    journal::{Entry, EntryId, Record, State},
    providers::{Cloner, Leaving, Source},
};

/// Longest wait for a cancel or an archive, as mtv-api-tests has it.
const CONTROLLER: Duration = Duration::from_mins(5);

/// How often the deletion of a namespace is tried again because somebody changed it in between.
const ATTEMPTS: usize = 20;

/// What stands under the name of a record.
pub(super) enum Standing {
    /// The run's object.
    Ours(Box<DynamicObject>),
    /// Nothing that the run made.
    Nothing,
    /// A namespace that other runs use and this one does not hold.
    Others,
}

impl Teardown<'_> {
    /// Cancels a Migration that has not ended, and waits until its Plan says so.
    pub(super) async fn cancel(&self, record: &Record, cx: &StepCx) -> Result<Removed, Failure> {
        let Entry::Object { namespace, name, .. } = &record.entry else { return Ok(Removed::Absent) };
        let Some(migration) = self.certainly_ours(&kinds::MIGRATION, namespace, name, record).await? else { return Ok(Removed::Absent) };
        let plan_ref = migration.spec::<MigrationSpec>().plan;
        let plan = self.cluster.get(&kinds::PLAN, Some(&plan_ref.namespace), &plan_ref.name).await?;
        // Conditions of an older Migration say nothing about this one.
        let uid = migration.metadata.uid.clone().unwrap_or_default();
        let ended = |plan: &DynamicObject| Execution::of(&plan.status(), &uid).end().is_some();
        let Some(plan) = plan.filter(|p| !ended(p)) else { return Ok(Removed::Absent) };
        if self.dry {
            return Ok(Removed::would(format!("cancel {}", record.entry)));
        }
        let vms: Vec<SourceRef> = plan
            .spec::<PlanSpec>()
            .vms
            .into_iter()
            .map(|vm| SourceRef { id: vm.id, name: vm.name, namespace: vm.namespace, kind: None })
            .collect();
        self.cluster.patch(&kinds::MIGRATION, Some(namespace), name, &json!({"spec": {"cancel": vms}})).await?;
        let status: PlanStatus = plan.status();
        if status.migration.is_some() && !Execution::of(&status, &uid).begun() {
            // Another Migration of the Plan ran. Forklift never begins one for a Plan that has succeeded, so
            // there would be nothing to wait for.
            return Ok(Removed::Absent);
        }
        let awaited = Awaited {
            kind: &kinds::PLAN,
            namespace: Some(&plan_ref.namespace),
            name: &plan_ref.name,
            until: "to be canceled",
            limit: CONTROLLER,
        };
        self.cluster.wait(cx, awaited, |plan| Ok(plan.is_none_or(&ended).then_some(Removed::Absent))).await
    }

    /// Archives a Plan that was executed and removes what it made.
    pub(super) async fn archive(&self, record: &Record, cx: &StepCx) -> Result<Removed, Failure> {
        let Entry::Object { namespace, name, .. } = &record.entry else { return Ok(Removed::Absent) };
        let Some(plan) = self.certainly_ours(&kinds::PLAN, namespace, name, record).await? else { return Ok(Removed::Absent) };
        let status: PlanStatus = plan.status();
        let uid = plan.metadata.uid.as_deref().unwrap_or_default();
        let target = plan.spec::<PlanSpec>().target_namespace;
        let archive = status.migration.is_some() && status.conditions.holds("Archived").is_none();
        if self.dry {
            let made = migrated::made(self.cluster, &target, uid).await?;
            let archive = archive.then(|| format!("would archive {}", record.entry));
            return Ok(Removed::Would(archive.into_iter().chain(made.iter().map(|made| format!("would delete {made}"))).collect()));
        }
        if archive {
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
        migrated::remove(self.cluster, cx, &target, uid, self.limit).await?;
        Ok(Removed::Absent)
    }

    /// Deletes an object or a clone, waits until it is gone, and writes that down.
    pub(super) async fn delete(&self, record: &Record, cx: &StepCx) -> Result<Removed, Failure> {
        let removed = match &record.entry {
            Entry::Object { api_version, kind, namespace, name, .. } => {
                let kind = known(api_version, kind)?;
                let namespace = Some(namespace.as_str()).filter(|n| !n.is_empty());
                match self.ours(kind, namespace, name, record).await? {
                    Standing::Nothing => Removed::Absent,
                    Standing::Others => Removed::LeftToOthers,
                    Standing::Ours(object) if kind == &kinds::NAMESPACE => self.delete_namespace(*object, record, cx).await?,
                    Standing::Ours(_) if self.dry => Removed::would(format!("delete {}", record.entry)),
                    Standing::Ours(object) => {
                        let uid = object.metadata.uid.as_deref();
                        self.note_deleting(record.id, cx).await;
                        if self.cluster.delete(kind, namespace, name, uid).await? {
                            self.wait_gone(cx, kind, namespace, name, uid).await?;
                        }
                        Removed::Deleted
                    }
                }
            }
            Entry::Clone { profile, name, .. } => {
                let source = self.source(profile)?;
                let cloner = source.cloner().ok_or_else(|| cannot(source, "makes no clones"))?;
                self.delete_clone(cloner, (profile.as_str(), name.as_str()), record, cx).await?
            }
            Entry::AuthorizedKey { profile, key, .. } => {
                let host = offload::host_of(self.source(profile)?, profile)?;
                if !self.dry {
                    self.note_deleting(record.id, cx).await;
                }
                let revoked = host.revoke_key(key, &self.run, self.dry).await;
                offload::report_host_key(host, cx);
                match revoked.map_err(provider_failure)? {
                    false => Removed::Absent,
                    true if self.dry => Removed::would(format!("delete {}", record.entry)),
                    true => Removed::Deleted,
                }
            }
            Entry::VolumeSnapshot { .. } if !self.looked_up => return Err(unproved("runs make no entries of this kind")),
            Entry::VolumeSnapshot { profile, name, .. } => {
                let source = self.source(profile)?;
                let snapshots = source.volume_snapshots().ok_or_else(|| cannot(source, "keeps no volume snapshots"))?;
                let id = record.reference.as_deref().ok_or_else(|| unproved("its ID is not known"))?;
                if self.dry {
                    return Ok(Removed::would(format!("delete volume snapshot {name} on {profile}")));
                }
                self.note_deleting(record.id, cx).await;
                snapshots.delete_volume_snapshot(id).await.map_err(provider_failure)?;
                Removed::Deleted
            }
            Entry::Patch { .. } => {
                return Err(Failure::Errored(Diagnosis::new(Id::TeardownFailed, "a change is restored and not deleted")));
            }
        };
        if self.dry {
            return Ok(removed);
        }
        match &record.entry {
            Entry::Object { kind, name, .. } if kind == kinds::NAMESPACE.kind && removed != Removed::LeftToOthers => {
                self.gone_with(name, cx).await;
            }
            _ => {}
        }
        self.note_gone(record.id, cx).await;
        Ok(removed)
    }

    /// The source of a profile, if it can be used.
    fn source(&self, profile: &str) -> Result<&dyn Source, Failure> {
        match self.sources.get(profile) {
            Some(Ok(source)) => Ok(source.as_ref()),
            Some(Err(reason)) => Err(Failure::Errored(reason.clone())),
            None => Err(Failure::Errored(Diagnosis::new(
                Id::TeardownProfileUnusable,
                format!("provider profile `{profile}` is not known here"),
            ))),
        }
    }

    /// Deletes a namespace that nobody else uses: other runs that hold it keep it, and what somebody put into it keeps it too.
    async fn delete_namespace(&self, mut object: DynamicObject, record: &Record, cx: &StepCx) -> Result<Removed, Failure> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let shared = Shared { cluster: self.cluster, journal: self.journal, run: &self.run };
        for _ in 0..ATTEMPTS {
            if object.metadata.deletion_timestamp.is_none() {
                if self.dry && shared.is_used_by_others(&object) {
                    return Ok(Removed::Would(vec![format!("would leave Namespace {name} to the runs that still use it")]));
                }
                if !self.dry && shared.leave(&object).await? {
                    cx.progress(format!("leaving Namespace {name} to the runs that still use it"), None);
                    return Ok(Removed::LeftToOthers);
                }
                let foreign = self.foreign_in(&object, cx).await?;
                if !foreign.is_empty() {
                    let left = if self.dry { "it is left alone with them" } else { "it was left alone with them" };
                    return Err(Failure::Errored(
                        Diagnosis::new(Id::TeardownNotOwned, format!("it holds objects that are not of this run; {left}"))
                            .evidence(foreign.join(", ")),
                    ));
                }
                if self.dry {
                    return Ok(Removed::would(format!("delete Namespace {name} with everything in it")));
                }
                self.note_deleting(record.id, cx).await;
            }
            if self.dry {
                return Ok(Removed::Would(vec![format!("Namespace {name} is being deleted already")]));
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
        Err(Failure::Errored(Diagnosis::new(Id::ObjectConflict, format!("somebody changed it at each of {ATTEMPTS} tries"))))
    }

    /// Deletes a clone by name with all that its making left, if it carries the run's mark.
    async fn delete_clone(
        &self,
        cloner: &dyn Cloner,
        (profile, name): (&str, &str),
        record: &Record,
        cx: &StepCx,
    ) -> Result<Removed, Failure> {
        let named = names::is_clone(&self.run, name) || name == names::source_namespace(&self.run);
        if !self.looked_up && !named {
            return Err(unproved(&format!("run {} gives no clone this name", self.run)));
        }
        let id = record.reference.as_deref();
        let leaving = Leaving { looked_up: self.looked_up, ..Leaving::of_run(&self.run, name, id) };
        if self.dry {
            let all = cloner.remains(leaving).await.map_err(provider_failure)?;
            return Ok(Removed::Would(all.iter().map(|one| format!("would delete {one} on {profile}")).collect()));
        }
        if id.is_none() {
            // Nobody knows whether it was made, or is being made right now.
            let concerns = |vm: &str| names::is_clone_of(&self.run, vm, name);
            let left = cloner.settle(&concerns, self.limit.min(cx.deadline.left())).await.map_err(provider_failure)?;
            if !left.is_empty() {
                return Err(Failure::Errored(
                    Diagnosis::new(Id::TeardownLeftovers, "it may still be in the making")
                        .evidence(left.join(", "))
                        .hint("repeat this command when that has ended"),
                ));
            }
        }
        self.note_deleting(record.id, cx).await;
        let removed = cloner.remove(leaving).await.map_err(provider_failure)?;
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
            let why = Diagnosis::of_error(error);
            cx.warn_with(format!("{}; going on with the removal", why.line(": ")), why.hints);
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
        Err(Failure::Errored(Diagnosis {
            id: Id::TeardownFailed,
            causes: Vec::new(),
            evidence: told.chain([state]).chain(owners).collect(),
            ..trouble
        }))
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

    /// Puts a value back if this run holds it, it is still the one that the run set, and nobody else relies on it.
    pub(super) async fn restore(&self, record: &Record, cx: &StepCx) -> Result<Removed, Failure> {
        let Entry::Patch { api_version, kind, namespace, name, field, .. } = &record.entry else { return Ok(Removed::Absent) };
        let kind = known(api_version, kind)?;
        let namespace = Some(namespace.as_str()).filter(|n| !n.is_empty());
        let shared = Shared { cluster: self.cluster, journal: self.journal, run: &self.run };
        let field = Field { kind, namespace, name, pointer: field };
        if self.dry {
            let entry = &record.entry;
            return Ok(match shared.decide(field).await?.restored {
                Restored::Back => Removed::would(format!("restore {entry}")),
                Restored::HeldByOthers => Removed::Would(vec![format!("would leave {entry} to the runs that still need it")]),
                Restored::ChangedSince => Removed::Would(vec![format!("would leave {entry} as it is: somebody else changed it since")]),
                Restored::NotHeld => Removed::Absent,
            });
        }
        let restored = shared.restore(field).await?;
        if restored == Restored::ChangedSince {
            cx.warn(format!("{} was changed by somebody else since; it was left as it is", record.entry));
        }
        self.note_gone(record.id, cx).await;
        Ok(if restored == Restored::Back { Removed::Restored } else { Removed::Absent })
    }

    /// What stands under the name of a record, as far as it is provably the run's.
    ///
    /// # Errors
    /// Something stands there, and nothing but the record says that it is the run's.
    pub(super) async fn ours(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        name: &str,
        record: &Record,
    ) -> Result<Standing, Failure> {
        let recorded = record.reference.as_deref().filter(|uid| !uid.is_empty());
        if self.looked_up {
            let object = self.cluster.get(kind, namespace, name).await?;
            if object.as_ref().is_some_and(|object| object.metadata.uid.is_none()) {
                return Err(unproved("the cluster's answer has no UID"));
            }
            let object = object.filter(|o| recorded.is_some() && o.metadata.uid.as_deref() == recorded);
            return Ok(object.map_or(Standing::Nothing, |object| Standing::Ours(Box::new(object))));
        }
        let place = namespace.unwrap_or_default();
        // Only what no run makes, or not there, is worth a look at the namespace.
        let mut reason = proof::misplaced(&self.run, kind, place, name, |_| false);
        if reason.is_some() && proof::misplaced(&self.run, kind, place, name, |_| true).is_none() {
            let home = self.cluster.get(&kinds::NAMESPACE, None, place).await?;
            let held = home.is_some_and(|home| proof::whose(&self.run, &kinds::NAMESPACE, &home, None) == Whose::Ours);
            reason = reason.filter(|_| !held);
        }
        if let Some(reason) = reason {
            return Err(unproved(&reason));
        }
        let Some(object) = self.cluster.get(kind, namespace, name).await? else { return Ok(Standing::Nothing) };
        match proof::whose(&self.run, kind, &object, recorded) {
            Whose::Ours => Ok(Standing::Ours(Box::new(object))),
            Whose::Another => Ok(Standing::Nothing),
            Whose::NotHeld => Ok(Standing::Others),
            Whose::Unproved(reason) => Err(unproved(&reason)),
        }
    }

    /// The object of a record, if it is there and provably the run's. What is not is told when it would be deleted.
    async fn certainly_ours(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        record: &Record,
    ) -> Result<Option<DynamicObject>, Failure> {
        let right = matches!(&record.entry, Entry::Object { api_version, .. } if *api_version == kind.api_version());
        if !self.looked_up && (!right || proof::misplaced(&self.run, kind, namespace, name, |_| false).is_some()) {
            return Ok(None);
        }
        let Some(object) = self.cluster.get(kind, Some(namespace), name).await? else { return Ok(None) };
        let recorded = record.reference.as_deref().filter(|uid| !uid.is_empty());
        let ours = if self.looked_up {
            recorded.is_some() && object.metadata.uid.as_deref() == recorded
        } else {
            proof::whose(&self.run, kind, &object, recorded) == Whose::Ours
        };
        Ok(Some(object).filter(|_| ours))
    }
}

/// What is not provably the run's stays.
fn unproved(reason: &str) -> Failure {
    Failure::Errored(Diagnosis::new(Id::TeardownNotOwned, proof::left_alone(reason)))
}

/// Who owns an object: an owner may make it again, or keep it.
fn owners_of(object: &DynamicObject) -> Option<String> {
    let owners: Vec<String> = object.metadata.owner_references.iter().flatten().map(|o| format!("{} {}", o.kind, o.name)).collect();
    (!owners.is_empty()).then(|| format!("owned by {}", owners.join(", ")))
}

/// A kind that this release knows.
fn known(api_version: &str, kind: &str) -> Result<&'static Kind, Failure> {
    Kind::find(api_version, kind).ok_or_else(|| {
        Failure::Errored(Diagnosis::new(
            Id::TeardownFailed,
            format!("this release does not know the kind {api_version} {kind}; delete it by hand"),
        ))
    })
}
