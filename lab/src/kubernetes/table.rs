//! Tables, as kubectl asks for them.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{printers, resource::Resource};

/// Where a cell comes from.
#[derive(Debug, Clone)]
enum Source {
    /// A simple JSONPath, as CRDs write it.
    Path(String),
    /// `metadata.creationTimestamp`, as an age.
    Age,
    /// Computed.
    Compute(fn(&Value) -> Value),
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    kind: String,
    format: String,
    priority: i64,
    description: String,
    source: Source,
}

impl Column {
    fn new(name: &str, source: Source) -> Self {
        Self { name: name.to_owned(), kind: "string".into(), format: String::new(), priority: 0, description: String::new(), source }
    }

    /// A column with what stands at a JSONPath.
    pub fn path(name: &str, path: &str) -> Self {
        Self::new(name, Source::Path(path.to_owned()))
    }

    /// The age of the object.
    pub fn age() -> Self {
        Self::new("Age", Source::Age)
    }

    /// Describes itself as a column of a custom resource does.
    pub fn custom(&mut self) {
        match &self.source {
            Source::Age => "date".clone_into(&mut self.kind),
            Source::Path(path) => self.description = described_by(path),
            Source::Compute(_) => {}
        }
    }

    /// Writes the title in capitals, as Forklift's definitions do.
    pub fn shout(&mut self) {
        self.name = self.name.to_uppercase();
    }

    /// A column with what a function makes of an object.
    pub fn computed(name: &str, compute: fn(&Value) -> Value) -> Self {
        Self::new(name, Source::Compute(compute))
    }

    /// Only shown by `-o wide`.
    pub fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    /// With this type instead of text.
    pub fn of_type(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.kind);
        self
    }

    /// A column as a CustomResourceDefinition declares it.
    pub fn declared(column: &Value) -> Self {
        let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
        let path = text("jsonPath");
        let date = text("type") == "date";
        let source = if date && path == ".metadata.creationTimestamp" { Source::Age } else { Source::Path(path.clone()) };
        Self {
            name: text("name"),
            kind: text("type"),
            format: text("format"),
            priority: column["priority"].as_i64().unwrap_or_default(),
            description: if column["description"].is_null() { described_by(&path) } else { text("description") },
            source,
        }
    }

    /// The column as a CustomResourceDefinition declares it; one that is computed has no such form.
    pub fn declaration(&self) -> Option<Value> {
        let (kind, path) = match &self.source {
            Source::Path(path) => (self.kind.as_str(), path.as_str()),
            Source::Age => ("date", ".metadata.creationTimestamp"),
            Source::Compute(_) => return None,
        };
        Some(json!({ "name": self.name, "type": kind, "jsonPath": path }))
    }

    fn definition(&self) -> Value {
        let described = if self.description.is_empty() && matches!(self.source, Source::Age) { AGE_DESCRIPTION } else { &self.description };
        json!({ "name": self.name, "type": self.kind, "format": self.format, "description": described, "priority": self.priority })
    }

    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        match &self.source {
            Source::Compute(compute) => compute(object),
            Source::Age => age(&object["metadata"]["creationTimestamp"], now),
            Source::Path(path) => match first(object, path) {
                Some(found) if self.kind == "date" => age(found, now),
                Some(found @ (Value::Object(_) | Value::Array(_))) => found.to_string().into(),
                Some(Value::String(text)) => text.as_str().into(),
                Some(found) if self.kind == "string" && !found.is_null() => found.to_string().into(),
                Some(found) => found.clone(),
                None => Value::Null,
            },
        }
    }
}

/// What a column of a custom resource says if its definition says nothing.
fn described_by(path: &str) -> String {
    format!("Custom resource definition column (in JSONPath format): {path}")
}

/// The first value at `.a.b[0].c[?(@.type=="X")].d`. Enough for the paths that CRDs declare.
pub fn first<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = value;
    let mut rest = path.trim().trim_start_matches('{').trim_end_matches('}');
    while !rest.is_empty() {
        if let Some(filter) = rest.strip_prefix("[?(@.") {
            let (test, after) = filter.split_once(")]")?;
            let (field, wanted) = test.split_once("==")?;
            let wanted = wanted.trim().trim_matches(['"', '\'']);
            at = at.as_array()?.iter().find(|item| first(item, &format!(".{}", field.trim())).and_then(Value::as_str) == Some(wanted))?;
            rest = after;
        } else if let Some(quoted) = rest.strip_prefix("['") {
            let (key, after) = quoted.split_once("']")?;
            at = at.get(key)?;
            rest = after;
        } else if let Some(index) = rest.strip_prefix('[') {
            let (index, after) = index.split_once(']')?;
            at = if index == "*" { at.get(0)? } else { at.get(index.parse::<usize>().ok()?)? };
            rest = after;
        } else {
            let field = rest.strip_prefix('.').unwrap_or(rest);
            // A dot may be escaped, as in annotation keys.
            let mut end = field.len();
            let mut escaped = false;
            for (index, c) in field.char_indices() {
                if !escaped && (c == '.' || c == '[') {
                    end = index;
                    break;
                }
                escaped = c == '\\';
            }
            if end == 0 {
                return Some(at);
            }
            at = at.get(field[..end].replace('\\', ""))?;
            rest = &field[end..];
        }
    }
    Some(at)
}

/// An age as kubectl shows it: `5s`, `3m2s`, `4h`, `2d`.
pub fn age(moment: &Value, now: Timestamp) -> Value {
    let Some(moment) = moment.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else { return "<unknown>".into() };
    duration(now.duration_since(moment).as_secs()).into()
}

/// A time span in the same form.
pub fn duration(seconds: i64) -> String {
    let pair = |big: i64, unit: &str, small: i64, rest: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{rest}") }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..0 => "<invalid>".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// The metadata of an object, as `PartialObjectMetadata`.
pub fn metadata_only(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

fn name_of(object: &Value, resource: &Resource) -> Value {
    // A default class is marked behind its name.
    let default = object["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true";
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if default && resource.kind == "StorageClass" { format!("{name} (default)").into() } else { name.into() }
}

/// The table of some objects. `include` is the parameter `includeObject`: `None`, `Metadata` or `Object`.
pub fn table(resource: &Resource, objects: &[Cow<Value>], list_metadata: &Value, include: &str, definitions: bool) -> Value {
    let now = Timestamp::now();
    let age = [Column::age()];
    let columns = if resource.columns.is_empty() { &age[..] } else { &resource.columns };
    let name = json!({ "name": "Name", "type": "string", "format": "name", "description": NAME_DESCRIPTION, "priority": 0 });
    // Events are nameless to people.
    let named = resource.plural != "events";
    let row = |object: &Value| {
        let mut cells: Vec<Value> = if named { vec![name_of(object, resource)] } else { Vec::new() };
        cells.extend(columns.iter().map(|column| column.cell(object, now)));
        let mut row = json!({ "cells": cells });
        if let Some(conditions) = printers::row_conditions(resource, object) {
            row["conditions"] = conditions;
        }
        match include {
            "None" => row["object"] = Value::Null,
            "Object" => row["object"] = object.clone(),
            _ => row["object"] = metadata_only(object),
        }
        row
    };
    let heads: Value = if definitions {
        named.then_some(name).into_iter().chain(columns.iter().map(Column::definition)).collect::<Vec<_>>().into()
    } else {
        Value::Null
    };
    json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_metadata, "columnDefinitions": heads,
        "rows": objects.iter().map(|object| row(object)).collect::<Vec<_>>() })
}

const NAME_DESCRIPTION: &str = "What the object is called; no other of its kind in its namespace has the name.";

const AGE_DESCRIPTION: &str = "When the server made the object.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_definitions_write_them() {
        let object = json!({ "status": { "conditions": [{ "type": "A", "status": "x" }, { "type": "Ready", "status": "True" }], "l": [{ "n": 1 }] },
            "metadata": { "annotations": { "a.io/b": "v" } } });
        for (path, expected) in [
            (".status.conditions[?(@.type==\"Ready\")].status", Some(json!("True"))),
            (".status.conditions[?(@.type=='Ready')].status", Some(json!("True"))),
            (".status.l[0].n", Some(json!(1))),
            (".metadata.annotations.a\\.io/b", Some(json!("v"))),
            (".metadata.annotations['a.io/b']", Some(json!("v"))),
            (".status.none.deeper", None),
        ] {
            assert_eq!(first(&object, path).cloned(), expected, "{path}");
        }
    }

    #[test]
    fn ages() {
        for (seconds, shown) in [
            (5, "5s"),
            (119, "119s"),
            (120, "2m"),
            (182, "3m2s"),
            (700, "11m"),
            (7300, "121m"),
            (11000, "3h3m"),
            (90_000, "25h"),
            (200_000, "2d7h"),
            (28_684_800, "332d"),
            (70_000_000, "2y80d"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
    }
}
