//! An SSH client on russh. The crate's handler traits change between minor versions, so all of it stays in this file.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use russh::{
    ChannelMsg, Disconnect,
    client::{self, AuthResult, Handle},
    keys::{HashAlg, PrivateKeyWithHashAlg, PublicKey, decode_secret_key},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::host_key::{self, HostKey};
use crate::{config::profile::GuestLogin, limits::Limit, secrets::Secret};

/// Seconds of silence after which the connection is probed; three unanswered probes end it.
/// A silent long command is not an inactive connection, so russh's own inactivity timeout stays off.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshError {
    /// The guest refused user name or password.
    Refused(String),
    /// The server has another host key than it must have; nothing was sent to it.
    HostKey(String),
    /// There is no connection, or it broke.
    Connection(String),
}

impl std::fmt::Display for SshError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Refused(text) | Self::HostKey(text) | Self::Connection(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for SshError {}

impl From<russh::Error> for SshError {
    fn from(error: russh::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

/// What a command printed and returned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit status; `None` when the command was ended by a signal or the server told none.
    pub status: Option<u32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A session in a guest, or on a host.
pub struct Ssh {
    handle: Handle<Judge>,
}

/// Decides whether a server's key is the right one, before anything is said to it.
struct Judge {
    wanted: HostKey,
    /// Why it is not; for the error of the handshake.
    why: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Judge {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &russh::keys::PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let verdict = match key {
            russh::keys::PublicKeyOrCertificate::PublicKey { key, .. } => self.wanted.judge(&host_key(key)),
            russh::keys::PublicKeyOrCertificate::Certificate(_) => self.wanted.judge_certificate(),
        };
        let good = verdict.is_ok();
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = verdict.err();
        Ok(good)
    }
}

/// A key as people compare it.
fn host_key(key: &PublicKey) -> host_key::Key {
    host_key::Key {
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
        line: key.to_openssh().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).unwrap_or_default(),
    }
}

/// The fingerprint of a key in base64, as it stands in `known_hosts`.
pub(super) fn fingerprint(base64: &str) -> Option<String> {
    let key = russh::keys::parse_public_key_base64(base64).ok()?;
    Some(key.fingerprint(HashAlg::Sha256).to_string())
}

async fn shake_hands<S>(stream: S, wanted: HostKey) -> Result<Handle<Judge>, SshError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = client::Config { keepalive_interval: Some(KEEPALIVE), keepalive_max: 3, ..client::Config::default() };
    let why = Arc::<Mutex<Option<String>>>::default();
    let shaken = client::connect_stream(Arc::new(config), stream, Judge { wanted, why: why.clone() }).await;
    let refused = why.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (shaken, refused) {
        (Err(_), Some(why)) => Err(SshError::HostKey(why)),
        (shaken, _) => Ok(shaken?),
    }
}

impl Ssh {
    /// Shakes hands and logs in with a password.
    ///
    /// # Errors
    /// Refused, or no SSH server at the other end.
    pub async fn connect<S>(stream: S, login: &GuestLogin) -> Result<Self, SshError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::connect_to(stream, login, HostKey::Any).await
    }

    /// As [`Self::connect`], to a server whose key is judged before the password is sent.
    ///
    /// # Errors
    /// Refused, no SSH server at the other end, or one with another key.
    pub async fn connect_to<S>(stream: S, login: &GuestLogin, host_key: HostKey) -> Result<Self, SshError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut handle = shake_hands(stream, host_key).await?;
        match handle.authenticate_password(&login.user, login.password.expose()).await? {
            AuthResult::Success => Ok(Self { handle }),
            AuthResult::Failure { .. } => Err(SshError::Refused(format!("the password of `{}` was refused", login.user))),
        }
    }

    /// Shakes hands and logs in with a private key: the text of an OpenSSH, PEM or PuTTY key file without a passphrase.
    ///
    /// # Errors
    /// Refused, no SSH server at the other end, or the text is no such key.
    pub async fn connect_with_key<S>(stream: S, user: &str, key: &Secret) -> Result<Self, SshError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // The parser's error may quote what it could not read.
        let key = decode_secret_key(key.expose(), None)
            .map_err(|_| SshError::Refused(format!("the private key of `{user}` is no key without a passphrase that can be read")))?;
        let mut handle = shake_hands(stream, HostKey::Any).await?;
        // RSA keys sign with SHA-2 where the server says that it can; other keys have one hash only.
        let hash = if key.algorithm().is_rsa() { handle.best_supported_rsa_hash().await?.flatten() } else { None };
        match handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::new(key), hash)).await? {
            AuthResult::Success => Ok(Self { handle }),
            AuthResult::Failure { .. } => Err(SshError::Refused(format!("the guest refused the key of `{user}`"))),
        }
    }

    /// Runs a command to its end; the caller bounds the time, [`Limit::Output`] what it prints. Output is read until the channel closes: neither end of file
    /// nor the exit status is the last message for sure.
    ///
    /// # Errors
    /// The connection broke, or the command printed too much.
    pub async fn run(&self, command: &str) -> Result<Output, SshError> {
        self.feed(command, &[]).await
    }

    /// As [`Self::run`], with something to read for the command.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn feed(&self, command: &str, input: &[u8]) -> Result<Output, SshError> {
        let mut channel = self.handle.channel_open_session().await?;
        channel.exec(true, command).await?;
        if !input.is_empty() {
            channel.data(input).await?;
        }
        // There is no more input: a command that reads some must see its end instead of waiting for ever.
        channel.eof().await?;
        let (mut stdout, mut stderr, mut status) = (Vec::new(), Vec::new(), None);
        let mut closed = false;
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => add(&mut stdout, &data, command)?,
                ChannelMsg::ExtendedData { data, .. } => add(&mut stderr, &data, command)?,
                ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
                ChannelMsg::Failure => return Err(SshError::Connection(format!("the guest refused to run `{command}`"))),
                ChannelMsg::Close => {
                    closed = true;
                    break;
                }
                _ => {}
            }
        }
        if !closed && status.is_none() {
            return Err(SshError::Connection(format!("the connection broke while `{command}` ran")));
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Output { status, stdout: text(stdout), stderr: text(stderr) })
    }

    /// Says goodbye. Not needed for correctness: dropping ends the session as well.
    pub async fn close(self) {
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "en").await;
    }
}

/// Takes what a command has printed.
fn add(output: &mut Vec<u8>, data: &[u8], command: &str) -> Result<(), SshError> {
    if (output.len() + data.len()) as u64 > Limit::Output.bytes() {
        return Err(SshError::Connection(format!("`{command}` printed more than {}, the most that is read", Limit::Output)));
    }
    output.extend_from_slice(data);
    Ok(())
}
