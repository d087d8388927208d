//! Inside a guest: SSH over any byte stream. What to run there and how to read it is one file per operating system.

mod host_key;
mod linux;
mod network;
mod ssh;
mod windows;

pub use host_key::{FORMS as HOST_KEY_FORMS, HostKey, Key, Unverified, parse as parse_host_key, unverified};
pub use linux::{ADDRESSES as LINUX_ADDRESSES, adapters as linux_adapters};
pub use network::{Address, GuestNic, GuestView, adapters};
pub use ssh::{Output, Ssh, SshError};

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    cluster::{self, Cluster},
    config::profile::GuestLogin,
    engine::{Failure, StepCx, human},
    events::Trouble,
};

/// Port of the SSH server in guests.
const SSH_PORT: u16 = 22;

/// Longest time for one attempt: tunnel, handshake and login together.
const ATTEMPT: Duration = Duration::from_secs(20);

/// First and longest pause between attempts; a guest that boots needs a moment.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// A booting guest may refuse a right password for a moment; one that refuses it this often means it.
const REFUSALS: u32 = 3;

/// Logs in to the guest of a running virtual machine, trying until it works or the time is up.
pub async fn log_in(
    cx: &StepCx,
    cluster: &Cluster,
    namespace: &str,
    vm: &str,
    login: &GuestLogin,
    limit: Duration,
) -> Result<Ssh, Failure> {
    let started = Instant::now();
    let deadline = cx.deadline.within(limit);
    let mut pause = PAUSES.0;
    let mut refusals = 0;
    loop {
        let attempt = async {
            let stream = cluster::forward(cluster, namespace, vm, SSH_PORT).await.map_err(|e| SshError::Connection(format!("{e:#}")))?;
            Ssh::connect(stream, login).await
        };
        let result = tokio::select! {
            () = cx.cancel.cancelled() => return Err(Failure::Interrupted),
            result = tokio::time::timeout(ATTEMPT.min(deadline.left()), attempt) => result,
        };
        let error = match result {
            Ok(Ok(ssh)) => return Ok(ssh),
            Ok(Err(error)) => error,
            Err(_) => SshError::Connection("no answer from the guest's SSH server".to_owned()),
        };
        if matches!(error, SshError::Refused(_)) {
            refusals += 1;
        }
        if refusals >= REFUSALS || deadline.left() <= pause {
            return Err(Failure::Failed(
                Trouble::new(format!("no SSH login to the guest of VirtualMachine {namespace}/{vm} within {}", human(started.elapsed())))
                    .detail(format!("last attempt as `{}`: {error}", login.user))
                    .hint(match error {
                        SshError::Refused(_) => "check guest_vm_linux_* and guest_vm_win_* of the provider profile",
                        SshError::HostKey(_) | SshError::Connection(_) => {
                            "does the guest run an SSH server, and does its firewall let port 22 in?"
                        }
                    }),
            ));
        }
        tokio::select! {
            () = cx.cancel.cancelled() => return Err(Failure::Interrupted),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}
