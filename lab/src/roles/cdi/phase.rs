//! Phases of a DataVolume and the conditions that go with them.

use serde_json::Value;

use crate::roles::write;

/// Where an import stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// No claim yet.
    Pending,
    /// The importer waits for claim and pod.
    ImportScheduled,
    /// Bytes are copied.
    ImportInProgress,
    /// The importer has ended with an error and is started again, for as long as that takes.
    Crashing(String),
    /// A checkpoint is copied, the next one awaited.
    Paused,
    /// Done.
    Succeeded,
}

impl Phase {
    /// As CDI spells it: what comes from a claim or boot source of the cluster is a clone.
    pub(super) const fn name(&self, cloning: bool) -> &'static str {
        match (self, cloning) {
            (Self::Pending, _) => "Pending",
            (Self::ImportScheduled, false) => "ImportScheduled",
            (Self::ImportScheduled, true) => "CloneScheduled",
            (Self::ImportInProgress | Self::Crashing(_), false) => "ImportInProgress",
            (Self::ImportInProgress | Self::Crashing(_), true) => "CloneInProgress",
            (Self::Paused, _) => "Paused",
            (Self::Succeeded, _) => "Succeeded",
        }
    }

    /// Bound, Running and Ready, with what people read about them in Forklift's task reasons.
    pub(super) fn conditions(&self, known: &[Value], claim: &str, bound: bool, now: &str) -> Vec<Value> {
        let (reason, message) = match (self, bound) {
            (Self::Pending, _) => ("NotFound", "no claim yet".to_owned()),
            (_, false) => ("Pending", format!("claim {claim} is not bound yet")),
            (_, true) => ("Bound", format!("claim {claim} is bound")),
        };
        let list = write::condition(known, "Bound", bound, reason, &message, now);
        let (running, reason, message) = match self {
            Self::Pending | Self::ImportScheduled => (false, "ContainerCreating", "the importer is starting"),
            Self::Crashing(why) => (false, "Error", why.as_str()),
            Self::ImportInProgress => (true, "Pod is running", "the importer copies"),
            Self::Paused => (false, "Completed", "the checkpoint is copied"),
            Self::Succeeded => (false, "Completed", "the import is complete"),
        };
        let list = write::condition(&list, "Running", running, reason, message, now);
        let ready = *self == Self::Succeeded;
        write::condition(&list, "Ready", ready, if ready { "" } else { "TransferRunning" }, "", now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_why() {
        let list = Phase::ImportScheduled.conditions(&[], "c", false, "t");
        assert!(list.iter().all(|c| c["status"] == "False"));
        assert_eq!(list[0]["message"], "claim c is not bound yet");
        let list = Phase::Succeeded.conditions(&list, "c", true, "u");
        assert!(write::holds(&list, "Bound") && write::holds(&list, "Ready") && !write::holds(&list, "Running"));
        let list = Phase::Crashing("no such file".into()).conditions(&[], "c", true, "t");
        assert_eq!((list[1]["reason"].as_str(), list[1]["message"].as_str()), (Some("Error"), Some("no such file")));
    }
}
