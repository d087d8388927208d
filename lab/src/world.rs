//! What the simulators share: the data centre, the clock, a client of the Kubernetes API, and what stands on which disk.
//!
//! Simulators talk to each other over their protocols. The one thing that has no protocol is the content of a disk: it is
//! kept here, by the backing file's name in the source and by the PersistentVolumeClaim's UID in the cluster.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{
    clock::Clock,
    datacenter::{DataCenter, GuestModel},
    faults::Faults,
    roles::kubelet::Containers,
};

/// What is on a disk. Two disks with the same image have the same content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskImage {
    /// Guest operating system if this disk boots, a key of the data centre's `guests`.
    pub guest: Option<String>,
}

/// Contents of disks.
#[derive(Debug, Default)]
pub struct Disks(RwLock<HashMap<String, Content>>);

#[derive(Debug, Clone, Default)]
struct Content {
    image: DiskImage,
    addresses: BTreeMap<String, Vec<String>>,
    gateways: BTreeMap<String, String>,
    names: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
}

impl Disks {
    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Content>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Content>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what stands on a disk: a backing file such as `[ds] vm/vm.vmdk`, or `pvc:UID`.
    pub fn put(&self, disk: impl Into<String>, image: DiskImage) {
        self.write().entry(disk.into()).or_default().image = image;
    }

    /// What stands on a disk.
    pub fn get(&self, disk: &str) -> Option<DiskImage> {
        self.read().get(disk).map(|content| content.image.clone())
    }

    /// The first disk with an operating system among those whose name begins like that.
    pub fn bootable(&self, beginning: &str) -> Option<DiskImage> {
        let disks = self.read();
        disks.iter().find(|(name, content)| name.starts_with(beginning) && content.image.guest.is_some()).map(|(_, c)| c.image.clone())
    }

    /// Says which static addresses, with prefix length, the operating system of a known disk gives to which MAC address.
    pub fn set_addresses(&self, disk: &str, addresses: BTreeMap<String, Vec<String>>) {
        if let Some(content) = self.write().get_mut(disk) {
            content.addresses = addresses;
        }
    }

    /// Says which default gateways the operating system of a known disk has by way of which MAC address.
    pub fn set_gateways(&self, disk: &str, gateways: BTreeMap<String, String>) {
        if let Some(content) = self.write().get_mut(disk) {
            content.gateways = gateways;
        }
    }

    /// Says how the operating system of a known disk calls the adapters that it knows by their MAC address.
    pub fn set_names(&self, disk: &str, names: BTreeMap<String, String>) {
        if let Some(content) = self.write().get_mut(disk) {
            content.names = names;
        }
    }

    /// Names of adapters by MAC address.
    pub fn names(&self, disk: &str) -> BTreeMap<String, String> {
        self.read().get(disk).map(|content| content.names.clone()).unwrap_or_default()
    }

    /// Writes a file of the operating system on a known disk, or takes it away.
    pub fn write_file(&self, disk: &str, path: &str, text: Option<&str>) {
        if let Some(content) = self.write().get_mut(disk) {
            match text {
                Some(text) => content.files.insert(path.to_owned(), text.to_owned()),
                None => content.files.remove(path),
            };
        }
    }

    /// What stands in a file of the operating system on a disk.
    pub fn file(&self, disk: &str, path: &str) -> Option<String> {
        self.read().get(disk)?.files.get(path).cloned()
    }

    /// The newest difference to a file, if snapshots were taken of it, else the file itself: what a reader of the running state sees.
    pub fn newest(&self, base: &str) -> String {
        let Some(stem) = base.strip_suffix(".vmdk") else { return base.to_owned() };
        let number = |name: &String| -> Option<u32> {
            let number = name.strip_prefix(stem)?.strip_prefix('-')?.strip_suffix(".vmdk")?;
            (number.len() == 6).then(|| number.parse().ok())?
        };
        self.read().keys().filter_map(|name| Some((number(name)?, name))).max().map_or_else(|| base.to_owned(), |(_, name)| name.clone())
    }

    /// Default gateways by MAC address.
    pub fn gateways(&self, disk: &str) -> BTreeMap<String, String> {
        self.read().get(disk).map(|content| content.gateways.clone()).unwrap_or_default()
    }

    /// Static addresses by MAC address.
    pub fn addresses(&self, disk: &str) -> BTreeMap<String, Vec<String>> {
        self.read().get(disk).map(|content| content.addresses.clone()).unwrap_or_default()
    }

    /// Copies the content of one disk to another; false if the first one is not known.
    pub fn copy(&self, from: &str, to: impl Into<String>) -> bool {
        let mut disks = self.write();
        let Some(content) = disks.get(from).cloned() else { return false };
        disks.insert(to.into(), content);
        true
    }

    /// Forgets a disk.
    pub fn remove(&self, disk: &str) {
        self.write().remove(disk);
    }
}

/// What containers have printed, by UID of their pod. Kept as long as the lab: it is small, and pods go before anyone looks.
#[derive(Debug, Default)]
pub struct Logs(RwLock<HashMap<String, String>>);

impl Logs {
    /// Adds a line.
    pub fn add(&self, pod: &str, line: &str) {
        let mut logs = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let text = logs.entry(pod.to_owned()).or_default();
        text.push_str(line);
        text.push('\n');
    }

    /// All that a pod has printed.
    pub fn of(&self, pod: &str) -> String {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(pod).cloned().unwrap_or_default()
    }
}

/// What the simulators share.
#[derive(Clone)]
pub struct World {
    /// What stands in the data centre at the start.
    pub datacenter: Arc<DataCenter>,
    /// Time.
    pub clock: Clock,
    /// Contents of disks.
    pub disks: Arc<Disks>,
    /// What is to go wrong between clients and servers.
    pub faults: Faults,
    /// What is in the containers of pods.
    pub containers: Arc<Containers>,
    /// Files of the ESXi hosts.
    pub esxi: Arc<crate::esxi::Files>,
    /// Logs of pods.
    pub logs: Arc<Logs>,
}

impl World {
    /// A world at its start.
    pub fn new(datacenter: DataCenter, clock: Clock) -> Self {
        let faults = Faults::new(&datacenter.faults);
        let (esxi, logs, containers) = Default::default();
        Self { datacenter: Arc::new(datacenter), clock, disks: Arc::default(), faults, containers, esxi, logs }
    }

    /// The same world for the controllers of the second cluster: their cluster is that one. None if there is none.
    pub fn of_source_cluster(&self) -> Option<Self> {
        let cluster = self.datacenter.source_cluster.clone()?;
        let datacenter = DataCenter { cluster, source_cluster: None, ..DataCenter::clone(&self.datacenter) };
        Some(Self { datacenter: Arc::new(datacenter), ..self.clone() })
    }

    /// The operating system that stands on a disk.
    pub fn guest(&self, disk: &str) -> Option<GuestModel> {
        let name = self.disks.get(disk)?.guest?;
        self.datacenter.guests.get(&name).cloned()
    }
}
