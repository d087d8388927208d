//! The two ways in which the engine writes a document. Documents are kept as JSON; XML has the same names, with `id`, `href`
//! and `rel` as attributes and a repeated element where JSON has an array.

use mtv_api::xml::Node;
use serde_json::{Map, Value};

/// Key of a moment inside a document: milliseconds since 1970, written as such in JSON and as RFC 3339 in XML.
const MOMENT: &str = "@moment";
/// What is an attribute in XML.
const ATTRIBUTES: [&str; 3] = ["id", "href", "rel"];

/// A moment as documents hold it.
pub fn moment(at: jiff::Timestamp) -> Value {
    Value::Object(Map::from_iter([(MOMENT.to_owned(), Value::from(at.as_millisecond()))]))
}

/// A document as clients that ask for JSON get it.
pub fn to_json(value: &Value) -> Value {
    match value {
        Value::Object(map) => match map.get(MOMENT) {
            Some(millis) => millis.clone(),
            None => Value::Object(map.iter().map(|(key, value)| (key.clone(), to_json(value))).collect()),
        },
        Value::Array(list) => Value::Array(list.iter().map(to_json).collect()),
        other => other.clone(),
    }
}

/// A document as clients that ask for XML get it.
pub fn to_xml(name: &str, value: &Value) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n");
    element(name, value).write(&mut text);
    text
}

fn element(name: &str, value: &Value) -> Node {
    match value {
        Value::Object(map) => match map.get(MOMENT).and_then(Value::as_i64) {
            Some(millis) => {
                let at = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
                Node::text(name, at.strftime("%Y-%m-%dT%H:%M:%S%.3f+00:00"))
            }
            None => map.iter().fold(Node::new(name), |node, (key, value)| match value {
                Value::String(text) if ATTRIBUTES.contains(&key.as_str()) => node.attr(key, text),
                Value::Array(list) => node.all(list.iter().map(|value| element(key, value))),
                Value::Null => node,
                other => node.with(element(key, other)),
            }),
        },
        Value::String(text) => Node::text(name, text),
        other => Node::text(name, other),
    }
}

/// Reads what a client sends as XML: the root's content, with arrays where an element is repeated.
pub fn from_xml(text: &str) -> Result<Value, String> {
    Node::parse(text).map(|node| read(&node)).map_err(|error| error.to_string())
}

fn read(node: &Node) -> Value {
    if node.children.is_empty() && node.attrs.is_empty() {
        return Value::String(node.text.trim().to_owned());
    }
    let mut map: Map<String, Value> = node.attrs.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    for child in &node.children {
        let value = read(child);
        match map.get_mut(&child.name) {
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => {
                map.insert(child.name.clone(), value);
            }
        }
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_has_both_forms() {
        let at = jiff::Timestamp::from_millisecond(1_700_000_000_000).unwrap();
        let vm = json!({"id": "1", "href": "/api/vms/1", "name": "a<b", "creation_time": moment(at), "link": [
            {"rel": "nics", "href": "/api/vms/1/nics"}, {"rel": "snapshots", "href": "/api/vms/1/snapshots"},
        ]});
        assert_eq!(to_json(&vm)["creation_time"], 1_700_000_000_000_i64);
        let text = to_xml("vm", &vm);
        let node = Node::parse(&text).unwrap();
        assert_eq!((node.name.as_str(), node.attribute("id")), ("vm", Some("1")));
        assert_eq!(node.get("name"), Some("a<b"));
        assert_eq!(node.get("creation_time"), Some("2023-11-14T22:13:20.000+00:00"));
        assert_eq!(node.children_named("link").count(), 2);
    }

    #[test]
    fn what_clients_send_reads_like_json() {
        let text = r#"<vm><name>a</name><cluster id="c"/><nics><nic><name>1</name></nic><nic><name>2</name></nic></nics></vm>"#;
        let expected = json!({"name": "a", "cluster": {"id": "c"}, "nics": {"nic": [{"name": "1"}, {"name": "2"}]}});
        assert_eq!(from_xml(text).unwrap(), expected);
        assert!(from_xml("<vm>").is_err());
    }
}
