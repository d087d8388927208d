//! Gates: why a scenario is not run. Most are known before anybody is contacted; versions and issues are asked at run time.

use serde::Serialize;

use crate::config::{
    copyoffload::MissingField,
    profile::{Profile, ProviderKind},
    scenario::Scenario,
};

/// Issue that keeps oVirt from migrating warm. mtv-api-tests runs those tests as soon as it is resolved.
const OVIRT_WARM: &str = "MTV-2846";

/// Which gate is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// The kind of the source.
    Provider,
    /// Warm migration from that kind of source.
    Warm,
    /// Copy-offload from that kind of source, or with that profile.
    CopyOffload,
    /// A destination by URL and token.
    Remote,
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
    /// Something is missing that the scenario was asked for with: a run does not skip it, it is in error.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub error: bool,
}

/// What is known of a run's surroundings without contacting anybody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// Kind of the source, if one is chosen.
    pub kind: Option<ProviderKind>,
    /// Its profile, if it is complete.
    pub profile: Option<&'a Profile>,
    /// Whether the run setting `remote_ocp_cluster` is given.
    pub remote: bool,
    /// Whether there is a Jira to ask.
    pub jira: bool,
    /// Whether the user chose scenarios by name or marker; else the whole catalogue runs.
    pub chosen: bool,
}

/// The known issue that a scenario has to wait for on that kind of source.
pub fn known_issue(scenario: &Scenario, kind: Option<ProviderKind>) -> Option<&str> {
    let ovirt_warm = scenario.warm_migration && kind == Some(ProviderKind::Ovirt);
    scenario.requires.jira.as_deref().or(ovirt_warm.then_some(OVIRT_WARM))
}

/// The first closed gate. What is not known closes none.
pub fn closed(scenario: &Scenario, known: &Surroundings<'_>) -> Option<Skip> {
    let skip = |gate, reason| Some(Skip { gate, reason, error: false });
    if scenario.remote && !known.remote {
        return skip(Gate::Remote, "needs the run setting `remote_ocp_cluster`.".to_owned());
    }
    if let Some(kind) = known.kind
        && let Some(closed) = by_kind(scenario, kind)
    {
        return Some(closed);
    }
    if let Some(profile) = known.profile
        && let Some(reason) = unsuited(scenario, profile)
    {
        // Who runs the whole catalogue from a source without an array has not asked for copy-offload.
        let error = known.chosen || profile.copyoffload().is_some();
        return Some(Skip { gate: Gate::CopyOffload, reason, error });
    }
    if let Some(issue) = known_issue(scenario, known.kind)
        && !known.jira
    {
        let reason = format!("known issue {issue}: no Jira is configured (`jira_url`) that tells whether it is resolved.");
        return skip(Gate::KnownIssue, reason);
    }
    None
}

/// What that kind of source cannot do.
fn by_kind(scenario: &Scenario, kind: ProviderKind) -> Option<Skip> {
    let wanted = &scenario.requires.providers;
    if !wanted.is_empty() && !wanted.contains(&kind) {
        let wanted: Vec<&str> = wanted.iter().map(|kind| kind.name()).collect();
        let reason = format!("needs a source of type {}; the selected one is {kind}.", wanted.join(" or "));
        return Some(Skip { gate: Gate::Provider, reason, error: false });
    }
    if (scenario.copies_offload() || !scenario.profile_fields().is_empty()) && kind != ProviderKind::Vsphere {
        let reason = format!("copy-offload needs a source of type vsphere; the selected one is {kind}.");
        return Some(Skip { gate: Gate::CopyOffload, reason, error: false });
    }
    if scenario.warm_migration && !kind.can_warm() {
        return Some(Skip { gate: Gate::Warm, reason: format!("{kind} warm migration is not supported."), error: false });
    }
    None
}

/// What the profile lacks for a scenario with copy-offload.
fn unsuited(scenario: &Scenario, profile: &Profile) -> Option<String> {
    let needed = scenario.profile_fields();
    if needed.is_empty() {
        return None;
    }
    let name = &profile.name;
    let Some(offload) = profile.copyoffload() else {
        return Some(format!("profile `{name}` has no `copyoffload` section."));
    };
    let given = |field: &str| match field {
        "storage_vendor_product" => offload.vendor.is_some(),
        "datastore_id" => offload.datastore_id.is_some(),
        "secondary_datastore_id" => offload.secondary_datastore_id.is_some(),
        "non_xcopy_datastore_id" => offload.non_xcopy_datastore_id.is_some(),
        "rdm_lun_uuid" => offload.rdm_lun_uuid.is_some(),
        "dedicated_migration_hosts" => !offload.dedicated_migration_hosts.is_empty(),
        _ => false,
    };
    let mut missing: Vec<String> = needed.into_iter().filter(|field| !given(field)).map(|field| format!("`{field}`")).collect();
    if scenario.copies_offload() {
        // These two are among the fields that the scenario names.
        let named = ["storage_vendor_product", "datastore_id"];
        missing.extend(offload.missing().iter().filter(|field| !named.contains(&field.key)).map(MissingField::name));
    }
    (!missing.is_empty()).then(|| format!("the `copyoffload` section of profile `{name}` has no {}.", missing.join(", ")))
}
