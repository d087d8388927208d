//! Forklift's conditions. They are not `metav1.Condition`: they carry a category, and one that does not hold is absent.

use serde::{Deserialize, Serialize};

/// One condition of a Forklift object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Name, such as `Ready` or `VMStorageNotMapped`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True` or `False`; the latter is rare, absent means false.
    pub status: String,
    /// Why, in one CamelCase word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `Critical` and `Error` block Ready, `Required` is needed for it, `Warn` and `Advisory` inform.
    pub category: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the user might do, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// RFC 3339, whole seconds.
    pub last_transition_time: String,
    /// Whether it stays without being set again at each reconcile.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub durable: bool,
    /// What it is about: VM references, missing keys, names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<String>,
}

impl Condition {
    /// Whether it holds.
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Whether it keeps the object from becoming Ready.
    pub fn is_blocker(&self) -> bool {
        self.is_true() && matches!(self.category.as_str(), "Critical" | "Error")
    }
}

/// Look-ups in a list of conditions.
pub trait Conditions {
    /// The condition of this type, if it holds.
    fn holds(&self, kind: &str) -> Option<&Condition>;
    /// Those that keep the object from becoming Ready.
    fn blockers(&self) -> Vec<&Condition>;
}

impl Conditions for [Condition] {
    fn holds(&self, kind: &str) -> Option<&Condition> {
        self.iter().find(|c| c.kind == kind && c.is_true())
    }

    fn blockers(&self) -> Vec<&Condition> {
        self.iter().filter(|c| c.is_blocker()).collect()
    }
}
