//! The cloud that the data-centre file describes.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde_json::{Map, Value, json};

use super::{Flavor, Model, Network, SecurityGroup, Server, Subnet, content};
use crate::{
    datacenter::VmModel,
    vsphere::model::uuid,
    world::{DiskImage, World},
};

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
            subnets: Vec::new(),
            ports: BTreeMap::new(),
            groups: Vec::new(),
            keys: BTreeMap::new(),
            server_groups: Vec::new(),
            count: 0,
        };
        model.group();
        for (number, network) in file.networks.iter().enumerate() {
            model.network(number, &network.name);
        }
        for vm in &file.vms {
            model.build(vm);
        }
        model
    }

    /// The default security group of the project: everything out, everything in from its own members.
    fn group(&mut self) {
        let (id, created) = (self.id(), self.now());
        let mut rules = BTreeMap::new();
        for (direction, ethertype) in [("egress", "IPv4"), ("egress", "IPv6"), ("ingress", "IPv4"), ("ingress", "IPv6")] {
            let mut rule = Map::from_iter([("direction".to_owned(), json!(direction)), ("ethertype".to_owned(), json!(ethertype))]);
            if direction == "ingress" {
                rule.insert("remote_group_id".to_owned(), json!(id));
            }
            rules.insert(self.id(), rule);
        }
        let description = "Default security group".to_owned();
        self.groups.push(SecurityGroup { id, name: "default".to_owned(), description, rules, created });
    }

    /// A network with one subnet, `10.40.N.0/24`.
    fn network(&mut self, number: usize, name: &str) {
        let (id, subnet, created) = (self.id(), self.id(), self.now());
        let third = u8::try_from(number).unwrap_or(u8::MAX);
        let base = Ipv4Addr::new(10, 40, third, 0);
        self.subnets.push(Subnet {
            id: subnet,
            name: format!("{name}-subnet"),
            description: String::new(),
            network: id.clone(),
            base,
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 40, third, 1)),
            dhcp: true,
            dns: Vec::new(),
            created,
        });
        self.networks.push(Network {
            id,
            name: name.to_owned(),
            description: String::new(),
            shared: false,
            external: false,
            up: true,
            segment: number + 1,
            created,
        });
    }

    fn build(&mut self, vm: &VmModel) {
        let from_image = self.world.datacenter.openstack.image_servers.contains(&vm.name);
        let root = vm.disks.first().map_or(10, |disk| disk.size_gib);
        let flavor = self.flavor(vm.cpus.into(), vm.memory_mib, root);
        let server = self.id();
        let image = self.image(&format!("{}-image", vm.name), self.said_of(vm));
        let root_content = DiskImage { guest: Some(vm.guest.clone()) };
        self.world.disks.put(content(&image), root_content);
        for (index, disk) in vm.disks.iter().enumerate().skip(usize::from(from_image)) {
            let content_of = DiskImage { guest: (index == 0).then(|| vm.guest.clone()) };
            let kind = disk.datastore.clone().unwrap_or_else(|| self.default_type());
            let id = self.volume(&format!("{}-{index}", vm.name), disk.size_gib, &kind, Map::new());
            let said = if index == 0 { self.image_metadata(&image) } else { Map::new() };
            if let Some(volume) = self.volumes.get_mut(&id) {
                volume.bootable = index == 0;
                volume.image_metadata = said;
            }
            let device = format!("/dev/vd{}", char::from(b'a' + u8::try_from(index).unwrap_or(25)));
            self.attach(&id, &server, Some(&device), true);
            self.world.disks.put(content(&id), content_of);
        }
        let networks: Vec<String> =
            vm.nics.iter().filter_map(|nic| self.networks.iter().find(|n| n.name == nic.network)).map(|n| n.id.clone()).collect();
        let ports = networks.iter().filter_map(|network| self.port(network, &server, None)).collect();
        let created = self.now();
        let built = Server {
            id: server.clone(),
            name: vm.name.clone(),
            status: if vm.powered_on { "ACTIVE" } else { "SHUTOFF" },
            task: None,
            flavor,
            flavor_before: None,
            image: from_image.then_some(image),
            metadata: Map::new(),
            ports,
            fault: None,
            key: None,
            description: None,
            tags: Vec::new(),
            locked: false,
            actions: Vec::new(),
            created,
            updated: created,
        };
        self.servers.insert(server, built);
    }

    /// What the image of a machine says of it.
    fn said_of(&self, vm: &VmModel) -> Map<String, Value> {
        let guest = self.world.datacenter.guests.get(&vm.guest);
        let windows = guest.is_some_and(|guest| guest.family == "windows");
        let sockets = vm.cpus / vm.cores_per_socket.max(1);
        Map::from_iter([
            ("hw_cpu_cores".to_owned(), json!(vm.cores_per_socket.to_string())),
            ("hw_cpu_sockets".to_owned(), json!(sockets.to_string())),
            ("hw_cpu_threads".to_owned(), json!("1")),
            ("hw_firmware_type".to_owned(), json!(if vm.firmware == "efi" { "uefi" } else { "bios" })),
            ("os_type".to_owned(), json!(if windows { "windows" } else { "linux" })),
            ("os_distro".to_owned(), json!(guest.map(|g| g.os_info.clone()))),
        ])
    }

    /// A flavor of this size.
    fn flavor(&mut self, vcpus: u64, ram: u64, disk: u64) -> Flavor {
        let name = format!("lab.{vcpus}c.{ram}m.{disk}g");
        if let Some(found) = self.flavors.iter().find(|flavor| flavor.name == name) {
            return found.clone();
        }
        let id = self.id();
        let made = Flavor { id, name, description: None, vcpus, ram, disk, ephemeral: 0, swap: 0, public: true, extra_specs: Map::new() };
        self.flavors.push(made.clone());
        made
    }
}
