//! Certificates and keys of a cluster, as files.

use std::{fs, path::Path};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Name in the certificate with which the API server shows itself to aggregated servers.
pub const FRONT_PROXY: &str = "front-proxy";

/// Writes `ca.pem`, `server.pem`, `server.key`, `proxy.pem`, `proxy.key`, `accounts.key` and
/// `accounts.pem` (its public half); gives the authority's PEM.
pub fn write(folder: &Path) -> anyhow::Result<String> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, "mtv-testkit CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?.pem();
    fs::write(folder.join("ca.pem"), &authority)?;
    let issuer = Issuer::new(params, key);
    let leaves =
        [("server", "kube-apiserver", ExtendedKeyUsagePurpose::ServerAuth), ("proxy", FRONT_PROXY, ExtendedKeyUsagePurpose::ClientAuth)];
    for (file, name, usage) in leaves {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        fs::write(folder.join(format!("{file}.pem")), params.signed_by(&key, &issuer)?.pem())?;
        fs::write(folder.join(format!("{file}.key")), key.serialize_pem())?;
    }
    let accounts = KeyPair::generate()?;
    fs::write(folder.join("accounts.key"), accounts.serialize_pem())?;
    fs::write(folder.join("accounts.pem"), accounts.public_key_pem())?;
    Ok(authority)
}
