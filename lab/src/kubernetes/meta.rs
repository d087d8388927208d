//! Rules for names, labels and annotations, in the words of the real server's messages.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::status::Cause;

#[expect(clippy::expect_used, reason = "constant patterns, compiled by the tests of this file")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

static SUBDOMAIN: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"));
static DNS_LABEL: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"));
static QUALIFIED: LazyLock<Regex> = LazyLock::new(|| pattern(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$"));
static LABEL_VALUE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"));
static CONFIG_KEY: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[-._a-zA-Z0-9]+$"));

/// Longest name of an object, bytes (RFC 1123 subdomain).
const SUBDOMAIN_LENGTH: usize = 253;
/// Longest DNS label and label value, bytes.
const LABEL_LENGTH: usize = 63;
/// All annotations of an object together, bytes.
const ANNOTATIONS_SIZE: usize = 256 * 1024;

/// What a name of a resource may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain: most resources.
    Subdomain,
    /// RFC 1123 label: namespaces and services.
    Label,
    /// Anything that can stand in a path: roles and bindings.
    PathSegment,
}

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} characters")
}

fn subdomain(name: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if name.len() > SUBDOMAIN_LENGTH {
        problems.push(too_long(SUBDOMAIN_LENGTH));
    }
    if !SUBDOMAIN.is_match(name) {
        problems.push(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an \
             alphanumeric character (e.g. 'example.com', regex used for validation is \
             '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                .to_owned(),
        );
    }
    problems
}

impl NameRule {
    /// What is wrong with a name; nothing if it is good.
    pub fn problems(self, name: &str) -> Vec<String> {
        let mut problems = Vec::new();
        match self {
            Self::Subdomain => return subdomain(name),
            Self::Label => {
                if name.len() > LABEL_LENGTH {
                    problems.push(too_long(LABEL_LENGTH));
                }
                if !DNS_LABEL.is_match(name) {
                    problems.push(
                        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an \
                         alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
                            .to_owned(),
                    );
                }
            }
            Self::PathSegment => {
                if name == "." || name == ".." {
                    problems.push(format!("may not be '{name}'"));
                }
                problems.extend(["/", "%"].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")));
            }
        }
        problems
    }
}

/// What is wrong with a label key or annotation key.
pub fn qualified_name(key: &str) -> Vec<String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let mut problems = Vec::new();
    let shape = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character \
                 (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    if key.matches('/').count() > 1 {
        return vec![
            format!("a valid label key {}", shape.trim_start_matches("name part "))
                + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        ];
    }
    match prefix {
        Some("") => problems.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => problems.extend(subdomain(prefix).into_iter().map(|problem| format!("prefix part {problem}"))),
        None => {}
    }
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_LENGTH {
        problems.push(format!("name part {}", too_long(LABEL_LENGTH)));
    }
    if !QUALIFIED.is_match(name) {
        problems.push(shape.to_owned());
    }
    problems
}

/// What is wrong with a label's value.
pub fn label_value(value: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if value.len() > LABEL_LENGTH {
        problems.push(too_long(LABEL_LENGTH));
    }
    if !LABEL_VALUE.is_match(value) {
        problems.push(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
             alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
             '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                .to_owned(),
        );
    }
    problems
}

/// What is wrong with a key of a ConfigMap or Secret.
pub fn config_key(key: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if key.len() > SUBDOMAIN_LENGTH {
        problems.push(too_long(SUBDOMAIN_LENGTH));
    }
    if !CONFIG_KEY.is_match(key) {
        problems.push(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex \
             used for validation is '[-._a-zA-Z0-9]+')"
                .to_owned(),
        );
    }
    problems
}

/// What is wrong with an object's metadata.
pub fn validate(object: &Value, rule: NameRule) -> Vec<Cause> {
    let metadata = &object["metadata"];
    let mut causes = Vec::new();
    let mut check = |field: &str, value: &str, problems: Vec<String>| {
        causes.extend(problems.iter().map(|problem| Cause::invalid(field, &value.into(), problem)));
    };
    if let Some(prefix) = metadata["generateName"].as_str().filter(|prefix| !prefix.is_empty()) {
        // A prefix may end in a dash: a name will follow.
        let probe = format!("{}a", prefix.trim_end_matches('-'));
        check("metadata.generateName", prefix, rule.problems(&probe));
    }
    let name = metadata["name"].as_str().unwrap_or_default();
    if !name.is_empty() {
        check("metadata.name", name, rule.problems(name));
    }
    for (key, value) in metadata["labels"].as_object().into_iter().flatten() {
        check("metadata.labels", key, qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        check("metadata.labels", value, label_value(value));
    }
    let mut size = 0;
    for (key, value) in metadata["annotations"].as_object().into_iter().flatten() {
        check("metadata.annotations", key, qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if let Some(number) = metadata["generation"].as_i64().filter(|number| *number < 0) {
        causes.push(Cause::invalid("metadata.generation", &number.into(), "must be greater than or equal to 0"));
    }
    for finalizer in metadata["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let problems = qualified_name(finalizer);
        causes.extend(problems.iter().map(|problem| Cause::invalid("metadata.finalizers", &finalizer.into(), problem)));
    }
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    }
    if size > ANNOTATIONS_SIZE {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {ANNOTATIONS_SIZE} bytes"),
            field: "metadata.annotations".into(),
        });
    }
    let finalizers = &metadata["finalizers"];
    let has = |name: &str| finalizers.as_array().is_some_and(|all| all.iter().any(|finalizer| finalizer == name));
    if has("orphan") && has("foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        causes.push(Cause::invalid("metadata.finalizers", finalizers, detail));
    }
    owners(metadata, &mut causes);
    causes
}

/// What is wrong with the references to owners.
fn owners(metadata: &Value, causes: &mut Vec<Cause>) {
    const FIELD: &str = "metadata.ownerReferences";
    let all = &metadata["ownerReferences"];
    let text = |owner: &Value, field: &str| owner[field].as_str().unwrap_or_default().to_owned();
    let mut controller: Option<String> = None;
    for owner in all.as_array().into_iter().flatten() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                let detail = if field == "apiVersion" { "version must not be empty" } else { "must not be empty" };
                causes.push(Cause::invalid(format!("{FIELD}.{field}"), &text(owner, field).into(), detail));
            }
        }
        if (text(owner, "apiVersion").as_str(), text(owner, "kind").as_str()) == ("v1", "Event") {
            causes.push(Cause::invalid(FIELD, owner, "/v1, Kind=Event is disallowed from being an owner"));
        }
        if owner["controller"] == true {
            let this = format!("{}/{}", text(owner, "kind"), text(owner, "name"));
            if let Some(first) = controller.as_ref() {
                let detail =
                    format!("Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}");
                causes.push(Cause::invalid(FIELD, all, &detail));
            }
            controller.get_or_insert(this);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_rule() {
        for (rule, name, good) in [
            (NameRule::Subdomain, "a.b-c", true),
            (NameRule::Subdomain, "A", false),
            (NameRule::Subdomain, "a_b", false),
            (NameRule::Subdomain, "-a", false),
            (NameRule::Label, "a.b", false),
            (NameRule::Label, "1a", true),
            (NameRule::PathSegment, "system:a", true),
            (NameRule::PathSegment, "a/b", false),
        ] {
            assert_eq!(rule.problems(name).is_empty(), good, "{rule:?} {name}");
        }
        assert!(!NameRule::Subdomain.problems(&"a".repeat(254)).is_empty());
    }

    #[test]
    fn keys_and_values() {
        for (key, good) in
            [("a", true), ("a.io/b", true), ("a/b/c", false), ("/b", false), ("a.io/", false), ("a b", false), ("A_.b", true)]
        {
            assert_eq!(qualified_name(key).is_empty(), good, "{key}");
        }
        for (value, good) in [("", true), ("a_B.1", true), ("-a", false), ("a b", false)] {
            assert_eq!(label_value(value).is_empty(), good, "{value}");
        }
        assert!(config_key("a.b_C-1").is_empty() && !config_key("a/b").is_empty());
    }
}
