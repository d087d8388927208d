//! From all scenarios to the plan of a run: marker and name expressions, and gates with the reason of each skip.

mod gate;
pub mod marker;
mod name;
mod version;

use std::{collections::BTreeSet, sync::Arc};

pub use gate::{Gate, Skip, closed};
pub use version::{Product, Version, too_low};

use crate::{
    config::{catalogue::Catalogue, diagnostics::Problems, profile::ProviderKind, scenario::Scenario},
    steps::Step,
};

/// What a user selects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names, aliases or patterns; empty means all.
    pub names: Vec<String>,
    /// Marker expression; unset means all.
    pub marker: Option<String>,
}

/// A scenario of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// Its steps in order.
    pub steps: Vec<Step>,
    /// Why it is not run.
    pub skip: Option<Skip>,
}

/// What a run does: `list` prints it, `run` hands exactly this to the engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanOfRun {
    /// Scenarios in order.
    pub scenarios: Vec<Selected>,
}

/// The steps of a scenario.
pub fn steps(_scenario: &Scenario) -> Vec<Step> {
    // Every scenario of this release goes the whole way; a flow of its own will choose here.
    vec![Step::Prepare, Step::StorageMap, Step::NetworkMap, Step::Plan, Step::Migrate, Step::Verify, Step::CleanUp]
}

/// Selects, and closes the gates that need no cluster. An empty plan is no error here: the caller knows what it means.
pub fn plan(catalogue: &Catalogue, selection: &Selection, kind: Option<ProviderKind>) -> Result<PlanOfRun, Problems> {
    let all = catalogue.scenarios();
    let mut problems = Problems::default();
    let known: BTreeSet<&str> =
        marker::REGISTERED.iter().copied().chain(all.iter().flat_map(|s| s.markers.iter().map(String::as_str))).collect();
    let expression =
        selection.marker.as_deref().and_then(|text| marker::Expression::parse(text, &known).map_err(|e| problems.append(e)).ok());
    let named = if selection.names.is_empty() {
        (0..all.len()).collect()
    } else {
        name::select(&selection.names, all).unwrap_or_else(|e| {
            problems.append(e);
            Vec::new()
        })
    };
    problems.into_result(())?;
    let scenarios = named
        .into_iter()
        .map(|i| &all[i])
        .filter(|scenario| expression.as_ref().is_none_or(|e| e.matches(&scenario.markers)))
        .map(|scenario| Selected { scenario: scenario.clone(), steps: steps(scenario), skip: closed(scenario, kind) })
        .collect();
    Ok(PlanOfRun { scenarios })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(selection: &Selection, kind: Option<ProviderKind>) -> Vec<(String, Option<String>)> {
        let catalogue = Catalogue::load(None).unwrap();
        let plan = plan(&catalogue, selection, kind).unwrap();
        plan.scenarios.iter().map(|s| (s.scenario.name.clone(), s.skip.as_ref().map(|skip| skip.reason.clone()))).collect()
    }

    #[test]
    fn an_alias_selects_its_scenario() {
        let selection = Selection { names: vec!["test_sanity_cold_mtv_migration".to_owned()], marker: None };
        assert_eq!(names(&selection, None), [("sanity-cold".to_owned(), None)]);
    }

    #[test]
    fn names_and_marker_both_have_to_match() {
        let selection = Selection { names: vec!["sanity-*".to_owned()], marker: Some("tier0 and not warm".to_owned()) };
        assert_eq!(names(&selection, None), [("sanity-cold".to_owned(), None)]);
    }

    #[test]
    fn warm_is_skipped_where_the_source_cannot() {
        let selection = Selection { names: vec!["sanity-warm".to_owned()], marker: None };
        for (kind, reason) in [
            (ProviderKind::Vsphere, None),
            (ProviderKind::Ovirt, Some("ovirt warm migration is skipped while MTV-2846 is unresolved.")),
            (ProviderKind::Openstack, Some("openstack warm migration is not supported.")),
            (ProviderKind::Openshift, Some("openshift warm migration is not supported.")),
            (ProviderKind::Ova, Some("ova warm migration is not supported.")),
            (ProviderKind::Hyperv, Some("hyperv warm migration is not supported.")),
        ] {
            assert_eq!(names(&selection, Some(kind)), [("sanity-warm".to_owned(), reason.map(str::to_owned))], "{kind}");
        }
    }

    #[test]
    fn all_mistakes_are_told_together() {
        let catalogue = Catalogue::load(None).unwrap();
        let selection = Selection { names: vec!["sanity-cald".to_owned(), "nothing-like-it".to_owned()], marker: Some("teir0".to_owned()) };
        insta::assert_snapshot!(plan(&catalogue, &selection, None).unwrap_err().to_string());
    }
}
