//! Files of trusted certificates, checked before anybody is contacted.
//!
//! The clients accept any PEM file that they can decode, and a file that cannot verify anything (a private key, an expired
//! certificate, a certificate that cannot sign others) shows only as "unknown issuer" when the first connection fails. The
//! reader here knows just enough of X.509 (RFC 5280) to say so by name.

use std::path::Path;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::read::io_reason;
use crate::files;

/// Begin of a PEM block with a certificate.
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// Why certificates cannot be used: what is wrong, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// What is wrong, as a fragment behind the name of the file or key: "is empty".
    pub what: String,
    /// How to fix it.
    pub help: String,
}

impl Unusable {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }
}

/// PEM certificates without the byte order mark that some editors write in front.
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Checks a file of PEM certificates.
///
/// # Errors
/// It cannot be read, or holds nothing that can be trusted. The text is a whole sentence with the file's name.
pub fn check_file(path: &Path, now: Timestamp) -> Result<(), Unusable> {
    let bytes = files::read(path, files::LIMIT).map_err(|error| {
        let what = format!("cannot read {}: {}", path.display(), io_reason(&error));
        Unusable::new(what, "name a PEM file with the certificate of the CA")
    })?;
    check(&bytes, now).map_err(|unusable| Unusable { what: format!("{} {}", path.display(), unusable.what), ..unusable })
}

/// Checks PEM certificates.
///
/// # Errors
/// There is nothing that can be trusted in them; the text is a fragment such as "is empty".
pub fn check(bytes: &[u8], now: Timestamp) -> Result<(), Unusable> {
    let help = format!("a PEM certificate begins with `{BEGIN}`");
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Unusable::new("is empty", help));
    }
    // ASN.1 SEQUENCE with a length of two bytes: a certificate as DER, or a PKCS #12 store.
    if bytes.starts_with(&[0x30, 0x82]) {
        let form = if Certificate::parse(bytes).is_some() { "a certificate in DER form" } else { "binary data" };
        return Err(Unusable::new(
            format!("holds {form}, not PEM"),
            "convert a DER certificate: openssl x509 -inform der -in FILE -out FILE.pem",
        ));
    }
    let holds = |label: &str| bytes.windows(label.len()).any(|window| window == label.as_bytes());
    if !holds(BEGIN) {
        if holds("PRIVATE KEY-----") {
            return Err(Unusable::new("holds a private key and no certificate", "name the certificate of the CA"));
        }
        if holds("BEGIN PKCS7-----") || holds("BEGIN CMS-----") {
            return Err(Unusable::new(
                "holds PKCS #7 and no PEM certificate",
                "convert it: openssl pkcs7 -print_certs -in FILE -out FILE.pem",
            ));
        }
        return Err(Unusable::new("holds no PEM certificate", help));
    }
    let mut found = Vec::new();
    for der in CertificateDer::pem_slice_iter(without_mark(bytes)) {
        let Ok(der) = der else {
            return Err(Unusable::new(
                "is damaged: a certificate has no end or is not base64",
                "copy the file again, with the lines BEGIN CERTIFICATE and END CERTIFICATE",
            ));
        };
        let Some(certificate) = Certificate::parse(&der) else {
            return Err(Unusable::new("is damaged: a certificate in it is not X.509", "copy the file again"));
        };
        found.push(certificate);
    }
    if found.is_empty() {
        return Err(Unusable::new("holds no PEM certificate", help));
    }
    let Some(wrong) = found.iter().map(|certificate| certificate.unusable(now)).collect::<Option<Vec<_>>>() else { return Ok(()) };
    // None of them can be used: the first one is as good an example as any.
    wrong.into_iter().next().map_or(Ok(()), Err)
}

/// What the checks need to know of a certificate.
#[derive(Debug, PartialEq, Eq)]
struct Certificate {
    /// Common name of the subject; empty if it has none.
    name: String,
    not_before: Timestamp,
    not_after: Timestamp,
    /// Whether it says that it is a CA.
    signs: bool,
    /// Whether it is its own issuer.
    own_issuer: bool,
}

impl Certificate {
    fn parse(der: &[u8]) -> Option<Self> {
        let mut whole = Der(Der(der).take(SEQUENCE)?);
        let mut fields = Der(whole.take(SEQUENCE)?);
        fields.skip_if(context(0))?;
        fields.take(INTEGER)?;
        fields.take(SEQUENCE)?;
        let issuer = fields.take(SEQUENCE)?;
        let mut validity = Der(fields.take(SEQUENCE)?);
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let subject = fields.take(SEQUENCE)?;
        fields.take(SEQUENCE)?;
        // Without extensions it does not say that it is a CA; one of version 1 is trusted if it is its own issuer.
        let mut signs = false;
        while let Some((tag, content)) = fields.next() {
            if tag == context(3) {
                signs = basic_constraints(content)?;
            }
        }
        Some(Self { name: common_name(subject), not_before, not_after, signs, own_issuer: issuer == subject })
    }

    /// Why nothing can be verified by it.
    fn unusable(&self, now: Timestamp) -> Option<Unusable> {
        let name = if self.name.is_empty() { "in it".to_owned() } else { format!("`{}` in it", self.name) };
        let day = |time: Timestamp| time.strftime("%Y-%m-%d").to_string();
        if now > self.not_after {
            let what = format!("cannot be used: the certificate {name} expired on {}", day(self.not_after));
            return Some(Unusable::new(what, "get the current certificate of the CA"));
        }
        if now < self.not_before {
            let what = format!("cannot be used: the certificate {name} is not valid before {}", day(self.not_before));
            return Some(Unusable::new(what, "check the clock of this machine, or get the current certificate of the CA"));
        }
        if !self.signs && !self.own_issuer {
            let what = format!("cannot be used: the certificate {name} is not that of a CA and not self-signed");
            return Some(Unusable::new(what, "name the certificate of the CA that signed the server's certificate"));
        }
        None
    }
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const LONG_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// Tag of a constructed field of its own number.
const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// Object identifier of basic constraints (2.5.29.19).
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// Object identifier of a common name (2.5.4.3).
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// Whether the extensions call the certificate a CA; without the extension it is not one.
fn basic_constraints(extensions: &[u8]) -> Option<bool> {
    let mut list = Der(Der(extensions).take(SEQUENCE)?);
    while let Some((SEQUENCE, extension)) = list.next() {
        let mut extension = Der(extension);
        if extension.take(OBJECT_ID)? == BASIC_CONSTRAINTS {
            extension.skip_if(BOOLEAN)?;
            let mut constraints = Der(Der(extension.take(OCTETS)?).take(SEQUENCE)?);
            return Some(matches!(constraints.next(), Some((BOOLEAN, [value])) if *value != 0));
        }
    }
    Some(false)
}

fn common_name(subject: &[u8]) -> String {
    let mut sets = Der(subject);
    while let Some((SET, set)) = sets.next() {
        let Some((SEQUENCE, pair)) = Der(set).next() else { continue };
        let mut pair = Der(pair);
        if pair.take(OBJECT_ID) == Some(COMMON_NAME) {
            let text = pair.next().map(|(_, text)| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
            return text.chars().filter(|c| !c.is_control()).take(64).collect();
        }
    }
    String::new()
}

/// A reader of DER (ITU-T X.690): tag, length, content.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element; none at the end, or if it is longer than what is there.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, mut rest) = rest.split_first()?;
        let mut length = usize::from(*first);
        if length & 0x80 != 0 {
            let count = length & 0x7f;
            // Certificates are far shorter than 4 GiB.
            if count == 0 || count > 4 || count > rest.len() {
                return None;
            }
            let (bytes, after) = rest.split_at(count);
            length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = after;
        }
        if length > rest.len() {
            return None;
        }
        let (content, after) = rest.split_at(length);
        self.0 = after;
        Some((*tag, content))
    }

    /// Content of the next element, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// Leaves the next element out if it has this tag.
    fn skip_if(&mut self, tag: u8) -> Option<()> {
        if self.0.first() == Some(&tag) {
            self.next()?;
        }
        Some(())
    }

    fn time(&mut self) -> Option<Timestamp> {
        let (tag, content) = self.next()?;
        let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
        let (year, rest) = match tag {
            // RFC 5280, 4.1.2.5.1: two digits up to 49 are of this century.
            UTC_TIME => {
                let short: i16 = text.get(..2)?.parse().ok()?;
                (if short < 50 { 2000 + short } else { 1900 + short }, text.get(2..)?)
            }
            LONG_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
            _ => return None,
        };
        let part = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
        let time = Date::new(year, part(0)?, part(2)?).ok()?.at(part(4)?, part(6)?, part(8)?, 0);
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

    use super::*;

    fn params(name: &str, ca: bool) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2024, 5, 1);
        params.not_after = date_time_ymd(2034, 5, 1);
        params.is_ca = if ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        params
    }

    fn now() -> Timestamp {
        "2026-12-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn certificates_that_can_verify_something_pass_and_others_are_explained() {
        let key = KeyPair::generate().unwrap();
        let ca = CertifiedIssuer::self_signed(params("root of the test", true), KeyPair::generate().unwrap()).unwrap();
        let good = ca.pem();
        let leaf = params("leaf", false).signed_by(&key, &ca).unwrap();
        let pinned = params("pinned", false).self_signed(&key).unwrap().pem();
        let mut old = params("old", true);
        old.not_after = date_time_ymd(2025, 1, 2);
        let old = old.self_signed(&key).unwrap().pem();
        let mut young = params("young", true);
        young.not_before = date_time_ymd(2030, 1, 2);
        let young = young.self_signed(&key).unwrap().pem();
        let text = |text: &str| text.as_bytes().to_vec();
        for fine in [
            text(&good),
            text(&pinned),
            text(&format!("{old}{good}")),
            text(&format!("# root\n{}", good.replace('\n', "\r\n"))),
            text(&format!("\u{feff}{good}")),
        ] {
            assert_eq!(check(&fine, now()), Ok(()), "{}", String::from_utf8_lossy(&fine));
        }
        for (wrong, what) in [
            (text(""), "is empty"),
            (text(" \n"), "is empty"),
            (text("hello"), "no PEM certificate"),
            (text(&key.serialize_pem()), "private key"),
            (text("-----BEGIN PKCS7-----\nMIIB\n-----END PKCS7-----\n"), "PKCS #7"),
            (text(&good[..good.len() / 2]), "damaged"),
            (text(&format!("{BEGIN}\nMIIB\n-----END CERTIFICATE-----\n")), "not X.509"),
            (leaf.der().to_vec(), "DER"),
            (text(&leaf.pem()), "`leaf` in it is not that of a CA"),
            (text(&old), "`old` in it expired on 2025-01-02"),
            (text(&young), "`young` in it is not valid before 2030-01-02"),
        ] {
            let found = check(&wrong, now()).unwrap_err();
            assert!(found.what.contains(what), "{what}: {found:?}");
            assert!(!found.help.is_empty());
        }
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for (tag, text, seconds) in [(UTC_TIME, "700101000001Z", 1), (LONG_TIME, "20500101000000Z", 2_524_608_000)] {
            let mut der = vec![tag, u8::try_from(text.len()).unwrap()];
            der.extend(text.bytes());
            let expected = Timestamp::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(Der(&der).time(), Some(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Certificate::parse(&bytes);
            let _ = check(&bytes, now());
        }
    }
}
