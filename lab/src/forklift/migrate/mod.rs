//! An execution: a phase machine per VM, which moves by at most one phase per look.

pub mod cleanup;
mod guest;
mod hooks;
pub mod itinerary;
mod offload;
mod phases;
mod progress;
pub mod steps;
mod warm;

use std::time::Duration;

use anyhow::Context as _;
use mtv_api::{
    condition::Condition,
    forklift::{StepStatus, VmStatus, WarmStatus},
};
use serde_json::{Value, json};

use self::itinerary::Facts;
use super::{
    cluster::{Key, Look},
    conditions::{self, condition, course, has_any},
    plan::{Work, ensure_namespace},
    reference::Reference,
    source::{Session, Snapshots},
};

/// How often the real controller looks at a running migration.
const POLL: Duration = Duration::from_secs(3);

/// One look at an execution.
pub struct Run<'a, 'b> {
    work: &'a mut Work<'b>,
    migration: &'a Value,
    session: Option<Box<dyn Session>>,
}

/// An error that ends the VM's migration, instead of the look alone.
#[derive(Debug)]
pub struct Fatal(pub String);

impl std::fmt::Display for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fatal {}

/// What a phase leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Look again later.
    Stay,
    /// On to the next phase of the itinerary.
    Next,
    /// On to this phase, in a loop or out of it.
    Goto(&'static str),
}

impl<'a, 'b> Run<'a, 'b> {
    /// A look at the execution that a Migration asks for.
    pub fn new(work: &'a mut Work<'b>, migration: &'a Value) -> Self {
        Self { work, migration, session: None }
    }

    /// Looks; says when to look again.
    pub async fn run(mut self) -> anyhow::Result<Option<Duration>> {
        let result = self.look().await;
        if let Some(session) = &self.session {
            session.end().await;
        }
        result
    }

    async fn look(&mut self) -> anyhow::Result<Option<Duration>> {
        self.begin().await?;
        let course = self.active_conditions();
        if !has_any(&course, &["Executing"]) {
            return Ok((!has_any(&course, &["Failed", "Canceled"])).then_some(POLL));
        }
        let canceled = self.canceled_ids().await?;
        let running: Vec<usize> = self.indices(|vm| vm.started.is_some() && vm.completed.is_none());
        for index in running {
            self.execute(index, &canceled).await?;
        }
        while let Some(index) = self.next_scheduled().await? {
            self.execute(index, &canceled).await?;
        }
        self.mark_queued();
        Ok((!self.end()).then_some(POLL))
    }

    fn active_conditions(&mut self) -> Vec<Condition> {
        self.work.execution().history.last().map(|entry| entry.conditions.clone()).unwrap_or_default()
    }

    fn indices(&mut self, pick: impl Fn(&VmStatus) -> bool) -> Vec<usize> {
        self.work.execution().vms.iter().enumerate().filter(|(_, vm)| pick(vm)).map(|(i, _)| i).collect()
    }

    /// Ids of the VMs that the user wants to cancel.
    async fn canceled_ids(&self) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        for entry in self.migration.items("/spec/cancel") {
            let reference = Reference::read(entry);
            if reference.id.is_empty() {
                ids.extend(self.work.resolve(&reference).await?.into_iter().map(|found| found.id));
            } else {
                ids.push(reference.id);
            }
        }
        Ok(ids)
    }

    /// Facts about a VM that decide its itinerary.
    async fn facts(&self, vm: &VmStatus) -> Facts {
        let work = &self.work;
        let hook = |step: &str| vm.rest.get("hooks").is_some_and(|hooks| hooks.items("").iter().any(|h| h.text("/step") == step));
        let converts = work.converts();
        let target = vm.rest.get("targetPowerState").and_then(Value::as_str).or(work.spec.target_power_state.as_deref());
        let windows = work.machine(&vm.id).await.is_ok_and(|machine| machine.windows);
        Facts {
            warm: work.is_warm(),
            only_conversion: work.spec.kind.as_deref() == Some("conversion"),
            resume: self.migration.pointer("/spec/resumeConversion") == Some(&json!(true)),
            pre_hook: hook("PreHook"),
            post_hook: hook("PostHook"),
            converts,
            v2v_copies: work.v2v_copies(),
            inspects: work.inspects(),
            converts_snapshot: work.traits().converts_snapshot,
            waits_for_reboots: work.settings.wait_for_reboot && target != Some("off") && windows && converts,
            waits_for_consolidation: work.settings.wait_for_consolidation && work.traits().vddk,
        }
    }

    /// Starts the execution, once.
    async fn begin(&mut self) -> anyhow::Result<()> {
        if has_any(&self.active_conditions(), &["Executing", "Succeeded", "Failed", "Canceled"]) {
            return Ok(());
        }
        let now = self.work.now();
        ensure_namespace(&self.work.context.cluster, &self.work.spec.target_namespace).await?;
        let mut list = Vec::new();
        for plan_vm in self.work.spec.vms.clone() {
            let reference = self.work.best_reference(&plan_vm).await;
            anyhow::ensure!(!reference.id.is_empty(), "vm {reference} is not in the source's inventory");
            let mut vm = match self.work.vm_status(&reference) {
                Some(known) => known.clone(),
                None => new_status(&plan_vm, &reference)?,
            };
            if vm.phase != "Completed" || has_any(&vm.conditions, &["Canceled", "Failed"]) {
                self.reset(&mut vm).await?;
            }
            list.push(vm);
        }
        let execution = self.work.execution();
        execution.vms = list;
        execution.started = Some(now.clone());
        execution.completed = None;
        if let Some(entry) = execution.history.last_mut() {
            conditions::set(&mut entry.conditions, course("Executing", "", "The plan is being executed."), &now);
        }
        Ok(())
    }

    async fn reset(&self, vm: &mut VmStatus) -> anyhow::Result<()> {
        conditions::remove(&mut vm.conditions, &["Canceled", "Failed"]);
        (vm.started, vm.completed, vm.error) = (None, None, None);
        "Started".clone_into(&mut vm.phase);
        let machine = self.work.machine(&vm.id).await?;
        let tasks: Vec<StepStatus> = machine.disks.iter().map(|d| itinerary::task(&d.task, d.capacity)).collect();
        let facts = self.facts(vm).await;
        vm.pipeline = itinerary::pipeline(&facts, &tasks);
        if !facts.resume {
            vm.rest.remove("disksCopied");
            vm.warm = self.work.is_warm().then(WarmStatus::default);
        }
        Ok(())
    }

    /// A VM that may start: as many as the limit allows, per ESXi host where the source tells the hosts.
    async fn next_scheduled(&mut self) -> anyhow::Result<Option<usize>> {
        let waiting = self.indices(|vm| vm.started.is_none() && vm.completed.is_none() && !has_any(&vm.conditions, &["Canceled"]));
        if waiting.is_empty() {
            return Ok(None);
        }
        let source = self.work.connected()?;
        let v2v = self.work.v2v_copies();
        let vms = self.work.status.migration.as_ref().map(|m| m.vms.as_slice()).unwrap_or_default();
        // Host and cost of each VM.
        let mut load = Vec::new();
        for vm in vms {
            let machine = source.machine(&vm.id).await?;
            let done = matches!(vm.phase.as_str(), "CreateVM" | "PostHook" | "Completed");
            let converting = matches!(vm.phase.as_str(), "CopyingPaused" | "CreateGuestConversionPod" | "ConvertGuest");
            let cost = if done || (!v2v && converting) {
                0
            } else if v2v {
                1
            } else {
                machine.as_ref().map_or(1, |machine| machine.disks.len())
            };
            load.push((machine.map(|machine| machine.host).unwrap_or_default(), cost));
        }
        let limit = self.work.settings.max_in_flight;
        let running = |vm: &VmStatus| vm.started.is_some() && vm.completed.is_none();
        let in_flight = |host: &str| -> usize {
            vms.iter().zip(&load).filter(|(vm, (of, _))| running(vm) && of == host).map(|(_, (_, cost))| cost).sum()
        };
        Ok(waiting.into_iter().find(|index| {
            let (host, cost) = &load[*index];
            let busy = in_flight(host);
            busy == 0 || busy + cost <= limit
        }))
    }

    /// Tells VMs that wait for others to end.
    fn mark_queued(&mut self) {
        let now = self.work.now();
        let limit = self.work.settings.max_in_flight;
        let waiting = self.indices(|vm| vm.started.is_none() && vm.completed.is_none() && !has_any(&vm.conditions, &["Canceled"]));
        for index in &waiting {
            let pending = course("Pending", "", &format!("Waits for other VMs: at most {limit} at once."));
            conditions::set(&mut self.work.execution().vms[*index].conditions, pending, &now);
        }
        if !waiting.is_empty() {
            let text = format!("{} VMs wait for others: at most {limit} at once.", waiting.len());
            self.work.staged.set(condition("Ready", "Required", "", text), &now);
        }
    }

    /// Moves one VM.
    async fn execute(&mut self, index: usize, canceled: &[String]) -> anyhow::Result<()> {
        let now = self.work.now();
        let mut vm = self.work.execution().vms[index].clone();
        conditions::remove(&mut vm.conditions, &["Pending"]);
        if canceled.contains(&vm.id) {
            conditions::set(&mut vm.conditions, course("Canceled", "UserRequested", "The migration was canceled."), &now);
            "Completed".clone_into(&mut vm.phase);
            self.work.execution().vms[index] = vm;
            self.look_soon();
            return Ok(());
        }
        let facts = self.facts(&vm).await;
        match self.phase(&mut vm, &facts).await {
            Ok(Outcome::Stay) => {}
            Ok(Outcome::Next) => advance(&facts, &mut vm, &now),
            Ok(Outcome::Goto(phase)) => phase.clone_into(&mut vm.phase),
            Err(error) => {
                let text = fatal(&error).with_context(|| format!("vm {} in phase {}: {error:#}", vm.name, vm.phase))?;
                match step(&facts, &mut vm) {
                    Some(step) => steps::fail(step, &text),
                    None => steps::fail_vm(&mut vm, &text),
                }
            }
        }
        steps::reflect_pipeline(&mut vm, &now);
        if vm.phase == "Completed" && vm.error.is_none() {
            conditions::set(&mut vm.conditions, course("Succeeded", "", "The VM was migrated."), &now);
            if let Err(error) = cleanup::clean_up(self.work, self.migration.uid(), &vm, false).await {
                tracing::debug!(vm = vm.name, error = format!("{error:#}"), "clean-up after a success is incomplete");
            }
        } else if vm.error.is_some() {
            "Completed".clone_into(&mut vm.phase);
            if !has_any(&vm.conditions, &["Failed"]) {
                cleanup::remove_last_snapshot(self.work, &vm).await;
            }
            conditions::set(&mut vm.conditions, course("Failed", "", "The VM was not migrated."), &now);
            if vm.completed.is_none() {
                self.look_soon();
            }
        }
        self.work.execution().vms[index] = vm;
        Ok(())
    }

    /// The plan comes round at once, beside the look that is due anyway.
    fn look_soon(&self) {
        self.work.context.queues.plans.add(Key::of(&self.work.object));
    }

    /// Ends the execution when all VMs are through.
    fn end(&mut self) -> bool {
        let now = self.work.now();
        let execution = self.work.execution();
        if execution.vms.iter().any(|vm| vm.completed.is_none()) {
            return false;
        }
        let any = |kind: &str| execution.vms.iter().any(|vm| has_any(&vm.conditions, &[kind]));
        let (kind, text) = if any("Failed") {
            ("Failed", "The execution failed.")
        } else if any("Succeeded") {
            ("Succeeded", "The execution succeeded.")
        } else {
            ("Canceled", "The execution was canceled.")
        };
        execution.completed.get_or_insert_with(|| now.clone());
        if let Some(entry) = execution.history.last_mut() {
            conditions::remove(&mut entry.conditions, &["Executing"]);
            conditions::set(&mut entry.conditions, course(kind, "", text), &now);
        }
        true
    }

    /// A session with the source, made when it is first needed.
    async fn source(&mut self) -> anyhow::Result<&dyn Session> {
        if self.session.is_none() {
            self.session = Some(self.work.connected()?.session().await?);
        }
        self.session.as_deref().context("no session with the source")
    }

    /// Snapshots of the source.
    async fn snapshots(&mut self) -> anyhow::Result<&dyn Snapshots> {
        self.source().await?.snapshots().ok_or_else(|| Fatal("the source takes no snapshots".to_owned()).into())
    }
}

/// The text of an error that ends a VM's migration; `None` for those that pass.
fn fatal(error: &anyhow::Error) -> Option<String> {
    if let Some(Fatal(text)) = error.downcast_ref() {
        return Some(text.clone());
    }
    if error.downcast_ref::<super::vcenter::Error>().is_some() {
        return Some(format!("{error:#}"));
    }
    match error.downcast_ref() {
        Some(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 405 | 422) => Some(status.message.clone()),
        _ => None,
    }
}

fn step<'v>(facts: &Facts, vm: &'v mut VmStatus) -> Option<&'v mut StepStatus> {
    let name = itinerary::step_of(facts, &vm.phase);
    vm.pipeline.iter_mut().find(|step| step.name == name)
}

/// On to the next phase. Where that belongs to another step, this one is completed and the other one started.
fn advance(facts: &Facts, vm: &mut VmStatus, now: &str) {
    let current = itinerary::step_of(facts, &vm.phase);
    itinerary::after(facts, &vm.phase).clone_into(&mut vm.phase);
    let next = itinerary::step_of(facts, &vm.phase);
    if current == next {
        return;
    }
    for step in &mut vm.pipeline {
        if step.name == current {
            steps::complete(step, now);
            steps::phase(step, "Completed");
        } else if step.name == next {
            steps::start(step, now);
            steps::phase(step, "Running");
        }
    }
}

/// The status of a VM that was not migrated before: the plan's entry with what the inventory adds.
fn new_status(plan_vm: &mtv_api::forklift::PlanVm, reference: &Reference) -> anyhow::Result<VmStatus> {
    let mut entry = json!(plan_vm);
    entry["id"] = json!(reference.id);
    entry["name"] = json!(reference.name);
    if entry.get("luks").is_none() {
        entry["luks"] = json!({});
    }
    Ok(serde_json::from_value(entry)?)
}

#[cfg(test)]
mod tests {
    use mtv_api::forklift::PlanVm;

    use super::*;

    #[test]
    fn the_fields_of_the_plans_vm_are_inlined() {
        let plan_vm: PlanVm =
            serde_json::from_value(json!({ "name": "a", "targetName": "b", "hooks": [{ "step": "PreHook", "hook": {} }] })).unwrap();
        let reference = Reference { id: "vm-1".into(), name: "a".into(), ..Reference::default() };
        let status = new_status(&plan_vm, &reference).unwrap();
        assert_eq!((status.id.as_str(), status.name.as_str()), ("vm-1", "a"));
        assert_eq!(status.rest["targetName"], "b");
        assert_eq!(status.rest["luks"], json!({}));
        assert_eq!(status.rest["hooks"].items("").len(), 1);
    }

    #[test]
    fn a_step_ends_with_its_last_phase() {
        let facts = Facts { converts: true, v2v_copies: true, ..Facts::default() };
        let mut vm = VmStatus { phase: "WaitForPowerOff".into(), pipeline: itinerary::pipeline(&facts, &[]), ..VmStatus::default() };
        advance(&facts, &mut vm, "1");
        assert_eq!(vm.phase, "CreateDataVolumes");
        assert!(vm.pipeline[0].completed.is_none());
        advance(&facts, &mut vm, "2");
        assert_eq!(vm.phase, "AllocateDisks");
        assert_eq!(vm.pipeline[0].completed.as_deref(), Some("2"));
        assert_eq!(vm.pipeline[1].phase.as_deref(), Some("Running"));
    }

    #[test]
    fn what_passes_is_no_end() {
        assert!(fatal(&anyhow::anyhow!("inventory is not there")).is_none());
        assert_eq!(fatal(&Fatal("broken".into()).into()).as_deref(), Some("broken"));
    }
}
