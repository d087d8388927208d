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
            let near = nearest(name, scenarios.iter().flat_map(|scenario| all_names(scenario)));
            problems.push(
                Problem::error(format!("no scenario is named `{name}`"))
                    .help_maybe(near.map(|near| format!("did you mean `{near}`?")))
                    .help("`mtv-test list` shows all; `*` stands for any text, as in `sanity-*`"),
            );
        }
    }
    problems.into_result(())?;
    Ok(chosen.iter().enumerate().filter(|(_, chosen)| **chosen).map(|(i, _)| i).collect())
}

fn all_names(scenario: &Scenario) -> impl Iterator<Item = &str> {
    std::iter::once(scenario.name.as_str()).chain(scenario.aliases.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
