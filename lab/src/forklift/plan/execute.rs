//! Which Migration a Plan works on, and what becomes of one that was deleted or canceled.

use std::time::Duration;

use mtv_api::{
    forklift::{HistoryEntry, PlanMigration},
    kinds::{DATA_VOLUME, MIGRATION},
};
use serde_json::{Value, json};

use super::Work;
use crate::forklift::{
    SLOW,
    cluster::{Key, Look},
    conditions::{self, course, has_any},
    migrate::Run,
    migrate::cleanup::clean_up,
};

/// Conditions that end an execution.
const ENDED: &[&str] = &["Canceled", "Failed", "Succeeded"];

impl Work<'_> {
    fn active(&mut self) -> Option<&mut HistoryEntry> {
        self.status.migration.as_mut()?.history.last_mut()
    }

    /// Works on the active or the next Migration; says when to look again.
    pub(super) async fn execute(&mut self) -> anyhow::Result<Option<Duration>> {
        let look_again = self.staged.has_any(&["ValidatingVDDK", "VMMissingChangedBlockTracking"]);
        if self.staged.blocked() || self.staged.has("Archived") || look_again {
            let blocked = self.staged.blocked();
            if blocked {
                self.fail_on_blocker();
            }
            return Ok((blocked || look_again).then_some(SLOW));
        }
        let mut migration = self.active_migration().await?;
        if let Some(active) = &migration
            && !self.matches(active)
        {
            self.cancel_snapshot("Modified", "What the migration was started with was changed.");
        }
        let canceled = self.active().is_some_and(|entry| has_any(&entry.conditions, &["Canceled"]));
        if canceled {
            let now = self.now();
            for vm in &mut self.execution().vms {
                if !has_any(&vm.conditions, &["Succeeded", "Failed"]) {
                    conditions::set(&mut vm.conditions, course("Canceled", "Modified", "The migration was canceled."), &now);
                }
            }
        }
        self.finish_canceled(migration.as_ref()).await?;
        let pending = self.pending().await?;
        if migration.is_none()
            && let Some(next) = pending.first()
        {
            self.begin_snapshot(next);
            self.staged.remove(&["Failed", "Canceled"]);
            migration = Some(next.clone());
        }
        let Some(migration) = migration else {
            self.staged.remove(&["Executing"]);
            return Ok(None);
        };
        let mut again = Run::new(self, &migration).run().await?;
        self.reflect();
        if pending.len() > 1 && again.is_none() {
            // Half a second: the next one waits already.
            again = Some(Duration::from_millis(500));
        }
        Ok(again)
    }

    /// Copies the course of the active Migration into the plan's conditions.
    fn reflect(&mut self) {
        let now = self.now();
        let found: Vec<_> = self.active().map(|entry| entry.conditions.clone()).unwrap_or_default();
        for kind in ["Executing", "Succeeded", "Failed", "Canceled"] {
            match found.iter().find(|c| c.kind == kind) {
                Some(condition) => self.staged.set(condition.clone(), &now),
                None => self.staged.remove(&[kind]),
            }
        }
    }

    /// The Migration that the plan works on. If it was deleted its execution is canceled.
    async fn active_migration(&mut self) -> anyhow::Result<Option<Value>> {
        let Some(entry) = self.active() else { return Ok(None) };
        if has_any(&entry.conditions, ENDED) {
            conditions::remove(&mut entry.conditions, &["Executing"]);
            return Ok(None);
        }
        let reference = entry.refs.get("migration").cloned().unwrap_or_default();
        let found = self.context.cluster.get(&MIGRATION, reference.text("/namespace"), reference.text("/name")).await?;
        let found = found.filter(|m| m.uid() == reference.text("/uid"));
        if found.is_none() {
            self.cancel_snapshot("Deleted", "The migration was deleted.");
        }
        Ok(found)
    }

    fn cancel_snapshot(&mut self, reason: &str, text: &str) {
        let now = self.now();
        if reason == "Modified" {
            self.staged.remove(&["Executing"]);
            complete(self.execution(), &now);
        }
        if let Some(entry) = self.active() {
            conditions::remove(&mut entry.conditions, &["Executing"]);
            conditions::set(&mut entry.conditions, course("Canceled", reason, text), &now);
        }
    }

    /// Whether plan, providers and maps are those that the execution was started with.
    fn matches(&mut self, migration: &Value) -> bool {
        let current = self.snapshot(migration);
        let Some(entry) = self.active() else { return true };
        ["/plan", "/provider/source", "/provider/destination", "/map/network", "/map/storage"].iter().all(|pointer| {
            let pointer = format!("{pointer}/uid");
            let then = Value::Object(entry.refs.clone());
            then.text(&pointer) == current.text(&pointer)
        })
    }

    fn snapshot(&self, migration: &Value) -> Value {
        let reference = |object: Option<&Value>| {
            object.map_or(Value::Null, |o| {
                json!({
                    "namespace": o.text("/metadata/namespace"), "name": o.text("/metadata/name"), "uid": o.uid(),
                    "generation": o.number("/metadata/generation"),
                })
            })
        };
        json!({
            "plan": reference(Some(&self.object)),
            "migration": reference(Some(migration)),
            "provider": { "source": reference(self.source.as_ref()), "destination": reference(self.destination.as_ref()) },
            "map": { "network": reference(self.network.as_ref()), "storage": reference(self.storage.as_ref()) },
        })
    }

    fn begin_snapshot(&mut self, migration: &Value) {
        let refs = self.snapshot(migration).as_object().cloned().unwrap_or_default();
        self.execution().history.push(HistoryEntry { conditions: Vec::new(), refs });
    }

    /// Migrations of this plan that did not end, oldest first.
    async fn pending(&self) -> anyhow::Result<Vec<Value>> {
        let mut list = Vec::new();
        for key in self.context.watched.migrations_of(&Key::of(&self.object)) {
            list.extend(self.context.cluster.get(&MIGRATION, &key.namespace, &key.name).await?);
        }
        let history = self.status.migration.as_ref().map(|m| m.history.as_slice()).unwrap_or_default();
        list.retain(|migration| {
            let mine = migration.text("/spec/plan/name") == self.name() && migration.text("/spec/plan/namespace") == self.namespace();
            let canceled = history.iter().any(|entry| {
                has_any(&entry.conditions, &["Canceled"]) && entry.refs.get("migration").is_some_and(|m| m.text("/uid") == migration.uid())
            });
            mine && !canceled && !ENDED.iter().any(|kind| migration.holds(kind))
        });
        list.sort_by_key(|m| (m.text("/metadata/creationTimestamp").to_owned(), Key::of(m)));
        Ok(list)
    }

    /// Cleans up after VMs that were canceled and marks them completed.
    async fn finish_canceled(&mut self, migration: Option<&Value>) -> anyhow::Result<()> {
        let open = |vm: &mtv_api::forklift::VmStatus| has_any(&vm.conditions, &["Canceled"]) && vm.completed.is_none();
        let canceled: Vec<usize> = self.execution().vms.iter().enumerate().filter(|(_, vm)| open(vm)).map(|(i, _)| i).collect();
        if canceled.is_empty() {
            return Ok(());
        }
        let uid = migration.map_or_else(|| self.last_migration_uid(), |m| m.uid().to_owned());
        for index in canceled {
            let mut vm = self.execution().vms[index].clone();
            if let Err(error) = clean_up(self, &uid, &vm, true).await {
                tracing::debug!(vm = vm.name, error = format!("{error:#}"), "clean-up of a canceled VM is incomplete");
            }
            if vm.restore_power_state.as_deref() == Some("On")
                && let Err(error) = self.power_on(&vm.id).await
            {
                tracing::debug!(vm = vm.name, error = format!("{error:#}"), "source VM was not powered on again");
            }
            let now = self.now();
            vm.completed.get_or_insert_with(|| now.clone());
            vm.started.get_or_insert_with(|| now.clone());
            for step in vm.pipeline.iter_mut().filter(|step| step.started.is_some()) {
                step.completed.get_or_insert_with(|| now.clone());
            }
            self.execution().vms[index] = vm;
        }
        Ok(())
    }

    fn last_migration_uid(&mut self) -> String {
        self.active().and_then(|entry| entry.refs.get("migration")).map(|m| m.text("/uid").to_owned()).unwrap_or_default()
    }

    async fn power_on(&self, vm: &str) -> anyhow::Result<()> {
        let session = self.connected()?.session().await?;
        let done = session.power_on(vm).await;
        session.end().await;
        done
    }

    /// A blocker that lasts while a migration runs fails it.
    fn fail_on_blocker(&mut self) {
        let grace = self.context.scaled(self.settings.blocker_grace);
        let now = self.context.world.clock.moment();
        let old = |time: &str| {
            time.parse::<jiff::Timestamp>()
                .ok()
                .and_then(|then| Duration::try_from(now.duration_since(then)).ok())
                .is_some_and(|age| age >= grace)
        };
        let reasons: Vec<String> = self.staged.blockers().filter(|c| old(&c.last_transition_time)).map(|c| c.message.clone()).collect();
        let running = self.active().is_some_and(|e| has_any(&e.conditions, &["Executing"]) && !has_any(&e.conditions, ENDED));
        if reasons.is_empty() || !running {
            return;
        }
        let now = self.now();
        let text = format!("The migration was ended by a blocker: {}", reasons.join("; "));
        let failed = course("Failed", "", &text);
        complete(self.execution(), &now);
        if let Some(entry) = self.active() {
            conditions::remove(&mut entry.conditions, &["Executing"]);
            conditions::set(&mut entry.conditions, failed.clone(), &now);
        }
        self.staged.remove(&["Executing"]);
        self.staged.set(failed.clone(), &now);
        for vm in &mut self.execution().vms {
            if has_any(&vm.conditions, ENDED) {
                continue;
            }
            conditions::set(&mut vm.conditions, failed.clone(), &now);
            let phase = vm.phase.clone();
            vm.error.get_or_insert_with(|| mtv_api::forklift::StepError { phase, reasons: Vec::new() }).reasons.push(text.clone());
            "Completed".clone_into(&mut vm.phase);
            vm.completed.get_or_insert_with(|| now.clone());
            for step in vm.pipeline.iter_mut().filter(|step| step.started.is_some()) {
                step.completed.get_or_insert_with(|| now.clone());
            }
        }
    }

    /// Removes what a plan keeps for a look at it afterwards. What cannot be removed stays: an archived plan is not looked at again.
    pub(super) async fn archive(&mut self) {
        use crate::forklift::cluster::Propagation;
        use mtv_api::kinds::{CONFIG_MAP, JOB};
        let cluster = self.context.cluster.clone();
        let namespace = self.spec.target_namespace.clone();
        let uid = self.uid().to_owned();
        let result: anyhow::Result<()> = async {
            for job in cluster.list(&JOB, &namespace, &format!("plan={uid}")).await? {
                cluster.delete(&JOB, &namespace, job.text("/metadata/name"), Propagation::Background).await?;
            }
            cluster.delete_all(&CONFIG_MAP, &namespace, &format!("plan={uid},use=vddk-conf")).await?;
            let migration = self.last_migration_uid();
            for vm in self.execution().vms.clone() {
                clean_up(self, &migration, &vm, true).await?;
            }
            // DataVolumes of failed VMs go with the plan, those of VMs that run were deleted when these were created.
            let left = cluster.list(&DATA_VOLUME, &namespace, &format!("plan={uid}")).await?;
            tracing::debug!(left = left.len(), "data volumes after archiving");
            Ok(())
        }
        .await;
        if let Err(error) = result {
            tracing::debug!(plan = self.name(), error = format!("{error:#}"), "clean-up of an archived plan is incomplete");
        }
    }
}

fn complete(execution: &mut PlanMigration, now: &str) {
    execution.started.get_or_insert_with(|| now.to_owned());
    execution.completed.get_or_insert_with(|| now.to_owned());
}
