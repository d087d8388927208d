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
    typed, types,
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

/// What a DELETE says in its body, or in its query if it has none.
#[derive(Default)]
struct Options {
    grace: Option<i64>,
    uid: Option<String>,
    version: Option<String>,
    propagation: Option<String>,
    /// The older way to say Orphan or not.
    orphan: Option<bool>,
    dry: bool,
    warnings: Vec<String>,
}

impl Options {
    fn parse(op: &Operation) -> Answer<Self> {
        let mut options = if op.body.is_empty() { Self::of_query(op)? } else { Self::of_body(&Self::body(op)?)? };
        if op.resource.group == "batch" && op.resource.plural == "jobs" && options.propagation.is_none() && options.orphan.is_none() {
            options.propagation = Some("Orphan".to_owned());
            options.warnings.push(JOBS_WARNING.to_owned());
        }
        let mut causes = Vec::new();
        if let Some(policy) = &options.propagation {
            if options.orphan.is_some() {
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                causes.push(Cause::invalid("propagationPolicy", &policy.as_str().into(), detail));
            }
            if !matches!(policy.as_str(), "Orphan" | "Background" | "Foreground") {
                let supported = ["Foreground", "Background", "Orphan", "nil"].map(str::to_owned);
                causes.push(Cause::not_supported("propagationPolicy", &policy.as_str().into(), &supported));
            }
        }
        if causes.is_empty() { Ok(options) } else { Err(Failure::invalid("meta.k8s.io", KIND, "", &causes)) }
    }

    fn body(op: &Operation) -> Answer<Value> {
        let media = op.media();
        if media == operation::PROTOBUF {
            return super::protobuf::decode(op.body)
                .map_err(|error| Failure::bad_request(format!("the body could not be decoded: {error}")));
        }
        if !matches!(media, "application/json" | "application/yaml") {
            return Err(Failure::unsupported_media_type(&["application/json", "application/yaml", operation::PROTOBUF]));
        }
        let mut body = if media == "application/yaml" {
            let value = operation::parse(op.body, true).map_err(Failure::bad_request)?;
            if value.is_object() { value } else { json!({}) }
        } else {
            operation::recognized(op.body).map_err(Failure::bad_request)?
        };
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let (kind, version) = (text("kind"), text("apiVersion"));
        if !matches!(kind.as_str(), "" | KIND) {
            let message = format!("no kind {kind:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\"");
            return Err(Failure::bad_request(message));
        }
        if let Some(message) = types::message("meta.DeleteOptions") {
            typed::read(message, &mut body, &mut Vec::new()).map_err(Failure::bad_request)?;
        }
        Ok(body)
    }

    fn of_body(body: &Value) -> Answer<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let dry: Vec<&str> = body["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        Ok(Self {
            grace: seconds(body["gracePeriodSeconds"].as_i64()),
            uid: text(&body["preconditions"]["uid"]),
            version: text(&body["preconditions"]["resourceVersion"]),
            propagation: text(&body["propagationPolicy"]),
            orphan: body["orphanDependents"].as_bool(),
            dry: operation::dry(&dry, KIND)?,
            warnings: Vec::new(),
        })
    }

    fn of_query(op: &Operation) -> Answer<Self> {
        let text = |key: &str| op.query.has(key).then(|| op.query.get(key).to_owned());
        let grace = match text("gracePeriodSeconds") {
            None => None,
            Some(text) => {
                Some(text.parse().map_err(|_| Failure::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))?)
            }
        };
        Ok(Self {
            grace: seconds(grace),
            uid: text("uid"),
            version: text("resourceVersion"),
            propagation: text("propagationPolicy"),
            orphan: op.query.has("orphanDependents").then(|| op.query.flag("orphanDependents")),
            dry: op.dry_run()?,
            warnings: Vec::new(),
        })
    }

    /// What becomes of the objects that belong to the deleted one, if the client says.
    fn policy(&self) -> Option<&str> {
        match (&self.propagation, self.orphan) {
            (Some(policy), _) => Some(policy),
            (None, Some(true)) => Some("Orphan"),
            (None, Some(false)) => Some("Background"),
            (None, None) => None,
        }
    }
}

/// Name of the options in refusals.
const KIND: &str = "DeleteOptions";

/// A negative time counts as one second.
fn seconds(given: Option<i64>) -> Option<i64> {
    given.map(|seconds| if seconds < 0 { 1 } else { seconds })
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
            if op.resource.is_core("namespaces") {
                let why = format!("Precondition failed: {shown} in precondition: {wanted}, {shown} in object meta: {actual}");
                return Err(Failure::conflict(group, &op.resource.plural, name, &why));
            }
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
    propagate(&mut object, options.policy());
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
    let listed = read::listed(op)?;
    let gone = op.server.store.write(|state| {
        let mut gone = Vec::new();
        for (key, _) in &listed.items {
            // What went since it was listed is gone.
            let Some(old) = state.get(key) else { continue };
            if let Outcome::Gone(object) = delete_one(op, state, key, &old, &options)? {
                gone.push(object);
            }
        }
        Ok::<_, Failure>(gone)
    })?;
    for object in gone.iter().filter(|_| !options.dry) {
        definition::removed(op, object);
    }
    read::answer_list(op, listed, &options.warnings)
}

/// `POST …/pods/NAME/eviction`: a deletion that asks first.
pub fn evict(op: &Operation) -> Answer<Response<Body>> {
    let mut eviction = op.object()?;
    let name = &op.target.name;
    if eviction["metadata"]["name"] != name.as_str() {
        return Err(Failure::bad_request("name in URL does not match name in Eviction object"));
    }
    if let Some(message) = types::message("policy.Eviction") {
        let refuse = |why: String| Failure::bad_request(format!("Eviction in version \"v1\" cannot be handled as a Eviction: {why}"));
        typed::read(message, &mut eviction, &mut Vec::new()).map_err(refuse)?;
    }
    let mut options = Options::of_body(&eviction["deleteOptions"])?;
    options.dry |= op.dry_run()?;
    let key = op.key(name);
    op.server.store.write(|state| {
        let old = state.get(&key).ok_or_else(|| op.not_found(name))?;
        if options.dry {
            return Ok(());
        }
        let mut pod = Value::clone(&old);
        let condition = json!({ "type": "DisruptionTarget", "status": "True", "lastProbeTime": null, "lastTransitionTime": now(),
            "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting" });
        let status = &mut pod["status"]["conditions"];
        match status.as_array_mut() {
            Some(list) => {
                list.retain(|known| known["type"] != "DisruptionTarget");
                list.push(condition);
            }
            None => *status = json!([condition]),
        }
        let pod = state.put(key.clone(), pod);
        delete_one(op, state, &key, &pod, &options).map(|_| ())
    })?;
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    response::object(StatusCode::CREATED, &status, op.format, &[])
}
