//! Events of both groups are the same objects: how those of `events.k8s.io` are read and written.

use serde_json::{Map, Value};

/// Fields of `events.k8s.io` and of the core group, as `core, other`; what is called alike is not here.
const NAMES: [(&str, &str); 7] = [
    ("reportingComponent", "reportingController"),
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

fn renamed(event: &Value, api_version: &str, name: impl Fn(&str) -> String) -> Value {
    let mut out = Map::new();
    for (key, value) in event.as_object().into_iter().flatten() {
        out.insert(name(key), value.clone());
    }
    out.insert("apiVersion".to_owned(), api_version.into());
    Value::Object(out)
}

/// An event of the core group as one of `events.k8s.io`.
pub fn from_core(event: &Value) -> Value {
    let name = |key: &str| NAMES.iter().find(|(core, _)| *core == key).map_or(key, |(_, other)| other).to_owned();
    renamed(event, "events.k8s.io/v1", name)
}

/// The way back.
pub fn to_core(event: &Value) -> Value {
    let name = |key: &str| NAMES.iter().find(|(_, other)| *other == key).map_or(key, |(core, _)| core).to_owned();
    renamed(event, "v1", name)
}

/// The field of the core group that a selector of `events.k8s.io` means.
pub fn core_field(field: &str) -> String {
    match field.strip_prefix("regarding.") {
        Some(rest) => format!("involvedObject.{rest}"),
        None if field == "reportingController" => "reportingComponent".to_owned(),
        None => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn there_and_back() {
        let core = json!({ "kind": "Event", "apiVersion": "v1", "metadata": { "name": "e" }, "involvedObject": { "kind": "Pod" }, "message": "m",
            "source": { "component": "c" }, "firstTimestamp": null, "count": 3, "reportingComponent": "r", "reason": "R" });
        let other = from_core(&core);
        assert_eq!((&other["regarding"]["kind"], &other["note"], &other["deprecatedCount"]), (&json!("Pod"), &json!("m"), &json!(3)));
        assert!(other.get("message").is_none());
        assert_eq!(to_core(&other), core);
        assert_eq!(core_field("regarding.name"), "involvedObject.name");
    }
}
