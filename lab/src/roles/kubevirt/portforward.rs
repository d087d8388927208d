//! Port-forwarding: a WebSocket whose binary frames carry a TCP stream, nothing around it.

use std::sync::Arc;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

use super::actions::Refusal;
use crate::guests::Guest;

/// The sub-protocol of KubeVirt's streams.
const PROTOCOL: &str = "plain.kubevirt.io";
/// Bytes on their way in each direction.
const BUFFER: usize = 64 * 1024;

/// Answers the upgrade and connects the stream with the guest's sshd.
pub(super) fn accept(mut request: Request<Incoming>, guest: Arc<Guest>) -> Result<Response<Full<Bytes>>, Refusal> {
    let bad = |message: &str| Refusal { status: StatusCode::BAD_REQUEST, message: message.to_owned() };
    let headers = request.headers();
    let is =
        |name, value: &str| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).is_some_and(|v| v.to_lowercase().contains(value));
    if !is(header::UPGRADE, "websocket") || !is(header::CONNECTION, "upgrade") {
        return Err(bad("a WebSocket is wanted here: the upgrade headers are missing"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| bad("the WebSocket key is missing"))?;
    let accept = derive_accept_key(key.as_bytes());
    let protocols = protocols(headers);
    if !protocols.is_empty() && !protocols.iter().any(|p| p == PROTOCOL) {
        return Err(bad("the only sub-protocol is plain.kubevirt.io"));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => pump(upgraded, guest).await,
            Err(error) => tracing::debug!("a port-forward was not upgraded: {error}"),
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept).map_err(|_| bad("the WebSocket key is malformed"))?);
    if !protocols.is_empty() {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    Ok(response)
}

fn protocols(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).map(|p| p.trim().to_owned()).collect()
}

async fn pump(upgraded: Upgraded, guest: Arc<Guest>) {
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let (mut to_client, mut from_client) = socket.split();
    let (here, there) = tokio::io::duplex(BUFFER);
    let (mut from_guest, mut to_guest) = tokio::io::split(here);
    let sshd = tokio::spawn(async move {
        if let Err(error) = guest.serve(there).await {
            tracing::debug!("an SSH session of a guest ended: {error:#}");
        }
    });
    let inward = async {
        while let Some(Ok(message)) = from_client.next().await {
            match message {
                Message::Binary(data) if to_guest.write_all(&data).await.is_ok() => {}
                Message::Binary(_) | Message::Close(_) => break,
                _ => {}
            }
        }
        let _closed = to_guest.shutdown().await;
    };
    let outward = async {
        let mut buffer = vec![0; BUFFER / 2];
        while let Ok(length @ 1..) = from_guest.read(&mut buffer).await {
            if to_client.send(Message::Binary(Bytes::copy_from_slice(&buffer[..length]))).await.is_err() {
                break;
            }
        }
        let _closed = to_client.send(Message::Close(None)).await;
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
    sshd.abort();
}
