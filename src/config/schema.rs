//! JSON schemas of the files, for editors. They come from the structs and the table that the files are read with.

use schemars::{Schema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    profile_file::RawProfile,
    scenario_file::RawScenario,
    settings_keys::{KEYS, Takes},
};
use crate::events::{Event, FORMAT};

/// All schemas: file name and content.
pub fn all() -> Vec<(&'static str, Value)> {
    vec![
        ("scenario.json", tables::<RawScenario>("scenario", "Scenarios of mtv-test")),
        ("providers.json", tables::<RawProfile>("provider", "Provider profiles of mtv-test")),
        ("settings.json", settings()),
        ("events.json", events()),
    ]
}

/// A line of `events.ndjson`.
fn events() -> Value {
    let mut schema: Value = Schema::into(SchemaSettings::draft07().into_generator().into_root_schema_for::<Event>());
    schema["title"] = json!("A line of events.ndjson of mtv-test");
    schema["properties"]["v"] = json!({ "const": FORMAT, "description": "Version of the format." });
    schema
}

/// `[group.NAME]` tables of one type.
fn tables<T: schemars::JsonSchema>(group: &str, title: &str) -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let entry = generator.subschema_for::<T>();
    let mut definitions = Value::Object(generator.take_definitions(false));
    let mut entry: Value = Schema::into(entry);
    without_null(&mut entry);
    without_null(&mut definitions);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": title,
        "type": "object",
        "additionalProperties": false,
        "properties": { group: { "type": "object", "additionalProperties": entry } },
        "definitions": definitions,
    })
}

fn settings() -> Value {
    let properties: Map<String, Value> = KEYS
        .iter()
        .map(|key| {
            let mut schema = match key.takes {
                Takes::Text | Takes::Namespace | Takes::Path => json!({ "type": "string" }),
                Takes::Time | Takes::Minutes => json!({ "type": "string", "pattern": "^([0-9]+(h|m|s|ms))+$" }),
                Takes::MinuteCount => json!({ "type": "integer", "minimum": 0 }),
                Takes::Count => json!({ "type": "integer", "minimum": 1 }),
                Takes::Switch => json!({ "type": "boolean" }),
            };
            schema["description"] = json!(format!("{}.", key.about));
            (key.name.to_owned(), schema)
        })
        .collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Run settings of mtv-test",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

/// TOML has no null: a key is there or it is not.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(any)) = map.get_mut("anyOf") {
                any.retain(|schema| schema != &json!({ "type": "null" }));
                if let [Value::Object(only)] = any.as_slice() {
                    let only = only.clone();
                    map.remove("anyOf");
                    // Draft 7 ignores what stands beside `$ref`, except for readers that show descriptions.
                    map.extend(only);
                }
            }
            if let Some(Value::Array(words)) = map.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            map.values_mut().for_each(without_null);
        }
        Value::Array(values) => values.iter_mut().for_each(without_null),
        _ => {}
    }
}
