//! Jira: whether the known issue of a scenario is resolved.

use std::{path::PathBuf, time::Duration};

use reqwest::{StatusCode, Url};
use serde_json::Value;

use crate::{
    providers::{
        http::{self, Lost},
        tls::Trust,
    },
    retry::Story,
    secrets::Secret,
};

/// Longest wait for an answer.
const CALL: Duration = Duration::from_secs(30);

/// Where Jira is, and how to get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// URL of Jira: what stands before `/rest/api` or `/browse`.
    pub url: String,
    /// Personal access token. Public issues need none.
    pub token: Option<Secret>,
    /// PEM file of certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM certificates to trust beside the system's.
    pub ca_pem: Option<String>,
}

/// What Jira says about an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Whether it is resolved: it has a resolution, or its status is one of the done ones.
    pub resolved: bool,
    /// Its status, for people.
    pub status: String,
}

/// A Jira.
#[derive(Debug)]
pub struct Jira {
    url: Url,
    token: Option<Secret>,
    client: reqwest::Client,
}

impl Jira {
    /// Prepares the connection; contacts nobody. TLS is verified.
    ///
    /// # Errors
    /// The URL is none, or the certificates cannot be read; the text says which.
    pub fn new(options: Options) -> Result<Self, String> {
        let text = |error: crate::providers::ProviderError| error.to_string();
        let url = Url::parse(&options.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let mut url = url.ok_or_else(|| format!("`jira_url` is no URL such as https://issues.example.com: `{}`", options.url))?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let trust = Trust::beside_the_systems(options.ca_file.as_deref(), options.ca_pem.as_deref()).map_err(text)?;
        let client = http::client(&url, &trust, false).map_err(text)?;
        Ok(Self { url, token: options.token, client })
    }

    /// Asks about an issue.
    ///
    /// # Errors
    /// No answer, a refusal, or no such issue; the text says which, and of which Jira.
    pub async fn issue(&self, key: &str) -> Result<Issue, String> {
        let address = http::address(&self.url);
        let url = self.url.join(&format!("rest/api/2/issue/{key}?fields=status,resolution"));
        let url = url.map_err(|e| format!("issue {key} cannot be asked about: {e}"))?;
        let mut request = self.client.get(url).timeout(CALL).header("Accept", "application/json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let error = match Lost::from(error) {
                    Lost::NotSent(why) => format!("Jira at {address} cannot be reached: {why}"),
                    Lost::Unclear(why) => format!("Jira at {address} did not answer: {why}"),
                    lost @ Lost::Tls(_) => lost.explained(&self.url, Story::default()).await.to_string(),
                };
                return Err(error);
            }
        };
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(format!("Jira at {address} has no issue {key}, or hides it")),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(format!("Jira at {address} does not let us see issue {key} ({status}): check its token"));
            }
            status => return Err(format!("Jira at {address} answered {status} about issue {key}")),
        }
        let body: Value = response.json().await.map_err(|_| format!("the answer of {address} about issue {key} is no JSON of Jira"))?;
        read(&body).ok_or_else(|| format!("the answer of {address} about issue {key} names no status"))
    }
}

/// What an answer says.
fn read(body: &Value) -> Option<Issue> {
    let status = body.pointer("/fields/status")?;
    let name = status["name"].as_str()?.to_owned();
    let done = status.pointer("/statusCategory/key").and_then(Value::as_str) == Some("done");
    let resolution = body.pointer("/fields/resolution").is_some_and(|resolution| !resolution.is_null());
    Some(Issue { resolved: done || resolution, status: name })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_issue_is_resolved_by_resolution_or_status() {
        for (fields, resolved) in [
            (json!({"status": {"name": "New", "statusCategory": {"key": "new"}}, "resolution": null}), Some(false)),
            (json!({"status": {"name": "In Progress"}}), Some(false)),
            (json!({"status": {"name": "Closed", "statusCategory": {"key": "done"}}, "resolution": null}), Some(true)),
            (json!({"status": {"name": "Verified"}, "resolution": {"name": "Done"}}), Some(true)),
            (json!({}), None),
        ] {
            assert_eq!(read(&json!({"fields": fields})).map(|issue| issue.resolved), resolved, "{fields}");
        }
    }

    #[test]
    fn what_is_no_url_is_told() {
        for url in ["", "issues.example.com", "ftp://issues.example.com"] {
            let options = Options { url: url.to_owned(), token: None, ca_file: None, ca_pem: None };
            assert!(Jira::new(options).unwrap_err().contains("jira_url"), "{url}");
        }
    }
}
