//! Views: lists of objects that clients keep on the server.

use std::collections::BTreeSet;

use crate::vsphere::{
    ids::{MoRef, is_a},
    model::{Entity, Kind, Model},
    sessions::{View, ViewKind},
};

/// What a view shows now.
pub fn members(model: &Model, view: &View) -> Vec<MoRef> {
    match &view.kind {
        ViewKind::List(list) => list.iter().filter(|o| model.entity(&o.id).is_some() || model.task(&o.id).is_some()).cloned().collect(),
        ViewKind::Container { container, types, recursive } => {
            let mut out = Vec::new();
            let mut seen = BTreeSet::new();
            descend(model, &container.id, *recursive, &mut seen, &mut |entity| {
                if types.is_empty() || types.iter().any(|t| is_a(entity.type_name(), t)) {
                    out.push(entity.moref());
                }
            });
            out
        }
    }
}

fn descend(model: &Model, id: &str, recursive: bool, seen: &mut BTreeSet<String>, found: &mut impl FnMut(&Entity)) {
    let Some(entity) = model.entity(id) else { return };
    for child in beneath(model, entity) {
        if !seen.insert(child.id.clone()) {
            continue;
        }
        found(child);
        if recursive {
            descend(model, &child.id, true, seen, found);
        }
    }
}

/// What is beneath an entity for views: children, and for hosts and pools their machines.
fn beneath<'a>(model: &'a Model, entity: &'a Entity) -> Vec<&'a Entity> {
    if entity.vm().is_some() {
        // Nothing is beneath a machine: no need to look through the whole inventory for it.
        return Vec::new();
    }
    let mut out: Vec<&Entity> = model.children(&entity.id).collect();
    match &entity.kind {
        Kind::Host => out.extend(model.vms().filter(|(_, vm)| vm.host == entity.id).map(|(e, _)| e)),
        Kind::Pool => out.extend(model.vms().filter(|(_, vm)| vm.pool.as_ref() == Some(&entity.id)).map(|(e, _)| e)),
        _ => {}
    }
    out
}
