//! Gates that need no cluster: what the source cannot do. Version gates need the cluster and are asked at run time.

use serde::Serialize;

use crate::config::{profile::ProviderKind, scenario::Scenario};

/// Which gate is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// The kind of the source.
    Provider,
    /// Warm migration from that kind of source.
    Warm,
    /// The release of MTV or OpenShift.
    Version,
    /// A known issue.
    KnownIssue,
}

/// Why a scenario is not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skip {
    /// Which gate is closed.
    pub gate: Gate,
    /// The reason, for people.
    pub reason: String,
}

/// The first closed gate. Without a kind nothing is known about the source, and no gate is closed.
pub fn closed(scenario: &Scenario, kind: Option<ProviderKind>) -> Option<Skip> {
    let kind = kind?;
    let wanted = &scenario.requires.providers;
    if !wanted.is_empty() && !wanted.contains(&kind) {
        let wanted: Vec<&str> = wanted.iter().map(|kind| kind.name()).collect();
        let reason = format!("needs a source of type {}; the selected one is {kind}.", wanted.join(" or "));
        return Some(Skip { gate: Gate::Provider, reason });
    }
    if scenario.warm_migration && !kind.can_warm() {
        return Some(Skip { gate: Gate::Warm, reason: format!("{kind} warm migration is not supported.") });
    }
    if scenario.warm_migration && kind == ProviderKind::Ovirt {
        let reason = "ovirt warm migration is skipped while MTV-2846 is unresolved.".to_owned();
        return Some(Skip { gate: Gate::KnownIssue, reason });
    }
    None
}
