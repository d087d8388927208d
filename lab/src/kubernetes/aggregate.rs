//! The aggregation layer: group versions that an APIService hands to a server of its own.
//!
//! The Service that an APIService names must be of type ExternalName: its `externalName` and the port of the APIService
//! say where the backend listens. There is no cluster network that any other type could reach.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::future::join_all;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{
    Inner,
    auth::Caller,
    response::Body,
    status::{Answer, Failure},
    store::Key,
};
use crate::trust;

/// How long discovery waits for a backend: a dead one must not hold up everyone's `kubectl api-resources`.
const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection to a backend may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a backend is looked at while it does not answer, and while it does (the real one: every 30 s).
const PROBE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Headers that belong to one connection and are never passed on.
const HOP_BY_HOP: &[HeaderName] = &[header::TE, header::TRAILER, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::AUTHORIZATION];

/// The server behind an APIService.
pub struct Backend {
    /// Group that it serves.
    pub group: String,
    /// Version that it serves.
    pub version: String,
    address: (String, u16),
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
}

fn tls(spec: &Value) -> Result<Arc<ClientConfig>, String> {
    let bundle = if spec["insecureSkipTLSVerify"] == true {
        None
    } else {
        let pem = BASE64_STANDARD.decode(spec["caBundle"].as_str().unwrap_or_default()).map_err(|error| format!("caBundle: {error}"))?;
        Some(String::from_utf8(pem).map_err(|error| format!("caBundle: {error}"))?)
    };
    trust::config(bundle.as_deref()).map(|(config, _)| Arc::new(config)).map_err(|error| format!("caBundle: {error}"))
}

fn services() -> Arc<str> {
    Arc::from("apiregistration.k8s.io/apiservices")
}

/// The APIServices that name a Service.
fn registered(server: &Inner) -> Vec<Arc<Value>> {
    let all = server.store.read(|state| state.list(&services(), ""));
    all.into_iter().map(|(_, object)| object).filter(|object| object["spec"]["service"].is_object()).collect()
}

fn backend(server: &Inner, object: &Value) -> Result<Backend, String> {
    let spec = &object["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text(&spec["service"]["namespace"]), text(&spec["service"]["name"]));
    let key = Key::new(&Arc::from("/services"), &namespace, &name);
    let service = server.store.read(|state| state.get(&key)).ok_or_else(|| format!("service {namespace}/{name} is not present"))?;
    if service["spec"]["type"] != "ExternalName" {
        return Err(format!("service {namespace}/{name} is not of type ExternalName: nothing else can be reached here"));
    }
    let port = spec["service"]["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
    // The real aggregator verifies the certificate against this name, wherever the service leads.
    let name = ServerName::try_from(format!("{name}.{namespace}.svc")).map_err(|error| error.to_string())?;
    Ok(Backend {
        group: text(&spec["group"]),
        version: text(&spec["version"]),
        address: (text(&service["spec"]["externalName"]), port),
        name,
        tls: tls(spec)?,
    })
}

/// The backend of a group version, if an APIService hands it to one.
pub fn find(server: &Inner, group: &str, version: &str) -> Option<Answer<Backend>> {
    let key = Key::new(&services(), "", &format!("{version}.{group}"));
    let object = server.store.read(|state| state.get(&key)).filter(|object| object["spec"]["service"].is_object())?;
    Some(backend(server, &object).map_err(|why| Failure::unavailable(format!("service unavailable: {why}\n"))))
}

/// Groups that backends serve, with their versions.
pub fn groups(server: &Inner) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in registered(server) {
        let text = |field: &str| object["spec"][field].as_str().unwrap_or_default().to_owned();
        groups.entry(text("group")).or_default().push(text("version"));
    }
    groups
}

impl Backend {
    /// The kubelet of a node, which all listen on this machine. Its certificate is not verified, as the real API server does
    /// not without `--kubelet-certificate-authority`.
    pub fn kubelet(port: u16) -> Result<Self, String> {
        Ok(Self {
            group: String::new(),
            version: String::new(),
            address: ("127.0.0.1".to_owned(), port),
            name: ServerName::try_from("localhost").map_err(|error| error.to_string())?,
            tls: tls(&json!({ "insecureSkipTLSVerify": true }))?,
        })
    }

    /// Sends one request over a connection of its own.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let (host, port) = (&self.address.0, self.address.1);
        let connect = async {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            tokio_rustls::TlsConnector::from(self.tls.clone()).connect(self.name.clone(), stream).await
        };
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect)
            .await
            .map_err(|_| format!("connecting to {host}:{port} took more than {CONNECT_TIMEOUT:?}"))?
            .map_err(|error| format!("{host}:{port}: {error}"))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("{host}:{port}: {error}"))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an aggregated server ended early");
            }
        });
        sender.send_request(request).await.map_err(|error| format!("{host}:{port}: {error}"))
    }

    fn request(&self, path: &str) -> Result<Request<Full<Bytes>>, String> {
        let request = Request::get(path).header(header::HOST, self.name.to_str().as_ref()).header("X-Remote-User", "system:aggregator");
        request.header("X-Remote-Group", "system:masters").body(Full::default()).map_err(|error| error.to_string())
    }

    /// The backend's `APIResourceList`, in time or not at all.
    pub async fn resources(&self) -> Result<Vec<Value>, String> {
        let fetch = async {
            let answer = self.send(self.request(&format!("/apis/{}/{}", self.group, self.version))?).await?;
            let code = answer.status();
            if code != StatusCode::OK {
                return Err(format!("discovery of {}/{} answers {code}", self.group, self.version));
            }
            let bytes = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            let list: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            Ok(list["resources"].as_array().cloned().unwrap_or_default())
        };
        tokio::time::timeout(DISCOVERY_TIMEOUT, fetch).await.map_err(|_| format!("discovery took more than {DISCOVERY_TIMEOUT:?}"))?
    }
}

fn forwarded(headers: &HeaderMap, caller: &Caller, upgrade: bool) -> HeaderMap {
    let mut forwarded = headers.clone();
    for name in HOP_BY_HOP {
        forwarded.remove(name);
    }
    if !upgrade {
        forwarded.remove(header::CONNECTION);
        forwarded.remove(header::UPGRADE);
    }
    // Nobody may say who they are but us.
    let remote: Vec<HeaderName> = forwarded.keys().filter(|name| name.as_str().starts_with("x-remote-")).cloned().collect();
    for name in remote {
        forwarded.remove(name);
    }
    if let Ok(user) = HeaderValue::from_str(&caller.name) {
        forwarded.insert("x-remote-user", user);
    }
    for group in caller.groups.iter().filter_map(|group| HeaderValue::from_str(group).ok()) {
        forwarded.append("x-remote-group", group);
    }
    forwarded
}

/// Passes a request on, upgrades included.
pub async fn proxy(backend: &Backend, parts: &Parts, body: Bytes, upgrade: Option<OnUpgrade>, caller: &Caller) -> Answer<Response<Body>> {
    let refuse = |why: String| Failure::unavailable(format!("error trying to reach service: {why}"));
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request =
        Request::builder().method(parts.method.clone()).uri(path).body(Full::new(body)).map_err(|error| refuse(error.to_string()))?;
    *request.headers_mut() = forwarded(&parts.headers, caller, upgrade.is_some());
    if !request.headers().contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(&backend.name.to_str())
    {
        request.headers_mut().insert(header::HOST, host);
    }
    let mut answer = backend.send(request).await.map_err(refuse)?;
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(client)) = (answer.status(), upgrade) {
        let server = hyper::upgrade::on(&mut answer);
        tokio::spawn(async move {
            let (Ok(client), Ok(server)) = (client.await, server.await) else { return };
            // Either side may go at any time; that is the end, not an error.
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await;
        });
    }
    let (mut head, body) = answer.into_parts();
    head.headers.remove(header::TRANSFER_ENCODING);
    Ok(Response::from_parts(head, body.map_err(std::io::Error::other).boxed_unsync()))
}

/// One version of a group in aggregated discovery, from a backend's `APIResourceList`.
fn aggregated(group: &str, version: &str, resources: &[Value]) -> Value {
    let kind = |entry: &Value| json!({ "group": entry["group"].as_str().unwrap_or(group), "version": entry["version"].as_str().unwrap_or(version), "kind": entry["kind"] });
    let mut plural: BTreeMap<String, Value> = BTreeMap::new();
    let scope = |entry: &Value| if entry["namespaced"] == true { "Namespaced" } else { "Cluster" };
    for entry in resources {
        let name = entry["name"].as_str().unwrap_or_default();
        let (resource, subresource) = name.split_once('/').unwrap_or((name, ""));
        // A resource that exists for its subresources only has no verbs and an empty kind.
        let shown = plural.entry(resource.to_owned()).or_insert_with(|| {
            json!({ "resource": resource, "responseKind": { "group": "", "version": "", "kind": "" }, "scope": scope(entry), "singularResource": "", "verbs": null })
        });
        if subresource.is_empty() {
            shown["responseKind"] = kind(entry);
            shown["singularResource"] = entry["singularName"].clone();
            shown["verbs"] = entry["verbs"].clone();
            for field in ["shortNames", "categories"] {
                if entry[field].is_array() {
                    shown[field] = entry[field].clone();
                }
            }
        } else {
            if !shown["subresources"].is_array() {
                shown["subresources"] = json!([]);
            }
            if let Some(parts) = shown["subresources"].as_array_mut() {
                parts.push(json!({ "subresource": subresource, "responseKind": kind(entry), "verbs": entry["verbs"] }));
            }
        }
    }
    json!({ "version": version, "resources": plural.into_values().collect::<Vec<_>>(), "freshness": "Current" })
}

/// Every group of the backends for aggregated discovery. A backend that does not answer in time is shown as stale.
pub async fn discovery(server: &Inner) -> Vec<Value> {
    let versions = join_all(registered(server).into_iter().map(|object| async move {
        let (group, version) =
            (object["spec"]["group"].as_str().unwrap_or_default(), object["spec"]["version"].as_str().unwrap_or_default());
        let resources = match backend(server, &object) {
            Ok(backend) => backend.resources().await,
            Err(why) => Err(why),
        };
        let shown = match resources {
            Ok(resources) => aggregated(group, version, &resources),
            Err(_) => json!({ "version": version, "freshness": "Stale" }),
        };
        (group.to_owned(), shown)
    }));
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (group, version) in versions.await {
        groups.entry(group).or_default().push(version);
    }
    groups.into_iter().map(|(group, versions)| json!({ "metadata": { "name": group }, "versions": versions })).collect()
}

/// Whether an APIService works: reason and message, good or bad.
async fn probe(server: &Inner, object: &Value) -> Result<(&'static str, String), (&'static str, String)> {
    if !object["spec"]["service"].is_object() {
        return Ok(("Local", "Local APIServices are always available".to_owned()));
    }
    let backend = backend(server, object).map_err(|why| ("ServiceNotFound", why))?;
    backend.resources().await.map_err(|why| ("FailedDiscoveryCheck", why))?;
    Ok(("Passed", "all checks passed".to_owned()))
}

/// Writes the condition `Available` of an APIService for as long as this object exists.
pub fn observe(server: &Arc<Inner>, object: &Value) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    let (server, uid) = (Arc::downgrade(server), object["metadata"]["uid"].clone());
    let key = Key::new(&services(), "", object["metadata"]["name"].as_str().unwrap_or_default());
    runtime.spawn(async move {
        loop {
            let Some(server) = server.upgrade() else { return };
            let Some(object) = server.store.read(|state| state.get(&key)).filter(|object| object["metadata"]["uid"] == uid) else { return };
            let answer = probe(&server, &object).await;
            let available = answer.is_ok();
            let (Ok((reason, message)) | Err((reason, message))) = answer;
            let status = if available { "True" } else { "False" };
            server.store.write(|state| {
                let Some(now) = state.get(&key).filter(|object| object["metadata"]["uid"] == uid) else { return };
                let known = &now["status"]["conditions"][0];
                if known["status"] != status || known["reason"] != reason {
                    let mut changed = Value::clone(&now);
                    changed["status"] = json!({ "conditions": [{ "type": "Available", "status": status, "lastTransitionTime": super::write::now(),
                        "reason": reason, "message": message }] });
                    state.put(key.clone(), changed);
                }
            });
            if reason == "Local" {
                return;
            }
            drop(server);
            tokio::time::sleep(if available { PROBE.1 } else { PROBE.0 }).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subresources_without_their_resource_are_shown() {
        let resources = [
            json!({ "name": "virtualmachines/start", "namespaced": true, "kind": "VirtualMachine", "verbs": ["update"] }),
            json!({ "name": "virtualmachines/stop", "namespaced": true, "kind": "VirtualMachine", "verbs": ["update"] }),
        ];
        let shown = aggregated("subresources.kubevirt.io", "v1", &resources);
        assert_eq!(shown["resources"][0]["resource"], "virtualmachines");
        assert_eq!(shown["resources"][0]["subresources"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn nobody_says_who_they_are_themselves() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("x-remote-user", "admin"), ("x-remote-group", "system:masters"), ("x-remote-extra-a", "b"), ("authorization", "Bearer t")]
        {
            headers.insert(name, value.parse().unwrap());
        }
        let caller = Caller { name: "bob".to_owned(), groups: vec!["system:authenticated".to_owned()] };
        let forwarded = forwarded(&headers, &caller, false);
        assert_eq!(forwarded["x-remote-user"], "bob");
        assert_eq!(forwarded.get_all("x-remote-group").iter().collect::<Vec<_>>(), ["system:authenticated"]);
        assert_eq!(forwarded.len(), 2);
    }
}
