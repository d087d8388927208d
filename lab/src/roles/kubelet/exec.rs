//! The kubelet's own server: `exec` into containers over WebSocket, in the protocol of the API server's remote commands.

use std::{convert::Infallible, net::Ipv4Addr};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt, api::ListParams};
use reqwest::Url;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, frame::coding::CloseCode},
    },
};

use super::{
    MANAGER,
    container::{Outcome, reads_input},
};
use crate::{
    roles::{Context, openshift::NODE_PROVIDER, write},
    tls::Authority,
};

/// Protocols that are spoken, the best one first: both carry a channel number before the data, v5 can close one.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
/// Carries a `Status` when the command has ended.
const ERROR: u8 = 3;
/// Says that a channel is closed (v5).
const CLOSE: u8 = 255;
/// Bytes of a frame, as the kubelet's copy loop has it.
const FRAME: usize = 32 * 1024;

/// Starts the server and says in the lab's nodes where it listens.
pub(super) async fn start(cx: &Context, authority: &Authority) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen for the kubelet")?;
    let port = listener.local_addr()?.port();
    let nodes: Api<Node> = Api::all(cx.client.clone());
    for node in nodes.list(&ListParams::default()).await.context("list the nodes")? {
        let of_the_lab = node.spec.as_ref().and_then(|s| s.provider_id.as_deref()).is_some_and(|id| id.starts_with(NODE_PROVIDER));
        if of_the_lab {
            let endpoints = json!({ "daemonEndpoints": { "kubeletEndpoint": { "Port": port } } });
            write::status(&nodes, MANAGER, &node.name_any(), endpoints).await?;
        }
    }
    let tls = TlsAcceptor::from(authority.server(&[])?);
    let context = cx.clone();
    cx.spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            };
            let (cx, tls) = (context.clone(), tls.clone());
            context.spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = service_fn(move |request| {
                    let cx = cx.clone();
                    async move { Ok::<_, Infallible>(answer(cx, request).await) }
                });
                let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
                if let Err(error) = served.await {
                    tracing::debug!("a connection to the kubelet ended early: {error}");
                }
            });
        }
    });
    Ok(())
}

fn refused(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{message}\n")));
    *response.status_mut() = status;
    response
}

async fn answer(cx: Context, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let Ok(url) = Url::parse(&format!("http://kubelet{}", request.uri())) else {
        return refused(StatusCode::BAD_REQUEST, "not a path");
    };
    let segments: Vec<String> = url.path_segments().into_iter().flatten().map(str::to_owned).collect();
    let [verb, namespace, pod, container] = segments.as_slice() else { return refused(StatusCode::NOT_FOUND, "404 page not found") };
    if verb != "exec" {
        return refused(StatusCode::NOT_FOUND, "404 page not found");
    }
    let pods: Api<Pod> = Api::namespaced(cx.client.clone(), namespace);
    let found = match pods.get_opt(pod).await {
        Ok(Some(found)) => found,
        Ok(None) => return refused(StatusCode::NOT_FOUND, "pod does not exist"),
        Err(error) => return refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let statuses = found.status.as_ref().and_then(|s| s.container_statuses.as_deref()).unwrap_or_default();
    let running = statuses.iter().any(|s| s.name == *container && s.state.as_ref().is_some_and(|s| s.running.is_some()));
    if !running {
        return refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("container not found (\"{container}\")"));
    }
    let value = |key: &str| url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned());
    let flag = |key: &str| value(key).is_some_and(|value| matches!(value.as_str(), "1" | "true"));
    let exec = Exec {
        uid: found.uid().unwrap_or_default(),
        pod: found.name_any(),
        command: url.query_pairs().filter(|(name, _)| name == "command").map(|(_, value)| value.into_owned()).collect(),
        stdin: flag("input"),
        stdout: flag("output"),
        stderr: flag("error"),
        closes: false,
    };
    upgrade(cx, &mut request, exec)
}

/// A command that somebody wants to run.
#[expect(clippy::struct_excessive_bools, reason = "the streams of the protocol, each wanted or not")]
struct Exec {
    uid: String,
    pod: String,
    command: Vec<String>,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    /// The client says when its standard input ends.
    closes: bool,
}

fn upgrade(cx: Context, request: &mut Request<Incoming>, mut exec: Exec) -> Response<Full<Bytes>> {
    let headers = request.headers();
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_lowercase();
    if !headers.get(header::UPGRADE).is_some_and(|value| text(value).contains("websocket")) {
        return refused(StatusCode::BAD_REQUEST, "unable to upgrade: the lab's kubelet speaks WebSocket only");
    }
    let Some(accept) = headers.get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes())) else {
        return refused(StatusCode::BAD_REQUEST, "unable to upgrade: the WebSocket key is missing");
    };
    let wanted: Vec<String> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|v| text(v).split(',').map(|p| p.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    let Some(protocol) = PROTOCOLS.into_iter().find(|known| wanted.iter().any(|w| w == known)) else {
        return refused(
            StatusCode::FORBIDDEN,
            &format!("unable to upgrade: unable to negotiate protocol: client supports {wanted:?}, server supports {PROTOCOLS:?}"),
        );
    };
    exec.closes = protocol == PROTOCOLS[0];
    let upgrade = hyper::upgrade::on(request);
    cx.clone().spawn(async move {
        match upgrade.await {
            Ok(upgraded) => run(&cx, upgraded, exec).await,
            Err(error) => tracing::debug!("an exec was not upgraded: {error}"),
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    match HeaderValue::from_str(&accept) {
        Ok(accept) => drop(headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept)),
        Err(_) => return refused(StatusCode::BAD_REQUEST, "unable to upgrade: the WebSocket key is malformed"),
    }
    response
}

async fn run(cx: &Context, upgraded: Upgraded, exec: Exec) {
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    // An empty message on the first channel that can be written: the client knows that it is connected.
    let first = if exec.stdout {
        STDOUT
    } else if exec.stderr {
        STDERR
    } else {
        ERROR
    };
    if socket.send(Message::binary(vec![first])).await.is_err() {
        return;
    }
    let input = if exec.stdin && reads_input(&exec.command) { input(&mut socket, &exec).await } else { Vec::new() };
    let Outcome { stdout, stderr, code } = cx.world.containers.with(&exec.uid, &exec.pod, |container| container.run(&exec.command, &input));
    let status = if code == 0 {
        json!({ "metadata": {}, "status": "Success" })
    } else {
        let message = format!("command terminated with non-zero exit code: error executing command {:?}, exit code {code}", exec.command);
        json!({ "metadata": {}, "status": "Failure", "message": message, "reason": "NonZeroExitCode",
            "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] } })
    };
    for (channel, wanted, bytes) in
        [(STDOUT, exec.stdout, stdout), (STDERR, exec.stderr, stderr), (ERROR, true, status.to_string().into_bytes())]
    {
        for part in bytes.chunks(FRAME).filter(|_| wanted) {
            let mut frame = vec![channel];
            frame.extend_from_slice(part);
            if socket.send(Message::binary(frame)).await.is_err() {
                return;
            }
        }
    }
    // Without a code kubectl takes the end for a broken stream.
    let _gone = socket.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).await;
    // Until the client has answered the close, its side of the stream is still open.
    while let Some(Ok(_)) = socket.next().await {}
}

/// Standard input up to its end. v4 cannot say that it ends: there an archive ends where tar sees its end.
async fn input<S>(socket: &mut WebSocketStream<S>, exec: &Exec) -> Vec<u8>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut bytes = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(data) => match data.split_first() {
                Some((&STDIN, data)) => bytes.extend_from_slice(data),
                Some((&CLOSE, [STDIN])) => break,
                _ => {}
            },
            Message::Close(_) => break,
            _ => {}
        }
        // Two blocks of zeros.
        if !exec.closes && bytes.len() >= 1024 && bytes.ends_with(&[0; 1024]) {
            break;
        }
    }
    bytes
}
