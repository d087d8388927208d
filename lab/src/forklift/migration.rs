//! Migrations: what a Plan's execution looks like from the Migration that started it.

use std::time::Duration;

use anyhow::Context as _;
use mtv_api::{
    condition::Condition,
    forklift::{MigrationStatus, PlanStatus},
    kinds::{MIGRATION, PLAN, PROVIDER},
};
use serde_json::{Value, json};

use super::{
    Context,
    cluster::{Key, Look},
    conditions::{Staged, about, condition, course},
    reference::Reference,
    source::Collection,
};

/// Looks at a Migration.
pub async fn reconcile(context: &Context, key: &Key) -> anyhow::Result<Option<Duration>> {
    let Some(mut migration) = context.cluster.get(&MIGRATION, &key.namespace, &key.name).await? else { return Ok(None) };
    let (namespace, name) = (migration.text("/spec/plan/namespace").to_owned(), migration.text("/spec/plan/name").to_owned());
    let plan = context.cluster.get(&PLAN, &namespace, &name).await?;
    if let Some(plan) = &plan
        && !migration.items("/metadata/ownerReferences").iter().any(|owner| owner.text("/uid") == plan.uid())
    {
        migration = own(context, key, &migration, plan).await?;
    }
    let written: MigrationStatus = serde_json::from_value(migration["status"].clone()).unwrap_or_default();
    if written.completed.is_some() {
        return Ok(None);
    }
    let now = context.now();
    let mut status = written.clone();
    let mut staged = Staged::begin(&written.conditions);
    match &plan {
        None if namespace.is_empty() || name.is_empty() => {
            staged.set(condition("PlanNotValid", "Critical", "NotSet", "`plan` must be set."), &now);
        }
        None => staged.set(condition("PlanNotValid", "Critical", "NotFound", "The plan is not there."), &now),
        Some(plan) if !plan.holds("Ready") => {
            staged.set(condition("PlanNotReady", "Critical", "NotFound", "The plan is not Ready."), &now);
        }
        Some(plan) => {
            canceled(context, &migration, plan, &mut staged, &now).await?;
            let plan: PlanStatus = serde_json::from_value(plan["status"].clone()).unwrap_or_default();
            reflect(&plan, migration.uid(), &mut status, &mut staged, &now);
        }
    }
    if !staged.blocked() {
        staged.set(condition("Ready", "Required", "", "The migration can run."), &now);
    }
    staged.end();
    status.conditions = staged.list();
    status.observed_generation = Some(migration.number("/metadata/generation"));
    context.publish(&MIGRATION, "migration", &migration, &written.conditions, &staged, json!(status)).await?;
    Ok(None)
}

/// Looks at the VMs that are to be canceled.
async fn canceled(context: &Context, migration: &Value, plan: &Value, staged: &mut Staged, now: &str) -> anyhow::Result<()> {
    let asked = migration.items("/spec/cancel");
    if asked.is_empty() {
        return Ok(());
    }
    let (namespace, name) = (plan.text("/spec/provider/source/namespace"), plan.text("/spec/provider/source/name"));
    let provider = context.cluster.get(&PROVIDER, namespace, name).await?.context("the plan's source provider is not there")?;
    let source = context.inventories.get(provider.uid()).filter(|source| source.has_parity());
    let source = source.context("the source's inventory is not read yet")?;
    let (mut missing, mut several) = (Vec::new(), Vec::new());
    for entry in asked {
        let reference = Reference::read(entry);
        match source.find(Collection::Vms, &reference).await?.len() {
            0 => missing.push(reference.to_string()),
            1 => {}
            _ => several.push(reference.to_string()),
        }
    }
    for (kind, reason, text, items) in [
        ("VMNotFound", "NotFound", "A VM that is to be canceled is not in the source.", missing),
        ("VMNotUnique", "Ambiguous", "The source has several VMs of a name that is to be canceled.", several),
    ] {
        if !items.is_empty() {
            staged.set(about(condition(kind, "Warn", reason, text), items), now);
        }
    }
    Ok(())
}

/// Makes the Plan an owner, so that the Migration goes with it.
async fn own(context: &Context, key: &Key, migration: &Value, plan: &Value) -> kube::Result<Value> {
    let mut owners = migration.items("/metadata/ownerReferences").to_vec();
    owners.push(json!({ "apiVersion": PLAN.api_version(), "kind": PLAN.kind, "name": plan.text("/metadata/name"), "uid": plan.uid() }));
    let patch = json!({ "metadata": { "ownerReferences": owners, "resourceVersion": migration.text("/metadata/resourceVersion") } });
    context.cluster.merge(&MIGRATION, &key.namespace, &key.name, &patch).await
}

/// Copies what the Plan says about this Migration. What has ended stays as it was then.
fn reflect(plan: &PlanStatus, uid: &str, status: &mut MigrationStatus, staged: &mut Staged, now: &str) {
    if staged.has_any(&["Canceled", "Succeeded", "Failed"]) {
        return;
    }
    let Some(execution) = &plan.migration else { return };
    let mine = |refs: &serde_json::Map<String, Value>| refs.get("migration").is_some_and(|m| m.text("/uid") == uid);
    let Some(entry) = execution.history.iter().rev().find(|entry| mine(&entry.refs)) else { return };
    let holds = |kind: &str| entry.conditions.iter().find(|c| c.kind == kind && c.is_true());
    if let Some(canceled) = holds("Canceled") {
        staged.set(Condition { durable: true, ..canceled.clone() }, now);
        return;
    }
    let mut started = || {
        if status.started.is_none() {
            status.started = Some(now.to_owned());
        }
    };
    if holds("Executing").is_some() {
        started();
        staged.set(condition("Running", "Advisory", "", "The migration runs."), now);
    }
    for (kind, text) in [("Succeeded", "The migration succeeded."), ("Failed", "The migration failed.")] {
        if holds(kind).is_some() {
            started();
            status.completed = Some(now.to_owned());
            staged.set(course(kind, "", text), now);
        }
    }
    status.vms.clone_from(&execution.vms);
}

#[cfg(test)]
mod tests {
    use mtv_api::forklift::{HistoryEntry, PlanMigration, VmStatus};

    use super::*;

    fn plan(kind: &str) -> PlanStatus {
        let refs = json!({ "migration": { "uid": "u" } }).as_object().unwrap().clone();
        let history = vec![HistoryEntry { conditions: vec![course(kind, "", "")], refs }];
        PlanStatus {
            migration: Some(PlanMigration { history, vms: vec![VmStatus::default()], ..PlanMigration::default() }),
            ..PlanStatus::default()
        }
    }

    fn reflected(kind: &str, written: &MigrationStatus) -> (MigrationStatus, Vec<String>) {
        let mut status = written.clone();
        let mut staged = Staged::begin(&written.conditions);
        reflect(&plan(kind), "u", &mut status, &mut staged, "now");
        staged.end();
        status.conditions = staged.list();
        let kinds = status.conditions.iter().map(|c| c.kind.clone()).collect();
        (status, kinds)
    }

    #[test]
    fn the_course_of_a_migration() {
        let (running, kinds) = reflected("Executing", &MigrationStatus::default());
        assert_eq!(kinds, ["Running"]);
        assert!(running.started.is_some() && running.completed.is_none() && running.vms.len() == 1);
        let (done, kinds) = reflected("Succeeded", &running);
        assert_eq!(kinds, ["Succeeded"]);
        assert!(done.completed.is_some());
    }

    #[test]
    fn a_canceled_migration_is_never_completed() {
        let (canceled, kinds) = reflected("Canceled", &MigrationStatus::default());
        assert_eq!(kinds, ["Canceled"]);
        assert!(canceled.completed.is_none() && canceled.vms.is_empty());
    }
}
