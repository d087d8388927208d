//! The facts of a certificate that an error message names: whose it is, who signed it, and how long it is valid.
//!
//! Verification is rustls' and webpki's alone; this reads for people, so what cannot be read is left empty.

use std::fmt;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use sha2::{Digest as _, Sha256};

/// Tags of DER.
mod tag {
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
    pub const OID: u8 = 0x06;
    pub const VERSION: u8 = 0xa0;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const BMP_STRING: u8 = 0x1e;
}

/// Longest name that a message repeats, characters.
const LONGEST_NAME: usize = 200;

/// What a certificate says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is, such as `O=Example, CN=api.example.com`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Valid from.
    pub not_before: Option<Timestamp>,
    /// Valid until.
    pub not_after: Option<Timestamp>,
    /// SHA-256 of the whole certificate, as browsers and openssl show it.
    pub sha256: String,
}

impl Facts {
    /// Reads a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        let digest = Sha256::digest(der);
        let sha256 = digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
        Self { sha256, ..body(der).unwrap_or_default() }
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |text: &str| if text.is_empty() { "(empty)".to_owned() } else { text.to_owned() };
        write!(f, "subject {}, issuer {}, SHA-256 {}", or(&self.subject), or(&self.issuer), self.sha256)
    }
}

/// A time as messages show it.
pub fn date(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The first element of some DER: tag, content, rest.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
        rest = after;
        if bytes.len() > 4 {
            return None;
        }
        bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte))
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn body(der: &[u8]) -> Option<Facts> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    if element(rest)?.0 == tag::VERSION {
        rest = element(rest)?.2;
    }
    // Serial number and algorithm.
    rest = element(element(rest)?.2)?.2;
    let (_, issuer, rest) = element(rest)?;
    let (_, validity, rest) = element(rest)?;
    let (_, subject, _) = element(rest)?;
    let (first, begin, after) = element(validity)?;
    let (second, end, _) = element(after)?;
    Some(Facts {
        subject: name(subject),
        issuer: name(issuer),
        not_before: time(first, begin),
        not_after: time(second, end),
        sha256: String::new(),
    })
}

/// A distinguished name in the order of the certificate.
fn name(mut sets: &[u8]) -> String {
    let mut parts = Vec::new();
    while let Some((tag::SET, mut pairs, rest)) = element(sets) {
        sets = rest;
        while let Some((tag::SEQUENCE, pair, others)) = element(pairs) {
            pairs = others;
            if let Some((tag::OID, oid, value)) = element(pair)
                && let Some((kind, value, _)) = element(value)
            {
                parts.push(format!("{}={}", attribute(oid), text(kind, value)));
            }
        }
    }
    // Names come from outside: no control characters reach a terminal.
    parts.join(", ").chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}

/// Short names of the attributes that names are made of (RFC 4519), else the bytes of the identifier.
fn attribute(oid: &[u8]) -> String {
    match oid {
        [0x55, 0x04, 0x03] => "CN".to_owned(),
        [0x55, 0x04, 0x06] => "C".to_owned(),
        [0x55, 0x04, 0x07] => "L".to_owned(),
        [0x55, 0x04, 0x08] => "ST".to_owned(),
        [0x55, 0x04, 0x0a] => "O".to_owned(),
        [0x55, 0x04, 0x0b] => "OU".to_owned(),
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC".to_owned(),
        other => other.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn text(kind: u8, value: &[u8]) -> String {
    if kind == tag::BMP_STRING {
        let (pairs, _) = value.as_chunks::<2>();
        return String::from_utf16_lossy(&pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect::<Vec<_>>());
    }
    String::from_utf8_lossy(value).into_owned()
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280).
fn time(kind: u8, value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let full = match kind {
        tag::UTC_TIME => format!("{}{text}", if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" }),
        tag::GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    DateTime::strptime("%Y%m%d%H%M%SZ", &full).ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// Reads a certificate, for tests and fuzzers that feed it.
pub(crate) fn feed(der: &[u8]) {
    let _facts = Facts::of(der).to_string();
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn reads_names_and_dates() {
        let mut params = CertificateParams::new(vec!["api.example.com".to_owned()]).unwrap();
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::OrganizationName, "Beispiel \u{1b}[2JGmbH");
        params.distinguished_name.push(DnType::CommonName, "api.example.com");
        params.not_before = date_time_ymd(2020, 1, 2);
        params.not_after = date_time_ymd(2055, 3, 4);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let facts = Facts::of(certificate.der());
        assert_eq!(facts.subject, "O=Beispiel [2JGmbH, CN=api.example.com");
        assert_eq!(facts.issuer, facts.subject);
        assert_eq!(date(facts.not_before.unwrap()), "2020-01-02 00:00:00 UTC");
        assert_eq!(date(facts.not_after.unwrap()), "2055-03-04 00:00:00 UTC");
        assert_eq!(facts.sha256.len(), 32 * 3 - 1);
    }

    #[test]
    fn garbled_certificates_have_no_facts_but_a_fingerprint() {
        let certificate = CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&KeyPair::generate().unwrap()).unwrap();
        for end in 0..certificate.der().len() {
            assert!(!Facts::of(&certificate.der()[..end]).sha256.is_empty());
        }
        assert_eq!(Facts::of(b"\x30\x84\xff\xff\xff\xff").subject, "");
    }
}
