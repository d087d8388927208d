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
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx, human},
    retry::Pauses,
};

/// Port of the SSH server in guests.
const SSH_PORT: u16 = 22;

/// Longest time for one attempt: tunnel, handshake and login together.
const ATTEMPT: Duration = Duration::from_secs(20);

/// Time that the last attempt gets when it begins at the deadline.
const GRACE: Duration = Duration::from_secs(2);

/// First and longest pause between attempts; a guest that boots needs a moment.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Logs in to the guest of a running virtual machine, trying until it works or the time is up.
///
/// A refused login is tried again like a missing connection: a guest that boots for the first time after its conversion refuses the
/// right password while `pam_nologin` holds, while SELinux relabels, and until cloud-init has set it.
pub async fn log_in(
    cx: &StepCx,
    cluster: &Cluster,
    namespace: &str,
    vm: &str,
    login: &GuestLogin,
    limit: Duration,
) -> Result<Ssh, Failure> {
    let started = Instant::now();
    let mut pauses = Pauses::new(PAUSES, cx.deadline.within(limit));
    let mut refusals = 0_u32;
    loop {
        let attempt = async {
            let stream = cluster::forward(cluster, namespace, vm, SSH_PORT).await.map_err(|e| SshError::Connection(format!("{e:#}")))?;
            Ssh::connect(stream, login).await
        };
        let result = tokio::select! {
            () = cx.cancel.cancelled() => return Err(Failure::Interrupted),
            result = tokio::time::timeout(pauses.patience(ATTEMPT, GRACE), attempt) => result,
        };
        let error = match result {
            Ok(Ok(ssh)) => return Ok(ssh),
            Ok(Err(error)) => error,
            Err(_) => SshError::Connection("no answer from the guest's SSH server".to_owned()),
        };
        if matches!(error, SshError::Refused(_)) {
            refusals += 1;
            if refusals == 1 {
                cx.progress(format!("VirtualMachine {namespace}/{vm} refuses the login of `{}`; trying again", login.user), None);
            }
        }
        // A wrong host key stays wrong.
        let is_final = matches!(error, SshError::HostKey(_));
        let waited = tokio::select! {
            () = cx.cancel.cancelled() => return Err(Failure::Interrupted),
            waited = async { !is_final && pauses.wait().await } => waited,
        };
        if !waited {
            let (id, hint) = match error {
                SshError::Refused(_) => (Id::GuestSshRefused, "check guest_vm_linux_* and guest_vm_win_* of the provider profile"),
                SshError::HostKey(_) => (Id::GuestHostKeyMismatch, "its host key is not the expected one"),
                SshError::Connection(_) => {
                    (Id::GuestSshUnreachable, "does the guest run an SSH server, and does its firewall let port 22 in?")
                }
            };
            let refused = if refusals > 0 { format!(" ({refusals} attempts were refused)") } else { String::new() };
            let subject = format!("VirtualMachine {namespace}/{vm}");
            let text = format!("no SSH login to the guest of {subject} within {}", human(started.elapsed()));
            let trouble = Diagnosis::new(id, text).about(subject);
            return Err(Failure::Failed(trouble.evidence(format!("last attempt as `{}`: {error}{refused}", login.user)).hint(hint)));
        }
    }
}
