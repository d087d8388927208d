//! How the API shows what is in the model: one file per kind of managed object.

pub mod datastore;
pub mod device;
pub mod entity;
pub mod event;
pub mod folder;
pub mod guest;
pub mod host;
pub mod network;
pub mod service;
pub mod session;
pub mod task;
pub mod vm;

use super::{
    face::Face,
    fault::Fault,
    ids::MoRef,
    model::Model,
    sessions::Session,
    value::{Value, first_segment},
};

/// What properties are read from: the model, and the session whose own objects (views, filters) are visible.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// State of the vCenter.
    pub model: &'a Model,
    /// Who shows it.
    pub face: &'a Face,
    /// The caller's session; none before login.
    pub session: Option<&'a Session>,
}

/// Some if the condition holds: for properties that are set under a condition.
fn known(condition: bool) -> Option<()> {
    condition.then_some(())
}

/// The names of all properties of an object; none for objects that do not exist.
pub fn names(sight: Sight<'_>, object: &MoRef) -> Option<Vec<&'static str>> {
    if !sight.face.shows(sight.model, &object.id) {
        return None;
    }
    if let Some(entity) = sight.model.entity(&object.id) {
        return Some(entity::names(entity, sight.face.names(entity)));
    }
    if sight.model.task(&object.id).is_some() {
        return Some(task::PROPERTIES.to_vec());
    }
    if sight.model.snapshot_owner(&object.id).is_some() {
        return Some(vm::SNAPSHOT_PROPERTIES.to_vec());
    }
    session::names(sight, &object.id).or_else(|| service::names(sight.model, &object.id))
}

/// The type that an object really has; none for objects that do not exist.
pub fn kind(sight: Sight<'_>, object: &MoRef) -> Option<String> {
    if let Some(entity) = sight.model.entity(&object.id).filter(|entity| sight.face.shows(sight.model, &entity.id)) {
        return Some(sight.face.type_name(entity).to_owned());
    }
    names(sight, object).map(|_| object.kind.clone())
}

/// A property by its whole path; none if it is unset.
///
/// # Errors
/// `ManagedObjectNotFound`, or `InvalidProperty` for a name that the type does not have.
pub fn property(sight: Sight<'_>, object: &MoRef, path: &str) -> Result<Option<Value>, Fault> {
    let names = names(sight, object).ok_or_else(|| Fault::not_found(object))?;
    let (segment, rest) = first_segment(path).ok_or_else(|| Fault::invalid_property(path))?;
    if !names.contains(&segment.name) {
        return Err(Fault::invalid_property(path));
    }
    let Some(value) = top(sight, object, segment.name) else { return Ok(None) };
    let value = match segment.key {
        None => Some(&value),
        Some(key) => value.keyed(key),
    };
    Ok(value.and_then(|v| v.walk(rest)))
}

/// A property by its name.
fn top(sight: Sight<'_>, object: &MoRef, name: &str) -> Option<Value> {
    let model = sight.model;
    if let Some(entity) = model.entity(&object.id) {
        return sight.face.property(sight, entity, name);
    }
    if let Some(task) = model.task(&object.id) {
        return task::property(model, task, name);
    }
    if let Some((entity, vm)) = model.snapshot_owner(&object.id) {
        let snapshot = vm.snapshot(&object.id)?;
        return vm::snapshot_property(model, entity, vm, snapshot, name);
    }
    session::property(sight, &object.id, name).or_else(|| service::property(sight, &object.id, name))
}
