//! Commands in containers: `exec` over a WebSocket, as `kubectl cp` uses it.

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::AttachParams};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Cluster;

/// Longest text of standard error that an error repeats, bytes.
const TOLD: u64 = 2000;

/// Runs a command in a container and writes its standard output to `out`. The caller bounds the time.
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
) -> anyhow::Result<()> {
    let what = || format!("failed to run `{}` in container {container} of Pod {namespace}/{pod}", command.join(" "));
    let pods: Api<Pod> = Api::namespaced(cluster.client().clone(), namespace);
    let params = AttachParams::default().container(container).stdin(false).stdout(true).stderr(true);
    let mut process = pods.exec(pod, command.iter().copied(), &params).await.with_context(what)?;
    let status = process.take_status().context("the stream has no status").with_context(what)?;
    let mut stdout = process.stdout().context("the stream has no standard output").with_context(what)?;
    let mut stderr = process.stderr().context("the stream has no standard error").with_context(what)?;
    let mut said = Vec::new();
    // Both at once: a command whose errors nobody reads stops writing.
    let (copied, _) = tokio::join!(tokio::io::copy(&mut stdout, &mut out), async {
        let _first = (&mut stderr).take(TOLD).read_to_end(&mut said).await;
        tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await
    });
    copied.with_context(what)?;
    out.flush().await.with_context(what)?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    match status.await {
        Some(status) if status.status.as_deref() == Some("Success") => Ok(()),
        Some(status) => Err(anyhow::anyhow!("{} {said}", status.message.unwrap_or_default())).with_context(what),
        None => Err(anyhow::anyhow!("the stream broke before the command had ended")).with_context(what),
    }
}
