//! Strategic merge patch, for the built-in kinds.
//!
//! Lists merge by a key that the kind's type declares, or as sets; every other list is replaced as a whole.

use serde_json::{Map, Value};

use super::types::{Field, Message, PatchKind, Shape};

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_VALUES: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Merges `patch` into `object`, an object of this type.
///
/// # Errors
/// A directive that does not exist or that lacks its key.
pub fn merge(object: &mut Value, patch: &Value, message: &'static Message) -> Result<(), String> {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => merge_maps(object, patch, Some(message)),
        (object, patch) => {
            *object = patch.clone();
            Ok(())
        }
    }
}

fn unknown_directive(directive: &Value) -> String {
    format!("invalid value for Patch directive: {}", go(directive))
}

fn merge_maps(object: &mut Map<String, Value>, patch: &Map<String, Value>, message: Option<&'static Message>) -> Result<(), String> {
    match patch.get(DIRECTIVE) {
        None => {}
        Some(directive) => match directive.as_str() {
            Some("merge") => {}
            Some("replace") => {
                object.clear();
                object.extend(patch.iter().filter(|(key, _)| *key != DIRECTIVE).map(|(key, value)| (key.clone(), value.clone())));
                return Ok(());
            }
            Some("delete") => {
                object.clear();
                return Ok(());
            }
            _ => return Err(unknown_directive(directive)),
        },
    }
    if let Some(kept) = patch.get(RETAIN).and_then(Value::as_array) {
        object.retain(|key, _| kept.iter().any(|name| name == key));
    }
    let field_of = |key: &str| message.and_then(|message| message.field(key));
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(DELETE_VALUES) {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (object.get_mut(field), value) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if key.starts_with('$') {
            continue;
        }
        let field = field_of(key);
        // A map has no fields, but what stands in it may have.
        let inner = field.and_then(|field| field.message().filter(|_| field.shape == Shape::One));
        match (object.get_mut(key), value) {
            (_, Value::Null) => {
                object.shift_remove(key);
            }
            (Some(Value::Object(old)), Value::Object(new)) => {
                merge_maps(old, new, inner)?;
                if new.get(DIRECTIVE).is_some_and(|directive| directive == "delete") {
                    object.shift_remove(key);
                }
            }
            (Some(Value::Array(old)), Value::Array(new)) => *old = merged_list(old, new, field)?,
            (_, Value::Array(new)) => {
                let list = merged_list(&[], new, field)?;
                object.insert(key.clone(), Value::Array(list));
            }
            (_, Value::Object(new)) => {
                let mut old = Map::new();
                merge_maps(&mut old, new, inner)?;
                object.insert(key.clone(), Value::Object(old));
            }
            (_, new) => {
                object.insert(key.clone(), new.clone());
            }
        }
    }
    for (key, order) in patch {
        if let (Some(name), Value::Array(order)) = (key.strip_prefix(ORDER), order)
            && let Some(Value::Array(items)) = object.get_mut(name)
        {
            let field = field_of(name);
            if let Some(Value::Array(patched)) = patch.get(name) {
                in_order(patched, order, field, name)?;
            }
            let all = core::mem::take(items);
            let before = all.clone();
            *items = ordered(all, order, &before, field);
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

fn key_of(field: Option<&'static Field>) -> Option<&'static str> {
    match field?.patch {
        PatchKind::ByKey(key) => Some(key),
        _ => None,
    }
}

/// What an element is told apart by.
fn identity<'a>(item: &'a Value, field: Option<&'static Field>) -> &'a Value {
    key_of(field).map_or(item, |key| &item[key])
}

fn merged_list(old: &[Value], new: &[Value], field: Option<&'static Field>) -> Result<Vec<Value>, String> {
    if field.is_some_and(|field| field.patch == PatchKind::Values) {
        let fresh = new.iter().filter(|item| !old.contains(item)).cloned();
        let all: Vec<Value> = old.iter().cloned().chain(fresh).collect();
        return Ok(ordered(all, new, old, field));
    }
    let Some(key) = key_of(field).filter(|_| new.iter().all(Value::is_object)) else { return Ok(new.to_vec()) };
    if new.iter().any(|item| item[DIRECTIVE] == "replace") {
        return Ok(new.iter().filter(|item| item[DIRECTIVE] != "replace").cloned().collect());
    }
    let message = field.and_then(Field::message);
    let mut all = old.to_vec();
    for item in new {
        let Some(id) = item.get(key) else {
            return Err(format!("map: {} does not contain declared merge key: {key}", go(item)));
        };
        match item.get(DIRECTIVE).map(|directive| (directive, directive.as_str())) {
            None | Some((_, Some("merge"))) => {}
            Some((_, Some("delete"))) => {
                all.retain(|candidate| candidate.get(key) != Some(id));
                continue;
            }
            Some((directive, _)) => return Err(unknown_directive(directive)),
        }
        let Value::Object(item) = item else { continue };
        let found = all.iter_mut().find(|candidate| candidate.get(key) == Some(id)).and_then(Value::as_object_mut);
        if let Some(existing) = found {
            merge_maps(existing, item, message)?;
        } else {
            let mut fresh = Map::new();
            merge_maps(&mut fresh, item, message)?;
            all.push(Value::Object(fresh));
        }
    }
    let named: Vec<Value> = new.iter().filter(|item| item[DIRECTIVE] != "delete").cloned().collect();
    Ok(ordered(all, &named, old, field))
}

/// Puts what the patch names in the patch's order, and what stood there alone where it was among it.
fn ordered(all: Vec<Value>, order: &[Value], before: &[Value], field: Option<&'static Field>) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| list.iter().position(|other| identity(other, field) == identity(item, field));
    let (mut named, mut rest): (Vec<Value>, Vec<Value>) = all.into_iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    rest.sort_by_key(|item| place(before, item).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(named.len() + rest.len());
    let (mut named, mut rest) = (named.into_iter().peekable(), rest.into_iter().peekable());
    loop {
        let first = match (rest.peek(), named.peek()) {
            (None, None) => return out,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(rest), Some(named)) => match (place(before, rest), place(before, named)) {
                (Some(rest), Some(named)) => rest < named,
                _ => false,
            },
        };
        out.extend(if first { rest.next() } else { named.next() });
    }
}

/// The order of a patch must be that of its directive.
fn in_order(patched: &[Value], order: &[Value], field: Option<&'static Field>, name: &str) -> Result<(), String> {
    let place = |item: &Value| order.iter().position(|other| identity(other, field) == identity(item, field));
    let named: Vec<&Value> = patched.iter().filter(|item| item[DIRECTIVE] != "delete").collect();
    let places: Vec<Option<usize>> = named.iter().map(|item| place(item)).collect();
    if places.iter().all(Option::is_some) && places.is_sorted() {
        return Ok(());
    }
    Err(format!(
        "The order in patch list:\n{}\n doesn't match {ORDER}{name} list:\n{}\n",
        go(&Value::from(patched.to_vec())),
        go(&Value::from(order.to_vec()))
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::kubernetes::types;

    fn merged(mut object: Value, patch: &Value, kind: &str) -> Value {
        merge(&mut object, patch, types::of_kind("", kind).unwrap()).unwrap();
        object
    }

    #[test]
    fn lists_merge_by_their_key() {
        let pod =
            json!({ "spec": { "containers": [{ "name": "a", "image": "1" }, { "name": "b", "image": "1" }], "tolerations": [1, 2] } });
        let patch = json!({ "spec": { "containers": [{ "name": "a", "image": "2" }, { "name": "c", "image": "3" }, { "name": "b", "$patch": "delete" }], "tolerations": [3] } });
        let expected =
            json!({ "spec": { "containers": [{ "name": "a", "image": "2" }, { "name": "c", "image": "3" }], "tolerations": [3] } });
        assert_eq!(merged(pod, &patch, "Pod"), expected);
    }

    #[test]
    fn what_a_patch_names_keeps_the_patchs_order() {
        let pod =
            |names: &[&str]| json!({ "spec": { "containers": names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() } });
        let mut patch = pod(&["c", "a"]);
        assert_eq!(merged(pod(&["a", "b", "c"]), &patch, "Pod"), pod(&["b", "c", "a"]));
        patch["spec"]["$setElementOrder/containers"] = json!([{ "name": "c" }, { "name": "b" }, { "name": "a" }]);
        assert_eq!(merged(pod(&["a", "b", "c"]), &patch, "Pod"), pod(&["c", "b", "a"]));
        patch["spec"]["$setElementOrder/containers"] = json!([{ "name": "a" }, { "name": "c" }]);
        let refused = merge(&mut pod(&["a", "b"]), &patch, types::of_kind("", "Pod").unwrap()).unwrap_err();
        assert!(refused.starts_with("The order in patch list:\n[map[name:c] map[name:a]]"), "{refused}");
    }

    #[test]
    fn directives() {
        let object = json!({ "metadata": { "finalizers": ["a", "b"], "labels": { "x": "1", "y": "2" } }, "data": { "k": "v" } });
        let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"], "labels": { "$patch": "replace", "z": "3" } }, "data": null });
        assert_eq!(merged(object, &patch, "ConfigMap"), json!({ "metadata": { "finalizers": ["c", "b"], "labels": { "z": "3" } } }));
        let pod = types::of_kind("", "Pod").unwrap();
        assert!(merge(&mut json!({}), &json!({ "$patch": "what" }), pod).is_err());
        assert!(merge(&mut json!({}), &json!({ "spec": { "containers": [{ "image": "x" }] } }), pod).is_err());
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
