//! "Did you mean": the nearest of the names that would have been right.

/// Nobody mistypes a longer name, bytes; comparing takes the product of both lengths.
const LONGEST: usize = 200;

/// The nearest candidate, if one is near enough to be meant.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > LONGEST {
        return None;
    }
    let lower = wrong.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        // A third of the letters may be wrong: `warm_migrationn` is a slip, `cold` for `warm` is another word.
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(lower.chars().count()).div_ceil(3).min(4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean …?" where a candidate is near, the list of all where none is.
pub fn did_you_mean<'a>(wrong: &str, what: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(near) = nearest(wrong, candidates.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let all: Vec<String> = candidates.into_iter().map(|c| format!("`{c}`")).collect();
    (!all.is_empty()).then(|| format!("{what}: {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let keys = ["warm_migration", "virtual_machines", "markers", "on", "off"];
        for (wrong, want) in [
            ("warm_migrationn", Some("warm_migration")),
            ("Warm_Migration", Some("warm_migration")),
            ("virtual_machine", Some("virtual_machines")),
            ("marker", Some("markers")),
            ("onn", Some("on")),
            ("copyoffload", None),
            ("x", None),
        ] {
            assert_eq!(nearest(wrong, keys), want, "{wrong}");
        }
    }

    #[test]
    fn without_a_near_one_all_are_listed() {
        assert_eq!(did_you_mean("zzzzzz", "known", ["on", "off"]).as_deref(), Some("known: `on`, `off`"));
        assert_eq!(did_you_mean("zzzzzz", "known", []), None);
    }
}
