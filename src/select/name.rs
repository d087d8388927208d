//! Names on the command line: a scenario's name or alias, or a pattern with `*`.

use std::sync::Arc;

use crate::config::{
    diagnostics::{Problem, Problems},
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

/// Whether a name is meant by a pattern in which `*` stands for any text. Linear in the length of both times the stars.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
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
