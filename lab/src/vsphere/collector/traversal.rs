//! From the objects of a filter along its traversals to all objects that it selects.

use std::collections::HashSet;

use super::filter::{FilterSpec, SelectionSpec, TraversalSpec};
use crate::vsphere::{
    fault::Fault,
    ids::{MoRef, is_a},
    types::{self, Sight},
};

/// Objects that a filter selects, in the order in which they are met, each once.
///
/// # Errors
/// `ManagedObjectNotFound` for an object that the filter starts from, unless it wants no error for that;
/// `InvalidArgument` for the name of a traversal that is not defined; `InvalidProperty` for a traversal along a property that does not exist.
pub fn select(sight: Sight<'_>, spec: &FilterSpec) -> Result<Vec<MoRef>, Fault> {
    let named = spec.traversals();
    let mut out = Vec::new();
    let mut reported = HashSet::new();
    // A traversal is followed once from each object: specifications are allowed to go in circles.
    let mut followed: HashSet<(MoRef, *const TraversalSpec)> = HashSet::new();
    for start in &spec.objects {
        let Some(kind) = types::kind(sight, &start.object) else {
            if spec.report_missing {
                continue;
            }
            return Err(Fault::not_found(&start.object));
        };
        let object = MoRef::new(kind, &start.object.id);
        if !start.skip && reported.insert(object.clone()) {
            out.push(object.clone());
        }
        let mut open: Vec<(MoRef, &SelectionSpec)> = start.select.iter().rev().map(|s| (object.clone(), s)).collect();
        while let Some((object, selection)) = open.pop() {
            let traversal = match selection {
                SelectionSpec::Traversal(traversal) => traversal,
                SelectionSpec::Named(name) => named.get(name.as_str()).copied().ok_or_else(|| Fault::invalid_argument("selectSet.name"))?,
            };
            if !is_a(&object.kind, &traversal.kind) || !followed.insert((object.clone(), std::ptr::from_ref(traversal))) {
                continue;
            }
            let Some(value) = types::property(sight, &object, &traversal.path)? else { continue };
            for target in value.references() {
                let Some(kind) = types::kind(sight, &target) else { continue };
                let target = MoRef::new(kind, target.id);
                if !traversal.skip && reported.insert(target.clone()) {
                    out.push(target.clone());
                }
                open.extend(traversal.select.iter().rev().map(|s| (target.clone(), s)));
            }
        }
    }
    Ok(out)
}
