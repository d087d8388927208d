//! Secrets are a type: they register themselves for masking when they are made, and every sink masks.
//!
//! A long or random secret is masked wherever it stands, and so is every encoded form of any secret. A short secret or an
//! ordinary word (`redhat`, `admin`, `password`) is masked only where it can be the secret: where it stands alone, or as the
//! value of a field that holds credentials. Replaced everywhere, such a word would make `registry.redhat.io`,
//! `administrator@vsphere.local` and `password_env` unreadable, and hide nothing.

mod credentials;
mod forms;
mod gathered;
mod masking;
mod stream;

pub use stream::mask_stream;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{OnceLock, PoisonError, RwLock},
};

use zeroize::Zeroizing;

pub use gathered::gathered;
use masking::{Masking, Reach};

/// What stands where a secret stood.
pub const MASK: &str = "[secret]";

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

/// A secret as it stands in a file of which only a part is used: the passwords of all profiles are read, but an ordinary word
/// that is the password of another profile must not be masked in this one's reports. It cannot be looked at, and is wiped from
/// memory; [`Sealed::open`] makes a [`Secret`] of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Zeroizing<String>);

impl Sealed {
    /// The secret, which is masked from here on.
    pub fn open(&self) -> Secret {
        register(&self.0);
        Secret(self.0.clone())
    }

    /// Whether there is nothing to hide.
    pub fn is_blank(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<'de> serde::Deserialize<'de> for Sealed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|value| Self(Zeroizing::new(value)))
    }
}

/// A text like any other.
impl schemars::JsonSchema for Sealed {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        String::schema_name()
    }

    fn inline_schema() -> bool {
        String::inline_schema()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

/// A value of a Kubernetes Secret. Not all of them are secrets: were `true` of `insecureSkipVerify` masked wherever it stands, half
/// of a report would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretValue {
    /// Addresses, user names, ids, switches: may be shown.
    Plain(String),
    /// Passwords, tokens, and whatever a user adds.
    Secret(Secret),
}

impl SecretValue {
    /// The value itself, for the request that creates the Kubernetes Secret.
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

/// Everything that is masked.
#[derive(Default)]
struct Registry {
    /// Forms of secrets, with where they are masked.
    forms: BTreeMap<String, Reach>,
    /// How many secrets are so short or so ordinary that they are not masked everywhere.
    ordinary: usize,
    /// The search for all forms, until another secret is registered.
    masking: OnceLock<Masking>,
}

fn registry() -> &'static RwLock<Registry> {
    static REGISTRY: OnceLock<RwLock<Registry>> = OnceLock::new();
    REGISTRY.get_or_init(RwLock::default)
}

/// Remembers a secret and the forms in which it can come back: JSON, XML, URL, base64, …
fn register(secret: &str) {
    if secret.trim().is_empty() {
        return;
    }
    // A poisoned lock means that a thread panicked while it held it; the set itself is still whole.
    let mut known = registry().write().unwrap_or_else(PoisonError::into_inner);
    if known.forms.contains_key(secret) {
        return;
    }
    known.ordinary += usize::from(Reach::of(secret) == Reach::Alone);
    for (form, reach) in forms::of(secret) {
        // A form that is masked everywhere for one secret is so for all.
        known.forms.entry(form).and_modify(|known| *known = (*known).max(reach)).or_insert(reach);
    }
    known.masking = OnceLock::new();
}

/// Replaces every registered secret in a text.
pub fn mask(text: &str) -> String {
    let known = registry().read().unwrap_or_else(PoisonError::into_inner);
    known.masking.get_or_init(|| Masking::of(&known.forms)).apply(text)
}

/// A sentence about secrets that reports cannot hide well, if there are any.
pub fn ordinary() -> Option<String> {
    let count = registry().read().unwrap_or_else(PoisonError::into_inner).ordinary;
    let those = match count {
        0 => return None,
        1 => "1 password or token in use is".to_owned(),
        many => format!("{many} passwords or tokens in use are"),
    };
    Some(format!(
        "{those} short or an ordinary word: reports mask it where it stands alone or as the value of a field, not inside other words"
    ))
}

/// Whether a character would move the cursor, change colours or turn the direction of writing around. Line ends and tabs do not.
pub fn steers(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Embeddings, overrides and isolates of bidirectional text.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

/// A text from a server, a guest or a file of others as it may go to a terminal: what steers the terminal becomes `\u{fffd}`.
pub fn printable(text: &str) -> String {
    if !text.contains(steers) {
        return text.to_owned();
    }
    text.replace("\r\n", "\n").chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The first `chars` characters of a text from outside, for an error or a log line: masked before it is
/// cut, because the rest of a secret that was cut in two would not be recognised any more.
pub fn excerpt(text: &str, chars: usize) -> String {
    mask(text).chars().take(chars).collect()
}

/// Variables that programs need whatever their value is: a password may read `home` or `root`.
const NEEDED: &[&str] = &["HOME", "PATH", "USER", "LOGNAME", "SHELL", "PWD", "LANG", "LC_ALL", "TERM", "TMPDIR", "KUBECONFIG"];

/// Names of the environment variables whose whole value is a registered secret: no child needs them. A value that only contains
/// one stays, because a short password is a part of many values.
pub fn variables() -> Vec<String> {
    let known = registry().read().unwrap_or_else(PoisonError::into_inner);
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| !NEEDED.contains(&name.as_str()) && known.forms.contains_key(value))
        .map(|(name, _)| name)
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
    fn the_marker_lines_of_a_key_are_no_secret() {
        let begin = "-----BEGIN EC PRIVATE KEY-----";
        let _secret = Secret::new(format!("{begin}\nMHcCAQEEIcanaryOfAKey\n-----END EC PRIVATE KEY-----\n"));
        assert_eq!(mask(&format!("cannot read {begin}: MHcCAQEEIcanaryOfAKey")), format!("cannot read {begin}: {MASK}"));
    }

    #[test]
    fn an_ordinary_word_is_masked_where_it_can_be_the_secret() {
        for secret in ["redhat", "admin", "password", "fedora", "root1234", "secret", "administrator"] {
            let _secret = Secret::new(secret);
        }
        for text in [
            "image: registry.redhat.io/ubi9/ubi:9.4",
            "quay.io/fedora/fedora:40",
            "administrator@vsphere.local",
            "admin@internal",
            "password_env names the variable",
            "add `password_env` or --password-file to the profile",
            "/home/fedora/.ssh/id_rsa",
            "vm-redhat-9 and redhat-9.local",
            "xredhat redhatx root12345",
            "\"password\": ",
            "password: ",
            "https://redhat.com/support",
            "Secret mtv/secret-of-run: [secret]",
        ] {
            assert_eq!(mask(text), text);
        }
        for (text, masked) in [
            ("password: redhat", "password: [secret]"),
            ("{\"password\":\"redhat\",\"user\":1}", "{\"password\":\"[secret]\",\"user\":1}"),
            ("{\\\"password\\\":\\\"redhat\\\"}", "{\\\"password\\\":\\\"[secret]\\\"}"),
            ("password=redhat", "password=[secret]"),
            ("password=redhat.", "password=[secret]."),
            ("guest_password = \"redhat-\"", "guest_password = \"[secret]-\""),
            ("user=a&password=redhat&x=1", "user=a&password=[secret]&x=1"),
            ("password%3Dredhat%26x", "password%3D[secret]%26x"),
            ("<password>redhat</password>", "<password>[secret]</password>"),
            ("<v:password xsi:type=\"x\">redhat</v:password>", "<v:password xsi:type=\"x\">[secret]</v:password>"),
            ("https://user:redhat@host/x", "https://user:[secret]@host/x"),
            ("https://redhat@host/x", "https://[secret]@host/x"),
            ("curl -u root:redhat", "curl -u root:[secret]"),
            ("sshpass -predhat ssh", "sshpass -p[secret] ssh"),
            ("login failed with redhat", "login failed with [secret]"),
            ("login failed with redhat.", "login failed with [secret]."),
            ("\"line\\nredhat\\n\"", "\"line\\n[secret]\\n\""),
            ("\u{1b}[1mredhat\u{1b}[0m", "\u{1b}[1m[secret]\u{1b}[0m"),
            ("password: password", "password: [secret]"),
            ("passwd=root1234", "passwd=[secret]"),
            ("basic cmVkaGF0", "basic [secret]"),
            ("basic dXNlcjE6cmVkaGF0", "basic dXNlcjE6[secret]"),
            ("hex x726564686174x", "hex x[secret]x"),
        ] {
            assert_eq!(mask(text), masked, "{text}");
            // All tests of this process share the registry, and one of them has `p` as a password.
            let again = mask(masked).replace("sshpass -[secret]", "sshpass -p");
            assert_eq!(again, masked, "twice");
        }
        assert!(ordinary().unwrap().contains("ordinary word"));
    }

    #[test]
    fn a_long_or_random_secret_is_masked_inside_other_words() {
        for secret in ["long-enough-of-a-canary", "Xk3$9pQz", "k3j9x0q2mz", "aB3xY9zQ"] {
            let _secret = Secret::new(secret);
            for text in [format!("x{secret}x"), format!("host.{secret}.io"), format!("{secret}_env"), format!("/a/{secret}/b")] {
                assert!(!mask(&text).contains(secret), "{text}");
            }
        }
    }

    #[test]
    fn overlapping_secrets_leave_nothing_of_either() {
        let _secrets = [Secret::new("overlap-first-part-shared"), Secret::new("shared-and-the-second-part")];
        assert_eq!(mask("<overlap-first-part-shared-and-the-second-part>"), format!("<{MASK}>"));
    }

    #[test]
    fn nothing_from_outside_moves_the_cursor() {
        let hostile = "a\u{1b}]0;title\u{7}b\u{1b}[2Jc\u{9b}1md\u{202e}e\u{2066}f\u{7f}g\rh\r\ni\tj";
        let clean = printable(hostile);
        assert!(clean.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')), "{clean:?}");
        assert!(clean.ends_with("h\ni\tj") && !clean.contains('\u{202e}') && !clean.contains('\u{2066}'), "{clean:?}");
        assert_eq!(printable("plain é 密码 🔑\n"), "plain é 密码 🔑\n");
    }

    proptest::proptest! {
        /// No secret is readable as the value of a credential, however ordinary, and whatever stands around the field.
        #[test]
        fn a_credential_is_masked_in_every_field(secret in "[a-z]{4,10}[0-9]{0,3}", before in "[ -~]{0,12}", after in "[ -~]{0,12}") {
            let secret = format!("zq{secret}");
            let _secret = Secret::new(secret.as_str());
            for (open, close) in [
                ("password: ", "\n"), ("\"password\": \"", "\""), ("token=", "&"), ("<password>", "</password>"), ("api_key = '", "'"),
                ("://user:", "@host.example.com"), ("passwd: ", ".local"), ("\\\"secret\\\":\\\"", "\\\""), ("storage_password=", "-x"),
            ] {
                let masked = mask(&format!("{before} {open}{secret}{close}{after}"));
                let place = format!("{open}{secret}");
                proptest::prop_assert!(!masked.contains(&place), "{}", masked);
            }
        }

        /// Text that only shares letters with an ordinary secret stays as it is.
        #[test]
        fn ordinary_text_stays(left in "[a-z]{1,8}", right in "[a-z]{1,8}", joint in "[-_./]") {
            let _secret = Secret::new("wordy");
            for text in [format!("{left}wordy{right}"), format!("{left}{joint}wordy{joint}{right}"), format!("{left}{joint}wordy")] {
                proptest::prop_assert_eq!(mask(&text), text);
            }
        }
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
