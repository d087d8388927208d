//! Which host key an SSH server must have.
//!
//! A key that nobody has named is trusted on first use: it is remembered before a password is sent,
//! must not change for the rest of the process, and is reported.

use std::{
    collections::BTreeMap,
    sync::{Mutex, OnceLock, PoisonError},
};

/// A host key as people compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// `SHA256:…`, as `ssh-keygen -lf` prints it.
    pub fingerprint: String,
    /// Type and key in base64, as `ssh-keyscan` prints them behind the host's name.
    pub line: String,
}

/// What is asked of a server's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKey {
    /// Nothing. Host keys of freshly migrated guests are not known to anybody. Their stream comes
    /// through the API server's verified TLS from the one virtual machine that is asked for, and
    /// nothing secret but the guest's own test login is sent.
    Any,
    /// It has this fingerprint.
    Fingerprint(String),
    /// It is the one that this address had before, if there was one.
    FirstUse(String),
}

/// A key that was taken without proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unverified {
    /// `HOST:PORT`.
    pub address: String,
    /// The key.
    pub key: Key,
}

impl std::fmt::Display for Unverified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.address, self.key.fingerprint, self.key.line)
    }
}

/// A key that was taken without proof, and whether it was reported.
struct Remembered {
    key: Key,
    reported: bool,
}

fn remembered() -> &'static Mutex<BTreeMap<String, Remembered>> {
    static KEYS: OnceLock<Mutex<BTreeMap<String, Remembered>>> = OnceLock::new();
    KEYS.get_or_init(Mutex::default)
}

/// The key that was taken without proof at an address, the first time that it is asked for: to be
/// reported.
pub fn unverified(address: &str) -> Option<Unverified> {
    let mut keys = remembered().lock().unwrap_or_else(PoisonError::into_inner);
    let known = keys.get_mut(address).filter(|known| !known.reported)?;
    known.reported = true;
    Some(Unverified { address: address.to_owned(), key: known.key.clone() })
}

impl HostKey {
    /// What a profile says of an address: a fingerprint (`SHA256:…`), a line of `known_hosts` or of
    /// `ssh-keyscan`, a public key; or nothing.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn of(text: Option<&str>, address: &str) -> Result<Self, String> {
        let Some(text) = text.map(str::trim) else { return Ok(Self::FirstUse(address.to_owned())) };
        parse(text).map(Self::Fingerprint).ok_or_else(|| FORMS.to_owned())
    }

    /// Judges the key of a server, and remembers it where the first one is trusted.
    ///
    /// # Errors
    /// It is another one: both fingerprints.
    pub(super) fn judge(&self, key: &Key) -> Result<(), String> {
        let is = &key.fingerprint;
        match self {
            Self::Any => Ok(()),
            Self::Fingerprint(wanted) if wanted == is => Ok(()),
            Self::Fingerprint(wanted) => Err(format!("its host key is {is}, but must be {wanted}")),
            Self::FirstUse(address) => {
                let mut keys = remembered().lock().unwrap_or_else(PoisonError::into_inner);
                let first = &keys.entry(address.clone()).or_insert_with(|| Remembered { key: key.clone(), reported: false }).key;
                if first == key { Ok(()) } else { Err(format!("its host key is {is}, but was {} before in this run", first.fingerprint)) }
            }
        }
    }

    /// The same for a certificate, which no fingerprint names.
    pub(super) fn judge_certificate(&self) -> Result<(), String> {
        if *self == Self::Any { Ok(()) } else { Err("it shows a certificate in place of a host key".to_owned()) }
    }
}

/// What a host key is written as.
pub const FORMS: &str = "write the fingerprint `SHA256:…` that `ssh-keygen -lf` prints, or the line that `ssh-keyscan HOST` prints";

/// The fingerprint that a text names.
pub fn parse(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    if let Some(fingerprint) = words.clone().find(|word| word.starts_with("SHA256:")) {
        // 32 bytes in base64 without its padding.
        return (fingerprint.len() == "SHA256:".len() + 43).then(|| fingerprint.to_owned());
    }
    words.find(|word| word.starts_with("AAAA")).and_then(super::ssh::fingerprint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";
    const BASE64: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn reads_every_form_that_openssh_prints() {
        for text in [
            FINGERPRINT.to_owned(),
            format!("256 {FINGERPRINT} root@esxi (ED25519)"),
            format!("ssh-ed25519 {BASE64} root@esxi"),
            format!("[esxi.example.com]:2222 ssh-ed25519 {BASE64}"),
            format!("|1|abc=|def= ssh-ed25519 {BASE64}"),
        ] {
            assert_eq!(parse(&text).as_deref(), Some(FINGERPRINT), "{text}");
        }
        for text in ["", "aa:bb", "SHA256:short", "MD5:aa", "ssh-rsa AAAAnokey"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_key_of_an_address_is_remembered() {
        let key = |fingerprint: &str| Key { fingerprint: fingerprint.to_owned(), line: "ssh-ed25519 A".to_owned() };
        let wanted = HostKey::of(None, "first.example.com:22").unwrap();
        assert_eq!(unverified("first.example.com:22"), None);
        assert!(wanted.judge(&key("a")).is_ok() && wanted.judge(&key("a")).is_ok());
        assert_eq!(unverified("first.example.com:22").unwrap().to_string(), "first.example.com:22 a (ssh-ed25519 A)");
        assert_eq!(unverified("first.example.com:22"), None, "once");
        assert_eq!(wanted.judge(&key("b")).unwrap_err(), "its host key is b, but was a before in this run");
        assert!(HostKey::of(None, "other.example.com:22").unwrap().judge(&key("b")).is_ok());
        let error = HostKey::Fingerprint("a".to_owned()).judge(&key("b")).unwrap_err();
        assert_eq!(error, "its host key is b, but must be a");
        assert!(HostKey::Any.judge_certificate().is_ok() && wanted.judge_certificate().is_err());
    }
}
