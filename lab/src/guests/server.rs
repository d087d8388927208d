//! sshd of a guest.

use std::{borrow::Cow, sync::Arc, time::Duration};

use russh::{
    Channel, ChannelId, MethodKind, MethodSet,
    keys::PublicKey,
    server::{Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey, run_stream},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Guest;
use crate::faults::SshFault;

/// What a real sshd waits after a wrong password, so that guessing is slow.
const REJECTION: Duration = Duration::from_secs(2);

/// Speaks SSH until the connection closes.
pub(super) async fn serve(guest: Arc<Guest>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> anyhow::Result<()> {
    let config = Config {
        server_id: russh::SshId::Standard(Cow::Borrowed(if guest.is_windows() {
            "SSH-2.0-OpenSSH_for_Windows_8.1"
        } else {
            "SSH-2.0-OpenSSH_8.0"
        })),
        methods: MethodSet::from(&[MethodKind::PublicKey, MethodKind::Password, MethodKind::KeyboardInteractive][..]),
        keys: vec![guest.host_key.clone()],
        auth_rejection_time: guest.clock.scaled(REJECTION),
        // The first look at which methods there are is answered at once, as by a real server.
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: None,
        ..Config::default()
    };
    let session = run_stream(Arc::new(config), stream, Sshd { guest }).await?;
    session.await?;
    Ok(())
}

/// Takes what comes, and says nothing until the other side gives up.
pub(super) async fn ignore(mut stream: impl AsyncRead + Unpin) -> anyhow::Result<()> {
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}

struct Sshd {
    guest: Arc<Guest>,
}

impl Sshd {
    fn password_fits(&self, user: &str, password: &str) -> bool {
        let login = &self.guest.model.login;
        // Windows does not tell users apart by case.
        let same = if self.guest.is_windows() { user.eq_ignore_ascii_case(&login.user) } else { user == login.user };
        same && password == login.password && self.guest.ssh != Some(SshFault::Refuses)
    }

    fn key_fits(&self, user: &str, key: &PublicKey) -> bool {
        let known = self.guest.model.authorized_keys.iter().filter_map(|line| PublicKey::from_openssh(line).ok());
        user == self.guest.model.login.user && known.into_iter().any(|k| k.key_data() == key.key_data())
    }
}

fn verdict(good: bool) -> Auth {
    if good { Auth::Accept } else { Auth::reject() }
}

impl Handler for Sshd {
    type Error = anyhow::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(verdict(self.password_fits(user, password)))
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(verdict(self.key_fits(user, offer.public_key)))
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(verdict(self.key_fits(user, key.public_key)))
    }

    async fn auth_keyboard_interactive<'a>(&'a mut self, user: &str, _: &str, response: Option<Response<'a>>) -> Result<Auth, Self::Error> {
        let Some(mut answers) = response else {
            let prompts = vec![(Cow::Borrowed("Password: "), false)];
            return Ok(Auth::Partial { name: Cow::Borrowed(""), instructions: Cow::Borrowed(""), prompts: Cow::Owned(prompts) });
        };
        let password = answers.next().map(|answer| String::from_utf8_lossy(&answer).into_owned()).unwrap_or_default();
        Ok(verdict(self.password_fits(user, &password)))
    }

    async fn channel_open_session(&mut self, _: Channel<Msg>, reply: ChannelOpenHandle, _: &mut Session) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        let command = String::from_utf8_lossy(data).into_owned();
        let (guest, handle) = (Arc::clone(&self.guest), session.handle());
        // Beside the session, so that keep-alives are answered while a command runs.
        tokio::spawn(async move {
            let output = guest.run(&command).await;
            // Whoever closed the channel meanwhile does not want the rest.
            let _closed = async {
                if !output.out.is_empty() {
                    handle.data(channel, output.out).await.map_err(drop)?;
                }
                if !output.err.is_empty() {
                    handle.extended_data(channel, 1, output.err).await.map_err(drop)?;
                }
                handle.exit_status_request(channel, output.code).await?;
                handle.eof(channel).await?;
                handle.close(channel).await
            }
            .await;
        });
        Ok(())
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        // No terminal sessions: the lab runs single commands.
        session.channel_failure(channel)?;
        Ok(())
    }

    async fn subsystem_request(&mut self, channel: ChannelId, _: &str, session: &mut Session) -> Result<(), Self::Error> {
        session.channel_failure(channel)?;
        Ok(())
    }
}
