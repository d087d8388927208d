//! References as Forklift prints them in the items of conditions.

use serde_json::Value;

use super::cluster::Look;

/// A reference to something in a source: id, name or both.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// Id in the inventory.
    pub id: String,
    /// Name, or path.
    pub name: String,
    /// Namespace, OpenShift sources only.
    pub namespace: String,
    /// Such as `pod`.
    pub kind: String,
}

impl Reference {
    /// Reads one.
    pub fn read(value: &Value) -> Self {
        let text = |name: &str| value.text(name).to_owned();
        Self { id: text("/id"), name: text("/name"), namespace: text("/namespace"), kind: text("/type") }
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.id.is_empty() && self.name.is_empty() && self.kind.is_empty()
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.kind.is_empty() {
            write!(f, "({})", self.kind)?;
        }
        write!(f, " id:{}", self.id)?;
        if !self.namespace.is_empty() {
            write!(f, " namespace:'{}'", self.namespace)?;
        }
        write!(f, " name:'{}' ", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_prints_as_recorded() {
        let reference = Reference { id: "vm-66".into(), name: "rhel9-a".into(), ..Reference::default() };
        assert_eq!(reference.to_string(), " id:vm-66 name:'rhel9-a' ");
    }
}
