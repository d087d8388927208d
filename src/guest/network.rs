//! The network of a guest as it sees it itself: which commands tell it, and how to read them, is a file per operating system.

use std::net::IpAddr;

use super::{linux, ssh::Ssh, ssh::SshError, windows};

/// An address of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Length of its network's prefix, if the guest tells.
    pub prefix: Option<u8>,
    /// Whether it was given by DHCP or a router, where the guest tells.
    pub dynamic: bool,
}

/// An adapter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestNic {
    /// Name in the guest, such as `enp1s0` or `Ethernet Instance 0`.
    pub name: String,
    /// MAC address, lower case with colons.
    pub mac: String,
    /// Addresses that reach beyond its link.
    pub addresses: Vec<Address>,
    /// Default gateways by way of it.
    pub gateways: Vec<IpAddr>,
}

/// What a guest says of its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestView {
    /// It was not asked, with the reason.
    No(String),
    /// It did not answer, with what was found instead.
    Failed(String),
    /// Its adapters.
    Seen(Vec<GuestNic>),
}

/// Asks a guest for its adapters.
///
/// # Errors
/// The connection broke, or the guest knows none of the commands.
pub async fn adapters(ssh: &Ssh, is_windows: bool) -> Result<Vec<GuestNic>, SshError> {
    if is_windows {
        let output = ssh.run(windows::ADAPTERS).await?;
        return match output.status {
            Some(0) => Ok(windows::adapters(&output.stdout)),
            status => Err(SshError::Connection(format!("`{}` ended with {status:?}: {}", windows::ADAPTERS, output.stderr.trim()))),
        };
    }
    let output = ssh.run(linux::ADDRESSES).await?;
    let mut nics = match output.status {
        Some(0) => linux::adapters(&output.stdout),
        status => return Err(SshError::Connection(format!("`{}` ended with {status:?}: {}", linux::ADDRESSES, output.stderr.trim()))),
    };
    // No default route is no failure.
    let routes = ssh.run(linux::ROUTES).await?;
    linux::add_gateways(&mut nics, &routes.stdout);
    Ok(nics)
}

/// Whether an address reaches no further than its link, or the machine itself.
pub(super) fn is_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_loopback(),
    }
}
