//! Strategic merge patch, for the built-in kinds.
//!
//! Lists merge by a key that the kind's type declares. The table holds the lists of the kinds that the server knows;
//! every other list is replaced as a whole.

use serde_json::{Map, Value};

/// List fields that merge: name of the field, name of the field it stands in (empty: any), merge key.
const MERGE_KEYS: &[(&str, &str, &str)] = &[
    ("containers", "", "name"),
    ("initContainers", "", "name"),
    ("ephemeralContainers", "", "name"),
    ("volumes", "", "name"),
    ("env", "", "name"),
    ("volumeMounts", "", "mountPath"),
    ("volumeDevices", "", "devicePath"),
    ("hostAliases", "", "ip"),
    ("imagePullSecrets", "", "name"),
    ("topologySpreadConstraints", "", "topologyKey"),
    ("resourceClaims", "", "name"),
    ("conditions", "status", "type"),
    ("addresses", "status", "type"),
    ("ownerReferences", "metadata", "uid"),
    ("secrets", "", "name"),
    ("podIPs", "status", "ip"),
    ("hostIPs", "status", "ip"),
];

/// Lists of scalars that merge as sets.
const SETS: &[(&str, &str)] = &[("finalizers", "metadata"), ("finalizers", "spec"), ("podCIDRs", "spec")];

/// The key by which a list merges.
pub fn merge_key(field: &str, parent: &str, kind: &str) -> Option<&'static str> {
    // Ports of a container merge by containerPort, those of a service by port.
    if field == "ports" {
        return Some(if kind == "Service" { "port" } else { "containerPort" });
    }
    if field == "taints" || field == "tolerations" {
        return None;
    }
    // Secrets are a list of references in a ServiceAccount only.
    if field == "secrets" && kind != "ServiceAccount" {
        return None;
    }
    // Conditions of CustomResourceDefinitions and APIServices: only the latter merge.
    if field == "conditions" && kind == "CustomResourceDefinition" {
        return None;
    }
    MERGE_KEYS.iter().find(|(name, within, _)| *name == field && (within.is_empty() || *within == parent)).map(|(.., key)| *key)
}

/// Whether a list of scalars merges as a set.
pub fn is_set(field: &str, parent: &str) -> bool {
    SETS.iter().any(|(name, within)| *name == field && *within == parent)
}

/// Merges `patch` into `object`, an object of this built-in kind.
///
/// # Errors
/// A directive that does not exist or that lacks its key.
pub fn merge(object: &mut Value, patch: &Value, kind: &str) -> Result<(), String> {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => merge_maps(object, patch, "", kind),
        (object, patch) => {
            *object = patch.clone();
            Ok(())
        }
    }
}

fn merge_maps(object: &mut Map<String, Value>, patch: &Map<String, Value>, parent: &str, kind: &str) -> Result<(), String> {
    match patch.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            object.clear();
            object.extend(patch.iter().filter(|(key, _)| *key != "$patch").map(|(key, value)| (key.clone(), value.clone())));
            return Ok(());
        }
        Some("delete") => {
            object.clear();
            return Ok(());
        }
        Some(other) => return Err(format!("Unknown patch type found: {other}")),
    }
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        object.retain(|key, _| kept.iter().any(|name| name == key));
    }
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (object.get_mut(field), value) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        // The order of merged lists is not kept: no client of the lab relies on it.
        if key.starts_with('$') {
            continue;
        }
        match (object.get_mut(key), value) {
            (_, Value::Null) => {
                object.shift_remove(key);
            }
            (Some(Value::Object(old)), Value::Object(new)) => {
                merge_maps(old, new, key, kind)?;
                if new.get("$patch").is_some_and(|directive| directive == "delete") {
                    object.shift_remove(key);
                }
            }
            (Some(Value::Array(old)), Value::Array(new)) => merge_lists(old, new, key, parent, kind)?,
            (_, Value::Array(new)) => {
                let mut old = Vec::new();
                merge_lists(&mut old, new, key, parent, kind)?;
                object.insert(key.clone(), Value::Array(old));
            }
            (_, Value::Object(new)) => {
                let mut old = Map::new();
                merge_maps(&mut old, new, key, kind)?;
                object.insert(key.clone(), Value::Object(old));
            }
            (_, new) => {
                object.insert(key.clone(), new.clone());
            }
        }
    }
    Ok(())
}

/// A value as Go prints it.
fn go(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", go(value))).collect();
            pairs.sort();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

fn merge_lists(old: &mut Vec<Value>, new: &[Value], field: &str, parent: &str, kind: &str) -> Result<(), String> {
    if is_set(field, parent) {
        // What is new comes first, as the real server orders it.
        let fresh: Vec<Value> = new.iter().filter(|item| !old.contains(item)).cloned().collect();
        old.splice(0..0, fresh);
        return Ok(());
    }
    let Some(key) = merge_key(field, parent, kind).filter(|_| new.iter().all(Value::is_object)) else {
        *old = new.to_vec();
        return Ok(());
    };
    if new.iter().any(|item| item["$patch"] == "replace") {
        *old = new.iter().filter(|item| item["$patch"] != "replace").cloned().collect();
        return Ok(());
    }
    for item in new {
        let Some(id) = item.get(key) else {
            return Err(format!("map: {} does not contain declared merge key: {key}", go(item)));
        };
        let found = old.iter().position(|candidate| candidate.get(key) == Some(id));
        if item["$patch"] == "delete" {
            old.retain(|candidate| candidate.get(key) != Some(id));
            continue;
        }
        let Value::Object(item) = item else { continue };
        if let Some(existing) = found.and_then(|index| old[index].as_object_mut()) {
            merge_maps(existing, item, field, kind)?;
        } else {
            let mut fresh = Map::new();
            merge_maps(&mut fresh, item, field, kind)?;
            old.push(Value::Object(fresh));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn merged(mut object: Value, patch: &Value, kind: &str) -> Value {
        merge(&mut object, patch, kind).unwrap();
        object
    }

    #[test]
    fn lists_merge_by_their_key() {
        let pod = json!({ "spec": { "containers": [{ "name": "a", "image": "1" }, { "name": "b", "image": "1" }], "args": [1, 2] } });
        let patch = json!({ "spec": { "containers": [{ "name": "a", "image": "2" }, { "name": "c", "image": "3" }, { "name": "b", "$patch": "delete" }], "args": [3] } });
        let expected = json!({ "spec": { "containers": [{ "name": "a", "image": "2" }, { "name": "c", "image": "3" }], "args": [3] } });
        assert_eq!(merged(pod, &patch, "Pod"), expected);
    }

    #[test]
    fn directives() {
        let object = json!({ "metadata": { "finalizers": ["a", "b"], "labels": { "x": "1", "y": "2" } }, "data": { "k": "v" } });
        let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"], "labels": { "$patch": "replace", "z": "3" } }, "data": null });
        assert_eq!(merged(object, &patch, "ConfigMap"), json!({ "metadata": { "finalizers": ["c", "b"], "labels": { "z": "3" } } }));
        assert!(merge(&mut json!({}), &json!({ "$patch": "what" }), "Pod").is_err());
        assert!(merge(&mut json!({}), &json!({ "spec": { "containers": [{ "image": "x" }] } }), "Pod").is_err());
    }

    fn document() -> impl Strategy<Value = Value> {
        let container = ("[a-c]", "[x-z]").prop_map(|(name, image)| json!({ "name": name, "image": image }));
        (proptest::collection::btree_map("[a-c]", "[x-z]", 0..3), proptest::collection::vec(container, 0..3)).prop_map(
            |(labels, mut containers)| {
                containers.sort_by_key(|c| c["name"].to_string());
                containers.dedup_by_key(|c| c["name"].to_string());
                json!({ "metadata": { "labels": labels }, "spec": { "containers": containers } })
            },
        )
    }

    proptest! {
        #[test]
        fn a_patch_is_idempotent(object in document(), patch in document()) {
            let once = merged(object, &patch, "Pod");
            prop_assert_eq!(merged(once.clone(), &patch, "Pod"), once);
        }

        #[test]
        fn an_object_patched_with_itself_stays(object in document()) {
            prop_assert_eq!(merged(object.clone(), &object, "Pod"), object);
        }
    }
}
