//! Certificates of servers and of clients: whom the tool trusts, and what it says of those it does not.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use mtv_api::kinds;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use serde_json::json;

use crate::{
    bed::{ELSEWHERE, Front, Options, Place, Proxy, Server, kubeconfig, reach, text, write},
    support::{Lab, told},
};

/// A self-signed certificate for 127.0.0.1.
struct Own {
    pem: String,
    key: KeyPair,
    config: Arc<ServerConfig>,
}

fn own(change: impl FnOnce(&mut CertificateParams)) -> Own {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "own.example");
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private).unwrap();
    Own { pem: certificate.pem(), key, config: Arc::new(config) }
}

/// What is said of a server with this certificate, when this one is trusted.
fn said(server: &Own, trusted: &Own) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    // Whoever is trusted refuses the login: that is another sentence.
    let running = Server::tls(server.config.clone(), "401 Unauthorized");
    let cluster = json!({
        "server": format!("https://127.0.0.1:{}", running.port),
        "certificate-authority-data": BASE64_STANDARD.encode(&trusted.pem),
    });
    let file = write(folder.path(), "k", kubeconfig(&cluster, &json!({ "token": "t-0f-certificates" })));
    let output = reach(folder.path(), &file).output().unwrap();
    (output.status.code(), text(&output))
}

#[test]
fn a_certificate_that_is_the_trusted_one_itself_is_accepted() {
    let leaf = own(|_| {});
    // As `openssl req -x509` makes them.
    let ca = own(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let other = own(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    for certificate in [&leaf, &ca] {
        let (code, text) = said(certificate, certificate);
        assert_eq!(code, Some(7), "{text}");
        assert!(text.contains("was refused (401)"), "{text}");
    }
    for (server, trusted) in [(&leaf, &ca), (&ca, &leaf), (&ca, &other)] {
        let (code, text) = said(server, trusted);
        assert_eq!(code, Some(7), "{text}");
        assert!(
            text.contains("its certificate is not trusted: ") && text.contains("subject CN=own.example, issuer CN=own.example, SHA-256 "),
            "{text}"
        );
        assert!(text.contains("hint: if it is the right server, set `certificate-authority`") && !text.contains("Other("), "{text}");
    }
}

#[test]
fn dates_and_names_of_certificates_are_told_for_people() {
    let ca = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for (name, certificate, expected) in [
        ("expired", own(|params| params.not_after = date_time_ymd(2020, 1, 2)), "it expired on 2020-01-02 00:00:00 UTC"),
        (
            "expired CA as leaf",
            own(|params| {
                ca(params);
                params.not_after = date_time_ymd(2020, 1, 2);
            }),
            "it expired on 2020-01-02 00:00:00 UTC",
        ),
        ("early", own(|params| params.not_before = date_time_ymd(2090, 1, 2)), "it is not valid before 2090-01-02 00:00:00 UTC"),
        (
            "another host",
            own(|params| params.subject_alt_names = vec![rcgen::SanType::DnsName("api.example.com".try_into().unwrap())]),
            "it is not valid for 127.0.0.1, only for api.example.com",
        ),
        (
            "another host, CA as leaf",
            own(|params| {
                ca(params);
                params.subject_alt_names = vec![rcgen::SanType::DnsName("api.example.com".try_into().unwrap())];
            }),
            "it is not valid for 127.0.0.1, only for api.example.com",
        ),
    ] {
        let (code, text) = said(&certificate, &certificate);
        assert_eq!(code, Some(7), "{name}: {text}");
        assert!(text.contains(expected) && text.contains("hint: "), "{name} does not say `{expected}`: {text}");
    }
}

#[test]
fn an_expired_client_certificate_is_told_with_its_date() {
    let server = own(|_| {});
    let client = own(|params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(2020, 1, 2);
    });
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(client.pem.as_bytes()).unwrap()).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server.key.serialize_der()));
    let chain = vec![rustls::pki_types::pem::PemObject::from_pem_slice(server.pem.as_bytes()).unwrap()];
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let strict = ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, private).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // One that ends the connection, and one that answers 401 as a kube-apiserver does.
    for config in [Arc::new(strict), server.config.clone()] {
        let running = Server::tls(config, "401 Unauthorized");
        let cluster = json!({
            "server": format!("https://127.0.0.1:{}", running.port),
            "certificate-authority-data": BASE64_STANDARD.encode(&server.pem),
        });
        let user = json!({
            "client-certificate-data": BASE64_STANDARD.encode(&client.pem),
            "client-key-data": BASE64_STANDARD.encode(client.key.serialize_pem()),
        });
        let file = write(folder.path(), "k", kubeconfig(&cluster, &user));
        let output = reach(folder.path(), &file).output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{}", told(&output));
        assert!(
            text(&output).contains("client certificate") && text(&output).contains("expired on 2020-01-02 00:00:00 UTC"),
            "{}",
            told(&output)
        );
    }
}

/// The API server has another CA than the inventory, as on every OpenShift.
#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_is_trusted_by_the_ingress_ca_or_reported_before_anything_is_created() {
    let lab = Lab::start(&[]);
    let place = Place::of(&lab);
    let front = Front::of(&place);
    let proxy = Proxy::start(Options { front: Some(front.clone()), ..Options::default() });
    let cluster = json!({
        "server": format!("https://api{ELSEWHERE}:{}", place.port),
        "certificate-authority-data": BASE64_STANDARD.encode(&front.ca),
        "proxy-url": format!("http://127.0.0.1:{}", proxy.port()),
    });
    write(lab.folder.path(), "lab/kubeconfig-front", kubeconfig(&cluster, &place.user()));
    let start = |results: &str| {
        let mut command = crate::support::binary();
        command.current_dir(lab.folder.path()).args(["run", "--kubeconfig", "lab/kubeconfig-front", "--providers", "lab/providers.toml"]);
        command.args(["--provider", "vsphere", "--results-dir", results, "sanity-cold"]);
        command.output().unwrap()
    };
    let output = start("good");
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));

    let client = lab.client().await;
    let maps = kube::Api::<kube::api::DynamicObject>::namespaced_with(client, "openshift-config-managed", &kinds::CONFIG_MAP.resource());
    let empty = kube::api::Patch::Json::<()>(serde_json::from_value(json!([{ "op": "remove", "path": "/data" }])).unwrap());
    maps.patch("default-ingress-cert", &kube::api::PatchParams::default(), &empty).await.unwrap();
    let before = lab.objects().await;
    let output = start("bad");
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    let shown = text(&output);
    for words in [
        "the inventory",
        "its certificate is not trusted: its issuer is not among the trusted ones",
        "issuer CN=mtv-lab CA",
        "hint: Routes are signed by the ingress CA",
    ] {
        assert!(shown.contains(words), "{shown}");
    }
    assert_eq!(lab.objects().await, before);
    assert!(
        !std::fs::read_to_string(lab.path("bad/latest/resources.json")).unwrap().contains("\"object\""),
        "nothing was about to be created"
    );
}
