//! What stands in the simulated vCenter: entities, tasks, events. No protocol and no time of its own: methods change the
//! model, timers are asked for by `wakeups`.

pub mod build;
pub mod clone;
pub mod device;
pub mod events;
pub mod guest_ops;
pub mod inventory;
pub mod power;
pub mod reconfigure;
pub mod snapshot;
pub mod task;
pub mod vm;

use std::{collections::BTreeMap, time::Duration};

use self::{events::Event, task::Task, vm::Vm};
use crate::world::World;

/// A managed entity of the inventory.
#[derive(Debug, Clone)]
pub struct Entity {
    /// moRef value.
    pub id: String,
    /// Name, unique in its folder.
    pub name: String,
    /// The entity that this one is in; none for the root folder.
    pub parent: Option<String>,
    /// Custom attributes by key.
    pub custom: BTreeMap<i32, String>,
    /// What it is.
    pub kind: Kind,
}

/// Kinds of managed entities.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A folder, with the types of the objects that may be in it.
    Folder(&'static [&'static str]),
    /// A datacenter with its four folders.
    Datacenter {
        /// VM folder.
        vm: String,
        /// Host folder.
        host: String,
        /// Datastore folder.
        datastore: String,
        /// Network folder.
        network: String,
    },
    /// A cluster with its root resource pool.
    Cluster {
        /// Root resource pool.
        pool: String,
    },
    /// A resource pool.
    Pool,
    /// An ESXi host.
    Host,
    /// A datastore.
    Datastore {
        /// Capacity in bytes.
        capacity: u64,
        /// Folders made by clients, without the brackets.
        folders: Vec<String>,
    },
    /// A standard network.
    Network,
    /// A distributed port group.
    Portgroup {
        /// Its switch.
        switch: String,
        /// Port group of the switch's own uplinks.
        uplink: bool,
    },
    /// A distributed switch.
    Switch {
        /// UUID that network adapters name.
        uuid: String,
    },
    /// A virtual machine or template.
    Vm(Box<Vm>),
}

/// Number of the first host.
pub const FIRST_HOST: u64 = 12;

/// Something that happens later by itself.
#[derive(Debug, Clone)]
pub enum Wakeup {
    /// The guest's tools report.
    ToolsUp {
        /// Machine.
        vm: String,
        /// The boot that this belongs to.
        boot: u64,
    },
    /// The guest has shut itself down.
    GuestOff {
        /// Machine.
        vm: String,
        /// The boot that this belongs to.
        boot: u64,
    },
}

/// The whole state.
pub struct Model {
    /// The data centre, the clock and the disks' contents.
    pub world: World,
    /// Entities by moRef value.
    pub entities: BTreeMap<String, Entity>,
    /// Tasks by moRef value, in the order of their creation by number.
    pub tasks: BTreeMap<u64, Task>,
    /// Events, oldest first.
    pub events: Vec<Event>,
    /// Definitions of custom attributes: key, name, type of object.
    pub custom_fields: Vec<(i32, String, Option<String>)>,
    /// Timers to be started; taken by the server after each change.
    pub wakeups: Vec<(Duration, Wakeup)>,
    /// Programs that clients have started in guests.
    pub programs: Vec<guest_ops::Program>,
    /// Files of guests that were offered by HTTP: number, token, guest and path.
    pub transfers: BTreeMap<u64, (String, crate::guests::Files, String)>,
    /// Instance UUID of the server.
    pub instance_uuid: String,
    /// Numbers of machines at the agents of their hosts: host, machine, number. A machine that is gone keeps its own.
    agents: BTreeMap<String, BTreeMap<String, u64>>,
    counters: BTreeMap<&'static str, u64>,
    uuids: u64,
}

impl Model {
    /// The next moRef value with this prefix.
    pub fn next_id(&mut self, prefix: &'static str) -> String {
        format!("{prefix}-{}", self.count(prefix))
    }

    /// The next number of a series.
    pub fn count(&mut self, series: &'static str) -> u64 {
        let first = match series {
            "host" => FIRST_HOST,
            "datastore" => 21,
            "network" => 31,
            "dvs" => 40,
            "dvportgroup" => 41,
            "vm" => 101,
            "snapshot" => 1001,
            "resgroup" => 8,
            "domain-c" => 7,
            "folder" => 50,
            _ => 1,
        };
        let counter = self.counters.entry(series).or_insert(first);
        *counter += 1;
        *counter - 1
    }

    /// A UUID in VMware's manner. Not random: the same session of calls gives the same ones.
    pub fn uuid(&mut self, prefix: u8) -> String {
        self.uuids += 1;
        uuid(prefix, &format!("{}/{}", self.instance_uuid, self.uuids))
    }

    /// A MAC address that no adapter has: vCenter gives those above `00:50:56:80`, people choose theirs below `00:50:56:40`.
    pub fn mac(&mut self) -> String {
        let n = self.count("mac");
        format!("00:50:56:{:02x}:{:02x}:{:02x}", 0x80 + (n >> 16 & 0x3f), n >> 8 & 0xff, n & 0xff)
    }

    /// Now, as the API writes it.
    pub fn now() -> String {
        jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

/// A UUID made of a seed; its first byte is given (`42` for BIOS, `50` for instance UUIDs, `60` for disks, as vCenter does).
pub fn uuid(prefix: u8, seed: &str) -> String {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(seed.as_bytes());
    let hex = hex(hash.get(..16).unwrap_or_default());
    format!("{prefix:02x}{}-{}-{}-{}-{}", &hex[2..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}
