//! delete and deletecollection.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    definition,
    operation::{self, Operation},
    read,
    response::{self, Body},
    status::{Answer, Cause, Failure},
    store::{Key, State},
    write::{metadata, now, released},
};

/// Kinds whose deletion answers with the object instead of a `Status`.
const ANSWERED_WITH_OBJECT: &[&str] = &[
    "namespaces",
    "pods",
    "persistentvolumes",
    "persistentvolumeclaims",
    "resourcequotas",
    "serviceaccounts",
    "services",
    "storageclasses",
    "volumeattachments",
];

/// Jobs alone leave their dependents behind by default, a heritage of their first version.
const JOBS_WARNING: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

/// What a DELETE says in its body and its query.
#[derive(Default)]
struct Options {
    grace: Option<i64>,
    uid: Option<String>,
    version: Option<String>,
    propagation: Option<String>,
    dry: bool,
    warnings: Vec<String>,
}

impl Options {
    fn parse(op: &Operation) -> Answer<Self> {
        let mut body = json!({});
        if !op.body.is_empty() {
            let media = op.media();
            if media == operation::PROTOBUF {
                body = super::protobuf::decode(op.body)
                    .map_err(|error| Failure::bad_request(format!("the body could not be decoded: {error}")))?;
            } else if !matches!(media, "application/json" | "application/yaml") {
                return Err(Failure::unsupported_media_type(&[
                    "application/json",
                    "application/yaml",
                    "application/vnd.kubernetes.protobuf",
                ]));
            }
            if media != operation::PROTOBUF {
                body = operation::parse(op.body, media == "application/yaml")
                    .map_err(|error| Failure::bad_request(format!("couldn't get version/kind; json parse error: {error}")))?;
            }
        }
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let query = |key: &str| Some(op.query.get(key).to_owned()).filter(|text| !text.is_empty());
        let grace: Option<i64> = body["gracePeriodSeconds"].as_i64().or_else(|| op.query.get("gracePeriodSeconds").parse().ok());
        // A negative time counts as one second.
        let grace = grace.map(|seconds| if seconds < 0 { 1 } else { seconds });
        let options = Self {
            grace,
            uid: text(&body["preconditions"]["uid"]),
            version: text(&body["preconditions"]["resourceVersion"]),
            propagation: text(&body["propagationPolicy"]).or_else(|| query("propagationPolicy")),
            dry: op.dry_run()? || body["dryRun"].as_array().is_some_and(|asked| asked.iter().any(|value| value == "All")),
            warnings: Vec::new(),
        };
        let mut options = options;
        if op.resource.group == "batch"
            && op.resource.plural == "jobs"
            && options.propagation.is_none()
            && !body["orphanDependents"].is_boolean()
        {
            options.propagation = Some("Orphan".to_owned());
            options.warnings.push(JOBS_WARNING.to_owned());
        }
        let mut causes = Vec::new();
        if let Some(policy) = &options.propagation {
            if !matches!(policy.as_str(), "Orphan" | "Background" | "Foreground") {
                let supported = ["Foreground", "Background", "Orphan", "nil"].map(str::to_owned);
                causes.push(Cause::not_supported("propagationPolicy", &policy.as_str().into(), &supported));
            }
            if body["orphanDependents"].is_boolean() {
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                causes.push(Cause::invalid("propagationPolicy", &policy.as_str().into(), detail));
            }
        }
        if causes.is_empty() { Ok(options) } else { Err(Failure::invalid("meta.k8s.io", "DeleteOptions", "", &causes)) }
    }
}

/// What became of a deletion.
enum Outcome {
    /// The object is gone; its last state.
    Gone(Arc<Value>),
    /// The object stays for now.
    Held(Arc<Value>),
}

fn precondition(op: &Operation, object: &Value, options: &Options) -> Answer<()> {
    let (group, kind) = (&op.resource.group, &op.resource.kind);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    for (field, shown, wanted, what) in
        [("uid", "UID", &options.uid, "deleted and then recreated"), ("resourceVersion", "ResourceVersion", &options.version, "modified")]
    {
        let actual = object["metadata"][field].as_str().unwrap_or_default();
        if let Some(wanted) = wanted
            && wanted != actual
        {
            let why = format!(
                "the {shown} in the precondition ({wanted}) does not match the {shown} in record ({actual}). The object might have been {what}"
            );
            return Err(Failure::conflict(group, kind, name, &why));
        }
    }
    Ok(())
}

/// How long a pod may take, seconds; anything else goes at once.
fn grace(op: &Operation, object: &Value, options: &Options) -> i64 {
    let finished = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !op.resource.is_core("pods") || object["spec"]["nodeName"].as_str().is_none_or(str::is_empty) || finished {
        // A pod that no kubelet knows, or whose containers have ended, has nothing to shut down.
        return if op.resource.is_core("pods") { 0 } else { options.grace.unwrap_or(0).min(0) };
    }
    options.grace.unwrap_or_else(|| object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30))
}

/// Adds and removes the finalizers of the garbage collector.
fn propagate(object: &mut Value, policy: Option<&str>) {
    let wanted = match policy {
        Some("Orphan") => Some("orphan"),
        Some("Foreground") => Some("foregroundDeletion"),
        Some(_) => None,
        // Without a policy what the object already carries stays.
        None => return,
    };
    let metadata = metadata(object);
    let mut finalizers = metadata.get("finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != "orphan" && finalizer != "foregroundDeletion");
    finalizers.extend(wanted.map(Value::from));
    if finalizers.is_empty() {
        metadata.shift_remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), finalizers.into());
    }
}

fn delete_one(op: &Operation, state: &mut State, key: &Key, old: &Value, options: &Options) -> Answer<Outcome> {
    precondition(op, old, options)?;
    let mut object = old.clone();
    let again = !old["metadata"]["deletionTimestamp"].is_null();
    propagate(&mut object, options.propagation.as_deref());
    let grace = grace(op, old, options);
    let had = old["metadata"]["deletionGracePeriodSeconds"].as_i64();
    // A second deletion can only shorten the time.
    if !again || (options.grace.is_some() && had.is_some_and(|had| grace < had)) {
        let moment = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(grace);
        let metadata = metadata(&mut object);
        metadata.insert(
            "deletionTimestamp".to_owned(),
            if grace == 0 { now() } else { moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() }.into(),
        );
        if !op.resource.is_core("namespaces") {
            metadata.insert("deletionGracePeriodSeconds".to_owned(), grace.into());
        }
        if let Some(generation) = metadata.get("generation").and_then(Value::as_i64).filter(|_| !again) {
            metadata.insert("generation".to_owned(), (generation + 1).into());
        }
    }
    if op.resource.is_core("namespaces") {
        object["status"]["phase"] = "Terminating".into();
    }
    if released(&op.resource, &object) {
        if options.dry {
            return Ok(Outcome::Gone(Arc::new(old.clone())));
        }
        // A pod is marked before it goes; anything else goes as it stands.
        if op.resource.is_core("pods") && object != *old {
            state.put(key.clone(), object);
        }
        return Ok(Outcome::Gone(state.remove(key).unwrap_or_default()));
    }
    if object == *old {
        return Ok(Outcome::Held(Arc::new(object)));
    }
    Ok(Outcome::Held(if options.dry { Arc::new(object) } else { state.put(key.clone(), object) }))
}

/// `DELETE …/NAME`.
pub fn delete(op: &Operation) -> Answer<Response<Body>> {
    let options = Options::parse(op)?;
    let name = &op.target.name;
    if op.resource.is_core("namespaces") && matches!(name.as_str(), "default" | "kube-system" | "kube-public") {
        return Err(Failure::forbidden("", "namespaces", name, "this namespace may not be deleted"));
    }
    let key = op.key(name);
    let outcome = op.server.store.write(|state| {
        let old = state.get(&key).ok_or_else(|| op.not_found(name))?;
        delete_one(op, state, &key, &old, &options)
    })?;
    match outcome {
        Outcome::Held(object) => {
            definition::changed(op, Some(&object));
            read::answer(op, StatusCode::OK, &object, &options.warnings)
        }
        Outcome::Gone(object) => {
            if !options.dry {
                definition::removed(op, &object);
            }
            let core_object = op.resource.group.is_empty() || op.resource.group == "storage.k8s.io";
            if core_object && ANSWERED_WITH_OBJECT.contains(&op.resource.plural.as_str()) {
                return read::answer(op, StatusCode::OK, &object, &[]);
            }
            let mut details = json!({ "name": name });
            if !op.resource.group.is_empty() {
                details["group"] = op.resource.group.as_str().into();
            }
            details["kind"] = op.resource.plural.as_str().into();
            details["uid"] = object["metadata"]["uid"].clone();
            let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details });
            response::object(StatusCode::OK, &status, op.format, &[])
        }
    }
}

/// `DELETE` of a collection.
pub fn delete_collection(op: &Operation) -> Answer<Response<Body>> {
    let options = Options::parse(op)?;
    let selector = read::selector(op)?;
    let (objects, revision) = op.server.store.write(|state| {
        let mut deleted = Vec::new();
        for (key, old) in state.list(&op.resource.storage, &op.target.namespace) {
            if selector.matches(&old) {
                let outcome = delete_one(op, state, &key, &old, &options)?;
                let (Outcome::Gone(_) | Outcome::Held(_)) = outcome;
                deleted.push(old);
            }
        }
        Ok::<_, Failure>((deleted, state.revision()))
    })?;
    for object in &objects {
        if op.server.store.read(|state| state.get(&op.key(object["metadata"]["name"].as_str().unwrap_or_default()))).is_none() {
            definition::removed(op, object);
        }
    }
    let mut items: Vec<Value> = objects.iter().map(|object| op.resource.present(object)).collect();
    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    if op.resource.custom {
        metadata["continue"] = "".into();
    } else {
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            item.shift_remove("kind");
            item.shift_remove("apiVersion");
        }
    }
    let list = json!({ "kind": op.resource.list_kind, "apiVersion": op.resource.api_version(), "metadata": metadata, "items": items });
    response::object(StatusCode::OK, &list, op.format, &[])
}

/// `POST …/pods/NAME/eviction`: a deletion by another name.
pub fn evict(op: &Operation) -> Answer<Response<Body>> {
    let _ = op.object()?;
    let key = op.key(&op.target.name);
    op.server.store.write(|state| {
        let old = state.get(&key).ok_or_else(|| op.not_found(&op.target.name))?;
        delete_one(op, state, &key, &old, &Options::default())
    })?;
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    response::object(StatusCode::CREATED, &status, op.format, &[])
}
