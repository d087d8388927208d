//! One session with an engine: a token of its SSO, renewed when it has expired.

use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::wire::fault;
use crate::{
    config::profile::{OvirtProfile, Profile},
    providers::{
        ProviderError, ProviderResult,
        http::{self, Safety},
        rest::{Body, Call, Dialect, Reads, Rest},
        session::{self, Addressed, Login, TokenSession},
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

/// How to log in to an engine.
#[derive(Debug)]
pub struct Engine {
    profile: Profile,
    data_center: Option<String>,
}

/// The session.
pub type Session = TokenSession<Engine>;
/// A request of the engine.
pub type Request<'a> = session::Request<'a, ()>;
/// Something that the engine is to make.
pub type New<'a> = session::New<'a, ()>;

impl Login for Engine {
    type Ticket = Secret;
    type Service = ();
    const NAME: &'static str = "oVirt";
    // Names are unique: a request that arrives late makes the next one a conflict.
    const LOOKS: u32 = 1;

    async fn log_in(&self, rest: &Rest) -> ProviderResult<Secret> {
        login(rest, &self.profile).await
    }

    fn address(&self, rest: &Rest, token: &Secret, request: &Request<'_>) -> ProviderResult<Addressed> {
        let (base, path) = (rest.url.as_str().trim_end_matches('/'), request.path);
        let url =
            Url::parse(&format!("{base}{path}")).map_err(|error| ProviderError::operation(format!("`{path}` is no path: {error}")))?;
        let headers = vec![("Authorization", format!("Bearer {}", token.expose())), ("Version", "4".to_owned())];
        Ok(Addressed { name: request.name.to_owned(), url, headers })
    }

    fn reads(name: &str) -> Reads<'static> {
        reads(name)
    }

    fn proof(&self) -> Option<Request<'static>> {
        Some(Request { reads: Some(Reads::Object("/product_info/name")), ..Request::get((), "GET api", "") })
    }

    fn rights(&self) -> String {
        format!("check the permissions of user `{}`", self.profile.username)
    }
}

impl Session {
    /// Logs in.
    pub async fn open(profile: &Profile, engine: &OvirtProfile) -> ProviderResult<Self> {
        let rest = Rest::new(profile, SHAPE, DIALECT)?;
        Self::begin(rest, Engine { profile: profile.clone(), data_center: engine.data_center.clone() }).await
    }

    /// Profile that the session was opened with.
    pub const fn profile(&self) -> &Profile {
        &self.login().profile
    }

    /// Data center that clones are made in, where the profile names one.
    pub fn data_center(&self) -> Option<&str> {
        self.login().data_center.as_deref()
    }

    /// Reads something. `path` begins after `/api`, with its query; `doing` says why, for errors.
    pub async fn get(&self, name: &str, path: &str, doing: &str) -> ProviderResult<Value> {
        self.read(&Request::get((), name, path), doing).await
    }

    /// Reads something that may not be there.
    pub async fn get_if_there(&self, name: &str, path: &str, doing: &str) -> ProviderResult<Option<Value>> {
        self.find(&Request::get((), name, path), doing).await
    }

    /// The certificates by which Forklift can verify the engine. Its image transfers need them even where the user switched
    /// verification off: then the engine itself is asked for its CA.
    pub async fn ca_chain(&self) -> ProviderResult<Option<String>> {
        if let Some(chain) = self.rest().ca_chain().await? {
            return Ok(Some(chain));
        }
        let mut url = sso(&self.rest().url, "services/pki-resource")?;
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
        let reply = self.rest().send(&call).await?;
        Ok(Some(reply.text()).filter(|text| text.contains("BEGIN CERTIFICATE")))
    }

    /// Ends the session. What fails is not worth a word: the engine ends idle sessions by itself.
    pub async fn close(&self) {
        let token = self.ticket().await;
        let Ok(url) = sso(&self.rest().url, "services/sso-logout") else { return };
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
        let _ = self.rest().send(&call).await;
    }
}

/// A place beside the API: `/ovirt-engine/api` → `/ovirt-engine/PLACE`.
fn sso(api: &Url, place: &str) -> ProviderResult<Url> {
    let path = api.path().trim_end_matches('/');
    let engine = path
        .strip_suffix("/v4")
        .unwrap_or(path)
        .strip_suffix("/api")
        .ok_or_else(|| ProviderError::unreachable(format!("api_url `{}` does not end in /api; expected {SHAPE}", http::place(api))))?;
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
        return Err(ProviderError::login(format!(
            "{doing}: the user name or password was refused for user `{}`{}",
            profile.username,
            if why.is_empty() { String::new() } else { format!(" ({})", why.trim_end_matches('.')) }
        ))
        .hint("check `username` (with its domain, as in admin@internal) and `password` of the profile"));
    }
    Err(ProviderError::unreachable(format!(
        "{doing}: the answer is no token (HTTP {}{})",
        reply.status,
        if why.is_empty() { String::new() } else { format!(", {why}") }
    ))
    .hint(format!("`api_url` should read {SHAPE}")))
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
