//! What all services of OpenStack write alike. No IO.

use serde_json::Value;

use crate::{providers::rest::TOLD, secrets::excerpt};

/// A text at a path of keys; empty if there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A number, written as text or as a number; zero if there is none.
pub fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(|v| v.as_u64().or_else(|| v.as_str()?.parse().ok())).unwrap_or_default()
}

/// The members of a list; none if it is not there.
pub fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Why a service refused: `{"badRequest": {"message": …}}`, `{"error": {"message": …}}`, `{"NeutronError": {"message": …}}`, and
/// `{"message": "…<br />"}` of Glance.
pub fn fault(body: &Value) -> Option<String> {
    let message = |value: &Value| value["message"].as_str().map(|text| excerpt(text.replace("<br />", " ").trim(), TOLD));
    message(body).or_else(|| body.as_object()?.values().find_map(message))
}

/// A value for a query string.
pub fn escaped(value: &str) -> String {
    let url = reqwest::Url::parse_with_params("https://cloud", [("v", value)]);
    url.ok().and_then(|url| url.query().and_then(|q| q.strip_prefix("v=")).map(str::to_owned)).unwrap_or_default()
}

/// A text as Nova's name filter, a regular expression, reads it literally.
pub fn literal(text: &str) -> String {
    let special = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | ' ') && c.is_ascii();
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_are_read_in_every_form() {
        for (body, expected) in [
            (json!({"itemNotFound": {"message": "gone", "code": 404}}), Some("gone")),
            (json!({"error": {"message": "no", "title": "Unauthorized"}}), Some("no")),
            (json!({"NeutronError": {"type": "x", "message": "busy"}}), Some("busy")),
            (json!({"message": "plain"}), Some("plain")),
            (json!({"message": "no image<br /><br />\n\n\n", "code": "404 Not Found"}), Some("no image")),
            (json!({}), None),
            (Value::Null, None),
        ] {
            assert_eq!(fault(&body).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn names_are_meant_literally() {
        assert_eq!(literal("rhel8.6 (a)"), "rhel8\\.6 \\(a\\)");
        assert_eq!(escaped("^a b&c$"), "%5Ea+b%26c%24");
    }
}
