//! The ESXi host that copies: MTV's SSH key is let in for the time of a run, for one command only.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;

use crate::{
    config::{copyoffload::CopyOffload, profile::GuestLogin},
    guest::{Output, Ssh, SshError},
    kill_points,
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
    let added = add(&ssh, offload, key, &line).await;
    ssh.close().await;
    added
}

/// Keeps a key out. One that is not in is success.
pub async fn revoke(offload: &CopyOffload, key: &str) -> ProviderResult<()> {
    let blob = blob(key)?;
    let ssh = log_in(offload).await?;
    let removed = remove(&ssh, offload, blob).await;
    ssh.close().await;
    removed
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
    kill_points::pass("login to the ESXi host");
    let ended = tokio::time::timeout(PATIENCE, attempt).await;
    kill_points::pass("logged in to the ESXi host");
    match ended {
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

/// The part of a key that no other key has. It is all that is looked for in the file, and stands in a command.
fn blob(key: &str) -> ProviderResult<&str> {
    let blob = key.split_whitespace().nth(1).unwrap_or_default();
    let base64 = |c: char| c.is_ascii_alphanumeric() || ['+', '/', '='].contains(&c);
    if blob.is_empty() || !blob.chars().all(base64) {
        return Err(ProviderError::Unsupported("MTV's SSH key is no public key in one line of OpenSSH's form".to_owned()));
    }
    Ok(blob)
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Appends the line. The host writes it in one piece at the end of its file, so that neither what others write at the same time
/// nor a connection that breaks in the middle can cost a line; and sees that it is there: others may put a whole file in place.
async fn add(ssh: &Ssh, offload: &CopyOffload, key: &str, line: &str) -> ProviderResult<bool> {
    let (blob, doing) = (blob(key)?, changing(offload));
    let mut added = false;
    for _ in 0..=ROUNDS {
        let text = read(ssh, &doing).await?;
        if text.contains(blob) {
            return Ok(added);
        }
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\\n" };
        let command = format!("umask 077 && mkdir -p {FOLDER} && printf '{end}%s\\n' {} >> {FILE}", quoted(line));
        done(bounded(ssh.run(&command), &doing).await?, &doing)?;
        added = true;
    }
    Err(somebody_else(&doing))
}

/// Takes the key's lines out, on the host itself: the new file takes the place of the old one at once, so that nobody is locked
/// out in between, and is not the tool's to lose on its way.
async fn remove(ssh: &Ssh, offload: &CopyOffload, blob: &str) -> ProviderResult<()> {
    let doing = changing(offload);
    // By the key, so that a process that died in between leaves nothing that another one could not find, and nobody else's is meant.
    let partial = format!("{FILE}.mtv-test-{}", Sha256::digest(blob).iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>());
    for _ in 0..=ROUNDS {
        if !read(ssh, &doing).await?.contains(blob) {
            return done(bounded(ssh.run(&format!("rm -f {partial}")), &doing).await?, &doing);
        }
        let command = format!("umask 077 && sed '\\|{blob}|d' {FILE} > {partial} && chmod 600 {partial} && mv {partial} {FILE}");
        done(bounded(ssh.run(&command), &doing).await?, &doing)?;
    }
    Err(somebody_else(&doing))
}

fn changing(offload: &CopyOffload) -> String {
    format!("change {FILE} of the ESXi host {}", address(offload))
}

fn somebody_else(doing: &str) -> ProviderError {
    ProviderError::Operation(format!("{doing}: somebody else changed it at the same time, {ROUNDS} times"))
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
    kill_points::pass("command on the ESXi host");
    let ended = tokio::time::timeout(PATIENCE, work).await;
    kill_points::pass("answer of the ESXi host");
    match ended {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => Err(ProviderError::Unreachable(format!("{doing}: {error}"))),
        Err(_) => Err(ProviderError::Deadline(format!("{doing}: no end within {} s", PATIENCE.as_secs()))),
    }
}

fn done(output: Output, doing: &str) -> ProviderResult<()> {
    if output.status == Some(0) { Ok(()) } else { Err(failed(doing, &output)) }
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
    fn a_line_holds_one_command_and_the_key() {
        let line = line(KEY, "ds 1").unwrap();
        assert!(line.ends_with(&format!(",no-port-forwarding,no-agent-forwarding,no-X11-forwarding {KEY}")));
        assert!(line.contains("exec python '/vmfs/volumes/ds 1/secure-vmkfstools-wrapper.py'"), "{line}");
    }

    #[test]
    fn only_a_public_key_stands_in_a_command() {
        assert_eq!(blob(KEY).unwrap(), "AAAAB3");
        for key in ["", "ssh-rsa", "ssh-rsa a|b", "ssh-rsa $(reboot)", "ssh-rsa AAA' x"] {
            assert!(blob(key).is_err(), "{key}");
        }
    }

    #[test]
    fn a_quoted_line_is_one_word_of_a_shell() {
        let line = line(KEY, "ds 1").unwrap();
        let output = std::process::Command::new("sh").args(["-c", &format!("printf '%s\\n' {}", quoted(&line))]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{line}\n"));
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
