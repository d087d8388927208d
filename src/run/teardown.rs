//! Takes away what the journal knows: at the end of a scenario, at the end of a run, and in `clean`. The order comes from
//! [`crate::journal::order`]; here is how each stage is carried out, how long it may take, and how ownership is proved.
//!
//! What cannot be removed is told and left; it never keeps the rest from going.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use kube::api::DynamicObject;
use mtv_api::{
    condition::Conditions as _,
    forklift::{MigrationSpec, PlanSpec, PlanStatus, SourceRef},
    kinds::{self, Kind},
};
use serde_json::{Value, json};

use super::{Session, migrated, names::RUN_LABEL, provider_failure};
use crate::{
    cluster::{Awaited, Cluster, ObjectExt as _, name_of, state_of},
    engine::{Failure, Leftover, StepCx},
    events::{Trouble, What},
    journal::{
        Entry, Journal, Record, State,
        order::{Action, Stage, order},
    },
    providers::SourceProvider,
};

/// Longest wait for a cancel or an archive, as mtv-api-tests has it.
const CONTROLLER: Duration = Duration::from_mins(5);

/// What a teardown came to.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// What was deleted, a line each.
    pub deleted: Vec<String>,
    /// What is still there.
    pub left: Vec<Leftover>,
}

/// Sources by profile name; those that could not be reached with the reason.
pub type Sources = BTreeMap<String, Result<Arc<dyn SourceProvider>, String>>;

/// Carries a teardown out.
pub struct Teardown<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// What is known, and where it is written down that it is gone.
    pub journal: &'a Journal,
    /// Run id, the proof of ownership where no UID is known.
    pub run: String,
    /// Where clones are.
    pub sources: Sources,
    /// Longest wait for one object to go.
    pub limit: Duration,
}

impl<'a> Teardown<'a> {
    /// For a run that is going on.
    pub fn of_session(session: &'a Session) -> Self {
        Self {
            cluster: session.cluster(),
            journal: session.journal(),
            run: session.run().to_owned(),
            sources: BTreeMap::from([(session.profile.name.clone(), Ok(session.source.clone()))]),
            limit: session.settings.object_timeout,
        }
    }

    /// Takes away what belongs to one scenario. Its maps and networks lie in the run's namespace and go with it.
    pub async fn scenario(&self, scenario: &str, cx: &StepCx) -> Result<Done, Failure> {
        let mine = |r: &Record| match &r.entry {
            Entry::Object { scenario: Some(s), .. } | Entry::Clone { scenario: Some(s), .. } => s == scenario,
            _ => false,
        };
        let records: Vec<Record> = self.journal.snapshot().into_iter().filter(mine).collect();
        self.carry_out(&records, cx).await
    }

    /// Takes away everything.
    pub async fn everything(&self, cx: &StepCx) -> Result<Done, Failure> {
        let records = self.journal.snapshot();
        self.carry_out(&records, cx).await
    }

    async fn carry_out(&self, records: &[Record], cx: &StepCx) -> Result<Done, Failure> {
        // Namespaces of ours take along what is in them: objects there need no request of their own, unless they mean
        // something to the controller (Migrations and Plans).
        let ours: BTreeSet<String> = self.journal.snapshot().iter().filter_map(namespace_name).collect();
        let mut done = Done::default();
        for mut stage in order(records) {
            stage.records.retain(|r| stage.action != Action::Delete || !goes_along(&r.entry, &ours));
            if stage.records.is_empty() {
                continue;
            }
            cx.progress(format!("removing {}", stage.what), None);
            let problems = match stage.action {
                Action::Cancel => self.each(&stage, |r| self.cancel(r, cx)).await?,
                Action::Archive => self.each(&stage, |r| self.archive(r, cx)).await?,
                Action::Restore => self.each(&stage, |r| self.restore(r)).await?,
                Action::Delete => self.each(&stage, |r| self.delete(r, cx)).await?,
            };
            for (record, problem) in problems {
                match problem {
                    Some(reason) if matches!(stage.action, Action::Delete | Action::Restore) => {
                        done.left.push(Leftover { object: record.entry.to_string(), reason });
                    }
                    // Cancel and archive come before the deletion, which tells what is left.
                    Some(reason) => cx.warn(format!("{}: {reason}", record.entry)),
                    None if stage.action == Action::Delete => {
                        let object = record.entry.to_string();
                        cx.emitter.emit(What::Deleted { object: object.clone() });
                        done.deleted.push(object);
                    }
                    None => {}
                }
            }
        }
        Ok(done)
    }

    /// Does the same to all records of a stage at the same time. An interrupt ends it, anything else is a record's problem.
    async fn each<'r, F>(&self, stage: &'r Stage, work: impl Fn(&'r Record) -> F) -> Result<Vec<(Record, Option<String>)>, Failure>
    where
        F: Future<Output = Result<(), Failure>>,
    {
        let results = join_all(stage.records.iter().map(&work)).await;
        let mut problems = Vec::new();
        for (record, result) in stage.records.iter().zip(results) {
            let problem = match result {
                Ok(()) => None,
                Err(Failure::Interrupted) => return Err(Failure::Interrupted),
                Err(Failure::Failed(trouble) | Failure::Errored(trouble)) => Some(one_line(&trouble)),
            };
            problems.push((record.clone(), problem));
        }
        Ok(problems)
    }

    /// Cancels a Migration that has not ended, and waits until its Plan says so.
    async fn cancel(&self, record: &Record, cx: &StepCx) -> Result<(), Failure> {
        let Entry::Object { namespace, name, .. } = &record.entry else { return Ok(()) };
        let Some(migration) = self.ours(&kinds::MIGRATION, Some(namespace), name, record).await? else { return Ok(()) };
        let plan_ref = migration.spec::<MigrationSpec>().plan;
        let plan = self.cluster.get(&kinds::PLAN, Some(&plan_ref.namespace), &plan_ref.name).await?;
        let Some(plan) = plan.filter(|p| !ended(p)) else { return Ok(()) };
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
        self.cluster.wait(cx, awaited, |plan| Ok(plan.is_none_or(ended).then_some(()))).await
    }

    /// Archives a Plan that was executed and removes what it made.
    async fn archive(&self, record: &Record, cx: &StepCx) -> Result<(), Failure> {
        let Entry::Object { namespace, name, .. } = &record.entry else { return Ok(()) };
        let Some(plan) = self.ours(&kinds::PLAN, Some(namespace), name, record).await? else { return Ok(()) };
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
        migrated::remove(self.cluster, cx, &plan.spec::<PlanSpec>().target_namespace, uid, self.limit).await
    }

    /// Deletes an object or a clone, waits until it is gone, and writes that down.
    async fn delete(&self, record: &Record, cx: &StepCx) -> Result<(), Failure> {
        match &record.entry {
            Entry::Object { api_version, kind, namespace, name, .. } => {
                let kind = Kind::find(api_version, kind)
                    .ok_or_else(|| Failure::Errored(Trouble::new(format!("this release does not know {api_version} {kind}"))))?;
                let namespace = Some(namespace.as_str()).filter(|n| !n.is_empty());
                if let Some(object) = self.ours(kind, namespace, name, record).await? {
                    let uid = object.metadata.uid.as_deref();
                    self.journal.deleting(record.id).await?;
                    if self.cluster.delete(kind, namespace, name, uid).await? {
                        self.wait_gone(cx, kind, namespace, name, uid).await?;
                    }
                }
                if kind == &kinds::NAMESPACE {
                    self.gone_with(name).await?;
                }
            }
            Entry::Clone { profile, name, .. } => {
                let source = match self.sources.get(profile) {
                    Some(Ok(source)) => source,
                    Some(Err(reason)) => return Err(Failure::Errored(Trouble::new(reason.clone()))),
                    None => return Err(Failure::Errored(Trouble::new(format!("provider profile `{profile}` is not known here")))),
                };
                let found = source.find(std::slice::from_ref(name)).await.map_err(provider_failure)?;
                for vm in found {
                    if vm.run.as_deref() != Some(self.run.as_str()) && record.reference.as_deref() != Some(vm.id.as_str()) {
                        return Err(Failure::Errored(Trouble::new(
                            "a VM of this name is there, but it does not carry the run's mark; it was left alone",
                        )));
                    }
                    self.journal.deleting(record.id).await?;
                    source.delete(&vm.id).await.map_err(provider_failure)?;
                }
            }
            other => return Err(Failure::Errored(Trouble::new(format!("this release cannot remove a {other}")))),
        }
        self.journal.gone(record.id).await?;
        Ok(())
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
        // A namespace says itself what keeps it: remaining content, remaining finalizers.
        let conditions = object.as_ref().and_then(|o| o.at("/status/conditions")).and_then(Value::as_array).cloned().unwrap_or_default();
        let told = conditions.iter().filter(|c| c["status"] == "True").filter_map(|c| c["message"].as_str().map(str::to_owned));
        let state = state_of(object.as_ref());
        Err(Failure::Errored(Trouble { details: told.chain([state]).collect(), ..trouble }))
    }

    /// Everything that lay in a namespace is gone with it.
    async fn gone_with(&self, namespace: &str) -> Result<(), Failure> {
        for record in self.journal.snapshot() {
            let inside = matches!(&record.entry, Entry::Object { namespace: n, .. } if n == namespace);
            if inside && record.state != State::Gone {
                self.journal.gone(record.id).await?;
            }
        }
        Ok(())
    }

    /// Puts a value back if it is still the one that the run set.
    async fn restore(&self, record: &Record) -> Result<(), Failure> {
        let Entry::Patch { api_version, kind, namespace, name, field, before, after } = &record.entry else { return Ok(()) };
        let kind = Kind::find(api_version, kind)
            .ok_or_else(|| Failure::Errored(Trouble::new(format!("this release does not know {api_version} {kind}"))))?;
        let namespace = Some(namespace.as_str()).filter(|n| !n.is_empty());
        let object = self.cluster.get(kind, namespace, name).await?;
        if object.as_ref().and_then(|o| o.at(field)) == Some(after) {
            let patch = field
                .split('/')
                .skip(1)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .fold(before.clone().unwrap_or(Value::Null), |v, key| json!({key: v}));
            self.cluster.patch(kind, namespace, name, &patch).await?;
        }
        self.journal.gone(record.id).await?;
        Ok(())
    }

    /// The object of a record, if it is there and provably ours: by the UID that the journal has, or by the run's label.
    async fn ours(
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

/// Whether an execution has ended, or the Plan was never executed and nothing waits for it.
fn ended(plan: &DynamicObject) -> bool {
    let conditions = plan.status::<PlanStatus>().conditions;
    ["Succeeded", "Failed", "Canceled"].iter().any(|kind| conditions.holds(kind).is_some())
}

fn namespace_name(record: &Record) -> Option<String> {
    match &record.entry {
        Entry::Object { kind, name, .. } if kind == kinds::NAMESPACE.kind && record.state != State::Gone => Some(name.clone()),
        _ => None,
    }
}

/// Whether an object goes with a namespace of ours and means nothing to a controller or a source beside that.
fn goes_along(entry: &Entry, ours: &BTreeSet<String>) -> bool {
    match entry {
        Entry::Object { kind, namespace, .. } => {
            ours.contains(namespace) && ![kinds::MIGRATION.kind, kinds::PLAN.kind].contains(&kind.as_str())
        }
        _ => false,
    }
}

fn one_line(trouble: &Trouble) -> String {
    if trouble.details.is_empty() { trouble.summary.clone() } else { format!("{} ({})", trouble.summary, trouble.details.join("; ")) }
}

/// For messages: `VM x`, `Plan a/b`.
pub(super) fn told(kind: &'static Kind, namespace: &str, object: &DynamicObject) -> String {
    name_of(kind, Some(namespace), object.metadata.name.as_deref().unwrap_or_default())
}
