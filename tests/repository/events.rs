//! The documentation of events names each event of the schema, and no other.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::read;

#[test]
fn each_event_is_documented() {
    let schema: Value = serde_json::from_str(&read("schemas/events.json")).unwrap();
    let event = |variant: &Value| {
        let found = variant.pointer("/properties/event/const").or_else(|| variant.pointer("/allOf/0/properties/event/const"));
        found.and_then(Value::as_str).map(str::to_owned)
    };
    let variants = schema["oneOf"].as_array().unwrap();
    let events: BTreeSet<String> = variants.iter().filter_map(event).collect();
    assert_eq!(events.len(), variants.len(), "a variant without a kind");
    let page = read("docs/events.md");
    let table = page.split("## Events").nth(1).unwrap().split("## Results of checks").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('|').next());
    let documented: BTreeSet<String> =
        rows.flat_map(|cell| cell.split([',', ' ', '`']).filter(|word| !word.is_empty())).map(str::to_owned).collect();
    assert_eq!(documented, events);
}
