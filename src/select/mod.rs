//! From all scenarios to the plan of a run: marker and name expressions, and gates with the reason of each skip.

mod gate;
pub mod marker;
mod name;
mod version;

use std::{collections::BTreeSet, sync::Arc};

pub use gate::{Gate, Skip, Surroundings, closed, known_issue};
pub use version::{Product, Version, too_low};

use crate::{
    config::{
        catalogue::Catalogue,
        diagnostics::{Problem, Problems},
        scenario::Scenario,
        scenario_file::Located,
        suggest::nearest,
    },
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
    /// Whether the user chose them by name or marker.
    pub chosen: bool,
}

/// The steps of a scenario.
pub fn steps(_scenario: &Scenario) -> Vec<Step> {
    // Every scenario of this release goes the whole way; a flow of its own will choose here.
    vec![Step::Prepare, Step::StorageMap, Step::NetworkMap, Step::Plan, Step::Migrate, Step::Verify, Step::CleanUp]
}

/// Notes on markers that neither the built-in scenarios carry nor mtv-api-tests registers: a slip makes a scenario that is never
/// selected. Each one is noted once.
pub fn new_markers(scenarios: &[Located]) -> Problems {
    let Ok(embedded) = Catalogue::load(None) else { return Problems::default() };
    let known: BTreeSet<&str> =
        marker::REGISTERED.iter().copied().chain(embedded.scenarios().iter().flat_map(|s| s.markers.iter().map(String::as_str))).collect();
    let mut noted = BTreeSet::new();
    let mut notes = Problems::default();
    for located in scenarios {
        for marker in located.markers.iter().filter(|marker| !known.contains(marker.value.as_str())) {
            if noted.insert(marker.value.as_str()) {
                let near = nearest(&marker.value, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                let problem = Problem::note(format!("new marker `{}`", marker.value)).at(&located.source, marker.span.clone(), "");
                notes.push(problem.help_maybe(near));
            }
        }
    }
    notes
}

/// Selects, and closes the gates that need no cluster. An empty plan is no error here: the caller knows what it means.
pub fn plan(catalogue: &Catalogue, selection: &Selection, known: &Surroundings<'_>) -> Result<PlanOfRun, Problems> {
    let all = catalogue.scenarios();
    let mut problems = Problems::default();
    let markers: BTreeSet<&str> =
        marker::REGISTERED.iter().copied().chain(all.iter().flat_map(|s| s.markers.iter().map(String::as_str))).collect();
    let expression =
        selection.marker.as_deref().and_then(|text| marker::Expression::parse(text, &markers).map_err(|e| problems.append(e)).ok());
    let named = if selection.names.is_empty() {
        (0..all.len()).collect()
    } else {
        name::select(&selection.names, all).unwrap_or_else(|e| {
            problems.append(e);
            Vec::new()
        })
    };
    problems.into_result(())?;
    let chosen = expression.is_some() || !selection.names.is_empty();
    let known = &Surroundings { chosen, ..*known };
    let scenarios = named
        .into_iter()
        .map(|i| &all[i])
        .filter(|scenario| expression.as_ref().is_none_or(|e| e.matches(&scenario.markers)))
        .map(|scenario| Selected { scenario: scenario.clone(), steps: steps(scenario), skip: closed(scenario, known) })
        .collect();
    Ok(PlanOfRun { scenarios, chosen })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{
            copyoffload::{CopyOffload, StorageVendor},
            profile::{Details, Profile, ProviderKind, VsphereProfile},
            profile_file::ProfileFile,
        },
        secrets::SecretValue,
    };

    fn names_in(selection: &Selection, known: &Surroundings<'_>) -> Vec<(String, Option<String>)> {
        let catalogue = Catalogue::load(None).unwrap();
        let plan = plan(&catalogue, selection, known).unwrap();
        plan.scenarios.iter().map(|s| (s.scenario.name.clone(), s.skip.as_ref().map(|skip| skip.reason.clone()))).collect()
    }

    fn names(selection: &Selection, kind: Option<ProviderKind>) -> Vec<(String, Option<String>)> {
        names_in(selection, &Surroundings { kind, ..Surroundings::default() })
    }

    fn only(name: &str, known: &Surroundings<'_>) -> Option<String> {
        let selection = Selection { names: vec![name.to_owned()], marker: None };
        names_in(&selection, known).remove(0).1
    }

    /// The profile of the example file, with this copy-offload section.
    fn profile(copyoffload: Option<CopyOffload>) -> Profile {
        let text = "[provider.v]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword = \"password-of-v\"\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        std::fs::write(&path, text).unwrap();
        let (profile, _) = ProfileFile::load(&path).unwrap().select("v", &|_| None).unwrap();
        Profile { details: Details::from(VsphereProfile { copyoffload, ..VsphereProfile::default() }), ..profile }
    }

    /// Each scenario is skipped for exactly what the profile lacks, and runs as soon as nothing is missing.
    #[test]
    fn copy_offload_needs_what_the_scenario_uses() {
        let storage = ["STORAGE_HOSTNAME", "STORAGE_USERNAME", "STORAGE_PASSWORD"];
        let some = |text: &str| Some(text.to_owned());
        let full = CopyOffload {
            vendor: Some(StorageVendor::Powerstore),
            datastore_id: some("datastore-1"),
            secondary_datastore_id: some("datastore-2"),
            non_xcopy_datastore_id: some("datastore-3"),
            rdm_lun_uuid: some("naa.1"),
            storage: storage.map(|key| (key.to_owned(), SecretValue::Plain("x".to_owned()))).into(),
            ..CopyOffload::default()
        };
        let reason = |name: &str, profile: &Profile| {
            only(name, &Surroundings { kind: Some(profile.kind()), profile: Some(profile), ..Surroundings::default() })
        };
        let section = "the `copyoffload` section of profile `v` has no";
        for (name, change, missing) in [
            ("copyoffload-thin", None::<fn(&mut CopyOffload)>, None),
            ("copyoffload-multi-datastore", Some(|o: &mut CopyOffload| o.secondary_datastore_id = None), Some("`secondary_datastore_id`.")),
            ("copyoffload-thin", Some(|o: &mut CopyOffload| o.secondary_datastore_id = None), None),
            ("copyoffload-fallback-large", Some(|o: &mut CopyOffload| o.non_xcopy_datastore_id = None), Some("`non_xcopy_datastore_id`.")),
            ("copyoffload-rdm-virtual-disk", Some(|o: &mut CopyOffload| o.rdm_lun_uuid = None), Some("`rdm_lun_uuid`.")),
            (
                "copyoffload-thin",
                Some(|o: &mut CopyOffload| {
                    o.vendor = None;
                    o.storage.remove("STORAGE_PASSWORD");
                }),
                Some("`storage_vendor_product`, `storage_password` (or COPYOFFLOAD_STORAGE_PASSWORD)."),
            ),
            ("sanity-cold", Some(|o: &mut CopyOffload| *o = CopyOffload::default()), None),
        ] {
            let mut offload = full.clone();
            if let Some(change) = change {
                change(&mut offload);
            }
            let wanted = missing.map(|missing| format!("{section} {missing}"));
            assert_eq!(reason(name, &profile(Some(offload))), wanted, "{name}");
        }
        assert_eq!(reason("copyoffload-thin", &profile(None)).as_deref(), Some("profile `v` has no `copyoffload` section."));
        let ovirt = Surroundings { kind: Some(ProviderKind::Ovirt), ..Surroundings::default() };
        let wanted = "copy-offload needs a source of type vsphere; the selected one is ovirt.";
        assert_eq!(only("copyoffload-thin", &ovirt).as_deref(), Some(wanted));
    }

    /// Missing fields are an error for who chose such scenarios or began a section; the whole catalogue runs without an array.
    #[test]
    fn missing_copy_offload_is_an_error_where_it_was_asked_for() {
        let catalogue = Catalogue::load(None).unwrap();
        let by_marker = Selection { names: Vec::new(), marker: Some("copyoffload".to_owned()) };
        let by_name = Selection { names: vec!["copyoffload-thin".to_owned()], marker: None };
        for (selection, section, error) in [
            (&by_marker, None, true),
            (&by_name, None, true),
            (&Selection::default(), None, false),
            (&Selection::default(), Some(CopyOffload::default()), true),
        ] {
            let profile = profile(section.clone());
            let known = Surroundings { kind: Some(profile.kind()), profile: Some(&profile), ..Surroundings::default() };
            let plan = plan(&catalogue, selection, &known).unwrap();
            let skip = plan.scenarios.iter().find(|s| s.scenario.name == "copyoffload-thin").unwrap().skip.clone().unwrap();
            assert_eq!((skip.gate, skip.error), (Gate::CopyOffload, error), "{selection:?} {section:?}");
        }
        let ovirt = Surroundings { kind: Some(ProviderKind::Ovirt), ..Surroundings::default() };
        assert!(plan(&catalogue, &by_marker, &ovirt).unwrap().scenarios.iter().all(|s| s.skip.as_ref().is_some_and(|skip| !skip.error)));
    }

    #[test]
    fn remote_scenarios_are_asked_for() {
        assert_eq!(only("cold-remote-ocp", &Surroundings::default()).as_deref(), Some("needs the run setting `remote_ocp_cluster`."));
        assert_eq!(only("cold-remote-ocp", &Surroundings { remote: true, ..Surroundings::default() }), None);
    }

    #[test]
    fn a_known_issue_needs_a_jira() {
        let mut scenario = Scenario::new("x", Vec::new());
        scenario.requires.jira = Some("MTV-1".to_owned());
        let known = |jira| Surroundings { jira, ..Surroundings::default() };
        let skip = closed(&scenario, &known(false)).unwrap();
        assert_eq!(skip.gate, Gate::KnownIssue);
        assert!(skip.reason.contains("MTV-1") && skip.reason.contains("jira_url"), "{}", skip.reason);
        assert_eq!(closed(&scenario, &known(true)), None);
        assert_eq!(known_issue(&scenario, None), Some("MTV-1"));
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
            (ProviderKind::Ovirt, Some("known issue MTV-2846: no Jira is configured (`jira_url`) that tells whether it is resolved.")),
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
        insta::assert_snapshot!(plan(&catalogue, &selection, &Surroundings::default()).unwrap_err().to_string());
    }
}
