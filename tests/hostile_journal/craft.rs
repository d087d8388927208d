//! Journals as an attacker writes them: every checksum is right, every word is his.

use std::{fs, path::Path};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A run that no lab has seen.
pub const RUN: &str = "abcdefghij";

/// A journal in the making.
pub struct Crafted {
    header: Value,
    changes: Vec<Value>,
}

impl Crafted {
    /// Of a run, on the cluster with this id.
    pub fn new(run: &str, cluster: Option<&str>) -> Self {
        let mut header = json!({"run": run, "tool": "0.1.0", "started": "2026-01-01T00:00:00Z", "label": format!("mtv-test.io/run={run}"),
            "profiles": [], "ephemeral": false});
        if let Some(id) = cluster {
            header["cluster"] = json!({"server": "https://wherever.example:6443", "id": id});
        }
        Self { header, changes: Vec::new() }
    }

    /// With another field of the header.
    pub fn header(mut self, key: &str, value: Value) -> Self {
        self.header[key] = value;
        self
    }

    /// Something that was made, under this UID or id.
    pub fn created(&mut self, entry: &Value, reference: &str) {
        let id = self.changes.len();
        self.changes.push(json!({"change": "created", "id": id, "entry": entry, "reference": reference}));
    }

    /// Something that may have been made.
    pub fn intent(&mut self, entry: &Value) {
        let id = self.changes.len();
        self.changes.push(json!({"change": "intent", "id": id, "entry": entry}));
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) {
        let header = json!({"change": "header", "version": 1, "header": self.header});
        let lines = std::iter::once(&header).chain(&self.changes).enumerate().map(|(seq, change)| {
            let mut line = change.clone();
            line["seq"] = json!(seq);
            line["at"] = json!("2026-01-01T00:00:00Z");
            let text = line.to_string();
            let body = text.strip_prefix('{').unwrap();
            let sum: String = Sha256::digest(body).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("{{\"sum\":\"{sum}\",{body}")
        });
        let records = lines.collect::<Vec<_>>().join(",\n");
        fs::write(path, format!("{{\"format\":\"mtv-test.resources\",\"version\":1,\"records\":[\n{records}\n]}}\n")).unwrap();
    }
}

/// The entry of an object.
pub fn object(api_version: &str, kind: &str, namespace: &str, name: &str) -> Value {
    json!({"type": "object", "api_version": api_version, "kind": kind, "namespace": namespace, "name": name})
}

/// The entry of a change.
pub fn patch(api_version: &str, kind: &str, (namespace, name): (&str, &str), field: &str, before: Option<Value>, after: &Value) -> Value {
    let mut entry = json!({"type": "patch", "api_version": api_version, "kind": kind, "namespace": namespace, "name": name, "field": field, "after": after});
    if let Some(before) = before {
        entry["before"] = before;
    }
    entry
}
