//! Certificates: which are trusted, what is said of others, and which Forklift is given.

use std::{fs, path::PathBuf};

use mtv_test::providers::{ProviderErrorKind, connect};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::{Vcsim, profile};

/// Certificates in a folder of their own.
struct Certificates {
    folder: tempfile::TempDir,
    /// What a client is to trust.
    trusted: String,
}

impl Certificates {
    /// A CA, and a certificate of it for 127.0.0.1; the server sends both.
    fn by_ca() -> Self {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(rcgen::DnType::CommonName, "test CA");
        let issuer = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        Self::write(&(leaf.pem() + &issuer.pem()), &key, issuer.pem())
    }

    /// As `openssl req -x509` makes it: self-signed, and a CA.
    fn self_signed() -> Self {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self::write(&certificate.pem(), &key, certificate.pem())
    }

    fn write(chain: &str, key: &KeyPair, trusted: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("chain.pem"), chain).unwrap();
        fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        fs::write(folder.path().join("ca.pem"), &trusted).unwrap();
        Self { folder, trusted }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn start(&self) -> Option<Vcsim> {
        Vcsim::start(&["-cert", self.path("chain.pem").to_str().unwrap(), "-key", self.path("key.pem").to_str().unwrap()])
    }
}

/// PEM texts differ in line ends and lengths only.
fn same_pem(a: &str, b: &str) -> bool {
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    bare(a) == bare(b)
}

pub async fn a_ca_file_makes_the_endpoint_trusted_and_goes_to_forklift() {
    for certificates in [Certificates::by_ca(), Certificates::self_signed()] {
        let Some(vcsim) = certificates.start() else { return };
        let mut profile = vcsim.profile();
        profile.ca_file = Some(certificates.path("ca.pem"));
        let source = connect(&profile).await.unwrap();
        let chain = source.ca_chain().await.unwrap().unwrap();
        assert!(same_pem(&chain, &certificates.trusted), "{chain}");
    }
}

pub async fn an_unknown_certificate_is_named_with_two_ways_on() {
    let certificates = Certificates::by_ca();
    let Some(vcsim) = certificates.start() else { return };
    let Err(error) = connect(&vcsim.profile()).await else { panic!("connected") };
    assert!(error.is(ProviderErrorKind::Certificate), "{error:?}");
    let text = format!("{error}; {}", error.hints().join("; "));
    for words in [
        "the certificate of 127.0.0.1:",
        "SHA-256 ",
        "its issuer is not among the trusted ones",
        "`ca_file`",
        "insecure_skip_verify = true",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

pub async fn a_certificate_for_another_name_is_refused() {
    let certificates = Certificates::by_ca();
    let Some(vcsim) = certificates.start() else { return };
    let mut profile = profile(&vcsim.url.replace("127.0.0.1", "localhost"));
    profile.ca_file = Some(certificates.path("ca.pem"));
    let Err(error) = connect(&profile).await else { panic!("connected") };
    assert!(error.is(ProviderErrorKind::Certificate) && error.to_string().contains("localhost"), "{error:?}");
}

pub async fn verification_is_off_where_the_user_says_so() {
    let certificates = Certificates::by_ca();
    let Some(vcsim) = certificates.start() else { return };
    let mut profile = vcsim.profile();
    profile.insecure_skip_verify = true;
    let source = connect(&profile).await.unwrap();
    assert_eq!(source.ca_chain().await.unwrap(), None);
}

pub async fn a_ca_file_without_certificates_is_said() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let file = vcsim.folder().join("empty.pem");
    fs::write(&file, "nothing").unwrap();
    let mut profile = vcsim.profile();
    profile.ca_file = Some(file);
    let Err(error) = connect(&profile).await else { panic!("connected") };
    assert!(
        error.is(ProviderErrorKind::Certificate)
            && error.to_string().contains("empty.pem")
            && error.to_string().contains("no PEM certificate"),
        "{error:?}"
    );
}
