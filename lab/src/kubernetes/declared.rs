//! Whether an applied object has the shape that its kind declares, in the words of server-side apply.

use serde_json::Value;

use super::{
    fields::{Guide, Merge, Structure, element},
    types::Shape,
};

/// Looks at an applied object.
///
/// # Errors
/// What does not fit, all of it.
pub fn check(guide: Guide<'_>, object: &Value) -> Result<(), String> {
    let mut errors = Vec::new();
    walk(guide, object, "", true, &mut errors);
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n{}", many.iter().map(|error| format!("  {error}")).collect::<Vec<_>>().join("\n"))),
    }
}

/// A value as Go shows it in full.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key:?}:{}", shown(value))).collect();
            pairs.sort();
            format!("map[string]interface {{}}{{{}}}", pairs.join(", "))
        }
        Value::Array(items) => format!("[]interface {{}}{{{}}}", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Null => "interface {}(nil)".to_owned(),
        other => other.to_string(),
    }
}

/// A value as Go shows it in short.
fn short(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", short(value))).collect();
            pairs.sort();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(short).collect::<Vec<_>>().join(" ")),
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "map[string]interface {}",
        Value::Array(_) => "[]interface {}",
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        _ => "<nil>",
    }
}

fn walk(guide: Guide<'_>, value: &Value, path: &str, top: bool, errors: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let place = if path.is_empty() { "." } else { path };
    match guide.structure() {
        Structure::Message(message) => {
            let Some(map) = value.as_object() else {
                errors.push(format!("{place}: expected map, got &{{{}}}", short(value)));
                return;
            };
            for (key, part) in map {
                if top && matches!(key.as_str(), "kind" | "apiVersion") {
                    continue;
                }
                let path = format!("{path}.{key}");
                if message.field(key).is_some() {
                    walk(guide.child(key), part, &path, false, errors);
                } else {
                    errors.push(format!("{path}: field not declared in schema"));
                }
            }
        }
        Structure::Field(field) => match field.shape {
            Shape::One => scalar(field.kind, value, place, errors),
            Shape::Map => match value.as_object() {
                Some(map) => {
                    for (key, part) in map {
                        walk(guide.item(), part, &format!("{path}.{key}"), false, errors);
                    }
                }
                None => errors.push(format!("{place}: expected map, got &{{{}}}", short(value))),
            },
            Shape::List => list(guide, value, path, errors),
        },
        Structure::Scalar(field) => scalar(field.kind, value, place, errors),
        Structure::Custom(schema) | Structure::Schema(schema) => match value {
            Value::Object(map) => {
                for (key, part) in map {
                    if top && matches!(key.as_str(), "kind" | "apiVersion") {
                        continue;
                    }
                    let path = format!("{path}.{key}");
                    if top && key == "metadata" || schema.field(key).is_some() {
                        walk(guide.child(key), part, &path, false, errors);
                    } else if !schema.preserve && schema.kind.is_some() {
                        errors.push(format!("{path}: field not declared in schema"));
                    }
                }
            }
            Value::Array(_) => list(guide, value, path, errors),
            value => {
                use super::schema::Type;
                let kind = match schema.kind {
                    Some(Type::String) => "string",
                    Some(Type::Boolean) => "bool",
                    Some(Type::Integer | Type::Number) => "int64",
                    Some(Type::Object) => {
                        errors.push(format!("{place}: expected map, got &{{{}}}", short(value)));
                        return;
                    }
                    Some(Type::Array) => {
                        errors.push(format!("{place}: expected list, got &{{{}}}", short(value)));
                        return;
                    }
                    None => return,
                };
                if !schema.int_or_string {
                    scalar(kind, value, place, errors);
                }
            }
        },
        Structure::Unknown => {}
    }
}

fn list(guide: Guide<'_>, value: &Value, path: &str, errors: &mut Vec<String>) {
    let Some(items) = value.as_array() else {
        errors.push(format!("{path}: expected list, got &{{{}}}", short(value)));
        return;
    };
    let merge = guide.merge(value);
    let mut known: Vec<String> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let name = match &merge {
            Merge::Keyed(keys) => element(item, keys),
            Merge::Set => format!("v:{item}"),
            _ => String::new(),
        };
        let place = if name.is_empty() { format!("[{index}]") } else { super::fields::shown(std::slice::from_ref(&name)) };
        if !name.is_empty() && known.contains(&name) {
            errors.push(format!("{path}: duplicate entries for key {place}"));
        }
        known.push(name);
        walk(guide.item(), item, &format!("{path}{place}"), false, errors);
    }
}

fn scalar(kind: &str, value: &Value, path: &str, errors: &mut Vec<String>) {
    let told = match kind {
        "string" | "bytes" | "meta.Time" | "meta.MicroTime" | "meta.Duration" if !value.is_string() => {
            format!("expected string, got &value.valueUnstructured{{Value:{}}}", shown(value))
        }
        "bool" if !value.is_boolean() => format!("expected boolean, got &{{{}}}", short(value)),
        "int32" | "int64" | "double" if !value.is_number() => format!("expected numeric (int or float), got {}", go_type(value)),
        _ => return,
    };
    errors.push(format!("{path}: {told}"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::types;

    #[test]
    fn what_does_not_fit_is_told() {
        let told =
            |group: &str, kind: &str, object: &Value| check(Guide::of_message(types::of_kind(group, kind).unwrap()), object).unwrap_err();
        assert_eq!(told("", "ConfigMap", &json!({ "kind": "ConfigMap", "bogus": 1 })), ".bogus: field not declared in schema");
        assert_eq!(
            told("", "ConfigMap", &json!({ "data": { "k": 1 } })),
            ".data.k: expected string, got &value.valueUnstructured{Value:1}"
        );
        let twice =
            json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "env": [{ "name": "A" }, { "name": "A" }] }] } } } });
        assert_eq!(
            told("apps", "Deployment", &twice),
            ".spec.template.spec.containers[name=\"c\"].env: duplicate entries for key [name=\"A\"]"
        );
    }
}
