//! A client of an engine, as Forklift has one: SSO and JSON.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::forklift::{
    cluster::Look,
    source::{
        Login, Refused,
        http::{client, root},
    },
};

/// A logged-in client.
#[derive(Clone)]
pub struct Engine {
    client: Client,
    api: String,
    token: String,
}

impl Engine {
    /// Logs in.
    pub async fn connect(login: &Login) -> Result<Self, Refused> {
        let client = client(login).map_err(|error| Refused::other(format!("{error:#}")))?;
        let api = login.url.trim_end_matches('/').to_owned();
        let sso = format!("{}/sso/oauth/token", api.trim_end_matches("/api"));
        let form = [
            ("grant_type", "password"),
            ("scope", "ovirt-app-api"),
            ("username", login.text("user")),
            ("password", login.text("password")),
        ];
        let answer = client.post(&sso).header("accept", "application/json").form(&form).send().await;
        let answer = answer.map_err(|error| Refused::other(root(&error)))?;
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        match body.text("/access_token") {
            "" if body.text("/error_code") == "access_denied" || status == StatusCode::UNAUTHORIZED => {
                Err(Refused { login: true, text: body.text("/error").to_owned() })
            }
            "" => Err(Refused::other(format!("{sso} answered {status} without a token"))),
            token => Ok(Self { client, api, token: token.to_owned() }),
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<(StatusCode, Value)> {
        let mut request =
            self.client.request(method, format!("{}{path}", self.api)).bearer_auth(&self.token).header("accept", "application/json");
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        Ok((status, answer.json().await.unwrap_or_default()))
    }

    /// Reads something that must be there.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.call(Method::GET, path, None).await?;
        anyhow::ensure!(status.is_success(), "GET {path}: {status} {}", body.text("/detail"));
        Ok(body)
    }

    /// Reads something that may not be there.
    pub async fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let (status, body) = self.call(Method::GET, path, None).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        anyhow::ensure!(status.is_success(), "GET {path}: {status} {}", body.text("/detail"));
        Ok(Some(body))
    }

    /// Calls an action or creates something.
    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        let (status, body) = self.call(Method::POST, path, Some(body)).await?;
        anyhow::ensure!(status.is_success(), "POST {path}: {status} {}", body.text("/detail"));
        Ok(body)
    }

    /// Deletes something; gone already is no failure.
    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        let (status, body) = self.call(Method::DELETE, path, None).await?;
        anyhow::ensure!(status.is_success() || status == StatusCode::NOT_FOUND, "DELETE {path}: {status} {}", body.text("/detail"));
        Ok(())
    }

    /// Logs out.
    pub async fn end(&self) {
        let url = format!("{}/services/sso-logout", self.api.trim_end_matches("/api"));
        let form = [("scope", "ovirt-app-api"), ("token", self.token.as_str())];
        // The engine ends idle sessions by itself.
        let _ = self.client.post(url).form(&form).send().await;
    }

    /// An empty body.
    pub fn nothing() -> Value {
        json!({})
    }
}
