//! Who wrote which field: `metadata.managedFields`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    fields::{self, Difference, Guide, Paths},
    operation::Operation,
    resource::Resource,
    typed,
    types::Message,
    write::{metadata, now},
};

/// Fields that nobody owns.
const UNOWNED: &[&[&str]] = &[
    &[],
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
    &["f:metadata", "f:deletionTimestamp"],
    &["f:metadata", "f:deletionGracePeriodSeconds"],
];

/// How fields were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    /// Create, update or any patch but apply.
    Update,
    /// Server-side apply of these fields.
    Apply(Paths),
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Who.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// Version through which it was written.
    pub api_version: String,
    /// Subresource through which it was written; empty for the object itself.
    pub subresource: String,
    /// When the set last changed.
    pub time: String,
    /// The fields.
    pub paths: Paths,
}

impl Entry {
    fn parse(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Self {
            manager: text("manager"),
            operation: text("operation"),
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: text("time"),
            paths: fields::decode(&value["fieldsV1"]),
        }
    }

    fn json(&self) -> Value {
        let mut value = json!({ "manager": self.manager, "operation": self.operation, "apiVersion": self.api_version });
        if !self.time.is_empty() {
            value["time"] = self.time.as_str().into();
        }
        value["fieldsType"] = "FieldsV1".into();
        value["fieldsV1"] = fields::encode(&self.paths);
        if !self.subresource.is_empty() {
            value["subresource"] = self.subresource.as_str().into();
        }
        value
    }

    fn is_of(&self, manager: &str, operation: &str, subresource: &str) -> bool {
        self.manager == manager && self.operation == operation && self.subresource == subresource
    }

    /// The manager, as messages name it.
    pub fn shown(&self) -> String {
        let mut shown = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            let _ = write!(shown, " with subresource {:?}", self.subresource);
        }
        if self.operation == "Update" {
            let _ = write!(shown, " using {}", self.api_version);
        }
        shown
    }
}

/// The entries of an object.
pub fn entries(object: &Value) -> Vec<Entry> {
    object["metadata"]["managedFields"].as_array().into_iter().flatten().map(Entry::parse).collect()
}

/// Takes out what nobody owns.
pub fn owned(mut paths: Paths) -> Paths {
    paths.retain(|path| !UNOWNED.iter().any(|unowned| path.iter().eq(unowned.iter())));
    paths
}

/// What a change wrote and removed.
fn difference(op: &Operation, old: &Value, new: &Value) -> Difference {
    let mut difference = Difference::default();
    fields::compare(Guide::of(&op.resource), Some(old), Some(new), &mut Vec::new(), &mut difference);
    difference.written = owned(difference.written);
    difference
}

/// Whoever owned an object before it was applied for the first time.
pub fn first(op: &Operation, object: &Value) -> Entry {
    let mut difference = Difference::default();
    let empty = op.resource.message.map_or_else(|| json!({ "metadata": {} }), typed::empty);
    fields::compare(Guide::of(&op.resource), Some(&empty), Some(object), &mut Vec::new(), &mut difference);
    Entry {
        manager: "before-first-apply".to_owned(),
        operation: "Update".to_owned(),
        api_version: op.resource.api_version(),
        subresource: String::new(),
        time: now(),
        paths: owned(difference.written),
    }
}

fn store(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.paths.is_empty());
    entries.sort_by(|a, b| (&a.operation, &a.time, &a.manager, &a.subresource).cmp(&(&b.operation, &b.time, &b.manager, &b.subresource)));
    let metadata = metadata(object);
    if entries.is_empty() {
        metadata.shift_remove("managedFields");
    } else {
        metadata.insert("managedFields".to_owned(), entries.iter().map(Entry::json).collect::<Vec<_>>().into());
    }
}

fn record(op: &Operation, entries: &mut Vec<Entry>, changed: &Difference, writer: &Writer) {
    let (manager, subresource) = (op.manager(), op.target.subresource.as_str());
    let operation = if *writer == Writer::Update { "Update" } else { "Apply" };
    for entry in entries.iter_mut().filter(|entry| !entry.is_of(&manager, operation, subresource)) {
        entry.paths.retain(|path| !changed.written.contains(path) && !changed.removed.contains(path));
    }
    let index = entries.iter().position(|entry| entry.is_of(&manager, operation, subresource)).unwrap_or_else(|| {
        entries.push(Entry {
            manager: manager.clone(),
            operation: operation.to_owned(),
            api_version: op.resource.api_version(),
            subresource: subresource.to_owned(),
            time: String::new(),
            paths: Paths::new(),
        });
        entries.len() - 1
    });
    let scale = subresource == "scale";
    let entry = &mut entries[index];
    let before = entry.paths.clone();
    match writer {
        Writer::Update => {
            entry.paths.retain(|path| !changed.removed.contains(path));
            entry.paths.extend(changed.written.iter().cloned());
        }
        Writer::Apply(paths) => entry.paths.clone_from(paths),
    }
    // Who applies what stands there already owns it from no time on.
    let silent = *writer != Writer::Update && *changed == Difference::default();
    if !silent && (entry.paths != before || !changed.written.is_empty() || entry.time.is_empty()) {
        // Entries of a scale lose their time on the way through its own kind.
        entry.time = if scale { String::new() } else { now() };
        entry.api_version = op.resource.api_version();
    }
}

/// Records the writer of a new object.
pub fn created(op: &Operation, object: &mut Value, writer: &Writer) {
    metadata(object).shift_remove("managedFields");
    let mut sent = object.clone();
    // What the server says about a new object is nobody's.
    if op.resource.status
        && let Some(map) = sent.as_object_mut()
    {
        map.shift_remove("status");
    }
    super::rules::without_additions(&op.resource, &mut sent);
    let empty = op.resource.message.map_or_else(|| json!({ "metadata": {} }), typed::empty);
    let difference = difference(op, &empty, &sent);
    let mut entries = Vec::new();
    record(op, &mut entries, &difference, writer);
    store(object, entries);
}

/// The same for an answer of another kind than the resource's.
pub fn created_as(op: &Operation, message: Option<&'static Message>, api_version: &str, object: &mut Value, writer: &Writer) {
    let Some(message) = message else { return };
    let mut difference = Difference::default();
    fields::compare(Guide::of_message(message), Some(&typed::empty(message)), Some(object), &mut Vec::new(), &mut difference);
    difference.written = owned(difference.written);
    let mut entries = Vec::new();
    record(op, &mut entries, &difference, writer);
    for entry in &mut entries {
        api_version.clone_into(&mut entry.api_version);
    }
    store(object, entries);
}

/// The writer of what is there from the first second: the server itself.
pub fn seeded(resource: &Resource, object: &mut Value) {
    let Some(message) = resource.message else { return };
    let mut sent = object.clone();
    super::rules::without_additions(resource, &mut sent);
    if let Some(map) = sent.as_object_mut() {
        map.shift_remove("status");
    }
    let mut difference = Difference::default();
    fields::compare(Guide::of(resource), Some(&typed::empty(message)), Some(&sent), &mut Vec::new(), &mut difference);
    let entry = Entry {
        manager: "kube-apiserver".to_owned(),
        operation: "Update".to_owned(),
        api_version: resource.api_version(),
        subresource: String::new(),
        time: now(),
        paths: owned(difference.written),
    };
    store(object, vec![entry]);
}

/// Records the writer of a change. `sent` are the managed fields that the client sent: one empty entry resets them.
pub fn updated(op: &Operation, old: &Value, new: &mut Value, writer: &Writer, sent: Option<&Value>) {
    let sent = sent.and_then(Value::as_array);
    let reset = sent.is_some_and(|sent| match sent.as_slice() {
        [] => true,
        [one] => one.as_object().is_some_and(serde_json::Map::is_empty),
        _ => false,
    });
    // What a client sends is taken, if it can be read; nothing sent means what is there.
    let given = sent.filter(|sent| !reset && sent.iter().all(|entry| entry["fieldsType"] == "FieldsV1"));
    let mut entries = match given {
        _ if reset => Vec::new(),
        Some(given) => given.iter().map(Entry::parse).collect(),
        None => entries(old),
    };
    metadata(new).shift_remove("managedFields");
    let mut before = old.clone();
    metadata(&mut before).shift_remove("managedFields");
    let difference = difference(op, &before, new);
    // An object of which nobody knows who owns it is not kept track of, but for the sake of an apply.
    if entries.is_empty() {
        if *writer == Writer::Update {
            return;
        }
        entries.push(first(op, &before));
    } else if difference == Difference::default() && *writer == Writer::Update {
        store(new, entries);
        return;
    }
    record(op, &mut entries, &difference, writer);
    store(new, entries);
}

/// Whether two states differ in nothing that counts: a new time of an entry alone is no change.
pub fn same(old: &Value, new: &Value) -> bool {
    let timeless = |object: &Value| {
        let mut object = object.clone();
        for entry in object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
            entry["time"] = Value::Null;
        }
        object
    };
    old == new || (old["metadata"]["managedFields"].is_array() && timeless(old) == timeless(new))
}
