//! A small Jira: issues and their status over REST, for whoever asks whether a known issue is resolved.
//!
//! | request | answer |
//! |---|---|
//! | `GET /rest/api/2/issue/KEY` | key, and `fields` with `status` and `resolution`; 404 for others than the data centre has |
//! | `GET /rest/api/2/serverInfo` | name and version |
//!
//! The token of the data centre is wanted: `Authorization: Bearer TOKEN`.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    faults::{Faults, Refusal, Server},
    tls::Authority,
    web::{self, Answer, Handler},
    world::World,
};

/// Statuses that Jira counts as done in its default workflow.
const DONE: &[&str] = &["Done", "Closed", "Resolved", "Release Pending", "Verified"];

/// The Jira of a data centre.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JiraModel {
    /// Personal access token.
    pub token: String,
    /// Status of each issue by its key: `New`, `In Progress`, `Closed`, …
    pub issues: BTreeMap<String, String>,
}

/// Serves it; returns its URL.
///
/// # Errors
/// No port, or no certificate.
pub async fn serve(world: &World, authority: &Authority, cancel: CancellationToken) -> anyhow::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("failed to listen on 127.0.0.1 for Jira")?;
    let url = format!("https://{}", listener.local_addr()?);
    let jira = Arc::new(Jira { world: world.clone() });
    let tls = authority.server(&[])?;
    tokio::spawn(web::serve(jira, listener, tls, cancel));
    Ok(url)
}

struct Jira {
    world: World,
}

impl Handler for Jira {
    fn server(&self) -> Server {
        Server::Jira
    }

    fn faults(&self) -> &Faults {
        &self.world.faults
    }

    fn answer(&self, request: Request<Bytes>) -> BoxFuture<'_, Answer> {
        let (status, body) = answer(&self.world.datacenter.jira, &request);
        Box::pin(std::future::ready(web::json(status, &body)))
    }

    fn refuse(&self, refusal: &Refusal) -> Answer {
        web::json(refusal.code, &errors(&refusal.message))
    }
}

fn answer(model: &JiraModel, request: &Request<Bytes>) -> (StatusCode, Value) {
    let token = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    if token != Some(model.token.as_str()) {
        return (StatusCode::UNAUTHORIZED, errors("You do not have the permission to see the specified issue."));
    }
    if request.method() != Method::GET {
        return (StatusCode::METHOD_NOT_ALLOWED, errors("Only GET is simulated."));
    }
    let path = request.uri().path();
    if path == "/rest/api/2/serverInfo" {
        return (StatusCode::OK, json!({"version": "9.12.0", "deploymentType": "Server", "serverTitle": "Lab"}));
    }
    let key = path.strip_prefix("/rest/api/2/issue/").unwrap_or_default();
    let Some(status) = model.issues.get(key) else {
        return (StatusCode::NOT_FOUND, errors("Issue Does Not Exist"));
    };
    let done = DONE.contains(&status.as_str());
    let category = match status.as_str() {
        _ if done => "done",
        "New" | "To Do" | "Backlog" => "new",
        _ => "indeterminate",
    };
    let fields = json!({
        "status": {"name": status, "statusCategory": {"key": category}},
        "resolution": if done { json!({"name": "Done"}) } else { Value::Null },
    });
    (StatusCode::OK, json!({"id": "1", "key": key, "fields": fields}))
}

/// The form of Jira's errors.
fn errors(message: &str) -> Value {
    json!({"errorMessages": [message], "errors": {}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issues_are_told_to_who_has_the_token() {
        let issues = [("MTV-1", "New"), ("MTV-2", "Closed")].map(|(key, status)| (key.to_owned(), status.to_owned()));
        let model = JiraModel { token: "secret".to_owned(), issues: issues.into() };
        let ask = |path: &str, token: &str| {
            let request = Request::get(path).header("Authorization", format!("Bearer {token}")).body(Bytes::new()).unwrap();
            answer(&model, &request)
        };
        assert_eq!(ask("/rest/api/2/issue/MTV-1", "wrong").0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask("/rest/api/2/issue/MTV-3", "secret").0, StatusCode::NOT_FOUND);
        let (status, body) = ask("/rest/api/2/issue/MTV-1?fields=status", "secret");
        assert_eq!((status, &body["fields"]["resolution"]), (StatusCode::OK, &Value::Null));
        let (_, body) = ask("/rest/api/2/issue/MTV-2", "secret");
        assert_eq!(
            (&body["fields"]["status"]["statusCategory"]["key"], &body["fields"]["resolution"]["name"]),
            (&json!("done"), &json!("Done"))
        );
    }
}
