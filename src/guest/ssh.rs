//! An SSH client on russh. The crate's handler traits change between minor versions, so all of it stays in this file.

use std::{sync::Arc, time::Duration};

use russh::{
    ChannelMsg, Disconnect,
    client::{self, AuthResult, Handle},
    keys::{PrivateKeyWithHashAlg, decode_secret_key},
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{config::profile::GuestLogin, secrets::Secret};

/// Seconds of silence after which the connection is probed; three unanswered probes end it.
/// A silent long command is not an inactive connection, so russh's own inactivity timeout stays off.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshError {
    /// The guest refused user name or password.
    Refused(String),
    /// There is no connection, or it broke.
    Connection(String),
}

impl std::fmt::Display for SshError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Refused(text) | Self::Connection(text)) = self;
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

/// A session in a guest.
pub struct Ssh {
    handle: Handle<TrustTunnel>,
}

/// Host keys of freshly migrated guests are not known to anybody. The stream itself comes through the API server's verified
/// TLS from the one virtual machine that is asked for, and nothing secret but the guest's own test login is sent.
struct TrustTunnel;

impl client::Handler for TrustTunnel {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &russh::keys::PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

async fn shake_hands<S>(stream: S) -> Result<Handle<TrustTunnel>, SshError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = client::Config { keepalive_interval: Some(KEEPALIVE), keepalive_max: 3, ..client::Config::default() };
    Ok(client::connect_stream(Arc::new(config), stream, TrustTunnel).await?)
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
        let mut handle = shake_hands(stream).await?;
        match handle.authenticate_password(&login.user, login.password.expose()).await? {
            AuthResult::Success => Ok(Self { handle }),
            AuthResult::Failure { .. } => Err(SshError::Refused(format!("the guest refused the password of `{}`", login.user))),
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
        let mut handle = shake_hands(stream).await?;
        // RSA keys sign with SHA-2 where the server says that it can; other keys have one hash only.
        let hash = if key.algorithm().is_rsa() { handle.best_supported_rsa_hash().await?.flatten() } else { None };
        match handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::new(key), hash)).await? {
            AuthResult::Success => Ok(Self { handle }),
            AuthResult::Failure { .. } => Err(SshError::Refused(format!("the guest refused the key of `{user}`"))),
        }
    }

    /// Runs a command to its end; the caller bounds the time. Output is read until the channel closes: neither end of file
    /// nor the exit status is the last message for sure.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn run(&self, command: &str) -> Result<Output, SshError> {
        let mut channel = self.handle.channel_open_session().await?;
        channel.exec(true, command).await?;
        // There is no input: a command that reads some must see its end instead of waiting for ever.
        channel.eof().await?;
        let (mut stdout, mut stderr, mut status) = (Vec::new(), Vec::new(), None);
        let mut closed = false;
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => stdout.extend_from_slice(&data),
                ChannelMsg::ExtendedData { data, .. } => stderr.extend_from_slice(&data),
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
