//! The lab's own certificate authority: each server of the lab, and each that takes the place
//! of one, gets a leaf certificate that one CA signs.

use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// Names that every server certificate carries: the lab listens on loopback only.
const LOOPBACK: [&str; 2] = ["localhost", "127.0.0.1"];

/// A certificate authority that lives as long as the lab. Keys are ECDSA P-256; the authority's own never leaves
/// the process.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    /// Makes a new authority.
    ///
    /// # Errors
    /// The random source or the key generation failed.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new()).context("the lab's CA")?;
        params.distinguished_name.push(DnType::CommonName, "mtv-lab CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("the key of the lab's CA")?;
        let certificate = params.self_signed(&key).context("the lab's CA")?;
        Ok(Self { certificate: certificate.der().clone(), pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    /// The authority's certificate, PEM: what a client must trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// What a TLS server needs: a leaf for `localhost`, `127.0.0.1` and `names` (DNS names or addresses), HTTP/1.1 only.
    ///
    /// # Errors
    /// A name that is neither a DNS name nor an address.
    pub fn server(&self, names: &[&str]) -> anyhow::Result<Arc<ServerConfig>> {
        let (leaf, key) = self.leaf(names)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone(), self.certificate.clone()], key)
            .context("the certificate of a server")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// A leaf as [`Self::server`] has it, for a server that is not the lab's: its chain and its key, both PEM.
    ///
    /// # Errors
    /// As [`Self::server`].
    pub fn identity(&self, names: &[&str]) -> anyhow::Result<Identity> {
        let (leaf, key) = self.leaf(names)?;
        Ok(Identity { chain: leaf.pem() + &self.pem, key: key.serialize_pem() })
    }

    fn leaf(&self, names: &[&str]) -> anyhow::Result<(Certificate, KeyPair)> {
        let mut all: Vec<String> = LOOPBACK.map(str::to_owned).to_vec();
        all.extend(names.iter().filter(|name| !LOOPBACK.contains(name)).map(|&name| name.to_owned()));
        let what = || format!("a certificate for {}", all.join(", "));
        let mut params = CertificateParams::new(all.clone()).with_context(what)?;
        params.distinguished_name.push(DnType::CommonName, all.last().map_or("localhost", String::as_str));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Python's ssl module refuses a leaf that does not say who signed it.
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().with_context(what)?;
        let leaf = params.signed_by(&key, &self.issuer).with_context(what)?;
        Ok((leaf, key))
    }
}

/// Certificate and key of a server that is not the lab's.
#[derive(Clone)]
pub struct Identity {
    /// The leaf and the authority, PEM.
    pub chain: String,
    /// The private key, PEM.
    pub key: String,
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Whether a client that trusts only `authority` accepts `server` under `name`.
    async fn accepted(authority: &Authority, server: Arc<ServerConfig>, name: &'static str) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            tokio_rustls::TlsAcceptor::from(server).accept(stream).await.is_ok()
        });
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let client = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).unwrap(), stream).await;
        let ok = client.is_ok();
        drop(client);
        let _ = serving.await;
        ok
    }

    #[tokio::test]
    async fn a_client_that_trusts_the_authority_accepts_its_servers_by_their_names_only() {
        let authority = Authority::new().unwrap();
        let server = authority.server(&["inventory.lab"]).unwrap();
        for name in ["localhost", "127.0.0.1", "inventory.lab"] {
            assert!(accepted(&authority, server.clone(), name).await, "{name}");
        }
        assert!(!accepted(&authority, server.clone(), "elsewhere.lab").await);
        assert!(!accepted(&Authority::new().unwrap(), server, "localhost").await);
    }
}
