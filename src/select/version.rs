//! Versions as MTV, OpenShift and people write them, and their order.

use std::{cmp::Ordering, fmt};

/// A version: `2.10.0`, `v4.18`, `4.22.0-ec.2`, `2.9.0rc1`, `2.8.5-12`.
///
/// Numbers that are not there count as 0. A pre-release stands before its release, a plain number after a dash (the build
/// of an operator bundle) after it. What follows a `+` is ignored.
#[derive(Debug, Clone)]
pub struct Version {
    text: String,
    release: Vec<u64>,
    stage: Stage,
}

/// What follows the numbers, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Rank of the word, and its number: dev, alpha, ec, beta, rc, or another word.
    Pre(u8, u64),
    /// The release itself, or a later build of it.
    Release(u64),
}

/// Words of pre-releases with their order. OpenShift's engineering candidates (`ec`) come before its release candidates.
const STAGES: &[(&str, u8)] = &[
    ("dev", 0),
    ("nightly", 0),
    ("ci", 0),
    ("a", 1),
    ("alpha", 1),
    ("ec", 2),
    ("fc", 3),
    ("b", 3),
    ("beta", 3),
    ("c", 4),
    ("rc", 4),
    ("pre", 4),
    ("preview", 4),
];

/// Rank of a word that is none of these: some kind of pre-release.
const UNKNOWN_STAGE: u8 = 2;

impl Version {
    /// Reads a version. `None` if it does not begin with a number.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bare = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let bare = bare.split('+').next().unwrap_or_default();
        let numbers = bare.len() - bare.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (numbers, suffix) = bare.split_at(numbers);
        // `4.22.0.rc1`: the last dot belongs to the suffix.
        let numbers = if suffix.is_empty() { numbers } else { numbers.strip_suffix('.').unwrap_or(numbers) };
        let release = numbers.split('.').map(|n| n.parse().ok()).collect::<Option<Vec<u64>>>()?;
        let stage = Self::stage(suffix.trim_start_matches(['-', '_', '.']))?;
        Some(Self { text: text.to_owned(), release, stage })
    }

    fn stage(suffix: &str) -> Option<Stage> {
        if suffix.is_empty() {
            return Some(Stage::Release(0));
        }
        if !suffix.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
            return None;
        }
        let letters = suffix.len() - suffix.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (word, rest) = suffix.split_at(letters);
        let rest = rest.trim_start_matches(['-', '_', '.']);
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = rest[..digits].parse().unwrap_or(if digits == 0 { 0 } else { u64::MAX });
        let word = word.to_ascii_lowercase();
        if word.is_empty() || word == "post" || word == "r" {
            return Some(Stage::Release(number));
        }
        let rank = STAGES.iter().find(|(known, _)| *known == word).map_or(UNKNOWN_STAGE, |(_, rank)| *rank);
        Some(Stage::Pre(rank, number))
    }

    /// Whether it is a pre-release.
    pub fn is_pre_release(&self) -> bool {
        matches!(self.stage, Stage::Pre(..))
    }

    /// The release that it is, or that it is a pre-release of.
    #[must_use]
    pub fn release(&self) -> Self {
        Self { stage: Stage::Release(0), ..self.clone() }
    }

    /// Whether it belongs to this minor release or a later one; pre-releases of the minor count.
    pub fn at_least_minor(&self, major: u64, minor: u64) -> bool {
        let number = |index: usize| self.release.get(index).copied().unwrap_or(0);
        (number(0), number(1)) >= (major, minor)
    }

    fn numbers(&self) -> &[u64] {
        let end = self.release.iter().rposition(|n| *n != 0).map_or(0, |last| last + 1);
        &self.release[..end]
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers().cmp(other.numbers()).then_with(|| self.stage.cmp(&other.stage))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Which product a version belongs to: they treat pre-releases differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// MTV: a pre-release comes before its release, so `2.10.0-rc.1` is less than `2.10.0`.
    Mtv,
    /// OpenShift: a pre-release already has what its release has, so `4.22.0-ec.2` counts as `4.22.0`.
    OpenShift,
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mtv => "MTV",
            Self::OpenShift => "OpenShift",
        })
    }
}

/// The reason to skip when the version that was found is too low, missing or unreadable; `None` when it is high enough.
///
/// `found` is what the cluster says; `None` if it does not say. `least` was checked when its file was read.
pub fn too_low(product: Product, found: Option<&str>, least: &str) -> Option<String> {
    let needs = format!("needs {product} {least} or later");
    let Some(wanted) = Version::parse(least) else { return Some(format!("{needs}, which is no version")) };
    let Some(found) = found.map(str::trim).filter(|found| !found.is_empty()) else {
        return Some(format!("{needs}; the cluster does not tell its version"));
    };
    let Some(have) = Version::parse(found) else { return Some(format!("{needs}; found `{found}`, which is no version")) };
    let have = if product == Product::OpenShift && !wanted.is_pre_release() { have.release() } else { have };
    (have < wanted).then(|| format!("{needs}; found {found}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order() {
        let ascending = [
            "2.6",
            "2.6.1",
            "2.8.5",
            "2.8.5-12",
            "2.9.0-dev.3",
            "2.9.0a1",
            "2.9.0-ec.2",
            "2.9.0-beta.1",
            "2.9.0rc1",
            "2.9.0-rc.2",
            "2.9.0-rc.10",
            "2.9.0",
            "2.9.0.post1",
            "2.10.0",
            "v4.18.0",
            "4.22.0-ec.2",
            "4.22.0",
        ];
        for (i, low) in ascending.iter().enumerate() {
            for high in &ascending[i + 1..] {
                let (a, b) = (Version::parse(low).unwrap(), Version::parse(high).unwrap());
                assert!(a < b, "{low} < {high}");
            }
        }
    }

    #[test]
    fn equal_ones() {
        for (a, b) in
            [("2.6", "2.6.0"), ("v2.6.0", "2.6.0"), ("2.6.0+build5", "2.6.0"), ("2.9.0rc1", "2.9.0-rc.1"), ("2.9.0.rc1", "2.9.0rc1")]
        {
            assert_eq!(Version::parse(a), Version::parse(b), "{a} = {b}");
        }
    }

    #[test]
    fn no_versions() {
        for text in ["", "latest", "v", ".", "1..2", "-1", "2.6 beta!", "99999999999999999999999"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn gates() {
        use Product::{Mtv, OpenShift};
        for (product, found, least, skipped) in [
            (Mtv, Some("2.6.0"), "2.6.0", false),
            (Mtv, Some("2.10.0"), "2.9.3", false),
            (Mtv, Some("2.5.9"), "2.6.0", true),
            (Mtv, Some("2.10.0-rc.1"), "2.10.0", true),
            (Mtv, Some("2.10.0-rc.1"), "2.10.0-rc.1", false),
            (Mtv, Some("2.8.5-12"), "2.8.5", false),
            (Mtv, Some("garbage"), "2.6.0", true),
            (Mtv, Some(""), "2.6.0", true),
            (Mtv, None, "2.6.0", true),
            (OpenShift, Some("4.22.0-ec.2"), "4.22", false),
            (OpenShift, Some("4.22.0-ec.2"), "4.22.0-ec.3", true),
            (OpenShift, Some("4.22.0-0.nightly-2026-01-01-000000"), "4.22", false),
            (OpenShift, Some("4.21.9"), "4.22", true),
            (OpenShift, Some("4.22"), "4.22.1", true),
        ] {
            assert_eq!(too_low(product, found, least).is_some(), skipped, "{product} {found:?} for {least}");
        }
        assert_eq!(too_low(Mtv, Some("2.5.9"), "2.6.0").unwrap(), "needs MTV 2.6.0 or later; found 2.5.9");
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,20}", other in "[v0-9.a-c-]{0,12}") {
            let _ = too_low(Product::Mtv, Some(&text), &other);
            let _ = too_low(Product::OpenShift, Some(&other), &text);
        }
    }
}
