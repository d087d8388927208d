//! Secrets are a type: they register themselves for masking when they are made, and every sink masks.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{OnceLock, RwLock},
};

use base64::Engine as _;
use zeroize::Zeroizing;

/// What stands where a secret stood.
pub const MASK: &str = "[secret]";

/// Shorter secrets are not masked in running text: replacing every `a` would destroy reports and hide nothing.
/// They are still never written on purpose.
const SHORTEST_MASKED: usize = 4;

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

fn registry() -> &'static RwLock<BTreeSet<String>> {
    static REGISTRY: OnceLock<RwLock<BTreeSet<String>>> = OnceLock::new();
    REGISTRY.get_or_init(RwLock::default)
}

/// Remembers a secret and the forms in which it can come back: JSON, XML, URL and base64.
fn register(secret: &str) {
    if secret.len() < SHORTEST_MASKED {
        return;
    }
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.trim_matches('"').to_owned();
    let ascii_json: String = json.chars().flat_map(|c| if c.is_ascii() { vec![c] } else { c.escape_unicode_json() }).collect();
    let mut xml = String::new();
    for c in secret.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            c => xml.push(c),
        }
    }
    let engine = base64::engine::general_purpose::STANDARD;
    let url: String = secret
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let forms = [
        secret.to_owned(),
        json,
        ascii_json,
        xml.replace('\'', "&#x27;"),
        xml.replace('\'', "&apos;"),
        xml.replace("&quot;", "\""),
        url.replace("%20", "+"),
        url.to_lowercase(),
        url,
        format!("{secret:?}").trim_matches('"').to_owned(),
        engine.encode(secret),
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret),
    ];
    // A poisoned lock means that a thread panicked while it held it; the set itself is still whole.
    let mut known = registry().write().unwrap_or_else(std::sync::PoisonError::into_inner);
    known.extend(forms.into_iter().filter(|f| f.len() >= SHORTEST_MASKED));
}

/// `\uXXXX` with surrogate pairs, as JSON writers that keep to ASCII do.
trait EscapeUnicodeJson {
    fn escape_unicode_json(self) -> Vec<char>;
}

impl EscapeUnicodeJson for char {
    fn escape_unicode_json(self) -> Vec<char> {
        let mut units = [0u16; 2];
        self.encode_utf16(&mut units).iter().flat_map(|u| format!("\\u{u:04x}").chars().collect::<Vec<_>>()).collect()
    }
}

/// Replaces every registered secret in a text, the longest forms first.
pub fn mask(text: &str) -> String {
    let known = registry().read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut hits: Vec<&String> = known.iter().filter(|s| text.contains(s.as_str())).collect();
    if hits.is_empty() {
        return text.to_owned();
    }
    hits.sort_by_key(|s| std::cmp::Reverse(s.len()));
    hits.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
}

#[cfg(test)]
mod tests {
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
            base64::engine::general_purpose::STANDARD.encode(value),
            "p%26ss%20%22w%C3%B6rd%22%3C%25%27".to_owned(),
            "p&ss \\\"w\\u00f6rd\\\"<%'".to_owned(),
        ] {
            let masked = mask(&format!("before {form} after"));
            assert!(masked.contains(MASK) && !masked.contains("rd"), "{form} became {masked}");
        }
    }

    #[test]
    fn text_without_secrets_stays() {
        assert_eq!(mask("nothing to hide"), "nothing to hide");
    }
}
