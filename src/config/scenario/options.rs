//! Options of a Plan whose value is more than a text or a switch.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::config::profile::ProviderKind;

/// Value of a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum Label {
    /// The value itself.
    Text(String),
    /// The run's id: no other run uses it.
    Unique,
}

impl Label {
    /// The value in a run.
    pub fn of<'a>(&'a self, run: &'a str) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Unique => run,
        }
    }
}

/// ESXi hosts that copy in a scenario with copy-offload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DedicatedHosts {
    /// `dedicated_migration_hosts` of the profile.
    Profile,
    /// These, managed object references.
    Ids(Vec<String>),
}

/// Namespace that VMs are migrated into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetNamespace {
    /// This one. It is made if it does not exist, and left alone if it does.
    Named(String),
    /// One of the run's own: this prefix, a dash and the run's id.
    Prefix(String),
}

impl TargetNamespace {
    /// Its name in a run.
    pub fn of(&self, run: &str) -> String {
        match self {
            Self::Named(name) => name.clone(),
            Self::Prefix(prefix) => format!("{prefix}-{run}"),
        }
    }
}

/// Template of PVC names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PvcNameTemplate {
    /// The same for all sources.
    All(String),
    /// One for each kind of source.
    ByKind {
        /// The template of a kind.
        kinds: BTreeMap<ProviderKind, String>,
        /// That of all others.
        default: Option<String>,
    },
}

impl PvcNameTemplate {
    /// The template for VMs of a kind of source.
    pub fn of(&self, kind: ProviderKind) -> Option<&str> {
        match self {
            Self::All(template) => Some(template),
            Self::ByKind { kinds, default } => kinds.get(&kind).or(default.as_ref()).map(String::as_str),
        }
    }
}

/// Longest name part of a label's key (Kubernetes).
const LONGEST_KEY: usize = 63;

/// A label's key that no other run uses: the key, a dash and the run's id, the key shortened if there is no room.
pub(super) fn unique_key(key: &str, run: &str) -> String {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let name: String = name.chars().take(LONGEST_KEY - 1 - run.len()).collect();
    let name = format!("{}-{run}", name.trim_end_matches(['-', '_', '.']));
    prefix.map_or(name.clone(), |prefix| format!("{prefix}/{name}"))
}

/// A value with the run's id where there is null.
pub(super) fn filled(value: &Value, run: &str) -> Value {
    match value {
        Value::Null => Value::String(run.to_owned()),
        Value::Array(values) => values.iter().map(|value| filled(value, run)).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), filled(value, run))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_unique_holds_the_run() {
        assert_eq!(unique_key("node", "abc"), "node-abc");
        assert_eq!(unique_key("example.com/node", "abc"), "example.com/node-abc");
        let long = unique_key(&"k".repeat(63), "abcdefghij");
        assert!(long.len() == 63 && long.ends_with("k-abcdefghij"), "{long}");
        assert_eq!(filled(&json!({"a": [null, {"b": 1}]}), "abc"), json!({"a": ["abc", {"b": 1}]}));
        assert_eq!(TargetNamespace::Prefix("vms".to_owned()).of("abc"), "vms-abc");
    }

    #[test]
    fn a_kind_without_a_template_of_its_own_has_the_default() {
        let template = |default: Option<&str>| PvcNameTemplate::ByKind {
            kinds: BTreeMap::from([(ProviderKind::Vsphere, "v".to_owned())]),
            default: default.map(str::to_owned),
        };
        assert_eq!(template(None).of(ProviderKind::Vsphere), Some("v"));
        assert_eq!(template(Some("d")).of(ProviderKind::Ovirt), Some("d"));
        assert_eq!(template(None).of(ProviderKind::Ovirt), None);
    }
}
