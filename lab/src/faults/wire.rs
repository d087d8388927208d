//! Connections: TLS, faults before there is a request, and real resets.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    Faults,
    ask::{Ask, Server},
    rule::Effect,
};

/// A TCP connection that can end with a reset instead of a farewell.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    cutter: Cutter,
}

/// By which a connection is cut: its end is a reset then. Servers put it into the extensions of each request.
#[derive(Debug, Clone, Default)]
pub struct Cutter(Arc<AtomicBool>);

impl Cutter {
    /// From now on the connection's end is a reset.
    pub(super) fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.cutter.0.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Faults {
    /// Takes a connection with TLS; none if there is none, or if a rule for the verb `connect` has closed it.
    pub async fn accept(&self, server: Server, acceptor: &TlsAcceptor, stream: TcpStream) -> Option<(TlsStream<Wire>, Cutter)> {
        // Small answers must not wait for each other.
        let _ = stream.set_nodelay(true);
        let cutter = Cutter::default();
        if let Some(rule) = self.choose(&Ask::connect(server)) {
            match rule.effect {
                Effect::Stall => tokio::time::sleep(rule.time().unwrap_or_default()).await,
                _ => return None,
            }
        }
        match acceptor.accept(Wire { stream, cutter: cutter.clone() }).await {
            Ok(stream) => Some((stream, cutter)),
            Err(error) => {
                tracing::debug!(%error, ?server, "no TLS");
                None
            }
        }
    }
}
