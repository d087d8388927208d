//! Sets of fields, as `managedFields` writes them, and the structure of objects that they follow.
//!
//! A path is a list of elements in their wire form: `f:name` for a field, `k:{"name":"a"}` for an element of a keyed
//! list, `v:"x"` for a member of a set. A set is the sorted set of the paths of its members.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    resource::Resource,
    schema::{ListType, Schema},
    strategic,
};

/// A path.
pub type Path = Vec<String>;
/// A set of fields.
pub type Paths = BTreeSet<Path>;

/// Objects of built-in kinds that are replaced as a whole.
const ATOMIC: &[&str] = &[
    "selector",
    "nodeSelector",
    "labelSelector",
    "namespaceSelector",
    "involvedObject",
    "related",
    "roleRef",
    "dataSource",
    "configMapKeyRef",
    "secretKeyRef",
    "fieldRef",
    "resourceFieldRef",
    "targetRef",
];

/// How the parts of a value are owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// As a whole: scalars, atomic lists and objects.
    Whole,
    /// Field by field.
    Fields,
    /// Element by element, by these keys.
    Keyed(Vec<String>),
    /// Member by member.
    Set,
}

/// What is known about the structure at one place of an object.
#[derive(Clone, Copy)]
pub struct Guide<'a> {
    kind: &'a str,
    field: &'a str,
    parent: &'a str,
    top: bool,
    /// An element of a list.
    item: bool,
    structure: Structure<'a>,
}

/// Where the structure of a part is written.
#[derive(Clone, Copy)]
enum Structure<'a> {
    /// In the table of built-in kinds, which metadata of custom resources follows as well.
    Table,
    /// In this schema.
    Schema(&'a Schema),
    /// Nowhere: a part that a custom resource keeps unread.
    Unknown,
}

impl<'a> Structure<'a> {
    fn part(self, find: impl FnOnce(&'a Schema) -> Option<&'a Schema>) -> Self {
        match self {
            Self::Schema(schema) => find(schema).map_or(Self::Unknown, Self::Schema),
            other => other,
        }
    }
}

impl<'a> Guide<'a> {
    /// The guide of a whole object.
    pub fn of(resource: &'a Resource) -> Self {
        let structure = match (resource.custom, resource.schema.as_deref()) {
            (false, _) => Structure::Table,
            (true, Some(schema)) => Structure::Schema(schema),
            (true, None) => Structure::Unknown,
        };
        Self { kind: &resource.kind, field: "", parent: "", top: true, item: false, structure }
    }

    fn child(self, key: &'a str) -> Self {
        let structure = if self.top && key == "metadata" { Structure::Table } else { self.structure.part(|schema| schema.field(key)) };
        Self { kind: self.kind, field: key, parent: self.field, top: false, item: false, structure }
    }

    fn item(self) -> Self {
        Self { top: false, item: true, structure: self.structure.part(|schema| schema.items.as_deref()), ..self }
    }

    fn merge(self, value: &Value) -> Merge {
        match (value, self.structure) {
            (Value::Object(_), Structure::Schema(schema)) if schema.atomic => Merge::Whole,
            (Value::Object(_), Structure::Table) if ATOMIC.contains(&self.field) => Merge::Whole,
            (Value::Object(_), Structure::Table) if self.field == "ownerReferences" => Merge::Whole,
            (Value::Object(_), _) => Merge::Fields,
            (Value::Array(_), Structure::Schema(schema)) => match &schema.list {
                ListType::Map(keys) => Merge::Keyed(keys.clone()),
                ListType::Set => Merge::Set,
                ListType::Atomic => Merge::Whole,
            },
            (Value::Array(_), Structure::Table) if strategic::is_set(self.field, self.parent) => Merge::Set,
            (Value::Array(items), Structure::Table) => match strategic::merge_key(self.field, self.parent, self.kind) {
                Some(key) if items.iter().all(Value::is_object) => {
                    let second = match self.field {
                        "ports" => Some("protocol"),
                        "topologySpreadConstraints" => Some("whenUnsatisfiable"),
                        _ => None,
                    };
                    Merge::Keyed(std::iter::once(key).chain(second).map(str::to_owned).collect())
                }
                _ => Merge::Whole,
            },
            _ => Merge::Whole,
        }
    }

    /// Go structs that are always there, even in an empty object: they are never added.
    fn always_there(self) -> bool {
        self.top
            || (matches!(self.structure, Structure::Table)
                && !self.item
                && (matches!(self.field, "metadata" | "spec" | "status" | "template" | "strategy" | "containers")
                    || (self.field == "resources" && self.kind == "PersistentVolumeClaim")))
    }
}

fn element(item: &Value, keys: &[String]) -> String {
    let mut sorted: Vec<&String> = keys.iter().collect();
    sorted.sort();
    let key: Map<String, Value> = sorted
        .into_iter()
        .filter_map(|key| match item.get(key) {
            Some(value) => Some((key.clone(), value.clone())),
            // The one key that has a default.
            None if key == "protocol" => Some((key.clone(), "TCP".into())),
            None => None,
        })
        .collect();
    format!("k:{}", Value::Object(key))
}

/// The parts of a value with their elements.
fn parts<'a>(value: &'a Value, merge: &Merge) -> Vec<(String, &'a Value)> {
    match (merge, value) {
        (Merge::Fields, Value::Object(map)) => map.iter().map(|(key, value)| (format!("f:{key}"), value)).collect(),
        (Merge::Keyed(keys), Value::Array(items)) => items.iter().map(|item| (element(item, keys), item)).collect(),
        (Merge::Set, Value::Array(items)) => items.iter().map(|item| (format!("v:{item}"), item)).collect(),
        _ => Vec::new(),
    }
}

fn guide_of<'a>(guide: Guide<'a>, element: &'a str) -> Guide<'a> {
    element.strip_prefix("f:").map_or_else(|| guide.item(), |key| guide.child(key))
}

/// Everything that an applied object names.
pub fn named(guide: Guide<'_>, value: &Value, path: &mut Path, into: &mut Paths) {
    let merge = guide.merge(value);
    let parts = parts(value, &merge);
    if merge == Merge::Whole || parts.is_empty() {
        into.insert(path.clone());
        return;
    }
    for (element, part) in parts {
        let member = !element.starts_with("f:");
        let next = guide_of(guide, &element);
        path.push(element.clone());
        if member {
            into.insert(path.clone());
        }
        if !element.starts_with("v:") {
            named(next, part, path, into);
        }
        path.pop();
    }
}

/// What differs between two states.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Came or changed.
    pub written: Paths,
    /// Went.
    pub removed: Paths,
}

/// Compares two states.
pub fn compare(guide: Guide<'_>, old: Option<&Value>, new: Option<&Value>, path: &mut Path, into: &mut Difference) {
    let Some(shown) = new.or(old) else { return };
    let merge = guide.merge(shown);
    let other = new.and(old).map(|old| guide.merge(old));
    if merge == Merge::Whole || other.is_some_and(|other| other != merge) {
        match (old, new) {
            (_, None) => {
                into.removed.insert(path.clone());
            }
            (old, Some(new)) if old != Some(new) => {
                into.written.insert(path.clone());
            }
            _ => {}
        }
        return;
    }
    let (before, after) = (old.map(|old| parts(old, &merge)).unwrap_or_default(), new.map(|new| parts(new, &merge)).unwrap_or_default());
    match (old, new) {
        (None, Some(_)) if !guide.always_there() || after.is_empty() => {
            into.written.insert(path.clone());
        }
        (Some(_), None) => {
            into.removed.insert(path.clone());
        }
        _ => {}
    }
    let elements: BTreeSet<&String> = before.iter().chain(&after).map(|(element, _)| element).collect();
    for element in elements {
        let find =
            |parts: &[(String, &Value)]| parts.iter().find(|(candidate, _)| candidate == element).map(|(_, value)| Value::clone(value));
        let (before, after) = (find(&before), find(&after));
        path.push(element.clone());
        if element.starts_with("v:") {
            match (&before, &after) {
                (None, _) => into.written.insert(path.clone()),
                (_, None) => into.removed.insert(path.clone()),
                _ => false,
            };
        } else {
            compare(guide_of(guide, element), before.as_ref(), after.as_ref(), path, into);
        }
        path.pop();
    }
}

/// Merges an applied object into the live one.
pub fn merged(guide: Guide<'_>, live: &mut Value, applied: &Value) {
    let merge = guide.merge(applied);
    if merge == Merge::Whole || guide.merge(live) != merge && !live.is_null() {
        *live = applied.clone();
        return;
    }
    if live.is_null() {
        *live = if applied.is_object() { json!({}) } else { json!([]) };
    }
    for (element, part) in parts(applied, &merge) {
        let next = guide_of(guide, &element);
        match (&merge, &mut *live) {
            (Merge::Fields, Value::Object(map)) => {
                let key = element.trim_start_matches("f:").to_owned();
                merged(next, map.entry(key).or_insert(Value::Null), part);
            }
            (Merge::Keyed(keys), Value::Array(items)) => match items.iter_mut().find(|item| self::element(item, keys) == element) {
                Some(item) => merged(next, item, part),
                None => items.push(part.clone()),
            },
            (Merge::Set, Value::Array(items)) if !items.contains(part) => items.push(part.clone()),
            _ => {}
        }
    }
}

/// Removes what stands at a path; a parent that becomes empty goes unless `kept` says otherwise.
pub fn remove(guide: Guide<'_>, value: &mut Value, path: &[String], kept: &dyn Fn(&[String]) -> bool, depth: usize) {
    let Some(element) = path.get(depth) else { return };
    let last = depth + 1 == path.len();
    let merge = guide.merge(value);
    let empty = |value: &Value| value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    match (&merge, value) {
        (Merge::Fields, Value::Object(map)) => {
            let key = element.trim_start_matches("f:");
            let Some(part) = map.get_mut(key) else { return };
            if !last {
                remove(guide.child(key), part, path, kept, depth + 1);
            }
            if last || (empty(part) && !kept(&path[..=depth])) {
                map.shift_remove(key);
            }
        }
        (Merge::Keyed(keys), Value::Array(items)) => {
            let Some(index) = items.iter().position(|item| self::element(item, keys) == *element) else { return };
            if last {
                items.remove(index);
            } else {
                remove(guide.item(), &mut items[index], path, kept, depth + 1);
            }
        }
        (Merge::Set, Value::Array(items)) if last => items.retain(|item| format!("v:{item}") != *element),
        _ => {}
    }
}

/// Takes out the marks that the wire form leaves out, and sorts.
fn tidy(value: &mut Value) {
    if let Value::Object(map) = value {
        // A member without children needs no mark.
        if map.len() == 1 && map.contains_key(".") {
            map.clear();
        }
        map.values_mut().for_each(tidy);
        map.sort_keys();
    }
}

/// A set in its wire form.
pub fn encode(paths: &Paths) -> Value {
    let mut root = json!({});
    for path in paths {
        let mut at = &mut root;
        for element in path {
            at = &mut at[element.as_str()];
            if at.is_null() {
                *at = json!({});
            }
        }
        at["."] = json!({});
    }
    tidy(&mut root);
    root
}

/// Reads the wire form.
pub fn decode(value: &Value) -> Paths {
    fn walk(value: &Value, path: &mut Path, into: &mut Paths) {
        let Some(map) = value.as_object() else { return };
        if map.is_empty() && !path.is_empty() {
            into.insert(path.clone());
        }
        for (element, inner) in map {
            if element == "." {
                into.insert(path.clone());
                continue;
            }
            path.push(element.clone());
            walk(inner, path, into);
            path.pop();
        }
    }
    let mut paths = Paths::new();
    walk(value, &mut Vec::new(), &mut paths);
    paths
}

/// A path as messages show it: `.spec.containers[name="a"].image`.
pub fn shown(path: &[String]) -> String {
    let element = |element: &String| match element.split_once(':') {
        Some(("f", field)) => format!(".{field}"),
        Some(("k", key)) => {
            let key: Value = serde_json::from_str(key).unwrap_or_default();
            let pairs: Vec<String> = key.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
            format!("[{}]", pairs.join(","))
        }
        Some(("v", value)) => format!("[={value}]"),
        _ => format!("[{element}]"),
    };
    path.iter().map(element).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POD: Guide<'static> = Guide { kind: "Pod", field: "", parent: "", top: true, item: false, structure: Structure::Table };

    fn set(value: &Value) -> Paths {
        let mut paths = Paths::new();
        named(POD, value, &mut Vec::new(), &mut paths);
        paths
    }

    #[test]
    fn the_wire_form() {
        let object = json!({ "metadata": { "finalizers": ["a"] }, "spec": { "containers": [{ "name": "c", "args": ["x"] }], "nodeSelector": { "k": "v" } } });
        let expected = json!({
            "f:metadata": { "f:finalizers": { "v:\"a\"": {} } },
            "f:spec": { "f:containers": { "k:{\"name\":\"c\"}": { ".": {}, "f:args": {}, "f:name": {} } }, "f:nodeSelector": {} },
        });
        let paths = set(&object);
        assert_eq!(encode(&paths), expected);
        assert_eq!(decode(&expected), paths);
        let path = ["f:spec", "f:containers", "k:{\"name\":\"c\"}", "f:args"].map(str::to_owned);
        assert_eq!(shown(&path), ".spec.containers[name=\"c\"].args");
    }

    fn object() -> impl Strategy<Value = Value> {
        let container = ("[a-c]", "[x-z]").prop_map(|(name, image)| json!({ "name": name, "image": image }));
        (
            proptest::collection::btree_map("[a-c]", "[x-z]", 0..3),
            proptest::collection::vec(container, 0..3),
            proptest::collection::btree_set("[a-c]", 0..3),
        )
            .prop_map(|(labels, mut containers, finalizers)| {
                containers.sort_by_key(|c| c["name"].to_string());
                containers.dedup_by_key(|c| c["name"].to_string());
                json!({ "metadata": { "labels": labels, "finalizers": finalizers }, "spec": { "containers": containers } })
            })
    }

    proptest! {
        #[test]
        fn the_wire_form_loses_nothing(object in object()) {
            let paths = set(&object);
            prop_assert_eq!(decode(&encode(&paths)), paths);
        }

        #[test]
        fn merging_twice_changes_nothing(live in object(), applied in object()) {
            let mut once = live;
            merged(POD, &mut once, &applied);
            let mut twice = once.clone();
            merged(POD, &mut twice, &applied);
            prop_assert_eq!(twice, once);
        }

        #[test]
        fn what_was_merged_is_there(live in object(), applied in object()) {
            let mut state = live;
            merged(POD, &mut state, &applied);
            let (have, want) = (set(&state), set(&applied));
            // An empty list or map that was applied may hold the live one's members.
            prop_assert!(want.iter().all(|path| have.iter().any(|have| have.starts_with(path))));
        }

        #[test]
        fn equal_states_do_not_differ(object in object()) {
            let mut difference = Difference::default();
            compare(POD, Some(&object), Some(&object), &mut Vec::new(), &mut difference);
            prop_assert_eq!(difference, Difference::default());
        }
    }
}
