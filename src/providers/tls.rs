//! Trust in the endpoint's certificate: what is trusted, why a certificate is not, and which certificates Forklift needs.

use std::{fmt::Write as _, io, path::Path, sync::Arc, time::Duration};

use base64::Engine as _;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
    server::ParsedCertificate,
};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

use crate::{
    config::{certificate::without_mark, profile::Profile},
    files,
    providers::{ProviderError, ProviderResult},
};

/// Longest wait for the one handshake that looks at the chain; a vCenter under load answers within seconds.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// Bytes per line of a PEM block (RFC 7468).
const PEM_LINE: usize = 64;

/// What is trusted for one endpoint.
#[derive(Debug, Clone)]
pub struct Trust {
    insecure: bool,
    /// Certificates of the profile's `ca_file` and `ca_pem`.
    own: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Reads what the profile says.
    pub fn of(profile: &Profile) -> ProviderResult<Self> {
        if profile.insecure_skip_verify {
            return Ok(Self { insecure: true, own: Vec::new() });
        }
        Self::beside_the_systems(profile.ca_file.as_deref(), profile.ca_pem.as_deref())
    }

    /// Trusts the system's roots and these: a PEM file, and PEM text.
    pub fn beside_the_systems(ca_file: Option<&Path>, ca_pem: Option<&str>) -> ProviderResult<Self> {
        let mut own = Vec::new();
        if let Some(file) = ca_file {
            let bytes = files::read(file, files::LIMIT).map_err(pem::Error::Io);
            let read = bytes.and_then(|bytes| CertificateDer::pem_slice_iter(without_mark(&bytes)).collect());
            own.extend(certificates(&format!("ca_file {}", file.display()), read)?);
        }
        if let Some(text) = ca_pem {
            own.extend(certificates("ca_pem", CertificateDer::pem_slice_iter(without_mark(text.as_bytes())).collect())?);
        }
        Ok(Self { insecure: false, own })
    }

    /// TLS settings for a client: the system's roots and the profile's own.
    pub fn client_config(&self) -> ProviderResult<ClientConfig> {
        let verifier: Arc<dyn ServerCertVerifier> = if self.insecure { Arc::new(AnyCertificate::default()) } else { self.verifier()? };
        config(verifier)
    }

    fn verifier(&self) -> ProviderResult<Arc<dyn ServerCertVerifier>> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(system_roots());
        roots.add_parsable_certificates(self.own.iter().cloned());
        if roots.is_empty() {
            return Err(ProviderError::Certificate(
                "this machine has no trusted root certificates and the profile has no `ca_file`; name one, or set SSL_CERT_FILE".into(),
            ));
        }
        Ok(Arc::new(Pinning { inner: webpki(roots)?, own: self.own.clone() }))
    }

    /// The certificates, as PEM, by which another client (Forklift) can verify this endpoint: the profile's `ca_file`, else the
    /// issuers that the server sends, else its own certificate if it is its own issuer, else the system's root that signed it.
    /// `None` where the user switched verification off.
    pub async fn ca_chain(&self, host: &str, port: u16) -> ProviderResult<Option<String>> {
        if self.insecure {
            return Ok(None);
        }
        let chain = look_at_chain(host, port).await?;
        let Some((leaf, sent)) = chain.split_first() else {
            return Err(ProviderError::Certificate(format!("{host}:{port} sent no certificate")));
        };
        let name = server_name(host)?;
        // Looking accepted anything; nothing is handed on that the user's trust does not cover.
        self.verifier()?
            .verify_server_cert(leaf, sent, &name, &[], UnixTime::now())
            .map_err(|error| ProviderError::Certificate(untrusted(&format!("{host}:{port}"), &error, Some(leaf))))?;
        let own: Vec<_> = self.own.clone();
        for candidate in [own.as_slice(), sent, std::slice::from_ref(leaf)] {
            if !candidate.is_empty() && verifies(candidate, leaf, sent, &name) {
                return Ok(Some(pem(candidate)));
            }
        }
        let roots = system_roots();
        match roots.into_iter().find(|root| verifies(std::slice::from_ref(root), leaf, sent, &name)) {
            Some(root) => Ok(Some(pem(std::slice::from_ref(&root)))),
            None => Err(ProviderError::Certificate(format!(
                "no single certificate was found that verifies {host}:{port}; name its CA in the profile's `ca_file`"
            ))),
        }
    }
}

/// Host names and addresses as TLS knows them; brackets of an IPv6 address are cut.
fn server_name(host: &str) -> ProviderResult<ServerName<'static>> {
    ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| ProviderError::Unreachable(format!("`{host}` is no host name: {error}")))
}

/// Certificates that the user named; none at all is a mistake.
fn certificates(place: &str, read: Result<Vec<CertificateDer<'static>>, pem::Error>) -> ProviderResult<Vec<CertificateDer<'static>>> {
    let bad = |why: String| ProviderError::Certificate(format!("{place}: {why}"));
    let certificates = read.map_err(|error| bad(format!("failed to read: {error}")))?;
    if certificates.is_empty() {
        return Err(bad("holds no PEM certificate (-----BEGIN CERTIFICATE-----)".into()));
    }
    Ok(certificates)
}

/// Roots of the operating system. Those that cannot be read are left out: what is missing shows as "unknown issuer".
fn system_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn config(verifier: Arc<dyn ServerCertVerifier>) -> ProviderResult<ClientConfig> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| ProviderError::Certificate(format!("TLS is not usable: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn webpki(roots: RootCertStore) -> ProviderResult<Arc<WebPkiServerVerifier>> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| ProviderError::Certificate(format!("trusted certificates are not usable: {error}")))
}

/// Whether these certificates alone, as roots, verify the server.
fn verifies(roots: &[CertificateDer<'static>], leaf: &CertificateDer<'_>, sent: &[CertificateDer<'_>], name: &ServerName<'_>) -> bool {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().cloned());
    !store.is_empty()
        && webpki(store)
            .is_ok_and(|inner| Pinning { inner, own: roots.to_vec() }.verify_server_cert(leaf, sent, name, &[], UnixTime::now()).is_ok())
}

/// The chain that a server sends, without judging it.
async fn look_at_chain(host: &str, port: u16) -> ProviderResult<Vec<CertificateDer<'static>>> {
    let address = format!("{host}:{port}");
    let failed = |why: String| ProviderError::Unreachable(format!("failed to look at the certificates of {address}: {why}"));
    let config = config(Arc::new(AnyCertificate::default()))?;
    let name = server_name(host)?;
    let handshake = async {
        let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    };
    let stream = tokio::time::timeout(HANDSHAKE, handshake)
        .await
        .map_err(|_| failed(format!("no TLS handshake within {} s", HANDSHAKE.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    Ok(stream.get_ref().1.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect())
}

/// Certificates as PEM blocks, in order.
pub fn pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut out = String::new();
    for certificate in certificates {
        out.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = base64::engine::general_purpose::STANDARD.encode(certificate);
        for line in text.as_bytes().chunks(PEM_LINE) {
            out.extend(line.iter().copied().map(char::from));
            out.push('\n');
        }
        out.push_str("-----END CERTIFICATE-----\n");
    }
    out
}

/// Why a certificate is not trusted, which one, and what to do.
pub fn untrusted(address: &str, error: &rustls::Error, leaf: Option<&CertificateDer<'_>>) -> String {
    let mut print = String::new();
    if let Some(leaf) = leaf {
        print.push_str(" (SHA-256 ");
        for (i, byte) in Sha256::digest(leaf).iter().enumerate() {
            let _ = write!(print, "{}{byte:02X}", if i == 0 { "" } else { ":" });
        }
        print.push(')');
    }
    let why = match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => "its issuer is not among the trusted ones".to_owned(),
        rustls::Error::InvalidCertificate(reason) => reason.to_string(),
        other => other.to_string(),
    };
    format!(
        "the certificate of {address}{print} is not trusted: {why}; hint: name the CA that signed it in the profile's `ca_file`, \
         or switch verification off with `insecure_skip_verify = true`"
    )
}

/// The TLS error inside an error of the HTTP client, if there is one.
pub fn tls_error(error: &(dyn std::error::Error + 'static)) -> Option<rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls.clone());
        }
        // `io::Error::source` skips the error that it wraps.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The leaf that a server sends, for an error text.
pub async fn leaf(host: &str, port: u16) -> Option<CertificateDer<'static>> {
    look_at_chain(host, port).await.ok()?.into_iter().next()
}

/// The usual verification, and beside it what OpenSSL and Go accept too: a self-signed certificate that says it is a CA
/// (`openssl req -x509` makes those) and is named, byte by byte, in `ca_file`. Dates and name are checked all the same.
#[derive(Debug)]
struct Pinning {
    inner: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Pinning {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.inner.verify_server_cert(leaf, sent, name, ocsp, now) {
            // webpki has looked at the dates before it says this.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if other.to_string().contains("CaUsedAsEndEntity") && self.own.iter().any(|own| own.as_ref() == leaf.as_ref()) =>
            {
                verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Accepts every certificate: for the user's `insecure_skip_verify`, and to look at a chain before judging it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl Default for AnyCertificate {
    fn default() -> Self {
        Self(provider())
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _sent: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
