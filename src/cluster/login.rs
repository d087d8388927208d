//! The login that requests to a cluster carry, and its renewal: a token from a file or a plugin that runs out, and a login by
//! password whose token ends.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use kube::{client::Body, config::AuthInfo};
use secrecy::ExposeSecret as _;
use tokio::{sync::Mutex, time::Instant};
use tower::{BoxError, Layer, Service};

use super::{PasswordLogin, connect::Endpoint, oauth, plugin::Plugin};
use crate::{
    diagnosis::{Diagnosis, Explained, Id},
    files,
    providers::tls::Identity,
    secrets::Secret,
};

/// How long a token from a file is used before the file is read again, as client-go has it.
const REREAD: Duration = Duration::from_mins(1);

/// A token that ends within this time is renewed before it is used.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// Why a request has no login.
#[derive(Debug)]
pub(super) struct LoginError(pub Explained);

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for LoginError {}

/// Where a login comes from, when it has to be fetched anew.
enum Source {
    /// It stays.
    Fixed,
    /// A file with a token.
    File(String),
    /// A program.
    Plugin(Box<Plugin>),
    /// User and password.
    Password(Box<Endpoint>, PasswordLogin),
}

/// What is sent.
#[derive(Clone)]
struct Held {
    token: Option<Secret>,
    header: Option<HeaderValue>,
    since: Instant,
    expires: Option<Timestamp>,
    /// Whether a server has taken it. One that never was is not fetched again when it is refused: it would be refused again, and
    /// a password that is sent too often locks its user out.
    accepted: Arc<AtomicBool>,
}

impl Held {
    fn new(token: Option<Secret>, header: Option<HeaderValue>, expires: Option<Timestamp>) -> Self {
        Self { token, header, since: Instant::now(), expires, accepted: Arc::default() }
    }
}

/// A login, shared by all clients of a cluster.
pub(super) struct Login {
    source: Source,
    held: RwLock<Held>,
    /// Held while the login is fetched: all who need it wait for one.
    fetching: Mutex<()>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

fn header_of(scheme: &str, value: &str) -> Result<HeaderValue, Explained> {
    let mut header = HeaderValue::try_from(format!("{scheme} {value}")).map_err(|_| {
        Explained(Diagnosis::new(
            Id::ClusterLoginUnusable,
            "the login's token cannot be sent: it holds a line end or another control character",
        ))
    })?;
    header.set_sensitive(true);
    Ok(header)
}

fn bearer(token: Secret, expires: Option<Timestamp>) -> Result<Held, Explained> {
    let header = Some(header_of("Bearer", token.expose())?);
    Ok(Held::new(Some(token), header, expires))
}

/// Reads a token from a file. The line end at its end is an editor's.
async fn token_from(file: &str) -> Result<Held, Explained> {
    let failed =
        |why: String| Explained(Diagnosis::new(Id::ClusterLoginUnusable, format!("failed to read the login's token from {file}: {why}")));
    let path = std::path::PathBuf::from(file);
    let read = tokio::task::spawn_blocking(move || files::read_text(&path, files::LIMIT)).await;
    let text = read.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(failed("it is empty".to_owned()));
    }
    bearer(Secret::new(token), None)
}

impl Login {
    fn new(source: Source, held: Held) -> Self {
        Self { source, held: RwLock::new(held), fetching: Mutex::default() }
    }

    /// None: a client certificate, or nothing at all.
    pub fn none() -> Self {
        Self::new(Source::Fixed, Held::new(None, None, None))
    }

    /// The login of a kubeconfig's user. Runs the plugin, if there is one, which may give a client certificate.
    pub async fn of(auth: AuthInfo, user: &str) -> Result<(Self, Option<Identity>), Explained> {
        if let Some(file) = auth.token_file.filter(|file| !file.is_empty()) {
            let held = match (token_from(&file).await, &auth.token) {
                (Ok(held), _) => held,
                // As client-go: what is written beside it holds until the file can be read.
                (Err(_), Some(token)) => bearer(Secret::new(token.expose_secret()), None)?,
                (Err(error), None) => return Err(error),
            };
            return Ok((Self::new(Source::File(file), held), None));
        }
        if let Some(token) = auth.token.filter(|token| !token.expose_secret().is_empty()) {
            return Ok((Self::new(Source::Fixed, bearer(Secret::new(token.expose_secret()), None)?), None));
        }
        if let (Some(user), Some(password)) = (&auth.username, &auth.password) {
            let encoded = Secret::new(BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret())));
            let header = Some(header_of("Basic", encoded.expose())?);
            return Ok((Self::new(Source::Fixed, Held::new(None, header, None)), None));
        }
        if let Some(provider) = auth.auth_provider {
            let token = ["id-token", "access-token"].iter().find_map(|key| provider.config.get(*key)).filter(|token| !token.is_empty());
            let Some(token) = token else {
                return Err(Explained(
                    Diagnosis::new(
                        Id::ClusterLoginUnusable,
                        format!("user {user} logs in by the auth-provider `{}`, which is not supported", provider.name),
                    )
                    .hint("kubectl has removed auth-providers: use an exec plugin such as kubelogin or gke-gcloud-auth-plugin, or a token"),
                ));
            };
            return Ok((Self::new(Source::Fixed, bearer(Secret::new(token.trim()), None)?), None));
        }
        if let Some(exec) = auth.exec {
            let plugin = Plugin::new(exec, user);
            let credential = plugin.run().await?;
            let held = match credential.token {
                Some(token) => bearer(token, credential.expires)?,
                None => return Ok((Self::none(), credential.identity)),
            };
            return Ok((Self::new(Source::Plugin(Box::new(plugin)), held), credential.identity));
        }
        Ok((Self::none(), None))
    }

    /// A login by user and password: logs in. `endpoint` is the API server, without a login.
    pub async fn by_password(endpoint: Endpoint, login: &PasswordLogin) -> anyhow::Result<Self> {
        let token = oauth::log_in(&endpoint, login).await?;
        let held = bearer(token, None)?;
        Ok(Self::new(Source::Password(Box::new(endpoint), login.clone()), held))
    }

    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The token that is sent now, unless it is one of a plugin's, which ends soon.
    pub fn lasting_token(&self) -> Option<Secret> {
        self.held().token.filter(|_| !matches!(self.source, Source::Plugin(_)))
    }

    /// Whether requests carry a bearer token.
    pub fn has_token(&self) -> bool {
        self.held().token.is_some()
    }

    /// The file of the token.
    pub fn token_file(&self) -> Option<&str> {
        if let Source::File(file) = &self.source { Some(file) } else { None }
    }

    /// Whether it is one by user and password.
    pub fn is_password(&self) -> bool {
        matches!(self.source, Source::Password(..))
    }

    /// What a request carries.
    async fn header(&self) -> Result<Option<HeaderValue>, LoginError> {
        let held = self.held();
        let due = match &self.source {
            Source::File(_) => held.since.elapsed() >= REREAD,
            Source::Plugin(_) => held.expires.is_some_and(|end| Timestamp::now() + MARGIN >= end),
            Source::Fixed | Source::Password(..) => false,
        };
        if due { self.renew(held.since).await } else { Ok(held.header) }
    }

    /// A server has taken what was sent.
    fn accepted(&self, sent: Option<&HeaderValue>) {
        let held = self.held();
        if held.header.as_ref() == sent {
            held.accepted.store(true, Ordering::Relaxed);
        }
    }

    /// What to send after a refusal of `refused`; none if it would be the same.
    async fn instead_of(&self, refused: Option<&HeaderValue>) -> Result<Option<HeaderValue>, LoginError> {
        let held = self.held();
        if held.header.as_ref() != refused {
            // Somebody else has renewed it meanwhile.
            return Ok(held.header);
        }
        let hopeless = !held.accepted.load(Ordering::Relaxed) && !matches!(self.source, Source::File(_));
        if hopeless || matches!(self.source, Source::Fixed) {
            return Ok(None);
        }
        Ok(self.renew(held.since).await?.filter(|fresh| Some(fresh) != refused))
    }

    /// Fetches a new login, if nobody has since `seen`.
    async fn renew(&self, seen: Instant) -> Result<Option<HeaderValue>, LoginError> {
        let _one = self.fetching.lock().await;
        let held = self.held();
        if held.since != seen {
            return Ok(held.header);
        }
        let fresh = match &self.source {
            Source::Fixed => return Ok(held.header),
            // While the file cannot be read, what was read last holds.
            Source::File(file) => token_from(file).await.unwrap_or(Held { since: Instant::now(), ..held }),
            Source::Plugin(plugin) => {
                let credential = plugin.again().run().await.map_err(LoginError)?;
                match credential.token {
                    Some(token) => bearer(token, credential.expires).map_err(LoginError)?,
                    None => return Ok(held.header),
                }
            }
            Source::Password(endpoint, login) => {
                tracing::debug!("the login by password has ended; logging in again");
                let failed = |error: anyhow::Error| {
                    let diagnosis = Diagnosis::of_error(&error);
                    let id = if diagnosis.id == Id::RunEnvironment { Id::ClusterLoginUnusable } else { diagnosis.id };
                    // Errors of requests show the summary alone.
                    let summary = diagnosis.line(": ");
                    LoginError(Explained(Diagnosis { id, summary, causes: Vec::new(), evidence: Vec::new(), ..diagnosis }))
                };
                let token = oauth::log_in(endpoint, login).await.map_err(failed)?;
                bearer(token, None).map_err(LoginError)?
            }
        };
        let header = fresh.header.clone();
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(header)
    }
}

/// Puts the login into requests, and sends a request again with a new one when the login has ended.
#[derive(Debug, Clone)]
pub(super) struct Authorize(pub Arc<Login>);

impl<S> Layer<S> for Authorize {
    type Service = Authorizing<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authorizing { inner, login: self.0.clone() }
    }
}

/// The service of [`Authorize`].
#[derive(Debug, Clone)]
pub(super) struct Authorizing<S> {
    inner: S,
    login: Arc<Login>,
}

/// The same request once more, if its body is still there.
pub(super) fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

impl<S, B> Service<Request<Body>> for Authorizing<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Send,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let login = self.login.clone();
        Box::pin(async move {
            let sent = login.header().await?;
            if let Some(header) = sent.clone() {
                request.headers_mut().insert(header::AUTHORIZATION, header);
            }
            let again = copy(&request);
            let answer = inner.call(request).await.map_err(Into::into)?;
            if answer.status() != StatusCode::UNAUTHORIZED {
                login.accepted(sent.as_ref());
                return Ok(answer);
            }
            let (Some(mut again), Some(header)) = (again, login.instead_of(sent.as_ref()).await?) else { return Ok(answer) };
            drop(answer);
            again.headers_mut().insert(header::AUTHORIZATION, header);
            std::future::poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
            inner.call(again).await.map_err(Into::into)
        })
    }
}
