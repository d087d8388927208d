//! Guest agent: connected, where the scenario says that the guest has one.

use super::{Asked, Check, Comparison, Subject};

/// QEMU guest agent.
pub struct GuestAgent;

impl Check for GuestAgent {
    fn name(&self) -> &'static str {
        "guest agent"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        if let Asked::No(reason) = subject.agent { Some(reason.clone()) } else { None }
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        const WHAT: &str = "condition AgentConnected";
        match subject.agent {
            Asked::Failed(found) => seen.wrong(WHAT, "True", found),
            Asked::Yes(_) => seen.right(WHAT, "True", "True"),
            Asked::No(_) => {}
        }
    }
}
