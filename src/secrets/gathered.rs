//! Masking of files that were gathered from a cluster: by what they are, then by what is registered.

use std::ops::Range;

use serde_json::Value;

use super::{MASK, mask};

/// Annotation in which `kubectl apply` keeps the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Masks a file of a must-gather: the data of every Secret, whoever it belongs to, and every registered secret. Everything else
/// stays as it is, so that it can be used for an analysis.
pub fn gathered(text: &str) -> String {
    if !text.contains("Secret") {
        return mask(text);
    }
    if let Ok(mut value) = serde_json::from_str::<Value>(text) {
        return if conceal(&mut value) { mask(&format!("{value:#}\n")) } else { mask(text) };
    }
    mask(&conceal_yaml(text))
}

/// Masks in all of them, not only up to the first. Returns whether there were any.
fn any<'a>(values: impl Iterator<Item = &'a mut Value>) -> bool {
    values.filter_map(|value| conceal(value).then_some(())).count() > 0
}

/// Masks the data of Secrets in JSON. Returns whether there were any.
fn conceal(value: &mut Value) -> bool {
    match value {
        Value::Array(values) => any(values.iter_mut()),
        Value::Object(map) if map.get("kind").and_then(Value::as_str) == Some("SecretList") => {
            // Objects of a list do not say what they are.
            for item in map.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
                item.insert("kind".to_owned(), "Secret".into());
            }
            map.get_mut("items").is_some_and(conceal)
        }
        Value::Object(map) if map.get("kind").and_then(Value::as_str) == Some("Secret") => {
            if let Some(notes) = map.get_mut("metadata").and_then(|metadata| metadata.get_mut("annotations")?.as_object_mut()) {
                notes.iter_mut().filter(|(key, _)| *key == LAST_APPLIED).for_each(|(_, value)| *value = MASK.into());
            }
            for key in ["data", "stringData"] {
                if let Some(data) = map.get_mut(key).and_then(Value::as_object_mut) {
                    data.values_mut().for_each(|value| *value = MASK.into());
                }
            }
            true
        }
        Value::Object(map) => any(map.values_mut()),
        _ => false,
    }
}

/// Masks the data of Secrets in YAML, line by line, so that the rest keeps its form.
fn conceal_yaml(text: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut hidden = vec![false; lines.len()];
    let list = lines.iter().any(|line| is_kind(line, "SecretList"));
    for (at, line) in lines.iter().enumerate() {
        if is_kind(line, "Secret") {
            hide(&lines, object_of(&lines, at), Some(column(line)), &mut hidden);
        }
    }
    if list {
        hide(&lines, 0..lines.len(), None, &mut hidden);
    }
    let shown = lines.iter().zip(hidden).map(|(line, hidden)| if hidden { concealed(line) } else { (*line).to_owned() });
    shown.collect()
}

fn is_kind(line: &str, wanted: &str) -> bool {
    key_of(line).strip_prefix("kind:").is_some_and(|kind| kind.trim().trim_matches(['"', '\'']) == wanted)
}

/// A line from its key on: without indent and the dash of an item.
fn key_of(line: &str) -> &str {
    line.trim().trim_start_matches("- ").trim_start()
}

/// The column of a key: `- ` before it is part of its indent.
fn column(line: &str) -> usize {
    let rest = line.trim_start_matches(' ');
    let indent = line.len() - rest.len();
    if let Some(item) = rest.strip_prefix("- ") { indent + 2 + (item.len() - item.trim_start_matches(' ').len()) } else { indent }
}

fn begins_item(line: &str) -> bool {
    line.trim_start_matches(' ').starts_with("- ")
}

fn blank(line: &str) -> bool {
    line.trim().is_empty()
}

/// The lines of the object whose `kind` is in this line.
fn object_of(lines: &[&str], kind: usize) -> Range<usize> {
    let own = column(lines[kind]);
    let ends = |line: &str| line.starts_with("---") || (!blank(line) && column(line) < own);
    // It begins behind the last line that is further out, or with the dash of its item.
    let mut first = kind;
    while first > 0 && !(begins_item(lines[first]) && column(lines[first]) == own) && !ends(lines[first - 1]) {
        first -= 1;
    }
    let next = |line: &&str| ends(line) || (begins_item(line) && column(line) == own);
    let last = lines[kind + 1..].iter().position(next).map_or(lines.len(), |more| kind + 1 + more);
    first..last
}

/// Marks the lines of `data` and `stringData`, at this column or at any, and of what `kubectl apply` keeps.
fn hide(lines: &[&str], object: Range<usize>, own: Option<usize>, hidden: &mut [bool]) {
    let mut within: Option<usize> = None;
    for at in object {
        let line = lines[at];
        if blank(line) {
            continue;
        }
        let here = column(line);
        if within.is_some_and(|data| here > data) {
            hidden[at] = true;
            continue;
        }
        let key = key_of(line);
        let data = (key.starts_with("data:") || key.starts_with("stringData:")) && own.is_none_or(|own| own == here);
        within = (data || key.starts_with(LAST_APPLIED)).then_some(here);
        // `data: {"a": "…"}` in one line.
        hidden[at] |= within.is_some() && key.split_once(':').is_some_and(|(_, value)| !value.trim().is_empty());
    }
}

/// A line of data without its value.
fn concealed(line: &str) -> String {
    let end = if line.ends_with('\n') { "\n" } else { "" };
    match line.split_once(':') {
        Some((key, value)) if !value.trim().is_empty() && is_name(key) => format!("{key}: {MASK}{end}"),
        Some((key, _)) if is_name(key) => line.to_owned(),
        // A line of a longer value.
        _ => format!("{}{MASK}{end}", &line[..line.len() - line.trim_start().len()]),
    }
}

/// Whether it is what a key of a Secret or of an annotation is made of.
fn is_name(key: &str) -> bool {
    let key = key.trim().trim_start_matches("- ").trim_matches(['"', '\'']);
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_of_secrets_is_masked_by_structure_and_the_rest_stays() {
        let text = "\
apiVersion: v1
items:
- apiVersion: v1
  data:
    foreign: Zm9yZWlnbg==
    wrapped: |
      Zm9yZWln
      bg==
  kind: Secret
  metadata:
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: |
        {\"apiVersion\":\"v1\",\"data\":{\"foreign\":\"Zm9yZWlnbg==\"}}
      kept: seen
    name: one
- apiVersion: v1
  data:
    shown: dmlzaWJsZQ==
  kind: ConfigMap
- kind: Secret
  stringData:
    b: foreign
  type: Opaque
kind: List
---
data: {\"x\": \"Zm9yZWlnbg==\"}
kind: Secret
---
kind: Pod
spec:
  image: registry.example.com/x
  volumes:
  - secret: {}
";
        let masked = gathered(text);
        for gone in ["Zm9yZW", "bg==", ": foreign"] {
            assert!(!masked.contains(gone), "{gone}: {masked}");
        }
        for kept in [
            "foreign: [secret]",
            "dmlzaWJsZQ==",
            "name: one",
            "kept: seen",
            "type: Opaque",
            "kind: List",
            "image: registry.example.com/x",
            "- secret: {}",
        ] {
            assert!(masked.contains(kept), "{kept}: {masked}");
        }
        let list = "items:\n- data:\n    a: Zm9yZWlnbg==\n  metadata:\n    name: one\nkind: SecretList\n";
        assert_eq!(gathered(list), "items:\n- data:\n    a: [secret]\n  metadata:\n    name: one\nkind: SecretList\n");
        let without = "kind: Pod\nmetadata:\n  name: a-Secret-name\n";
        assert_eq!(gathered(without), without);
    }

    #[test]
    fn secrets_in_json_are_masked_too() {
        let text = r#"{"kind":"List","items":[{"kind":"Secret","data":{"a":"Zm9yZWlnbg=="}},{"kind":"ConfigMap","data":{"b":"seen"}}]}"#;
        let masked = gathered(text);
        assert!(!masked.contains("Zm9y") && masked.contains("seen") && masked.contains(MASK), "{masked}");
    }
}
