//! Releases of MTV and OpenShift: `2.10.0`, `4.20`, `4.22.0-ec.2`, `2.10.0rc1`. A pre-release comes before its release.

use std::{cmp::Ordering, fmt, str::FromStr};

/// A release, comparable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    numbers: Vec<u64>,
    pre: Option<String>,
}

impl Version {
    /// Whether it belongs to this minor release or a later one; pre-releases of the minor count.
    pub fn at_least_minor(&self, major: u64, minor: u64) -> bool {
        (self.number(0), self.number(1)) >= (major, minor)
    }

    fn number(&self, index: usize) -> u64 {
        self.numbers.get(index).copied().unwrap_or(0)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.trim().trim_start_matches('v').split('+').next().unwrap_or_default();
        let end = bare.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(bare.len());
        let (release, rest) = bare.split_at(end);
        let numbers: Result<Vec<u64>, _> = release.trim_end_matches('.').split('.').map(str::parse).collect();
        let numbers = numbers.map_err(|_| format!("`{text}` is no version; write it like 2.10.0 or 4.20"))?;
        let pre = rest.trim_start_matches(['-', '.', '_']);
        Ok(Self { numbers, pre: (!pre.is_empty()).then(|| pre.to_ascii_lowercase()) })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.numbers.iter().map(ToString::to_string).collect();
        f.write_str(&numbers.join("."))?;
        self.pre.as_ref().map_or(Ok(()), |pre| write!(f, "-{pre}"))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let length = self.numbers.len().max(other.numbers.len());
        let release = (0..length).map(|i| self.number(i).cmp(&other.number(i))).find(|o| o.is_ne());
        Some(release.unwrap_or_else(|| match (&self.pre, &other.pre) {
            (None, None) => Ordering::Equal,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => pieces(a).cmp(&pieces(b)),
        }))
    }
}

/// Words and numbers of a pre-release: `rc10` comes after `rc9`.
fn pieces(pre: &str) -> Vec<(u64, String)> {
    pre.split(['.', '-'])
        .flat_map(|part| {
            let digits = part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
            let (word, number) = part.split_at(digits);
            let word = (!word.is_empty()).then(|| (0, word.to_owned()));
            let number = number.parse::<u64>().ok().map(|n| (n, String::new()));
            word.into_iter().chain(number)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn in_ascending_order() {
        let ascending =
            ["2.6", "2.9.11", "2.10.0-ec.2", "2.10.0-rc.1", "2.10.0rc9", "2.10.0-rc10", "2.10.0", "2.10.1", "4.20.0-0.nightly", "v4.20+x"];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{} is not before {}", pair[0], pair[1]);
        }
        assert_eq!(version("4.20").partial_cmp(&version("4.20.0")), Some(Ordering::Equal));
    }

    #[test]
    fn pre_releases_belong_to_their_minor() {
        assert!(version("4.20.0-ec.2").at_least_minor(4, 20));
        assert!(!version("4.19.30").at_least_minor(4, 20));
    }

    #[test]
    fn no_version() {
        for text in ["", "latest", "4..2", "99999999999999999999"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
