//! What names may look like: ours, and those of Kubernetes.

/// Scenario names become parts of object names, JUnit suites and command lines. 50 characters leave room for the run's id
/// in the 63 of a Kubernetes name.
pub fn is_scenario_name(name: &str) -> bool {
    name.len() <= 50 && is_dns_label(name)
}

/// RFC 1123 label, as Kubernetes asks of a namespace.
pub fn is_namespace(name: &str) -> bool {
    name.len() <= 63 && is_dns_label(name)
}

/// A word that a marker expression can hold.
pub fn is_word(word: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    !word.is_empty() && word.bytes().all(good) && !matches!(word, "and" | "or" | "not")
}

/// Key of a Kubernetes label: an optional DNS prefix and a name.
pub fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefix_good = prefix.is_none_or(|p| p.len() <= 253 && p.split('.').all(is_dns_label));
    prefix_good && !name.is_empty() && is_label_value(name)
}

/// Value of a Kubernetes label.
pub fn is_label_value(value: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let ends = |b: Option<u8>| b.is_none_or(|b| b.is_ascii_alphanumeric());
    value.len() <= 63 && value.bytes().all(inner) && ends(value.bytes().next()) && ends(value.bytes().last())
}

/// Key of a Jira issue: the project in capitals and a number.
pub fn is_issue(key: &str) -> bool {
    let Some((project, number)) = key.split_once('-') else { return false };
    project.starts_with(|c: char| c.is_ascii_uppercase())
        && project.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

fn is_dns_label(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty() && name.bytes().all(good) && !name.starts_with('-') && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_bad_names() {
        type Rule = fn(&str) -> bool;
        let rules: [(Rule, &[&str], &[&str]); 5] = [
            (is_issue, &["MTV-2846", "A1_B-1"], &["", "MTV", "mtv-1", "MTV-", "MTV-1a", "1M-1"]),
            (is_scenario_name, &["sanity-cold", "x", "2disks"], &["", "Sanity", "a_b", "-a", "a-", "a b", "ä"]),
            (is_word, &["tier0", "copyoffload_sanity", "2-nics"], &["", "and", "or", "not", "Tier0", "a b", "(a)"]),
            (is_label_key, &["a", "example.com/a", "A.b_c"], &["", "/a", "a/", "-a", "a/b/c", "ex ample/a"]),
            (is_label_value, &["", "a", "a.b-c_d"], &["-", "a-", "ä", "a b"]),
        ];
        for (rule, good, bad) in rules {
            assert!(good.iter().all(|name| rule(name)), "{good:?}");
            assert!(bad.iter().all(|name| !rule(name)), "{bad:?}");
        }
        assert!(!is_scenario_name(&"a".repeat(51)) && !is_namespace(&"a".repeat(64)) && !is_label_value(&"a".repeat(64)));
    }
}
