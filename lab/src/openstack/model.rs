//! What stands in the cloud. No protocol and no time of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    datacenter::VmModel,
    vsphere::model::uuid,
    world::{DiskImage, World},
};

/// A server.
#[derive(Debug, Clone)]
pub struct Server {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// `ACTIVE`, `SHUTOFF`, `BUILD`, `ERROR`.
    pub status: &'static str,
    /// What is being done, as `OS-EXT-STS:task_state`.
    pub task: Option<&'static str>,
    /// Flavor.
    pub flavor: String,
    /// Image that it boots from, if it does.
    pub image: Option<String>,
    /// Metadata of clients.
    pub metadata: Map<String, Value>,
    /// Ports in their order.
    pub ports: Vec<String>,
    /// Why it is in error.
    pub fault: Option<String>,
    /// When it was made.
    pub created: Timestamp,
}

/// A volume.
#[derive(Debug, Clone)]
pub struct Volume {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// GiB.
    pub size: u64,
    /// `creating`, `available`, `in-use`, `error`.
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
    /// Server, device, and whether it goes with the server.
    pub attached: Option<(String, String, bool)>,
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
    /// Its volume.
    pub volume: String,
    /// GiB.
    pub size: u64,
    /// `creating`, `available`, `error`.
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
    pub name: String,
    /// `queued`, `saving`, `active`, `killed`.
    pub status: &'static str,
    /// Bytes; zero for one that only refers to volume snapshots.
    pub size: u64,
    /// What clients and services say of it.
    pub properties: Map<String, Value>,
    /// When it was made.
    pub created: Timestamp,
}

/// A flavor.
#[derive(Debug, Clone)]
pub struct Flavor {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Virtual CPUs.
    pub vcpus: u64,
    /// Memory in MiB.
    pub ram: u64,
    /// Root disk in GiB.
    pub disk: u64,
}

/// A network with its one subnet.
#[derive(Debug, Clone)]
pub struct Network {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// UUID of its subnet.
    pub subnet: String,
    /// Third number of the subnet's addresses: `10.40.N.0/24`.
    pub number: usize,
}

/// A port of a server.
#[derive(Debug, Clone)]
pub struct Port {
    /// UUID.
    pub id: String,
    /// Network.
    pub network: String,
    /// Server.
    pub server: String,
    /// MAC address.
    pub mac: String,
    /// IPv4 address.
    pub address: String,
    /// When it was made.
    pub created: Timestamp,
}

/// The whole state.
pub struct Model {
    /// Data centre, time, contents of disks.
    pub world: World,
    /// UUID of the project.
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
    /// Ports.
    pub ports: BTreeMap<String, Port>,
    count: u64,
}

/// Where the content of a volume, snapshot or image is kept.
pub fn content(id: &str) -> String {
    format!("openstack:{id}")
}

impl Model {
    /// The cloud that the data-centre file describes.
    pub fn new(world: &World) -> Self {
        let file = &world.datacenter.openstack;
        let mut model = Self {
            world: world.clone(),
            project: uuid(0x05, &format!("openstack/project/{}", file.project)).replace('-', ""),
            servers: BTreeMap::new(),
            volumes: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            images: BTreeMap::new(),
            flavors: Vec::new(),
            networks: Vec::new(),
            ports: BTreeMap::new(),
            count: 0,
        };
        for (number, network) in file.networks.iter().enumerate() {
            let (id, subnet) = (model.id(), model.id());
            model.networks.push(Network { id, subnet, name: network.name.clone(), number });
        }
        for vm in &world.datacenter.clone().openstack.vms {
            model.build(vm);
        }
        model
    }

    /// A new UUID. Not random: the same requests give the same ones.
    pub fn id(&mut self) -> String {
        self.count += 1;
        uuid(0x0c, &format!("openstack/{}", self.count))
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.world.clock.moment()
    }

    fn build(&mut self, vm: &VmModel) {
        let from_image = self.world.datacenter.openstack.image_servers.contains(&vm.name);
        let root = vm.disks.first().map_or(10, |disk| disk.size_gib);
        let flavor = self.flavor(vm.cpus.into(), vm.memory_mib, root);
        let server = self.id();
        let guest = self.world.datacenter.guests.get(&vm.guest);
        let windows = guest.is_some_and(|guest| guest.family == "windows");
        let sockets = vm.cpus / vm.cores_per_socket.max(1);
        let properties = Map::from_iter([
            ("hw_cpu_cores".to_owned(), json!(vm.cores_per_socket.to_string())),
            ("hw_cpu_sockets".to_owned(), json!(sockets.to_string())),
            ("hw_cpu_threads".to_owned(), json!("1")),
            ("hw_firmware_type".to_owned(), json!(if vm.firmware == "efi" { "uefi" } else { "bios" })),
            ("os_type".to_owned(), json!(if windows { "windows" } else { "linux" })),
            ("os_distro".to_owned(), json!(guest.map(|g| g.os_info.clone()))),
        ]);
        let mut image = None;
        for (index, disk) in vm.disks.iter().enumerate() {
            let content_of = DiskImage { guest: (index == 0).then(|| vm.guest.clone()) };
            if index == 0 && from_image {
                let id = self.image(&format!("{}-image", vm.name), properties.clone());
                self.world.disks.put(content(&id), content_of);
                image = Some(id);
                continue;
            }
            let kind = disk.datastore.clone().or_else(|| self.world.datacenter.openstack.volume_types.first().map(|t| t.name.clone()));
            let device = format!("/dev/vd{}", char::from(b'a' + u8::try_from(index).unwrap_or(25)));
            let name = format!("{}-{index}", vm.name);
            let id = self.volume(&name, disk.size_gib, &kind.unwrap_or_default(), Map::new(), None);
            if let Some(volume) = self.volumes.get_mut(&id) {
                volume.status = "in-use";
                volume.bootable = index == 0;
                volume.image_metadata = if index == 0 { properties.clone() } else { Map::new() };
                volume.attached = Some((server.clone(), device, true));
            }
            self.world.disks.put(content(&id), content_of);
        }
        let networks: Vec<String> =
            vm.nics.iter().filter_map(|nic| self.networks.iter().find(|n| n.name == nic.network)).map(|n| n.id.clone()).collect();
        let ports = networks.iter().map(|network| self.port(network, &server)).collect();
        let status = if vm.powered_on { "ACTIVE" } else { "SHUTOFF" };
        let created = self.now();
        let built = Server {
            id: server.clone(),
            name: vm.name.clone(),
            status,
            task: None,
            flavor,
            image,
            metadata: Map::new(),
            ports,
            fault: None,
            created,
        };
        self.servers.insert(server, built);
    }

    /// A flavor of this size; its id.
    fn flavor(&mut self, vcpus: u64, ram: u64, disk: u64) -> String {
        let name = format!("lab.{vcpus}c.{ram}m.{disk}g");
        if let Some(found) = self.flavors.iter().find(|flavor| flavor.name == name) {
            return found.id.clone();
        }
        let id = self.id();
        self.flavors.push(Flavor { id: id.clone(), name, vcpus, ram, disk });
        id
    }

    /// A new image that is there already; its id.
    pub fn image(&mut self, name: &str, properties: Map<String, Value>) -> String {
        let (id, created) = (self.id(), self.now());
        let image = Image { id: id.clone(), name: name.to_owned(), status: "active", size: 1 << 30, properties, created };
        self.images.insert(id.clone(), image);
        id
    }

    /// A new volume that is being made; its id.
    pub fn volume(&mut self, name: &str, size: u64, kind: &str, metadata: Map<String, Value>, snapshot: Option<String>) -> String {
        let (id, created) = (self.id(), self.now());
        let volume = Volume {
            id: id.clone(),
            name: name.to_owned(),
            size,
            status: "creating",
            kind: kind.to_owned(),
            bootable: false,
            metadata,
            image_metadata: Map::new(),
            snapshot,
            attached: None,
            created,
        };
        self.volumes.insert(id.clone(), volume);
        id
    }

    /// A new port; its id.
    pub fn port(&mut self, network: &str, server: &str) -> String {
        let (id, created) = (self.id(), self.now());
        let number = self.networks.iter().find(|n| n.id == network).map_or(0, |n| n.number);
        let n = self.count;
        let port = Port {
            id: id.clone(),
            network: network.to_owned(),
            server: server.to_owned(),
            mac: format!("fa:16:3e:{:02x}:{:02x}:{:02x}", n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff),
            address: format!("10.40.{number}.{}", 2 + n % 250),
            created,
        };
        self.ports.insert(id.clone(), port);
        id
    }

    /// Volumes of a server by their device.
    pub fn volumes_of(&self, server: &str) -> Vec<&Volume> {
        let mut found: Vec<(&str, &Volume)> = self
            .volumes
            .values()
            .filter_map(|volume| volume.attached.as_ref().filter(|at| at.0 == server).map(|at| (at.1.as_str(), volume)))
            .collect();
        found.sort_by_key(|(device, _)| (*device).to_owned());
        found.into_iter().map(|(_, volume)| volume).collect()
    }

    /// Takes a server away with its ports and those volumes that go with it.
    pub fn remove_server(&mut self, id: &str) {
        let Some(server) = self.servers.remove(id) else { return };
        for port in server.ports {
            self.ports.remove(&port);
        }
        let attached: Vec<String> = self.volumes_of(id).into_iter().map(|volume| volume.id.clone()).collect();
        for volume in attached {
            // Cinder refuses to delete what has snapshots, and Nova leaves it then.
            let kept = self.snapshots.values().any(|snapshot| snapshot.volume == volume);
            let Some(found) = self.volumes.get_mut(&volume) else { continue };
            if found.attached.take().is_some_and(|(_, _, goes)| goes && !kept) {
                self.volumes.remove(&volume);
                self.world.disks.remove(&content(&volume));
            } else {
                found.status = "available";
            }
        }
    }
}
