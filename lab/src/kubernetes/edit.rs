//! JSON Patch (RFC 6902), as the library of the real server understands it: more lenient than the RFC in some places.

use serde_json::{Map, Value};

/// A patch that does not fit the object. The real server keeps the reason to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit;

/// Carries out operations in their order.
///
/// # Errors
/// One of them cannot be carried out.
pub fn apply(object: &mut Value, operations: &[Value]) -> Result<(), Unfit> {
    for operation in operations {
        let operation = operation.as_object().ok_or(Unfit)?;
        let text = |key: &str| operation.get(key).and_then(Value::as_str).ok_or(Unfit);
        let value = || operation.get("value").cloned().unwrap_or_default();
        let path = text("path")?;
        match text("op")? {
            "add" => add(object, path, value())?,
            "remove" => remove(object, path)?,
            "replace" if path.is_empty() => {
                let value = value();
                if !value.is_object() && !value.is_array() {
                    return Err(Unfit);
                }
                *object = value;
            }
            "replace" => replace(object, path, value())?,
            "move" => {
                let from = text("from")?;
                let moved = get(object, from)?.unwrap_or_default();
                remove(object, from)?;
                add(object, path, moved)?;
            }
            "copy" => {
                let copied = get(object, text("from")?)?.unwrap_or_default();
                add(object, path, copied)?;
            }
            "test" if path.is_empty() => {
                if *object != value() {
                    return Err(Unfit);
                }
            }
            "test" => {
                if get(object, path)?.unwrap_or_default() != value() {
                    return Err(Unfit);
                }
            }
            _ => return Err(Unfit),
        }
    }
    Ok(())
}

/// The object or list in which a path ends, and the last part of the path.
fn parent<'a>(object: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), Unfit> {
    let decoded = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let (last, parts) = parts.split_last().ok_or(Unfit)?;
    let mut at = object;
    for part in parts {
        let part = decoded(part);
        at = match at {
            Value::Object(map) => map.get_mut(&part).filter(|next| !next.is_null()).ok_or(Unfit)?,
            Value::Array(items) => {
                let index = index(&part, items.len())?;
                items.get_mut(index).ok_or(Unfit)?
            }
            _ => return Err(Unfit),
        };
    }
    Ok((at, decoded(last)))
}

/// A place in a list of this length; negative ones count from its end.
fn index(part: &str, length: usize) -> Result<usize, Unfit> {
    let number: i64 = part.parse().map_err(|_| Unfit)?;
    let length = i64::try_from(length).map_err(|_| Unfit)?;
    usize::try_from(if number < 0 { number + length } else { number }).map_err(|_| Unfit)
}

fn get(object: &mut Value, path: &str) -> Result<Option<Value>, Unfit> {
    Ok(match parent(object, path)? {
        (Value::Object(map), key) => map.get(&key).cloned(),
        (Value::Array(items), key) => Some(items.get(index(&key, items.len())?).ok_or(Unfit)?.clone()),
        _ => return Err(Unfit),
    })
}

fn add(object: &mut Value, path: &str, value: Value) -> Result<(), Unfit> {
    match parent(object, path)? {
        (Value::Object(map), key) => insert(map, key, value),
        (Value::Array(items), key) if key == "-" => items.push(value),
        (Value::Array(items), key) => {
            let index = index(&key, items.len() + 1)?;
            if index > items.len() {
                return Err(Unfit);
            }
            items.insert(index, value);
        }
        _ => return Err(Unfit),
    }
    Ok(())
}

fn insert(map: &mut Map<String, Value>, key: String, value: Value) {
    map.insert(key, value);
}

fn replace(object: &mut Value, path: &str, value: Value) -> Result<(), Unfit> {
    match parent(object, path)? {
        // What is not there yet is no mistake.
        (Value::Object(map), key) => insert(map, key, value),
        (Value::Array(items), key) => {
            let index = index(&key, items.len())?;
            *items.get_mut(index).ok_or(Unfit)? = value;
        }
        _ => return Err(Unfit),
    }
    Ok(())
}

fn remove(object: &mut Value, path: &str) -> Result<(), Unfit> {
    match parent(object, path)? {
        (Value::Object(map), key) => {
            map.shift_remove(&key).ok_or(Unfit)?;
        }
        (Value::Array(items), key) => {
            let index = index(&key, items.len())?;
            if index >= items.len() {
                return Err(Unfit);
            }
            items.remove(index);
        }
        _ => return Err(Unfit),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_operation() {
        let start = json!({ "a": { "b": 1 }, "l": [1, 2] });
        for (operation, end) in [
            (json!({ "op": "add", "path": "/a/c", "value": 2 }), Some(json!({ "a": { "b": 1, "c": 2 }, "l": [1, 2] }))),
            (json!({ "op": "add", "path": "/l/-", "value": 3 }), Some(json!({ "a": { "b": 1 }, "l": [1, 2, 3] }))),
            (json!({ "op": "add", "path": "/l/0", "value": 3 }), Some(json!({ "a": { "b": 1 }, "l": [3, 1, 2] }))),
            (json!({ "op": "add", "path": "/l/-1", "value": 3 }), Some(json!({ "a": { "b": 1 }, "l": [1, 2, 3] }))),
            (json!({ "op": "add", "path": "/l/9", "value": 3 }), None),
            (json!({ "op": "add", "path": "/x/y", "value": 3 }), None),
            (json!({ "op": "remove", "path": "/a/b" }), Some(json!({ "a": {}, "l": [1, 2] }))),
            (json!({ "op": "remove", "path": "/a/c" }), None),
            (json!({ "op": "remove", "path": "/l/-1" }), Some(json!({ "a": { "b": 1 }, "l": [1] }))),
            (json!({ "op": "replace", "path": "/a/c", "value": 2 }), Some(json!({ "a": { "b": 1, "c": 2 }, "l": [1, 2] }))),
            (json!({ "op": "replace", "path": "/l/2", "value": 2 }), None),
            (json!({ "op": "copy", "from": "/a/none", "path": "/a/c" }), Some(json!({ "a": { "b": 1, "c": null }, "l": [1, 2] }))),
            (json!({ "op": "move", "from": "/a/b", "path": "/l/1" }), Some(json!({ "a": {}, "l": [1, 1, 2] }))),
            (json!({ "op": "move", "from": "/a/none", "path": "/a/c" }), None),
            (json!({ "op": "test", "path": "/a/b", "value": 1 }), Some(start.clone())),
            (json!({ "op": "test", "path": "/a/none", "value": null }), Some(start.clone())),
            (json!({ "op": "test", "path": "/a/b", "value": 2 }), None),
            (json!({ "op": "add" }), None),
            (json!({ "op": "twist", "path": "/a" }), None),
        ] {
            let mut object = start.clone();
            let result = apply(&mut object, std::slice::from_ref(&operation));
            assert_eq!(result.ok().map(|()| object), end, "{operation}");
        }
    }
}
