//! Answers without what differs from run to run, and what is different about two of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::LazyLock,
};

use regex::Regex;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::steps::Compare;

/// Headers that clients act on.
const HEADERS: [&str; 5] = ["content-type", "warning", "retry-after", "www-authenticate", "cache-control"];

static UID: LazyLock<Regex> = LazyLock::new(|| Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap());
static TIME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").unwrap());
static AGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(\d+[smhdy])+$").unwrap());
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d+\.\d+\.\d+\.\d+:\d+").unwrap());
/// Versions in the words of the two messages that carry them.
static VERSION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(resource version: |current: |too old.* \(|in record \()\d+(\))?").unwrap());

/// What a server said.
#[derive(Debug, Clone)]
pub struct Answer {
    /// File and request.
    pub place: String,
    /// HTTP code.
    pub code: u16,
    headers: BTreeMap<&'static str, Vec<String>>,
    /// JSON, or text as a string.
    pub body: Value,
    /// Values that this server gave so far.
    pub kept: BTreeMap<String, String>,
    /// How much of it counts.
    pub compare: Compare,
}

impl Answer {
    /// Code and headers of a response.
    pub fn of(response: &reqwest::Response) -> Self {
        let all = |name: &str| -> Vec<String> {
            response.headers().get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
        };
        let headers = HEADERS.into_iter().map(|name| (name, all(name))).filter(|(_, values)| !values.is_empty()).collect();
        let code = response.status().as_u16();
        Self { place: String::new(), code, headers, body: Value::Null, kept: BTreeMap::new(), compare: Compare::All }
    }

    fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in self.kept.iter().filter(|(name, value)| *name != "ns" && value.len() > 3) {
            let at = Regex::new(&format!(r"\b{}\b", regex::escape(value))).unwrap();
            text = at.replace_all(&text, format!("<{name}>")).into_owned();
        }
        let text = UID.replace_all(&text, "<uid>");
        let text = TIME.replace_all(&text, "<time>");
        let text = ADDRESS.replace_all(&text, "<address>");
        VERSION.replace_all(&text, "${1}<version>${2}").into_owned()
    }

    fn normal(&self, key: &str, value: &Value) -> Value {
        match value {
            Value::String(text) => match key {
                "uid" | "resourceVersion" | "continue" | "controller-uid" | "batch.kubernetes.io/controller-uid" if !text.is_empty() => {
                    format!("<{key}>").into()
                }
                _ => self.text(text).into(),
            },
            Value::Array(items) if key == "managedFields" => {
                // Their order follows the seconds in which they were written.
                let mut items: Vec<Value> = items.iter().map(|item| self.normal("", item)).collect();
                items.sort_by_cached_key(|item| format!("{}{}{}", item["manager"], item["operation"], item["subresource"]));
                items.into()
            }
            Value::Array(items) if key == "cells" => items
                .iter()
                .map(|item| if item.as_str().is_some_and(|cell| AGE.is_match(cell)) { "<age>".into() } else { self.normal("", item) })
                .collect(),
            Value::Array(items) => items.iter().map(|item| self.normal("", item)).collect(),
            Value::Object(map) => {
                map.iter().map(|(key, value)| (self.text(key), self.normal(key, value))).collect::<serde_json::Map<_, _>>().into()
            }
            other => other.clone(),
        }
    }

    fn whole(&self) -> Value {
        let headers: BTreeMap<_, Vec<String>> =
            self.headers.iter().map(|(name, values)| (*name, values.iter().map(|value| self.text(value)).collect())).collect();
        let body = match self.compare {
            Compare::Head | Compare::Nothing => Value::Null,
            _ => self.normal("", &self.body),
        };
        json!({ "code": self.code, "headers": headers, "body": body })
    }
}

/// One place where two answers differ.
pub struct Difference {
    /// `FILE: REQUEST #/pointer`.
    pub place: String,
    expected: Option<Value>,
    found: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
        write!(f, "{}\n    real: {}\n    lab:  {}", self.place, shown(&self.expected), shown(&self.found))
    }
}

/// Where two answers to the same request differ.
pub fn differences(expected: &Answer, found: &Answer) -> Vec<Difference> {
    let mut all = Vec::new();
    if expected.compare != Compare::Nothing {
        walk(expected.compare, &format!("{} #", expected.place), Some(&expected.whole()), Some(&found.whole()), &mut all);
    }
    all
}

/// What an item of a list is called.
fn name(item: &Value) -> Option<&str> {
    let of = |pointer: &str| item.pointer(pointer).and_then(Value::as_str);
    of("/metadata/name").or_else(|| of("/name")).or_else(|| of("/resource")).or_else(|| of("/subresource")).or_else(|| of("/version"))
}

fn walk(compare: Compare, place: &str, expected: Option<&Value>, found: Option<&Value>, all: &mut Vec<Difference>) {
    match (expected, found) {
        (Some(Value::Object(expected)), Some(Value::Object(found))) => {
            let keys: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
            for key in keys {
                walk(compare, &format!("{place}/{}", key.replace('/', "~1")), expected.get(key), found.get(key), all);
            }
        }
        (Some(Value::Array(expected)), Some(Value::Array(found)))
            if compare == Compare::Common && found.iter().all(|i| name(i).is_some()) =>
        {
            for item in found {
                let same = expected.iter().find(|other| name(other) == name(item));
                walk(compare, &format!("{place}/{}", name(item).unwrap_or_default()), same, Some(item), all);
            }
        }
        (Some(Value::Array(expected)), Some(Value::Array(found))) => {
            for at in 0..expected.len().max(found.len()) {
                walk(compare, &format!("{place}/{at}"), expected.get(at), found.get(at), all);
            }
        }
        (Some(expected), Some(found)) if compare == Compare::Fields && expected.is_string() == found.is_string() => {}
        (expected, found) if expected == found => {}
        (expected, found) => {
            all.push(Difference { place: place.to_owned(), expected: expected.cloned(), found: found.cloned() });
        }
    }
}

/// A difference that stays, with its reason.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    /// For readers of the file.
    #[serde(rename = "reason")]
    _reason: String,
    /// Regular expressions for the places.
    places: Vec<String>,
}

/// The listed differences.
#[derive(Debug, Deserialize)]
pub struct Differences {
    #[serde(default)]
    difference: Vec<Entry>,
}

impl Differences {
    /// Reads `differences.toml`.
    pub fn read() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/differences.toml");
        toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.difference.len()
    }

    /// The entry that covers a place.
    pub fn listed(&self, place: &str) -> Option<&str> {
        let covers = |entry: &&Entry| entry.places.iter().any(|pattern| Regex::new(pattern).unwrap().is_match(place));
        self.difference.iter().find(covers).map(|entry| entry.name.as_str())
    }

    /// Entries that covered nothing.
    pub fn names_without(&self, used: &BTreeSet<&str>) -> Vec<&str> {
        self.difference.iter().map(|entry| entry.name.as_str()).filter(|name| !used.contains(name)).collect()
    }
}
