//! create, update and patch: one way of settling what is stored, whoever asks.

use std::{borrow::Cow, sync::Arc};

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    Inner, apply, definition,
    managed::{self, Writer},
    operation::{Operation, Validation},
    patch, read,
    resource::Resource,
    response::Body,
    rules,
    status::{Answer, Cause, Failure},
    store::{Key, State},
    typed, types,
};

/// Letters and digits of generated names: no vowels, so that no words come out, as in the real server.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Length of a generated suffix.
const SUFFIX_LENGTH: usize = 5;
/// How much of a body a refusal shows, characters.
const SUMMARY_LENGTH: usize = 30;
/// Longest base of a generated name: whatever the kind, the name has at most 63 characters, so that it fits into a label.
const GENERATED_BASE: usize = 63 - SUFFIX_LENGTH;

/// Random bytes. A machine without a random source cannot run the lab's TLS either.
pub fn random<const N: usize>() -> Answer<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Failure::internal(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

/// A random UID.
pub fn uid() -> Answer<String> {
    let mut bytes = random::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

fn generated(prefix: &str) -> Answer<String> {
    let suffix: String =
        random::<SUFFIX_LENGTH>()?.iter().map(|byte| char::from(NAME_ALPHABET[usize::from(*byte) % NAME_ALPHABET.len()])).collect();
    let base: String = prefix.chars().take(GENERATED_BASE).collect();
    Ok(base + &suffix)
}

/// Now, as metadata shows it.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The object's metadata, made if absent.
pub fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    match &mut object["metadata"] {
        Value::Object(metadata) => metadata,
        // Set just above.
        _ => unreachable!("metadata is an object"),
    }
}

/// Sets a field of metadata to what it was before, or removes it.
fn keep(object: &mut Value, old: &Value, field: &str) {
    let metadata = metadata(object);
    match old["metadata"].get(field) {
        Some(value) => {
            metadata.insert(field.to_owned(), value.clone());
        }
        None => {
            metadata.shift_remove(field);
        }
    }
}

/// Checks that the object is what the path says, and fills in what it leaves to the path.
pub fn addressed(op: &Operation, object: &mut Value) -> Answer<()> {
    let (kind, api_version) = (&op.resource.kind, op.resource.api_version());
    if op.resource.custom && object["kind"].as_str().is_none_or(str::is_empty) {
        let body = String::from_utf8_lossy(op.body);
        let start: String = body.chars().take(SUMMARY_LENGTH).collect();
        let dots = if body.chars().count() > SUMMARY_LENGTH { " ..." } else { "" };
        let message =
            format!("the object provided is unrecognized (must be of type {kind}): Object 'Kind' is missing in '{body}' ({start}{dots})");
        return Err(Failure::bad_request(message));
    }
    let given_kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let given_version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
    if !given_kind.is_empty() && given_kind != *kind {
        return Err(wrong_kind(op, object, &given_kind, if given_version.is_empty() { &api_version } else { &given_version }));
    }
    if given_version != api_version && !op.resource.custom && !given_version.is_empty() && given_kind == *kind {
        let (group, short) = given_version.split_once('/').unwrap_or(("", given_version.as_str()));
        if !op.server.registry(|registry| registry.serves(group, short)) {
            return Err(Failure::bad_request(format!(
                "{kind} in version {short:?} cannot be handled as a {kind}: no kind {kind:?} is registered for version {given_version:?} in scheme \"pkg/runtime/scheme.go:111\""
            )));
        }
    }
    if given_version != api_version && (op.resource.custom || !given_version.is_empty()) {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({api_version})"
        )));
    }
    object["kind"] = kind.as_str().into();
    object["apiVersion"] = api_version.into();
    let namespace = &op.target.namespace;
    let given = object["metadata"]["namespace"].as_str().unwrap_or_default();
    if op.resource.namespaced {
        if !given.is_empty() && given != namespace {
            return Err(Failure::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
        }
        metadata(object).insert("namespace".to_owned(), namespace.as_str().into());
    } else {
        metadata(object).shift_remove("namespace");
    }
    let (given, name) = (object["metadata"]["name"].as_str().unwrap_or_default(), &op.target.name);
    if !name.is_empty() && op.target.subresource != "eviction" {
        if !given.is_empty() && given != name {
            return Err(Failure::bad_request(format!("the name of the object ({given}) does not match the name on the URL ({name})")));
        }
        metadata(object).insert("name".to_owned(), name.as_str().into());
    }
    Ok(())
}

/// The refusal of an object of another kind.
fn wrong_kind(op: &Operation, object: &Value, given: &str, version: &str) -> Failure {
    let kind = &op.resource.kind;
    if patches(op) {
        return Failure::undecodable_patch(object, &format!("{given} is no {kind}"));
    }
    if op.resource.custom {
        let cause = Cause::invalid("kind", &given.into(), &format!("must be {kind}"));
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        return Failure::invalid(&op.resource.group, given, name, &[cause]);
    }
    let (group, short) = version.split_once('/').unwrap_or(("", version));
    let known =
        op.server.registry(|registry| registry.all().any(|r| !r.custom && r.group == group && r.version == short && r.kind == given));
    let why = if known {
        let internal = if op.resource.group.is_empty() { "core" } else { op.resource.group.split('.').next().unwrap_or_default() };
        format!("converting ({short}.{given}) to ({internal}.{kind}): unknown conversion")
    } else {
        format!("no kind {given:?} is registered for version {version:?} in scheme \"pkg/api/legacyscheme/scheme.go:30\"")
    };
    Failure::bad_request(format!("{given} in version {short:?} cannot be handled as a {kind}: {why}"))
}

/// Whether what is decoded came out of a patch of a built-in kind.
fn patches(op: &Operation) -> bool {
    !op.resource.custom && op.media().contains("patch") && !op.media().contains("apply")
}

/// Drops what the kind does not know. Strict requests are refused, others warned.
pub fn pruned(op: &Operation, object: &mut Value, warnings: &mut Vec<String>) -> Answer<()> {
    let Resource { kind, version, .. } = &*op.resource;
    let refuse = |object: &Value, why: &str| {
        if patches(op) {
            return Failure::undecodable_patch(object, why);
        }
        Failure::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
    };
    let mut unknown = Vec::new();
    let sent = object.clone();
    if let Some(message) = op.resource.message {
        typed::read(message, object, &mut unknown).map_err(|why| refuse(&sent, &why))?;
    } else {
        if let Some(metadata) = types::metadata() {
            let mut first = Vec::new();
            typed::read(metadata, &mut object["metadata"], &mut first).map_err(|why| refuse(&sent, &why))?;
            unknown.extend(first.iter().map(|path| format!("metadata.{path}")));
        }
        if let Some(schema) = &op.resource.schema {
            let mut pruned = Vec::new();
            schema.prune(object, "", true, &mut pruned);
            pruned.sort();
            unknown.extend(pruned);
        }
    }
    let twice = if op.media() == "application/json" { super::twice::find(op.body) } else { Vec::new() };
    let twice = twice.iter().map(|path| format!("duplicate field \"{path}\""));
    let unknown: Vec<String> = twice.chain(unknown.iter().map(|path| format!("unknown field \"{path}\""))).collect();
    match op.validation()? {
        Validation::Strict if !unknown.is_empty() => Err(refuse(&sent, &format!("strict decoding error: {}", unknown.join(", ")))),
        Validation::Warn => {
            warnings.extend(unknown);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn spec_differs(resource: &Resource, old: &Value, new: &Value) -> bool {
    if !resource.custom {
        return old["spec"] != new["spec"];
    }
    let rest = |object: &Value| {
        let mut rest = object.as_object().cloned().unwrap_or_default();
        for field in ["metadata", "apiVersion", "kind"] {
            rest.shift_remove(field);
        }
        if resource.status {
            rest.shift_remove("status");
        }
        rest
    };
    rest(old) != rest(new)
}

fn validated(op: &Operation, old: Option<&Value>, object: &Value) -> Answer<()> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut causes = Vec::new();
    rules::validate_metadata(&op.resource, old, object, &mut causes);
    if let Some(schema) = &op.resource.schema {
        let body = |object: &Value| {
            let mut body = object.clone();
            if let Some(body) = body.as_object_mut() {
                body.retain(|field, _| !matches!(field.as_str(), "apiVersion" | "kind" | "metadata"));
            }
            body
        };
        let before = old.map(body);
        schema.validate_change(&body(object), before.as_ref(), "", &mut causes);
        let blocks = ["FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid", "FieldValueNotSupported"];
        if !schema.has_rules() {
        } else if causes.iter().any(|cause| blocks.contains(&cause.reason)) {
            causes.push(Cause {
                reason: "FieldValueInvalid",
                message:
                    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing \
                          errors to complete validation"
                        .to_owned(),
                field: "<nil>".to_owned(),
            });
        } else {
            schema.check_rules(object, old, "", &mut causes);
        }
    }
    rules::validate(&op.resource, &op.target.subresource, old, object, &mut causes);
    op.check(name, &causes)
}

/// Of several references to one owner the first one stays.
fn one_reference_each(object: &mut Value, warnings: &mut Vec<String>) {
    let Some(owners) = object.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) else { return };
    let (mut seen, mut twice): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut known: Vec<Value> = Vec::new();
    owners.retain(|owner| {
        let uid = owner["uid"].as_str().unwrap_or_default().to_owned();
        if known.contains(owner) {
            if !twice.contains(&uid) {
                twice.push(uid);
            }
            return false;
        }
        seen.push(uid);
        known.push(owner.clone());
        true
    });
    if !twice.is_empty() {
        warnings.push(format!(
            ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such requests as \
             early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            twice.join(", ")
        ));
    }
}

/// Makes of what was sent what is stored; `old` is what stands there now.
fn settled(op: &Operation, old: Option<&Value>, mut new: Value, warnings: &mut Vec<String>) -> Answer<Value> {
    pruned(op, &mut new, warnings)?;
    one_reference_each(&mut new, warnings);
    if let Some(schema) = &op.resource.schema {
        schema.fill(&mut new);
        schema.drop_nulls(&mut new);
    }
    let resource = &op.resource;
    match old {
        None => {
            if resource.status
                && let Some(map) = new.as_object_mut()
            {
                map.shift_remove("status");
            }
            let (uid, now) = (uid()?, now());
            // The defaults of a Job name its uid.
            metadata(&mut new).insert("uid".to_owned(), uid.as_str().into());
            rules::fill(resource, &mut new);
            let metadata = metadata(&mut new);
            for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields", "generation", "resourceVersion"] {
                metadata.shift_remove(field);
            }
            metadata.insert("uid".to_owned(), uid.into());
            metadata.insert("creationTimestamp".to_owned(), now.into());
            if resource.generation {
                metadata.insert("generation".to_owned(), 1.into());
            }
            rules::admit(resource, &mut new)?;
        }
        Some(old) => {
            let subresource = op.target.subresource.as_str();
            new = match subresource {
                "status" => status_only(resource, old, &new),
                "finalize" => {
                    let mut kept = old.clone();
                    kept["spec"] = new["spec"].clone();
                    kept
                }
                "ephemeralcontainers" => {
                    let mut kept = old.clone();
                    kept["spec"]["ephemeralContainers"] = new["spec"]["ephemeralContainers"].clone();
                    rules::fill(resource, &mut kept);
                    kept
                }
                _ => {
                    if resource.status {
                        match (old.get("status"), new.as_object_mut()) {
                            (Some(status), _) => new["status"] = status.clone(),
                            (None, Some(map)) => {
                                map.shift_remove("status");
                            }
                            (None, None) => {}
                        }
                    }
                    rules::fill(resource, &mut new);
                    new
                }
            };
            for field in ["uid", "creationTimestamp", "selfLink", "generation", "resourceVersion"] {
                keep(&mut new, old, field);
            }
            // Nothing said means that it stays.
            for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
                if new["metadata"][field].is_null() {
                    keep(&mut new, old, field);
                }
            }
            rules::keep(resource, subresource, old, &mut new);
            rules::follow(resource, old, &mut new)?;
            if resource.generation && spec_differs(resource, old, &new) {
                let generation = old["metadata"]["generation"].as_i64().unwrap_or(1) + 1;
                metadata(&mut new).insert("generation".to_owned(), generation.into());
            }
        }
    }
    validated(op, old, &new)?;
    Ok(tidy(resource, new))
}

/// A write to `status` changes the status, and for built-in kinds metadata as well.
fn status_only(resource: &Resource, old: &Value, new: &Value) -> Value {
    let mut kept = old.clone();
    match new.get("status") {
        Some(status) => kept["status"] = status.clone(),
        None => {
            if let Some(map) = kept.as_object_mut() {
                map.shift_remove("status");
            }
        }
    }
    if resource.custom {
        // Managed fields follow later; all other metadata stays.
        return kept;
    }
    kept["metadata"] = new["metadata"].clone();
    kept
}

/// The object in the form in which the real server keeps and shows it.
fn tidy(resource: &Resource, mut object: Value) -> Value {
    if let Some(message) = resource.message {
        return typed::write(message, &object);
    }
    if let Some(message) = types::metadata() {
        object["metadata"] = typed::write(message, &object["metadata"]);
    }
    object.sort_all_objects();
    object
}

/// Whether the namespace takes new objects.
fn namespace_open(op: &Operation, state: &State, name: &str) -> Answer<()> {
    if !op.resource.namespaced {
        return Ok(());
    }
    let namespace = &op.target.namespace;
    let key = Key::new(&Arc::from("/namespaces"), "", namespace);
    let found = state.get(&key).ok_or_else(|| Failure::not_found("", "namespaces", namespace))?;
    if found["metadata"]["deletionTimestamp"].is_null() {
        Ok(())
    } else {
        Err(Failure::namespace_terminating(&op.resource.group, &op.resource.plural, name, namespace))
    }
}

/// `POST` to a collection.
pub fn create(op: &Operation) -> Answer<Response<Body>> {
    op.check_write()?;
    let mut object = op.object()?;
    addressed(op, &mut object)?;
    op.server.options.faults.change_object(&op.resource.plural, &op.target.namespace, &mut object);
    let mut warnings = Vec::new();
    let stored = create_object(op, object, &Writer::Update, &mut warnings)?;
    read::answer(op, StatusCode::CREATED, &stored, &warnings)
}

/// Creates an object whose kind and namespace are settled.
pub fn create_object(op: &Operation, mut object: Value, writer: &Writer, warnings: &mut Vec<String>) -> Answer<Arc<Value>> {
    let dry = op.dry_run()?;
    if object["metadata"]["resourceVersion"].as_str().is_some_and(|version| !matches!(version, "" | "0")) {
        let message = "resourceVersion should not be set on objects to be created";
        return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "", message));
    }
    let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default().to_owned();
    let generate = object["metadata"]["name"].as_str().is_none_or(str::is_empty) && !prefix.is_empty();
    if generate {
        metadata(&mut object).insert("name".to_owned(), generated(&prefix)?.into());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let key = op.key(&name);
    // The namespace is looked at first: its answer is the same whatever the object holds.
    op.server.store.read(|state| namespace_open(op, state, &name))?;
    if op.resource.is_core("persistentvolumeclaims") {
        default_class(op, &mut object);
    }
    let mut object = settled(op, None, object, warnings)?;
    managed::created(op, &mut object, writer);
    definition::prepare(op, None, &mut object);
    let stored = op.server.store.write(|state| {
        namespace_open(op, state, &name)?;
        if let Some(there) = state.get(&key) {
            let mut failure = Failure::already_exists(&op.resource.group, &op.resource.plural, &name);
            if !there["metadata"]["deletionTimestamp"].is_null() {
                failure.message = format!("object is being deleted: {}", failure.message);
            }
            return Err(failure);
        }
        if dry { Ok(Arc::new(object)) } else { Ok(state.put(key, op.resource.stored(object))) }
    })?;
    if !dry {
        definition::changed(op, Some(&stored));
    }
    Ok(stored)
}

/// The admission plugin DefaultStorageClass: a claim that names no class gets the default one; of several, the newest.
fn default_class(op: &Operation, claim: &mut Value) {
    const MARK: &str = "storageclass.kubernetes.io/is-default-class";
    if !claim["spec"]["storageClassName"].is_null() || !claim["spec"].is_object() {
        return;
    }
    let Some(classes) = op.server.registry(|registry| registry.find("storage.k8s.io", "v1", "storageclasses")) else { return };
    let known = op.server.store.read(|state| state.list(&classes.storage, ""));
    let marked = known.iter().map(|(_, class)| &class["metadata"]).filter(|class| class["annotations"][MARK] == "true");
    if let Some(class) = marked.max_by_key(|class| class["creationTimestamp"].as_str().map(str::to_owned)) {
        claim["spec"]["storageClassName"] = class["name"].clone();
    }
}

/// Built-in resources that a PUT creates.
const CREATED_BY_UPDATE: &[&str] =
    &["clusterrolebindings", "clusterroles", "endpoints", "events", "leases", "limitranges", "rolebindings", "roles", "services"];

/// Whether an update must name the version it was made from.
fn needs_version(resource: &Resource) -> bool {
    resource.custom
        || matches!(
            resource.kind.as_str(),
            "Lease" | "CustomResourceDefinition" | "APIService" | "PodDisruptionBudget" | "CSIDriver" | "VolumeAttachment"
        )
}

/// `PUT` of an object or of a subresource.
pub fn update(op: &Operation) -> Answer<Response<Body>> {
    op.check_write()?;
    let mut object = op.object()?;
    if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
        return Err(Failure::unnamed(&op.target.name));
    }
    addressed(op, &mut object)?;
    let missing = op.server.store.read(|state| state.get(&op.key(&op.target.name))).is_none();
    if missing && op.target.subresource.is_empty() && !op.resource.custom && CREATED_BY_UPDATE.contains(&op.resource.plural.as_str()) {
        let mut warnings = Vec::new();
        let stored = create_object(op, object, &Writer::Update, &mut warnings)?;
        return read::answer(op, StatusCode::CREATED, &stored, &warnings);
    }
    let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if version.is_empty() && needs_version(&op.resource) {
        let Resource { group, plural, .. } = &*op.resource;
        let cause = Cause {
            reason: "FieldValueInvalid",
            message: "Invalid value: 0: must be specified for an update".into(),
            field: "metadata.resourceVersion".into(),
        };
        // The object must be there first: the real server reads it before it looks at the version.
        if missing {
            return Err(op.not_found(&op.target.name));
        }
        return Err(Failure::invalid(group, plural, &op.target.name, &[cause]));
    }
    change(op, &Writer::Update, |_| Ok(object.clone()))
}

/// `PATCH`.
pub fn patch(op: &Operation) -> Answer<Response<Body>> {
    patch::check(op)?;
    op.check_write()?;
    if !patch::applies(op) && op.server.store.read(|state| state.get(&op.key(&op.target.name))).is_none() {
        return Err(op.not_found(&op.target.name));
    }
    let patch = patch::Patch::parse(op)?;
    if let patch::Patch::Apply(applied) = &patch {
        return apply::apply(op, applied);
    }
    change(op, &Writer::Update, |old| {
        let mut patched = patch.apply(op, old)?;
        addressed(op, &mut patched)?;
        Ok(patched)
    })
}

/// Changes the object of this request and answers with it; `next` makes the wanted object from the one that is there.
pub fn change(op: &Operation, writer: &Writer, next: impl Fn(&Value) -> Answer<Value>) -> Answer<Response<Body>> {
    let (stored, warnings) = change_object(op, writer, next)?;
    read::answer(op, StatusCode::OK, &stored, &warnings)
}

/// Changes the object of this request; what is stored then, and the warnings.
pub fn change_object(op: &Operation, writer: &Writer, next: impl Fn(&Value) -> Answer<Value>) -> Answer<(Arc<Value>, Vec<String>)> {
    let dry = op.dry_run()?;
    let Resource { group, plural, .. } = &*op.resource;
    let name = &op.target.name;
    let key = op.key(name);
    let mut warnings = Vec::new();
    let (stored, gone) = op.server.store.write(|state| {
        let old = state.get(&key).ok_or_else(|| op.not_found(name))?;
        let old = match op.resource.present(&old) {
            Cow::Borrowed(_) => Arc::clone(&old),
            Cow::Owned(shown) => Arc::new(shown),
        };
        let wanted = next(&old)?;
        let (given, version) = (wanted["metadata"]["resourceVersion"].as_str().unwrap_or_default(), &old["metadata"]["resourceVersion"]);
        let given_uid = wanted["metadata"]["uid"].as_str().unwrap_or_default();
        if !given_uid.is_empty() && old["metadata"]["uid"] != given_uid {
            let uid = old["metadata"]["uid"].as_str().unwrap_or_default();
            if op.media().contains("patch") {
                let cause = Cause::invalid("metadata.uid", &given_uid.into(), "field is immutable");
                return Err(Failure::invalid(group, &op.resource.kind, name, &[cause.clone(), cause]));
            }
            let prefix = if op.resource.custom { format!("{group}/") } else { String::new() };
            let path = &key.path;
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{prefix}{plural}/{path}, ResourceVersion: 0, AdditionalErrorMsg: \
                 Precondition failed: UID in precondition: {given_uid}, UID in object meta: {uid}"
            );
            return Err(Failure::conflict(group, plural, name, &why));
        }
        if !given.is_empty() && given.parse::<u64>().is_err() {
            let message = format!("strconv.ParseUint: parsing {given:?}: invalid syntax");
            return Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "", message));
        }
        if !matches!(given, "" | "0") && version != given {
            return Err(Failure::modified(group, plural, name));
        }
        let sent = wanted["metadata"].get("managedFields").cloned();
        let mut new = settled(op, Some(&old), wanted, &mut warnings)?;
        managed::updated(op, &old, &mut new, writer, sent.as_ref());
        definition::prepare(op, Some(&old), &mut new);
        if managed::same(&old, &new) {
            return Ok((old, false));
        }
        if dry {
            return Ok((Arc::new(new), false));
        }
        if released(&op.resource, &new) {
            // Watchers see the stored state go, with the finalizer that is let go here; the client gets what it asked for.
            state.remove(&key);
            return Ok((Arc::new(new), true));
        }
        Ok((state.put(key.clone(), op.resource.stored(new)), false))
    })?;
    if !dry {
        definition::changed(op, if gone { None } else { Some(&stored) });
    }
    Ok((stored, warnings))
}

/// Whether nothing holds an object that is being deleted any longer.
pub fn released(resource: &Resource, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let holds = |value: &Value| value.as_array().is_some_and(|items| !items.is_empty());
    let deleting = !metadata["deletionTimestamp"].is_null();
    let waits = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
    let held = holds(&metadata["finalizers"]) || (resource.is_core("namespaces") && holds(&object["spec"]["finalizers"]));
    deleting && !waits && !held
}

/// The namespaces that every cluster has from its first second.
pub fn seed(server: &Arc<Inner>) {
    let Some(resource) = server.registry(|registry| registry.find("", "v1", "namespaces")) else { return };
    server.store.write(|state| {
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let mut object = json!({ "kind": "Namespace", "apiVersion": "v1",
                "metadata": { "name": name, "uid": uid().unwrap_or_default(), "creationTimestamp": now() } });
            rules::fill(&resource, &mut object);
            let mut object = tidy(&resource, object);
            managed::seeded(&resource, &mut object);
            state.put(Key::new(&resource.storage, "", name), object);
        }
    });
    super::rbac::seed(server);
}
