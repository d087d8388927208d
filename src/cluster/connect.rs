//! Finding and reaching a cluster the way kubectl does, or as `oc login` does.

use std::{
    fmt,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::{TokioExecutor, TokioIo},
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt as _},
    config::AuthInfo,
};
use reqwest::Url;
use rustls::{
    ClientConfig,
    client::danger::ServerCertVerifier,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tower::{Layer as _, Service};

use super::{
    Cluster, Requests, ServerClock,
    bounded::{Bounded, Refused},
    error::{below, id_of, refuses_certificate, words},
    hub::Hub,
    kubeconfig::{self, Origin, Selected, shown},
    login::{Authorize, Login, LoginError},
    pause::PauseInStatus,
    trace::Trace,
    young::Young,
};
use crate::{
    diagnosis::{Diagnosis, Explained, Id},
    files,
    net::{
        certificate::{Facts, date},
        dial::{DialError, Stream, dial},
        proxy::{self, Proxy},
    },
    providers::tls::{Distrust, HandshakeError, Identity, Trust, config_of, distrust, handshake},
    retry::{Fate, GaveUp, NoAnswer, Policy, Safety, is_out_of_files},
    secrets::Secret,
};

/// Longest wait for a connection to the API server, TLS and proxy included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest wait for TCP before a server has been reached once: an address that is wrong shows soon.
const FIRST_TCP: Duration = Duration::from_secs(3);

/// Longest time of the first contact, all attempts together.
const FIRST_CONTACT: Duration = Duration::from_secs(10);

/// How audit logs know the tool.
const AGENT: &str = concat!("mtv-test/", env!("CARGO_PKG_VERSION"));

/// Setting that allows an API server without TLS.
const PLAIN_HTTP: &str = "cluster_allow_plain_http";

/// Which cluster, and how to log in: as kubectl's own flags say it, or by user and password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `--kubeconfig`; otherwise `KUBECONFIG`, `~/.kube/config`, then the pod's own service account.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// Login by user and password instead of a kubeconfig.
    pub login: Option<PasswordLogin>,
    /// Leave the certificates of the cluster unverified, whatever the kubeconfig says: the user's own choice.
    pub insecure: bool,
    /// Send the login to an API server without TLS: the user's own choice.
    pub plain_http: bool,
}

/// A login through OpenShift's OAuth server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordLogin {
    /// URL of the API server.
    pub host: String,
    /// User.
    pub username: String,
    /// Password.
    pub password: Secret,
    /// PEM file of certificates to trust beside the system's, for the API server and the OAuth server.
    pub ca_file: Option<PathBuf>,
    /// Further PEM certificates to trust.
    pub ca_pem: Option<String>,
}

/// Checks, without contacting anybody, that the kubeconfig files can be read and that they have the context that is asked for.
///
/// # Errors
/// What is wrong with the files. A login by password has none, and neither has a pod.
pub fn check_kubeconfig(options: &ConnectOptions) -> Result<(), Explained> {
    if options.login.is_some() {
        return Ok(());
    }
    if options.kubeconfig.as_deref().is_some_and(files::given_by_caller) {
        // A pipe is read once, when it is used.
        return Ok(());
    }
    kubeconfig::select(options.kubeconfig.as_deref(), options.context.as_deref()).map(drop)
}

/// A server, and how it is reached.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// URL, headers of all requests, and who is impersonated. kube's own login, trust and proxy are not used.
    pub config: Config,
    /// What its certificate is verified with.
    pub trust: Trust,
    server_name: Option<String>,
    /// The cluster's own proxy; otherwise that of the environment holds.
    proxy: Option<Proxy>,
    identity: Option<Identity>,
}

impl Endpoint {
    fn new(url: Uri, trust: Trust) -> Self {
        let mut config = Config::new(url);
        config.headers.push((header::USER_AGENT, HeaderValue::from_static(AGENT)));
        Self { config, trust, server_name: None, proxy: None, identity: None }
    }

    /// For tests without a network.
    pub fn nowhere() -> Self {
        Self::new(Uri::from_static("https://cluster.invalid"), Trust::default())
    }

    /// URL of the server.
    pub fn url(&self) -> String {
        self.config.cluster_url.to_string().trim_end_matches('/').to_owned()
    }
}

/// A cluster that is known, before anybody was asked.
struct Known {
    endpoint: Endpoint,
    login: Login,
    origin: Origin,
}

impl Cluster {
    /// Reads the configuration. Contacts nobody, unless it has to log in by user and password, or by a program that the
    /// kubeconfig names.
    ///
    /// # Errors
    /// No cluster is configured, the configuration cannot be used, or the login is refused.
    pub async fn connect(options: &ConnectOptions) -> anyhow::Result<Self> {
        let Known { endpoint, login, origin } = match &options.login {
            // Boxed: they are rare, and would make the future of every caller large.
            Some(login) => Box::pin(by_password(login, options)).await?,
            None => Box::pin(configuration(options)).await?,
        };
        let (login, requests, clock, young) = (Arc::new(login), Requests::default(), ServerClock::default(), Young::default());
        let client = transport(&endpoint, &login)?
            .with_layer(&Bounded::Api)
            .with_layer(&PauseInStatus)
            .with_layer(&Trace("kubernetes"))
            .with_layer(&requests)
            .with_layer(&clock)
            .with_layer(&young)
            .build();
        let (endpoint, origin) = (Arc::new(endpoint), Arc::new(origin));
        let policy = Policy::current();
        Ok(Self { client, hub: Hub::default(), requests, clock, endpoint, login, origin, young, policy, served: Arc::default() })
    }

    /// A cluster behind a client that is there already, for tests without a network.
    pub fn over(client: Client) -> Self {
        Self {
            client,
            hub: Hub::default(),
            requests: Requests::default(),
            clock: ServerClock::default(),
            endpoint: Arc::new(Endpoint::nowhere()),
            login: Arc::new(Login::none()),
            origin: Arc::default(),
            young: Young::default(),
            policy: Policy::current(),
            served: std::sync::Arc::default(),
        }
    }

    /// Asks the API server for its version, to see whether it can be reached and takes the login: a wrong address or an old
    /// token shows within seconds, and with everything that helps to find it.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses the login.
    pub async fn greet(&self) -> Result<(), Explained> {
        let standard = self.policy.first_contact();
        let policy = Policy { budget: standard.budget.min(FIRST_CONTACT), ..standard };
        let fate = |error: &kube::Error| match error {
            // What answers is there. Its troubles of the moment are for the requests that come.
            kube::Error::Api(_) => Fate::Final,
            other => super::fate(other),
        };
        let ask = |patience| async move {
            let request = Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
            let late = |_| kube::Error::Service(Box::new(NoAnswer(patience)));
            tokio::time::timeout(patience, self.client.send(request)).await.map_err(late)?.map(|answer| answer.status())
        };
        match policy.run(Safety::Repeatable, fate, ask).await {
            Ok(StatusCode::UNAUTHORIZED) => Err(self.refused()),
            Ok(_) => Ok(()),
            Err(GaveUp { error, story }) => Err(self.unreachable(&error, &story.to_string())),
        }
    }

    /// The API server does not take the login.
    fn refused(&self) -> Explained {
        let url = self.server();
        let mut trouble = Diagnosis::new(Id::ClusterAuthRefused, format!("the login to the cluster at {url} was refused (401)"))
            .cause(self.origin.line());
        if let Some(when) = self.expired_certificate() {
            trouble = trouble.cause(format!("its client certificate expired on {when}"));
        }
        Explained(match self.login.token_file() {
            Some(file) => trouble.cause(format!("the token is from {file}")).hint(format!("renew the token in {file}")),
            None if self.login.is_password() => trouble.hint("check cluster_username and the password"),
            None => trouble.hint(format!("the token may have ended: log in again with `oc login {url}`")),
        })
    }

    fn expired_certificate(&self) -> Option<String> {
        let leaf = self.endpoint.identity.as_ref()?.chain.first()?;
        Facts::of(leaf).not_after.filter(|end| *end < jiff::Timestamp::now()).map(date)
    }

    fn unreachable(&self, error: &kube::Error, story: &str) -> Explained {
        let url = self.server();
        let place = &self.origin.place;
        let mut trouble = Diagnosis::new(id_of(error), format!("failed to reach the cluster at {url}: {}{story}", words(error)));
        trouble = trouble.cause(self.origin.line());
        let kube::Error::Service(cause) = error else { return Explained(trouble.hint(format!("is {url} the API server? See {place}"))) };
        if let Some(LoginError(Explained(of_login))) = below::<LoginError>(cause.as_ref()) {
            trouble.causes.extend(of_login.details().cloned());
            trouble.hints.extend(of_login.hints.iter().cloned());
            return Explained(trouble);
        }
        if refuses_certificate(cause.as_ref()) {
            trouble = match self.expired_certificate() {
                Some(when) => trouble.cause(format!("the server refuses the client certificate, which expired on {when}")),
                None => trouble.cause("the server refuses the client certificate"),
            };
            return Explained(trouble.hint(format!("renew the client certificate in {place}, or log in with `oc login {url}`")));
        }
        if let Some(hint) = below::<Refused>(cause.as_ref()).and_then(Refused::hint) {
            return Explained(trouble.hint(hint));
        }
        Explained(match below::<ConnectError>(cause.as_ref()) {
            Some(ConnectError::Certificate { about, facts, .. }) => {
                if let Some(facts) = facts {
                    trouble = trouble.cause(format!("the server presents {facts}"));
                }
                trouble.hint(match about {
                    Distrust::Dates => "renew the certificate of the server, or check the clock of this machine".to_owned(),
                    Distrust::Name => {
                        format!("use an address that the certificate is for, or set `tls-server-name` of the cluster in {place}")
                    }
                    Distrust::Other if self.login.is_password() => "name the CA that signed it with cluster_ca_file".to_owned(),
                    Distrust::Other => {
                        format!("if it is the right server, set `certificate-authority` of the cluster in {place} to the CA that signed it")
                    }
                })
            }
            Some(ConnectError::Tls(_)) => trouble.hint(format!("does {url} lead to the API server, and speak TLS?")),
            Some(ConnectError::Dial(dial)) if dial.hint().is_some() => trouble.hint(dial.hint().unwrap_or_default()),
            _ => trouble
                .hint(format!("check the address in {place}, that the API server runs, and the network to it (VPN, firewall, proxy)")),
        })
    }
}

/// The URL of an API server. `place` says where it is written.
fn server_url(text: &str, place: &str, plain_http: bool) -> Result<Uri, Explained> {
    let wrong = |why: &str, hint: String| {
        Explained(
            Diagnosis::new(Id::ClusterNotConfigured, format!("the server `{}` of {place} cannot be used: {why}", shown(text))).hint(hint),
        )
    };
    let form = || "write https://HOST:PORT".to_owned();
    if !text.contains("://") {
        return Err(wrong("it has no scheme", format!("write https://{}", shown(text))));
    }
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string(), form()))?;
    if !url.username().is_empty() || url.password().is_some() {
        drop(Secret::new(url.password().unwrap_or_default()));
        return Err(wrong("it holds a login", "a login has keys of its own".to_owned()));
    }
    if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
        return Err(wrong("it has no host or no port", form()));
    }
    match url.scheme() {
        "https" => {}
        "http" if plain_http => {}
        "http" => {
            let hint = format!("write https://; to send the login without encryption all the same, set {PLAIN_HTTP} = true");
            return Err(wrong("http:// would send the login without encryption", hint));
        }
        other => return Err(wrong(&format!("unknown scheme `{other}`"), form())),
    }
    url.as_str().parse().map_err(|error: http::uri::InvalidUri| wrong(&error.to_string(), form()))
}

async fn by_password(login: &PasswordLogin, options: &ConnectOptions) -> anyhow::Result<Known> {
    let place = "cluster_host".to_owned();
    let url = server_url(&login.host, &place, options.plain_http)?;
    let trust = if options.insecure { Trust::anything() } else { Trust::default().and(bundles(login)?) };
    let endpoint = Endpoint::new(url, trust);
    let origin = Origin { place, context: None, user: Some(login.username.clone()) };
    Ok(Known { login: Login::by_password(endpoint.clone(), login).await?, endpoint, origin })
}

/// Certificates that a login by password trusts beside the system's.
fn bundles(login: &PasswordLogin) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let mut bundles = Vec::new();
    if let Some(file) = &login.ca_file {
        let what = format!("failed to read the certificates of {}", file.display());
        let pem = files::read(file, files::LIMIT).with_context(|| what.clone())?;
        bundles.push((what, pem));
    }
    bundles.extend(login.ca_pem.iter().map(|pem| ("failed to read the certificates given for it".to_owned(), pem.clone().into_bytes())));
    let mut all = Vec::new();
    for (what, pem) in bundles {
        let before = all.len();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            all.push(certificate.with_context(|| what.clone())?);
        }
        anyhow::ensure!(all.len() > before, "{what}: there is none in it");
    }
    Ok(all)
}

async fn configuration(options: &ConnectOptions) -> anyhow::Result<Known> {
    let selected = match kubeconfig::select(options.kubeconfig.as_deref(), options.context.as_deref())? {
        Some(selected) => selected,
        None => of_pod().ok_or_else(|| {
            Explained(
                Diagnosis::new(
                    Id::ClusterNotConfigured,
                    "no cluster is configured: neither a kubeconfig nor a pod's service account was found",
                )
                .hint("name a cluster with --kubeconfig FILE (and --context), with KUBECONFIG, or by running in a pod")
                .hint("or run against the simulated data centre: mtv-test run --lab"),
            )
        })?,
    };
    let Selected { server, trust, server_name, proxy, identity, auth, origin } = selected;
    let url = server_url(&server, &origin.place, options.plain_http)?;
    let mut endpoint = Endpoint::new(url, if options.insecure { Trust::anything() } else { trust });
    (endpoint.server_name, endpoint.proxy) = (server_name, proxy);
    let impersonated = AuthInfo {
        impersonate: auth.impersonate.clone(),
        impersonate_uid: auth.impersonate_uid.clone(),
        impersonate_groups: auth.impersonate_groups.clone(),
        impersonate_user_extra: auth.impersonate_user_extra.clone(),
        ..AuthInfo::default()
    };
    endpoint.config.auth_info = impersonated;
    let (login, given) = Login::of(auth, origin.user.as_deref().unwrap_or_default()).await?;
    endpoint.identity = given.or(identity);
    Ok(Known { endpoint, login, origin })
}

/// The service account of this pod; `None` outside of one.
fn of_pod() -> Option<Selected> {
    let config = Config::incluster().ok()?;
    let own = config.root_cert.iter().flatten().map(|der| CertificateDer::from(der.clone())).collect();
    let trust = Trust::only(own);
    Some(Selected {
        server: config.cluster_url.to_string(),
        // It is renewed while the pod runs.
        trust: config.root_cert_file.map_or(trust.clone(), |file| trust.renewed_from(file)),
        server_name: None,
        proxy: None,
        identity: None,
        auth: config.auth_info,
        origin: Origin { place: "the service account of this pod".to_owned(), context: None, user: None },
    })
}

/// What `-vv` calls the OAuth server.
pub(super) const OAUTH: &str = "oauth";

/// A client of the same login for another address; `service` is what `-vv` calls it. It trusts the cluster's CA, the system's
/// roots and `more_ca`: routes have certificates of any of them.
pub(super) fn client_for(
    endpoint: &Endpoint,
    login: &Arc<Login>,
    url: &str,
    more_ca: &str,
    service: &'static str,
) -> anyhow::Result<Client> {
    let mut endpoint = endpoint.clone();
    endpoint.config.cluster_url = url.parse().with_context(|| format!("`{}` is not a URL", shown(url)))?;
    endpoint.server_name = None;
    if endpoint.trust.verifies() {
        let more: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(more_ca.as_bytes()).collect();
        endpoint.trust = endpoint.trust.and(more.context("a certificate of the ingress CA bundle cannot be read")?);
    }
    // The counts are the cluster's; here the layer is for the kill points that it passes.
    let bounded = if service == OAUTH { Bounded::Login } else { Bounded::Lists };
    let client = transport(&endpoint, login)?.with_layer(&bounded).with_layer(&PauseInStatus);
    Ok(client.with_layer(&Trace(service)).with_layer(&Requests::default()).build())
}

/// What is below the layers of a client: URL, login, headers and connections.
fn transport(
    endpoint: &Endpoint,
    login: &Arc<Login>,
) -> anyhow::Result<
    ClientBuilder<
        impl Service<Request<Body>, Response = http::Response<hyper::body::Incoming>, Error = tower::BoxError, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
    >,
> {
    let what = || format!("failed to set up a client for {}", endpoint.url());
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(Connector::new(endpoint).with_context(what)?);
    let headers = endpoint.config.extra_headers_layer().with_context(what)?;
    let service = Authorize(login.clone()).layer(headers.layer(http));
    let service = endpoint.config.base_uri_layer().layer(service);
    Ok(ClientBuilder::new(service, "default"))
}

/// Why there is no connection to a server.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// No TCP connection, or none through the proxy.
    Dial(DialError),
    /// The server's certificate is not trusted.
    Certificate {
        /// In plain words.
        why: String,
        /// What is wrong with it.
        about: Distrust,
        /// What it says of itself.
        facts: Option<Facts>,
    },
    /// The server does not speak TLS as expected.
    Tls(String),
    /// The connection broke during the handshake, or it took too long.
    Broken(String),
}

impl ConnectError {
    /// Whether the next attempt would end the same way.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Certificate { .. } | Self::Tls(_) => true,
            Self::Dial(error) => error.raw_os_error().is_some_and(is_out_of_files),
            Self::Broken(_) => false,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Certificate { why, .. } => write!(f, "its certificate is not trusted: {why}"),
            Self::Tls(why) => write!(f, "it does not speak TLS as expected: {why}"),
            Self::Broken(why) => write!(f, "the connection broke during the TLS handshake: {why}"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<HandshakeError> for ConnectError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Certificate(error, leaf) => {
                let (why, about) = distrust(&error, leaf.as_ref());
                Self::Certificate { why, about, facts: leaf.map(|leaf| Facts::of(&leaf)) }
            }
            HandshakeError::Tls(rustls::Error::InvalidMessage(_)) => Self::Tls("the answer is not TLS".to_owned()),
            HandshakeError::Tls(error) => Self::Tls(error.to_string()),
            HandshakeError::Io(error) => Self::Broken(error.to_string()),
        }
    }
}

/// Makes the connections of a client.
#[derive(Clone)]
struct Connector(Arc<Way>);

/// How a client connects.
struct Way {
    verifier: Arc<dyn ServerCertVerifier>,
    tls: ClientConfig,
    /// What an `https://` proxy is verified with: the cluster's CA and the system's roots.
    proxy_trust: Trust,
    server_name: Option<ServerName<'static>>,
    proxy: Option<Proxy>,
    /// Whether it has ever connected.
    reached: AtomicBool,
}

impl Connector {
    fn new(endpoint: &Endpoint) -> anyhow::Result<Self> {
        let verifier = endpoint.trust.any_verifier()?;
        let tls = config_of(verifier.clone(), endpoint.identity.as_ref())?;
        let server_name =
            endpoint.server_name.clone().map(ServerName::try_from).transpose().context("tls-server-name is not a host name")?;
        let url = Url::parse(&endpoint.config.cluster_url.to_string())?;
        let proxy = match &endpoint.proxy {
            Some(proxy) => Some(proxy.clone()),
            None => proxy::of_environment(&url).map_err(anyhow::Error::msg)?,
        };
        let proxy_trust = if endpoint.trust.verifies() { endpoint.trust.clone().and([]) } else { Trust::default() };
        Ok(Self(Arc::new(Way { verifier, tls, proxy_trust, server_name, proxy, reached: AtomicBool::new(false) })))
    }
}

impl Way {
    async fn connect(&self, target: Uri) -> Result<Conn, ConnectError> {
        let host = target.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let secure = target.scheme_str() != Some("http");
        let port = target.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let limit = if self.reached.load(Ordering::Relaxed) { CONNECT_TIMEOUT } else { FIRST_TCP };
        let proxy_tls = || self.proxy_trust.client_config().map_err(|error| error.to_string());
        let stream = dial(&host, port, self.proxy.as_ref(), limit, proxy_tls).await.map_err(ConnectError::Dial)?;
        self.reached.store(true, Ordering::Relaxed);
        if !secure {
            return Ok(Conn(TokioIo::new(stream)));
        }
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.clone()).map_err(|_| ConnectError::Tls(format!("`{host}` is not a host name")))?,
        };
        let stream = handshake(stream, &self.tls, &self.verifier, name).await?;
        Ok(Conn(TokioIo::new(Box::new(stream))))
    }
}

impl Service<Uri> for Connector {
    type Response = Conn;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Conn, ConnectError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let way = self.0.clone();
        Box::pin(async move {
            let late = |_| ConnectError::Broken(NoAnswer(2 * CONNECT_TIMEOUT).to_string());
            tokio::time::timeout(2 * CONNECT_TIMEOUT, way.connect(target)).await.map_err(late)?
        })
    }
}

/// A connection as hyper takes it.
struct Conn(TokioIo<Box<dyn Stream>>);

impl Connection for Conn {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Conn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: hyper::rt::ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[std::io::IoSlice<'_>]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let options = ConnectOptions { kubeconfig: Some("no/such/file".into()), ..ConnectOptions::default() };
        let error = Cluster::connect(&options).await.err().unwrap();
        assert!(format!("{error:#}").contains("no/such/file"), "{error:#}");
    }

    #[test]
    fn an_api_server_is_a_url_with_tls_and_without_a_login() {
        let of = |text: &str, plain: bool| server_url(text, "k", plain).map(|url| url.to_string()).map_err(|error| error.to_string());
        for (text, plain, expected) in [
            ("https://h:6443", false, Ok("https://h:6443/")),
            ("HTTPS://H:6443/", false, Ok("https://h:6443/")),
            ("https://[::1]:6443", false, Ok("https://[::1]:6443/")),
            ("https://h/k8s/clusters/c", false, Ok("https://h/k8s/clusters/c")),
            ("http://h:8001", true, Ok("http://h:8001/")),
            ("http://h:8001", false, Err("would send the login without encryption")),
            ("h:6443", true, Err("it has no scheme")),
            ("https://u:p-of-server@h", false, Err("it holds a login")),
            ("https://h:99999", false, Err("port")),
            ("https://h:0", false, Err("no port")),
            ("https://", false, Err("host")),
            ("ftp://h", true, Err("unknown scheme `ftp`")),
        ] {
            match (of(text, plain), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url, expected),
                (Err(error), Err(expected)) => assert!(error.contains(expected) && !error.contains("p-of-server"), "{text}: {error}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
