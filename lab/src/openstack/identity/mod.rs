//! Keystone v3: tokens with a catalogue, and the little that is to be known of the cloud's one domain, project and user.

mod auth;
mod directory;
pub mod token;

use http::{Method, StatusCode};
use serde_json::json;

use self::auth::FERNET;
pub use self::auth::login;
use super::{
    Cloud,
    reply::{Answered, Ask, Fault, Reply},
};

/// Id of the only domain.
pub const DOMAIN: &str = "default";
/// Id of the only user.
pub const USER: &str = "0a5eb0a5eb0a5eb0a5eb0a5eb0a5eb0a";

/// Answers what is asked with a token.
pub fn answer(cloud: &Cloud, ask: &Ask<'_>, caller: &str, subject: Option<&str>) -> Answered {
    match (ask.method, ask.path) {
        (&Method::GET | &Method::HEAD, ["auth", "tokens"]) => {
            let subject = subject.ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, "No token in the request"))?;
            let Some(token) = cloud.token(subject) else {
                let text = if subject.starts_with(FERNET) { "Failed to validate token" } else { "Could not recognize Fernet token" };
                return Err(Fault::new(StatusCode::NOT_FOUND, text));
            };
            let with_catalogue = ask.asked("nocatalog").is_none();
            Ok(Reply::ok(token.shown(cloud, with_catalogue)).with("X-Subject-Token", subject))
        }
        (&Method::DELETE, ["auth", "tokens"]) => {
            let subject = subject.ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, "No token in the request"))?;
            match cloud.tokens().remove(subject) {
                Some(_) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
                None => Err(Fault::new(StatusCode::NOT_FOUND, "Failed to validate token")),
            }
        }
        (&Method::GET, ["auth", "catalog"]) => match cloud.token(caller).filter(token::Token::is_scoped) {
            Some(_) => {
                let links = json!({ "self": format!("{}{}", cloud.inner.address, ask.place) });
                Ok(Reply::ok(json!({ "catalog": token::catalogue(cloud), "links": links })))
            }
            None => Err(Fault::forbidden("An unscoped token cannot be used with this request.")),
        },
        (&Method::GET, _) => directory::answer(cloud, ask),
        // The cloud has the users, projects and services that it has.
        _ => Err(Fault::forbidden("You are not authorized to perform the requested action: the lab's identity service is read-only.")),
    }
}
