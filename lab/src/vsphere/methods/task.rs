//! Tasks.

use super::{Context, Outcome, unknown};
use crate::vsphere::{
    fault::Fault,
    soap::{Reply, Request},
};

/// Methods of a task.
///
/// # Errors
/// The method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    match request.method.as_str() {
        "CancelTask" => cx.server.change(|model| {
            let task = model.task_mut(&request.this.id).ok_or_else(|| Fault::not_found(&request.this))?;
            if task.completed.is_some() {
                return Err(Fault::invalid_state("The task has ended."));
            }
            if !task.cancelable {
                return Err(Fault::not_supported("The task cannot be cancelled."));
            }
            task.cancelled = true;
            Ok(Reply::Empty)
        }),
        "SetTaskDescription" => Ok(Reply::Empty),
        _ => Err(unknown(request)),
    }
}
