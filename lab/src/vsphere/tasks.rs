//! Running tasks: queued, then running with progress, then ended, at the pace of the lab's clock.

use std::time::Duration;

use super::{
    Vcenter,
    fault::Fault,
    ids::MoRef,
    model::{Model, task::TaskState},
    value::Value,
};

/// What a task does.
pub struct Job {
    /// Object that it is shown on.
    pub entity: MoRef,
    /// `descriptionId`.
    pub description: &'static str,
    /// Name of the method.
    pub method: &'static str,
    /// How long the real server would take.
    pub takes: Duration,
    /// No other such task may work on the entity at the same time.
    pub exclusive: bool,
    /// A client may cancel it.
    pub cancelable: bool,
}

/// From queued to running.
const QUEUED: Duration = Duration::from_millis(200);
/// Progress is reported this many times.
const STEPS: u32 = 4;

type Check = Box<dyn Fn(&Model) -> Result<(), Fault> + Send>;
type Work = Box<dyn FnOnce(&mut Model) -> Result<Option<Value>, Fault> + Send>;

/// Starts a task and returns its reference. `check` is asked when it begins to run, so that what cannot be done fails
/// without waiting; `work` does it when the time is over.
pub fn start(server: &Vcenter, user: &str, job: Job, check: Check, work: Work) -> Value {
    let id = server.change(|model| model.queue_task(&job.entity, job.description, job.method, user, job.cancelable));
    let task = MoRef::new("Task", &id);
    let server = server.clone();
    tokio::spawn(async move { run(&server, &id, job, check, work).await });
    Value::Ref(task)
}

async fn run(server: &Vcenter, id: &str, job: Job, check: Check, work: Work) {
    let clock = server.inner.world.clock;
    clock.sleep(QUEUED).await;
    let began = server.change(|model| {
        if let Some(task) = model.task_mut(id) {
            task.state = TaskState::Running;
            task.started = Some(Model::now());
            task.progress = Some(0);
        }
        let result = begin(model, id, &job, &check);
        if let Err(fault) = &result {
            model.end_task(id, Err(fault.clone()));
        }
        result
    });
    if began.is_err() {
        return;
    }
    for step in 1..=STEPS {
        tokio::select! {
            () = clock.sleep(job.takes / STEPS) => {}
            () = cancelled(server, id) => {}
        }
        let go_on = server.change(|model| {
            let Some(task) = model.task_mut(id) else { return false };
            if task.cancelled {
                return false;
            }
            if step < STEPS {
                task.progress = i32::try_from(100 * step / STEPS).ok();
            }
            true
        });
        if !go_on {
            break;
        }
    }
    server.change(|model| {
        if job.exclusive
            && let Ok(vm) = model.vm_mut(&job.entity.id)
        {
            vm.busy = None;
        }
        let cancelled = model.task(id).is_some_and(|t| t.cancelled);
        let outcome = if cancelled { Err(Fault::request_canceled()) } else { work(model) };
        model.end_task(id, outcome);
    });
}

/// Ends when a client has cancelled the task.
async fn cancelled(server: &Vcenter, id: &str) {
    let mut changed = server.inner.changed.subscribe();
    while !server.look(|model| model.task(id).is_none_or(|t| t.cancelled)) {
        if changed.changed().await.is_err() {
            return;
        }
    }
}

fn begin(model: &mut Model, id: &str, job: &Job, check: &Check) -> Result<(), Fault> {
    if model.task(id).is_some_and(|t| t.cancelled) {
        return Err(Fault::request_canceled());
    }
    if job.exclusive
        && let Ok(vm) = model.vm_mut(&job.entity.id)
        && let Some(other) = &vm.busy
    {
        return Err(Fault::task_in_progress(MoRef::new("Task", other)));
    }
    check(model)?;
    if job.exclusive
        && let Ok(vm) = model.vm_mut(&job.entity.id)
    {
        vm.busy = Some(id.to_owned());
    }
    Ok(())
}
