//! HTTP inside pods. A pod's address is a loopback address of its own, so that well-known ports can be used as in a
//! real pod; where the machine does not allow that, ports of 127.0.0.1 are used and named in annotations of the pod.

use std::{convert::Infallible, net::Ipv4Addr, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

/// Annotation of a pod: port of its metrics where it is not 2112.
pub const METRICS_PORT: &str = "lab.mtv-test.io/metrics-port";
/// Annotation of a pod: port of its results where it is not 8080.
pub const RESULTS_PORT: &str = "lab.mtv-test.io/results-port";

/// Port of virt-v2v's metrics.
pub(super) const METRICS: u16 = 2112;

/// How many addresses are tried: each is free with near certainty unless ports are forbidden altogether.
const ATTEMPTS: usize = 4;

/// A listener, and its port if it is not the one asked for.
pub(super) struct Listening {
    pub(super) socket: TcpListener,
    pub(super) other_port: Option<u16>,
}

/// Takes a loopback address of its own with a port.
pub(super) async fn address(port: u16) -> anyhow::Result<(Ipv4Addr, Listening)> {
    for _ in 0..ATTEMPTS {
        let mut random = [0; 3];
        getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
        // The lower half is left to people's own settings (127.0.0.1, 127.0.1.1, 127.0.0.53).
        let ip = Ipv4Addr::new(127, 128 | random[0], random[1], random[2].clamp(2, 254));
        if let Ok(socket) = TcpListener::bind((ip, port)).await {
            return Ok((ip, Listening { socket, other_port: None }));
        }
    }
    Ok((Ipv4Addr::LOCALHOST, any(Ipv4Addr::LOCALHOST).await?))
}

/// Holds the port of metrics on one address, until it is dropped, so that no program can take it on all addresses.
///
/// A real forklift-controller serves metrics of its own there, on all addresses, and would keep every pod of the lab from
/// serving its. It asks pods for theirs at that port only. Without its own metrics it works as well.
///
/// # Errors
/// The port is taken on all addresses already.
pub async fn hold_metrics_port() -> anyhow::Result<impl Send> {
    let (_, listening) = address(METRICS).await?;
    anyhow::ensure!(
        listening.other_port.is_none(),
        "port {METRICS} is taken on all addresses, and pods cannot serve the metrics of virt-v2v there; a forklift-controller must be started after the lab"
    );
    Ok(listening.socket)
}

/// Listens on a further port of an address taken before.
pub(super) async fn also(ip: Ipv4Addr, port: u16) -> anyhow::Result<Listening> {
    if ip != Ipv4Addr::LOCALHOST
        && let Ok(socket) = TcpListener::bind((ip, port)).await
    {
        return Ok(Listening { socket, other_port: None });
    }
    any(ip).await
}

async fn any(ip: Ipv4Addr) -> anyhow::Result<Listening> {
    let socket = TcpListener::bind((ip, 0)).await.with_context(|| format!("listen on {ip}"))?;
    let other_port = Some(socket.local_addr()?.port());
    Ok(Listening { socket, other_port })
}

/// Answers requests by method and path until it is dropped.
pub(super) async fn serve(listening: Listening, answer: impl Fn(&Method, &str) -> Response<Full<Bytes>> + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    let mut connections = JoinSet::new();
    loop {
        let stream = match listening.socket.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("a pod's server could not accept: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let answer = Arc::clone(&answer);
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = answer(request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(response) }
            });
            let _closed = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An answer with a body.
pub(super) fn text(content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// An answer without a body.
pub(super) fn code(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
