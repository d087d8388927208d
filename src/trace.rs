//! What `-vv` shows of requests: each one and its answer, Kubernetes' as YAML, SOAP as the XML that it is. Values of Secrets and
//! of fields that hold credentials are masked by what they are, everything else by the mask that the log wears.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use serde_json::Value;

use crate::secrets::{MASK, mask};

/// Target of these lines, for `RUST_LOG`.
pub const TARGET: &str = "mtv_test::requests";

/// Longest body that is shown, bytes: a list of all CustomResourceDefinitions has megabytes.
const LONGEST: usize = 64 * 1024;

/// Keys whose text is a credential wherever it stands, in lower case.
const CREDENTIALS: &[&str] = &[
    "access_token",
    "adminpass",
    "authorization",
    "id_token",
    "passphrase",
    "password",
    "refresh_token",
    "token",
    "userdata",
    "userdatabase64",
];

/// A request on its way, so that its answer can be told with it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Number in this process; none when nothing is shown.
    number: Option<u64>,
    line: String,
    sent: Instant,
}

/// Whether anybody wants to see requests.
pub fn wanted() -> bool {
    tracing::enabled!(target: TARGET, tracing::Level::TRACE)
}

impl Exchange {
    /// Shows a request. `line` is what it is: `kubernetes GET /version`.
    pub fn begin(line: impl FnOnce() -> String, content_type: &str, body: &[u8]) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        if !wanted() {
            return Self { number: None, line: String::new(), sent: Instant::now() };
        }
        let exchange = Self { number: Some(NUMBER.fetch_add(1, Ordering::Relaxed)), line: line(), sent: Instant::now() };
        exchange.say("->", "", content_type, body);
        exchange
    }

    /// Whether its answer is wanted.
    pub fn shown(&self) -> bool {
        self.number.is_some()
    }

    /// Shows the answer, or a part of one that never ends: an event of a watch.
    pub fn answer(&self, status: &str, content_type: &str, body: &[u8]) {
        let took = self.sent.elapsed().as_millis();
        self.say("<-", &format!(": {status} after {took} ms"), content_type, body);
    }

    fn say(&self, arrow: &str, more: &str, content_type: &str, body: &[u8]) {
        let Some(number) = self.number else { return };
        let body = shown(content_type, body);
        let body = if body.is_empty() { body } else { format!("\n{}", body.trim_end()) };
        tracing::trace!(target: TARGET, "{arrow} #{number} {}{more}{body}", self.line);
    }
}

/// A body as text, masked.
pub(crate) fn shown(content_type: &str, body: &[u8]) -> String {
    if body.is_empty() {
        return String::new();
    }
    let json = content_type.contains("json") || content_type.is_empty();
    if let Some(mut value) = json.then(|| serde_json::from_slice::<Value>(body).ok()).flatten() {
        conceal(&mut value);
        return cut(yaml(&value));
    }
    match std::str::from_utf8(body) {
        // What was cut cannot be told by what it is: it might hold anybody's secrets.
        Ok(text) if json && text.contains("\"Secret") => format!("({} bytes that cannot be read as JSON)", body.len()),
        Ok(text) => cut(mask(text)),
        Err(_) => format!("({} bytes of {content_type})", body.len()),
    }
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|error| format!("(cannot be shown as YAML: {error})"))
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        let rest = text.len() - LONGEST;
        let mut at = LONGEST;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.truncate(at);
        let _infallible = write!(text, "\n… and {rest} bytes more");
    }
    text
}

/// Takes secrets out of a JSON value, before a writer can wrap or escape them in a way of its own.
fn conceal(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default();
            let secret = kind == "Secret";
            // Objects of a list do not say what they are.
            if kind == "SecretList" {
                for item in map.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
                    if let Some(item) = item.as_object_mut() {
                        item.insert("kind".to_owned(), "Secret".into());
                    }
                }
            }
            for (key, inner) in map.iter_mut() {
                match inner {
                    Value::Object(data) if secret && matches!(key.as_str(), "data" | "stringData") => {
                        data.values_mut().for_each(|value| *value = MASK.into());
                    }
                    Value::String(text) if CREDENTIALS.contains(&key.to_lowercase().as_str()) => MASK.clone_into(text),
                    // `kubectl apply` keeps the whole object in an annotation.
                    Value::String(text) if key.ends_with("last-applied-configuration") => MASK.clone_into(text),
                    other => conceal(other),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(conceal),
        Value::String(text) => *text = mask(text),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> String {
        shown("application/json", value.to_string().as_bytes())
    }

    #[test]
    fn objects_are_yaml() {
        let text = of(&json!({"kind": "Namespace", "metadata": {"name": "x", "labels": {"a": "1"}}, "spec": {}}));
        assert_eq!(text, "kind: Namespace\nmetadata:\n  name: x\n  labels:\n    a: \"1\"\nspec: {}\n");
    }

    #[test]
    fn secrets_are_masked_by_what_they_are() {
        let secret = json!({"kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "Zm9yZWlnbg=="}, "stringData": {"b": "foreign"}});
        let list = json!({"kind": "SecretList", "items": [{"metadata": {"name": "x"}, "data": {"a": "Zm9yZWlnbg=="}}]});
        let event = json!({"type": "ADDED", "object": secret});
        let review = json!({"kind": "TokenReview", "spec": {"token": "foreign"}});
        let vm = json!({"spec": {"volumes": [{"cloudInitNoCloud": {"userData": "password: foreign"}}]}});
        let server = json!({"server": {"id": "1", "adminPass": "foreign"}});
        let cut = shown("application/json", &list.to_string().as_bytes()[..80]);
        assert!(!cut.contains("Zm9y") && cut.contains("80 bytes"), "{cut}");
        for value in [secret, list, event, review, vm, server] {
            let text = of(&value);
            assert!(text.contains(MASK) && !text.contains("foreign") && !text.contains("Zm9y"), "{text}");
        }
    }

    #[test]
    fn other_bodies_are_told() {
        assert_eq!(shown("text/xml", b"<a>b</a>"), "<a>b</a>");
        assert_eq!(shown("application/x-tar", &[0xff, 0xfe]), "(2 bytes of application/x-tar)");
        assert_eq!(shown("application/json", b"{broken"), "{broken");
        let long = shown("text/plain", "é".repeat(LONGEST).as_bytes());
        assert!(long.len() < LONGEST + 100 && long.ends_with("bytes more"), "{}", long.len());
    }
}
