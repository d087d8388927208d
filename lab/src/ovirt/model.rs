//! What the engine holds. No protocol and no time of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    datacenter::{DiskModel, NicModel, VmModel},
    vsphere::model::uuid,
    world::{DiskImage, World},
};

/// Id of the template that every engine has: no disks, no adapters.
pub const BLANK: &str = "00000000-0000-0000-0000-000000000000";

/// Something with an id and a name.
#[derive(Debug, Clone)]
pub struct Named {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
}

/// A virtual machine or a template.
#[derive(Debug, Clone)]
pub struct Vm {
    /// UUID.
    pub id: String,
    /// Name.
    pub name: String,
    /// Free text that clients use for marks.
    pub comment: String,
    /// Free text.
    pub description: String,
    /// Whether it is a template.
    pub template: bool,
    /// Template that it was made from.
    pub origin: Option<String>,
    /// `down`, `up`, `image_locked`, … as the API spells it; `ok` for templates.
    pub status: String,
    /// Bytes.
    pub memory: u64,
    /// Bytes that a host must have free.
    pub guaranteed: u64,
    /// Sockets.
    pub sockets: u32,
    /// Cores per socket.
    pub cores: u32,
    /// Guest operating system, a key of the data centre's `guests`.
    pub guest: String,
    /// `bios` or `efi`.
    pub firmware: String,
    /// Network adapters.
    pub nics: Vec<Nic>,
    /// Disks in their order, the first one boots.
    pub disks: Vec<String>,
    /// Snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// When it was made.
    pub created: Timestamp,
    /// Counts boots, so that what belongs to an earlier one is told from this one's.
    pub boot: u64,
    /// Whether the guest's agent reports.
    pub reports: bool,
}

/// A network adapter.
#[derive(Debug, Clone)]
pub struct Nic {
    /// UUID.
    pub id: String,
    /// `nic1`, ….
    pub name: String,
    /// MAC address.
    pub mac: String,
    /// vNIC profile.
    pub profile: String,
    /// Addresses with prefix length that the guest has; empty: DHCP.
    pub addresses: Vec<String>,
}

/// A snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// UUID.
    pub id: String,
    /// Description, which is its name.
    pub description: String,
    /// When it was taken.
    pub date: Timestamp,
    /// `ok` or `locked`.
    pub status: String,
}

/// A disk.
#[derive(Debug, Clone)]
pub struct Disk {
    /// UUID.
    pub id: String,
    /// Alias.
    pub alias: String,
    /// Bytes.
    pub size: u64,
    /// Storage domain.
    pub domain: String,
    /// `ok` or `locked`.
    pub status: String,
    /// `cow` or `raw`.
    pub format: String,
    /// Whether it takes no more room than it holds.
    pub sparse: bool,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// Number.
    pub id: u64,
    /// The engine's number for this kind of event.
    pub code: u32,
    /// `normal`, `warning`, `error` or `alert`.
    pub severity: &'static str,
    /// For people.
    pub description: String,
    /// VM that it is about.
    pub vm: Option<Named>,
    /// What the client gave with the request.
    pub correlation: String,
    /// When.
    pub time: Timestamp,
}

/// A job: an operation that takes time.
#[derive(Debug, Clone)]
pub struct Job {
    /// UUID.
    pub id: String,
    /// For people.
    pub description: String,
    /// `started`, `finished` or `failed`.
    pub status: &'static str,
    /// What the client gave with the request.
    pub correlation: String,
    /// When it began.
    pub started: Timestamp,
}

/// The whole state.
pub struct Model {
    /// Data centre, time, contents of disks.
    pub world: World,
    /// The data center.
    pub center: Named,
    /// The cluster.
    pub cluster: Named,
    /// Hosts.
    pub hosts: Vec<Named>,
    /// Storage domains.
    pub domains: Vec<Named>,
    /// Networks.
    pub networks: Vec<Named>,
    /// vNIC profiles: one per network, of its name.
    pub profiles: Vec<Named>,
    /// Virtual machines and templates by id.
    pub vms: BTreeMap<String, Vm>,
    /// Disks by id.
    pub disks: BTreeMap<String, Disk>,
    /// Events, oldest first.
    pub events: Vec<Event>,
    /// Jobs, oldest first.
    pub jobs: Vec<Job>,
    count: u64,
}

/// Where the content of a disk is kept.
pub fn content(disk: &str) -> String {
    format!("ovirt:{disk}")
}

impl Model {
    /// The engine that the data-centre file describes.
    pub fn new(world: &World) -> Self {
        let file = &world.datacenter.ovirt;
        let named = |kind: &str, name: &str| Named { id: uuid(0x0a, &format!("ovirt/{kind}/{name}")), name: name.to_owned() };
        let mut model = Self {
            world: world.clone(),
            center: named("datacenter", &file.data_center),
            cluster: named("cluster", &file.cluster),
            hosts: file.hosts.iter().map(|name| named("host", name)).collect(),
            domains: file.storage_domains.iter().map(|d| named("storagedomain", &d.name)).collect(),
            networks: file.networks.iter().map(|n| named("network", &n.name)).collect(),
            profiles: file.networks.iter().map(|n| named("vnicprofile", &n.name)).collect(),
            vms: BTreeMap::new(),
            disks: BTreeMap::new(),
            events: Vec::new(),
            jobs: Vec::new(),
            count: 0,
        };
        model.blank();
        for vm in &file.vms {
            model.build(vm);
        }
        model
    }

    /// The user as events name one.
    pub fn user(&self) -> String {
        format!("{}-authz", self.world.datacenter.ovirt.login.user)
    }

    fn blank(&mut self) {
        let memory = 1 << 30;
        let blank = Vm {
            id: BLANK.to_owned(),
            name: "Blank".to_owned(),
            comment: String::new(),
            description: "Blank template".to_owned(),
            template: true,
            origin: None,
            status: "ok".to_owned(),
            memory,
            guaranteed: memory,
            sockets: 1,
            cores: 1,
            guest: String::new(),
            firmware: "bios".to_owned(),
            nics: Vec::new(),
            disks: Vec::new(),
            snapshots: Vec::new(),
            created: self.world.clock.moment(),
            boot: 0,
            reports: false,
        };
        self.vms.insert(BLANK.to_owned(), blank);
    }

    /// A new UUID. Not random: the same requests give the same ones.
    pub fn id(&mut self) -> String {
        self.count += 1;
        uuid(0x0b, &format!("ovirt/{}", self.count))
    }

    /// A MAC address that no adapter has, of the range that the engine gives by default.
    pub fn mac(&mut self) -> String {
        self.count += 1;
        format!("56:6f:6a:9f:{:02x}:{:02x}", self.count >> 8 & 0xff, self.count & 0xff)
    }

    fn build(&mut self, file: &VmModel) {
        let disks = file.disks.iter().enumerate().map(|(index, disk)| self.build_disk(file, index, disk)).collect();
        let nics = file.nics.iter().enumerate().map(|(index, nic)| self.nic(index, nic)).collect();
        let id = self.id();
        let memory = file.memory_mib << 20;
        let vm = Vm {
            id: id.clone(),
            name: file.name.clone(),
            comment: String::new(),
            description: String::new(),
            template: file.template,
            origin: None,
            status: if file.template {
                "ok"
            } else if file.powered_on {
                "up"
            } else {
                "down"
            }
            .to_owned(),
            memory,
            guaranteed: memory,
            sockets: file.cpus / file.cores_per_socket.max(1),
            cores: file.cores_per_socket,
            guest: file.guest.clone(),
            firmware: file.firmware.clone(),
            nics,
            disks,
            snapshots: Vec::new(),
            created: self.world.clock.moment(),
            boot: u64::from(file.powered_on),
            reports: file.powered_on,
        };
        self.vms.insert(id, vm);
    }

    fn nic(&mut self, index: usize, file: &NicModel) -> Nic {
        let profile = self.profiles.iter().find(|p| p.name == file.network).map(|p| p.id.clone()).unwrap_or_default();
        Nic { id: self.id(), name: format!("nic{}", index + 1), mac: self.mac(), profile, addresses: file.addresses.clone() }
    }

    fn build_disk(&mut self, vm: &VmModel, index: usize, file: &DiskModel) -> String {
        let id = self.id();
        let domain = match &file.datastore {
            Some(name) => self.domains.iter().find(|d| d.name == *name),
            None => self.domains.first(),
        };
        let disk = Disk {
            id: id.clone(),
            alias: format!("{}_Disk{}", vm.name, index + 1),
            size: file.size_gib << 30,
            domain: domain.map(|d| d.id.clone()).unwrap_or_default(),
            status: "ok".to_owned(),
            format: "cow".to_owned(),
            sparse: true,
        };
        self.world.disks.put(content(&id), DiskImage { guest: (index == 0).then(|| vm.guest.clone()) });
        self.disks.insert(id.clone(), disk);
        id
    }

    /// A VM with copies of a template's disks, locked until they are copied.
    pub fn copy(&mut self, template: &Vm, name: &str, comment: &str, guaranteed: Option<u64>) -> String {
        let mut disks = Vec::new();
        for (index, from) in template.disks.iter().enumerate() {
            let Some(original) = self.disks.get(from).cloned() else { continue };
            let id = self.id();
            self.world.disks.copy(&content(from), content(&id));
            let alias = format!("{name}_Disk{}", index + 1);
            self.disks.insert(id.clone(), Disk { id: id.clone(), alias, status: "locked".to_owned(), ..original });
            disks.push(id);
        }
        let nics: Vec<Nic> = template.nics.iter().map(|nic| Nic { id: self.id(), mac: self.mac(), ..nic.clone() }).collect();
        let addresses: BTreeMap<String, Vec<String>> =
            nics.iter().filter(|n| !n.addresses.is_empty()).map(|n| (n.mac.clone(), n.addresses.clone())).collect();
        if let Some(boot) = disks.first() {
            self.world.disks.set_addresses(&content(boot), addresses);
        }
        let id = self.id();
        let vm = Vm {
            id: id.clone(),
            name: name.to_owned(),
            comment: comment.to_owned(),
            template: false,
            origin: Some(template.id.clone()),
            status: "image_locked".to_owned(),
            guaranteed: guaranteed.unwrap_or(template.guaranteed),
            nics,
            disks,
            snapshots: Vec::new(),
            created: self.world.clock.moment(),
            boot: 0,
            reports: false,
            ..template.clone()
        };
        self.vms.insert(id.clone(), vm);
        id
    }

    /// Removes a VM with its disks.
    pub fn remove(&mut self, id: &str) {
        let Some(vm) = self.vms.remove(id) else { return };
        for disk in vm.disks {
            self.disks.remove(&disk);
            self.world.disks.remove(&content(&disk));
        }
    }

    /// Writes an event down.
    pub fn event(&mut self, code: u32, severity: &'static str, description: String, vm: Option<&Vm>, correlation: &str) {
        let id = self.events.last().map_or(1, |event| event.id + 1);
        let vm = vm.map(|vm| Named { id: vm.id.clone(), name: vm.name.clone() });
        let time = self.world.clock.moment();
        self.events.push(Event { id, code, severity, description, vm, correlation: correlation.to_owned(), time });
    }

    /// Begins a job; its id.
    pub fn job(&mut self, description: String, correlation: &str) -> String {
        let job =
            Job { id: self.id(), description, status: "started", correlation: correlation.to_owned(), started: self.world.clock.moment() };
        self.jobs.push(job.clone());
        job.id
    }

    /// Ends a job.
    pub fn end_job(&mut self, id: &str, status: &'static str) {
        if let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) {
            job.status = status;
        }
    }
}
