//! OpenShift's OAuth login, as its challenging client goes through it: password in, bearer token out.

use std::{fmt::Write as _, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    Inner,
    request::Query,
    response::{self, Body},
    status::Answer,
    write,
};

/// How long a token is said to live, seconds: OpenShift's default of one day.
const LIFETIME: u32 = 86_400;

/// Answers the paths of the OAuth server; nothing for other paths.
pub fn route(server: &Arc<Inner>, parts: &Parts, query: &Query, body: &Bytes) -> Option<Answer<Response<Body>>> {
    match parts.uri.path() {
        "/.well-known/oauth-authorization-server" => Some(Ok(metadata(server, parts))),
        "/oauth/authorize" => Some(authorize(server, parts, query)),
        "/oauth/token" => Some(token(server, parts, body)),
        "/oauth/token/implicit" => Some(Ok(response::with(StatusCode::OK, "text/html", response::full("")))),
        _ => None,
    }
}

fn address(server: &Arc<Inner>, parts: &Parts) -> String {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    server.options.address.clone().unwrap_or_else(|| format!("https://{host}"))
}

fn metadata(server: &Arc<Inner>, parts: &Parts) -> Response<Body> {
    let address = address(server, parts);
    let document = json!({
        "issuer": address,
        "authorization_endpoint": format!("{address}/oauth/authorize"),
        "token_endpoint": format!("{address}/oauth/token"),
        "scopes_supported": ["user:check-access", "user:full", "user:info", "user:list-projects", "user:list-scoped-projects"],
        "response_types_supported": ["code", "token"],
        "grant_types_supported": ["authorization_code", "implicit"],
        "code_challenge_methods_supported": ["plain", "S256"],
    });
    response::json(StatusCode::OK, &document)
}

fn challenge() -> Response<Body> {
    let mut response = response::with(StatusCode::UNAUTHORIZED, "text/plain", response::full("Unauthorized"));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"openshift\""));
    response
}

fn random_token() -> Answer<String> {
    Ok(format!("sha256~{}", BASE64_URL_SAFE_NO_PAD.encode(write::random::<32>()?)))
}

/// Escapes a query value.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(byte.into());
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

fn authorize(server: &Arc<Inner>, parts: &Parts, query: &Query) -> Answer<Response<Body>> {
    let Some(user) = server.users.by_password(&parts.headers) else { return Ok(challenge()) };
    let target = match query.get("redirect_uri") {
        "" => format!("{}/oauth/token/implicit", address(server, parts)),
        uri => uri.to_owned(),
    };
    let state = query.get("state");
    let location = if query.get("response_type") == "token" {
        let token = random_token()?;
        server.users.issue(token.clone(), &user.name);
        format!("{target}#access_token={token}&expires_in={LIFETIME}&scope=user%3Afull&token_type=Bearer&state={}", escaped(state))
    } else {
        let code = server.users.begin(&user.name, query.get("code_challenge"), query.get("code_challenge_method"))?;
        format!("{target}?code={}&state={}", escaped(&code), escaped(state))
    };
    let mut response = response::with(StatusCode::FOUND, "text/html", response::full(""));
    if let Ok(location) = location.parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Whether a verifier answers the challenge of RFC 7636; a login without one needs none.
pub fn verified(challenge: &str, method: &str, verifier: &str) -> bool {
    match (challenge, method) {
        ("", _) => true,
        // Clients of OpenShift's old challenge flow send a challenge and never the verifier.
        (_, _) if verifier.is_empty() => true,
        (challenge, "S256") => BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == challenge,
        (challenge, _) => verifier == challenge,
    }
}

fn token(server: &Arc<Inner>, _parts: &Parts, body: &Bytes) -> Answer<Response<Body>> {
    let form = Query::parse(&String::from_utf8_lossy(body));
    let Some(user) = server.users.finish(form.get("code"), form.get("code_verifier")) else {
        let error = json!({ "error": "invalid_grant", "error_description": "The provided authorization grant is invalid, expired or was already used." });
        return Ok(response::json(StatusCode::BAD_REQUEST, &error));
    };
    let token = random_token()?;
    server.users.issue(token.clone(), &user);
    let answer = json!({ "access_token": token, "expires_in": LIFETIME, "scope": "user:full", "token_type": "Bearer" });
    Ok(response::json(StatusCode::OK, &answer))
}
