//! Exec plugins of kubeconfigs: programs that print a credential (client-go's `client.authentication.k8s.io`).
//!
//! They run with a deadline, in a process group of their own, and see the environment that kubectl would give them. Nothing of
//! their arguments, environment or standard output is ever shown; what they write to standard error is masked first.

use std::{
    io::{IsTerminal as _, Write as _},
    process::Stdio,
    time::Duration,
};

use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    time::timeout,
};

use super::kubeconfig::pair;
use crate::{
    diagnosis::{Diagnosis, Explained, Id},
    engine::human,
    providers::tls::Identity,
    secrets::{Secret, excerpt, mask, variables},
};

/// Longest time of a plugin that asks nobody anything, when a command starts and somebody waits for it.
const FIRST: Duration = Duration::from_secs(15);

/// The same for a renewal in the middle of a run, on a machine that may be busy.
const RENEWAL: Duration = Duration::from_mins(1);

/// Longest time of a plugin that asks the user, such as for a code from a browser.
const INTERACTIVE: Duration = Duration::from_mins(5);

/// Longest output that is read, bytes: a credential has a few kilobytes.
const OUTPUT: u64 = 1024 * 1024;

/// Longest text of standard error that an error repeats, characters.
const SAID: usize = 500;

/// A program that prints a credential.
#[derive(Debug, Clone)]
pub(super) struct Plugin {
    config: ExecConfig,
    /// Whose it is, for messages.
    user: String,
    /// A client certificate that it gave is used for the whole process.
    renewal: bool,
}

/// What a plugin prints.
#[derive(Deserialize)]
struct Printed {
    status: Option<Status>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    token: Option<String>,
    expiration_timestamp: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// A credential.
#[derive(Debug)]
pub(super) struct Credential {
    /// Bearer token.
    pub token: Option<Secret>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Client certificate.
    pub identity: Option<Identity>,
}

impl Plugin {
    /// Takes over what a kubeconfig says. Values that look like secrets are masked from now on.
    pub fn new(config: ExecConfig, user: &str) -> Self {
        let secret = |name: &str| {
            let name = name.to_lowercase();
            ["secret", "token", "password", "passwd", "key"].iter().any(|word| name.contains(word))
        };
        for variable in config.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value"))
                && secret(name)
            {
                drop(Secret::new(value.as_str()));
            }
        }
        let args = config.args.as_deref().unwrap_or_default();
        for (at, arg) in args.iter().enumerate().filter(|(_, arg)| arg.starts_with('-')) {
            match arg.split_once('=') {
                Some((name, value)) if secret(name) => drop(Secret::new(value)),
                None if secret(arg) => drop(args.get(at + 1).filter(|next| !next.starts_with('-')).map(|next| Secret::new(next.as_str()))),
                _ => {}
            }
        }
        Self { config, user: user.to_owned(), renewal: false }
    }

    /// The same, to be run in the middle of a run.
    pub fn again(&self) -> Self {
        Self { renewal: true, ..self.clone() }
    }

    fn failed(&self, why: String) -> Diagnosis {
        let command = self.config.command.as_deref().unwrap_or_default();
        Diagnosis::new(Id::ClusterLoginUnusable, format!("the exec plugin `{}` of user {} {why}", excerpt(command, SAID), self.user))
    }

    /// Runs it.
    ///
    /// # Errors
    /// It cannot be started, fails, takes too long, or prints no credential.
    pub async fn run(&self) -> Result<Credential, Explained> {
        let failed = |why: String| Explained(self.failed(why));
        let Some(command) = self.config.command.as_deref().filter(|command| !command.is_empty()) else {
            return Err(Explained(Diagnosis::new(
                Id::ClusterLoginUnusable,
                format!("the exec plugin of user {} names no command", self.user),
            )));
        };
        let interactive = self.interactive()?;
        let mut process = Command::new(command);
        process.args(self.config.args.iter().flatten()).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in variables() {
            process.env_remove(name);
        }
        for variable in self.config.env.iter().flatten() {
            if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
                process.env(name, value);
            }
        }
        let mut spec = json!({ "interactive": interactive });
        if let Some(cluster) = self.config.cluster.as_ref().filter(|_| self.config.provide_cluster_info) {
            spec["cluster"] = serde_json::to_value(cluster).unwrap_or_default();
        }
        let version = self.config.api_version.as_deref().unwrap_or("client.authentication.k8s.io/v1");
        let info = json!({ "apiVersion": version, "kind": "ExecCredential", "spec": spec });
        process.env("KUBERNETES_EXEC_INFO", info.to_string());
        if interactive {
            // In our own group: only the foreground group may read the terminal.
            process.stdin(Stdio::inherit());
        } else {
            process.stdin(Stdio::null()).process_group(0);
        }
        let child = process.spawn().map_err(|error| {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let why = if missing { "does not exist".to_owned() } else { format!("cannot be started: {error}") };
            let mut trouble = self.failed(why);
            let hint = self.config.install_hint.as_deref().map(str::trim).filter(|hint| !hint.is_empty());
            if missing {
                trouble = trouble.hint(hint.map_or("install it, or add its folder to PATH".to_owned(), |hint| excerpt(hint, SAID)));
            }
            Explained(trouble)
        })?;
        let mut child = Group { child, own: !interactive };
        let limit = match (interactive, self.renewal) {
            (true, _) => INTERACTIVE,
            (false, true) => RENEWAL,
            (false, false) => FIRST,
        };
        let (mut out, mut said) = (Vec::new(), Vec::new());
        let whole = async {
            let (stdout, stderr) = (child.child.stdout.take(), child.child.stderr.take());
            tokio::join!(read(stdout, &mut out), listen(stderr, &mut said, interactive));
            child.child.wait().await
        };
        let ended = timeout(limit, whole).await;
        drop(child);
        // Before anything else: whatever comes next may be shown.
        let printed = parse(&out);
        let said = excerpt(String::from_utf8_lossy(&said).trim(), SAID);
        let told = |trouble: Diagnosis| if said.is_empty() { trouble } else { trouble.cause(format!("it says: {said}")) };
        let status = match ended {
            Err(_) => {
                let trouble = self.failed(format!("did not end within {}", human(limit)));
                return Err(Explained(told(trouble).hint("run it by itself to see what it waits for; `kubectl get ns` runs it as well")));
            }
            Ok(Err(error)) => return Err(failed(format!("cannot be waited for: {error}"))),
            Ok(Ok(status)) => status,
        };
        if !status.success() {
            return Err(Explained(
                told(self.failed(format!("failed: {status}"))).hint("run it by itself, or log in anew with its own tool"),
            ));
        }
        let nothing = |why: &str| Explained(told(self.failed(format!("prints no credential: {why}"))));
        let status = printed.ok_or_else(|| nothing("it is not an ExecCredential"))?.status.ok_or_else(|| nothing("it has no status"))?;
        let identity = match (&status.client_certificate_data, &status.client_key_data) {
            (Some(certificate), Some(key)) => Some(pair(certificate.as_bytes(), key.as_bytes()).map_err(|why| nothing(&why))?),
            (None, None) => None,
            _ => return Err(nothing("a client certificate and its key belong together")),
        };
        let expires = match &status.expiration_timestamp {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| nothing("expirationTimestamp is not a time (RFC 3339)"))?),
        };
        let token = status.token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()).map(Secret::new);
        if token.is_none() && identity.is_none() {
            return Err(nothing("it has neither a token nor a client certificate"));
        }
        Ok(Credential { token, expires, identity })
    }

    /// Whether it may ask the user.
    fn interactive(&self) -> Result<bool, Explained> {
        let terminal = std::io::stdin().is_terminal() && !self.renewal;
        match self.config.interactive_mode {
            Some(ExecInteractiveMode::Never) => Ok(false),
            Some(ExecInteractiveMode::Always) if !terminal => {
                Err(Explained(self.failed("wants to ask the user, and standard input is not a terminal".to_owned())))
            }
            _ => Ok(terminal),
        }
    }
}

/// A child that is ended, with all that it started, when nobody waits for it any more.
struct Group {
    child: Child,
    /// Whether it leads a process group.
    own: bool,
}

impl Drop for Group {
    fn drop(&mut self) {
        // `id` is none once it was waited for: the number may be another's then.
        let id = self.child.id().filter(|_| self.own).and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(group) = id {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

async fn read(from: Option<impl AsyncRead + Unpin>, out: &mut Vec<u8>) {
    if let Some(from) = from {
        let _ = from.take(OUTPUT).read_to_end(out).await;
    }
}

/// Reads standard error, and passes it on to a user who is asked something.
async fn listen(from: Option<impl AsyncRead + Unpin>, said: &mut Vec<u8>, show: bool) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let text = &buffer[..count];
        if show {
            let clean: String =
                mask(&String::from_utf8_lossy(text)).chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect();
            let _ = std::io::stderr().write_all(clean.as_bytes());
        }
        let room = usize::try_from(OUTPUT).unwrap_or(usize::MAX).saturating_sub(said.len());
        said.extend_from_slice(&text[..count.min(room)]);
    }
}

/// Reads what was printed, JSON or YAML, and registers the secrets in it.
fn parse(out: &[u8]) -> Option<Printed> {
    let printed: Option<Printed> = serde_json::from_slice(out).ok().or_else(|| serde_saphyr::from_slice(out).ok());
    for status in printed.iter().filter_map(|printed| printed.status.as_ref()) {
        for secret in [&status.token, &status.client_key_data].into_iter().flatten() {
            let lines: Vec<&str> = secret.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
            drop(Secret::new(lines.join("\n")));
        }
    }
    printed
}
