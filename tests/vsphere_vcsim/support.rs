//! vcsim as a child process, govc beside it, and profiles for it.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use mtv_test::{
    config::profile::{Profile, ProviderKind},
    providers::{SourceProvider, connect},
    secrets::Secret,
};

/// User of every simulated vCenter.
pub const USER: &str = "admin";
/// Its password: with characters that XML and URLs treat in their own ways.
pub const PASSWORD: &str = "p&ss <w>%";
/// Longest wait of a test for something that happens beside it.
const LIMIT: Duration = Duration::from_mins(1);

/// The folder of real servers, if there is one that has `program`. With `CI=true` it must be there.
fn asset(program: &str) -> Option<PathBuf> {
    let folder = ["MTV_TEST_ASSETS", "KUBEBUILDER_ASSETS"].iter().find_map(std::env::var_os).map(PathBuf::from);
    let found = folder.map(|f| f.join(program)).filter(|f| f.is_file());
    if found.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "CI=true needs {program} in the folder named by MTV_TEST_ASSETS; tests/servers/build makes it"
        );
        println!("ignored: no assets, see CONTRIBUTING.md");
    }
    found
}

/// A running vcsim. It ends when this value goes, and with the test process at the latest: its standard input ends then.
pub struct Vcsim {
    child: Child,
    /// SDK URL.
    pub url: String,
    govc: PathBuf,
    folder: tempfile::TempDir,
}

impl Vcsim {
    /// Starts a vcsim with plain HTTP; `None` without assets.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let (vcsim, govc) = (asset("vcsim")?, asset("govc")?);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(vcsim)
            .args(["-follow-stdin", "-user", USER, "-password", PASSWORD])
            .args(arguments)
            // Simulated datastores are folders.
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        let url = read.ok().and_then(|_| serde_json::from_str::<serde_json::Value>(&line).ok()?.get("url")?.as_str().map(str::to_owned));
        let Some(url) = url else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("vcsim printed no URL but `{line}`");
        };
        Some(Self { child, url, govc, folder })
    }

    /// A folder that goes with the server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs govc and gives what it prints.
    pub fn govc(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.govc)
            .args(arguments)
            .env("GOVC_URL", &self.url)
            .env("GOVC_USERNAME", USER)
            .env("GOVC_PASSWORD", PASSWORD)
            .env("GOVC_INSECURE", "true")
            .env("GOVC_PERSIST_SESSION", "false")
            .env("GOVC_DATACENTER", "/DC0")
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "govc {arguments:?}: {out}{err}");
        out.into_owned()
    }

    /// One property of an object, by inventory path or reference, as govc reads it.
    pub fn property(&self, object: &str, path: &str) -> String {
        self.govc(&["object.collect", "-s", object, path]).trim().to_owned()
    }

    /// Ends every session but that of the asking govc, which logs out by itself.
    pub fn end_sessions(&self) {
        let list: serde_json::Value = serde_json::from_str(&self.govc(&["session.ls", "-json"])).unwrap();
        let govc = list["currentSession"]["key"].as_str();
        let keys: Vec<&str> = list["sessionList"].as_array().unwrap().iter().filter_map(|s| s["key"].as_str()).collect();
        for key in keys.into_iter().filter(|key| Some(*key) != govc) {
            self.govc(&["session.rm", key]);
        }
    }

    /// A profile for this server.
    pub fn profile(&self) -> Profile {
        profile(&self.url)
    }

    /// A connected client.
    pub async fn connect(&self) -> Box<dyn SourceProvider> {
        connect(&self.profile()).await.unwrap()
    }
}

impl Drop for Vcsim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A profile for an SDK URL.
pub fn profile(url: &str) -> Profile {
    Profile {
        name: "vcsim".into(),
        file: "providers.toml".into(),
        kind: ProviderKind::Vsphere,
        version: "8.0".into(),
        fqdn: "127.0.0.1".into(),
        api_url: url.into(),
        username: USER.into(),
        password: Secret::new(PASSWORD),
        insecure_skip_verify: false,
        ca_file: None,
        vddk_init_image: None,
        guest_linux: None,
        guest_windows: None,
        ca_pem: None,
        extra: BTreeMap::default(),
        extra_secrets: BTreeMap::default(),
        copyoffload: None,
    }
}

/// Waits until something that happens beside the test has happened.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, waiting).await.is_ok(), "{what} did not happen within {LIMIT:?}");
}

/// Requests so far of one method.
pub fn count(provider: &dyn SourceProvider, method: &str) -> u64 {
    provider.requests().get(method).copied().unwrap_or_default()
}

/// All requests so far.
pub fn total(provider: &dyn SourceProvider) -> u64 {
    provider.requests().values().sum()
}
