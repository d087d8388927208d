//! The ESXi host that copies: MTV's SSH key is let in for the time of a run, for one command only.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use russh::keys::PublicKey;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;

use super::{place, placement, session::Session};
use crate::{
    config::{copyoffload::CopyOffload, profile::GuestLogin},
    guest::{HostKey, Output, Ssh, SshError, Unverified, unverified},
    kill_points,
    providers::{OffloadHost, ProviderError, ProviderResult},
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

/// The ESXi host that copies for a vCenter, as the profile's copyoffload section names it.
#[derive(Debug)]
pub struct Offload {
    section: CopyOffload,
    /// The vCenter, which knows the datastores.
    session: Arc<Session>,
}

impl Offload {
    /// Contacts nobody.
    pub const fn new(section: CopyOffload, session: Arc<Session>) -> Self {
        Self { section, session }
    }
}

impl OffloadHost for Offload {
    fn datastore_name<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ProviderResult<String>> {
        async move { Ok(placement::store(&place::all_stores(&self.session).await?, id)?.name.clone()) }.boxed()
    }

    fn authorize_key<'a>(&'a self, key: &'a str, run: &'a str, datastore: &'a str) -> BoxFuture<'a, ProviderResult<bool>> {
        authorize(&self.section, key, run, datastore).boxed()
    }

    fn revoke_key<'a>(&'a self, key: &'a str, run: &'a str, look_only: bool) -> BoxFuture<'a, ProviderResult<bool>> {
        revoke(&self.section, key, run, look_only).boxed()
    }

    /// Taken without proof where the profile names no host key.
    fn unverified_host_key(&self) -> Option<Unverified> {
        unverified(&address(&self.section))
    }
}

/// Lets a key of a run in. False if it was in already, by somebody else's hand.
///
/// # Errors
/// The key is not a public key, or those of the host.
async fn authorize(offload: &CopyOffload, key: &str, run: &str, datastore: &str) -> ProviderResult<bool> {
    let line = line(key, run, datastore)?;
    let ssh = log_in(offload).await?;
    let added = add(&ssh, offload, key, &line).await;
    ssh.close().await;
    added
}

/// Keeps a key out that a run let in; whether it was in. Lines that the run did not write stay as they are, also those with the
/// same key. With `look_only` nothing is changed.
///
/// # Errors
/// The key is not a public key, or those of the host.
async fn revoke(offload: &CopyOffload, key: &str, run: &str, look_only: bool) -> ProviderResult<bool> {
    let mine = Mine::new(key, run)?;
    let ssh = log_in(offload).await?;
    let removed = if look_only { looked(&ssh, offload, &mine).await } else { remove(&ssh, offload, &mine).await };
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
        return Err(ProviderError::login(format!("{doing}: the profile has no `esxi_user` and `esxi_password`")));
    };
    let login = GuestLogin { user, password };
    let host_key = HostKey::of(esxi.ssh_host_key.as_deref(), &address)
        .map_err(|forms| ProviderError::login(format!("{doing}: the profile's `esxi_ssh_host_key` is not a host key")).hint(forms))?;
    let attempt = async {
        let stream = TcpStream::connect(&address).await.map_err(|e| SshError::Connection(e.to_string()))?;
        Ssh::connect_to(stream, &login, host_key).await
    };
    kill_points::pass("login to the ESXi host");
    let ended = tokio::time::timeout(PATIENCE, attempt).await;
    kill_points::pass("logged in to the ESXi host");
    match ended {
        Ok(Ok(ssh)) => Ok(ssh),
        Ok(Err(SshError::Refused(why))) => Err(ProviderError::login(format!("{doing}: {why}"))
            .hint("check `esxi_user` and `esxi_password` of the profile's copyoffload section")),
        Ok(Err(SshError::HostKey(why))) => Err(ProviderError::certificate(format!("{doing}: {why}, so the password was not sent"))
            .hint("is this the right host? If its key was changed, correct `esxi_ssh_host_key` of the profile's copyoffload section")),
        Ok(Err(SshError::Connection(why))) => Err(ProviderError::unreachable(format!("{doing}: {why}"))
            .hint("is SSH enabled on the host (service TSM-SSH), and is `esxi_ssh_address` right?")),
        Err(_) => Err(ProviderError::unreachable(format!("{doing}: no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// Beginning of a line that a run writes. The command says first whose it is: only such lines are ever removed.
fn beginning(run: &str) -> String {
    format!("command=\": mtv-test.run={run}; c=$SSH_ORIGINAL_COMMAND; case ")
}

/// End of a line that a run writes.
fn ending(key: &str) -> String {
    format!("; esac\",no-port-forwarding,no-agent-forwarding,no-X11-forwarding {key}")
}

/// The line of a key: one command and nothing else. MTV before 2.11 runs the Python wrapper on the datastore of the disks,
/// later releases say the datastore with each command (`DS=NAME;CMD=…`) and run the shell wrapper there; `DS=;` asks whether
/// the key is let in.
fn line(key: &str, run: &str, datastore: &str) -> ProviderResult<String> {
    let mine = Mine::new(key, run)?;
    let safe = |c: char| !c.is_control() && !['"', '\'', '\\', '$', '`'].contains(&c);
    if !datastore.chars().all(safe) || datastore.contains('/') {
        return Err(ProviderError::unsupported(format!("datastore `{datastore}` has a name that cannot stand in a command")));
    }
    Ok(format!(
        "{}\\\"$c\\\" in DS=*) d=${{c%%;*}}; d=${{d#DS=}}; case \\\"$d\\\" in '') echo SSH_OK;; */*) exit 1;; \
         *) SSH_ORIGINAL_COMMAND=\\\"${{c#*;CMD=}}\\\" exec sh \\\"/vmfs/volumes/$d/secure-vmkfstools-wrapper\\\";; esac;; \
         *) exec python '/vmfs/volumes/{datastore}/secure-vmkfstools-wrapper.py';{}",
        mine.beginning, mine.ending
    ))
}

/// What tells the lines that a run wrote for a key from all others.
struct Mine {
    beginning: String,
    ending: String,
    /// The part of the key that no other key has.
    blob: String,
}

impl Mine {
    /// Refuses what is not a public key in one line of OpenSSH's form, and what is not a run: neither reaches a host.
    fn new(key: &str, run: &str) -> ProviderResult<Self> {
        let one_line = !key.chars().any(char::is_control) && key.trim() == key && PublicKey::from_openssh(key).is_ok();
        let Some(blob) = key.split(' ').nth(1).filter(|_| one_line) else {
            return Err(ProviderError::unsupported("the SSH key is not a public key in one line of OpenSSH's form".to_owned()));
        };
        if run.is_empty() || !run.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(ProviderError::unsupported(format!("`{run}` is not the ID of a run, so no SSH key can be its")));
        }
        Ok(Self { beginning: beginning(run), ending: ending(key), blob: blob.to_owned() })
    }

    fn wrote(&self, line: &str) -> bool {
        line.len() >= self.beginning.len() + self.ending.len() && line.starts_with(&self.beginning) && line.ends_with(&self.ending)
    }
}

/// A line as a basic regular expression of sed between bars, which matches the whole line. What means something there, or to the
/// shell, matches as any one character: the key and the run in the line leave no other line that could be meant.
fn pattern(line: &str) -> String {
    let literal = |c: char| if ".*[]^$\\|'".contains(c) { '.' } else { c };
    format!("^{}$", line.chars().map(literal).collect::<String>())
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Appends the line. The host writes it in one piece at the end of its file, so that neither what others write at the same time
/// nor a connection that breaks in the middle can cost a line; and sees that it is there: others may put a whole file in place.
async fn add(ssh: &Ssh, offload: &CopyOffload, key: &str, line: &str) -> ProviderResult<bool> {
    let doing = changing(offload);
    let blob = key.split(' ').nth(1).unwrap_or_default();
    let mut added = false;
    for _ in 0..=ROUNDS {
        let text = read(ssh, &doing).await?;
        let lets_in = |line: &str| !line.trim_start().starts_with('#') && line.split_whitespace().any(|word| word == blob);
        if text.lines().any(lets_in) {
            return Ok(added);
        }
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\\n" };
        let command = format!("umask 077 && mkdir -p {FOLDER} && printf '{end}%s\\n' {} >> {FILE}", quoted(line));
        done(bounded(ssh.run(&command), &doing).await?, &doing)?;
        added = true;
    }
    Err(somebody_else(&doing))
}

/// Whether the run let the key in.
async fn looked(ssh: &Ssh, offload: &CopyOffload, mine: &Mine) -> ProviderResult<bool> {
    let doing = format!("read {FILE} of the ESXi host {}", address(offload));
    Ok(read(ssh, &doing).await?.lines().any(|line| mine.wrote(line)))
}

/// Takes the run's lines out, on the host itself: the new file takes the place of the old one at once, so that nobody is locked
/// out in between, and is not the tool's to lose on its way. Whole lines only, as they stand there.
async fn remove(ssh: &Ssh, offload: &CopyOffload, mine: &Mine) -> ProviderResult<bool> {
    let doing = changing(offload);
    // By the key, so that a process that died in between leaves nothing that another one could not find, and nobody else's is meant.
    let digest = Sha256::digest(&mine.blob);
    let partial = format!("{FILE}.mtv-test-{}", digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>());
    let mut removed = false;
    for _ in 0..=ROUNDS {
        let text = read(ssh, &doing).await?;
        let mut lines: Vec<&str> = text.lines().filter(|line| mine.wrote(line)).collect();
        lines.dedup();
        if lines.is_empty() {
            done(bounded(ssh.run(&format!("rm -f {partial}")), &doing).await?, &doing)?;
            return Ok(removed);
        }
        let scripts: Vec<String> = lines.iter().map(|line| format!("-e '\\|{}|d'", pattern(line))).collect();
        let scripts = scripts.join(" ");
        let command = format!("umask 077 && sed {scripts} {FILE} > {partial} && chmod 600 {partial} && mv {partial} {FILE}");
        done(bounded(ssh.run(&command), &doing).await?, &doing)?;
        removed = true;
    }
    Err(somebody_else(&doing))
}

fn changing(offload: &CopyOffload) -> String {
    format!("change {FILE} of the ESXi host {}", address(offload))
}

fn somebody_else(doing: &str) -> ProviderError {
    ProviderError::operation(format!("{doing}: somebody else changed it at the same time, {ROUNDS} times"))
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
        Ok(Err(error)) => Err(ProviderError::unreachable(format!("{doing}: {error}"))),
        Err(_) => Err(ProviderError::deadline(format!("{doing}: no end within {} s", PATIENCE.as_secs()))),
    }
}

fn done(output: Output, doing: &str) -> ProviderResult<()> {
    if output.status == Some(0) { Ok(()) } else { Err(failed(doing, &output)) }
}

fn failed(doing: &str, output: &Output) -> ProviderError {
    let code = output.status.map_or("no exit code".to_owned(), |code| format!("exit code {code}"));
    ProviderError::operation(format!("{doing}: {code}: {}", output.stderr.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::copyoffload::Esxi;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f mtv";
    const RUN: &str = "abcdefghij";

    #[test]
    fn a_line_holds_run_command_and_key() {
        let line = line(KEY, RUN, "ds 1").unwrap();
        assert!(line.starts_with("command=\": mtv-test.run=abcdefghij; c=$SSH_ORIGINAL_COMMAND; case "), "{line}");
        assert!(line.ends_with(&format!("; esac\",no-port-forwarding,no-agent-forwarding,no-X11-forwarding {KEY}")), "{line}");
        assert!(line.contains("exec python '/vmfs/volumes/ds 1/secure-vmkfstools-wrapper.py'"), "{line}");
    }

    #[test]
    fn only_a_public_key_of_a_run_reaches_a_host() {
        assert!(Mine::new(KEY, RUN).is_ok());
        let blob = KEY.split(' ').nth(1).unwrap();
        let short = format!("ssh-ed25519 {}", &blob[..40]);
        let two = format!("{KEY}\n{KEY}");
        for key in ["", "ssh-rsa", "ssh-rsa A", "ssh-rsa AAAAB3", "ssh-rsa a|b", "ssh-rsa $(reboot)", "ssh-ed25519 AAA' x", &short, &two] {
            assert!(Mine::new(key, RUN).is_err(), "{key}");
        }
        assert!(Mine::new(&format!("ssh-rsa {blob}"), RUN).is_err(), "the type is another one's");
        for run in ["", "a run", "abcdefghi'", "abcdefghij; reboot"] {
            assert!(Mine::new(KEY, run).is_err(), "{run}");
        }
    }

    #[test]
    fn only_whole_lines_that_the_run_wrote_are_its_own() {
        let mine = Mine::new(KEY, RUN).unwrap();
        let line = line(KEY, RUN, "ds 1").unwrap();
        assert!(mine.wrote(&line));
        for other in [
            KEY.to_owned(),
            format!("command=\"/bin/date\",no-port-forwarding {KEY}"),
            super::line(KEY, "klmnpqrstu", "ds 1").unwrap(),
            format!("{line} of somebody"),
            format!("# {line}"),
            line.replace(KEY, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDDDDDD mtv"),
        ] {
            assert!(!mine.wrote(&other), "{other}");
        }
    }

    #[test]
    fn a_real_sed_takes_out_this_line_and_no_other() {
        for datastore in ["ds", "d.s [1] ^x* (a)|b~&", "Größe"] {
            let line = line(KEY, RUN, datastore).unwrap();
            let others = [
                KEY.to_owned(),
                super::line(KEY, "klmnpqrstu", datastore).unwrap(),
                format!("{line} x"),
                format!("x {line}"),
                "ssh-rsa A".to_owned(),
            ];
            let text: String =
                [&others[..2], std::slice::from_ref(&line), &others[2..]].concat().iter().map(|line| format!("{line}\n")).collect();
            let command = format!("printf '%s' {} | sed -e '\\|{}|d'", quoted(&text), pattern(&line));
            let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), others.map(|line| format!("{line}\n")).concat(), "{datastore}");
        }
    }

    #[test]
    fn a_quoted_line_is_one_word_of_a_shell() {
        let line = line(KEY, RUN, "ds 1").unwrap();
        let output = std::process::Command::new("sh").args(["-c", &format!("printf '%s\\n' {}", quoted(&line))]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{line}\n"));
    }

    #[test]
    fn names_that_could_break_out_are_refused() {
        for name in ["a'b", "a\"b", "$(reboot)", "a`b", "../x", "a\nb"] {
            assert!(super::line(KEY, RUN, name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_forced_command_is_a_shell_command() {
        // What sshd hands to the shell: the text between the quotes, with `\"` as `"`.
        let line = line(KEY, RUN, "ds").unwrap();
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
