//! Operating systems inside running virtual machines, as far as SSH shows them.

mod files;
mod linux;
mod server;
mod shell;
mod windows;

use std::sync::Arc;

use anyhow::Context as _;
use russh::keys::{
    PrivateKey,
    ssh_key::private::{Ed25519Keypair, KeypairData},
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{clock::Clock, datacenter::GuestModel, faults::SshFault};
pub use files::Files;

/// The port that sshd listens on; every other one refuses.
pub const SSH_PORT: u16 = 22;

/// A network interface as the guest sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name in the guest, such as `enp1s0` or `Ethernet Instance 0`.
    pub name: String,
    /// MAC address, lower case with colons.
    pub mac: String,
    /// Addresses with prefix length.
    pub addresses: Vec<String>,
    /// Whether the addresses are configured in the guest, not given by DHCP.
    pub fixed: bool,
    /// Default gateway by way of it.
    pub gateway: Option<String>,
}

/// A disk as the guest sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disk {
    /// Bytes.
    pub size: u64,
    /// Serial number, empty if there is none.
    pub serial: String,
}

/// A guest operating system that runs.
#[derive(Debug, Clone)]
pub struct Guest {
    /// What stands on the boot disk.
    pub model: GuestModel,
    /// Interfaces in the order of the virtual machine.
    pub interfaces: Vec<Interface>,
    /// Disks in the order of the virtual machine.
    pub disks: Vec<Disk>,
    /// For commands that take time.
    pub clock: Clock,
    /// Host key, kept on the boot disk.
    pub host_key: PrivateKey,
    /// What its SSH server does instead of its work.
    pub ssh: Option<SshFault>,
    /// Files that were written into it.
    pub files: Files,
}

/// What a command left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// Exit status.
    pub code: u32,
}

impl Output {
    fn ok(out: impl Into<String>) -> Self {
        Self { out: out.into(), ..Self::default() }
    }

    fn failed(code: u32, err: impl Into<String>) -> Self {
        Self { err: err.into(), code, ..Self::default() }
    }
}

impl Guest {
    /// Whether the guest is a Windows.
    pub fn is_windows(&self) -> bool {
        self.model.family == "windows"
    }

    /// Runs one command line in the login shell of the guest.
    pub async fn run(&self, command: &str) -> Output {
        if self.is_windows() { windows::run(self, command) } else { linux::run(self, command).await }
    }

    /// Speaks SSH on a connection until it closes.
    ///
    /// # Errors
    /// The connection broke before SSH was established.
    pub async fn serve(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> anyhow::Result<()> {
        if self.ssh == Some(SshFault::Silent) {
            return server::ignore(stream).await;
        }
        server::serve(self, stream).await
    }
}

/// The host key of the operating system on a disk: the same whenever that disk boots in this lab.
///
/// # Errors
/// The key could not be built.
pub fn host_key(secret: &[u8], disk: &str) -> anyhow::Result<PrivateKey> {
    let seed: [u8; 32] = Sha256::new().chain_update(secret).chain_update(disk).finalize().into();
    PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&seed)), "").context("make a guest's host key")
}

#[cfg(test)]
mod tests;
