//! Marks on steps, tasks and VMs: set once, as times.

use mtv_api::forklift::{StepError, StepStatus, VmStatus};

/// What a finished disk's task says.
pub const TRANSFERRED: &str = "Transfer completed.";

/// Marks a step as started.
pub fn start(step: &mut StepStatus, now: &str) {
    if step.started.is_none() {
        step.started = Some(now.to_owned());
        step.completed = None;
    }
}

/// Marks a step as completed.
pub fn complete(step: &mut StepStatus, now: &str) {
    start(step, now);
    step.completed.get_or_insert_with(|| now.to_owned());
}

/// Marks a VM as started.
pub fn start_vm(vm: &mut VmStatus, now: &str) {
    if vm.started.is_none() {
        vm.started = Some(now.to_owned());
        vm.completed = None;
    }
}

/// Marks a VM as completed.
pub fn complete_vm(vm: &mut VmStatus, now: &str) {
    start_vm(vm, now);
    vm.completed.get_or_insert_with(|| now.to_owned());
}

/// Says a step's phase.
pub fn phase(step: &mut StepStatus, phase: &str) {
    step.phase = Some(phase.to_owned());
}

/// Adds an error to a step, once per text.
pub fn fail(step: &mut StepStatus, text: &str) {
    let phase = step.phase.clone().unwrap_or_default();
    add(step.error.get_or_insert_with(|| StepError { phase, reasons: Vec::new() }), text);
}

/// Adds an error to a VM, once per text.
pub fn fail_vm(vm: &mut VmStatus, text: &str) {
    let phase = vm.phase.clone();
    add(vm.error.get_or_insert_with(|| StepError { phase, reasons: Vec::new() }), text);
}

fn add(error: &mut StepError, text: &str) {
    if !error.reasons.iter().any(|reason| reason == text) {
        error.reasons.push(text.to_owned());
    }
}

/// The disk of a task is copied.
pub fn transferred(task: &mut StepStatus, now: &str) {
    phase(task, "Completed");
    task.reason = Some(TRANSFERRED.to_owned());
    task.progress.completed = task.progress.total;
    complete(task, now);
}

/// Carries what the tasks say to their step.
pub fn reflect_tasks(step: &mut StepStatus, now: &str) {
    let started = step.tasks.iter().any(|t| t.started.is_some());
    let completed = step.tasks.iter().all(|t| t.completed.is_some());
    step.progress.completed = step.tasks.iter().map(|t| t.progress.completed).sum();
    let errors: Vec<String> = step.tasks.iter().filter_map(|t| t.error.as_ref()).flat_map(|e| e.reasons.clone()).collect();
    for text in &errors {
        fail(step, text);
    }
    if started {
        start(step, now);
    }
    if completed {
        complete(step, now);
    }
}

/// Carries what the steps say to their VM.
pub fn reflect_pipeline(vm: &mut VmStatus, now: &str) {
    let errors: Vec<String> = vm.pipeline.iter().filter_map(|s| s.error.as_ref()).flat_map(|e| e.reasons.clone()).collect();
    for text in &errors {
        fail_vm(vm, text);
    }
    if vm.pipeline.iter().any(|s| s.started.is_some()) {
        start_vm(vm, now);
    }
    if vm.pipeline.iter().all(|s| s.completed.is_some()) {
        complete_vm(vm, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(tasks: Vec<StepStatus>) -> StepStatus {
        StepStatus { tasks, ..StepStatus::default() }
    }

    #[test]
    fn a_step_is_completed_with_its_last_task() {
        let mut step = step(vec![StepStatus::default(), StepStatus::default()]);
        transferred(&mut step.tasks[0], "1");
        reflect_tasks(&mut step, "2");
        assert_eq!((step.started.as_deref(), step.completed.as_deref()), (Some("2"), None));
        transferred(&mut step.tasks[1], "3");
        reflect_tasks(&mut step, "4");
        assert_eq!((step.started.as_deref(), step.completed.as_deref()), (Some("2"), Some("4")));
    }

    #[test]
    fn errors_rise_once_with_the_phase_of_that_moment() {
        let mut vm = VmStatus { phase: "CopyDisks".into(), pipeline: vec![StepStatus::default()], ..VmStatus::default() };
        phase(&mut vm.pipeline[0], "Running");
        fail(&mut vm.pipeline[0], "broken");
        reflect_pipeline(&mut vm, "1");
        vm.phase = "Completed".into();
        reflect_pipeline(&mut vm, "2");
        let error = vm.error.unwrap();
        assert_eq!((error.phase.as_str(), error.reasons.len()), ("CopyDisks", 1));
        assert_eq!(vm.pipeline[0].error.as_ref().unwrap().phase, "Running");
    }
}
