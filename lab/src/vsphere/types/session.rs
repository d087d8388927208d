//! Objects that a session has made for itself: views, filters, collectors.

use super::Sight;
use crate::vsphere::{
    collector::view,
    ids::MoRef,
    sessions::{Owned, ViewKind},
    value::{Value, refs, strings},
};

/// Names of the properties of such an object.
pub fn names(sight: Sight<'_>, id: &str) -> Option<Vec<&'static str>> {
    Some(match sight.session?.owned(id)? {
        Owned::View(view) => match view.kind {
            ViewKind::Container { .. } => vec!["view", "container", "type", "recursive"],
            ViewKind::List(_) => vec!["view"],
        },
        Owned::Filter(_) => vec!["spec", "partialUpdates"],
        Owned::Collector => vec!["filter"],
        Owned::History(_) => vec!["filter", "latestPage"],
    })
}

/// A property of such an object.
pub fn property(sight: Sight<'_>, id: &str, name: &str) -> Option<Value> {
    match (sight.session?.owned(id)?, name) {
        (Owned::View(view), "view") => Some(refs(view::members(sight, view))),
        (Owned::View(view), _) => match (&view.kind, name) {
            (ViewKind::Container { container, .. }, "container") => Some(container.clone().into()),
            (ViewKind::Container { types, .. }, "type") => Some(strings(types.iter().cloned())),
            (ViewKind::Container { recursive, .. }, "recursive") => Some((*recursive).into()),
            _ => None,
        },
        (Owned::Filter(filter), "partialUpdates") => Some(filter.partial.into()),
        (Owned::Collector, "filter") => Some(refs(sight.session?.filters(id).map(|id| MoRef::new("PropertyFilter", id)))),
        (Owned::History(page), "latestPage") => Some(page.latest(sight.model)),
        _ => None,
    }
}
