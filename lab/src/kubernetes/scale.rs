//! The subresource `scale`: how many there are and shall be, whatever the kind calls it.

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    managed::Writer,
    operation::Operation,
    patch::{self, Patch},
    resource::Scale,
    response::{self, Body},
    selector,
    status::{Answer, Cause, Failure},
    typed, types, write,
};

/// What a scale says of an object.
fn shown(paths: &Scale, object: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let (wanted, running) = (number(&paths.wanted), number(&paths.running));
    let mut spec = json!({});
    if wanted != 0 {
        spec["replicas"] = wanted.into();
    }
    let mut status = json!({ "replicas": running });
    let chosen = match object.pointer(&paths.selector) {
        Some(Value::String(text)) => text.clone(),
        Some(labels @ Value::Object(_)) => selector::text(labels),
        _ => String::new(),
    };
    if !chosen.is_empty() {
        status["selector"] = chosen.into();
    }
    json!({ "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status })
}

fn paths<'a>(op: &'a Operation) -> Answer<&'a Scale> {
    op.resource.scale.as_ref().ok_or_else(Failure::no_such_resource)
}

/// `GET …/scale`.
pub fn get(op: &Operation) -> Answer<Response<Body>> {
    let name = &op.target.name;
    let object = op.server.store.read(|state| state.get(&op.key(name))).ok_or_else(|| op.not_found(name))?;
    response::object(StatusCode::OK, &shown(paths(op)?, &object), op.format, &[])
}

/// A scale that was sent, or that a patch made.
fn checked(op: &Operation, mut scale: Value) -> Answer<Value> {
    let refuse = |why: String| Failure::bad_request(format!("Scale in version \"v1\" cannot be handled as a Scale: {why}"));
    let (kind, version) =
        (scale["kind"].as_str().unwrap_or("Scale").to_owned(), scale["apiVersion"].as_str().unwrap_or_default().to_owned());
    if kind != "Scale" {
        let short = version.rsplit('/').next().unwrap_or_default();
        let why = format!("converting ({short}.{kind}) to (autoscaling.Scale): unknown conversion");
        return Err(Failure::bad_request(format!("{kind} in version {short:?} cannot be handled as a Scale: {why}")));
    }
    if let Some(message) = types::message("autoscaling.Scale") {
        let mut unknown = Vec::new();
        typed::read(message, &mut scale, &mut unknown).map_err(refuse)?;
    }
    let given = scale["metadata"]["name"].as_str().unwrap_or_default();
    if !given.is_empty() && *given != op.target.name {
        let url = &op.target.name;
        return Err(Failure::bad_request(format!("the name of the object ({given}) does not match the name on the URL ({url})")));
    }
    let wanted = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if wanted < 0 {
        let cause = Cause::invalid("spec.replicas", &wanted.into(), "must be greater than or equal to 0");
        return Err(Failure::invalid("autoscaling", "Scale", &op.target.name, &[cause]));
    }
    Ok(scale)
}

/// Puts a number where a pointer leads, with the objects on the way.
fn put(object: &mut Value, pointer: &str, number: i64) {
    let mut at = object;
    for field in pointer.split('/').skip(1) {
        at = &mut at[field];
    }
    *at = number.into();
}

fn carry_out(op: &Operation, writer: &Writer, next: impl Fn(&Value) -> Answer<Value>) -> Answer<Response<Body>> {
    let paths = paths(op)?;
    let (stored, warnings) = write::change_object(op, writer, |old| {
        let scale = checked(op, next(&shown(paths, old))?)?;
        let mut wanted = old.clone();
        put(&mut wanted, &paths.wanted, scale["spec"]["replicas"].as_i64().unwrap_or(0));
        wanted["metadata"]["resourceVersion"] = scale["metadata"]["resourceVersion"].as_str().unwrap_or_default().into();
        Ok(wanted)
    })?;
    response::object(StatusCode::OK, &shown(paths, &stored), op.format, &warnings)
}

/// `PUT …/scale`.
pub fn update(op: &Operation) -> Answer<Response<Body>> {
    let scale = op.object()?;
    carry_out(op, &Writer::Update, |_| Ok(scale.clone()))
}

/// `PATCH …/scale`.
pub fn patch(op: &Operation) -> Answer<Response<Body>> {
    patch::check(op)?;
    if !patch::applies(op) && op.server.store.read(|state| state.get(&op.key(&op.target.name))).is_none() {
        return Err(op.not_found(&op.target.name));
    }
    let patch = Patch::parse(op)?;
    if let Patch::Apply(applied) = &patch {
        return super::apply::scale(op, applied);
    }
    carry_out(op, &Writer::Update, |scale| {
        let mut patched = patch.apply_to(op, scale, types::message("autoscaling.Scale"))?;
        // A patch that says nothing of the version means whatever stands there.
        if patched["metadata"]["resourceVersion"] == scale["metadata"]["resourceVersion"] {
            patched["metadata"]["resourceVersion"] = "".into();
        }
        Ok(patched)
    })
}

/// The scale of what is stored under the request's name.
pub fn of_stored(op: &Operation) -> Answer<Value> {
    let name = &op.target.name;
    let object = op.server.store.read(|state| state.get(&op.key(name))).ok_or_else(|| op.not_found(name))?;
    Ok(shown(paths(op)?, &op.resource.present(&object)))
}
