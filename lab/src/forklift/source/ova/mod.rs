//! OVA files on an NFS share: virt-v2v reads the files from the mounted share, converts and copies in one go.

mod inventory;

use std::{sync::Arc, time::Duration};

use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{
    Collection, Disk, Import, Kind, Login, Machine, Migrating, Nic, Power, Query, Refused, Reply, Session, Site, Source, Traits, Volumes,
};
use crate::{
    datacenter::VmModel,
    forklift::{cluster::Look, reference::Reference},
    inventory::News,
    ova,
    world::World,
};

/// The kind.
pub struct Ova;

impl Kind for Ova {
    fn name(&self) -> &'static str {
        "ova"
    }

    fn traits(&self) -> Traits {
        Traits { converts: true, v2v_copies: true, ..Traits::PLAIN }
    }

    fn missing(&self, login: &Login) -> Vec<String> {
        login.lacks(&["url"])
    }

    fn test<'a>(&'a self, site: &'a Site, login: &'a Login) -> BoxFuture<'a, Result<String, Refused>> {
        let share = site.world.datacenter.ova.share.trim_end_matches('/');
        let found = if login.url.trim_end_matches('/') == share {
            Ok(String::new())
        } else {
            Err(Refused::other(format!("The share `{}` cannot be mounted.", login.url)))
        };
        ready(found).boxed()
    }

    fn open(&self, site: &Site, provider: &str, login: Login, changed: broadcast::Sender<News>) -> Arc<dyn Source> {
        // The files do not change while the lab runs: there is nothing to follow.
        drop(changed);
        Arc::new(Connected { login, provider: provider.to_owned(), world: site.world.clone() })
    }
}

/// A Provider of the kind.
pub struct Connected {
    login: Login,
    provider: String,
    world: World,
}

impl Connected {
    fn vm(&self, id: &str) -> Option<&VmModel> {
        self.world.datacenter.ova.vms.iter().find(|vm| ova::id("vm", &vm.name) == id)
    }

    fn all(&self, collection: &str) -> Option<Vec<Value>> {
        inventory::all(&self.world.datacenter, &self.provider, collection)
    }

    fn reply(&self, rest: &[&str], query: &Query) -> Reply {
        let Some(all) = self.all(rest[0]) else { return Reply::NoSuchPath };
        match rest {
            [name] if *name != "workloads" => {
                let named = all.into_iter().filter(|object| query.name.is_empty() || object.text("/name") == query.name);
                let full = query.detail.unwrap_or(0) > 0;
                Reply::Json(query.page(named.map(|object| if full { object } else { inventory::header(&object) }).collect()))
            }
            [_, id] => match all.into_iter().find(|object| object.text("/id") == *id) {
                Some(object) => Reply::Json(object),
                None => Reply::Status(StatusCode::NOT_FOUND),
            },
            _ => Reply::NoSuchPath,
        }
    }
}

impl Source for Connected {
    fn login(&self) -> &Login {
        &self.login
    }

    fn has_parity(&self) -> bool {
        true
    }

    fn reads_all_within(&self, _patience: Duration) -> BoxFuture<'_, bool> {
        ready(true).boxed()
    }

    fn counters(&self) -> BoxFuture<'_, Value> {
        let count = |name: &str| self.all(name).map_or(0, |all| all.len());
        let counters = json!({
            "apiVersion": "", "product": "", "vmCount": count("vms"), "networkCount": count("networks"), "diskCount": count("disks"),
            "storageCount": count("storages"),
        });
        ready(counters).boxed()
    }

    fn answer<'a>(&'a self, _provider: &'a str, rest: &'a [&'a str], query: &'a Query) -> BoxFuture<'a, Reply> {
        ready(self.reply(rest, query)).boxed()
    }

    fn find<'a>(&'a self, what: Collection, reference: &'a Reference) -> BoxFuture<'a, anyhow::Result<Vec<Reference>>> {
        let name = match what {
            Collection::Vms => "vms",
            Collection::Networks => "networks",
            Collection::Storage => "storages",
        };
        let same = |o: &&Value| if reference.id.is_empty() { o.text("/name") == reference.name } else { o.text("/id") == reference.id };
        let found = |o: &Value| Reference { id: o.text("/id").to_owned(), name: o.text("/name").to_owned(), ..reference.clone() };
        let all = self.all(name).unwrap_or_default();
        ready(Ok(all.iter().filter(same).map(found).collect())).boxed()
    }

    fn machine<'a>(&'a self, id: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Machine>>> {
        let windows = |vm: &VmModel| self.world.datacenter.guests.get(&vm.guest).is_some_and(|guest| guest.family == "windows");
        ready(Ok(self.vm(id).map(|vm| machine(vm, windows(vm))))).boxed()
    }

    fn session(&self) -> BoxFuture<'_, anyhow::Result<Box<dyn Session>>> {
        ready(Ok(Box::new(File) as Box<dyn Session>)).boxed()
    }

    fn volumes<'a>(&'a self, migrating: &'a Migrating<'a>) -> BoxFuture<'a, anyhow::Result<Volumes>> {
        let imports = migrating.machine.sorted_disks().map(|_| Import::blank()).collect();
        ready(Ok(Volumes::Imports(imports))).boxed()
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        vec![("url", self.login.url.clone())]
    }

    fn v2v_settings(&self, migrating: &Migrating<'_>) -> anyhow::Result<Value> {
        let path = self.vm(&migrating.vm.id).map(ova::path);
        Ok(json!({ "V2V_source": "ova", "V2V_diskPath": path.unwrap_or_default() }))
    }
}

fn machine(vm: &VmModel, windows: bool) -> Machine {
    let uuid = ova::id("uuid", &vm.name);
    let disk = |index: usize| Disk {
        task: ova::task(vm, index),
        key: i64::try_from(index).unwrap_or_default(),
        file: ova::disk_name(vm, index),
        storage: inventory::disk_id(vm, index),
        capacity: i64::try_from(vm.disks[index].size_gib << 30).unwrap_or(i64::MAX),
        ..Disk::default()
    };
    let mut networks: Vec<String> = vm.nics.iter().map(|nic| ova::id("network", &nic.network)).collect();
    let nics = networks.iter().map(|network| Nic { network: network.clone(), mac: String::new(), connected: true }).collect();
    networks.sort_unstable();
    networks.dedup();
    Machine {
        id: ova::id("vm", &vm.name),
        name: vm.name.clone(),
        serial: Some(uuid.clone()),
        uuid,
        windows,
        efi: vm.firmware == "efi",
        sockets: i64::from((vm.cpus / vm.cores_per_socket.max(1)).max(1)),
        cores: i64::from(vm.cores_per_socket),
        memory_mib: i64::try_from(vm.memory_mib).unwrap_or(i64::MAX),
        networks,
        nics,
        disks: (0..vm.disks.len()).map(disk).collect(),
        order: (0..vm.disks.len()).collect(),
        ..Machine::default()
    }
}

/// A file, which is always off.
struct File;

impl Session for File {
    fn power<'a>(&'a self, _vm: &'a str) -> BoxFuture<'a, anyhow::Result<Power>> {
        ready(Ok(Power::Off)).boxed()
    }

    fn power_off<'a>(&'a self, _vm: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        ready(Ok(())).boxed()
    }

    fn power_on<'a>(&'a self, _vm: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
        ready(Ok(())).boxed()
    }

    fn end(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}
