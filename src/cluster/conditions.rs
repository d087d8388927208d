//! Changes of conditions of the objects that a run waits for, as events.

use std::collections::{BTreeMap, HashMap};

use kube::api::DynamicObject;
use mtv_api::condition::Condition;

use super::ObjectExt;
use crate::events::What;

/// The conditions of objects as they were seen last, by object and type.
#[derive(Debug, Default)]
pub(super) struct Conditions(HashMap<String, BTreeMap<String, Condition>>);

impl Conditions {
    /// Takes in an object; returns an event for each condition that came, changed or went. `subject` names the object for people.
    pub(super) fn news(&mut self, subject: &str, object: Option<&DynamicObject>) -> Vec<What> {
        let now: BTreeMap<String, Condition> =
            object.map(ObjectExt::conditions).unwrap_or_default().into_iter().map(|c| (c.kind.clone(), c)).collect();
        let before = self.0.get(subject);
        let differs = |condition: &Condition| {
            let same =
                |old: &Condition| (&old.status, &old.reason, &old.message) == (&condition.status, &condition.reason, &condition.message);
            !before.and_then(|before| before.get(&condition.kind)).is_some_and(same)
        };
        let changed = now.values().filter(|condition| differs(condition)).map(|condition| What::ConditionChanged {
            object: subject.to_owned(),
            condition: condition.kind.clone(),
            status: Some(condition.status.clone()),
            category: Some(condition.category.clone()).filter(|text| !text.is_empty()),
            reason: condition.reason.clone().filter(|text| !text.is_empty()),
            message: Some(condition.message.clone()).filter(|text| !text.is_empty()),
        });
        let went = before.into_iter().flat_map(BTreeMap::keys).filter(|kind| !now.contains_key(*kind)).map(|kind| What::ConditionChanged {
            object: subject.to_owned(),
            condition: kind.clone(),
            status: None,
            category: None,
            reason: None,
            message: None,
        });
        let events = changed.chain(went).collect();
        self.0.insert(subject.to_owned(), now);
        events
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_that_come_change_and_go_are_reported_once() {
        let object = |conditions: serde_json::Value| -> DynamicObject {
            serde_json::from_value(json!({ "metadata": { "name": "p" }, "status": { "conditions": conditions } })).unwrap()
        };
        let condition = |kind: &str, message: &str| json!({ "type": kind, "status": "True", "category": "Critical", "message": message });
        let mut seen = Conditions::default();
        let mut news = |object: Option<&DynamicObject>| -> Vec<(String, Option<String>)> {
            let events = seen.news("Plan ns/p", object);
            let told = events.into_iter().map(|event| match event {
                What::ConditionChanged { condition, message, .. } => (condition, message),
                other => panic!("{other:?}"),
            });
            told.collect()
        };
        let text = |kind: &str, message: &str| (kind.to_owned(), Some(message.to_owned()));
        let first = object(json!([condition("VMNotFound", "vm-1"), condition("Ready", "x")]));
        assert_eq!(news(Some(&first)), [text("Ready", "x"), text("VMNotFound", "vm-1")]);
        assert_eq!(news(Some(&first)), []);
        let second = object(json!([condition("VMNotFound", "vm-2")]));
        assert_eq!(news(Some(&second)), [text("VMNotFound", "vm-2"), ("Ready".to_owned(), None)]);
        assert_eq!(news(None), [("VMNotFound".to_owned(), None)]);
    }
}
