//! How the engine writes things as JSON: lists under the name of their members, numbers and booleans as text. No IO.

use serde_json::Value;

use crate::{providers::rest::TOLD, secrets::excerpt};

/// The members of a list: `{"vm": […]}`. An empty list is `{}`.
pub fn members<'a>(body: &'a Value, name: &str) -> &'a [Value] {
    body[name].as_array().map_or(&[], Vec::as_slice)
}

/// A text at a path of keys; empty if there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A number, written as text or as a number.
pub fn number(value: &Value, pointer: &str) -> u64 {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.parse().unwrap_or_default(),
        Some(other) => other.as_u64().unwrap_or_default(),
        None => 0,
    }
}

/// Why the engine refused: `{"reason": …, "detail": …}`, alone or inside an action's answer.
pub fn fault(body: &Value) -> Option<String> {
    let fault = body.get("fault").unwrap_or(body);
    let (reason, detail) = (text(fault, "/reason"), text(fault, "/detail"));
    let text = match (reason.is_empty(), detail.is_empty()) {
        (true, true) => return None,
        (false, true) => reason.to_owned(),
        (true, false) => detail.to_owned(),
        (false, false) => format!("{reason}: {detail}"),
    };
    Some(excerpt(&text, TOLD))
}

/// The date of a snapshot: the engine writes milliseconds since 1970 in JSON and RFC 3339 in XML.
pub fn date(value: &Value, pointer: &str) -> String {
    let millis = match value.pointer(pointer) {
        Some(Value::String(text)) => match text.parse::<i64>() {
            Ok(millis) => millis,
            Err(_) => return text.clone(),
        },
        Some(Value::Number(millis)) => millis.as_i64().unwrap_or_default(),
        _ => return String::new(),
    };
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| String::new(), |at| at.to_string())
}

/// A term of the engine's search language: `name="a b"`. Quotes inside cannot be written; they match any character.
pub fn term(field: &str, value: &str) -> String {
    format!("{field}=\"{}\"", value.replace('"', "*"))
}

/// A query string with a search, escaped.
pub fn search(query: &str) -> String {
    let url = reqwest::Url::parse_with_params("https://engine", [("search", query)]);
    url.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_in_both_forms() {
        let body = json!({"memory": "2147483648", "cpu": {"topology": {"cores": 2}}, "odd": "many"});
        assert_eq!(number(&body, "/memory"), 2 << 30);
        assert_eq!(number(&body, "/cpu/topology/cores"), 2);
        assert_eq!(number(&body, "/odd"), 0);
        assert_eq!(number(&body, "/none"), 0);
    }

    #[test]
    fn faults_are_read_alone_and_inside_an_action() {
        assert_eq!(
            fault(&json!({"reason": "Operation Failed", "detail": "[Cannot run VM.]"})).unwrap(),
            "Operation Failed: [Cannot run VM.]"
        );
        assert_eq!(fault(&json!({"fault": {"detail": "d"}, "status": "failed"})).unwrap(), "d");
        assert_eq!(fault(&json!({"status": "complete"})), None);
    }

    #[test]
    fn dates_are_read_in_both_forms() {
        assert_eq!(date(&json!({"date": 1_700_000_000_000_i64}), "/date"), "2023-11-14T22:13:20Z");
        assert_eq!(date(&json!({"date": "1700000000000"}), "/date"), "2023-11-14T22:13:20Z");
        assert_eq!(date(&json!({"date": "2023-11-14T22:13:20.5+00:00"}), "/date"), "2023-11-14T22:13:20.5+00:00");
    }

    #[test]
    fn lists_may_be_empty() {
        assert!(members(&json!({}), "vm").is_empty());
        assert_eq!(members(&json!({"vm": [{}]}), "vm").len(), 1);
    }
}
