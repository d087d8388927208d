//! govmomi's vCenter simulator as a child process, and govc beside it.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

use crate::assets;

/// User of every simulated vCenter.
pub const USER: &str = "admin";
/// Its password: with characters that XML and URLs treat in their own ways.
pub const PASSWORD: &str = "p&ss <w>%";

/// A running vcsim. It ends when this value goes, and with the test process at the latest: its standard input ends then.
#[derive(Debug)]
pub struct Vcsim {
    child: Child,
    url: String,
    govc: PathBuf,
    folder: tempfile::TempDir,
}

impl Vcsim {
    /// Starts a vcsim with plain HTTP; `None` without assets.
    ///
    /// # Errors
    /// It printed no URL.
    pub fn start(arguments: &[&str]) -> anyhow::Result<Option<Self>> {
        let (Some(vcsim), Some(govc)) = (assets::find("vcsim"), assets::find("govc")) else { return Ok(None) };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().context("failed to make a folder for vcsim")?;
        let child = Command::new(vcsim)
            .args(["-follow-stdin", "-user", USER, "-password", PASSWORD])
            .args(arguments)
            // Simulated datastores are folders.
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("failed to start vcsim")?;
        let mut vcsim = Self { child, url: String::new(), govc, folder };
        let mut line = String::new();
        let out = vcsim.child.stdout.take().context("vcsim has no standard output")?;
        BufReader::new(out).read_line(&mut line).context("failed to read what vcsim prints")?;
        let printed: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        let url = printed.as_ref().and_then(|printed| printed["url"].as_str());
        url.with_context(|| format!("vcsim printed no URL but `{line}`"))?.clone_into(&mut vcsim.url);
        Ok(Some(vcsim))
    }

    /// SDK URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A folder that goes with the server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs govc and gives what it prints.
    ///
    /// # Errors
    /// It does not start, or ends with another code than 0: with what it printed.
    pub fn govc(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.govc)
            .args(arguments)
            .env("GOVC_URL", &self.url)
            .env("GOVC_USERNAME", USER)
            .env("GOVC_PASSWORD", PASSWORD)
            .env("GOVC_INSECURE", "true")
            .env("GOVC_PERSIST_SESSION", "false")
            .env("GOVC_DATACENTER", "/DC0")
            .output()
            .context("failed to start govc")?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        anyhow::ensure!(output.status.success(), "govc {arguments:?}: {out}{err}");
        Ok(out.into_owned())
    }
}

impl Drop for Vcsim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
