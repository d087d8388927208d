//! Secrets are a type: they register themselves for masking when they are made, and every sink masks.

mod forms;
mod stream;

pub use stream::mask_stream;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{OnceLock, PoisonError, RwLock},
};

use zeroize::Zeroizing;

/// What stands where a secret stood.
pub const MASK: &str = "[secret]";

/// Shorter secrets are masked only where they stand alone: replacing every `a` in words would destroy reports and hide nothing.
pub const SHORTEST_ANYWHERE: usize = 4;

/// A value that must not leave the process by a log, report, error or journal.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the value and registers it for masking.
    pub fn new(value: impl Into<String>) -> Self {
        let value = Zeroizing::new(value.into());
        register(&value);
        Self(value)
    }

    /// The value itself, for the one place that needs it: a header, a request body, a login.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Everything that is masked.
#[derive(Default)]
struct Registry {
    /// Replaced wherever they stand.
    anywhere: BTreeSet<String>,
    /// Replaced where no letter or digit is beside them.
    alone: BTreeSet<String>,
}

fn registry() -> &'static RwLock<Registry> {
    static REGISTRY: OnceLock<RwLock<Registry>> = OnceLock::new();
    REGISTRY.get_or_init(RwLock::default)
}

/// Remembers a secret and the forms in which it can come back: JSON, XML, URL, base64, …
fn register(secret: &str) {
    // A poisoned lock means that a thread panicked while it held it; the set itself is still whole.
    let mut known = registry().write().unwrap_or_else(PoisonError::into_inner);
    match secret.chars().count() {
        0 => {}
        1..SHORTEST_ANYWHERE => {
            known.alone.insert(secret.to_owned());
            // Its encodings are longer, or hide it no better than they do themselves.
            known.alone.extend(forms::of(secret).into_iter().filter(|form| form.chars().count() < SHORTEST_ANYWHERE));
            known.anywhere.extend(forms::of(secret).into_iter().filter(|form| form.chars().count() > SHORTEST_ANYWHERE));
        }
        _ => known.anywhere.extend(forms::of(secret).into_iter().filter(|form| form.chars().count() >= SHORTEST_ANYWHERE)),
    }
}

/// Replaces every registered secret in a text, the longest forms first.
pub fn mask(text: &str) -> String {
    let known = registry().read().unwrap_or_else(PoisonError::into_inner);
    let mut hits: Vec<&String> = known.anywhere.iter().filter(|s| text.contains(s.as_str())).collect();
    hits.sort_by_key(|s| std::cmp::Reverse(s.len()));
    let masked = hits.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK));
    known.alone.iter().filter(|s| text.contains(s.as_str())).fold(masked, |text, secret| replace_alone(&text, secret))
}

/// The first `chars` characters of a text from outside, for an error or a log line: masked before it is
/// cut, because the rest of a secret that was cut in two would not be recognised any more.
pub fn excerpt(text: &str, chars: usize) -> String {
    mask(text).chars().take(chars).collect()
}

/// Replaces a short secret where it is a word of its own.
fn replace_alone(text: &str, secret: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(secret) {
        let (before, after) = (&rest[..at], &rest[at + secret.len()..]);
        let left = before.chars().next_back().or_else(|| masked.chars().next_back());
        let joined = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        masked.push_str(before);
        masked.push_str(if joined(left) || joined(after.chars().next()) { secret } else { MASK });
        rest = after;
    }
    masked + rest
}

/// Names of the environment variables that hold a registered secret: no child needs them.
pub fn variables() -> Vec<String> {
    let secret = |value: &str| {
        let known = registry().read().unwrap_or_else(PoisonError::into_inner);
        known.anywhere.iter().any(|s| value.contains(s.as_str())) || known.alone.contains(value)
    };
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter_map(|(name, value)| secret(&value).then_some(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let value = "p&ss \"wörd\"<%'";
        let secret = Secret::new(value);
        assert_eq!(format!("{secret:?}"), MASK);
        for form in [
            value.to_owned(),
            serde_json::to_string(value).unwrap(),
            "p&amp;ss &quot;wörd&quot;&lt;%&#x27;".to_owned(),
            "p&amp;ss \"wörd\"&lt;%'".to_owned(),
            "p&amp;ss &#34;wörd&#34;&lt;%&#39;".to_owned(),
            base64::engine::general_purpose::STANDARD.encode(value),
            "p%26ss%20%22w%C3%B6rd%22%3C%25%27".to_owned(),
            "p%26ss+%22w%c3%b6rd%22%3c%25%27".to_owned(),
            "p&ss \\\"w\\u00f6rd\\\"<%'".to_owned(),
            "p\\u0026ss \\\"wörd\\\"\\u003c%'".to_owned(),
            "'p&ss \"wörd\"<%'\\'''".to_owned(),
            "'p&ss \"wörd\"<%'''".to_owned(),
        ] {
            let masked = mask(&format!("before {form} after"));
            assert!(masked.contains(MASK) && !masked.contains("rd"), "{form} became {masked}");
        }
    }

    #[test]
    fn base64_is_found_in_the_middle_of_a_longer_text() {
        let secret = Secret::new("the-canary-of-base64");
        for before in ["", "a", "ab", "admin:"] {
            let header = base64::engine::general_purpose::STANDARD.encode(format!("{before}{}:x", secret.expose()));
            assert!(mask(&header).contains(MASK), "{before}");
        }
    }

    #[test]
    fn a_secret_of_several_lines_is_masked_line_by_line() {
        let _secret = Secret::new("first-line\nsecond-line\n");
        assert_eq!(mask("key: |\n  first-line\n  second-line\n"), format!("key: |\n  {MASK}\n  {MASK}\n"));
    }

    #[test]
    fn a_short_secret_is_masked_where_it_stands_alone() {
        let _secret = Secret::new("q7");
        assert_eq!(mask("q7 \"q7\" xq7 q7x password=q7."), format!("{MASK} \"{MASK}\" xq7 q7x password={MASK}."));
    }

    #[test]
    fn an_excerpt_never_ends_within_a_secret() {
        let _secret = Secret::new("cut-me-in-two-canary");
        for chars in 0..40 {
            let cut = excerpt("before: cut-me-in-two-canary after", chars);
            assert!(!cut.contains("cut"), "{cut}");
        }
    }

    #[test]
    fn text_without_secrets_stays() {
        assert_eq!(mask("nothing to hide"), "nothing to hide");
    }
}
