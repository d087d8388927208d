//! Views: lists of objects that clients keep on the server.

use std::collections::BTreeSet;

use crate::vsphere::{
    ids::{MoRef, is_a},
    model::{Entity, Kind},
    sessions::{View, ViewKind},
    types::Sight,
};

/// What a view shows now.
pub fn members(sight: Sight<'_>, view: &View) -> Vec<MoRef> {
    let model = sight.model;
    match &view.kind {
        ViewKind::List(list) => list.iter().filter(|o| model.entity(&o.id).is_some() || model.task(&o.id).is_some()).cloned().collect(),
        ViewKind::Container { container, types, recursive } => {
            let mut out = Vec::new();
            let mut seen = BTreeSet::new();
            descend(sight, &container.id, *recursive, &mut seen, &mut |entity| {
                if types.is_empty() || types.iter().any(|t| is_a(sight.face.type_name(entity), t)) {
                    out.push(entity.moref());
                }
            });
            out
        }
    }
}

fn descend(sight: Sight<'_>, id: &str, recursive: bool, seen: &mut BTreeSet<String>, found: &mut impl FnMut(&Entity)) {
    let Some(entity) = sight.model.entity(id) else { return };
    for child in beneath(sight, entity) {
        if !seen.insert(child.id.clone()) {
            continue;
        }
        found(child);
        if recursive {
            descend(sight, &child.id, true, seen, found);
        }
    }
}

/// What is beneath an entity for views: children, and for hosts and pools their machines.
fn beneath<'a>(sight: Sight<'a>, entity: &'a Entity) -> Vec<&'a Entity> {
    let model = sight.model;
    if entity.vm().is_some() {
        // Nothing is beneath a machine: no need to look through the whole inventory for it.
        return Vec::new();
    }
    let mut out = sight.face.children(model, &entity.id);
    match &entity.kind {
        Kind::Host => out.extend(model.vms().filter(|(_, vm)| vm.host == entity.id).map(|(e, _)| e)),
        Kind::Pool => out.extend(model.vms().filter(|(_, vm)| vm.pool.as_ref() == Some(&entity.id)).map(|(e, _)| e)),
        _ => {}
    }
    out.retain(|entity| sight.face.shows(model, &entity.id));
    out
}
