//! A client of a cloud, as Forklift has one.

use std::collections::BTreeMap;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::forklift::{
    cluster::Look,
    source::{
        Login, Refused,
        http::{client, root},
    },
};

/// Services with the types by which a catalogue knows them, and what endpoints may leave out.
const SERVICES: &[(&str, &[&str], &str)] = &[
    ("identity", &["identity"], "/v3"),
    ("compute", &["compute"], ""),
    ("volume", &["block-storage", "volumev3"], ""),
    ("image", &["image"], "/v2"),
    ("network", &["network"], "/v2.0"),
];

/// A logged-in client.
#[derive(Clone)]
pub struct Cloud {
    client: Client,
    token: String,
    endpoints: BTreeMap<&'static str, String>,
}

impl Cloud {
    /// Logs in.
    pub async fn connect(login: &Login) -> Result<Self, Refused> {
        if let Some(missing) = login.lacks(&["username", "password"]).first() {
            return Err(Refused::other(format!("a login without `{missing}` is none")));
        }
        let client = client(login).map_err(|error| Refused::other(format!("{error:#}")))?;
        let first = |keys: &[&str]| keys.iter().map(|key| login.text(key)).find(|v| !v.is_empty()).unwrap_or_default().to_owned();
        let domain = json!({ "name": first(&["userDomainName", "domainName"]) });
        let user = json!({ "name": login.text("username"), "password": login.text("password"), "domain": domain });
        let project = json!({ "name": login.text("projectName"), "domain": { "name": first(&["projectDomainName", "domainName"]) } });
        let body =
            json!({ "auth": { "identity": { "methods": ["password"], "password": { "user": user } }, "scope": { "project": project } } });
        let url = format!("{}/auth/tokens", login.url.trim_end_matches('/'));
        let answer = client.post(&url).json(&body).send().await.map_err(|error| Refused::other(root(&error)))?;
        let (status, token) = (answer.status(), answer.headers().get("x-subject-token").and_then(|t| t.to_str().ok()).map(str::to_owned));
        let body: Value = answer.json().await.unwrap_or_default();
        match token {
            Some(token) if status.is_success() => {
                Ok(Self { client, token, endpoints: endpoints(&body["token"], login.text("regionName")) })
            }
            _ if status == StatusCode::UNAUTHORIZED => Err(Refused { login: true, text: body.text("/error/message").to_owned() }),
            _ => Err(Refused::other(format!("{url} answered {status} without a token"))),
        }
    }

    async fn call(&self, service: &str, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<(StatusCode, Value)> {
        let endpoint = self.endpoints.get(service).map(String::as_str).unwrap_or_default();
        anyhow::ensure!(!endpoint.is_empty(), "the catalogue has no {service} service in this region");
        let mut request = self.client.request(method, format!("{endpoint}{path}")).header("X-Auth-Token", &self.token);
        if service == "compute" {
            request = request.header("OpenStack-API-Version", "compute 2.60");
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        if body.is_some() && service == "image" {
            request = request.header("Content-Type", "application/openstack-images-v2.1-json-patch");
        }
        let answer = request.send().await?;
        let status = answer.status();
        Ok((status, answer.json().await.unwrap_or_default()))
    }

    /// Reads something that must be there.
    pub async fn get(&self, service: &str, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.call(service, Method::GET, path, None).await?;
        anyhow::ensure!(status.is_success(), "GET {service}{path}: {status}");
        Ok(body)
    }

    /// Reads a list to its last page.
    pub async fn list(&self, service: &str, path: &str, member: &str) -> anyhow::Result<Vec<Value>> {
        let mut query = String::new();
        let mut all = Vec::new();
        loop {
            let body = self.get(service, &format!("{path}{query}")).await?;
            all.extend(body.items(&format!("/{member}")).iter().cloned());
            let links = body.items(&format!("/{member}_links"));
            let linked = links.iter().find(|link| link.text("/rel") == "next").map(|link| link.text("/href"));
            // Glance has the next page in a field of its own.
            let next = linked.or_else(|| body["next"].as_str()).and_then(|next| next.split_once('?'));
            let Some((_, next)) = next else { return Ok(all) };
            query = format!("?{next}");
        }
    }

    /// Changes something in place.
    pub async fn patch(&self, service: &str, path: &str, body: Value) -> anyhow::Result<()> {
        let (status, body) = self.call(service, Method::PATCH, path, Some(body)).await?;
        anyhow::ensure!(status.is_success(), "PATCH {service}{path}: {status} {body}");
        Ok(())
    }

    /// Creates something or calls an action.
    pub async fn post(&self, service: &str, path: &str, body: Value) -> anyhow::Result<Value> {
        let (status, body) = self.call(service, Method::POST, path, Some(body)).await?;
        anyhow::ensure!(status.is_success(), "POST {service}{path}: {status} {body}");
        Ok(body)
    }

    /// Deletes something; gone already is no failure.
    pub async fn delete(&self, service: &str, path: &str) -> anyhow::Result<()> {
        let (status, body) = self.call(service, Method::DELETE, path, None).await?;
        anyhow::ensure!(status.is_success() || status == StatusCode::NOT_FOUND, "DELETE {service}{path}: {status} {body}");
        Ok(())
    }
}

fn endpoints(token: &Value, region: &str) -> BTreeMap<&'static str, String> {
    let url = |kinds: &[&str]| {
        let entry = token.items("/catalog").iter().find(|entry| kinds.contains(&entry.text("/type")))?;
        let here = |e: &&Value| e.text("/interface") == "public" && (region.is_empty() || e.text("/region_id") == region);
        Some(entry.items("/endpoints").iter().find(here)?.text("/url").trim_end_matches('/').to_owned())
    };
    let whole = |url: String, version: &str| if url.ends_with(version) { url } else { url + version };
    SERVICES.iter().filter_map(|(name, kinds, version)| Some((*name, whole(url(kinds)?, version)))).collect()
}
