//! Names on the command line: a scenario's name or alias, or a pattern with `*`.

use std::sync::Arc;

use crate::config::{
    diagnostics::{Problem, Problems},
    protect::matches,
    scenario::Scenario,
    suggest::nearest,
};

/// Indices of the scenarios that at least one of the names means, ascending. Each name must mean at least one.
pub fn select(names: &[String], scenarios: &[Arc<Scenario>]) -> Result<Vec<usize>, Problems> {
    let mut problems = Problems::default();
    let mut chosen = vec![false; scenarios.len()];
    for name in names {
        let mut hit = false;
        for (scenario, chosen) in scenarios.iter().zip(&mut chosen) {
            if all_names(scenario).any(|known| matches(name, known)) {
                hit = true;
                *chosen = true;
            }
        }
        if !hit {
            let known: Vec<&str> = scenarios.iter().flat_map(|scenario| all_names(scenario)).collect();
            problems.push(
                Problem::error(format!("no scenario is named `{name}`"))
                    .help_maybe(meant(name, &known))
                    .help("`mtv-test list` shows all; `*` stands for any text, as in `sanity-*`"),
            );
        }
    }
    problems.into_result(())?;
    Ok(chosen.iter().enumerate().filter(|(_, chosen)| **chosen).map(|(i, _)| i).collect())
}

/// What may have been meant: a slip, a pytest node such as `tests/x.py::TestSanityCold…::test_migrate_vms[rhel8]`, or a part of names.
fn meant(name: &str, known: &[&str]) -> Option<String> {
    if let Some(near) = nearest(name, known.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let part = |c: char| matches!(c, ':' | '[' | ']');
    if let Some(whole) = name.split(part).find(|part| known.contains(part)) {
        return Some(format!("did you mean `{whole}`? A scenario is run as a whole"));
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let holding: Vec<String> =
        known.iter().filter(|known| name.len() >= SHORTEST_PART && plain(known).contains(&plain(name))).map(|n| format!("`{n}`")).collect();
    match holding.as_slice() {
        [] => None,
        few if few.len() <= MOST_SHOWN => Some(format!("did you mean {}?", few.join(" or "))),
        many => Some(format!("{} names hold it, such as {}; `*{name}*` selects by a part", many.len(), many[..MOST_SHOWN].join(", "))),
    }
}

/// Shorter words are part of too many names to say anything.
const SHORTEST_PART: usize = 4;

/// Most names that a hint lists.
const MOST_SHOWN: usize = 3;

fn all_names(scenario: &Scenario) -> impl Iterator<Item = &str> {
    std::iter::once(scenario.name.as_str()).chain(scenario.aliases.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_and_nodes_of_pytest_are_recognised() {
        let known = [
            "copyoffload-thin",
            "test_copyoffload_thin_migration",
            "test_copyoffload_thin_snapshots_migration",
            "TestCopyoffloadThinMigration",
            "MTV-559",
        ];
        let hint = |name: &str| meant(name, &known).unwrap_or_default();
        assert_eq!(hint("test_copyoffload_thin_migratoin"), "did you mean `test_copyoffload_thin_migration`?");
        assert!(
            hint("tests/c/test_c.py::TestCopyoffloadThinMigration::test_create_plan[MTV-559]").contains("`TestCopyoffloadThinMigration`")
        );
        assert_eq!(hint("thin_snapshots"), "did you mean `test_copyoffload_thin_snapshots_migration`?");
        assert_eq!(
            hint("copyoffload"),
            "4 names hold it, such as `copyoffload-thin`, `test_copyoffload_thin_migration`, `test_copyoffload_thin_snapshots_migration`; `*copyoffload*` selects by a part"
        );
        assert_eq!(hint("zzz"), "");
    }

    #[test]
    fn patterns() {
        for (pattern, name, want) in [
            ("sanity-cold", "sanity-cold", true),
            ("sanity", "sanity-cold", false),
            ("sanity-*", "sanity-cold", true),
            ("*cold", "sanity-cold", true),
            ("*", "x", true),
            ("*ity*c*d", "sanity-cold", true),
            ("*ity*c*x", "sanity-cold", false),
            ("a*a", "a", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_part_between_stars_always_matches(before in "[a-c]{0,5}", part in "[a-c]{0,3}", after in "[a-c]{0,5}") {
            let pattern = format!("*{part}*");
            let name = format!("{before}{part}{after}");
            prop_assert!(matches(&pattern, &name));
        }
    }
}
