//! Looking into objects of any kind.

use kube::api::DynamicObject;
use mtv_api::{condition::Condition, kinds::Kind};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// `Plan mig/x`, `Namespace x`, `Pods in mig`.
pub fn name_of(kind: &Kind, namespace: Option<&str>, name: &str) -> String {
    match (namespace.filter(|_| kind.namespaced), name) {
        (Some(namespace), "") => format!("{} in {namespace}", kind.plural),
        (None, "") => kind.plural.to_owned(),
        (Some(namespace), name) => format!("{} {namespace}/{name}", kind.kind),
        (None, name) => format!("{} {name}", kind.kind),
    }
}

/// Views into an object of which only a part is known.
pub trait ObjectExt {
    /// A value by JSON pointer.
    fn at(&self, pointer: &str) -> Option<&Value>;
    /// A string by JSON pointer.
    fn text(&self, pointer: &str) -> Option<&str>;
    /// `status`, typed; the default where it is absent or of another shape.
    fn status<T: DeserializeOwned + Default>(&self) -> T;
    /// `spec`, typed; the default where it is absent or of another shape.
    fn spec<T: DeserializeOwned + Default>(&self) -> T;
    /// `status.conditions`.
    fn conditions(&self) -> Vec<Condition>;
}

impl ObjectExt for DynamicObject {
    fn at(&self, pointer: &str) -> Option<&Value> {
        self.data.pointer(pointer)
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.at(pointer).and_then(Value::as_str)
    }

    fn status<T: DeserializeOwned + Default>(&self) -> T {
        typed(self.at("/status"))
    }

    fn spec<T: DeserializeOwned + Default>(&self) -> T {
        typed(self.at("/spec"))
    }

    fn conditions(&self) -> Vec<Condition> {
        typed(self.at("/status/conditions"))
    }
}

fn typed<T: DeserializeOwned + Default>(value: Option<&Value>) -> T {
    value.and_then(|v| T::deserialize(v).ok()).unwrap_or_default()
}

/// The state of an object of any kind in a few words: phase, conditions that hold, blockers with their message.
pub fn state_of(object: Option<&DynamicObject>) -> String {
    let Some(object) = object else { return "not there".to_owned() };
    let mut parts = Vec::new();
    if object.metadata.deletion_timestamp.is_some() {
        let held_by = object.metadata.finalizers.as_deref().unwrap_or_default();
        parts.push(if held_by.is_empty() {
            "being deleted".to_owned()
        } else {
            format!("being deleted, held by finalizers {}", held_by.join(", "))
        });
    }
    for pointer in ["/status/phase", "/status/printableStatus"] {
        if let Some(phase) = object.text(pointer).filter(|p| !p.is_empty()) {
            parts.push(phase.to_owned());
        }
    }
    for condition in object.conditions().iter().filter(|c| c.is_true()) {
        parts.push(if condition.is_blocker() || condition.kind == "Failed" {
            let items = if condition.items.is_empty() { String::new() } else { format!(" [{}]", condition.items.join(", ")) };
            format!("{}: {}{items}", condition.kind, condition.message)
        } else {
            condition.kind.clone()
        });
    }
    if parts.is_empty() { "no status yet".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_state_tells_phase_conditions_and_blockers() {
        let provider = object(json!({"metadata": {"name": "x"}, "status": {"phase": "ConnectionFailed", "conditions": [
            {"type": "ConnectionTestFailed", "status": "True", "category": "Critical", "message": "login refused", "lastTransitionTime": ""}]}}));
        assert_eq!(state_of(Some(&provider)), "ConnectionFailed, ConnectionTestFailed: login refused");
        assert_eq!(state_of(None), "not there");
        assert_eq!(state_of(Some(&object(json!({"metadata": {"name": "x"}})))), "no status yet");
    }
}
