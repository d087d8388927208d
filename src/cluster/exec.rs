//! Commands in containers: `exec` over a WebSocket, as `kubectl cp` uses it.

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::AttachParams};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Cluster;
use crate::{limits::Limit, secrets::excerpt};

/// Longest text of standard error that an error repeats, characters.
const TOLD: usize = 2000;

/// Size of a piece, bytes.
const PIECE: usize = 64 * 1024;

/// Runs a command in a container and writes its standard output to `out`, up to a limit. The caller bounds the time. Returns
/// whether all of it is there; if not, the command was left alone before its end.
///
/// # Errors
/// The container cannot be reached, the stream broke, or the command failed; with what it wrote to standard error.
pub async fn copy_out(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    container: &str,
    command: &[&str],
    mut out: impl AsyncWrite + Unpin,
    limit: Limit,
) -> anyhow::Result<bool> {
    let what = || format!("failed to run `{}` in container {container} of Pod {namespace}/{pod}", command.join(" "));
    let pods: Api<Pod> = Api::namespaced(cluster.client().clone(), namespace);
    let params = AttachParams::default().container(container).stdin(false).stdout(true).stderr(true);
    let mut process = pods.exec(pod, command.iter().copied(), &params).await.with_context(what)?;
    let status = process.take_status().context("the stream has no status").with_context(what)?;
    let mut stdout = process.stdout().context("the stream has no standard output").with_context(what)?;
    let mut stderr = process.stderr().context("the stream has no standard error").with_context(what)?;
    let mut said = Vec::new();
    let copy = async {
        let (mut piece, mut room) = (vec![0; PIECE], limit.bytes());
        loop {
            let count = stdout.read(&mut piece).await?;
            if count == 0 {
                return Ok::<_, std::io::Error>(true);
            }
            let fits = usize::try_from(room).unwrap_or(usize::MAX).min(count);
            out.write_all(&piece[..fits]).await?;
            room -= fits as u64;
            if fits < count {
                return Ok(false);
            }
        }
    };
    let listen = async {
        let _first = (&mut stderr).take(Limit::Login.bytes()).read_to_end(&mut said).await;
        tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await
    };
    // Both at once: a command whose errors nobody reads stops writing. What is cut does not wait for the end of its errors.
    let whole = {
        let (mut copy, mut listen) = (std::pin::pin!(copy), std::pin::pin!(listen));
        tokio::select! {
            copied = &mut copy => {
                let whole = copied.with_context(what)?;
                if whole {
                    let _end = listen.await;
                }
                whole
            }
            _ = &mut listen => copy.await.with_context(what)?,
        }
    };
    out.flush().await.with_context(what)?;
    if !whole {
        process.abort();
        return Ok(false);
    }
    let said = excerpt(String::from_utf8_lossy(&said).trim(), TOLD);
    match status.await {
        Some(status) if status.status.as_deref() == Some("Success") => Ok(true),
        Some(status) => {
            let message = excerpt(&status.message.unwrap_or_default(), TOLD);
            Err(anyhow::anyhow!("{message} {said}")).with_context(what)
        }
        None => Err(anyhow::anyhow!("the stream broke before the command had ended")).with_context(what),
    }
}
