//! What stands in the cloud. No protocol and no time of its own.

mod build;
mod objects;

use std::{collections::BTreeMap, net::Ipv4Addr};

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use self::objects::{Attached, Flavor, Image, KeyPair, Network, Port, SecurityGroup, Server, ServerGroup, Snapshot, Subnet, Volume};
use crate::{vsphere::model::uuid, world::World};

/// The whole state.
pub struct Model {
    /// Data centre, time, contents of disks.
    pub world: World,
    /// Id of the project.
    pub project: String,
    /// Servers.
    pub servers: BTreeMap<String, Server>,
    /// Volumes.
    pub volumes: BTreeMap<String, Volume>,
    /// Snapshots of volumes.
    pub snapshots: BTreeMap<String, Snapshot>,
    /// Images.
    pub images: BTreeMap<String, Image>,
    /// Flavors.
    pub flavors: Vec<Flavor>,
    /// Networks.
    pub networks: Vec<Network>,
    /// Subnets.
    pub subnets: Vec<Subnet>,
    /// Ports.
    pub ports: BTreeMap<String, Port>,
    /// Security groups; the first one is the project's default.
    pub groups: Vec<SecurityGroup>,
    /// Key pairs by name.
    pub keys: BTreeMap<String, KeyPair>,
    /// Groups of servers.
    pub server_groups: Vec<ServerGroup>,
    count: u64,
}

/// Where the content of a volume, snapshot or image is kept.
pub fn content(id: &str) -> String {
    format!("openstack:{id}")
}

impl Model {
    /// A new UUID. Not random: the same requests give the same ones.
    pub fn id(&mut self) -> String {
        self.count += 1;
        uuid(0x0c, &format!("openstack/{}", self.count))
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.world.clock.moment()
    }

    /// A new image that is there already; its id.
    pub fn image(&mut self, name: &str, properties: Map<String, Value>) -> String {
        let (id, created) = (self.id(), self.now());
        let image = Image {
            id: id.clone(),
            name: Some(name.to_owned()),
            status: "active",
            size: Some(1 << 30),
            disk_format: Some("raw".to_owned()),
            container_format: Some("bare".to_owned()),
            visibility: "private".to_owned(),
            protected: false,
            min_disk: 0,
            min_ram: 0,
            tags: Vec::new(),
            properties,
            data: None,
            created,
            updated: created,
        };
        self.images.insert(id.clone(), image);
        id
    }

    /// A new volume that is being made; its id.
    pub fn volume(&mut self, name: &str, size: u64, kind: &str, metadata: Map<String, Value>) -> String {
        let (id, created) = (self.id(), self.now());
        let volume = Volume {
            id: id.clone(),
            name: name.to_owned(),
            description: None,
            size,
            status: "creating",
            kind: kind.to_owned(),
            bootable: false,
            metadata,
            image_metadata: Map::new(),
            snapshot: None,
            source: None,
            attached: None,
            created,
        };
        self.volumes.insert(id.clone(), volume);
        id
    }

    /// What a volume made of an image keeps of it: what the image says of the machine, and which one it was.
    pub fn image_metadata(&self, image: &str) -> Map<String, Value> {
        let Some(image) = self.images.get(image) else { return Map::new() };
        let text = |value: &dyn ToString| Value::from(value.to_string());
        let mut out: Map<String, Value> =
            image.properties.iter().map(|(key, value)| (key.clone(), value.as_str().map_or_else(|| text(value), Value::from))).collect();
        out.insert("image_id".to_owned(), Value::from(image.id.clone()));
        out.insert("image_name".to_owned(), Value::from(image.name.clone().unwrap_or_default()));
        out.insert("min_disk".to_owned(), text(&image.min_disk));
        out.insert("min_ram".to_owned(), text(&image.min_ram));
        out.insert("size".to_owned(), text(&image.size.unwrap_or_default()));
        out.insert("disk_format".to_owned(), Value::from(image.disk_format.clone().unwrap_or_default()));
        out.insert("container_format".to_owned(), Value::from(image.container_format.clone().unwrap_or_default()));
        out
    }

    /// Name of the volume type that volumes have if none is asked for.
    pub fn default_type(&self) -> String {
        self.world.datacenter.openstack.volume_types.first().map(|t| t.name.clone()).unwrap_or_default()
    }

    /// A new port on a network, for a server or for nobody yet; its id, or none when the network has no address left.
    pub fn port(&mut self, network: &str, server: &str, wanted: Option<Ipv4Addr>) -> Option<String> {
        let addresses = self.addresses(network, wanted)?;
        let (id, created) = (self.id(), self.now());
        let n = self.count;
        let port = Port {
            id: id.clone(),
            name: String::new(),
            description: String::new(),
            network: network.to_owned(),
            device: server.to_owned(),
            mac: format!("fa:16:3e:{:02x}:{:02x}:{:02x}", n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff),
            addresses,
            groups: self.groups.first().map(|group| group.id.clone()).into_iter().collect(),
            up: true,
            secure: true,
            of_server: !server.is_empty(),
            created,
        };
        self.ports.insert(id.clone(), port);
        Some(id)
    }

    /// An address of the first subnet of a network that has one: the wanted one if it is free, else the lowest free one. A network
    /// without subnets gives none, which is no failure.
    fn addresses(&self, network: &str, wanted: Option<Ipv4Addr>) -> Option<Vec<(String, Ipv4Addr)>> {
        let subnets: Vec<&Subnet> = self.subnets.iter().filter(|subnet| subnet.network == network).collect();
        if subnets.is_empty() {
            return Some(Vec::new());
        }
        let taken = |address: Ipv4Addr| {
            let own = |port: &Port| port.network == network && port.addresses.iter().any(|(_, other)| *other == address);
            self.ports.values().any(own)
        };
        if let Some(wanted) = wanted {
            let subnet = subnets.iter().find(|subnet| subnet.has(wanted) && !taken(wanted))?;
            return Some(vec![(subnet.id.clone(), wanted)]);
        }
        for subnet in subnets {
            let (first, last) = subnet.pool();
            if let Some(free) = (u32::from(first)..=u32::from(last)).map(Ipv4Addr::from).find(|address| !taken(*address)) {
                return Some(vec![(subnet.id.clone(), free)]);
            }
        }
        None
    }

    /// Volumes of a server by their device.
    pub fn volumes_of(&self, server: &str) -> Vec<&Volume> {
        let mut found: Vec<(&str, &Volume)> = self
            .volumes
            .values()
            .filter_map(|volume| volume.attached.as_ref().filter(|at| at.server == server).map(|at| (at.device.as_str(), volume)))
            .collect();
        found.sort_by_key(|(device, _)| (*device).to_owned());
        found.into_iter().map(|(_, volume)| volume).collect()
    }

    /// Attaches a volume to a server as its next device, or as the one that is named.
    pub fn attach(&mut self, volume: &str, server: &str, device: Option<&str>, goes: bool) {
        let id = self.id();
        let taken: Vec<String> =
            self.volumes_of(server).into_iter().filter_map(|v| v.attached.as_ref().map(|at| at.device.clone())).collect();
        // Whatever boots from an image has that as its first device.
        let first = if self.servers.get(server).is_some_and(|server| server.image.is_some()) { b'b' } else { b'a' };
        let free = (first..=b'z').map(|letter| format!("/dev/vd{}", char::from(letter))).find(|device| !taken.contains(device));
        let device = device.map(str::to_owned).filter(|device| !device.is_empty()).or(free).unwrap_or_default();
        if let Some(volume) = self.volumes.get_mut(volume) {
            volume.status = "in-use";
            volume.attached = Some(Attached { server: server.to_owned(), device, goes, id });
        }
    }

    /// Takes a server away with its ports. Returns the volumes that go with it, which are being deleted now.
    pub fn remove_server(&mut self, id: &str) -> Vec<String> {
        let Some(server) = self.servers.remove(id) else { return Vec::new() };
        for group in &mut self.server_groups {
            group.members.retain(|member| member != id);
        }
        for port in server.ports {
            match self.ports.get_mut(&port) {
                Some(own) if own.of_server => drop(self.ports.remove(&port)),
                Some(lent) => lent.device.clear(),
                None => {}
            }
        }
        let attached: Vec<String> = self.volumes_of(id).into_iter().map(|volume| volume.id.clone()).collect();
        let mut going = Vec::new();
        for volume in attached {
            // Cinder refuses to delete what has snapshots, and Nova leaves it then.
            let kept = self.snapshots.values().any(|snapshot| snapshot.volume == volume);
            let Some(found) = self.volumes.get_mut(&volume) else { continue };
            if found.attached.take().is_some_and(|at| at.goes && !kept) {
                found.status = "deleting";
                going.push(volume);
            } else {
                found.status = "available";
            }
        }
        going
    }

    /// Takes a volume away with its content.
    pub fn remove_volume(&mut self, id: &str) {
        self.volumes.remove(id);
        self.world.disks.remove(&content(id));
    }
}
