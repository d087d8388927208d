//! What the tests stand on: kubeconfigs, a proxy that notes what passes, and servers that come in front of the lab.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{Lab, binary};

/// A password that must not be shown anywhere.
pub const PASSWORD: &str = "pw-0f-the-pr0xy";

/// End of the names that only a proxy of the test can reach.
pub const ELSEWHERE: &str = ".reach.test";

/// Where the lab is.
pub struct Place {
    /// URL of the API server.
    pub api: String,
    /// Its port.
    pub port: u16,
    /// The lab's CA, PEM.
    pub ca: String,
    /// Token of the administrator.
    pub token: String,
}

impl Place {
    pub fn of(lab: &Lab) -> Self {
        let info: Value = serde_json::from_slice(&fs::read(lab.path("lab/lab.json")).unwrap()).unwrap();
        let kubeconfig: Value = serde_saphyr::from_str(&fs::read_to_string(lab.path("lab/kubeconfig")).unwrap()).unwrap();
        let api = info["api"].as_str().unwrap().to_owned();
        Self {
            port: api.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap(),
            api,
            ca: info["ca_pem"].as_str().unwrap().to_owned(),
            token: kubeconfig["users"][0]["user"]["token"].as_str().unwrap().to_owned(),
        }
    }

    /// What a kubeconfig says of the cluster.
    pub fn cluster(&self) -> Value {
        json!({ "server": self.api, "certificate-authority-data": BASE64_STANDARD.encode(&self.ca) })
    }

    /// What a kubeconfig says of the user.
    pub fn user(&self) -> Value {
        json!({ "token": self.token })
    }
}

/// A kubeconfig: context `here` with cluster `c` and user `u`. JSON is YAML.
pub fn kubeconfig(cluster: &Value, user: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{ "name": "c", "cluster": cluster }],
        "users": [{ "name": "u", "user": user }],
        "contexts": [{ "name": "here", "context": { "cluster": "c", "user": "u" } }],
    })
}

/// Writes a kubeconfig.
pub fn write(folder: &Path, name: &str, text: impl std::fmt::Display) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text.to_string()).unwrap();
    path
}

/// A command that does little more than reach the cluster: it looks for what runs have left.
pub fn reach(folder: &Path, kubeconfig: &Path) -> Command {
    let mut command = binary();
    command.current_dir(folder).args(["clean", "--orphans", "--kubeconfig"]).arg(kubeconfig);
    command
}

/// Everything that a command printed.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A server that ends a handshake: what it presents, and what it does with the client.
pub struct Server {
    /// Its port on 127.0.0.1.
    pub port: u16,
    runtime: Option<Runtime>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Also from within a test that is async itself.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Server {
    /// Serves every connection with a function.
    pub fn start<F, R>(handle: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(handle(stream));
            }
        });
        Self { port, runtime: Some(runtime) }
    }

    /// Speaks TLS, and answers every request with a status.
    pub fn tls(config: Arc<ServerConfig>, status: &'static str) -> Self {
        Self::start(move |stream| {
            let config = config.clone();
            async move {
                if let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await
                    && !head(&mut stream).await.is_empty()
                {
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{{}}");
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            }
        })
    }

    /// In front of the API server of a lab, without TLS: adds the administrator's token to requests without one, as a server
    /// does that knows its clients by their certificates.
    pub fn with_login(place: &Place) -> Self {
        let (upstream, target, token) = (trusting(&place.ca), place.port, place.token.clone());
        Self::start(move |mut client| {
            let (upstream, token) = (upstream.clone(), token.clone());
            async move {
                let request = head(&mut client).await;
                let Some(rest) = request.strip_suffix("\r\n") else { return };
                // One request per connection: the next one needs the header too.
                let upgrade = rest.to_lowercase().contains("upgrade: websocket");
                let connection = if upgrade { "" } else { "Connection: close\r\n" };
                let changed = format!("{rest}Authorization: Bearer {token}\r\n{connection}\r\n");
                let server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                let Ok(mut server) = upstream.connect(ServerName::try_from("127.0.0.1").unwrap(), server).await else { return };
                let _ = server.write_all(changed.as_bytes()).await;
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        })
    }
}

/// The head of a request, up to its empty line; empty if there is none.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

/// A TLS client that trusts one CA.
fn trusting(ca: &str) -> TlsConnector {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    TlsConnector::from(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// A certificate authority for names that only the proxy can reach, and the servers that have them.
#[derive(Clone)]
pub struct Front {
    /// Its CA, PEM.
    pub ca: String,
    config: Arc<ServerConfig>,
    upstream: TlsConnector,
}

impl Front {
    /// In front of the servers of a lab.
    pub fn of(place: &Place) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "reach CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let mut params = CertificateParams::new(vec![format!("api{ELSEWHERE}"), format!("vcenter{ELSEWHERE}")]).unwrap();
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let upstream = trusting(&place.ca);
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![leaf.der().clone(), ca.der().clone()];
        let config = Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private).unwrap());
        Self { ca: ca.pem(), config, upstream }
    }
}

/// How a proxy behaves.
#[derive(Default)]
pub struct Options {
    /// Lets nobody through without this password of user `joe`.
    pub login: bool,
    /// Speaks TLS itself.
    pub tls: Option<Arc<ServerConfig>>,
    /// Names below [`ELSEWHERE`] have certificates of this authority; otherwise connections pass as they are.
    pub front: Option<Front>,
}

/// A proxy, HTTP and SOCKS 5 at the same port. Every name below [`ELSEWHERE`] is the lab's machine.
pub struct Proxy {
    server: Server,
    seen: Arc<Mutex<Vec<String>>>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Proxy {
    pub fn start(options: Options) -> Self {
        let (seen, options) = (Arc::new(Mutex::new(Vec::new())), Arc::new(options));
        let noted = seen.clone();
        let server = Server::start(move |stream| {
            let (options, noted) = (options.clone(), noted.clone());
            async move {
                let stream: Box<dyn Stream> = match &options.tls {
                    None => Box::new(stream),
                    Some(config) => match TlsAcceptor::from(config.clone()).accept(stream).await {
                        Ok(stream) => Box::new(stream),
                        Err(_) => return,
                    },
                };
                pass(stream, &options, &noted).await;
            }
        });
        Self { server, seen }
    }

    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Where connections went that it let through, in order.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn pass(mut stream: Box<dyn Stream>, options: &Options, noted: &Mutex<Vec<String>>) {
    let Ok(first) = stream.read_u8().await else { return };
    let target = if first == 5 { socks(&mut stream, options.login).await } else { connect(&mut stream, options.login).await };
    let Some(target) = target else { return };
    noted.lock().unwrap().push(target.clone());
    let (host, port) = target.rsplit_once(':').unwrap();
    let elsewhere = host.ends_with(ELSEWHERE);
    let host = if elsewhere { "127.0.0.1" } else { host.trim_matches(['[', ']']) };
    let Ok(mut server) = TcpStream::connect((host, port.parse().unwrap())).await else { return };
    match options.front.as_ref().filter(|_| elsewhere) {
        None => drop(copy_bidirectional(&mut stream, &mut server).await),
        Some(front) => {
            let Ok(mut client) = TlsAcceptor::from(front.config.clone()).accept(stream).await else { return };
            let Ok(mut server) = front.upstream.connect(ServerName::try_from("127.0.0.1").unwrap(), server).await else { return };
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    }
}

/// `CONNECT`, of which the first byte was read.
async fn connect(stream: &mut Box<dyn Stream>, login: bool) -> Option<String> {
    let head = head(stream).await;
    let mut words = head.split(' ');
    if words.next() != Some("ONNECT") {
        let _ = stream.write_all(b"HTTP/1.1 501 Not Implemented\r\n\r\n").await;
        return None;
    }
    let target = words.next()?.to_owned();
    let wanted = format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("joe:{PASSWORD}")));
    if login && !head.to_lowercase().contains(&wanted.to_lowercase()) {
        let _ = stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        return None;
    }
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    Some(target)
}

/// SOCKS 5 (RFC 1928, 1929), of which the version was read.
async fn socks(stream: &mut Box<dyn Stream>, login: bool) -> Option<String> {
    let mut methods = vec![0; usize::from(stream.read_u8().await.ok()?)];
    stream.read_exact(&mut methods).await.ok()?;
    let method = if login { 2 } else { 0 };
    if !methods.contains(&method) {
        stream.write_all(&[5, 0xff]).await.ok()?;
        return None;
    }
    stream.write_all(&[5, method]).await.ok()?;
    if login {
        let _version = stream.read_u8().await.ok()?;
        let (user, password) = (field(stream).await?, field(stream).await?);
        let good = user == b"joe" && password == PASSWORD.as_bytes();
        stream.write_all(&[1, u8::from(!good)]).await.ok()?;
        if !good {
            return None;
        }
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await.ok()?;
    let host = match request[3] {
        1 => std::net::Ipv4Addr::from(stream.read_u32().await.ok()?).to_string(),
        3 => String::from_utf8(field(stream).await?).ok()?,
        _ => format!("[{}]", std::net::Ipv6Addr::from(stream.read_u128().await.ok()?)),
    };
    let port = stream.read_u16().await.ok()?;
    stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
    Some(format!("{host}:{port}"))
}

async fn field(stream: &mut Box<dyn Stream>) -> Option<Vec<u8>> {
    let mut value = vec![0; usize::from(stream.read_u8().await.ok()?)];
    stream.read_exact(&mut value).await.ok()?;
    Some(value)
}
