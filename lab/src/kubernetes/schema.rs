//! Structural schemas: what custom resources may hold. Pruning, defaults and validation, with the messages of the real
//! server.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use regex::Regex;
use serde_json::{Map, Value};

use super::{cel, read::duration, status::Cause, typed, types};

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// JSON object.
    Object,
    /// JSON array.
    Array,
    /// JSON string.
    String,
    /// Number without fraction.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
}

impl Type {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    fn of(value: &Value) -> &'static str {
        match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
    }

    fn accepts(self, value: &Value) -> bool {
        match self {
            Self::Number => value.is_number(),
            Self::Integer => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
            other => Self::of(value) == other.name(),
        }
    }
}

/// How a list merges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ListType {
    /// As a whole.
    #[default]
    Atomic,
    /// As a set of scalars.
    Set,
    /// As a map with these keys.
    Map(Vec<String>),
}

/// A rule of `x-kubernetes-validations`.
#[derive(Debug, Clone)]
struct Rule {
    text: String,
    message: String,
    expression: Option<cel::Expression>,
    message_expression: Option<cel::Expression>,
    field: String,
    reason: String,
    /// The rule compares with what was there before.
    transition: bool,
    /// It is asked even if nothing was there before.
    optional_old: bool,
}

impl Rule {
    fn parse(json: &Value) -> Self {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let read = |key: &str| cel::parse(&text(key)).ok();
        let expression = read("rule");
        Self {
            transition: expression.as_ref().is_some_and(|expression| cel::names(expression, "oldSelf")),
            expression,
            message_expression: json["messageExpression"].as_str().and(read("messageExpression")),
            text: text("rule").trim().to_owned(),
            message: text("message").trim().to_owned(),
            field: text("fieldPath"),
            reason: text("reason"),
            optional_old: json["optionalOldSelf"].as_bool().unwrap_or_default(),
        }
    }

    /// Asks the rule about a value.
    fn check(&self, value: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
        if self.transition && old.is_none() && !self.optional_old {
            return;
        }
        let Some(expression) = &self.expression else { return };
        let before = if self.optional_old { cel::optional(old) } else { old.cloned().unwrap_or_default() };
        let scope = cel::Scope::of(&[("self", value), ("oldSelf", &before)]);
        let whole = value.is_object() || value.is_array();
        let told = if self.message.is_empty() { format!("failed rule: {}", self.text) } else { self.message.clone() };
        match cel::evaluate(expression, &scope) {
            Ok(Value::Bool(true)) => {}
            Ok(_) => {
                let computed = self.message_expression.as_ref().and_then(|expression| cel::evaluate(expression, &scope).ok());
                let message = match computed.as_ref().and_then(Value::as_str).map(str::trim) {
                    Some(text) if !text.is_empty() && !text.contains('\n') => text.to_owned(),
                    _ => told,
                };
                let field = format!("{path}{}", self.field);
                causes.push(match self.reason.as_str() {
                    "FieldValueForbidden" => Cause::forbidden(field, &message),
                    "FieldValueRequired" => Cause::required(field, &message),
                    "FieldValueDuplicate" => Cause::duplicate(field, value),
                    _ if whole => Cause { reason: "FieldValueInvalid", message: format!("Invalid value: {message}"), field },
                    _ => Cause::invalid(field, value, &message),
                });
            }
            Err(why) => {
                let rule = if self.message.is_empty() { &self.text } else { &self.message };
                causes.push(Cause::invalid(path, &Type::of(value).into(), &format!("{why} evaluating rule: {rule}")));
            }
        }
    }
}

/// A schema, or a part of one.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of OpenAPI or of Kubernetes' extensions to it")]
pub struct Schema {
    /// Type; none for `x-kubernetes-int-or-string` and `{}`.
    pub kind: Option<Type>,
    /// Known fields.
    pub properties: BTreeMap<String, Schema>,
    /// Schema of the values of a map.
    pub additional: Option<Box<Schema>>,
    /// Schema of the elements of a list.
    pub items: Option<Box<Schema>>,
    /// Unknown fields stay.
    pub preserve: bool,
    /// A number or a string.
    pub int_or_string: bool,
    /// How the list merges.
    pub list: ListType,
    /// The object is replaced as a whole.
    pub atomic: bool,
    /// The schema as it was written, for OpenAPI; kept at the top only.
    pub source: Value,
    /// The default, if any.
    pub default: Option<Value>,
    nullable: bool,
    embedded: bool,
    required: Vec<String>,
    enumeration: Option<Vec<Value>>,
    format: String,
    pattern: Option<(String, Option<Regex>)>,
    numbers: Map<String, Value>,
    all_of: Vec<Schema>,
    any_of: Vec<Schema>,
    one_of: Vec<Schema>,
    not: Option<Box<Schema>>,
    rules: Vec<Rule>,
}

fn schemas(value: &Value) -> Vec<Schema> {
    value.as_array().into_iter().flatten().map(Schema::part).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Schema {
    /// Reads an `openAPIV3Schema` and keeps its source.
    pub fn parse(json: &Value) -> Self {
        Self { source: json.clone(), ..Self::part(json) }
    }

    fn part(json: &Value) -> Self {
        let flag = |key: &str| json[key].as_bool().unwrap_or_default();
        let limits = [
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
            "minLength",
            "maxLength",
            "minItems",
            "maxItems",
            "minProperties",
            "maxProperties",
            "uniqueItems",
        ];
        Self {
            kind: json["type"].as_str().and_then(Type::parse),
            properties: json["properties"].as_object().into_iter().flatten().map(|(key, value)| (key.clone(), Self::part(value))).collect(),
            additional: match &json["additionalProperties"] {
                Value::Object(_) => Some(Box::new(Self::part(&json["additionalProperties"]))),
                Value::Bool(true) => Some(Box::new(Self { preserve: true, ..Self::default() })),
                _ => None,
            },
            items: json["items"].is_object().then(|| Box::new(Self::part(&json["items"]))),
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list: match json["x-kubernetes-list-type"].as_str() {
                Some("set") => ListType::Set,
                Some("map") => ListType::Map(strings(&json["x-kubernetes-list-map-keys"])),
                _ => ListType::Atomic,
            },
            atomic: json["x-kubernetes-map-type"] == "atomic",
            default: json.get("default").cloned(),
            source: Value::Null,
            nullable: flag("nullable"),
            embedded: flag("x-kubernetes-embedded-resource"),
            required: strings(&json["required"]),
            enumeration: json["enum"].as_array().cloned(),
            format: json["format"].as_str().unwrap_or_default().to_owned(),
            pattern: json["pattern"].as_str().map(|text| (text.to_owned(), Regex::new(text).ok())),
            numbers: limits.into_iter().filter_map(|key| Some((key.to_owned(), json.get(key)?.clone()))).collect(),
            all_of: schemas(&json["allOf"]),
            any_of: schemas(&json["anyOf"]),
            one_of: schemas(&json["oneOf"]),
            not: json["not"].is_object().then(|| Box::new(Self::part(&json["not"]))),
            rules: json["x-kubernetes-validations"].as_array().into_iter().flatten().map(Rule::parse).collect(),
        }
    }

    /// The schema of a field.
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(self.additional.as_deref())
    }

    /// Removes what the schema does not know and gives back the paths of it. `top`: apiVersion, kind and metadata are known.
    pub fn prune(&self, value: &mut Value, path: &str, top: bool, unknown: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                let keys: Vec<String> = map.keys().cloned().collect();
                for key in keys {
                    if (top || self.embedded) && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                        if let (false, "metadata", Some(message), Some(value)) = (top, key.as_str(), types::metadata(), map.get_mut(&key)) {
                            let mut odd = Vec::new();
                            // What is no metadata at all is told by the validation.
                            let _ = typed::read(message, value, &mut odd);
                            unknown.extend(odd.iter().map(|field| format!("{}.{field}", join(path, &key))));
                        }
                        continue;
                    }
                    let path = join(path, &key);
                    match (self.field(&key), map.get_mut(&key)) {
                        (Some(schema), Some(value)) => schema.prune(value, &path, false, unknown),
                        _ if self.preserve => {}
                        _ => {
                            map.shift_remove(&key);
                            unknown.push(path);
                        }
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for (index, item) in items.iter_mut().enumerate() {
                        schema.prune(item, &format!("{path}[{index}]"), false, unknown);
                    }
                }
            }
            _ => {}
        }
    }

    /// Fills in defaults; a null for a field that is not nullable but has a default counts as absent.
    pub fn fill(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (key, schema) in &self.properties {
                    if let Some(default) = &schema.default
                        && (map.get(key).is_none() || (map[key].is_null() && !schema.nullable))
                    {
                        map.insert(key.clone(), default.clone());
                    }
                }
                for (key, value) in map.iter_mut() {
                    if let Some(schema) = self.field(key) {
                        schema.fill(value);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for item in items {
                        schema.fill(item);
                    }
                }
            }
            _ => {}
        }
    }

    /// Removes nulls that mean nothing: those of fields that are not nullable.
    pub fn drop_nulls(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|key, value| !value.is_null() || self.field(key).is_none_or(|schema| schema.nullable || schema.kind.is_none()));
                for (key, value) in map.iter_mut() {
                    if let Some(schema) = self.field(key) {
                        schema.drop_nulls(value);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for item in items {
                        schema.drop_nulls(item);
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether a rule stands somewhere in it.
    pub fn has_rules(&self) -> bool {
        let parts = self.properties.values().chain(self.additional.as_deref()).chain(self.items.as_deref());
        !self.rules.is_empty() || parts.into_iter().any(Self::has_rules)
    }

    /// Asks the rules; `old` is what stood in the place of the value.
    pub fn check_rules(&self, value: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
        // What is not changed is not held against a change.
        if value.is_null() || old == Some(value) {
            return;
        }
        for rule in &self.rules {
            rule.check(value, old, path, causes);
        }
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    if let Some(schema) = self.field(key) {
                        schema.check_rules(value, old.and_then(|old| old.get(key)), &join(path, key), causes);
                    }
                }
            }
            Value::Array(items) => {
                let Some(schema) = &self.items else { return };
                for (index, item) in items.iter().enumerate() {
                    schema.check_rules(item, self.before(item, old), &format!("{path}[{index}]"), causes);
                }
            }
            _ => {}
        }
    }

    /// The element of an old list that is the same one as this element.
    fn before<'a>(&self, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
        let ListType::Map(keys) = &self.list else { return None };
        old?.as_array()?.iter().find(|known| keys.iter().all(|key| known.get(key) == item.get(key)))
    }

    /// What is wrong with a changed value: what was as wrong before is no mistake of the change.
    pub fn validate_change(&self, value: &Value, old: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
        if old == Some(value) {
            return;
        }
        let mut found = Vec::new();
        self.validate(value, path, &mut found);
        let Some(old) = old.filter(|_| !found.is_empty()) else {
            causes.extend(found);
            return;
        };
        found.retain(|cause| !self.unchanged(value, old, path, &cause.field));
        causes.extend(found);
    }

    /// Whether the place of a cause lies in a part that did not change.
    fn unchanged(&self, value: &Value, old: &Value, path: &str, field: &str) -> bool {
        match (value, old) {
            (Value::Object(map), Value::Object(before)) => map.iter().any(|(key, value)| {
                let (at, Some(old)) = (join(path, key), before.get(key)) else { return false };
                let Some(schema) = self.field(key) else { return false };
                if !below(field, &at) {
                    return false;
                }
                value == old || schema.unchanged(value, old, &at, field)
            }),
            (Value::Array(items), Value::Array(_)) => items.iter().enumerate().any(|(index, item)| {
                let (at, Some(old), Some(schema)) = (format!("{path}[{index}]"), self.before(item, Some(old)), &self.items) else {
                    return false;
                };
                below(field, &at) && (item == old || schema.unchanged(item, old, &at, field))
            }),
            _ => false,
        }
    }

    /// What is wrong with a value.
    pub fn validate(&self, value: &Value, path: &str, causes: &mut Vec<Cause>) {
        if value.is_null() && self.nullable {
            return;
        }
        if !self.typed(value, path, causes) {
            self.enumerated(value, path, causes);
            return;
        }
        let before = causes.len();
        self.limits(value, path, causes);
        // A text that is too long is not held against its pattern any more.
        if causes[before..].iter().any(|cause| cause.reason == "FieldValueTooLong") {
            let mut at = 0;
            causes.retain(|cause| {
                at += 1;
                at <= before || cause.reason == "FieldValueTooLong"
            });
        }
        self.enumerated(value, path, causes);
        match value {
            Value::Object(map) => {
                let own: &[&str] = if self.embedded { &["apiVersion", "kind"] } else { &[] };
                for name in self.required.iter().map(String::as_str).chain(own.iter().copied()) {
                    if !map.contains_key(name) {
                        causes.push(Cause::required(join(path, name), ""));
                    }
                }
                for (key, value) in map {
                    if let Some(schema) = self.field(key) {
                        schema.validate(value, &join(path, key), causes);
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(schema) = &self.items {
                        schema.validate(item, &format!("{path}[{index}]"), causes);
                    }
                }
                self.duplicates(items, path, causes);
            }
            _ => {}
        }
        self.combined(value, path, causes);
    }

    fn enumerated(&self, value: &Value, path: &str, causes: &mut Vec<Cause>) {
        if let Some(allowed) = &self.enumeration
            && !allowed.contains(value)
        {
            let allowed: Vec<String> = allowed.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
            causes.push(Cause::not_supported(path, value, &allowed));
        }
    }

    fn typed(&self, value: &Value, path: &str, causes: &mut Vec<Cause>) -> bool {
        if self.int_or_string {
            let good = value.is_string() || Type::Integer.accepts(value);
            if !good {
                let detail = format!("{path} in body must be of type integer,string: {:?}", Type::of(value));
                causes.push(Cause::wrong_type(path, &Type::of(value).into(), &detail));
            }
            return good;
        }
        let Some(kind) = self.kind else { return true };
        let sized = kind == Type::Integer && matches!(self.format.as_str(), "int32" | "int64");
        let unsized_by = || Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: \"\": Checked value must be of type integer with format {} in {path}", self.format),
            field: "<nil>".to_owned(),
        };
        if !kind.accepts(value) {
            let float = sized && value.is_f64();
            let (wanted, given) = if float { (self.format.as_str(), "float64") } else { (kind.name(), Type::of(value)) };
            let detail = format!("{path} in body must be of type {wanted}: {given:?}");
            causes.push(Cause::wrong_type(path, &given.into(), &detail));
            causes.extend(float.then(unsized_by));
            return false;
        }
        if sized && self.format == "int32" && value.as_i64().is_some_and(|number| i32::try_from(number).is_err()) {
            causes.push(unsized_by());
        }
        true
    }

    fn limits(&self, value: &Value, path: &str, causes: &mut Vec<Cause>) {
        let limit = |key: &str| self.numbers.get(key).and_then(Value::as_f64);
        let exclusive = |key: &str| self.numbers.get(key).and_then(Value::as_bool).unwrap_or_default();
        let mut refuse = |detail: String| causes.push(Cause::invalid(path, value, &format!("{path} in body {detail}")));
        if let Some(number) = value.as_f64() {
            if let Some(least) = limit("minimum") {
                if exclusive("exclusiveMinimum") && number <= least {
                    refuse(format!("should be greater than {least}"));
                } else if number < least {
                    refuse(format!("should be greater than or equal to {least}"));
                }
            }
            if let Some(most) = limit("maximum") {
                if exclusive("exclusiveMaximum") && number >= most {
                    refuse(format!("should be less than {most}"));
                } else if number > most {
                    refuse(format!("should be less than or equal to {most}"));
                }
            }
            if let Some(step) = limit("multipleOf").filter(|step| (number / step).fract() != 0.0) {
                refuse(format!("should be a multiple of {step}"));
            }
        }
        if let Some(text) = value.as_str() {
            let length = text.chars().count() as f64;
            if let Some(least) = limit("minLength").filter(|least| length < *least) {
                refuse(format!("should be at least {least} chars long"));
            }
            if let Some((shown, Some(pattern))) = &self.pattern
                && !pattern.is_match(text)
            {
                refuse(format!("should match '{shown}'"));
            }
            if let Some(most) = limit("maxLength").filter(|most| length > *most) {
                causes.push(Cause {
                    reason: "FieldValueTooLong",
                    message: format!("Too long: may not be more than {most} bytes"),
                    field: path.to_owned(),
                });
            }
            if !formatted(&self.format, text) {
                let detail = format!("{path} in body must be of type {}: {text:?}", self.format);
                causes.push(Cause::wrong_type(path, value, &detail));
            }
            return;
        }
        let (count, words, least, most) = match value {
            Value::Array(items) => (items.len() as f64, "items", limit("minItems"), limit("maxItems")),
            Value::Object(map) => (map.len() as f64, "properties", limit("minProperties"), limit("maxProperties")),
            _ => return,
        };
        if let Some(least) = least.filter(|least| count < *least) {
            refuse(format!("should have at least {least} {words}"));
        }
        if let Some(most) = most.filter(|most| count > *most) {
            causes.push(Cause {
                reason: "FieldValueTooMany",
                message: format!("Too many: {count}: must have at most {most} items"),
                field: path.to_owned(),
            });
        }
    }

    fn duplicates(&self, items: &[Value], path: &str, causes: &mut Vec<Cause>) {
        let keys: Vec<Value> = match &self.list {
            ListType::Atomic => return,
            ListType::Set => items.to_vec(),
            ListType::Map(keys) => {
                let key = |item: &Value| keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect::<Map<_, _>>();
                items.iter().map(|item| Value::Object(key(item))).collect()
            }
        };
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].contains(key) {
                causes.push(Cause {
                    reason: "FieldValueDuplicate",
                    message: format!("Duplicate value: {key}"),
                    field: format!("{path}[{index}]"),
                });
            }
        }
    }

    fn combined(&self, value: &Value, path: &str, causes: &mut Vec<Cause>) {
        let problems = |schema: &Self| {
            let mut causes = Vec::new();
            schema.validate(value, path, &mut causes);
            causes
        };
        let valid = |schema: &Self| problems(schema).is_empty();
        // The library that looks at such parts knows no fields.
        let refused = |detail: String| Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: \"\": {path:?} {detail}"),
            field: "<nil>".to_owned(),
        };
        // An int-or-string carries an anyOf of its own, which says no more than the flag.
        if !self.any_of.is_empty()
            && !(self.int_or_string && (value.is_string() || Type::Integer.accepts(value)))
            && !self.any_of.iter().any(valid)
        {
            causes.push(refused("must validate at least one schema (anyOf)".to_owned()));
            causes.extend(self.any_of.first().map(problems).unwrap_or_default());
        }
        if !self.one_of.is_empty() {
            match self.one_of.iter().filter(|schema| valid(schema)).count() {
                1 => {}
                0 => {
                    causes.push(refused("must validate one and only one schema (oneOf). Found none valid".to_owned()));
                    causes.extend(self.one_of.first().map(problems).unwrap_or_default());
                }
                many => causes.push(refused(format!("must validate one and only one schema (oneOf). Found {many} valid alternatives"))),
            }
        }
        if self.not.as_deref().is_some_and(valid) {
            causes.push(refused("must not validate the schema (not)".to_owned()));
        }
        for schema in &self.all_of {
            schema.validate(value, path, causes);
        }
    }
}

/// Whether a field is a place or lies below it.
fn below(field: &str, place: &str) -> bool {
    field.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Whether a text has a format; formats that are not known accept everything, as the real server's do.
fn formatted(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => text
            .split_once('/')
            .is_some_and(|(address, length)| address.parse::<std::net::IpAddr>().is_ok() && length.parse::<u8>().is_ok()),
        "email" => {
            text.split_once('@').is_some_and(|(who, host)| !who.is_empty() && !host.is_empty() && !text.contains(char::is_whitespace))
        }
        "byte" => BASE64_STANDARD.decode(text).is_ok(),
        "uuid" => {
            let parts: Vec<usize> = text.split('-').map(str::len).collect();
            let digits = text.chars().all(|letter| letter == '-' || letter.is_ascii_hexdigit());
            digits && (parts == [8, 4, 4, 4, 12] || parts == [32])
        }
        "duration" => duration(text),
        "hostname" => text.split('.').all(|part| !part.is_empty() && part.chars().all(|letter| letter.is_alphanumeric() || letter == '-')),
        "uri" => reqwest::Url::parse(text).is_ok(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(schema: &Value, value: &Value) -> Vec<String> {
        let mut causes = Vec::new();
        Schema::parse(schema).validate(value, "spec", &mut causes);
        causes.into_iter().map(|cause| format!("{} {}", cause.field, cause.message)).collect()
    }

    #[test]
    fn each_rule_refuses() {
        for (schema, value, problem) in [
            (json!({ "type": "object", "required": ["a"] }), json!({}), "spec.a Required value"),
            (json!({ "type": "integer" }), json!("x"), "spec Invalid value: \"string\": spec in body must be of type integer: \"string\""),
            (
                json!({ "type": "integer", "minimum": 1 }),
                json!(0),
                "spec Invalid value: 0: spec in body should be greater than or equal to 1",
            ),
            (json!({ "type": "string", "pattern": "^a$" }), json!("b"), "spec Invalid value: \"b\": spec in body should match '^a$'"),
            (json!({ "type": "string", "enum": ["a", "b"] }), json!("c"), "spec Unsupported value: \"c\": supported values: \"a\", \"b\""),
            (json!({ "type": "array", "maxItems": 1 }), json!([1, 2]), "spec Too many: 2: must have at most 1 items"),
            (json!({ "type": "array", "x-kubernetes-list-type": "set" }), json!(["a", "a"]), "spec[1] Duplicate value: \"a\""),
            (
                json!({ "x-kubernetes-int-or-string": true }),
                json!(true),
                "spec Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\"",
            ),
        ] {
            assert_eq!(problems(&schema, &value), [problem]);
        }
    }

    #[test]
    fn unknown_fields_go_and_defaults_come() {
        let schema = Schema::parse(&json!({ "type": "object", "properties": {
            "spec": { "type": "object", "properties": { "on": { "type": "boolean", "default": true }, "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } } } }));
        let mut value = json!({ "kind": "K", "metadata": { "name": "a" }, "spec": { "bad": 1, "free": { "x": 1 } }, "odd": 1 });
        let mut unknown = Vec::new();
        schema.prune(&mut value, "", true, &mut unknown);
        schema.fill(&mut value);
        unknown.sort();
        assert_eq!(unknown, ["odd", "spec.bad"]);
        assert_eq!(value, json!({ "kind": "K", "metadata": { "name": "a" }, "spec": { "free": { "x": 1 }, "on": true } }));
    }
}
