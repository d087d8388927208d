//! Trust in the endpoint's certificate: what is trusted, why a certificate is not, and which certificates Forklift needs.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use base64::Engine as _;
use jiff::Timestamp;
use reqwest::Url;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
    server::ParsedCertificate,
};
use tokio_rustls::client::TlsStream;

use crate::{
    config::{certificate::without_mark, profile::Profile},
    files,
    net::{
        certificate::{Facts, date},
        dial::{Stream, address, dial},
        proxy::{self, bracketed},
    },
    providers::{ProviderError, ProviderResult},
};

/// Longest wait for the one handshake that looks at the chain; a vCenter under load answers within seconds.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// Bytes per line of a PEM block (RFC 7468).
const PEM_LINE: usize = 64;

/// What is trusted for one endpoint.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    insecure: bool,
    /// Whether the system's roots are not trusted.
    without_system: bool,
    /// Certificates that the user named.
    own: Vec<CertificateDer<'static>>,
    /// PEM file that is read again for each connection: its content is renewed while the process runs.
    renewed: Option<PathBuf>,
}

impl Trust {
    /// Reads what the profile says.
    pub fn of(profile: &Profile) -> ProviderResult<Self> {
        if profile.insecure_skip_verify {
            return Ok(Self::anything());
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
        Ok(Self { own, ..Self::default() })
    }

    /// Trusts every certificate: the user's own choice.
    pub fn anything() -> Self {
        Self { insecure: true, ..Self::default() }
    }

    /// Trusts these certificates and no others, as kubectl does with the CA of a kubeconfig.
    pub fn only(own: Vec<CertificateDer<'static>>) -> Self {
        Self { without_system: true, own, ..Self::default() }
    }

    /// The same with the content of a file that is renewed while the process runs.
    #[must_use]
    pub fn renewed_from(self, file: PathBuf) -> Self {
        Self { renewed: Some(file), ..self }
    }

    /// The same with the system's roots and these.
    #[must_use]
    pub fn and(mut self, more: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        self.own.extend(more);
        Self { without_system: false, ..self }
    }

    /// Whether certificates are verified at all.
    pub fn verifies(&self) -> bool {
        !self.insecure
    }

    /// The certificates that the user named.
    pub fn own(&self) -> &[CertificateDer<'static>] {
        &self.own
    }

    /// TLS settings for a client.
    pub fn client_config(&self) -> ProviderResult<ClientConfig> {
        config(self.any_verifier()?)
    }

    /// What judges the server's certificate.
    pub fn any_verifier(&self) -> ProviderResult<Arc<dyn ServerCertVerifier>> {
        if self.insecure { Ok(Arc::new(AnyCertificate::default())) } else { self.verifier() }
    }

    fn verifier(&self) -> ProviderResult<Arc<dyn ServerCertVerifier>> {
        let mut trusted = if self.without_system { Vec::new() } else { system_roots() };
        trusted.extend(self.own.iter().cloned());
        if let Some(file) = &self.renewed {
            return Ok(Arc::new(Renewed { file: file.clone(), beside: trusted, last: RwLock::default() }));
        }
        Ok(Arc::new(Pinning::over(trusted)?))
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
            return Err(ProviderError::certificate(format!("{host}:{port} sent no certificate")));
        };
        let name = server_name(host)?;
        // Looking accepted anything; nothing is handed on that the user's trust does not cover.
        self.verifier()?
            .verify_server_cert(leaf, sent, &name, &[], UnixTime::now())
            .map_err(|error| untrusted(&format!("{host}:{port}"), &error, Some(leaf)))?;
        let own: Vec<_> = self.own.clone();
        for candidate in [own.as_slice(), sent, std::slice::from_ref(leaf)] {
            if !candidate.is_empty() && verifies(candidate, leaf, sent, &name) {
                return Ok(Some(pem(candidate)));
            }
        }
        let roots = system_roots();
        match roots.into_iter().find(|root| verifies(std::slice::from_ref(root), leaf, sent, &name)) {
            Some(root) => Ok(Some(pem(std::slice::from_ref(&root)))),
            None => Err(ProviderError::certificate(format!(
                "no single certificate was found that verifies {host}:{port}; name its CA in the profile's `ca_file`"
            ))),
        }
    }
}

/// Host names and addresses as TLS knows them; brackets of an IPv6 address are cut.
fn server_name(host: &str) -> ProviderResult<ServerName<'static>> {
    ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| ProviderError::unreachable(format!("`{host}` is no host name: {error}")))
}

/// Certificates that the user named; none at all is a mistake.
fn certificates(place: &str, read: Result<Vec<CertificateDer<'static>>, pem::Error>) -> ProviderResult<Vec<CertificateDer<'static>>> {
    let bad = |why: String| ProviderError::certificate(format!("{place}: {why}"));
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

/// A certificate by which a client logs in, and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, and those that signed it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: Arc<PrivateKeyDer<'static>>,
}

fn config(verifier: Arc<dyn ServerCertVerifier>) -> ProviderResult<ClientConfig> {
    config_of(verifier, None)
}

/// TLS settings for a client that may have a certificate of its own.
pub fn config_of(verifier: Arc<dyn ServerCertVerifier>, identity: Option<&Identity>) -> ProviderResult<ClientConfig> {
    let unusable = |error| ProviderError::certificate(format!("TLS is not usable: {error}"));
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(Identity { chain, key }) => {
            let wrong = |error| ProviderError::certificate(format!("the client certificate cannot be used with its key: {error}"));
            builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(wrong)
        }
    }
}

fn webpki(roots: RootCertStore) -> ProviderResult<Arc<WebPkiServerVerifier>> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| ProviderError::certificate(format!("trusted certificates are not usable: {error}")))
}

/// Whether these certificates alone, as roots, verify the server.
fn verifies(roots: &[CertificateDer<'static>], leaf: &CertificateDer<'_>, sent: &[CertificateDer<'_>], name: &ServerName<'_>) -> bool {
    Pinning::over(roots.to_vec()).is_ok_and(|pinning| pinning.verify_server_cert(leaf, sent, name, &[], UnixTime::now()).is_ok())
}

/// The chain that a server sends, without judging it.
async fn look_at_chain(host: &str, port: u16) -> ProviderResult<Vec<CertificateDer<'static>>> {
    let host = host.trim_matches(['[', ']']);
    let address = address(host, port);
    let failed = |why: String| ProviderError::unreachable(format!("failed to read the certificates of {address}: {why}"));
    let config = config(Arc::new(AnyCertificate::default()))?;
    let name = server_name(host)?;
    let url = Url::parse(&format!("https://{}:{port}/", bracketed(host))).map_err(|error| failed(error.to_string()))?;
    let proxy = proxy::of_environment(&url).map_err(failed)?;
    // Boxed: it is a part of every source's errors, and rarely run.
    let handshake = Box::pin(async {
        let trusted = || Trust::default().client_config().map_err(|error| error.to_string());
        let stream = dial(host, port, proxy.as_ref(), HANDSHAKE, trusted).await.map_err(|error| error.to_string())?;
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())
    });
    let stream = tokio::time::timeout(HANDSHAKE, handshake)
        .await
        .map_err(|_| failed(format!("no TLS handshake within {} s", HANDSHAKE.as_secs())))?
        .map_err(failed)?;
    Ok(stream.get_ref().1.peer_certificates().unwrap_or_default().iter().map(|c| c.clone().into_owned()).collect())
}

/// Why a TLS handshake failed.
#[derive(Debug)]
pub enum HandshakeError {
    /// The server's certificate is not trusted; with the certificate, where it sent one.
    Certificate(rustls::Error, Option<CertificateDer<'static>>),
    /// The server does not speak TLS as expected, or refuses the handshake.
    Tls(rustls::Error),
    /// The connection broke.
    Io(io::Error),
}

/// Makes a TLS connection to a server that `verifier` judges.
///
/// # Errors
/// See [`HandshakeError`].
pub async fn handshake(
    stream: Box<dyn Stream>,
    config: &ClientConfig,
    verifier: &Arc<dyn ServerCertVerifier>,
    name: ServerName<'static>,
) -> Result<TlsStream<Box<dyn Stream>>, HandshakeError> {
    let witness = Arc::new(Witness { inner: verifier.clone(), leaf: Mutex::default() });
    let mut config = config.clone();
    config.dangerous().set_certificate_verifier(witness.clone());
    let connected = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    connected.map_err(|error| match tls_error(&error) {
        Some(tls @ rustls::Error::InvalidCertificate(_)) => {
            HandshakeError::Certificate(tls, witness.leaf.lock().unwrap_or_else(PoisonError::into_inner).take())
        }
        Some(tls) => HandshakeError::Tls(tls),
        None => HandshakeError::Io(error),
    })
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
pub fn untrusted(address: &str, error: &rustls::Error, leaf: Option<&CertificateDer<'_>>) -> ProviderError {
    let (why, about) = distrust(error, leaf);
    let shown = leaf.map(|leaf| format!(" ({})", Facts::of(leaf))).unwrap_or_default();
    let skip = "switch verification off with `insecure_skip_verify = true`";
    let hint = match about {
        Distrust::Dates => format!("renew the certificate of the server, check the clock of this machine, or {skip}"),
        Distrust::Name => format!("write a name of the certificate into `api_url` of the profile, or {skip}"),
        Distrust::Other => format!("name the CA that signed it in the profile's `ca_file`, or {skip}"),
    };
    ProviderError::certificate(format!("the certificate of {address}{shown} is not trusted: {why}")).hint(hint)
}

/// What about a certificate is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distrust {
    /// It is not valid now.
    Dates,
    /// It is for another host.
    Name,
    /// Anything else, such as an unknown issuer.
    Other,
}

/// Why a certificate is not trusted, in plain words.
pub fn distrust(error: &rustls::Error, leaf: Option<&CertificateDer<'_>>) -> (String, Distrust) {
    let rustls::Error::InvalidCertificate(reason) = error else { return (error.to_string(), Distrust::Other) };
    let at = |time: &UnixTime| i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let expired = |when: Option<Timestamp>| match when {
        Some(when) => format!("it expired on {}", date(when)),
        None => "it has expired".to_owned(),
    };
    let early = |when: Option<Timestamp>| match when {
        Some(when) => format!("it is not valid before {}", date(when)),
        None => "it is not valid yet".to_owned(),
    };
    let facts = || leaf.map(|leaf| Facts::of(leaf)).unwrap_or_default();
    match reason {
        CertificateError::UnknownIssuer => ("its issuer is not among the trusted ones".to_owned(), Distrust::Other),
        CertificateError::BadSignature => ("it was signed by another CA of the same name as a trusted one".to_owned(), Distrust::Other),
        CertificateError::Expired => (expired(facts().not_after), Distrust::Dates),
        CertificateError::ExpiredContext { not_after, .. } => (expired(at(not_after)), Distrust::Dates),
        CertificateError::NotValidYet => (early(facts().not_before), Distrust::Dates),
        CertificateError::NotValidYetContext { not_before, .. } => (early(at(not_before)), Distrust::Dates),
        CertificateError::NotValidForName => ("it is for another host".to_owned(), Distrust::Name),
        CertificateError::NotValidForNameContext { expected, presented } => {
            // The library writes the kind of each name around it.
            let plain = |name: &String| {
                name.split_once('(').map_or(name.as_str(), |(_, rest)| rest.trim_end_matches(')')).trim_matches('"').to_owned()
            };
            let names: Vec<String> = presented.iter().map(plain).collect();
            let names = if names.is_empty() { "no host at all".to_owned() } else { format!("only for {}", names.join(", ")) };
            (format!("it is not valid for {}, {names}", expected.to_str()), Distrust::Name)
        }
        CertificateError::Other(other) if ca_as_leaf(&other.to_string()) => (
            "it is a CA certificate (CA:TRUE), which a server may use only if exactly this certificate is trusted".to_owned(),
            Distrust::Other,
        ),
        CertificateError::Other(_) => ("it breaks a rule for certificates of servers".to_owned(), Distrust::Other),
        other => (other.to_string(), Distrust::Other),
    }
}

/// Whether webpki refuses a certificate because it says that it is a CA.
fn ca_as_leaf(error: &str) -> bool {
    error.contains("CaUsedAsEndEntity")
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

/// Notes the certificate that a server sends, for the error.
#[derive(Debug)]
struct Witness {
    inner: Arc<dyn ServerCertVerifier>,
    leaf: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.leaf.lock().unwrap_or_else(PoisonError::into_inner) = Some(leaf.clone().into_owned());
        self.inner.verify_server_cert(leaf, sent, name, ocsp, now)
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

/// Verification with a file of certificates that is read again for each handshake, because its content is renewed. While it
/// cannot be read, what was read last holds.
#[derive(Debug)]
struct Renewed {
    file: PathBuf,
    beside: Vec<CertificateDer<'static>>,
    last: RwLock<Option<Arc<Pinning>>>,
}

impl Renewed {
    fn current(&self) -> Result<Arc<Pinning>, rustls::Error> {
        let read: Option<Vec<_>> = CertificateDer::pem_file_iter(&self.file).and_then(Iterator::collect).ok();
        let fresh = read.and_then(|read| Pinning::over(self.beside.iter().cloned().chain(read).collect()).ok());
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(fresh) = fresh {
            *last = Some(Arc::new(fresh));
        }
        last.clone().ok_or_else(|| rustls::Error::General(format!("no trusted certificate can be read from {}", self.file.display())))
    }
}

impl ServerCertVerifier for Renewed {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.current()?.verify_server_cert(leaf, sent, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The usual verification, and beside it what OpenSSL and Go accept too: a self-signed certificate that says it is a CA
/// (`openssl req -x509` makes those) and is, byte by byte, a trusted one. Dates and name are checked all the same.
#[derive(Debug)]
struct Pinning {
    inner: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl Pinning {
    fn over(trusted: Vec<CertificateDer<'static>>) -> ProviderResult<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        if roots.is_empty() {
            return Err(ProviderError::certificate(
                "no trusted certificate is known: this machine has none, and none was named; name a CA, or set SSL_CERT_FILE".into(),
            ));
        }
        Ok(Self { inner: webpki(roots)?, trusted })
    }
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
            // webpki has checked the dates before it says this.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(other)))
                if ca_as_leaf(&other.to_string()) && self.trusted.iter().any(|trusted| trusted.as_ref() == leaf.as_ref()) =>
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
