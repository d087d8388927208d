//! `POST …/serviceaccounts/NAME/token`: a token with which somebody is that account.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    managed::{self, Writer},
    operation::Operation,
    response::{self, Body},
    status::{Answer, Cause, Failure},
    types, write,
};

/// How long a token lives if nobody says, seconds.
const LIFETIME: i64 = 3600;
/// The shortest that may be asked for, seconds.
const SHORTEST: i64 = 600;
/// Whom tokens are for if nobody says.
const AUDIENCE: &str = "https://kubernetes.default.svc";

/// Makes a token. It is a JWT in shape; the server knows it by heart and does not look at its signature.
pub fn request(op: &Operation) -> Answer<Response<Body>> {
    let name = &op.target.name;
    let asked = op.object()?;
    let account = op.server.store.read(|state| state.get(&op.key(name))).ok_or_else(|| op.not_found(name))?;
    let seconds = asked["spec"]["expirationSeconds"].as_i64().unwrap_or(LIFETIME);
    if seconds < SHORTEST {
        let cause = Cause::invalid("spec.expirationSeconds", &seconds.into(), "may not specify a duration less than 10 minutes");
        return Err(Failure::invalid("authentication.k8s.io", "TokenRequest", "", &[cause]));
    }
    let audiences = match asked["spec"]["audiences"].as_array() {
        Some(given) if !given.is_empty() => given.clone(),
        _ => vec![AUDIENCE.into()],
    };
    let (namespace, uid) = (&op.target.namespace, &account["metadata"]["uid"]);
    let user = format!("system:serviceaccount:{namespace}:{name}");
    let moment = jiff::Timestamp::now();
    let end = moment + jiff::SignedDuration::from_secs(seconds);
    let claims = json!({ "aud": audiences, "exp": end.as_second(), "iat": moment.as_second(), "nbf": moment.as_second(), "iss": AUDIENCE, "sub": user,
        "jti": write::uid()?, "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": name, "uid": uid } } });
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(write::random::<32>()?);
    let token = format!("{}.{}.{signature}", part(&json!({ "alg": "RS256", "kid": "lab" })), part(&claims));
    let mut metadata = json!({ "name": name, "namespace": namespace, "uid": uid });
    metadata["creationTimestamp"] = write::now().into();
    let mut answer = json!({ "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": metadata });
    if let Some(spec) = asked.get("spec").filter(|spec| spec.as_object().is_some_and(|spec| !spec.is_empty())) {
        answer["spec"] = spec.clone();
        managed::created_as(op, types::message("authentication.TokenRequest"), "authentication.k8s.io/v1", &mut answer, &Writer::Update);
    }
    answer["spec"] = json!({ "audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": asked["spec"]["boundObjectRef"] });
    answer["status"] = json!({ "token": token, "expirationTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() });
    op.server.users.issue_account(token, user);
    response::object(StatusCode::CREATED, &answer, op.format, &[])
}
