//! Login with user and password through OpenShift's OAuth server, as its challenging client goes through it: the password goes
//! out in one header, a bearer token comes back.

use std::sync::Arc;

use anyhow::Context as _;
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use reqwest::Url;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{
    PasswordLogin,
    connect::{Endpoint, OAUTH, client_for},
    login::Login,
};
use crate::{
    diagnosis::{Diagnosis, Explained, Hinted, Id},
    providers::http::without_login,
    retry::{Fate, GaveUp, NoAnswer, Policy, Safety, asked_pause},
    secrets::{Secret, excerpt},
};

/// The client that every OpenShift knows for logins without a browser.
const CLIENT: &str = "openshift-challenging-client";

/// Longest text of an answer that an error repeats, characters.
const REPEATED: usize = 300;

/// What the API server says of its OAuth server.
#[derive(Debug, Deserialize)]
struct Metadata {
    authorization_endpoint: String,
    token_endpoint: String,
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

/// Gets a token for a user. `config` names the API server and whom to trust.
pub(super) async fn log_in(config: &Endpoint, login: &PasswordLogin) -> anyhow::Result<Secret> {
    let what = || format!("failed to log in to {} as `{}`", without_login(&login.host), login.username);
    // From the beginning: a code holds for one try.
    let policy = Policy::current().first_contact();
    let tried = policy.run(Safety::Repeatable, Passing::fate_of, |patience| async move {
        let late = |_| Passing { text: NoAnswer(patience).to_string(), fate: Fate::Unclear(None) };
        tokio::time::timeout(patience, token(config, login)).await.map_err(late)?
    });
    match tried.await {
        Ok(token) => Ok(token),
        Err(GaveUp { error, story }) => Err(error).with_context(|| format!("{}{story}", what())),
    }
}

/// A trouble of the moment.
#[derive(Debug)]
struct Passing {
    text: String,
    fate: Fate,
}

impl Passing {
    /// What an error says of the login; one that is not of this type is for good.
    fn fate_of(error: &anyhow::Error) -> Fate {
        error.downcast_ref::<Self>().map_or(Fate::Final, |passing| passing.fate)
    }
}

impl std::fmt::Display for Passing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Passing {}

async fn token(config: &Endpoint, login: &PasswordLogin) -> anyhow::Result<Secret> {
    anyhow::ensure!(!login.username.contains(':'), "a user name with a colon cannot be sent (RFC 7617)");
    let metadata = metadata(config).await?;
    let redirect = format!("{}/implicit", metadata.token_endpoint);
    let (verifier, state) = (random()?, random()?);
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    let mut url = parsed(&metadata.authorization_endpoint)?;
    url.query_pairs_mut().extend_pairs([
        ("client_id", CLIENT),
        ("response_type", "code"),
        ("redirect_uri", &redirect),
        ("state", &state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let request = Request::get(url.as_str())
        .header(header::AUTHORIZATION, basic(&login.username, login.password.expose())?)
        // Without it OpenShift refuses a login that no browser asks for.
        .header("X-CSRF-Token", "1")
        .body(Body::empty())?;
    let (status, headers, body) = send(config, &url, request).await?;
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let code = match (status, location) {
        (StatusCode::UNAUTHORIZED, _) => {
            return Err(Explained(Diagnosis::new(Id::ClusterAuthRefused, "the user name or password was refused").hint(
                "check cluster_username and the password (an identity provider that only logs in by browser needs `oc login` and a \
                 kubeconfig)",
            ))
            .into());
        }
        (StatusCode::FOUND | StatusCode::SEE_OTHER, Some(location)) => code(&url, &location, &state)?,
        (status, _) => anyhow::bail!("{} answered {status}: {}", origin(&url), told(&body)),
    };
    let url = parsed(&metadata.token_endpoint)?;
    let mut form = parsed("https://form")?;
    form.query_pairs_mut().extend_pairs([
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", &redirect),
        ("client_id", CLIENT),
        ("code_verifier", &verifier),
    ]);
    let request = Request::post(url.as_str())
        .header(header::AUTHORIZATION, basic(CLIENT, "")?)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(Body::from(form.query().unwrap_or_default().as_bytes().to_vec()))?;
    let (status, _, body) = send(config, &url, request).await?;
    anyhow::ensure!(status.is_success(), "{} gave no token ({status}): {}", origin(&url), told(&body));
    let unreadable = |error| Passing { text: format!("the answer of {} holds no token: {error}", origin(&url)), fate: Fate::Unclear(None) };
    let token: Token = serde_json::from_slice(&body).map_err(unreadable)?;
    Ok(Secret::new(token.access_token))
}

/// Asks where the OAuth server is.
async fn metadata(config: &Endpoint) -> anyhow::Result<Metadata> {
    let url = parsed(&config.url())?.join("/.well-known/oauth-authorization-server")?;
    let request = Request::get(url.as_str()).header(header::ACCEPT, "application/json").body(Body::empty())?;
    let (status, _, body) = send(config, &url, request).await?;
    let hint = "a cluster that is no OpenShift, or has its OAuth server elsewhere, needs a kubeconfig";
    let none = |why: &str| Hinted::new(format!("{} names no OAuth server{why}", origin(&url)), hint);
    if !status.is_success() {
        return Err(none(&format!(" ({status})")).into());
    }
    serde_json::from_slice(&body).map_err(|error| none(&format!(": {error}")).into())
}

/// The code of a redirect, if it answers this very request. It is a login for a moment.
fn code(url: &Url, location: &str, state: &str) -> anyhow::Result<String> {
    redirected(url, location, state).map(|code| Secret::new(code).expose().to_owned())
}

fn redirected(url: &Url, location: &str, state: &str) -> anyhow::Result<String> {
    let location = url.join(location).context("the OAuth server redirects to no URL")?;
    let value = |key: &str| location.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned());
    if let Some(error) = value("error") {
        anyhow::bail!("the OAuth server refuses: {}", excerpt(&value("error_description").unwrap_or(error), REPEATED));
    }
    let code = value("code").context("the OAuth server redirects without a code: it wants a login by browser")?;
    anyhow::ensure!(value("state").is_none_or(|told| told == state), "the OAuth server answers another request than ours");
    Ok(code)
}

/// Reads a redirect, for whoever feeds it on purpose.
pub(crate) fn feed(location: &str) {
    if let Ok(url) = parsed("https://oauth.example.com/oauth/authorize") {
        let _code = redirected(&url, location, "s");
    }
}

async fn send(config: &Endpoint, url: &Url, request: Request<Body>) -> anyhow::Result<(StatusCode, http::HeaderMap, Vec<u8>)> {
    let client: Client = client_for(config, &Arc::new(Login::none()), &origin(url), "", OAUTH)?;
    let failed = |error: kube::Error| -> anyhow::Error {
        let fate = super::error::fate(&error);
        let described = super::error::describe(&error, crate::retry::Story::default(), "reach", &origin(url));
        if super::error::id_of(&error) == Id::ClusterCertificateUntrusted {
            return Explained(
                Diagnosis::of_error(&described)
                    .hint("the OAuth server's certificate must be trusted too: put the cluster's and the ingress CA into cluster_ca_file"),
            )
            .into();
        }
        let mut diagnosis = Diagnosis::of_error(&described);
        let text = std::mem::take(&mut diagnosis.summary);
        anyhow::Error::from(Explained(diagnosis)).context(Passing { text, fate })
    };
    let response: Response<Body> = client.send(request).await.map_err(failed)?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(failed)?.to_bytes().to_vec();
    let pause = asked_pause(&parts.headers);
    let fate = match parts.status {
        StatusCode::INTERNAL_SERVER_ERROR => Some(Fate::Unclear(pause)),
        status => Fate::of_status(status.as_u16(), pause),
    };
    if let Some(fate) = fate {
        let text = format!("{} answered {}: {}", origin(url), parts.status, told(&body));
        return Err(Passing { text, fate }.into());
    }
    Ok((parts.status, parts.headers, body))
}

fn parsed(url: &str) -> anyhow::Result<Url> {
    Url::parse(url).with_context(|| format!("`{}` is no URL", excerpt(&without_login(url), REPEATED)))
}

/// Scheme, host and port.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn basic(user: &str, password: &str) -> anyhow::Result<HeaderValue> {
    let text = Secret::new(BASE64_STANDARD.encode(format!("{user}:{password}")));
    let mut value = HeaderValue::from_str(&format!("Basic {}", text.expose()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("the operating system gives no random numbers: {e}"))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

fn told(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let said =
        json.as_ref().and_then(|v| v["error_description"].as_str().or_else(|| v["message"].as_str()).or_else(|| v["error"].as_str()));
    excerpt(said.unwrap_or(text.trim()), REPEATED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(location: &str) -> Result<String, String> {
        let url = parsed("https://oauth.example.com/oauth/authorize").unwrap();
        code(&url, location, "s").map_err(|error| error.to_string())
    }

    #[test]
    fn a_redirect_has_a_code_or_says_why_not() {
        assert_eq!(of("https://o/oauth/token/implicit?code=sha256~abc&state=s").unwrap(), "sha256~abc");
        assert_eq!(of("/oauth/token/implicit?code=sha256%7Eabc").unwrap(), "sha256~abc");
        assert!(of("https://o/x?code=abc&state=other").unwrap_err().contains("another request"));
        assert!(of("https://o/x?error=access_denied&error_description=no%20rights").unwrap_err().contains("no rights"));
        assert!(of("https://o/login?then=x").unwrap_err().contains("by browser"));
    }
}
