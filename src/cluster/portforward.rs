//! A TCP stream into a virtual machine through KubeVirt's port-forward WebSocket: no virtctl, no local port.

use anyhow::Context as _;
use futures::{SinkExt as _, StreamExt as _};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

use super::Cluster;
use crate::secrets::excerpt;

/// The only sub-protocol that KubeVirt speaks here: binary frames carry the stream as it is.
const PROTOCOL: &str = "plain.kubevirt.io";

/// Size of the pipe between WebSocket and user, and of one frame.
const BUFFER: usize = 64 * 1024;

/// Longest message, bytes. The API server copies pieces of 32 KiB.
const LONGEST: usize = 4 * 1024 * 1024;

/// Opens a stream to a port of a running virtual machine.
///
/// # Errors
/// The virtual machine does not run, the port refuses, or the API server does not know the subresource; with its words.
pub async fn forward(cluster: &Cluster, namespace: &str, vm: &str, port: u16) -> anyhow::Result<DuplexStream> {
    let path = format!("/apis/subresources.kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances/{vm}/portforward/{port}/tcp");
    let key = generate_key();
    let request = Request::get(&path)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        .header(header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL)
        .body(Body::empty())?;
    let what = || format!("failed to open a port-forward to port {port} of VirtualMachineInstance {namespace}/{vm}");
    let response = cluster.client().send(request).await.with_context(what)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        let body = response.into_body().collect().await.map(|b| b.to_bytes().to_vec()).unwrap_or_default();
        let message = serde_json::from_slice::<serde_json::Value>(&body)
            .ok()
            .and_then(|s| s["message"].as_str().map(str::to_owned))
            .unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
        return Err(anyhow::anyhow!("{} ({status})", excerpt(&message, 300))).with_context(what);
    }
    let accepted =
        response.headers().get(header::SEC_WEBSOCKET_ACCEPT).map(|v| v.as_bytes() == derive_accept_key(key.as_bytes()).as_bytes());
    anyhow::ensure!(accepted == Some(true), "{}: the server's WebSocket handshake is wrong", what());
    let upgraded = hyper::upgrade::on(response).await.with_context(what)?;
    let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await;
    let (ours, theirs) = tokio::io::duplex(BUFFER);
    tokio::spawn(pump(socket, theirs));
    Ok(ours)
}

/// Carries bytes both ways until one side ends.
async fn pump<S>(socket: WebSocketStream<S>, pipe: DuplexStream)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut to_vm, mut from_vm) = socket.split();
    let (mut read, mut write) = tokio::io::split(pipe);
    let up = async {
        let mut buffer = vec![0; BUFFER];
        while let Ok(count) = read.read(&mut buffer).await {
            if count == 0 {
                break;
            }
            if to_vm.send(Message::binary(buffer[..count].to_vec())).await.is_err() {
                break;
            }
        }
        let _ = to_vm.close().await;
    };
    let down = async {
        while let Some(Ok(message)) = from_vm.next().await {
            match message {
                Message::Binary(data) if write.write_all(&data).await.is_err() => break,
                Message::Close(_) => break,
                _ => {}
            }
        }
        let _ = write.shutdown().await;
    };
    tokio::join!(up, down);
}
