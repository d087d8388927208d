//! Jira: whether the known issue of a scenario is resolved.

use std::{path::PathBuf, time::Duration};

use reqwest::{StatusCode, Url};
use serde_json::Value;

use crate::{
    diagnosis::Hinted,
    kill_points,
    limits::{Form, Limit},
    net::without_login,
    providers::{
        http::{self, Lost},
        tls::Trust,
    },
    retry::{self, Fate, GaveUp, Policy, Safety},
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
    policy: Policy,
}

/// Why one try gave no answer that can be used.
type TryError = retry::TryError<Lost>;

impl Jira {
    /// Prepares the connection; contacts nobody. TLS is verified.
    ///
    /// # Errors
    /// The URL is none, or the certificates cannot be read; the text says which.
    pub fn new(options: Options) -> Result<Self, Hinted> {
        let url = Url::parse(&options.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let mut url =
            url.ok_or_else(|| format!("`jira_url` is not a URL such as https://issues.example.com: `{}`", without_login(&options.url)))?;
        if url.scheme() == "http" && !http::is_loopback(&url) {
            let text = format!("`jira_url` {} is not https: the token would be sent unencrypted", http::place(&url));
            return Err(Hinted::new(text, "use https"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let trust = Trust::beside_the_systems(options.ca_file.as_deref(), options.ca_pem.as_deref()).map_err(Hinted::from)?;
        let client = http::client(&url, &trust, false).map_err(Hinted::from)?;
        Ok(Self { url, token: options.token, client, policy: Policy::current().first_contact() })
    }

    /// Asks about an issue.
    ///
    /// # Errors
    /// No answer, a refusal, or no such issue; the text says which, and of which Jira.
    pub async fn issue(&self, key: &str) -> Result<Issue, Hinted> {
        let address = http::address(&self.url);
        let url = self.url.join(&format!("rest/api/2/issue/{key}?fields=status,resolution"));
        let url = url.map_err(|e| format!("issue {key} cannot be asked about: {e}"))?;
        let fate = |error: &TryError| error.fate(|lost| lost.fate(Safety::Repeatable));
        let response = match self.policy.run(Safety::Repeatable, fate, |patience| self.once(&url, patience)).await {
            Ok(response) => response,
            Err(GaveUp { error, story }) => {
                let error = match error {
                    TryError::Lost(Lost::NotSent(why) | Lost::NoFiles(why)) => {
                        format!("Jira at {address} cannot be reached{}: {why}{story}", http::through(&self.url))
                    }
                    TryError::Lost(Lost::Unclear(why)) | TryError::Garbled(_, why) => {
                        format!("Jira at {address} did not answer{}: {why}{story}", http::through(&self.url))
                    }
                    TryError::Lost(Lost::TooLarge(why)) => format!("Jira at {address}, asked about issue {key}: {why}"),
                    TryError::Lost(Lost::Redirected(to)) => {
                        return Err(Hinted::new(
                            format!("Jira at {address} redirects to {to}, and no redirect is followed"),
                            "set jira_url to the final address",
                        ));
                    }
                    TryError::Lost(lost @ Lost::Tls(_)) => return Err(lost.explained(&self.url, story).await.into()),
                    TryError::Busy(status, ..) => format!("Jira at {address} answered {status} about issue {key}{story}"),
                };
                return Err(error.into());
            }
        };
        match response.0 {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(format!("Jira at {address} has no issue {key}, or hides it").into()),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(Hinted::new(format!("Jira at {address} does not let us see issue {key} ({status})"), "check its token"));
            }
            status => return Err(format!("Jira at {address} answered {status} about issue {key}").into()),
        }
        let body =
            serde_json::from_slice(&response.1).map_err(|_| format!("the answer of {address} about issue {key} is no JSON of Jira"))?;
        read(&body).ok_or_else(|| format!("the answer of {address} about issue {key} names no status").into())
    }
}

impl Jira {
    async fn once(&self, url: &Url, patience: Duration) -> Result<(StatusCode, Vec<u8>), TryError> {
        let mut request = self.client.get(url.clone()).timeout(patience.min(CALL)).header("Accept", "application/json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        kill_points::pass("GET issue");
        let answer = request.send().await;
        kill_points::pass("answer of Jira");
        let answer = answer.map_err(|error| TryError::Lost(Lost::from(error)))?;
        let http::Answer { status, headers, body } = http::read(answer, Limit::Object, Form::Json).await.map_err(TryError::Lost)?;
        let pause = http::asked_pause(&headers);
        let fate = match status {
            StatusCode::INTERNAL_SERVER_ERROR => Some(Fate::Unclear(pause)),
            _ => Fate::of_status(status.as_u16(), pause),
        };
        if let Some(fate) = fate {
            return Err(TryError::Busy(status, fate, String::new()));
        }
        // Cut on its way, or changed by a proxy.
        if status.is_success() && serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
            return Err(TryError::Garbled(status, "its answer is no JSON".to_owned()));
        }
        Ok((status, body))
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
        for url in ["", "issues.example.com", "ftp://issues.example.com", "http://issues.example.com"] {
            let options = Options { url: url.to_owned(), token: None, ca_file: None, ca_pem: None };
            assert!(Jira::new(options).unwrap_err().text.contains("jira_url"), "{url}");
        }
    }
}
