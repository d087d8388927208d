//! `PropertyFilterSpec`: which objects, and which of their properties.

use std::collections::BTreeMap;

use mtv_api::xml::Node;

use crate::vsphere::{
    ids::{MoRef, is_a},
    model::reconfigure::flag,
    value::Value,
};

/// Which properties of objects of a type.
#[derive(Debug, Clone)]
pub struct PropertySpec {
    /// Type.
    pub kind: String,
    /// All properties.
    pub all: bool,
    /// Paths.
    pub paths: Vec<String>,
}

/// How to go from an object to others.
#[derive(Debug, Clone)]
pub enum SelectionSpec {
    /// By a traversal that is defined elsewhere in the same filter.
    Named(String),
    /// By a property.
    Traversal(TraversalSpec),
}

/// From objects of a type along a property.
#[derive(Debug, Clone)]
pub struct TraversalSpec {
    /// Name that others refer to.
    pub name: Option<String>,
    /// Type of the objects that it starts from.
    pub kind: String,
    /// Property with references.
    pub path: String,
    /// Do not report what it leads to.
    pub skip: bool,
    /// Where to go on from there.
    pub select: Vec<SelectionSpec>,
}

/// Where a filter starts.
#[derive(Debug, Clone)]
pub struct ObjectSpec {
    /// Object.
    pub object: MoRef,
    /// Do not report the object itself.
    pub skip: bool,
    /// Where to go from there.
    pub select: Vec<SelectionSpec>,
}

/// A filter specification.
#[derive(Debug, Clone, Default)]
pub struct FilterSpec {
    /// Properties.
    pub properties: Vec<PropertySpec>,
    /// Objects.
    pub objects: Vec<ObjectSpec>,
    /// An object that is gone is no error.
    pub report_missing: bool,
}

/// What was reported last, by object and path.
pub type Reported = BTreeMap<MoRef, BTreeMap<String, Value>>;

/// A filter that a client follows.
pub struct Filter {
    /// The collector that it belongs to.
    pub collector: String,
    /// Specification.
    pub spec: FilterSpec,
    /// `partialUpdates`; accepted, changes are always reported by the paths of the specification.
    pub partial: bool,
    /// What the client knows.
    pub reported: Reported,
}

impl FilterSpec {
    /// Reads a specification.
    pub fn read(node: &Node) -> Self {
        Self {
            properties: node
                .children_named("propSet")
                .map(|set| PropertySpec {
                    kind: set.get("type").unwrap_or("ManagedObject").trim().to_owned(),
                    all: flag(set, "all").unwrap_or(false),
                    paths: set.children_named("pathSet").map(|p| p.text.trim().to_owned()).collect(),
                })
                .collect(),
            objects: node
                .children_named("objectSet")
                .map(|set| ObjectSpec {
                    object: set.child("obj").map_or_else(|| MoRef::new("", ""), MoRef::read),
                    skip: flag(set, "skip").unwrap_or(false),
                    select: selections(set),
                })
                .collect(),
            report_missing: flag(node, "reportMissingObjectsInResults").unwrap_or(false),
        }
    }

    /// The properties that are wanted of objects of a type.
    pub fn wanted<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a PropertySpec> {
        self.properties.iter().filter(move |p| is_a(kind, &p.kind))
    }

    /// Traversals by name, wherever they are defined.
    pub fn traversals(&self) -> BTreeMap<&str, &TraversalSpec> {
        let mut out = BTreeMap::new();
        let mut open: Vec<&SelectionSpec> = self.objects.iter().flat_map(|o| &o.select).collect();
        while let Some(next) = open.pop() {
            if let SelectionSpec::Traversal(traversal) = next {
                if let Some(name) = &traversal.name {
                    out.insert(name.as_str(), traversal);
                }
                open.extend(&traversal.select);
            }
        }
        out
    }
}

fn selections(node: &Node) -> Vec<SelectionSpec> {
    node.children_named("selectSet")
        .map(|set| {
            let name = set.get("name").filter(|n| !n.is_empty()).map(str::to_owned);
            match (set.get("type"), set.get("path")) {
                (Some(kind), Some(path)) => SelectionSpec::Traversal(TraversalSpec {
                    name,
                    kind: kind.trim().to_owned(),
                    path: path.trim().to_owned(),
                    skip: flag(set, "skip").unwrap_or(false),
                    select: selections(set),
                }),
                _ => SelectionSpec::Named(name.unwrap_or_default()),
            }
        })
        .collect()
}
