//! The SSH server of the data centre's ESXi hosts: as much of a shell as a key's installation needs. One set of files stands
//! for all hosts.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use russh::{
    Channel, ChannelId, MethodKind, MethodSet,
    keys::{HashAlg, PrivateKey, PublicKey},
    server::{Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey, run_stream},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{datacenter::Login, guests::host_key, world::World};

/// Keys that may log in as root.
pub const AUTHORIZED_KEYS: &str = "/etc/ssh/keys-root/authorized_keys";

/// What a real sshd waits after a wrong password.
const REJECTION: Duration = Duration::from_secs(2);

/// Files of the hosts.
#[derive(Debug, Default)]
pub struct Files(Mutex<BTreeMap<String, String>>);

impl Files {
    fn with<R>(&self, work: impl FnOnce(&mut BTreeMap<String, String>) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A file's text.
    pub fn read(&self, path: &str) -> Option<String> {
        self.with(|files| files.get(path).cloned())
    }

    /// Writes a file.
    pub fn write(&self, path: &str, text: impl Into<String>) {
        self.with(|files| files.insert(path.to_owned(), text.into()));
    }

    /// Paths of all files.
    pub fn paths(&self) -> Vec<String> {
        self.with(|files| files.keys().cloned().collect())
    }
}

/// The host key of all hosts.
fn own_key() -> anyhow::Result<PrivateKey> {
    host_key(b"esxi", "esxi")
}

/// Its fingerprint, as `ssh-keygen -lf` prints it.
///
/// # Errors
/// The key could not be built.
pub fn fingerprint() -> anyhow::Result<String> {
    Ok(own_key()?.public_key().fingerprint(HashAlg::Sha256).to_string())
}

/// Serves SSH until cancelled.
pub async fn serve(world: World, listener: TcpListener, cancel: CancellationToken) -> anyhow::Result<()> {
    let config = Arc::new(Config {
        server_id: russh::SshId::Standard(Cow::Borrowed("SSH-2.0-OpenSSH_8.8")),
        methods: MethodSet::from(&[MethodKind::PublicKey, MethodKind::Password][..]),
        keys: vec![own_key()?],
        auth_rejection_time: world.clock.scaled(REJECTION),
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        ..Config::default()
    });
    loop {
        let stream = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!("an ESXi host could not accept: {error}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let (config, host, cancel) = (Arc::clone(&config), Host::new(&world), cancel.clone());
        tokio::spawn(async move {
            let session = async {
                match run_stream(config, stream, host).await {
                    Ok(session) => {
                        let _broken = session.await;
                    }
                    Err(error) => tracing::debug!("an SSH client of an ESXi host went: {error:#}"),
                }
            };
            tokio::select! { () = cancel.cancelled() => {}, () = session => {} }
        });
    }
}

struct Host {
    files: Arc<Files>,
    login: Login,
    /// The command that a key is bound to.
    forced: Option<String>,
    /// Commands that read their input, and what came so far.
    reading: HashMap<ChannelId, (String, Vec<u8>)>,
}

impl Host {
    fn new(world: &World) -> Self {
        Self { files: Arc::clone(&world.esxi), login: world.datacenter.vsphere.esxi_login.clone(), forced: None, reading: HashMap::new() }
    }

    /// The line of `authorized_keys` that lets a key in.
    fn line_of(&self, user: &str, key: &PublicKey) -> Option<String> {
        let text = self.files.read(AUTHORIZED_KEYS).filter(|_| user == "root")?;
        let lets_in = |line: &&str| {
            let at = ["ssh-", "ecdsa-"].iter().filter_map(|kind| line.rfind(kind)).min();
            at.and_then(|at| PublicKey::from_openssh(&line[at..]).ok()).is_some_and(|known| known.key_data() == key.key_data())
        };
        text.lines().find(lets_in).map(str::to_owned)
    }

    fn finish(&mut self, channel: ChannelId, session: &mut Session) -> anyhow::Result<()> {
        let Some((command, input)) = self.reading.remove(&channel) else { return Ok(()) };
        let (out, code) = match &self.forced {
            Some(_) => ("SSH_OK\n".to_owned(), 0),
            None => run(&self.files, &command, &String::from_utf8_lossy(&input)),
        };
        if !out.is_empty() {
            session.data(channel, out)?;
        }
        session.exit_status_request(channel, code)?;
        session.eof(channel)?;
        session.close(channel)?;
        Ok(())
    }
}

impl Drop for Host {
    /// The input of commands that still read ends with the connection, as sshd ends it: they go on with what has come.
    fn drop(&mut self) {
        if self.forced.is_none() {
            for (command, input) in std::mem::take(&mut self.reading).into_values() {
                run(&self.files, &command, &String::from_utf8_lossy(&input));
            }
        }
    }
}

impl Handler for Host {
    type Error = anyhow::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(if user == self.login.user && password == self.login.password { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(if self.line_of(user, offer.public_key).is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let Some(line) = self.line_of(user, key.public_key) else { return Ok(Auth::reject()) };
        self.forced = line.strip_prefix("command=\"").map(str::to_owned);
        Ok(Auth::Accept)
    }

    async fn channel_open_session(&mut self, _: Channel<Msg>, reply: ChannelOpenHandle, _: &mut Session) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        self.reading.insert(channel, (String::from_utf8_lossy(data).into_owned(), Vec::new()));
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Self::Error> {
        if let Some((_, input)) = self.reading.get_mut(&channel) {
            input.extend_from_slice(data);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.finish(channel, session)
    }
}

/// A command: its words, and the file that takes its output, at its end or instead of what it held.
#[derive(Debug, Default, PartialEq)]
struct Command {
    words: Vec<String>,
    out: Option<(String, bool)>,
}

/// Reads a line: commands joined by `&&`, quotes, `>` and `>>`. None if it is anything else.
fn commands(line: &str) -> Option<Vec<Command>> {
    let mut all = vec![Command::default()];
    let mut rest = line.chars().peekable();
    // Whether the next word names a file, and whether that is appended to.
    let mut into: Option<bool> = None;
    while let Some(c) = rest.peek().copied() {
        match c {
            ' ' | '\t' => drop(rest.next()),
            '&' => {
                rest.next();
                rest.next_if_eq(&'&')?;
                all.push(Command::default());
            }
            '>' => {
                rest.next();
                into = Some(rest.next_if_eq(&'>').is_some());
            }
            '|' | ';' | '<' | '(' | ')' | '$' | '`' => return None,
            _ => {
                let word = word(&mut rest)?;
                let command = all.last_mut()?;
                match into.take() {
                    Some(append) => command.out = Some((word, append)),
                    None => command.words.push(word),
                }
            }
        }
    }
    Some(all)
}

/// One word with its quotes taken off.
fn word(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut word = String::new();
    while let Some(c) = rest.next_if(|c| !" \t&>|;<()$`".contains(*c)) {
        match c {
            '\'' => loop {
                match rest.next()? {
                    '\'' => break,
                    c => word.push(c),
                }
            },
            '"' => loop {
                match rest.next()? {
                    '"' => break,
                    '$' | '`' => return None,
                    '\\' if rest.peek().is_some_and(|c| "\"\\$`".contains(*c)) => word.push(rest.next()?),
                    c => word.push(c),
                }
            },
            '\\' => word.push(rest.next()?),
            c => word.push(c),
        }
    }
    Some(word)
}

/// Runs commands joined by `&&`: output and exit status.
fn run(files: &Files, line: &str, input: &str) -> (String, u32) {
    let Some(all) = commands(line) else { return (String::new(), 2) };
    let mut out = String::new();
    for command in all {
        let (told, code) = one(files, &command.words, input);
        match command.out {
            Some((path, append)) => {
                let before = if append { files.read(&path).unwrap_or_default() } else { String::new() };
                files.write(&path, before + &told);
            }
            None => out.push_str(&told),
        }
        if code != 0 {
            return (out, code);
        }
    }
    (out, 0)
}

/// Runs one command.
fn one(files: &Files, words: &[String], input: &str) -> (String, u32) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = |code: bool| (String::new(), u32::from(!code));
    match words.as_slice() {
        ["umask" | "true", ..] | ["mkdir", "-p", _] | ["chmod", _, _] => ended(true),
        ["cat"] => (input.to_owned(), 0),
        ["cat", path] => files.read(path).map_or_else(|| ended(false), |text| (text, 0)),
        ["printf", format, values @ ..] => {
            let mut values = values.iter();
            let pieces = format.replace("\\n", "\n");
            let told: Vec<String> = pieces.split("%s").map(str::to_owned).collect();
            let mut text = told[0].clone();
            for piece in &told[1..] {
                text += values.next().copied().unwrap_or_default();
                text += piece;
            }
            (text, 0)
        }
        ["sed", scripts @ .., path] => {
            let Some(text) = files.read(path) else { return ended(false) };
            let scripts: Vec<&str> = scripts.iter().copied().filter(|word| *word != "-e").collect();
            let deleted =
                |line: &str| scripts.iter().map(|script| deletes(script, line.trim_end_matches('\n'))).collect::<Option<Vec<_>>>();
            let mut kept = String::new();
            for line in text.split_inclusive('\n') {
                match deleted(line) {
                    Some(by) if by.contains(&true) => {}
                    Some(_) => kept.push_str(line),
                    None => return ended(false),
                }
            }
            (kept, 0)
        }
        ["ls", folder] => {
            let folder = format!("{}/", folder.trim_end_matches('/'));
            let names = files.paths().into_iter().filter_map(|path| path.strip_prefix(&folder).map(|name| format!("{name}\n")));
            (names.filter(|name| !name.contains('/')).collect(), 0)
        }
        ["test", "-e", path] => ended(files.read(path).is_some()),
        ["mv", from, to] => files.with(|files| match files.remove(*from) {
            Some(text) => {
                files.insert((*to).to_owned(), text);
                ended(true)
            }
            None => ended(false),
        }),
        ["rm", "-f", path] => files.with(|files| {
            files.remove(*path);
            ended(true)
        }),
        ["echo", words @ ..] => (words.join(" ") + "\n", 0),
        _ => (String::new(), 127),
    }
}

/// Whether sed's `\|PATTERN|d` deletes a line. Of basic regular expressions only `.`, and `^` and `$` at the ends; none for others.
fn deletes(script: &str, line: &str) -> Option<bool> {
    let pattern = script.strip_prefix("\\|")?.strip_suffix("|d")?;
    let (begins, pattern) = pattern.strip_prefix('^').map_or((false, pattern), |rest| (true, rest));
    let (ends, pattern) = pattern.strip_suffix('$').map_or((false, pattern), |rest| (true, rest));
    if pattern.contains(['*', '[', '\\', '|']) {
        return None;
    }
    let (pattern, line): (Vec<char>, Vec<char>) = (pattern.chars().collect(), line.chars().collect());
    let at = |start: usize| {
        let here = &line[start..];
        let same = here.len() >= pattern.len() && pattern.iter().zip(here).all(|(wanted, c)| *wanted == '.' || wanted == c);
        same && (!ends || here.len() == pattern.len())
    };
    Some(if begins { at(0) } else { (0..=line.len()).any(at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_moved_and_read() {
        let files = Files::default();
        assert_eq!(run(&files, "cat /a", ""), (String::new(), 1));
        assert_eq!(run(&files, "umask 077 && cat > /tmp/x && chmod 600 /tmp/x && mv /tmp/x /a", "hello\n"), (String::new(), 0));
        assert_eq!(run(&files, "mkdir -p /etc && cat /a", ""), ("hello\n".to_owned(), 0));
        assert_eq!(files.paths(), ["/a"]);
        assert_eq!(run(&files, "reboot", "").1, 127);
        assert_eq!(run(&files, "cat /a; reboot", "").1, 2, "no shell with all that belongs to one");
    }

    #[test]
    fn lines_are_appended_and_taken_out() {
        let files = Files::default();
        files.write("/keys", "one\ntwo");
        assert_eq!(run(&files, r#"printf '\n%s\n' 'a '\''b'\'' "$c" key' >> /keys"#, ""), (String::new(), 0));
        assert_eq!(files.read("/keys").unwrap(), "one\ntwo\na 'b' \"$c\" key\n");
        assert_eq!(run(&files, r"sed '\|key|d' /keys > /keys.new && mv /keys.new /keys", ""), (String::new(), 0));
        assert_eq!(files.read("/keys").unwrap(), "one\ntwo\n");
        assert_eq!(files.paths(), ["/keys"]);
        files.write("/keys", "one key\nkey\nkey x\nkez\n");
        assert_eq!(run(&files, r"sed -e '\|^ke.$|d' -e '\|^key x$|d' /keys", ""), ("one key\n".to_owned(), 0));
        assert_eq!(run(&files, r"sed -e '\|k*|d' /keys", "").1, 1, "no sed with all that belongs to one");
        files.write("/etc/ssh/x", "");
        assert_eq!(run(&files, "ls /etc/ssh && ls /", "").0, "x\nkeys\n");
    }
}
