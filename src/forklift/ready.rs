//! Waiting for a Forklift object to become Ready, and giving up early when it says that it never will.

use std::time::Duration;

use kube::api::DynamicObject;
use mtv_api::{condition::Conditions as _, kinds::Kind};

use crate::{
    cluster::{Awaited, Cluster, ObjectExt as _, name_of},
    diagnosis::{Diagnosis, Fact, Id, Speaker},
    engine::{Failure, StepCx},
};

/// How long a blocker must stay before it is believed. The destination's inventory needs about 8 s to see a new
/// NetworkAttachmentDefinition, and a Plan looks at its maps every 3 s; blockers of that kind pass.
pub const SETTLE: Duration = Duration::from_secs(30);

/// A condition that keeps an object from becoming Ready.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blocker {
    kind: String,
    reason: Option<String>,
    message: String,
    items: Vec<String>,
}

impl std::fmt::Display for Blocker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(reason) = &self.reason {
            write!(f, " ({reason})")?;
        }
        write!(f, ": {}", self.message)?;
        if self.items.is_empty() { Ok(()) } else { write!(f, " [{}]", self.items.join(", ")) }
    }
}

/// What it means that these conditions stay.
fn not_ready(kind: &'static Kind, namespace: &str, name: &str, blockers: &[Blocker]) -> Diagnosis {
    let has = |kinds: &[&str]| blockers.iter().any(|blocker| kinds.contains(&blocker.kind.as_str()));
    let id = match kind.kind {
        "Plan" if has(&["VMNotFound"]) => Id::PlanVmNotFound,
        "Plan" => Id::PlanNotReady,
        "Provider" if has(&["ConnectionTestFailed", "ConnectionFailed"]) => Id::ProviderConnectionFailed,
        "Provider" => Id::ProviderNotReady,
        "NetworkMap" | "StorageMap" => Id::MapNotReady,
        _ => Id::ObjectNotReady,
    };
    let object = name_of(kind, Some(namespace), name);
    let first = blockers.first().map(ToString::to_string).unwrap_or_default();
    let mut diagnosis = Diagnosis::new(id, format!("{object} cannot become Ready: {first}"))
        .about(object)
        .hint(format!("look at it with: kubectl get {}.{} -n {namespace} {name} -o yaml", kind.plural, kind.group));
    diagnosis.causes = blockers.iter().map(ToString::to_string).collect();
    for blocker in blockers {
        diagnosis.facts.push(Fact::Condition { kind: blocker.kind.clone(), reason: blocker.reason.clone() });
        diagnosis.facts.push(Fact::said(Speaker::Condition, &blocker.message));
    }
    diagnosis
}

/// What becomes of a wait for an object that is blocked, for tests of what is known of conditions.
#[cfg(test)]
pub(crate) fn not_ready_of(kind: &'static Kind, object: &DynamicObject) -> Diagnosis {
    let Some(Standing::Blocked(blockers)) = standing(object) else { panic!("not blocked") };
    let (namespace, name) = (object.metadata.namespace.as_deref(), object.metadata.name.as_deref());
    not_ready(kind, namespace.unwrap_or_default(), name.unwrap_or_default(), &blockers)
}

/// Where an object stands.
enum Standing {
    Ready(Box<DynamicObject>),
    Blocked(Vec<Blocker>),
}

/// Waits until an object is Ready for its present generation.
///
/// # Errors
/// A failed test if a condition of category Critical or Error stays; the environment's trouble if the time is up.
pub async fn wait_ready(
    cluster: &Cluster,
    cx: &StepCx,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    limit: Duration,
) -> Result<DynamicObject, Failure> {
    wait_ready_unless(cluster, cx, kind, namespace, name, limit, SETTLE).await
}

/// The same, where a blocker must stay for so long before it is believed: a source that comes and goes while it starts.
///
/// # Errors
/// As [`wait_ready`].
pub async fn wait_ready_unless(
    cluster: &Cluster,
    cx: &StepCx,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    limit: Duration,
    settle: Duration,
) -> Result<DynamicObject, Failure> {
    let object_name = name_of(kind, Some(namespace), name);
    cx.progress(format!("waiting for {object_name} to be Ready"), None);
    let awaited = |limit| Awaited { kind, namespace: Some(namespace), name, until: "to be Ready", limit };
    let deadline = cx.deadline.within(limit);
    let mut seen = false;
    loop {
        let look = |object: Option<&DynamicObject>| {
            must_be_there(&object_name, object, &mut seen)?;
            Ok(object.and_then(standing))
        };
        let blocked = match cluster.wait(cx, awaited(deadline.left()), look).await? {
            Standing::Ready(object) => return Ok(*object),
            Standing::Blocked(blockers) => blockers,
        };
        let mut deleted = None;
        let settled = cluster
            .wait(cx, awaited(settle.min(deadline.left())), |object| {
                must_be_there(&object_name, object, &mut seen).inspect_err(|failure| deleted = Some(failure.clone()))?;
                Ok(match object.and_then(standing) {
                    Some(Standing::Blocked(now)) if now == blocked => None,
                    other => Some(other),
                })
            })
            .await;
        if let Some(failure) = deleted {
            return Err(failure);
        }
        match settled {
            Ok(Some(Standing::Ready(object))) => return Ok(*object),
            Ok(_) => {}
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            Err(_) => {
                return Err(Failure::Failed(not_ready(kind, namespace, name, &blocked)));
            }
        }
    }
}

/// An object that was there must stay: one that somebody deletes never becomes Ready. Before it was seen for the first time, the
/// watch may not have heard of it yet.
fn must_be_there(name: &str, object: Option<&DynamicObject>, seen: &mut bool) -> Result<(), Failure> {
    let there = object.is_some_and(|object| object.metadata.deletion_timestamp.is_none());
    if there || object.is_none() && !*seen {
        *seen |= there;
        return Ok(());
    }
    Err(Failure::Errored(
        Diagnosis::new(Id::ObjectDeleted, format!("{name} was deleted while it was waited for to be Ready"))
            .about(name)
            .hint("mtv-test did not delete it: look for other clients, a clean-up job, or a deleted namespace"),
    ))
}

/// Ready for the generation that is there, blocked, or not known yet.
fn standing(object: &DynamicObject) -> Option<Standing> {
    let conditions = object.conditions();
    let observed = object.at("/status/observedGeneration").and_then(serde_json::Value::as_i64);
    let current = observed.is_none_or(|o| object.metadata.generation.is_none_or(|g| o >= g));
    if conditions.holds("Ready").is_some() && current {
        return Some(Standing::Ready(Box::new(object.clone())));
    }
    let blockers: Vec<Blocker> = conditions
        .blockers()
        .iter()
        .map(|c| Blocker { kind: c.kind.clone(), reason: c.reason.clone(), message: c.message.clone(), items: c.items.clone() })
        .collect();
    (!blockers.is_empty() && current).then_some(Standing::Blocked(blockers))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(observed: i64, conditions: serde_json::Value) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "generation": 2}, "status": {"observedGeneration": observed, "conditions": conditions}
        }))
        .unwrap()
    }

    #[test]
    fn ready_counts_only_for_the_present_generation() {
        let ready = json!([{"type": "Ready", "status": "True", "category": "Required"}]);
        assert!(matches!(standing(&plan(2, ready.clone())), Some(Standing::Ready(_))));
        assert!(standing(&plan(1, ready)).is_none());
    }

    #[test]
    fn an_object_that_is_deleted_is_not_waited_for() {
        let there = plan(1, json!([]));
        let mut going = there.clone();
        going.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        let mut seen = false;
        assert!(must_be_there("Plan ns/p", None, &mut seen).is_ok(), "the watch may not know it yet");
        assert!(must_be_there("Plan ns/p", Some(&there), &mut seen).is_ok());
        assert!(must_be_there("Plan ns/p", None, &mut seen).is_err());
        assert!(must_be_there("Plan ns/p", Some(&going), &mut seen).is_err());
    }

    #[test]
    fn blockers_are_told_with_reason_and_items() {
        let object = plan(
            2,
            json!([{"type": "VMStorageNotMapped", "status": "True", "category": "Critical", "reason": "NotValid",
            "message": "a disk has no mapping", "items": ["vm-1"]}, {"type": "X", "status": "True", "category": "Warn"}]),
        );
        let Some(Standing::Blocked(blockers)) = standing(&object) else { panic!("not blocked") };
        let told: Vec<String> = blockers.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["VMStorageNotMapped (NotValid): a disk has no mapping [vm-1]"]);
    }
}
