//! Asking for a token: by password or by another token, for the project, the system or nothing.

use http::StatusCode;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    super::{
        Cloud,
        reply::{Ask, Fault, Reply, Service, asking, unauthorized},
    },
    DOMAIN, USER,
    token::{Scope, Token},
};
use crate::web::Answer;

/// What Keystone says of every wrong user, password, domain and project alike.
const REFUSED: &str = "The request you have made requires authentication.";
/// What it adds to complaints of a body.
const MALFORMED: &str = "The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.";
/// Ways that are known by name; those that are not played refuse whoever comes.
const METHODS: &[&str] = &["external", "password", "token", "oauth1", "mapped", "application_credential", "ec2credential"];

/// How tokens of this form begin.
pub const FERNET: &str = "gAAAAAB";

enum No {
    /// Who it is does not get in.
    Refused,
    /// The body makes no sense.
    Bad(String),
    /// There is no such way of asking.
    Method,
}

fn lacks(what: &str, place: &str) -> No {
    No::Bad(format!("Expecting to find {what} in {place}. {MALFORMED}"))
}

/// Makes a token.
pub fn login(cloud: &Cloud, ask: &Ask<'_>) -> Answer {
    match examine(cloud, ask) {
        Ok(token) => {
            let Ok(random) = crate::lab::token() else { return crate::web::empty(StatusCode::INTERNAL_SERVER_ERROR) };
            let id = format!("{FERNET}{}", random.rsplit('~').next().unwrap_or_default());
            let shown = token.shown(cloud, ask.asked("nocatalog").is_none());
            cloud.tokens().insert(id.clone(), token);
            Reply::created(shown).with("X-Subject-Token", id).written()
        }
        Err(No::Refused) => unauthorized(&cloud.inner.address, REFUSED),
        Err(No::Bad(message)) => Fault::bad(message).written(Service::Identity),
        Err(No::Method) => {
            let (code, methods) = (401, json!({ "methods": METHODS }));
            let text = "Attempted to authenticate with an unsupported method.";
            let body = json!({ "error": { "code": code, "identity": methods, "message": text, "title": "Unauthorized" } });
            asking(&cloud.inner.address, crate::web::json(StatusCode::UNAUTHORIZED, &body))
        }
    }
}

fn examine(cloud: &Cloud, ask: &Ask<'_>) -> Result<Token, No> {
    let auth = ask.body.get("auth").filter(|auth| auth.is_object()).ok_or_else(|| lacks("auth", "request body"))?;
    let required = |name: &str| No::Bad(format!("Invalid input for field 'identity': '{name}' is a required property"));
    let identity = auth.get("identity").filter(|identity| identity.is_object()).ok_or_else(|| lacks("identity", "auth"))?;
    let methods = identity["methods"].as_array().ok_or_else(|| required("methods"))?;
    let now = cloud.inner.world.clock.moment();
    let life = SignedDuration::from_secs(i64::from(cloud.inner.world.datacenter.openstack.token_seconds));
    let own = crate::lab::token().map(|text| text.chars().take(22).collect::<String>()).unwrap_or_default();
    let mut token =
        Token { methods: Vec::new(), audit: vec![own], scope: Scope::None, issued: now, expires: now.checked_add(life).unwrap_or(now) };
    if methods.is_empty() {
        return Err(No::Refused);
    }
    for method in methods {
        match method.as_str().unwrap_or_default() {
            "password" => {
                let user = identity.pointer("/password/user").ok_or_else(|| lacks("password", "identity"))?;
                is_user(cloud, user)?;
                token.methods.push("password");
            }
            "token" => {
                let id = identity.pointer("/token/id").and_then(Value::as_str).ok_or_else(|| lacks("id", "token"))?;
                let old = cloud.token(id).ok_or(No::Refused)?;
                token.methods.extend(old.methods.iter().copied().filter(|method| *method != "token"));
                token.methods.push("token");
                // A chain of tokens ends when its first one does.
                token.expires = old.expires;
                token.audit.extend(old.audit.last().cloned());
            }
            known if METHODS.contains(&known) => return Err(No::Refused),
            _ => return Err(No::Method),
        }
    }
    token.scope = scope(cloud, auth.get("scope"))?;
    Ok(token)
}

/// Whether a domain that a body names is the one that there is.
fn is_domain(cloud: &Cloud, domain: &Value) -> bool {
    match domain["id"].as_str() {
        Some(id) => id == DOMAIN,
        None => domain["name"] == cloud.inner.world.datacenter.openstack.domain,
    }
}

fn is_user(cloud: &Cloud, user: &Value) -> Result<(), No> {
    let login = &cloud.inner.world.datacenter.openstack.login;
    let known = match user["id"].as_str() {
        Some(id) => id == USER,
        None => {
            let name = user["name"].as_str().ok_or_else(|| lacks("id or name", "user"))?;
            let domain = user.get("domain").ok_or_else(|| lacks("domain", "user"))?;
            name == login.user && is_domain(cloud, domain)
        }
    };
    if known && user["password"] == login.password { Ok(()) } else { Err(No::Refused) }
}

fn scope(cloud: &Cloud, asked: Option<&Value>) -> Result<Scope, No> {
    let Some(asked) = asked else { return Ok(Scope::None) };
    if asked == "unscoped" {
        return Ok(Scope::None);
    }
    if let Some(project) = asked.get("project") {
        let right = match project["id"].as_str() {
            Some(id) => id == cloud.model().project,
            None => {
                let domain = project.get("domain").ok_or_else(|| lacks("domain", "project"))?;
                project["name"] == cloud.inner.world.datacenter.openstack.project && is_domain(cloud, domain)
            }
        };
        return if right { Ok(Scope::Project) } else { Err(No::Refused) };
    }
    if asked.pointer("/system/all") == Some(&json!(true)) {
        return Ok(Scope::System);
    }
    if asked.get("domain").is_some() {
        // The user has no role in the domain itself.
        return Err(No::Refused);
    }
    Ok(Scope::None)
}
