//! HTTPS.

use std::sync::Arc;

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{ApiServer, Inner, faulty};
use crate::faults::Server;

impl ApiServer {
    /// Serves until `cancel` is cancelled; open connections and watches end with it.
    pub async fn serve(&self, listener: TcpListener, tls: Arc<rustls::ServerConfig>, cancel: CancellationToken) {
        let acceptor = TlsAcceptor::from(tls);
        loop {
            let stream = tokio::select! {
                () = cancel.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file descriptors, most likely: others may be closed in the meantime.
                        tracing::warn!(%error, "the Kubernetes API cannot accept a connection");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                        continue;
                    }
                },
            };
            let (acceptor, inner, cancel) = (acceptor.clone(), self.inner.clone(), cancel.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = connection(stream, acceptor, inner) => {}
                }
            });
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, inner: Arc<Inner>) {
    let faults = inner.options.faults.clone();
    let Some((stream, cutter)) = faults.accept(Server::Kubernetes, &acceptor, stream).await else { return };
    let service = service_fn(move |mut request: Request<Incoming>| {
        let inner = inner.clone();
        request.extensions_mut().insert(cutter.clone());
        async move { faulty::answer(&inner, request).await }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the Kubernetes API ended early");
    }
}
