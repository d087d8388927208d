//! An SSH client on russh. The crate's handler traits change between minor versions, so all of it stays in this file.

use std::{sync::Arc, time::Duration};

use russh::{
    ChannelMsg, Disconnect,
    client::{self, AuthResult, Handle},
};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::profile::GuestLogin;

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

impl Ssh {
    /// Shakes hands and logs in with a password.
    ///
    /// # Errors
    /// Refused, or no SSH server at the other end.
    pub async fn connect<S>(stream: S, login: &GuestLogin) -> Result<Self, SshError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = client::Config { keepalive_interval: Some(KEEPALIVE), keepalive_max: 3, ..client::Config::default() };
        let mut handle = client::connect_stream(Arc::new(config), stream, TrustTunnel).await?;
        match handle.authenticate_password(&login.user, login.password.expose()).await? {
            AuthResult::Success => Ok(Self { handle }),
            AuthResult::Failure { .. } => Err(SshError::Refused(format!("the guest refused the password of `{}`", login.user))),
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
