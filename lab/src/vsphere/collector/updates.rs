//! What has changed since a client asked last.

use std::collections::BTreeMap;

use super::{filter::Filter, read, traversal};
use crate::vsphere::{
    fault::Fault,
    ids::MoRef,
    types::Sight,
    value::{Object, Value, any},
};

/// Compares what a filter shows with what the client knows, notes what is reported now, and returns it as
/// `ObjectUpdate`s: at most `limit`, and whether there is more.
///
/// # Errors
/// As `select` and `read`.
pub fn changes(sight: Sight<'_>, filter: &mut Filter, limit: usize) -> Result<(Vec<Object>, bool), Fault> {
    let mut spec = filter.spec.clone();
    // An object that goes while it is followed is told as such, and is no error.
    spec.report_missing = true;
    let mut now = BTreeMap::new();
    let mut order = Vec::new();
    for object in traversal::select(sight, &spec)? {
        if spec.wanted(&object.kind).next().is_some() {
            now.insert(object.clone(), read::read(sight, &spec, &object)?);
            order.push(object);
        }
    }
    let mut out = Vec::new();
    let gone: Vec<MoRef> = filter.reported.keys().filter(|o| !now.contains_key(*o)).cloned().collect();
    for object in gone {
        if out.len() == limit {
            return Ok((out, true));
        }
        filter.reported.remove(&object);
        out.push(Object::new("ObjectUpdate").choice("kind", "ObjectUpdateKind", "leave").set("obj", object));
    }
    for object in order {
        let properties = now.remove(&object).unwrap_or_default();
        let (kind, set) = match filter.reported.get(&object) {
            None => ("enter", properties.iter().map(|(path, value)| change(path, Some(value))).collect::<Vec<_>>()),
            Some(before) => {
                let changed = properties
                    .iter()
                    .filter(|(path, value)| before.get(*path) != Some(value))
                    .map(|(path, value)| change(path, Some(value)));
                let unset = before.keys().filter(|path| !properties.contains_key(*path)).map(|path| change(path, None));
                ("modify", changed.chain(unset).collect())
            }
        };
        if kind == "modify" && set.is_empty() {
            continue;
        }
        if out.len() == limit {
            return Ok((out, true));
        }
        filter.reported.insert(object.clone(), properties);
        out.push(Object::new("ObjectUpdate").choice("kind", "ObjectUpdateKind", kind).set("obj", object).list(
            "changeSet",
            "PropertyChange",
            set,
        ));
    }
    Ok((out, false))
}

fn change(path: &str, value: Option<&Value>) -> Object {
    Object::new("PropertyChange")
        .set("name", path)
        .choice("op", "PropertyChangeOp", if value.is_some() { "assign" } else { "indirectRemove" })
        .opt("val", value.cloned().map(any))
}
