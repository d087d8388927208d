//! One session with a source that gives tokens (oVirt, OpenStack): logs in, renews a token that has expired, reads, and makes what
//! must not be made twice. What is particular to a source is its [`Login`].

use std::sync::Arc;

use futures::FutureExt as _;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use tokio::sync::{Mutex, RwLock};

use super::{
    ProviderError, ProviderResult,
    http::Safety,
    rest::{Body, Call, Look, Making, Reads, Reply, Rest, Sent},
};

/// How a source logs in, and what its requests look like.
pub trait Login: Send + Sync {
    /// What a login gives: a token, and what comes with it.
    type Ticket: Send + Sync;
    /// Which of the source's services a request is for.
    type Service: Copy + Send + Sync;
    /// The source, for the log.
    const NAME: &'static str;
    /// How often to look for what a lost request asked for before it is taken for not made, see [`Making::looks`].
    const LOOKS: u32;

    /// Asks for a token.
    fn log_in(&self, rest: &Rest) -> impl Future<Output = ProviderResult<Self::Ticket>> + Send;

    /// Where a request goes, and with which headers.
    fn address(&self, rest: &Rest, ticket: &Self::Ticket, request: &Request<'_, Self::Service>) -> ProviderResult<Addressed>;

    /// What an answer holds, by what the request is counted as.
    fn reads(name: &str) -> Reads<'static>;

    /// A request that only the source itself can answer, where an empty answer of it says no more than one of a proxy would.
    fn proof(&self) -> Option<Request<'static, Self::Service>> {
        None
    }

    /// What helps where a request is refused.
    fn rights(&self) -> String;
}

/// Where a request goes.
#[derive(Debug)]
pub struct Addressed {
    /// What it is counted as.
    pub name: String,
    /// Where to.
    pub url: Url,
    /// Header and value pairs; values may be secret.
    pub headers: Vec<(&'static str, String)>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request<'a, S> {
    /// Who is asked.
    pub service: S,
    /// What it is counted as: verb and resource.
    pub name: &'a str,
    /// Verb.
    pub method: Method,
    /// Where to, behind the service's address.
    pub path: &'a str,
    /// What is sent.
    pub body: Option<&'a Value>,
    /// Whether it may be sent twice.
    pub safety: Safety,
    /// What a successful answer holds, where its name does not say it.
    pub reads: Option<Reads<'a>>,
}

impl<'a, S> Request<'a, S> {
    /// Reads. `name` is what the request is counted as, `path` begins after the service's address.
    pub const fn get(service: S, name: &'a str, path: &'a str) -> Self {
        Self { service, name, method: Method::GET, path, body: None, safety: Safety::Repeatable, reads: None }
    }

    /// Deletes.
    pub fn delete(service: S, name: &'a str, path: &'a str) -> Self {
        Self { method: Method::DELETE, ..Self::get(service, name, path) }
    }

    /// Asks for something that may be asked for again.
    pub fn post(service: S, name: &'a str, path: &'a str, body: &'a Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(service, name, path) }
    }
}

/// Something to be made.
#[derive(Debug, Clone, Copy)]
pub struct New<'a, S> {
    /// Who makes it.
    pub service: S,
    /// What the request is counted as.
    pub name: &'a str,
    /// Where to, behind the service's address.
    pub path: &'a str,
    /// What is sent.
    pub body: &'a Value,
    /// JSON pointer to the id in the answer.
    pub id: &'a str,
    /// Why, for errors.
    pub doing: &'a str,
}

/// The session.
#[derive(Debug)]
pub struct TokenSession<L: Login> {
    rest: Rest,
    login: L,
    ticket: RwLock<Arc<L::Ticket>>,
    renewal: Mutex<()>,
}

impl<L: Login> TokenSession<L> {
    /// Logs in.
    pub async fn begin(rest: Rest, login: L) -> ProviderResult<Self> {
        let ticket = RwLock::new(Arc::new(login.log_in(&rest).await?));
        Ok(Self { rest, login, ticket, renewal: Mutex::default() })
    }

    /// The endpoint.
    pub const fn rest(&self) -> &Rest {
        &self.rest
    }

    /// How it logs in.
    pub const fn login(&self) -> &L {
        &self.login
    }

    /// What the present login has given.
    pub async fn ticket(&self) -> Arc<L::Ticket> {
        self.ticket.read().await.clone()
    }

    /// Reads something. `doing` says why, for errors.
    pub async fn read(&self, request: &Request<'_, L::Service>, doing: &str) -> ProviderResult<Value> {
        let reply = self.call(request).await?;
        if !reply.status.is_success() {
            return Err(self.refused(&reply, doing));
        }
        if reply.body.as_object().is_some_and(serde_json::Map::is_empty) {
            self.vouch().await?;
        }
        Ok(reply.body)
    }

    /// Reads something that may not be there.
    pub async fn find(&self, request: &Request<'_, L::Service>, doing: &str) -> ProviderResult<Option<Value>> {
        let reply = self.call(request).await?;
        match reply.status {
            StatusCode::NOT_FOUND => self.missing(&reply).await.map(|()| None),
            status if status.is_success() => Ok(Some(reply.body)),
            _ => Err(self.refused(&reply, doing)),
        }
    }

    /// Believes that something does not exist. A reason in the source's own form is proof.
    pub async fn missing(&self, reply: &Reply) -> ProviderResult<()> {
        if reply.is_bare() { self.vouch().await } else { Ok(()) }
    }

    /// Asks who answers, where that is in doubt: a source may write an empty list as `{}` and say 404 without a word, and so may
    /// anything between us and it. Both are believed only while the source itself answers.
    async fn vouch(&self) -> ProviderResult<()> {
        let Some(proof) = self.login.proof() else { return Ok(()) };
        let reply = self.call(&proof).await?;
        if reply.status.is_success() { Ok(()) } else { Err(self.refused(&reply, "see whether the engine itself answers")) }
    }

    /// Makes something of which there must not be two. `look` tells whether a request whose answer was lost has made it. Returns
    /// its id.
    pub async fn make<'a>(&'a self, new: New<'a, L::Service>, look: Look<'_, 'a>) -> ProviderResult<String> {
        let request = Request { safety: Safety::Once, ..Request::post(new.service, new.name, new.path, new.body) };
        let send = || {
            let request = request.clone();
            async move { self.sent(&request).await }.boxed()
        };
        let read = |reply: &Reply| match reply.body.pointer(new.id).and_then(Value::as_str).unwrap_or_default() {
            id if reply.status.is_success() && !id.is_empty() => Ok(id.to_owned()),
            _ => Err(self.refused(reply, new.doing)),
        };
        Making { policy: self.rest.policy(), send: &send, look, read: &read, looks: L::LOOKS }.once().await
    }

    /// One request with a token; an expired one is renewed once. Answers of 4xx come back as they are.
    pub async fn call(&self, request: &Request<'_, L::Service>) -> ProviderResult<Reply> {
        match self.sent(request).await? {
            Sent::Answered(reply) => Ok(reply),
            Sent::Unclear(error) => Err(error),
        }
    }

    async fn sent(&self, request: &Request<'_, L::Service>) -> ProviderResult<Sent> {
        let used = self.ticket().await;
        match self.once(&used, request).await? {
            Sent::Answered(reply) if reply.status == StatusCode::UNAUTHORIZED => {}
            other => return Ok(other),
        }
        // Refused before anything was done, so even what may not be repeated can be sent again.
        let fresh = self.renew(&used).await?;
        self.once(&fresh, request).await
    }

    async fn once(&self, ticket: &L::Ticket, request: &Request<'_, L::Service>) -> ProviderResult<Sent> {
        let Addressed { name, url, headers } = self.login.address(&self.rest, ticket, request)?;
        let call = Call {
            name: &name,
            method: request.method.clone(),
            url,
            headers,
            body: request.body.map_or(Body::None, Body::Json),
            safety: request.safety,
            reads: request.reads.unwrap_or_else(|| L::reads(request.name)),
        };
        self.rest.tried(&call).await
    }

    /// Logs in again, unless somebody else has done so since.
    async fn renew(&self, old: &Arc<L::Ticket>) -> ProviderResult<Arc<L::Ticket>> {
        let _one_at_a_time = self.renewal.lock().await;
        let current = self.ticket().await;
        if !Arc::ptr_eq(&current, old) {
            return Ok(current);
        }
        tracing::debug!("the {} token expired; logging in again", L::NAME);
        let fresh = Arc::new(self.login.log_in(&self.rest).await?);
        *self.ticket.write().await = fresh.clone();
        Ok(fresh)
    }

    /// A refusal in the tool's words.
    pub fn refused(&self, reply: &Reply, doing: &str) -> ProviderError {
        let said = self.rest.fault(reply);
        let why = said.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let text = format!("failed to {doing}: {} answered HTTP {}{why}", self.rest.address(), reply.status);
        match reply.status {
            StatusCode::NOT_FOUND => ProviderError::not_found(text),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ProviderError::login(text).hint(self.login.rights()),
            _ => ProviderError::operation(text).said(said.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;

    use super::*;
    use crate::{
        config::profile::Details,
        providers::{
            ProviderErrorKind,
            rest::Dialect,
            scripted::{Asked, Say, Scripted},
        },
        retry::Policy,
        secrets::Secret,
    };

    /// A source with the simplest of logins.
    #[derive(Debug)]
    struct Tokens;

    impl Login for Tokens {
        type Ticket = Secret;
        type Service = ();
        const NAME: &'static str = "test";
        const LOOKS: u32 = 2;

        async fn log_in(&self, rest: &Rest) -> ProviderResult<Secret> {
            let url = rest.url.join("/login").unwrap();
            let call = Call {
                name: "POST login",
                method: Method::POST,
                url,
                headers: Vec::new(),
                body: Body::None,
                safety: Safety::Repeatable,
                reads: Reads::Login,
            };
            let reply = rest.send(&call).await?;
            reply.body["token"].as_str().map(Secret::new).ok_or_else(|| ProviderError::login("refused".to_owned()))
        }

        fn address(&self, rest: &Rest, token: &Secret, request: &Request<'_, ()>) -> ProviderResult<Addressed> {
            let url = rest.url.join(request.path).unwrap();
            Ok(Addressed { name: request.name.to_owned(), url, headers: vec![("X-Token", token.expose().to_owned())] })
        }

        fn reads(_name: &str) -> Reads<'static> {
            Reads::Json
        }

        fn rights(&self) -> String {
            "ask for rights".to_owned()
        }
    }

    fn answer(status: u16, body: &Value) -> Say {
        Say::Answer(status, body.to_string())
    }

    /// Logins give `token-0`, `token-1`, …; what else is asked is for the script. It also gets how often it was asked before.
    async fn source(script: impl Fn(&Asked, usize) -> Say + Send + Sync + 'static) -> Scripted {
        Scripted::serve(move |asked, before| match asked.what.as_str() {
            "POST /login" => answer(200, &json!({"token": format!("token-{before}")})),
            _ => script(asked, before),
        })
        .await
    }

    async fn begin(source: &Scripted) -> ProviderResult<TokenSession<Tokens>> {
        let dialect = Dialect { fault: |body| body["why"].as_str().map(str::to_owned), bare_404: false };
        TokenSession::begin(Rest::new(&source.profile("/", Details::Ova), "", dialect)?, Tokens).await
    }

    /// A policy whose pauses take no time worth mentioning.
    async fn fast<F: Future>(work: F) -> F::Output {
        Policy::STANDARD.faster(20).scope(Box::pin(work)).await
    }

    #[tokio::test]
    async fn one_new_login_serves_all_who_meet_an_expired_token() {
        fast(async {
            let source = source(|asked, _| match asked.has("X-Token", "token-0") {
                true => answer(401, &json!({"why": "expired"})),
                false => answer(200, &json!({"id": "7"})),
            })
            .await;
            let session = begin(&source).await.unwrap();
            let request = Request::get((), "GET x", "/x");
            let (one, two, three) = tokio::join!(session.read(&request, "a"), session.read(&request, "b"), session.find(&request, "c"));
            assert_eq!((one.unwrap()["id"].as_str(), two.unwrap()["id"].as_str()), (Some("7"), Some("7")));
            assert!(three.unwrap().is_some());
            assert_eq!(source.count("POST /login"), 2, "the first, and one for all three");
            session.read(&request, "d").await.unwrap();
            assert_eq!(source.count("POST /login"), 2, "the new token is kept");
        })
        .await;
    }

    #[tokio::test]
    async fn a_token_is_renewed_once_and_a_login_that_is_refused_ends_it() {
        fast(async {
            // A source that takes no token at all is not asked for ever.
            let never = source(|_, _| answer(401, &json!({"why": "no"}))).await;
            let error = begin(&never).await.unwrap().read(&Request::get((), "GET x", "/x"), "read x").await.unwrap_err();
            assert!(
                error.is(ProviderErrorKind::Login) && error.to_string().contains("failed to read x") && error.hints() == ["ask for rights"],
                "{error:?}"
            );
            assert_eq!((never.count("POST /login"), never.count("GET /x")), (2, 2));

            let closed = Scripted::serve(|_, _| answer(401, &json!({"why": "no such user"}))).await;
            assert_eq!(begin(&closed).await.unwrap_err(), ProviderError::login("refused".to_owned()));
            assert_eq!(closed.count("POST /login"), 1, "a refused login is not repeated: it would lock the account");

            let changed = Scripted::serve(|asked, before| match (asked.what.as_str(), before) {
                ("POST /login", 0) => answer(200, &json!({"token": "t"})),
                _ => answer(401, &json!({"why": "the password was changed"})),
            })
            .await;
            let session = begin(&changed).await.unwrap();
            let (body, look) = (json!({}), || async { Ok(None) }.boxed());
            let made = session.make(New { service: (), name: "POST x", path: "/x", body: &body, id: "/id", doing: "make x" }, &look).await;
            assert_eq!(made.unwrap_err(), ProviderError::login("refused".to_owned()));
            assert_eq!((changed.count("POST /login"), changed.count("POST /x")), (2, 1));
        })
        .await;
    }

    /// What the source does with each request to make something, and from which look on it is there; what comes of it, with how
    /// many requests and looks.
    #[tokio::test]
    async fn what_must_not_be_there_twice_is_asked_for_again_only_if_it_is_not_there() {
        let made = || answer(201, &json!({"id": "7"}));
        let refused = |status| answer(status, &json!({"why": "no"}));
        let never = u32::MAX;
        for (case, says, there_from, result, posts, looks) in [
            ("answered", vec![made()], never, Ok("7"), 1, 0),
            ("made, and the answer lost", vec![Say::HangUp], 0, Ok("seen"), 1, 1),
            ("made, and seen late", vec![Say::HangUp], 1, Ok("seen"), 1, 2),
            ("not made, and the answer lost", vec![Say::HangUp, made()], never, Ok("7"), 2, 2),
            ("a gateway that failed", vec![Say::Answer(502, String::new()), made()], never, Ok("7"), 2, 2),
            ("busy, and surely not made", vec![Say::Answer(429, String::new()), made()], never, Ok("7"), 2, 0),
            ("made so late that the next request is a conflict", vec![Say::HangUp, refused(409)], 2, Ok("seen"), 2, 3),
            ("somebody else's name", vec![refused(409)], never, Err("failed to make x: ADDRESS answered HTTP 409 Conflict: no"), 1, 0),
            ("no right", vec![refused(403)], never, Err("failed to make x: ADDRESS answered HTTP 403 Forbidden: no"), 1, 0),
            ("token expired", vec![refused(401), made()], never, Ok("7"), 2, 0),
            ("a success that names nothing", vec![answer(201, &json!({}))], 0, Ok("seen"), 1, 1),
        ] {
            let script = says.clone();
            fast(async {
                let source = source(move |_, before| script.get(before).cloned().unwrap_or(Say::HangUp)).await;
                let session = begin(&source).await.unwrap();
                let looked = AtomicU32::new(0);
                let look = || {
                    let there = looked.fetch_add(1, Ordering::Relaxed) >= there_from;
                    async move { Ok(there.then(|| "seen".to_owned())) }.boxed()
                };
                let body = json!({"name": "x"});
                let got =
                    session.make(New { service: (), name: "POST x", path: "/x", body: &body, id: "/id", doing: "make x" }, &look).await;
                let expected = result.map(str::to_owned).map_err(|text| text.replace("ADDRESS", &session.rest().address()));
                assert_eq!(got.map_err(|error| error.to_string()), expected, "{case}");
                assert_eq!((source.count("POST /x"), looked.load(Ordering::Relaxed)), (posts, looks), "{case}");
            })
            .await;
        }
    }
}
