//! The objects of the cloud as they are kept. How services show them is the services' matter.

use std::{collections::BTreeMap, net::Ipv4Addr};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// A server.
#[derive(Debug, Clone)]
pub struct Server {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// `ACTIVE`, `SHUTOFF`, `BUILD`, `ERROR`, `PAUSED`, `SUSPENDED`, `RESCUE`, `SHELVED_OFFLOADED`, `VERIFY_RESIZE`.
    pub status: &'static str,
    /// What is being done, as `OS-EXT-STS:task_state`.
    pub task: Option<&'static str>,
    /// Flavor.
    pub flavor: Flavor,
    /// Flavor before it was resized, until that is confirmed.
    pub flavor_before: Option<Flavor>,
    /// Image that it boots from, if it does.
    pub image: Option<String>,
    /// Metadata of clients.
    pub metadata: Map<String, Value>,
    /// Ports in their order.
    pub ports: Vec<String>,
    /// Why it is in error.
    pub fault: Option<String>,
    /// Name of its key pair.
    pub key: Option<String>,
    /// What clients say of it.
    pub description: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Whether only administrators may change it.
    pub locked: bool,
    /// What was done to it, the oldest first: request, action, moment.
    pub actions: Vec<(String, &'static str, Timestamp)>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed.
    pub updated: Timestamp,
}

/// What a volume is attached to.
#[derive(Debug, Clone)]
pub struct Attached {
    /// Server.
    pub server: String,
    /// Device in it, `/dev/vda`.
    pub device: String,
    /// Whether the volume goes with its server.
    pub goes: bool,
    /// UUID of the attachment.
    pub id: String,
}

/// A volume.
#[derive(Debug, Clone)]
pub struct Volume {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// What clients say of it.
    pub description: Option<String>,
    /// GiB.
    pub size: u64,
    /// `creating`, `available`, `in-use`, `uploading`, `deleting`, `error`.
    pub status: &'static str,
    /// Name of its volume type.
    pub kind: String,
    /// Whether something boots from it.
    pub bootable: bool,
    /// Metadata of clients.
    pub metadata: Map<String, Value>,
    /// What its image said of the machine.
    pub image_metadata: Map<String, Value>,
    /// Snapshot that it was made from.
    pub snapshot: Option<String>,
    /// Volume that it was made from.
    pub source: Option<String>,
    /// What it is attached to.
    pub attached: Option<Attached>,
    /// When it was made.
    pub created: Timestamp,
}

/// A snapshot of a volume.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// What clients say of it.
    pub description: Option<String>,
    /// Its volume.
    pub volume: String,
    /// GiB.
    pub size: u64,
    /// `creating`, `available`, `deleting`, `error`.
    pub status: &'static str,
    /// Metadata of clients.
    pub metadata: Map<String, Value>,
    /// When it was taken.
    pub created: Timestamp,
}

/// An image.
#[derive(Debug, Clone)]
pub struct Image {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// `queued`, `saving`, `active`, `deactivated`, `killed`.
    pub status: &'static str,
    /// Bytes; zero for one that only refers to volume snapshots, none until there is content.
    pub size: Option<u64>,
    /// `raw`, `qcow2`, …
    pub disk_format: Option<String>,
    /// `bare`, …
    pub container_format: Option<String>,
    /// `private`, `public`, `shared`, `community`.
    pub visibility: String,
    /// Whether it must not be deleted.
    pub protected: bool,
    /// GiB that a disk needs at least.
    pub min_disk: u64,
    /// MiB that a server needs at least.
    pub min_ram: u64,
    /// Tags.
    pub tags: Vec<String>,
    /// What clients and services say of it.
    pub properties: Map<String, Value>,
    /// What a client sent, where one did.
    pub data: Option<Bytes>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed.
    pub updated: Timestamp,
}

/// A flavor. Servers keep theirs as it was.
#[derive(Debug, Clone)]
pub struct Flavor {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// What clients say of it.
    pub description: Option<String>,
    /// Virtual CPUs.
    pub vcpus: u64,
    /// Memory in MiB.
    pub ram: u64,
    /// Root disk in GiB.
    pub disk: u64,
    /// GiB of a disk that goes with the server.
    pub ephemeral: u64,
    /// MiB of swap.
    pub swap: u64,
    /// Whether everybody sees it.
    pub public: bool,
    /// What hypervisors are told.
    pub extra_specs: Map<String, Value>,
}

/// A network.
#[derive(Debug, Clone)]
pub struct Network {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// What clients say of it.
    pub description: String,
    /// Whether other projects see it.
    pub shared: bool,
    /// Whether it leads out of the cloud.
    pub external: bool,
    /// Whether it is switched on.
    pub up: bool,
    /// Number that tells it from others on the wire.
    pub segment: usize,
    /// When it was made.
    pub created: Timestamp,
}

/// A subnet of IPv4.
#[derive(Debug, Clone)]
pub struct Subnet {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// What clients say of it.
    pub description: String,
    /// Its network.
    pub network: String,
    /// First address.
    pub base: Ipv4Addr,
    /// Length of its prefix.
    pub prefix: u8,
    /// Gateway, if it has one.
    pub gateway: Option<Ipv4Addr>,
    /// Whether it gives addresses by DHCP.
    pub dhcp: bool,
    /// Name servers.
    pub dns: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
}

impl Subnet {
    /// An address by its number.
    pub fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base).saturating_add(number))
    }

    /// How many addresses it has, its own and that of broadcasts among them.
    pub const fn size(&self) -> u32 {
        match self.prefix {
            0 => u32::MAX,
            prefix if prefix < 32 => 1 << (32 - prefix),
            _ => 1,
        }
    }

    /// Whether an address is one of it.
    pub fn has(&self, address: Ipv4Addr) -> bool {
        (u32::from(address)).checked_sub(u32::from(self.base)).is_some_and(|number| number < self.size())
    }

    /// First and last address that may be given away: all but its own, the gateway's if that is the first, and that of broadcasts.
    pub fn pool(&self) -> (Ipv4Addr, Ipv4Addr) {
        let first = if self.gateway == Some(self.address(1)) { 2 } else { 1 };
        (self.address(first), self.address(self.size().saturating_sub(2)))
    }
}

/// A port.
#[derive(Debug, Clone)]
pub struct Port {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// What clients say of it.
    pub description: String,
    /// Network.
    pub network: String,
    /// Server, empty while it has none.
    pub device: String,
    /// MAC address.
    pub mac: String,
    /// Addresses with their subnets.
    pub addresses: Vec<(String, Ipv4Addr)>,
    /// UUIDs of its security groups.
    pub groups: Vec<String>,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether foreign addresses are kept from it.
    pub secure: bool,
    /// Whether it was made for a server, and goes with it.
    pub of_server: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// A security group.
#[derive(Debug, Clone)]
pub struct SecurityGroup {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// What clients say of it.
    pub description: String,
    /// Rules by their UUIDs: what clients asked for.
    pub rules: BTreeMap<String, Map<String, Value>>,
    /// When it was made.
    pub created: Timestamp,
}

/// A key pair of the user.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// Name.
    pub name: String,
    /// As `authorized_keys` has it.
    pub public_key: String,
    /// MD5 of the key.
    pub fingerprint: String,
    /// When it was made.
    pub created: Timestamp,
}

/// A group of servers.
#[derive(Debug, Clone)]
pub struct ServerGroup {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// `affinity`, `anti-affinity`, `soft-affinity`, `soft-anti-affinity`.
    pub policy: String,
    /// Servers in it.
    pub members: Vec<String>,
}
