//! Reading the properties that a filter wants.

use std::collections::BTreeMap;

use super::{filter::FilterSpec, traversal};
use crate::vsphere::{
    fault::Fault,
    ids::MoRef,
    types::{self, Sight},
    value::{Object, Value, any},
};

/// The properties that a filter wants of one object: those that are set, by path.
///
/// # Errors
/// `InvalidProperty`.
pub fn read(sight: Sight<'_>, spec: &FilterSpec, object: &MoRef) -> Result<BTreeMap<String, Value>, Fault> {
    let mut out = BTreeMap::new();
    for wanted in spec.wanted(&object.kind) {
        if wanted.all {
            for name in types::names(sight, object).unwrap_or_default() {
                if let Some(value) = types::property(sight, object, name)? {
                    out.insert(name.to_owned(), value);
                }
            }
        }
        for path in &wanted.paths {
            if let Some(value) = types::property(sight, object, path)? {
                out.insert(path.clone(), value);
            }
        }
    }
    Ok(out)
}

/// `ObjectContent` of every object that the filters select and that they want properties of.
///
/// # Errors
/// As `select` and `read`.
pub fn contents(sight: Sight<'_>, specs: &[FilterSpec]) -> Result<Vec<Object>, Fault> {
    let mut out = Vec::new();
    for spec in specs {
        for object in traversal::select(sight, spec)? {
            if spec.wanted(&object.kind).next().is_none() {
                continue;
            }
            let properties = read(sight, spec, &object)?;
            let set = properties.into_iter().map(|(path, value)| Object::new("DynamicProperty").set("name", path).set("val", any(value)));
            out.push(Object::new("ObjectContent").set("obj", object).list("propSet", "DynamicProperty", set));
        }
    }
    Ok(out)
}
