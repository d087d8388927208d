//! Sets of fields, as `managedFields` writes them, and the structure of objects that they follow.
//!
//! A path is a list of elements in their wire form: `f:name` for a field, `k:{"name":"a"}` for an element of a keyed
//! list, `v:"x"` for a member of a set. A set is the sorted set of the paths of its members.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    resource::Resource,
    schema::{ListType, Schema},
    types::{self, Field, ListKind, Message, Shape},
};

/// A path.
pub type Path = Vec<String>;
/// A set of fields.
pub type Paths = BTreeSet<Path>;

/// How the parts of a value are owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merge {
    /// As a whole: scalars, atomic lists and objects.
    Whole,
    /// Field by field.
    Fields,
    /// Element by element, by these keys, each with what it is if an element lacks it.
    Keyed(Vec<(String, Option<Value>)>),
    /// Member by member.
    Set,
}

/// What is known about the structure at one place of an object.
#[derive(Clone, Copy)]
pub struct Guide<'a> {
    structure: Structure<'a>,
    /// Owned as a whole, whatever it holds.
    whole: bool,
}

/// Where the structure of a part is written.
#[derive(Clone, Copy)]
pub enum Structure<'a> {
    /// A struct of a built-in kind.
    Message(&'static Message),
    /// A list, a map or a scalar of one.
    Field(&'static Field),
    /// A scalar in a list or map.
    Scalar(&'static Field),
    /// A custom resource; metadata are those of all objects.
    Custom(&'a Schema),
    /// A part of one.
    Schema(&'a Schema),
    /// Nowhere: a part that a custom resource keeps unread.
    Unknown,
}

/// What a key of a list counts as when an element lacks it.
fn absent(item: &Message, key: &str) -> Option<Value> {
    let field = item.field(key)?;
    match (field.default, field.kind) {
        (Some(text), _) => Some(text.into()),
        (None, _) if field.omit_empty || field.pointer => None,
        (None, "string") => Some("".into()),
        (None, _) => Some(0.into()),
    }
}

impl<'a> Guide<'a> {
    /// The guide of a whole object.
    pub fn of(resource: &'a Resource) -> Self {
        let structure = match (resource.message, resource.schema.as_deref()) {
            (Some(message), _) => Structure::Message(message),
            (None, Some(schema)) => Structure::Custom(schema),
            (None, None) => Structure::Unknown,
        };
        Self { structure, whole: false }
    }

    /// The guide of a struct of the table.
    pub fn of_message(message: &'static Message) -> Self {
        Self { structure: Structure::Message(message), whole: false }
    }

    /// Where it is written.
    pub fn structure(self) -> Structure<'a> {
        self.structure
    }

    fn of_field(field: &'static Field) -> Self {
        match (field.shape, field.message()) {
            (Shape::One, Some(message)) => Self { structure: Structure::Message(message), whole: field.atomic || message.atomic },
            _ => Self { structure: Structure::Field(field), whole: field.atomic },
        }
    }

    fn of_schema(schema: Option<&'a Schema>) -> Self {
        Self { structure: schema.map_or(Structure::Unknown, Structure::Schema), whole: schema.is_some_and(|schema| schema.atomic) }
    }

    /// The guide of a field.
    pub fn child(self, key: &str) -> Self {
        match self.structure {
            Structure::Message(message) => message.field(key).map_or(Self { structure: Structure::Unknown, whole: false }, Self::of_field),
            Structure::Custom(_) if key == "metadata" => {
                types::metadata().map_or(Self { structure: Structure::Unknown, whole: false }, Self::of_message)
            }
            Structure::Custom(schema) | Structure::Schema(schema) => Self::of_schema(schema.field(key)),
            Structure::Field(_) => self.item(),
            Structure::Scalar(_) | Structure::Unknown => Self { structure: Structure::Unknown, whole: false },
        }
    }

    /// The guide of what stands in a list or map.
    pub fn item(self) -> Self {
        match self.structure {
            Structure::Field(field) => match field.message() {
                Some(message) => Self { structure: Structure::Message(message), whole: message.atomic },
                None => Self { structure: Structure::Scalar(field), whole: false },
            },
            Structure::Custom(schema) | Structure::Schema(schema) => Self::of_schema(schema.items.as_deref()),
            Structure::Message(_) | Structure::Scalar(_) | Structure::Unknown => Self { structure: Structure::Unknown, whole: false },
        }
    }

    /// How a value here is owned.
    pub fn merge(self, value: &Value) -> Merge {
        match (value, self.structure) {
            _ if self.whole => Merge::Whole,
            // What Go keeps unread.
            (_, Structure::Field(field)) if field.shape == Shape::One => Merge::Whole,
            (_, Structure::Scalar(_)) => Merge::Whole,
            (Value::Object(_), _) => Merge::Fields,
            (Value::Array(_), Structure::Custom(schema) | Structure::Schema(schema)) => match &schema.list {
                ListType::Map(keys) => {
                    let default = |key: &String| schema.items.as_ref()?.properties.get(key)?.default.clone();
                    Merge::Keyed(keys.iter().map(|key| (key.clone(), default(key))).collect())
                }
                ListType::Set => Merge::Set,
                ListType::Atomic => Merge::Whole,
            },
            (Value::Array(_), Structure::Field(field)) => match (&field.list, field.message()) {
                (ListKind::Keyed(keys), Some(item)) => {
                    Merge::Keyed(keys.iter().map(|key| ((*key).to_owned(), absent(item, key))).collect())
                }
                (ListKind::Set, _) => Merge::Set,
                _ => Merge::Whole,
            },
            _ => Merge::Whole,
        }
    }
}

/// An element of a keyed list in its wire form.
pub fn element(item: &Value, keys: &[(String, Option<Value>)]) -> String {
    let mut sorted: Vec<_> = keys.iter().collect();
    sorted.sort_by_key(|(key, _)| key);
    let key: Map<String, Value> =
        sorted.into_iter().filter_map(|(key, absent)| Some((key.clone(), item.get(key).or(absent.as_ref())?.clone()))).collect();
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

fn guide_of<'a>(guide: Guide<'a>, element: &str) -> Guide<'a> {
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
        if !element.starts_with("v:") && (!member || next.merge(part) != Merge::Whole) {
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
    let present = |value: &&Value| !value.is_null();
    let Some(shown) = new.filter(present).or(old.filter(present)).or(new).or(old) else { return };
    let merge = guide.merge(shown);
    let differs = |value: Option<&Value>| value.filter(present).is_some_and(|value| guide.merge(value) != merge);
    if merge == Merge::Whole || differs(old) || differs(new) {
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
        (None, Some(_)) => {
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
    match (&merge, &mut *live) {
        (Merge::Fields, Value::Null) => {
            *live = json!({});
            merged(guide, live, applied);
        }
        (Merge::Fields, Value::Object(map)) => {
            for (key, part) in applied.as_object().into_iter().flatten() {
                merged(guide.child(key), map.entry(key).or_insert(Value::Null), part);
            }
        }
        (_, live) => {
            let old = live.as_array().cloned().unwrap_or_default();
            *live = merged_lists(guide, &merge, &old, applied.as_array().map_or(&[][..], Vec::as_slice)).into();
        }
    }
}

/// Merges two lists: elements of both stand in the order of the applied one, and those of the live one alone stay where they are
/// between them.
fn merged_lists(guide: Guide<'_>, merge: &Merge, live: &[Value], applied: &[Value]) -> Vec<Value> {
    let name = |item: &Value| match merge {
        Merge::Keyed(keys) => element(item, keys),
        _ => item.to_string(),
    };
    let (left, right): (Vec<String>, Vec<String>) = (live.iter().map(name).collect(), applied.iter().map(name).collect());
    let mut shared = right.iter().filter(|name| left.contains(name));
    let mut next = shared.next();
    let mut done: BTreeSet<&String> = BTreeSet::new();
    let join = |name: &String, item: &Value| -> Value {
        let mut out = left.iter().position(|other| other == name).map_or(Value::Null, |index| live[index].clone());
        if matches!(merge, Merge::Keyed(_)) {
            merged(guide.item(), &mut out, item);
        } else {
            out = item.clone();
        }
        out
    };
    let mut out = Vec::new();
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() {
            if left[l] == right[r] {
                out.push(join(&right[r], &applied[r]));
                done.insert(&right[r]);
                (l, r) = (l + 1, r + 1);
                next = shared.next();
                continue;
            }
            if right.contains(&left[l]) && next.is_some_and(|next| *next != left[l]) {
                // Shared, but not the one whose turn it is.
                l += 1;
                continue;
            }
        }
        if l < left.len() {
            if !right.contains(&left[l]) {
                out.push(live[l].clone());
                l += 1;
                continue;
            } else if done.contains(&left[l]) {
                l += 1;
            }
        }
        if r < right.len() {
            out.push(join(&right[r], &applied[r]));
            done.insert(&right[r]);
            if next.is_some_and(|next| *next == right[r]) {
                next = shared.next();
            }
            r += 1;
        }
    }
    out
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

    fn pod() -> Guide<'static> {
        Guide::of_message(types::of_kind("", "Pod").unwrap())
    }

    fn set(value: &Value) -> Paths {
        let mut paths = Paths::new();
        named(pod(), value, &mut Vec::new(), &mut paths);
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
            merged(pod(), &mut once, &applied);
            let mut twice = once.clone();
            merged(pod(), &mut twice, &applied);
            prop_assert_eq!(twice, once);
        }

        #[test]
        fn what_was_merged_is_there(live in object(), applied in object()) {
            let mut state = live;
            merged(pod(), &mut state, &applied);
            let (have, want) = (set(&state), set(&applied));
            // An empty list or map that was applied may hold the live one's members.
            prop_assert!(want.iter().all(|path| have.iter().any(|have| have.starts_with(path))));
        }

        #[test]
        fn equal_states_do_not_differ(object in object()) {
            let mut difference = Difference::default();
            compare(pod(), Some(&object), Some(&object), &mut Vec::new(), &mut difference);
            prop_assert_eq!(difference, Difference::default());
        }
    }
}
