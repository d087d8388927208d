//! Tasks: operations that take time.

use super::Model;
use crate::vsphere::{fault::Fault, ids::MoRef, value::Value};

/// State of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Waits for a thread.
    Queued,
    /// Works.
    Running,
    /// Ended well.
    Success,
    /// Ended with a fault.
    Error,
}

impl TaskState {
    /// The API's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

/// A task.
#[derive(Debug, Clone)]
pub struct Task {
    /// moRef value.
    pub id: String,
    /// What it works on.
    pub entity: MoRef,
    /// Its name when the task was made.
    pub entity_name: String,
    /// `descriptionId`, such as `VirtualMachine.clone`.
    pub description_id: &'static str,
    /// The method's name, such as `CloneVM_Task`.
    pub method: &'static str,
    /// State.
    pub state: TaskState,
    /// Per cent, while it runs.
    pub progress: Option<i32>,
    /// When it was made.
    pub queued: String,
    /// When it began to run.
    pub started: Option<String>,
    /// When it ended.
    pub completed: Option<String>,
    /// Why it failed.
    pub error: Option<Fault>,
    /// What it made.
    pub result: Option<Value>,
    /// Who asked for it.
    pub user: String,
    /// Whether a client may cancel it.
    pub cancelable: bool,
    /// A client has cancelled it.
    pub cancelled: bool,
    /// Number for ordering.
    pub number: u64,
}

impl Task {
    /// Reference to it.
    pub fn moref(&self) -> MoRef {
        MoRef::new("Task", &self.id)
    }
}

/// Tasks that the server remembers; older finished ones are forgotten.
const KEPT: usize = 2_000;

impl Model {
    /// Makes a queued task.
    pub fn queue_task(
        &mut self,
        entity: &MoRef,
        description_id: &'static str,
        method: &'static str,
        user: &str,
        cancelable: bool,
    ) -> String {
        let number = self.count("task");
        let id = format!("task-{number}");
        let entity_name = self.entity(&entity.id).map_or_else(|| entity.id.clone(), |e| e.name.clone());
        self.tasks.insert(
            number,
            Task {
                id: id.clone(),
                entity: entity.clone(),
                entity_name,
                description_id,
                method,
                state: TaskState::Queued,
                progress: None,
                queued: Self::now(),
                started: None,
                completed: None,
                error: None,
                result: None,
                user: user.to_owned(),
                cancelable,
                cancelled: false,
                number,
            },
        );
        if self.tasks.len() > KEPT
            && let Some(oldest) = self.tasks.values().find(|t| t.completed.is_some()).map(|t| t.number)
        {
            self.tasks.remove(&oldest);
        }
        id
    }

    /// A task.
    pub fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.get(&id.strip_prefix("task-")?.parse().ok()?)
    }

    /// A task, to change it.
    pub fn task_mut(&mut self, id: &str) -> Option<&mut Task> {
        self.tasks.get_mut(&id.strip_prefix("task-")?.parse().ok()?)
    }

    /// Ends a task.
    pub fn end_task(&mut self, id: &str, outcome: Result<Option<Value>, Fault>) {
        let now = Self::now();
        let Some(task) = self.task_mut(id) else { return };
        task.completed = Some(now);
        task.progress = None;
        match outcome {
            Ok(result) => {
                task.state = TaskState::Success;
                task.result = result;
            }
            Err(fault) => {
                task.state = TaskState::Error;
                task.error = Some(fault);
            }
        }
    }
}
