//! Tasks: what long operations give back, awaited to their end.

use std::time::Duration;

use mtv_api::xml::Node;

use super::{
    collector::{Awaited, Ended, wait},
    session::Session,
    wire::{Fault, MoRef},
};
use crate::providers::{ProviderError, ProviderResult};

/// No progress among them: each percent would be an answer of its own.
const PATHS: [&str; 3] = ["info.state", "info.error", "info.result"];

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
        .ok_or_else(|| ProviderError::Operation(format!("{doing}: the answer `{}` names no task", response.name)))
}

/// Waits for a task's end.
pub async fn finish(session: &Session, task: &MoRef, doing: &str, patience: Duration) -> ProviderResult<Outcome> {
    let what = format!("{} ({doing})", task.value);
    let awaited = Awaited { object: task, paths: &PATHS, what: &what, patience };
    let ended = wait(session, awaited, |props| match props.get("info.state")?.text.as_str() {
        "success" => Some(Outcome::Success(props.get("info.result").and_then(MoRef::read))),
        "error" => {
            let fault = props.get("info.error").map(Fault::localized);
            Some(Outcome::Failure(fault.unwrap_or_else(|| Fault {
                kind: "MethodFault".into(),
                message: "the task failed without saying why".into(),
                detail: Node::default(),
            })))
        }
        _ => None,
    })
    .await?;
    match ended {
        Ended::Done(outcome) => Ok(outcome),
        Ended::Gone => Err(ProviderError::Operation(format!("{doing}: {} vanished before its end was seen", task.value))),
        Ended::Late(seen) => Err(ProviderError::Deadline(format!(
            "{doing}: {} did not end within {} s, its last state was `{}`",
            task.value,
            patience.as_secs(),
            seen.get("info.state").map_or("never seen", |state| state.text.as_str())
        ))),
    }
}
