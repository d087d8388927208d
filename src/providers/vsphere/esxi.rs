//! The ESXi host that copies: MTV's SSH key is let in for the time of a run, for one command only.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::{
    config::{copyoffload::CopyOffload, profile::GuestLogin},
    guest::{Output, Ssh, SshError},
    providers::{ProviderError, ProviderResult},
};

/// Where an ESXi host keeps the keys of root.
const FOLDER: &str = "/etc/ssh/keys-root";
/// The file.
const FILE: &str = "/etc/ssh/keys-root/authorized_keys";
/// Longest time for connection, login or one command.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the file is written when somebody else writes it at the same time.
const ROUNDS: usize = 3;
/// Port of the SSH server.
const PORT: u16 = 22;

/// Lets a key in. False if it was in already, by somebody else's hand.
pub async fn authorize(offload: &CopyOffload, key: &str, datastore: &str) -> ProviderResult<bool> {
    let line = line(key, datastore)?;
    let ssh = log_in(offload).await?;
    let changed = rewrite(&ssh, offload, |text| with_line(text, key, &line), |text| text.contains(key)).await;
    ssh.close().await;
    changed
}

/// Keeps a key out. One that is not in is success.
pub async fn revoke(offload: &CopyOffload, key: &str) -> ProviderResult<()> {
    let ssh = log_in(offload).await?;
    let changed = rewrite(&ssh, offload, |text| without_key(text, key), |text| !text.contains(key)).await;
    ssh.close().await;
    changed.map(drop)
}

/// Address of the SSH server, for people and for connections.
fn address(offload: &CopyOffload) -> String {
    let esxi = &offload.esxi;
    let given = esxi.ssh_address.as_deref().or(esxi.host.as_deref()).unwrap_or_default();
    let has_port = given.rsplit_once(':').is_some_and(|(host, port)| !host.contains(':') && port.parse::<u16>().is_ok());
    if has_port { given.to_owned() } else { format!("{given}:{PORT}") }
}

async fn log_in(offload: &CopyOffload) -> ProviderResult<Ssh> {
    let esxi = &offload.esxi;
    let address = address(offload);
    let doing = format!("log in to the ESXi host {address} by SSH");
    let (Some(user), Some(password)) = (esxi.user.clone(), esxi.password.clone()) else {
        return Err(ProviderError::Login(format!("{doing}: the profile has no `esxi_user` and `esxi_password`")));
    };
    let login = GuestLogin { user, password };
    let attempt = async {
        let stream = TcpStream::connect(&address).await.map_err(|e| SshError::Connection(e.to_string()))?;
        Ssh::connect_to(stream, &login, esxi.ssh_host_key.as_deref()).await
    };
    match tokio::time::timeout(PATIENCE, attempt).await {
        Ok(Ok(ssh)) => Ok(ssh),
        Ok(Err(SshError::Refused(why))) => Err(ProviderError::Login(format!(
            "{doing}: {why}; hint: check `esxi_user`, `esxi_password` and `esxi_ssh_host_key` of the profile's copyoffload section"
        ))),
        Ok(Err(SshError::Connection(why))) => Err(ProviderError::Unreachable(format!(
            "{doing}: {why}; hint: is SSH enabled on the host (service TSM-SSH), and is `esxi_ssh_address` right?"
        ))),
        Err(_) => Err(ProviderError::Unreachable(format!("{doing}: no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// The line of a key: one command and nothing else. MTV before 2.11 runs the Python wrapper on the datastore of the disks,
/// later releases say the datastore with each command (`DS=NAME;CMD=…`) and run the shell wrapper there; `DS=;` asks whether
/// the key is let in.
fn line(key: &str, datastore: &str) -> ProviderResult<String> {
    let safe = |c: char| !c.is_control() && !['"', '\'', '\\', '$', '`'].contains(&c);
    if !datastore.chars().all(safe) || datastore.contains('/') {
        return Err(ProviderError::Unsupported(format!("datastore `{datastore}` has a name that cannot stand in a command")));
    }
    let command = format!(
        "c=$SSH_ORIGINAL_COMMAND; case \\\"$c\\\" in DS=*) d=${{c%%;*}}; d=${{d#DS=}}; case \\\"$d\\\" in '') echo SSH_OK;; */*) exit 1;; \
         *) SSH_ORIGINAL_COMMAND=\\\"${{c#*;CMD=}}\\\" exec sh \\\"/vmfs/volumes/$d/secure-vmkfstools-wrapper\\\";; esac;; \
         *) exec python '/vmfs/volumes/{datastore}/secure-vmkfstools-wrapper.py';; esac"
    );
    Ok(format!("command=\"{command}\",no-port-forwarding,no-agent-forwarding,no-X11-forwarding {key}"))
}

/// The file with a line more; none if the key is in it.
fn with_line(text: &str, key: &str, line: &str) -> Option<String> {
    if text.contains(key) {
        return None;
    }
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    Some(format!("{text}{end}{line}\n"))
}

/// The file without the lines of a key; none if it has none.
fn without_key(text: &str, key: &str) -> Option<String> {
    text.contains(key).then(|| text.split_inclusive('\n').filter(|line| !line.contains(key)).collect())
}

/// Reads the file, writes it anew if it has to change, and sees that the change is there: others may write it as well. The
/// new file takes the place of the old one at once, so that nobody is locked out in between.
async fn rewrite(
    ssh: &Ssh,
    offload: &CopyOffload,
    change: impl Fn(&str) -> Option<String>,
    holds: impl Fn(&str) -> bool,
) -> ProviderResult<bool> {
    let doing = format!("change {FILE} of the ESXi host {}", address(offload));
    let mut changed = false;
    for _ in 0..ROUNDS {
        let text = read(ssh, &doing).await?;
        let Some(new) = change(&text) else { return Ok(changed) };
        let partial = format!("{FILE}.mtv-test-{}", std::process::id());
        let command = format!("umask 077 && mkdir -p {FOLDER} && cat > {partial} && chmod 600 {partial} && mv {partial} {FILE}");
        let output = bounded(ssh.feed(&command, new.as_bytes()), &doing).await?;
        if output.status != Some(0) {
            // Nothing is left of a file that could not take its place.
            let _ = bounded(ssh.run(&format!("rm -f {partial}")), &doing).await;
            return Err(failed(&doing, &output));
        }
        changed = true;
        if holds(&read(ssh, &doing).await?) {
            return Ok(changed);
        }
    }
    Err(ProviderError::Operation(format!("{doing}: somebody else changed it at the same time, {ROUNDS} times")))
}

/// The file's text; empty if it does not exist.
async fn read(ssh: &Ssh, doing: &str) -> ProviderResult<String> {
    let there = bounded(ssh.run(&format!("test -e {FILE}")), doing).await?;
    if there.status == Some(1) {
        return Ok(String::new());
    }
    let output = bounded(ssh.run(&format!("cat {FILE}")), doing).await?;
    if output.status == Some(0) { Ok(output.stdout) } else { Err(failed(doing, &output)) }
}

async fn bounded(work: impl Future<Output = Result<Output, SshError>>, doing: &str) -> ProviderResult<Output> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(ProviderError::Unreachable(format!("{doing}: {error}"))),
        Err(_) => Err(ProviderError::Deadline(format!("{doing}: no end within {} s", PATIENCE.as_secs()))),
    }
}

fn failed(doing: &str, output: &Output) -> ProviderError {
    let code = output.status.map_or("no exit code".to_owned(), |code| format!("exit code {code}"));
    ProviderError::Operation(format!("{doing}: {code}: {}", output.stderr.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::copyoffload::Esxi;

    const KEY: &str = "ssh-rsa AAAAB3 mtv";

    #[test]
    fn a_line_comes_and_goes_and_nothing_else_changes() {
        let line = line(KEY, "ds 1").unwrap();
        assert!(line.ends_with(&format!(",no-port-forwarding,no-agent-forwarding,no-X11-forwarding {KEY}")));
        assert!(line.contains("exec python '/vmfs/volumes/ds 1/secure-vmkfstools-wrapper.py'"), "{line}");
        for text in ["", "ssh-ed25519 other\n"] {
            let with = with_line(text, KEY, &line).unwrap();
            assert_eq!(with, format!("{text}{line}\n"));
            assert_eq!(with_line(&with, KEY, &line), None);
            assert_eq!(without_key(&with, KEY).as_deref(), Some(text));
        }
        assert_eq!(with_line("open", KEY, "x").unwrap(), "open\nx\n");
        assert_eq!(without_key("other\n", KEY), None);
    }

    #[test]
    fn names_that_could_break_out_are_refused() {
        for name in ["a'b", "a\"b", "$(reboot)", "a`b", "../x", "a\nb"] {
            assert!(super::line(KEY, name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_forced_command_is_a_shell_command() {
        // What sshd hands to the shell: the text between the quotes, with `\"` as `"`.
        let line = line(KEY, "ds").unwrap();
        let command = line.strip_prefix("command=\"").unwrap().split("\",no-port").next().unwrap().replace("\\\"", "\"");
        let run = |original: &str| {
            let output = std::process::Command::new("sh").arg("-c").arg(&command).env("SSH_ORIGINAL_COMMAND", original).output().unwrap();
            (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
        };
        assert_eq!(run("DS=;CMD=test"), ("SSH_OK\n".to_owned(), Some(0)));
        assert_eq!(run("DS=../../tmp;CMD=x"), (String::new(), Some(1)));
        assert_ne!(run("DS=nowhere;CMD=x").1, Some(0));
    }

    #[test]
    fn the_address_is_the_hosts_unless_said_otherwise() {
        let address = |host: &str, ssh: Option<&str>| {
            let esxi = Esxi { host: Some(host.into()), ssh_address: ssh.map(str::to_owned), ..Esxi::default() };
            super::address(&CopyOffload { esxi, ..CopyOffload::default() })
        };
        assert_eq!(address("esxi-0.lab", None), "esxi-0.lab:22");
        assert_eq!(address("esxi-0.lab", Some("127.0.0.1:2222")), "127.0.0.1:2222");
        assert_eq!(address("x", Some("10.0.0.1")), "10.0.0.1:22");
    }
}
