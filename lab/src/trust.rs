//! TLS of the lab's own clients: verified against a given CA or not at all, and the fingerprint of what the server showed.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use sha1::{Digest, Sha1};

/// The certificate that the server showed last.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    /// SHA-1 of the certificate, `AA:BB:…`, as vSphere shows it; empty before the first handshake.
    pub fn fingerprint(&self) -> String {
        let der = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if der.is_empty() {
            return String::new();
        }
        Sha1::digest(&*der).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }
}

/// Looks at the certificate, and lets another verifier judge it unless verification is off.
#[derive(Debug)]
struct Verifier {
    judge: Option<Arc<WebPkiServerVerifier>>,
    roots: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    seen: Seen,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.0.lock().unwrap_or_else(PoisonError::into_inner) = end_entity.to_vec();
        let Some(judge) = &self.judge else { return Ok(ServerCertVerified::assertion()) };
        match judge.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // A self-signed server certificate that is itself trusted: vcsim shows one, and Go's verifier takes it.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_) | CertificateError::UnknownIssuer))
                if self.roots.iter().any(|root| root == end_entity) =>
            {
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A configuration that trusts the given PEM certificates, or everybody if there are none.
///
/// # Errors
/// The PEM text holds no certificate.
pub fn config(ca: Option<&str>) -> Result<(ClientConfig, Seen), String> {
    let provider = Arc::new(ring::default_provider());
    let seen = Seen::default();
    let mut trusted = Vec::new();
    let judge = match ca {
        None => None,
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            trusted = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect();
            let (added, _) = roots.add_parsable_certificates(trusted.clone());
            if added == 0 {
                return Err("the CA certificate holds no PEM certificate".to_owned());
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| format!("the CA certificate cannot be used: {error}"))?;
            Some(verifier)
        }
    };
    let verifier = Verifier { judge, roots: trusted, provider: Arc::clone(&provider), seen: seen.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok((config, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_without_certificate_is_refused() {
        assert!(config(Some("no pem")).is_err());
        assert!(config(None).is_ok());
    }

    #[test]
    fn the_fingerprint_is_sha1_in_pairs() {
        let seen = Seen::default();
        assert_eq!(seen.fingerprint(), "");
        *seen.0.lock().unwrap() = b"abc".to_vec();
        assert_eq!(seen.fingerprint(), "A9:99:3E:36:47:06:81:6A:BA:3E:25:71:78:50:C2:6C:9C:D0:D8:9D");
    }
}
