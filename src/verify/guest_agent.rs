//! Guest agent: connected, where the scenario says that the guest has one.

use super::{Asked, Check, Problem, Subject};

/// QEMU guest agent.
pub struct GuestAgent;

impl Check for GuestAgent {
    fn name(&self) -> &'static str {
        "guest agent"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        if let Asked::No(reason) = subject.agent { Some(reason.clone()) } else { None }
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        match subject.agent {
            Asked::Failed(found) => vec![Problem::new("condition AgentConnected", "True", found)],
            _ => Vec::new(),
        }
    }
}
