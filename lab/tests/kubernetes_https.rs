//! The lab's Kubernetes API over HTTPS: OAuth login and the aggregation layer, WebSocket upgrades included.
#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

use std::sync::Arc;

use futures::{SinkExt as _, StreamExt as _};
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use mtv_lab::{
    kubernetes::{ApiServer, Options, User},
    tls::Authority,
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Message, handshake::derive_accept_key, protocol::Role};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Lab {
    address: String,
    authority: Authority,
    http: reqwest::Client,
    _running: DropGuard,
}

async fn lab() -> Lab {
    // Another test may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = Authority::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let admin = User {
        name: "kubeadmin".to_owned(),
        token: "static".to_owned(),
        groups: vec!["system:masters".to_owned()],
        password: Some("p w".to_owned()),
    };
    let cancel = CancellationToken::new();
    let server = ApiServer::new(vec![admin], Options::default());
    let tls = authority.server(&[]).unwrap();
    let serving = cancel.clone();
    tokio::spawn(async move { server.serve(listener, tls, serving).await });
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([root]).redirect(reqwest::redirect::Policy::none()).build().unwrap();
    Lab { address, authority, http, _running: cancel.drop_guard() }
}

impl Lab {
    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.http.post(format!("{}{path}", self.address)).bearer_auth("static").json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn get(&self, path: &str, accept: &str) -> (u16, Value) {
        let answer = self.http.get(format!("{}{path}", self.address)).bearer_auth("static").header("accept", accept).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }
}

#[tokio::test]
async fn a_password_becomes_a_token() {
    let lab = lab().await;
    let known: Value =
        lab.http.get(format!("{}/.well-known/oauth-authorization-server", lab.address)).send().await.unwrap().json().await.unwrap();
    let authorize = known["authorization_endpoint"].as_str().unwrap();
    let ask = |password: &str| {
        let query = [("client_id", "openshift-challenging-client"), ("response_type", "code"), ("state", "kubeadmin")];
        lab.http.get(authorize).query(&query).basic_auth("kubeadmin", Some(password)).header("X-CSRF-Token", "1").send()
    };
    assert_eq!(ask("wrong").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let answer = ask("p w").await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
    let location = reqwest::Url::parse(answer.headers()[header::LOCATION].to_str().unwrap()).unwrap();
    let code = location.query_pairs().find(|(key, _)| key == "code").unwrap().1.into_owned();
    let form = [("grant_type", "authorization_code"), ("code", &code), ("client_id", "openshift-challenging-client")];
    let exchange =
        || lab.http.post(known["token_endpoint"].as_str().unwrap()).basic_auth("openshift-challenging-client", Some("")).form(&form).send();
    let token: Value = exchange().await.unwrap().json().await.unwrap();
    let token = token["access_token"].as_str().unwrap();
    let list = lab.http.get(format!("{}/api/v1/namespaces", lab.address)).bearer_auth(token).send().await.unwrap();
    assert_eq!(list.status(), StatusCode::OK);
    assert_eq!(exchange().await.unwrap().status(), StatusCode::BAD_REQUEST, "a code works once");
    let list = lab.http.get(format!("{}/api/v1/namespaces", lab.address)).bearer_auth("made up").send().await.unwrap();
    assert_eq!(list.status(), StatusCode::UNAUTHORIZED);
}

/// A server of subresources: a resource list, an echo of who asks, and a WebSocket that answers in capitals.
async fn backend(mut request: Request<Incoming>) -> Result<Response<Full<bytes::Bytes>>, std::convert::Infallible> {
    let json = |value: Value| Response::new(Full::from(value.to_string()));
    Ok(match request.uri().path() {
        "/apis/subresources.kubevirt.io/v1" => {
            json(json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "subresources.kubevirt.io/v1",
            "resources": [{ "name": "virtualmachines/start", "namespaced": true, "kind": "VirtualMachine", "verbs": ["update"] }] }))
        }
        path if path.ends_with("/portforward/22") => {
            let key = derive_accept_key(request.headers()[header::SEC_WEBSOCKET_KEY].as_bytes());
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let stream = TokioIo::new(upgrade.await.unwrap());
                let mut socket = tokio_tungstenite::WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
                while let Some(Ok(Message::Text(text))) = socket.next().await {
                    socket.send(Message::text(text.to_uppercase())).await.unwrap();
                }
            });
            let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header(header::UPGRADE, "websocket");
            let response = response.header(header::CONNECTION, "Upgrade").header(header::SEC_WEBSOCKET_ACCEPT, key);
            response.body(Full::default()).unwrap()
        }
        _ => json(
            json!({ "user": request.headers()["x-remote-user"].to_str().unwrap(), "token": request.headers().contains_key(header::AUTHORIZATION) }),
        ),
    })
}

async fn serve_backend(listener: TcpListener, tls: Arc<rustls::ServerConfig>) {
    let acceptor = tokio_rustls::TlsAcceptor::from(tls);
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(backend))
                .with_upgrades()
                .await;
        });
    }
}

/// Registers a backend; `port` need not be open.
async fn register(lab: &Lab, port: u16) {
    let service = json!({ "metadata": { "name": "virt-api" }, "spec": { "type": "ExternalName", "externalName": "127.0.0.1" } });
    assert_eq!(lab.post("/api/v1/namespaces/default/services", &service).await.0, 201);
    let bundle = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, lab.authority.pem());
    let spec = json!({ "group": "subresources.kubevirt.io", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15, "caBundle": bundle,
        "service": { "name": "virt-api", "namespace": "default", "port": port } });
    let object = json!({ "metadata": { "name": "v1.subresources.kubevirt.io" }, "spec": spec });
    assert_eq!(lab.post("/apis/apiregistration.k8s.io/v1/apiservices", &object).await.0, 201);
}

const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn version(discovery: &Value) -> &Value {
    let group =
        discovery["items"].as_array().unwrap().iter().find(|group| group["metadata"]["name"] == "subresources.kubevirt.io").unwrap();
    &group["versions"][0]
}

#[tokio::test]
async fn a_backend_serves_its_group_upgrades_included() {
    let lab = lab().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(serve_backend(listener, lab.authority.server(&["virt-api.default.svc"]).unwrap()));
    register(&lab, port).await;
    let (code, answer) = lab.get("/apis/subresources.kubevirt.io/v1/namespaces/n/virtualmachines/vm/x", "*/*").await;
    assert_eq!((code, answer), (200, json!({ "user": "kubeadmin", "token": false })));
    let (_, discovery) = lab.get("/apis", DISCOVERY).await;
    assert_eq!(version(&discovery)["resources"][0]["subresources"][0]["subresource"], "start");
    let (_, group) = lab.get("/apis/subresources.kubevirt.io", "*/*").await;
    assert_eq!(group["preferredVersion"]["version"], "v1");

    let mut roots = rustls::RootCertStore::empty();
    let pem = lab.authority.pem().as_bytes();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(pem).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let host = lab.address.trim_start_matches("https://");
    let stream = TcpStream::connect(host).await.unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
    let path = format!("wss://{host}/apis/subresources.kubevirt.io/v1/namespaces/n/virtualmachineinstances/vm/portforward/22");
    let request = Request::get(path).header("host", host).header("authorization", "Bearer static").header("connection", "Upgrade");
    let request = request
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let (mut socket, _) = tokio_tungstenite::client_async(request.body(()).unwrap(), stream).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("HELLO"));
    serving.abort();
}

#[tokio::test]
async fn a_dead_backend_holds_nobody_up() {
    let lab = lab().await;
    // Bound and dropped: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    register(&lab, port).await;
    let (code, discovery) = lab.get("/apis", DISCOVERY).await;
    assert_eq!((code, &version(&discovery)["freshness"]), (200, &json!("Stale")));
    let (code, _) = lab.get("/apis/subresources.kubevirt.io/v1/namespaces/n/virtualmachines/vm/x", "*/*").await;
    assert_eq!(code, 503);
}
