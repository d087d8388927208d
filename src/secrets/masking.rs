//! The search for secrets in a text: all forms of all secrets in one pass.

use std::{collections::BTreeMap, ops::Range};

use aho_corasick::AhoCorasick;

use super::{MASK, credentials};

/// Shorter secrets are ordinary, whatever they are made of.
const SHORTEST_RANDOM: usize = 4;

/// Letters and digits without order make a secret that is found in no text by chance, from this many characters on.
const SHORTEST_MIXED: usize = 8;

/// Words with numbers, and words joined by `-`, `_` and `.`, are as good as random from this many characters on.
const LONGEST_ORDINARY: usize = 12;

/// One word is ordinary up to this many characters: `administrator`, `virtualization`.
const LONGEST_WORD: usize = 16;

/// Where a form of a secret is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Where it stands alone or is the value of a credential.
    Alone,
    /// Everywhere.
    Anywhere,
}

impl Reach {
    /// By how likely it is that a text holds these characters by chance.
    pub(super) fn of(secret: &str) -> Self {
        let length = secret.chars().count();
        let word = |part: &str| {
            let part = part.trim_end_matches(|c: char| c.is_ascii_digit());
            let rest = part.strip_prefix(|c: char| c.is_ascii_uppercase()).unwrap_or(part);
            rest.chars().all(|c| c.is_ascii_lowercase()) || part.chars().all(|c| c.is_ascii_uppercase())
        };
        let alphanumeric = secret.chars().all(|c| c.is_ascii_alphanumeric());
        let ordinary = match length {
            0..SHORTEST_RANDOM => true,
            SHORTEST_RANDOM..SHORTEST_MIXED if alphanumeric => true,
            _ if secret.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_uppercase()) && word(secret) => length < LONGEST_WORD,
            _ => length < LONGEST_ORDINARY && secret.split(['-', '_', '.']).all(word),
        };
        if ordinary { Self::Alone } else { Self::Anywhere }
    }
}

/// All forms of all secrets, ready for the search.
pub(super) struct Masking {
    search: Result<AhoCorasick, aho_corasick::BuildError>,
    reach: Vec<Reach>,
}

impl Masking {
    pub(super) fn of(forms: &BTreeMap<String, Reach>) -> Self {
        Self { search: AhoCorasick::new(forms.keys()), reach: forms.values().copied().collect() }
    }

    /// Replaces what is secret in a text.
    pub(super) fn apply(&self, text: &str) -> String {
        // It fails only on more forms than can be numbered. Then nothing is known to be free of secrets.
        let Ok(search) = &self.search else { return MASK.to_owned() };
        let mut secret: Vec<Range<usize>> = search
            .find_overlapping_iter(text)
            .filter(|hit| match self.reach[hit.pattern().as_usize()] {
                Reach::Anywhere => true,
                Reach::Alone => credentials::can_be_secret(text, hit.range()),
            })
            .map(|hit| hit.range())
            .collect();
        if secret.is_empty() {
            return text.to_owned();
        }
        secret.sort_by_key(|range| range.start);
        let mut masked = String::with_capacity(text.len());
        let mut done = 0;
        let mut next = secret.into_iter().peekable();
        while let Some(mut range) = next.next() {
            // Secrets that overlap become one mask, so that no rest of either stays.
            while let Some(more) = next.next_if(|more| more.start < range.end) {
                range.end = range.end.max(more.end);
            }
            masked.push_str(&text[done..range.start]);
            masked.push_str(MASK);
            done = range.end;
        }
        masked.push_str(&text[done..]);
        masked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ordinary_is_a_matter_of_shape() {
        for secret in
            ["a", "q7Z", "1234", "root", "redhat", "Redhat", "REDHAT", "root1234", "Fedora40", "red-hat_9", "administrator", "password"]
        {
            assert_eq!(Reach::of(secret), Reach::Alone, "{secret}");
        }
        for secret in
            ["p@ss", "Xk3$9pQz", "aB3xY9zQ", "k3j9x0q2mz", "a1b2c3d4", "long-enough-of-a-canary", "P@ssw0rd", "sha256~abc", "密码密码"]
        {
            assert_eq!(Reach::of(secret), Reach::Anywhere, "{secret}");
        }
    }
}
