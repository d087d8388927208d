//! Tables, as kubectl asks for them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::resource::Resource;

/// Where a cell comes from.
#[derive(Debug, Clone)]
enum Source {
    /// A simple JSONPath, as CRDs write it.
    Path(String),
    /// `metadata.creationTimestamp`, as an age.
    Age,
    /// Computed.
    Compute(fn(&Value) -> Value),
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    kind: String,
    format: String,
    priority: i64,
    description: String,
    source: Source,
}

impl Column {
    fn new(name: &str, source: Source) -> Self {
        Self { name: name.to_owned(), kind: "string".into(), format: String::new(), priority: 0, description: String::new(), source }
    }

    /// A column with what stands at a JSONPath.
    pub fn path(name: &str, path: &str) -> Self {
        Self::new(name, Source::Path(path.to_owned()))
    }

    /// The age of the object.
    pub fn age() -> Self {
        Self::new("Age", Source::Age)
    }

    /// Describes itself as a column of a custom resource does.
    pub fn custom(&mut self) {
        match &self.source {
            Source::Age => "date".clone_into(&mut self.kind),
            Source::Path(path) => self.description = described_by(path),
            Source::Compute(_) => {}
        }
    }

    /// Writes the title in capitals, as Forklift's definitions do.
    pub fn shout(&mut self) {
        self.name = self.name.to_uppercase();
    }

    fn computed(name: &str, compute: fn(&Value) -> Value) -> Self {
        Self::new(name, Source::Compute(compute))
    }

    /// Only shown by `-o wide`.
    fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    /// A column as a CustomResourceDefinition declares it.
    pub fn declared(column: &Value) -> Self {
        let text = |key: &str| column[key].as_str().unwrap_or_default().to_owned();
        let path = text("jsonPath");
        let date = text("type") == "date";
        let source = if date && path == ".metadata.creationTimestamp" { Source::Age } else { Source::Path(path.clone()) };
        Self {
            name: text("name"),
            kind: text("type"),
            format: text("format"),
            priority: column["priority"].as_i64().unwrap_or_default(),
            description: if column["description"].is_null() { described_by(&path) } else { text("description") },
            source,
        }
    }

    /// The column as a CustomResourceDefinition declares it; one that is computed has no such form.
    pub fn declaration(&self) -> Option<Value> {
        let (kind, path) = match &self.source {
            Source::Path(path) => (self.kind.as_str(), path.as_str()),
            Source::Age => ("date", ".metadata.creationTimestamp"),
            Source::Compute(_) => return None,
        };
        Some(json!({ "name": self.name, "type": kind, "jsonPath": path }))
    }

    fn definition(&self) -> Value {
        let described = if self.description.is_empty() && matches!(self.source, Source::Age) { AGE_DESCRIPTION } else { &self.description };
        json!({ "name": self.name, "type": self.kind, "format": self.format, "description": described, "priority": self.priority })
    }

    fn cell(&self, object: &Value, now: Timestamp) -> Value {
        match &self.source {
            Source::Compute(compute) => compute(object),
            Source::Age => age(&object["metadata"]["creationTimestamp"], now),
            Source::Path(path) => match first(object, path) {
                Some(found) if self.kind == "date" => age(found, now),
                Some(found @ (Value::Object(_) | Value::Array(_))) => found.to_string().into(),
                Some(Value::String(text)) => text.as_str().into(),
                Some(found) if self.kind == "string" && !found.is_null() => found.to_string().into(),
                Some(found) => found.clone(),
                None => Value::Null,
            },
        }
    }
}

/// What a column of a custom resource says if its definition says nothing.
fn described_by(path: &str) -> String {
    format!("Custom resource definition column (in JSONPath format): {path}")
}

/// The first value at `.a.b[0].c[?(@.type=="X")].d`. Enough for the paths that CRDs declare.
pub fn first<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let mut at = value;
    let mut rest = path.trim().trim_start_matches('{').trim_end_matches('}');
    while !rest.is_empty() {
        if let Some(filter) = rest.strip_prefix("[?(@.") {
            let (test, after) = filter.split_once(")]")?;
            let (field, wanted) = test.split_once("==")?;
            let wanted = wanted.trim().trim_matches(['"', '\'']);
            at = at.as_array()?.iter().find(|item| first(item, &format!(".{}", field.trim())).and_then(Value::as_str) == Some(wanted))?;
            rest = after;
        } else if let Some(quoted) = rest.strip_prefix("['") {
            let (key, after) = quoted.split_once("']")?;
            at = at.get(key)?;
            rest = after;
        } else if let Some(index) = rest.strip_prefix('[') {
            let (index, after) = index.split_once(']')?;
            at = if index == "*" { at.get(0)? } else { at.get(index.parse::<usize>().ok()?)? };
            rest = after;
        } else {
            let field = rest.strip_prefix('.').unwrap_or(rest);
            // A dot may be escaped, as in annotation keys.
            let mut end = field.len();
            let mut escaped = false;
            for (index, c) in field.char_indices() {
                if !escaped && (c == '.' || c == '[') {
                    end = index;
                    break;
                }
                escaped = c == '\\';
            }
            if end == 0 {
                return Some(at);
            }
            at = at.get(field[..end].replace('\\', ""))?;
            rest = &field[end..];
        }
    }
    Some(at)
}

/// An age as kubectl shows it: `5s`, `3m2s`, `4h`, `2d`.
fn age(moment: &Value, now: Timestamp) -> Value {
    let Some(moment) = moment.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else { return "<unknown>".into() };
    duration(now.duration_since(moment).as_secs()).into()
}

fn duration(seconds: i64) -> String {
    let pair = |big: i64, unit: &str, small: i64, rest: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{rest}") }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..0 => "<invalid>".to_owned(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn count(value: &Value) -> usize {
    value.as_object().map_or_else(|| value.as_array().map_or(0, Vec::len), serde_json::Map::len)
}

fn or_none(value: String) -> Value {
    if value.is_empty() { "<none>".into() } else { value.into() }
}

fn pod_status(pod: &Value) -> Value {
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return "Terminating".into();
    }
    let waiting = pod["status"]["containerStatuses"].as_array().into_iter().flatten().find_map(|container| {
        let state = &container["state"];
        state["waiting"]["reason"].as_str().or_else(|| state["terminated"]["reason"].as_str())
    });
    waiting.or(pod["status"]["reason"].as_str()).or(pod["status"]["phase"].as_str()).unwrap_or_default().into()
}

fn pod_ready(pod: &Value) -> Value {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let ready = statuses.into_iter().flatten().filter(|container| container["ready"] == true).count();
    format!("{ready}/{}", count(&pod["spec"]["containers"])).into()
}

fn pod_restarts(pod: &Value) -> Value {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let restarts: u64 = statuses.into_iter().flatten().filter_map(|container| container["restartCount"].as_u64()).sum();
    restarts.to_string().into()
}

fn node_status(node: &Value) -> Value {
    let ready = first(node, ".status.conditions[?(@.type==\"Ready\")].status").and_then(Value::as_str);
    let status = match ready {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if node["spec"]["unschedulable"] == true { format!("{status},SchedulingDisabled").into() } else { status.into() }
}

fn node_roles(node: &Value) -> Value {
    let labels = node["metadata"]["labels"].as_object();
    let mut roles: Vec<&str> = labels.into_iter().flatten().filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/")).collect();
    roles.sort_unstable();
    or_none(roles.join(","))
}

fn access_modes(modes: &Value) -> String {
    let short = |mode: &Value| match mode.as_str() {
        Some("ReadWriteOnce") => "RWO",
        Some("ReadOnlyMany") => "ROX",
        Some("ReadWriteMany") => "RWX",
        Some("ReadWriteOncePod") => "RWOP",
        _ => "",
    };
    modes.as_array().into_iter().flatten().map(short).collect::<Vec<_>>().join(",")
}

fn job_status(job: &Value) -> Value {
    for kind in ["Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet"] {
        let path = format!(".status.conditions[?(@.type==\"{kind}\")].status");
        if first(job, &path).and_then(Value::as_str) == Some("True") {
            return kind.into();
        }
    }
    "Running".into()
}

/// The columns of a built-in kind, after the name.
pub fn built_in(group: &str, kind: &str) -> Vec<Column> {
    let mut columns = match (group, kind) {
        ("", "Namespace") => vec![Column::path("Status", ".status.phase")],
        ("", "Node") => {
            return vec![
                Column::computed("Status", node_status),
                Column::computed("Roles", node_roles),
                Column::age(),
                Column::path("Version", ".status.nodeInfo.kubeletVersion"),
            ];
        }
        ("", "Secret") => vec![Column::path("Type", ".type"), Column::computed("Data", |o| count(&o["data"]).into())],
        ("", "ConfigMap") => vec![Column::computed("Data", |o| (count(&o["data"]) + count(&o["binaryData"])).into())],
        ("", "Pod") => {
            return vec![
                Column::computed("Ready", pod_ready),
                Column::computed("Status", pod_status),
                Column::computed("Restarts", pod_restarts),
                Column::age(),
                Column::computed("IP", |o| or_none(text(&o["status"]["podIP"]))).wide(),
                Column::computed("Node", |o| or_none(text(&o["spec"]["nodeName"]))).wide(),
                Column::computed("Nominated Node", |o| or_none(text(&o["status"]["nominatedNodeName"]))).wide(),
                Column::computed("Readiness Gates", |_| "<none>".into()).wide(),
            ];
        }
        ("", "Service") => vec![
            Column::path("Type", ".spec.type"),
            Column::computed("Cluster-IP", |o| or_none(text(&o["spec"]["clusterIP"]))),
            Column::computed("External-IP", |o| or_none(text(&o["spec"]["externalName"]))),
            Column::computed("Port(s)", |o| {
                let port = |port: &Value| format!("{}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP"));
                or_none(o["spec"]["ports"].as_array().into_iter().flatten().map(port).collect::<Vec<_>>().join(","))
            }),
        ],
        ("", "ServiceAccount") => vec![Column::computed("Secrets", |o| count(&o["secrets"]).into())],
        ("", "Event") => {
            return vec![
                Column::computed("Last Seen", |o| {
                    let moment =
                        [&o["lastTimestamp"], &o["eventTime"], &o["metadata"]["creationTimestamp"]].into_iter().find(|m| m.is_string());
                    age(moment.unwrap_or(&Value::Null), Timestamp::now())
                }),
                Column::path("Type", ".type"),
                Column::path("Reason", ".reason"),
                Column::computed("Object", |o| {
                    format!("{}/{}", text(&o["involvedObject"]["kind"]).to_lowercase(), text(&o["involvedObject"]["name"])).into()
                }),
                Column::path("Message", ".message"),
            ];
        }
        ("", "PersistentVolumeClaim") => {
            return vec![
                Column::path("Status", ".status.phase"),
                Column::computed("Volume", |o| text(&o["spec"]["volumeName"]).into()),
                Column::computed("Capacity", |o| text(&o["status"]["capacity"]["storage"]).into()),
                Column::computed("Access Modes", |o| access_modes(&o["status"]["accessModes"]).into()),
                Column::computed("StorageClass", |o| text(&o["spec"]["storageClassName"]).into()),
                Column::computed("VolumeAttributesClass", |_| "<unset>".into()),
                Column::age(),
                wide("VolumeMode", |o| o["spec"]["volumeMode"].as_str().unwrap_or("<unset>").into()),
            ];
        }
        ("", "PersistentVolume") => vec![
            Column::computed("Capacity", |o| text(&o["spec"]["capacity"]["storage"]).into()),
            Column::computed("Access Modes", |o| access_modes(&o["spec"]["accessModes"]).into()),
            Column::path("Reclaim Policy", ".spec.persistentVolumeReclaimPolicy"),
            Column::path("Status", ".status.phase"),
            Column::computed("Claim", |o| {
                let claim = &o["spec"]["claimRef"];
                if claim.is_null() { "".into() } else { format!("{}/{}", text(&claim["namespace"]), text(&claim["name"])).into() }
            }),
            Column::computed("StorageClass", |o| text(&o["spec"]["storageClassName"]).into()),
            Column::computed("VolumeAttributesClass", |_| "<unset>".into()),
            Column::computed("Reason", |o| text(&o["status"]["reason"]).into()),
        ],
        ("apps", "Deployment") => vec![
            Column::computed("Ready", |o| {
                format!("{}/{}", o["status"]["readyReplicas"].as_u64().unwrap_or(0), o["spec"]["replicas"].as_u64().unwrap_or(1)).into()
            }),
            Column::computed("Up-to-date", |o| o["status"]["updatedReplicas"].as_u64().unwrap_or(0).into()),
            Column::computed("Available", |o| o["status"]["availableReplicas"].as_u64().unwrap_or(0).into()),
        ],
        ("batch", "Job") => {
            return vec![
                Column::computed("Status", job_status),
                Column::computed("Completions", |o| {
                    format!("{}/{}", o["status"]["succeeded"].as_u64().unwrap_or(0), o["spec"]["completions"].as_u64().unwrap_or(1)).into()
                }),
                Column::computed("Duration", |o| {
                    let at = |key: &str| o["status"][key].as_str().and_then(|text| text.parse::<Timestamp>().ok());
                    match at("startTime") {
                        Some(start) => duration(at("completionTime").unwrap_or_else(Timestamp::now).duration_since(start).as_secs()).into(),
                        None => "".into(),
                    }
                }),
                Column::age(),
                wide("Containers", |o| named(o, "name")),
                wide("Images", |o| named(o, "image")),
                wide("Selector", |o| {
                    let labels = o["spec"]["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
                    labels.iter().map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(",").into()
                }),
            ];
        }
        ("storage.k8s.io", "StorageClass") => vec![
            Column::path("Provisioner", ".provisioner"),
            Column::computed("ReclaimPolicy", |o| o["reclaimPolicy"].as_str().unwrap_or("Delete").into()),
            Column::computed("VolumeBindingMode", |o| o["volumeBindingMode"].as_str().unwrap_or("Immediate").into()),
            Column::computed("AllowVolumeExpansion", |o| o["allowVolumeExpansion"].as_bool().unwrap_or_default().into()),
        ],
        ("apiextensions.k8s.io", _) | ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => {
            return vec![Column::path("Created At", ".metadata.creationTimestamp")];
        }
        ("apiregistration.k8s.io", _) => vec![
            Column::computed("Service", |o| {
                let service = &o["spec"]["service"];
                if service.is_null() {
                    "Local".into()
                } else {
                    format!("{}/{}", text(&service["namespace"]), text(&service["name"])).into()
                }
            }),
            Column::path("Available", ".status.conditions[?(@.type==\"Available\")].status"),
        ],
        ("rbac.authorization.k8s.io", _) => {
            vec![Column::computed("Role", |o| format!("{}/{}", text(&o["roleRef"]["kind"]), text(&o["roleRef"]["name"])).into())]
        }
        ("coordination.k8s.io", _) => vec![Column::path("Holder", ".spec.holderIdentity")],
        _ => Vec::new(),
    };
    columns.push(Column::age());
    columns
}

/// A column that clients show on demand.
fn wide(name: &str, cell: fn(&Value) -> Value) -> Column {
    Column { priority: 1, ..Column::computed(name, cell) }
}

/// A field of each container of a pod template.
fn named(object: &Value, field: &str) -> Value {
    let containers = object["spec"]["template"]["spec"]["containers"].as_array();
    containers.into_iter().flatten().map(|container| text(&container[field])).collect::<Vec<_>>().join(",").into()
}

/// The metadata of an object, as `PartialObjectMetadata`.
pub fn metadata_only(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

fn name_of(object: &Value, resource: &Resource) -> Value {
    // A default class is marked behind its name.
    let default = object["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true";
    let name = text(&object["metadata"]["name"]);
    if default && resource.kind == "StorageClass" { format!("{name} (default)").into() } else { name.into() }
}

/// The table of some objects. `include` is the parameter `includeObject`: `None`, `Metadata` or `Object`.
pub fn table(resource: &Resource, objects: &[Value], list_metadata: &Value, include: &str, definitions: bool) -> Value {
    let now = Timestamp::now();
    let age = [Column::age()];
    let columns = if resource.columns.is_empty() { &age[..] } else { &resource.columns };
    let name = json!({ "name": "Name", "type": "string", "format": "name", "description": NAME_DESCRIPTION, "priority": 0 });
    let row = |object: &Value| {
        let mut cells = vec![name_of(object, resource)];
        cells.extend(columns.iter().map(|column| column.cell(object, now)));
        let mut row = json!({ "cells": cells });
        match include {
            "None" => row["object"] = Value::Null,
            "Object" => row["object"] = object.clone(),
            _ => row["object"] = metadata_only(object),
        }
        row
    };
    let heads: Value = if definitions {
        std::iter::once(name).chain(columns.iter().map(Column::definition)).collect::<Vec<_>>().into()
    } else {
        Value::Null
    };
    json!({ "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_metadata, "columnDefinitions": heads,
        "rows": objects.iter().map(row).collect::<Vec<_>>() })
}

const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";

const AGE_DESCRIPTION: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_as_definitions_write_them() {
        let object = json!({ "status": { "conditions": [{ "type": "A", "status": "x" }, { "type": "Ready", "status": "True" }], "l": [{ "n": 1 }] },
            "metadata": { "annotations": { "a.io/b": "v" } } });
        for (path, expected) in [
            (".status.conditions[?(@.type==\"Ready\")].status", Some(json!("True"))),
            (".status.conditions[?(@.type=='Ready')].status", Some(json!("True"))),
            (".status.l[0].n", Some(json!(1))),
            (".metadata.annotations.a\\.io/b", Some(json!("v"))),
            (".metadata.annotations['a.io/b']", Some(json!("v"))),
            (".status.none.deeper", None),
        ] {
            assert_eq!(first(&object, path).cloned(), expected, "{path}");
        }
    }

    #[test]
    fn ages() {
        for (seconds, shown) in [
            (5, "5s"),
            (119, "119s"),
            (120, "2m"),
            (182, "3m2s"),
            (700, "11m"),
            (7300, "121m"),
            (11000, "3h3m"),
            (90_000, "25h"),
            (200_000, "2d7h"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
    }
}
