//! Tasks: what long operations give back, awaited to their end.

use std::time::Duration;

use mtv_api::xml::Node;

use super::{
    collector::{Awaited, Ended, retrieve, wait},
    props::{along, filter, properties, start},
    session::Session,
    wire::{Fault, MoRef},
};
use crate::providers::{ProviderError, ProviderResult};

/// What changes once, at the end. State and progress are not among them: queued, running and each percent would be an answer
/// of its own, a third more requests for nothing. An update set shows a task as it was at one moment, so that the time of
/// completion never comes without the error.
const PATHS: [&str; 3] = ["info.completeTime", "info.error", "info.result"];

/// How a task ended.
#[derive(Debug)]
pub enum Outcome {
    /// Done, with what it made, if that is an object.
    Success(Option<MoRef>),
    /// Failed.
    Failure(Fault),
}

/// Reads the task that a method's response names.
pub fn of_response(response: &Node, doing: &str) -> ProviderResult<MoRef> {
    response
        .child("returnval")
        .and_then(MoRef::read)
        .ok_or_else(|| ProviderError::operation(format!("{doing}: the answer `{}` names no task", response.name)))
}

/// Waits for a task's end.
pub async fn finish(session: &Session, task: &MoRef, doing: &str, patience: Duration) -> ProviderResult<Outcome> {
    let what = format!("{} ({doing})", task.value);
    let awaited = Awaited { object: task, paths: &PATHS, what: &what, patience };
    let ended = wait(session, awaited, |props| {
        if let Some(error) = props.get("info.error") {
            return Some(Outcome::Failure(Fault::localized(error)));
        }
        props.get("info.completeTime")?;
        Some(Outcome::Success(props.get("info.result").and_then(MoRef::read)))
    })
    .await?;
    match ended {
        Ended::Done(outcome) => Ok(outcome),
        Ended::Gone => Err(ProviderError::operation(format!("{doing}: {} vanished before its end was seen", task.value))),
        Ended::Late(_) => Err(ProviderError::deadline(format!(
            "{doing}: {} did not end within {} s, its last state is `{}`",
            task.value,
            patience.as_secs(),
            state(session, task).await
        ))),
    }
}

/// Waits for the end of all tasks of a VM that run and are of this kind (`VirtualMachine.clone`): what a request whose answer
/// was lost may have begun. How they ended shows in what they made.
pub async fn settle(session: &Session, vm: &MoRef, kind: &str, doing: &str, patience: Duration) -> ProviderResult<()> {
    let tasks = retrieve(session, |_| {
        filter(
            "specSet",
            [properties("Task", &["info.state", "info.descriptionId"])],
            [start(vm, true, [along("VirtualMachine", "recentTask", [])])],
        )
    })
    .await
    .map_err(|error| error.explained(doing))?;
    let running = tasks.iter().filter(|task| {
        task.text("info.descriptionId").is_some_and(|id| id.starts_with(kind))
            && matches!(task.text("info.state"), Some("queued" | "running"))
    });
    for task in running {
        let _ = finish(session, &task.id, doing, patience).await?;
    }
    Ok(())
}

/// Where a task stands, for the error of a wait that ended too early.
async fn state(session: &Session, task: &MoRef) -> String {
    let spec = || filter("specSet", [properties("Task", &["info.state", "info.progress"])], [start(task, false, [])]);
    match retrieve(session, |_| spec()).await {
        Ok(objects) => {
            let object = objects.first();
            let state = object.and_then(|o| o.text("info.state")).unwrap_or("unknown");
            object.and_then(|o| o.text("info.progress")).map_or_else(|| state.to_owned(), |percent| format!("{state}, {percent} %"))
        }
        Err(error) => error.explained("read the task").to_string(),
    }
}
