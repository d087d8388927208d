//! Kubernetes' protobuf bodies, read only: kubectl and client-go send them for the built-in kinds. Answers are JSON.
//!
//! The table beside this file holds names and numbers of fields; an unknown number is skipped, as protobuf wants it.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::types::{self, Field, Message, Shape};

/// What a protobuf body of Kubernetes begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Deepest nesting that is read: a JSON schema of the real API has at most a dozen levels.
const DEPTH: usize = 64;

/// One value on the wire.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Reads the values of a message one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Number and value of the next field; none at the end.
    fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let broken = || "unexpected EOF".to_owned();
        let tag = self.varint().ok_or_else(broken)?;
        let value = match tag & 7 {
            0 => Wire::Number(self.varint().ok_or_else(broken)?),
            1 => Wire::Number(u64::from_le_bytes(self.take(8).ok_or_else(broken)?.try_into().map_err(|_| broken())?)),
            2 => {
                let length = usize::try_from(self.varint().ok_or_else(broken)?).map_err(|_| broken())?;
                Wire::Bytes(self.take(length).ok_or_else(broken)?)
            }
            5 => Wire::Number(u32::from_le_bytes(self.take(4).ok_or_else(broken)?.try_into().map_err(|_| broken())?).into()),
            other => return Err(format!("proto: illegal wireType {other}")),
        };
        Ok(Some((tag >> 3, value)))
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "proto: a string is not UTF-8".to_owned())
}

fn signed(number: u64) -> i64 {
    i64::from_ne_bytes(number.to_ne_bytes())
}

/// Scalars of a small message by field number.
fn scalars(bytes: &[u8]) -> Result<HashMap<u64, Wire<'_>>, String> {
    let mut reader = Reader(bytes);
    let mut found = HashMap::new();
    while let Some((number, value)) = reader.next()? {
        found.insert(number, value);
    }
    Ok(found)
}

/// Seconds and nanoseconds as RFC 3339; the zero time is null.
fn moment(bytes: &[u8], micro: bool) -> Result<Value, String> {
    let found = scalars(bytes)?;
    let number = |field: u64| match found.get(&field) {
        Some(Wire::Number(number)) => signed(*number),
        _ => 0,
    };
    // Go's zero time is the year 1; an absent message has no fields at all.
    if found.is_empty() || number(1) < -62_000_000_000 {
        return Ok(Value::Null);
    }
    let nanos = i32::try_from(number(2)).unwrap_or_default();
    let moment = jiff::Timestamp::new(number(1), nanos).map_err(|error| error.to_string())?;
    let format = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Ok(moment.strftime(format).to_string().into())
}

fn message(kind: &str, bytes: &[u8], depth: usize) -> Result<Value, String> {
    if depth > DEPTH {
        return Err("proto: nested too deeply".to_owned());
    }
    match kind {
        "meta.Time" => return moment(bytes, false),
        "meta.MicroTime" => return moment(bytes, true),
        "resource.Quantity" => {
            return Ok(match scalars(bytes)?.get(&1) {
                Some(Wire::Bytes(quantity)) => text(quantity)?.into(),
                _ => "0".into(),
            });
        }
        "intstr.IntOrString" => {
            let found = scalars(bytes)?;
            return Ok(match (found.get(&1), found.get(&2), found.get(&3)) {
                (Some(Wire::Number(1)), _, Some(Wire::Bytes(shown))) => text(shown)?.into(),
                (_, Some(Wire::Number(number)), _) => signed(*number).into(),
                _ => 0.into(),
            });
        }
        "meta.FieldsV1" | "runtime.RawExtension" | "apiextensions.JSON" => {
            return Ok(match scalars(bytes)?.get(&1) {
                Some(Wire::Bytes(raw)) => serde_json::from_slice(raw).map_err(|error| error.to_string())?,
                _ => json!({}),
            });
        }
        "meta.Duration" => {
            let Some(Wire::Number(nanos)) = scalars(bytes)?.get(&1).copied() else { return Ok("0s".into()) };
            return Ok(format!("{}s", signed(nanos) / 1_000_000_000).into());
        }
        kind if kind.starts_with("apiextensions.JSONSchemaPropsOr") => return schema(kind, bytes, depth),
        _ => {}
    }
    let known = types::message(kind).ok_or_else(|| format!("no message {kind} is known"))?;
    let mut object = Map::new();
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.next()? {
        let Some(field) = known.fields.iter().find(|field| field.number == number) else { continue };
        match field.shape {
            Shape::One => {
                let value = value(field.kind, wire, depth)?;
                let zero = value == false || value == 0;
                if value.is_null() || value == "" || (zero && field.omit_empty && !field.pointer) {
                    // Go leaves these out of JSON.
                    continue;
                }
                match value {
                    Value::Object(embedded) if field.name.is_empty() => object.extend(embedded),
                    value => {
                        object.insert(field.name.to_owned(), value);
                    }
                }
            }
            Shape::List => {
                let value = value(field.kind, wire, depth)?;
                if let Value::Array(items) = object.entry(field.name).or_insert_with(|| json!([])) {
                    items.push(value);
                }
            }
            Shape::Map => {
                let Wire::Bytes(entry) = wire else { return Err(format!("proto: {} is no map", field.name)) };
                let mut reader = Reader(entry);
                let (mut key, mut content) = (String::new(), Value::Null);
                while let Some((number, wire)) = reader.next()? {
                    match (number, wire) {
                        (1, Wire::Bytes(bytes)) => key = text(bytes)?,
                        (2, Wire::Bytes(bytes)) if field.nested => content = texts(bytes)?,
                        (2, wire) => content = value(field.kind, wire, depth)?,
                        _ => {}
                    }
                }
                if content.is_null() && field.kind == "string" {
                    content = "".into();
                }
                if let Value::Object(map) = object.entry(field.name).or_insert_with(|| json!({})) {
                    map.insert(key, content);
                }
            }
        }
    }
    Ok(Value::Object(object))
}

/// A list of texts that is a message of its own.
fn texts(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = Reader(bytes);
    let mut all = Vec::new();
    while let Some((number, wire)) = reader.next()? {
        if let (1, Wire::Bytes(bytes)) = (number, wire) {
            all.push(Value::from(text(bytes)?));
        }
    }
    Ok(all.into())
}

/// A part of a JSON schema that is one of two things.
fn schema(kind: &str, bytes: &[u8], depth: usize) -> Result<Value, String> {
    let props = "apiextensions.JSONSchemaProps";
    let mut reader = Reader(bytes);
    let (mut one, mut many) = (Value::Null, Vec::new());
    while let Some((number, wire)) = reader.next()? {
        match (kind, number, wire) {
            ("apiextensions.JSONSchemaPropsOrBool", 1, Wire::Number(flag)) if one.is_null() => one = (flag != 0).into(),
            ("apiextensions.JSONSchemaPropsOrBool", 2, wire) | (_, 1, wire) => one = value(props, wire, depth)?,
            ("apiextensions.JSONSchemaPropsOrStringArray", 2, Wire::Bytes(bytes)) => many.push(text(bytes)?.into()),
            (_, 2, wire) => many.push(value(props, wire, depth)?),
            _ => {}
        }
    }
    Ok(if one.is_null() { many.into() } else { one })
}

fn value(kind: &str, wire: Wire<'_>, depth: usize) -> Result<Value, String> {
    Ok(match (kind, wire) {
        ("string", Wire::Bytes(bytes)) => text(bytes)?.into(),
        ("bytes", Wire::Bytes(bytes)) => BASE64_STANDARD.encode(bytes).into(),
        ("bool", Wire::Number(number)) => (number != 0).into(),
        ("double", Wire::Number(number)) => f64::from_bits(number).into(),
        (_, Wire::Number(number)) => signed(number).into(),
        (kind, Wire::Bytes(bytes)) => message(kind, bytes, depth + 1)?,
    })
}

/// The schemas of a message and of everything it holds, by message name. `reference` makes a `$ref` of a message name.
pub fn schemas(message: &'static Message, reference: impl Fn(&str) -> Value) -> Map<String, Value> {
    let mut schemas = Map::new();
    let mut open = vec![message];
    while let Some(message) = open.pop() {
        if schemas.contains_key(message.name) {
            continue;
        }
        let mut properties = Map::new();
        for field in message.all() {
            let one = scalar_schema(field).unwrap_or_else(|| {
                open.extend(field.message());
                reference(field.kind)
            });
            let one = if field.nested { json!({ "type": "array", "items": one }) } else { one };
            let schema = match field.shape {
                Shape::One => one,
                Shape::List => json!({ "type": "array", "items": one }),
                Shape::Map => json!({ "type": "object", "additionalProperties": one }),
            };
            properties.insert(field.name.to_owned(), schema);
        }
        properties.sort_keys();
        schemas.insert(message.name.to_owned(), json!({ "type": "object", "properties": properties }));
    }
    schemas
}

/// The schema of what JSON writes as a scalar, or as it likes.
fn scalar_schema(field: &Field) -> Option<Value> {
    Some(match field.kind {
        "string" | "resource.Quantity" | "meta.Duration" => json!({ "type": "string" }),
        "bytes" => json!({ "type": "string", "format": "byte" }),
        "meta.Time" | "meta.MicroTime" => json!({ "type": "string", "format": "date-time" }),
        "bool" => json!({ "type": "boolean" }),
        "int32" | "int64" => json!({ "type": "integer", "format": field.kind }),
        "double" => json!({ "type": "number", "format": "double" }),
        "intstr.IntOrString" => json!({ "oneOf": [{ "type": "integer" }, { "type": "string" }], "format": "int-or-string" }),
        "meta.FieldsV1" | "runtime.RawExtension" => json!({ "type": "object" }),
        kind if kind.starts_with("apiextensions.JSON") && field.message().is_none() => {
            json!({ "x-kubernetes-preserve-unknown-fields": true })
        }
        _ => return None,
    })
}

/// Reads a body: the object with its kind and version.
///
/// # Errors
/// What is wrong with it, or a kind that the table does not hold.
pub fn decode(body: &[u8]) -> Result<Value, String> {
    let body = body.strip_prefix(MAGIC).ok_or("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")?;
    let envelope = scalars(body)?;
    let part = |number: u64| match envelope.get(&number) {
        Some(Wire::Bytes(bytes)) => *bytes,
        _ => &[],
    };
    let head = scalars(part(1))?;
    let words = |number: u64| match head.get(&number) {
        Some(Wire::Bytes(bytes)) => text(bytes),
        _ => Ok(String::new()),
    };
    let (api_version, kind) = (words(1)?, words(2)?);
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let name = if kind == "DeleteOptions" { "meta.DeleteOptions".to_owned() } else { types::name_of(group, &kind) };
    let mut object = message(&name, part(2), 0)?;
    object["kind"] = kind.into();
    object["apiVersion"] = api_version.into();
    Ok(object)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What kubectl 1.32 sends for `create ns bar1`.
    const NAMESPACE: &[u8] = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x1c\x0a\x14\x0a\x04bar1\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\0\x1a\x02\x0a\0\x1a\0\"\0";

    #[test]
    fn a_namespace_as_kubectl_sends_it() {
        let mut object = decode(NAMESPACE).unwrap();
        object["metadata"].as_object_mut().unwrap().shift_remove("generation");
        assert_eq!(object, json!({ "metadata": { "name": "bar1" }, "spec": {}, "status": {}, "kind": "Namespace", "apiVersion": "v1" }));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut body = NAMESPACE[..20].to_vec();
            body.extend(&bytes);
            let _ = decode(&body);
            let _ = message("core.Pod", &bytes, 0);
        }
    }
}
