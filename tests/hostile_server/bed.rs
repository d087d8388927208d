//! The binary against hostile servers: with little memory, with an end, and with what it must never do.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use mtv_lab::tls::Authority;
use rustls::ServerConfig;
use tempfile::TempDir;

use crate::server::{Answer, Asked, Bad, Server};

/// What nobody but the right server may see.
pub const PASSWORD: &str = "hostile-canary-Pw0rd-abcdef0123456789";

/// Memory of the process under test, KiB: more than any answer may need.
const MEMORY: u32 = 2 * 1024 * 1024;

/// When a process that hangs is killed, seconds: only so that the test ends.
const END: &str = "170";

/// Exit codes that are documented, without success and without internal errors.
const CODES: [i32; 5] = [1, 2, 4, 7, 8];

/// Certificates, a trap and a folder.
pub struct Bed {
    pub authority: Authority,
    pub folder: TempDir,
    /// Where redirects lead: nothing may come here.
    trap: Server,
    /// The same without TLS.
    plain_trap: Server,
}

impl Bed {
    pub fn new() -> Self {
        let authority = Authority::new().unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let trap = Server::start(Some(authority.server(&[]).unwrap()), |_| Answer::json("{}"));
        let plain_trap = Server::start(None, |_| Answer::json("{}"));
        Self { authority, folder, trap, plain_trap }
    }

    pub fn tls(&self) -> Arc<ServerConfig> {
        self.authority.server(&[]).unwrap()
    }

    /// Another address with TLS, and one without.
    pub fn elsewhere(&self) -> [Bad; 2] {
        [Bad::Elsewhere(format!("https://{}/x", self.trap.address)), Bad::Elsewhere(format!("http://{}/x", self.plain_trap.address))]
    }

    /// Everything that an answer can be, and ends at once.
    pub fn all(&self) -> Vec<Bad> {
        let mut all = vec![
            Bad::Endless,
            Bad::Values,
            Bad::Huge,
            Bad::Gzip,
            Bad::Deep,
            Bad::Empty,
            Bad::Braces,
            Bad::Html,
            Bad::WrongType,
            Bad::ProxyNotFound,
            Bad::Cut,
            Bad::Headers,
        ];
        all.extend(self.elsewhere());
        all
    }

    /// What followed a redirect.
    pub fn trapped(&self) -> Vec<Asked> {
        self.trap.asked().into_iter().chain(self.plain_trap.asked()).collect()
    }

    /// A folder of its own for one case.
    pub fn place(&self, name: &str) -> PathBuf {
        let place = self.folder.path().join(name);
        fs::create_dir(&place).unwrap();
        fs::write(place.join("ca.pem"), self.authority.pem()).unwrap();
        place
    }

    /// A kubeconfig for an API server at an address.
    pub fn kubeconfig(place: &Path, address: SocketAddr) -> PathBuf {
        let path = place.join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: \"https://{address}\", certificate-authority: ca.pem}}}}]\n\
             users: [{{name: u, user: {{token: {PASSWORD}}}}}]\n"
        );
        fs::write(&path, text).unwrap();
        path
    }
}

/// A profile of a source at an address.
pub fn profile(kind: &str, address: SocketAddr) -> String {
    let path = match kind {
        "vsphere" => "sdk",
        "ovirt" => "ovirt-engine/api",
        _ => "v3",
    };
    let mut text = format!(
        "[provider.p]\ntype = \"{kind}\"\nversion = \"1\"\napi_url = \"https://{address}/{path}\"\nusername = \"u@d\"\n\
         password = \"{PASSWORD}\"\nca_file = \"ca.pem\"\n"
    );
    if kind == "openstack" {
        for key in ["user_domain_name", "user_domain_id", "project_name", "project_domain_id", "region_name"] {
            let _infallible = writeln!(text, "{key} = \"x\"");
        }
    }
    text
}

/// The binary with little memory and with an end, not started yet.
pub fn mtv_test(place: &Path) -> Command {
    let other = std::env::var_os("MTV_TEST_BIN").filter(|path| !path.is_empty());
    let binary = other.unwrap_or_else(|| env!("CARGO_BIN_EXE_mtv-test").into());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MEMORY} && exec timeout --signal=KILL --foreground {END} \"$@\""), "sh"]).arg(binary);
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Nothing of the machine's configuration; threads and arenas take address space by the number of processors.
    command.env_clear().env("PATH", path).env("HOME", place).env("NO_COLOR", "1").current_dir(place);
    command.env("TOKIO_WORKER_THREADS", "2").env("MALLOC_ARENA_MAX", "2");
    command
}

/// What a process printed.
pub fn told(output: &Output) -> String {
    format!("{}\n{}\n{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What is wrong with an ending: it must be an error of the environment, in words that hold `words` and no secret.
pub fn judge(output: &Output, words: &[&str]) -> Result<(), String> {
    let told = told(output);
    let mut wrong = Vec::new();
    if !output.status.code().is_some_and(|code| CODES.contains(&code)) {
        wrong.push("the exit code is not that of an error that is documented".to_owned());
    }
    wrong.extend(words.iter().filter(|word| !told.contains(**word)).map(|word| format!("it does not say `{word}`")));
    for never in [PASSWORD, &PASSWORD[..PASSWORD.len() - 1], "nothing is left", "panicked"] {
        if told.contains(never) {
            wrong.push(format!("it says `{never}`"));
        }
    }
    if told.len() > 64 * 1024 {
        wrong.push(format!("it prints {} bytes", told.len()));
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}:\n{}", wrong.join(", "), told.chars().take(4000).collect::<String>())) }
}

/// A case with its name.
pub type Case<'a> = (String, Box<dyn FnOnce() -> Result<(), String> + Send + 'a>);

/// Runs cases beside each other; panics with all that failed.
pub fn side_by_side(cases: Vec<Case<'_>>) {
    const WORKERS: usize = 6;
    let (waiting, failed) = (Mutex::new(cases), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some((name, case)) = waiting.lock().unwrap().pop() else { return };
                    if let Err(why) = case() {
                        failed.lock().unwrap().push(format!("== {name}: {why}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} failed\n{}", failed.len(), failed.join("\n"));
}
