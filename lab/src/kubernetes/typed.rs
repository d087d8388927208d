//! Built-in objects as Go's types read and write them: what does not fit is refused in the words of Go's decoder, unknown
//! fields fall out, and what is written has Go's fields in Go's order.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::{
    quantity::Quantity,
    types::{self, Field, Message, Shape},
};

/// What JSON's parts are called in Go's messages; numbers are shown with their text.
fn called(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    }
}

/// Reads an object as a type of the table: takes out what the type does not know, and tells its paths.
///
/// # Errors
/// The first thing that does not fit, as Go tells it.
pub fn read(message: &'static Message, object: &mut Value, unknown: &mut Vec<String>) -> Result<(), String> {
    let mut reader = Reader { fields: Vec::new(), saved: None, unknown };
    reader.message(message, object, "", true)?;
    reader.saved.map_or(Ok(()), Err)
}

/// The object as Go writes it: fields in Go's order, zeros where Go has no pointers, quantities in their canonical form.
pub fn write(message: &'static Message, object: &Value) -> Value {
    let mut out = Map::new();
    for field in ["kind", "apiVersion"] {
        if let Some(value) = object.get(field).filter(|value| !value.is_null()) {
            out.insert(field.to_owned(), value.clone());
        }
    }
    fill(message, object, &mut out);
    Value::Object(out)
}

/// An object of the type with nothing in it, as Go writes it.
pub fn empty(message: &'static Message) -> Value {
    write(message, &json!({}))
}

struct Reader<'a> {
    /// Names of the fields around.
    fields: Vec<&'a str>,
    /// The first value of a wrong type: reading goes on, and tells it at the end.
    saved: Option<String>,
    unknown: &'a mut Vec<String>,
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl Reader<'_> {
    fn misfit(&mut self, owner: &Message, value: &Value, shown: &str) {
        let place = self.fields.join(".");
        let found = called(value);
        self.saved.get_or_insert_with(|| {
            format!("json: cannot unmarshal {found} into Go struct field {}.{place} of type {shown}", owner.short())
        });
    }

    fn message(&mut self, message: &'static Message, value: &mut Value, path: &str, top: bool) -> Result<(), String> {
        let Value::Object(map) = value else { return Ok(()) };
        let keys: Vec<String> = map.keys().cloned().collect();
        for key in keys {
            if top && matches!(key.as_str(), "kind" | "apiVersion") {
                if map[&key].is_null() {
                    map.shift_remove(&key);
                }
                continue;
            }
            let here = joined(path, &key);
            let Some(field) = message.field(&key) else {
                map.shift_remove(&key);
                self.unknown.push(here);
                continue;
            };
            let Some(value) = map.get_mut(&key) else { continue };
            if value.is_null() {
                map.shift_remove(&key);
                continue;
            }
            self.fields.push(field.name);
            let read = self.field(message, field, value, &here);
            self.fields.pop();
            read?;
        }
        Ok(())
    }

    fn field(&mut self, owner: &'static Message, field: &'static Field, value: &mut Value, path: &str) -> Result<(), String> {
        match (field.shape, value) {
            (Shape::One, value) => self.one(owner, field, value, path),
            (Shape::List, Value::Array(items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.one(owner, field, item, &format!("{path}[{index}]"))?;
                }
                Ok(())
            }
            (Shape::Map, Value::Object(map)) => {
                for (key, item) in map.iter_mut() {
                    let path = joined(path, key);
                    match item {
                        Value::Array(items) if field.nested => {
                            for (index, item) in items.iter_mut().enumerate() {
                                self.one(owner, field, item, &format!("{path}[{index}]"))?;
                            }
                        }
                        item => self.one(owner, field, item, &path)?,
                    }
                }
                Ok(())
            }
            (_, value) => {
                self.misfit(owner, value, &field.shown());
                *value = Value::Null;
                Ok(())
            }
        }
    }

    fn one(&mut self, owner: &'static Message, field: &'static Field, value: &mut Value, path: &str) -> Result<(), String> {
        if value.is_null() {
            return Ok(());
        }
        let fits = match field.kind {
            "string" => value.is_string(),
            "bool" => value.is_boolean(),
            "double" => value.is_number(),
            "int32" | "int64" => {
                if let Value::Number(number) = &*value {
                    let most = if field.kind == "int32" { i64::from(i32::MAX) } else { i64::MAX };
                    if number.as_i64().is_none_or(|number| number > most || number < -most - 1) {
                        let place = self.fields.join(".");
                        let told = format!(
                            "json: cannot unmarshal number {number} into Go struct field {}.{place} of type {}",
                            owner.short(),
                            field.shown_item()
                        );
                        self.saved.get_or_insert(told);
                        *value = Value::Null;
                        return Ok(());
                    }
                }
                value.is_number()
            }
            "bytes" => match &*value {
                Value::String(text) => return bytes(text),
                _ => false,
            },
            "meta.Time" | "meta.MicroTime" => match &*value {
                Value::String(text) => return time(text, field.kind == "meta.MicroTime"),
                other => return Err(format!("json: cannot unmarshal {} into Go value of type string", called(other))),
            },
            "meta.Duration" => match &*value {
                Value::String(_) => true,
                other => return Err(format!("json: cannot unmarshal {} into Go value of type string", called(other))),
            },
            "resource.Quantity" => {
                let text = match &*value {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    other => other.to_string(),
                };
                return Quantity::parse(&text).map(|_| ()).map_err(str::to_owned);
            }
            "intstr.IntOrString" => match &*value {
                Value::String(_) => true,
                Value::Number(number) if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => true,
                Value::Number(number) => return Err(format!("json: cannot unmarshal number {number} into Go value of type int32")),
                other => return Err(format!("json: cannot unmarshal {} into Go value of type int32", called(other))),
            },
            "apiextensions.JSONSchemaPropsOrBool"
            | "apiextensions.JSONSchemaPropsOrArray"
            | "apiextensions.JSONSchemaPropsOrStringArray" => {
                return self.schema(value, path);
            }
            "meta.FieldsV1" | "runtime.RawExtension" | "apiextensions.JSON" => true,
            _ => match field.message() {
                Some(message) if value.is_object() => return self.message(message, value, path, false),
                _ => false,
            },
        };
        if !fits {
            let shown = field.shown_item();
            self.misfit(owner, value, &shown);
            *value = Value::Null;
        }
        Ok(())
    }

    /// A part of a JSON schema that may have several shapes.
    fn schema(&mut self, value: &mut Value, path: &str) -> Result<(), String> {
        let Some(message) = types::message("apiextensions.JSONSchemaProps") else { return Ok(()) };
        match value {
            Value::Object(_) => self.message(message, value, path, false),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.message(message, item, &format!("{path}[{index}]"), false)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn bytes(text: &str) -> Result<(), String> {
    match BASE64_STANDARD.decode(text) {
        Ok(_) => Ok(()),
        Err(_) => {
            let good = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/');
            let body = text.trim_end_matches('=');
            let at = body.bytes().position(|byte| !good(byte)).unwrap_or_else(|| body.len() / 4 * 4);
            Err(format!("illegal base64 data at input byte {at}"))
        }
    }
}

/// A time, as Go parses it: the part that it could not read stands in the message.
fn time(text: &str, micro: bool) -> Result<(), String> {
    if text.is_empty() || text.parse::<jiff::Timestamp>().is_ok() {
        return Ok(());
    }
    let layout = if micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = if digits >= 4 { &text[4..] } else { text };
    let wanted = if digits >= 4 { "-" } else { "2006" };
    Err(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {wanted:?}"))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Whether a type is a struct in Go, which `omitempty` does not leave out.
fn is_struct(field: &Field) -> bool {
    field.kind.contains('.') && !matches!(field.kind, "meta.FieldsV1" | "runtime.RawExtension" | "apiextensions.JSON")
}

fn fill(message: &'static Message, object: &Value, out: &mut Map<String, Value>) {
    for field in message.all() {
        let value = object.get(field.name).unwrap_or(&Value::Null);
        let written = match field.shape {
            Shape::One if field.pointer => match value {
                Value::Null if field.omit_empty || field.omit_zero => continue,
                Value::Null => Value::Null,
                value => one(field, value),
            },
            Shape::One if is_struct(field) => {
                if value.is_null() && field.omit_zero {
                    continue;
                }
                one(field, value)
            }
            Shape::One => {
                if is_zero(value) && field.omit_empty {
                    continue;
                }
                one(field, value)
            }
            Shape::List | Shape::Map => {
                if is_zero(value) && field.omit_empty {
                    continue;
                }
                match value {
                    Value::Array(items) => items.iter().map(|item| one(field, item)).collect(),
                    Value::Object(map) => map.iter().map(|(key, item)| (key.clone(), in_map(field, item))).collect::<Map<_, _>>().into(),
                    _ => Value::Null,
                }
            }
        };
        out.insert(field.name.to_owned(), written);
    }
}

fn in_map(field: &'static Field, item: &Value) -> Value {
    match item {
        Value::Array(items) if field.nested => items.iter().map(|item| one(field, item)).collect(),
        // A list of resources is kept in thousandths.
        item if field.kind == "resource.Quantity" => quantity(item, true),
        item => one(field, item),
    }
}

fn quantity(value: &Value, thousandths: bool) -> Value {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match Quantity::parse(&text) {
        Ok(quantity) if thousandths => quantity.in_thousandths().text().into(),
        Ok(quantity) => quantity.text().into(),
        Err(_) => "0".into(),
    }
}

fn one(field: &'static Field, value: &Value) -> Value {
    match (field.kind, value) {
        ("string", Value::Null) => "".into(),
        ("bool", Value::Null) => false.into(),
        ("int32" | "int64" | "double" | "intstr.IntOrString", Value::Null) => 0.into(),
        ("resource.Quantity", value) => quantity(value, false),
        ("meta.Time" | "meta.MicroTime", Value::String(text)) => match text.parse::<jiff::Timestamp>() {
            Ok(time) if field.kind == "meta.Time" => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into(),
            Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string().into(),
            Err(_) => Value::Null,
        },
        ("meta.Duration", Value::Null) => "0s".into(),
        (
            "apiextensions.JSONSchemaPropsOrBool" | "apiextensions.JSONSchemaPropsOrArray" | "apiextensions.JSONSchemaPropsOrStringArray",
            value,
        ) => {
            let Some(message) = types::message("apiextensions.JSONSchemaProps") else { return value.clone() };
            match value {
                Value::Object(_) => part(message, value),
                Value::Array(items) if items.iter().all(Value::is_object) => items.iter().map(|item| part(message, item)).collect(),
                other => other.clone(),
            }
        }
        (_, value) => match field.message() {
            Some(message) => part(message, value),
            None => value.clone(),
        },
    }
}

fn part(message: &'static Message, value: &Value) -> Value {
    let mut out = Map::new();
    fill(message, value, &mut out);
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> &'static Message {
        types::of_kind("", "Pod").unwrap()
    }

    #[test]
    fn an_empty_object_has_what_go_cannot_leave_out() {
        assert_eq!(empty(types::of_kind("", "ConfigMap").unwrap()), json!({ "metadata": {} }));
        assert_eq!(empty(types::of_kind("rbac.authorization.k8s.io", "Role").unwrap()), json!({ "metadata": {}, "rules": null }));
        let deployment = empty(types::of_kind("apps", "Deployment").unwrap());
        assert_eq!(
            deployment,
            json!({ "metadata": {}, "spec": { "selector": null, "template": { "metadata": {}, "spec": { "containers": null } }, "strategy": {} }, "status": {} })
        );
    }

    #[test]
    fn what_does_not_fit_is_told_as_go_does() {
        for (object, told) in [
            (
                json!({ "metadata": { "labels": { "a": true } } }),
                "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                json!({ "spec": { "containers": [{ "args": [1] }] } }),
                "json: cannot unmarshal number into Go struct field Container.spec.containers.args of type string",
            ),
            (
                json!({ "spec": { "containers": {} } }),
                "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
            ),
            (
                json!({ "spec": { "restartPolicy": 5 } }),
                "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
            ),
            (
                json!({ "spec": { "priority": 1.5 } }),
                "json: cannot unmarshal number 1.5 into Go struct field PodSpec.spec.priority of type int32",
            ),
            (json!({ "spec": "x" }), "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec"),
            (
                json!({ "metadata": { "creationTimestamp": "yesterday" } }),
                "parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"yesterday\" as \"2006\"",
            ),
        ] {
            assert_eq!(read(pod(), &mut object.clone(), &mut Vec::new()), Err(told.to_owned()));
        }
    }

    #[test]
    fn unknown_fields_are_told_and_nulls_go() {
        let mut object = json!({ "kind": "Pod", "metadata": { "name": "a", "labels": null, "odd": 1 }, "spec": { "containers": [{ "name": "c", "more": {} }] }, "extra": [] });
        let mut unknown = Vec::new();
        read(pod(), &mut object, &mut unknown).unwrap();
        assert_eq!(unknown, ["metadata.odd", "spec.containers[0].more", "extra"]);
        assert_eq!(object, json!({ "kind": "Pod", "metadata": { "name": "a" }, "spec": { "containers": [{ "name": "c" }] } }));
    }

    #[test]
    fn fields_come_in_gos_order_and_form() {
        let object = json!({ "spec": { "containers": [{ "resources": { "limits": { "cpu": 0.5, "memory": "1024Mi" } }, "name": "c" }], "hostNetwork": false },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] }, "metadata": { "name": "a" }, "apiVersion": "v1", "kind": "Pod" });
        let text = write(pod(), &object).to_string();
        assert_eq!(
            text,
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"500m","memory":"1Gi"}}}]},"status":{"conditions":[{"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":null}]}}"#
        );
    }
}
