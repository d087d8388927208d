//! Who wrote which field: `metadata.managedFields`.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    fields::{self, Difference, Guide, Paths},
    operation::Operation,
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
            let _ = write!(shown, " using {} at {}", self.api_version, self.time);
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
        entry.time = now();
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
    let empty = json!({ "metadata": {} });
    let difference = difference(op, &empty, &sent);
    let mut entries = Vec::new();
    record(op, &mut entries, &difference, writer);
    store(object, entries);
}

/// Records the writer of a change. `sent` are the managed fields that the client sent: one empty entry resets them.
pub fn updated(op: &Operation, old: &Value, new: &mut Value, writer: &Writer, sent: Option<&Value>) {
    let reset =
        sent.and_then(Value::as_array).is_some_and(|sent| sent.len() == 1 && sent[0].as_object().is_some_and(serde_json::Map::is_empty));
    let mut entries = if reset { Vec::new() } else { entries(old) };
    metadata(new).shift_remove("managedFields");
    let mut before = old.clone();
    metadata(&mut before).shift_remove("managedFields");
    let difference = difference(op, &before, new);
    if difference == Difference::default() && *writer == Writer::Update {
        if !reset && let Some(kept) = old["metadata"].get("managedFields") {
            metadata(new).insert("managedFields".to_owned(), kept.clone());
        }
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
