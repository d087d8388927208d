//! One session with an engine: a token of its SSO, renewed when it has expired.

use futures::FutureExt as _;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use tokio::sync::{Mutex, RwLock};

use super::wire::{fault, text};
use crate::{
    config::profile::{OvirtProfile, Profile},
    providers::{
        ProviderError, ProviderResult,
        http::{self, Safety},
        rest::{Body, Call, Dialect, Look, Making, Reads, Reply, Rest, Sent},
    },
    secrets::Secret,
};

/// What `api_url` looks like.
const SHAPE: &str = "https://HOST/ovirt-engine/api";
/// What a token is asked for: the API.
const SCOPE: &str = "ovirt-app-api";

/// Releases differ in whether they say what it is that does not exist.
const DIALECT: Dialect = Dialect { fault, bare_404: true };

/// What an answer holds, by what the request is counted as.
fn reads(name: &str) -> Reads<'static> {
    match name {
        "GET vms/ID" | "GET vms/ID/snapshots/ID" | "GET clusters/ID" => Reads::Object("/id"),
        "GET vms" => Reads::Members("vm"),
        "GET templates" => Reads::Members("template"),
        "GET vms/ID/reporteddevices" => Reads::Members("reported_device"),
        "GET vms/ID/snapshots" => Reads::Members("snapshot"),
        "GET events" => Reads::Members("event"),
        "GET jobs" => Reads::Members("job"),
        "GET datacenters" => Reads::Members("data_center"),
        "GET vnicprofiles" => Reads::Members("vnic_profile"),
        "GET storagedomains" => Reads::Members("storage_domain"),
        _ => Reads::Json,
    }
}

/// The session.
#[derive(Debug)]
pub struct Session {
    rest: Rest,
    profile: Profile,
    engine: OvirtProfile,
    token: RwLock<Secret>,
    login: Mutex<()>,
}

impl Session {
    /// Logs in.
    pub async fn open(profile: &Profile, engine: &OvirtProfile) -> ProviderResult<Self> {
        let rest = Rest::new(profile, SHAPE, DIALECT)?;
        let token = login(&rest, profile).await?;
        Ok(Self { rest, profile: profile.clone(), engine: engine.clone(), token: RwLock::new(token), login: Mutex::default() })
    }

    /// The endpoint.
    pub const fn rest(&self) -> &Rest {
        &self.rest
    }

    /// Profile that the session was opened with.
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Data center that clones are made in, where the profile names one.
    pub fn data_center(&self) -> Option<&str> {
        self.engine.data_center.as_deref()
    }

    /// Reads something. `path` begins after `/api`, with its query; `doing` says why, for errors.
    pub async fn get(&self, name: &str, path: &str, doing: &str) -> ProviderResult<Value> {
        let reply = self.call(name, Method::GET, path, None, Safety::Repeatable).await?;
        if !reply.status.is_success() {
            return Err(self.refused(&reply, doing));
        }
        if reply.body.as_object().is_some_and(serde_json::Map::is_empty) {
            self.vouch().await?;
        }
        Ok(reply.body)
    }

    /// Reads something that may not be there.
    pub async fn get_if_there(&self, name: &str, path: &str, doing: &str) -> ProviderResult<Option<Value>> {
        let reply = self.call(name, Method::GET, path, None, Safety::Repeatable).await?;
        match reply.status {
            StatusCode::NOT_FOUND => self.missing(&reply).await.map(|()| None),
            status if status.is_success() => Ok(Some(reply.body)),
            _ => Err(self.refused(&reply, doing)),
        }
    }

    /// Believes that something does not exist. A reason in the engine's own form is proof.
    pub async fn missing(&self, reply: &Reply) -> ProviderResult<()> {
        if reply.is_bare() { self.vouch().await } else { Ok(()) }
    }

    /// Asks who answers. The engine writes an empty list as `{}` and may say 404 without a word, and
    /// so may anything between us and it: both are believed only while the engine itself answers.
    async fn vouch(&self) -> ProviderResult<()> {
        let reads = Reads::Object("/product_info/name");
        match self.sent_for("GET api", Method::GET, "", None, Safety::Repeatable, reads).await? {
            Sent::Answered(reply) if reply.status.is_success() => Ok(()),
            Sent::Answered(reply) => Err(self.refused(&reply, "see whether the engine itself answers")),
            Sent::Unclear(error) => Err(error),
        }
    }

    /// Makes something of which there must not be two. `look` tells whether a request whose answer was lost has made it. Returns
    /// its id.
    pub async fn make<'a>(
        &'a self,
        name: &'a str,
        path: &'a str,
        body: &'a Value,
        doing: &'a str,
        look: Look<'_, 'a>,
    ) -> ProviderResult<String> {
        let send = || self.sent(name, Method::POST, path, Some(body), Safety::Once).boxed();
        let read = |reply: &Reply| match text(&reply.body, "/id") {
            id if reply.status.is_success() && !id.is_empty() => Ok(id.to_owned()),
            _ => Err(self.refused(reply, doing)),
        };
        Making { policy: self.rest.policy(), send: &send, look, read: &read, looks: 1 }.once().await
    }

    /// One request with a token; an expired one is renewed once.
    pub async fn call(&self, name: &str, method: Method, path: &str, body: Option<&Value>, safety: Safety) -> ProviderResult<Reply> {
        match self.sent(name, method, path, body, safety).await? {
            Sent::Answered(reply) => Ok(reply),
            Sent::Unclear(error) => Err(error),
        }
    }

    async fn sent(&self, name: &str, method: Method, path: &str, body: Option<&Value>, safety: Safety) -> ProviderResult<Sent> {
        self.sent_for(name, method, path, body, safety, reads(name)).await
    }

    async fn sent_for(
        &self,
        name: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        safety: Safety,
        reads: Reads<'_>,
    ) -> ProviderResult<Sent> {
        let base = self.rest.url.as_str().trim_end_matches('/');
        let url =
            Url::parse(&format!("{base}{path}")).map_err(|error| ProviderError::Operation(format!("`{path}` is no path: {error}")))?;
        let once = async |token: &Secret| {
            let headers = vec![("Authorization", format!("Bearer {}", token.expose())), ("Version", "4".to_owned())];
            let body = body.map_or(Body::None, Body::Json);
            self.rest.tried(&Call { name, method: method.clone(), url: url.clone(), headers, body, safety, reads }).await
        };
        let used = self.token.read().await.clone();
        match once(&used).await? {
            Sent::Answered(reply) if reply.status == StatusCode::UNAUTHORIZED => {}
            other => return Ok(other),
        }
        // Refused before anything was done, so even what may not be repeated can be sent again.
        let fresh = self.renew(&used).await?;
        once(&fresh).await
    }

    async fn renew(&self, old: &Secret) -> ProviderResult<Secret> {
        let _one_at_a_time = self.login.lock().await;
        let current = self.token.read().await.clone();
        if current.expose() != old.expose() {
            return Ok(current);
        }
        tracing::debug!("the oVirt token expired; logging in again");
        let fresh = login(&self.rest, &self.profile).await?;
        *self.token.write().await = fresh.clone();
        Ok(fresh)
    }

    /// The certificates by which Forklift can verify the engine. Its image transfers need them even where the user switched
    /// verification off: then the engine itself is asked for its CA.
    pub async fn ca_chain(&self) -> ProviderResult<Option<String>> {
        if let Some(chain) = self.rest.ca_chain().await? {
            return Ok(Some(chain));
        }
        let mut url = sso(&self.rest.url, "services/pki-resource")?;
        url.set_query(Some("resource=ca-certificate&format=X509-PEM-CA"));
        let call = Call {
            name: "GET pki-resource",
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: Body::None,
            safety: Safety::Repeatable,
            reads: Reads::Text,
        };
        let reply = self.rest.send(&call).await?;
        Ok(Some(reply.text()).filter(|text| text.contains("BEGIN CERTIFICATE")))
    }

    /// A refusal in the tool's words.
    pub fn refused(&self, reply: &Reply, doing: &str) -> ProviderError {
        let why = fault(&reply.body).map(|why| format!(": {why}")).unwrap_or_default();
        let text = format!("failed to {doing}: {} answered HTTP {}{why}", self.rest.address(), reply.status);
        match reply.status {
            StatusCode::NOT_FOUND => ProviderError::NotFound(text),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ProviderError::Login(format!("{text}; hint: check the permissions of user `{}`", self.profile.username))
            }
            _ => ProviderError::Operation(text),
        }
    }

    /// Ends the session. What fails is not worth a word: the engine ends idle sessions by itself.
    pub async fn close(&self) {
        let token = self.token.read().await.clone();
        let Ok(url) = sso(&self.rest.url, "services/sso-logout") else { return };
        let fields = [("scope", SCOPE), ("token", token.expose())];
        let call = Call {
            name: "POST sso-logout",
            method: Method::POST,
            url,
            headers: Vec::new(),
            body: Body::Form(&fields),
            safety: Safety::Once,
            reads: Reads::Text,
        };
        let _ = self.rest.send(&call).await;
    }
}

/// A place beside the API: `/ovirt-engine/api` → `/ovirt-engine/PLACE`.
fn sso(api: &Url, place: &str) -> ProviderResult<Url> {
    let path = api.path().trim_end_matches('/');
    let engine = path
        .strip_suffix("/v4")
        .unwrap_or(path)
        .strip_suffix("/api")
        .ok_or_else(|| ProviderError::Unreachable(format!("api_url `{}` does not end in /api; expected {SHAPE}", http::place(api))))?;
    let mut url = api.clone();
    url.set_path(&format!("{engine}/{place}"));
    Ok(url)
}

async fn login(rest: &Rest, profile: &Profile) -> ProviderResult<Secret> {
    let doing = format!("log in to {} with profile `{}`", rest.address(), profile.name);
    let fields =
        [("grant_type", "password"), ("scope", SCOPE), ("username", profile.username.as_str()), ("password", profile.password.expose())];
    let call = Call {
        name: "POST sso/oauth/token",
        method: Method::POST,
        url: sso(&rest.url, "sso/oauth/token")?,
        headers: Vec::new(),
        body: Body::Form(&fields),
        safety: Safety::Repeatable,
        reads: Reads::Login,
    };
    let reply = rest.send(&call).await?;
    if let Some(token) = reply.body["access_token"].as_str() {
        return Ok(Secret::new(token));
    }
    // The engine puts words for people into `error` and the word for programs into `error_code`; OAuth has it the other way.
    let field = |name: &str| reply.body[name].as_str().unwrap_or_default();
    let denied = |word: &str| matches!(word, "access_denied" | "invalid_grant");
    let why = [field("error_description"), field("error")].into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    // The status is 400 or 401, depending on the engine's release.
    if reply.status == StatusCode::UNAUTHORIZED || denied(field("error_code")) || denied(field("error")) {
        return Err(ProviderError::Login(format!(
            "{doing}: the user name or password was refused for user `{}`{}; hint: check `username` (with its domain, as in \
             admin@internal) and `password` of the profile",
            profile.username,
            if why.is_empty() { String::new() } else { format!(" ({})", why.trim_end_matches('.')) }
        )));
    }
    Err(ProviderError::Unreachable(format!(
        "{doing}: the answer is no token (HTTP {}{}); hint: `api_url` should read {SHAPE}",
        reply.status,
        if why.is_empty() { String::new() } else { format!(", {why}") }
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sso_stands_beside_the_api() {
        for api in ["https://e/ovirt-engine/api", "https://e/ovirt-engine/api/", "https://e/ovirt-engine/api/v4"] {
            let url = sso(&Url::parse(api).unwrap(), "sso/oauth/token").unwrap();
            assert_eq!(url.as_str(), "https://e/ovirt-engine/sso/oauth/token", "{api}");
        }
        let error = sso(&Url::parse("https://e/").unwrap(), "x").unwrap_err();
        assert!(error.to_string().contains("ovirt-engine/api"), "{error}");
    }
}
