//! Which resources the server knows, and what it must know of each.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    event,
    meta::NameRule,
    schema::Schema,
    table::Column,
    typed,
    types::{self, Message},
};

/// Where the subresource `scale` finds its numbers, as JSON pointers.
#[derive(Debug, Clone)]
pub struct Scale {
    /// How many are wanted.
    pub wanted: String,
    /// How many there are.
    pub running: String,
    /// Which ones: a selector, or the text of one; empty: nobody says.
    pub selector: String,
}

/// All verbs of an ordinary resource.
pub const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Namespaces go one by one.
pub const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
/// A resource that is only asked, such as a review.
pub const CREATE_ONLY: &[&str] = &["create"];

/// One resource in one version.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent properties of a resource, each named in Kubernetes' own discovery or definitions"
)]
pub struct Resource {
    /// API group, empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind in CamelCase.
    pub kind: String,
    /// Kind of a list.
    pub list_kind: String,
    /// Plural, as in paths.
    pub plural: String,
    /// Singular, as kubectl accepts it.
    pub singular: String,
    /// Abbreviations that kubectl accepts.
    pub short_names: Vec<String>,
    /// Categories such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether `status` is a subresource, written separately.
    pub status: bool,
    /// Whether `metadata.generation` is kept.
    pub generation: bool,
    /// Served from a definition, as custom resources are: no strategic merge patch, schema validation.
    pub custom: bool,
    /// Rule for names.
    pub name_rule: NameRule,
    /// Verbs of the resource itself.
    pub verbs: &'static [&'static str],
    /// Key of the objects in the store; all versions share it.
    pub storage: Arc<str>,
    /// Structural schema of a custom resource; none: anything goes.
    pub schema: Option<Arc<Schema>>,
    /// Type of a built-in kind.
    pub message: Option<&'static Message>,
    /// What can be scaled.
    pub scale: Option<Scale>,
    /// What a client of a version that will go is told.
    pub deprecated: Option<String>,
    /// Columns of tables after `Name`; empty: the age alone.
    pub columns: Vec<Column>,
    /// Fields that selectors may name, besides name and namespace.
    pub fields: Vec<String>,
}

impl Resource {
    /// `group/version`, or the version alone for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether it is the built-in of this plural in the core group.
    pub fn is_core(&self, plural: &str) -> bool {
        self.group.is_empty() && self.plural == plural
    }

    /// Whether a field selector may name the field.
    pub fn selectable(&self, field: &str) -> bool {
        field == "metadata.name" || (field == "metadata.namespace" && self.namespaced) || self.fields.iter().any(|known| known == field)
    }

    /// The message for a field that it may not name.
    pub fn unknown_field(&self, field: &str) -> String {
        if self.custom || self.group == "events.k8s.io" || (!self.fields.is_empty() && self.group.is_empty()) {
            format!("field label not supported: {field}")
        } else if !self.fields.is_empty() {
            format!("field label {field:?} not supported for {}", self.kind)
        } else {
            format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        }
    }

    /// The object as this version shows it: mostly as it is stored.
    pub fn present<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        if self.group == "events.k8s.io" {
            let event = event::from_core(object);
            return Cow::Owned(match self.message {
                Some(message) => typed::write(message, &event),
                None => event,
            });
        }
        let version = self.api_version();
        if !self.custom || object["apiVersion"] == version {
            return Cow::Borrowed(object);
        }
        let mut object = object.clone();
        object["apiVersion"] = version.into();
        Cow::Owned(object)
    }

    /// The object as it is stored, whatever version shows it.
    pub fn stored(&self, object: Value) -> Value {
        if self.group == "events.k8s.io" {
            let event = event::to_core(&object);
            return types::of_kind("", "Event").map_or_else(|| event.clone(), |message| typed::write(message, &event));
        }
        object
    }
}

/// Every resource that is served, by group, version and plural.
#[derive(Default)]
pub struct Registry {
    resources: BTreeMap<(String, String, String), Arc<Resource>>,
}

impl Registry {
    /// Serves a resource; a later one of the same name takes the earlier one's place.
    pub fn add(&mut self, resource: Resource) {
        let key = (resource.group.clone(), resource.version.clone(), resource.plural.clone());
        self.resources.insert(key, Arc::new(resource));
    }

    /// Ends serving all versions of a resource.
    pub fn remove(&mut self, group: &str, plural: &str) {
        self.resources.retain(|(g, _, p), _| g != group || p != plural);
    }

    /// A resource by its path.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.resources.get(&(group.to_owned(), version.to_owned(), plural.to_owned())).cloned()
    }

    /// All resources in the order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// Whether the server itself serves something in this group and version.
    pub fn serves(&self, group: &str, version: &str) -> bool {
        self.resources.keys().any(|(g, v, _)| g == group && v == version)
    }

    /// Whether a version of the group is built in.
    pub fn has_built_in_group(&self, group: &str) -> bool {
        self.all().any(|resource| !resource.custom && resource.group == group)
    }

    /// Whether the group version belongs to the built-in groups, whose router answers differently.
    pub fn built_in(&self, group: &str, version: &str) -> bool {
        self.resources.iter().any(|((g, v, _), resource)| g == group && v == version && !resource.custom)
    }
}

/// Orders versions as Kubernetes prefers them: v2 before v1 before v1beta2 before v1beta1 before v1alpha1 before others.
pub fn version_priority(version: &str) -> (u8, u32, u32) {
    let parse = || -> Option<(u8, u32, u32)> {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u32 = rest[..digits].parse().ok()?;
        match &rest[digits..] {
            "" => Some((3, major, 0)),
            beta if beta.starts_with("beta") => Some((2, major, beta[4..].parse().ok()?)),
            alpha if alpha.starts_with("alpha") => Some((1, major, alpha[5..].parse().ok()?)),
            _ => None,
        }
    };
    parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_order_of_preference() {
        let mut versions = ["v1alpha1", "v1", "foo", "v1beta1", "v2", "v1beta2"];
        versions.sort_by_key(|version| std::cmp::Reverse(version_priority(version)));
        assert_eq!(versions, ["v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]);
    }
}
