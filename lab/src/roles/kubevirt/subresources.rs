//! `subresources.kubevirt.io`, an aggregated API: the role's own HTTPS server, registered with the API server by a
//! Service of type `ExternalName` and an APIService, which works without any cluster network.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use kube::Client;
use mtv_api::kinds::{self, Kind};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{
    MANAGER, NAMESPACE, Shared,
    actions::{self, Refusal},
    guest, portforward,
};
use crate::{faults::SshFault, guests::SSH_PORT, roles::write, tls::Authority};

const GROUP: &str = "subresources.kubevirt.io";
const VERSIONS: [&str; 2] = ["v1", "v1alpha3"];
const SERVICE: &str = "virt-api";

/// Registration of an aggregated API.
const API_SERVICE: Kind =
    Kind { group: "apiregistration.k8s.io", version: "v1", kind: "APIService", plural: "apiservices", namespaced: false };

/// Starts the server and registers it.
pub(super) async fn start(shared: Shared, authority: &Authority) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listen for KubeVirt's sub-resources")?;
    let port = listener.local_addr()?.port();
    let name = format!("{SERVICE}.{NAMESPACE}.svc");
    let tls = TlsAcceptor::from(authority.server(&[&name])?);
    let cx = shared.cx.clone();
    let tasks = cx.tasks.clone();
    let cancel = cx.cancel.clone();
    cx.spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = serve(shared.clone(), tls.clone(), stream);
                    let cancel = cancel.clone();
                    tasks.spawn(async move {
                        tokio::select! {
                            () = cancel.cancelled() => {}
                            () = connection => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::debug!("KubeVirt's sub-resources: {error}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    });
    register(&cx, authority, port).await
}

async fn register(cx: &crate::roles::Context, authority: &Authority, port: u16) -> anyhow::Result<()> {
    write::create(&cx.client, MANAGER, &kinds::NAMESPACE, json!({ "metadata": { "name": NAMESPACE } })).await?;
    let spec =
        json!({ "type": "ExternalName", "externalName": "localhost", "ports": [{ "name": "https", "port": port, "protocol": "TCP" }] });
    let service = json!({ "metadata": { "name": SERVICE, "namespace": NAMESPACE }, "spec": spec });
    if write::create(&cx.client, MANAGER, &kinds::SERVICE, service).await?.is_none() {
        // Left by an earlier lab on the same API server.
        write::merge(&write::api(&cx.client, &kinds::SERVICE, NAMESPACE), MANAGER, SERVICE, json!({ "spec": spec })).await?;
    }
    for version in VERSIONS {
        let name = format!("{version}.{GROUP}");
        let spec = json!({
            "group": GROUP,
            "version": version,
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
            "caBundle": STANDARD.encode(authority.pem()),
            "service": { "name": SERVICE, "namespace": NAMESPACE, "port": port },
        });
        if write::create(&cx.client, MANAGER, &API_SERVICE, json!({ "metadata": { "name": name }, "spec": spec })).await?.is_none() {
            write::merge(&write::all(&cx.client, &API_SERVICE), MANAGER, &name, json!({ "spec": spec })).await?;
        }
    }
    Ok(())
}

/// Takes back what [`start`] has registered: the API server would go on asking a port that nobody listens on, and would fail
/// every discovery, and with it every deletion of a namespace. What another lab has registered meanwhile stays.
///
/// # Errors
/// What the server says.
pub(crate) async fn withdraw(client: &Client, authority_pem: &str) -> anyhow::Result<()> {
    let bundle = STANDARD.encode(authority_pem);
    let api = write::all(client, &API_SERVICE);
    let mut ours = false;
    for version in VERSIONS {
        let name = format!("{version}.{GROUP}");
        let Some(object) = api.get_opt(&name).await? else { continue };
        if write::text(&object.data, "/spec/caBundle") == bundle {
            ours = true;
            write::delete(&api, &name, object.metadata.uid, None).await?;
        }
    }
    if ours {
        write::delete(&write::api(client, &kinds::SERVICE, NAMESPACE), SERVICE, None, None).await?;
    }
    Ok(())
}

async fn serve(shared: Shared, tls: TlsAcceptor, stream: TcpStream) {
    let stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!("KubeVirt's sub-resources: TLS: {error}");
            return;
        }
    };
    let shared = Arc::new(shared);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request).await.unwrap_or_else(|refusal| refused(&refusal))) }
    });
    let _closed = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let reason = match refusal.status {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::BAD_REQUEST => "BadRequest",
        StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
        _ => "InternalError",
    };
    let body = json!({ "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "message": refusal.message, "reason": reason, "code": refusal.status.as_u16() });
    json_response(refusal.status, &body)
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Refusal> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let unknown = || Refusal { status: StatusCode::NOT_FOUND, message: "the server could not find the requested resource".to_owned() };
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["healthz" | "readyz" | "livez"]) => Ok(Response::new(Full::new(Bytes::from_static(b"ok")))),
        (&Method::GET, ["apis"]) => {
            Ok(json_response(StatusCode::OK, &json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [group()] })))
        }
        (&Method::GET, ["apis", GROUP]) => Ok(json_response(StatusCode::OK, &group())),
        (&Method::GET, ["apis", GROUP, version]) if VERSIONS.contains(version) => Ok(json_response(StatusCode::OK, &resources(version))),
        (&Method::GET, ["apis", GROUP, _, "version"]) => {
            Ok(json_response(StatusCode::OK, &json!({ "gitVersion": "v1.6.2", "platform": "linux/amd64" })))
        }
        (&Method::PUT, ["apis", GROUP, _, "namespaces", namespace, "virtualmachines", name, action @ ("start" | "stop" | "restart")]) => {
            actions::run(shared, namespace, name, action).await?;
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::ACCEPTED;
            Ok(response)
        }
        (&Method::GET, ["apis", GROUP, _, "namespaces", namespace, "virtualmachineinstances", name, "guestosinfo"]) => {
            let instance = running(shared, namespace, name).await?;
            let connected = write::holds(write::list(&instance, "/status/conditions"), "AgentConnected");
            let guest = shared.guests.get(namespace, name).filter(|_| connected);
            let guest = guest.ok_or_else(|| Refusal::conflict(name, "VMI does not have guest agent connected"))?;
            Ok(json_response(StatusCode::OK, &guest::agent_info(&guest)))
        }
        (
            &Method::GET,
            ["apis", GROUP, _, "namespaces", namespace, "virtualmachineinstances" | "virtualmachines", name, "portforward", port]
            | ["apis", GROUP, _, "namespaces", namespace, "virtualmachineinstances" | "virtualmachines", name, "portforward", port, "tcp"],
        ) => {
            let port: u16 =
                port.parse().map_err(|_| Refusal { status: StatusCode::BAD_REQUEST, message: format!("`{port}` is no port") })?;
            let instance = running(shared, namespace, name).await?;
            // Whoever listens in the guest is asked before the upgrade, as virt-handler does.
            let guest =
                shared.guests.get(namespace, name).filter(|guest| port == SSH_PORT && guest.ssh != Some(SshFault::Closed)).ok_or_else(
                    || {
                        let ip = write::text(&instance, "/status/interfaces/0/ipAddress");
                        Refusal::internal(&anyhow::anyhow!("dialing VM: dial tcp {ip}:{port}: connect: connection refused"))
                    },
                )?;
            portforward::accept(request, guest)
        }
        _ => Err(unknown()),
    }
}

/// The instance, if it runs.
async fn running(shared: &Shared, namespace: &str, name: &str) -> Result<Value, Refusal> {
    let api = write::api(&shared.cx.client, &kinds::VMI, namespace);
    let instance = api.get_opt(name).await.map_err(|e| Refusal::internal(&e.into()))?;
    let instance = instance.ok_or_else(|| Refusal::not_found("virtualmachineinstance", name))?.data;
    if write::text(&instance, "/status/phase") != "Running" {
        return Err(Refusal::conflict(name, "VMI is not started"));
    }
    if write::holds(write::list(&instance, "/status/conditions"), "Paused") {
        return Err(Refusal::conflict(name, "VMI is paused"));
    }
    Ok(instance)
}

fn group() -> Value {
    let versions: Vec<_> = VERSIONS.iter().map(|v| json!({ "groupVersion": format!("{GROUP}/{v}"), "version": v })).collect();
    json!({ "kind": "APIGroup", "apiVersion": "v1", "name": GROUP, "versions": versions, "preferredVersion": versions[0] })
}

/// The discovery document: sub-resources only, no kind of its own, as KubeVirt's.
fn resources(version: &str) -> Value {
    let names = [
        ("virtualmachines/start", "put"),
        ("virtualmachines/stop", "put"),
        ("virtualmachines/restart", "put"),
        ("virtualmachines/portforward", "get"),
        ("virtualmachineinstances/portforward", "get"),
        ("virtualmachineinstances/guestosinfo", "get"),
    ];
    let resources: Vec<_> = names
        .iter()
        .map(|(name, verb)| json!({ "name": name, "singularName": "", "namespaced": true, "kind": "", "verbs": [verb] }))
        .collect();
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{version}"), "resources": resources })
}
