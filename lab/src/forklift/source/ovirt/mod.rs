//! RHV / oVirt: guests are KVM's already; populators copy the disks, CDI where the source is read while it runs.

mod client;
mod inventory;
mod session;

use std::{sync::Arc, time::Duration};

use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use http::StatusCode;
use mtv_api::kinds::OVIRT_VOLUME_POPULATOR;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use self::{
    client::Engine,
    inventory::{Model, number},
};
use super::{
    Collection, Disk, Import, Kind, Login, Machine, Migrating, Nic, Query, Refused, Reply, Session, Site, Source, Traits, Volumes,
    populated::{self, Populator},
    reader::Reader,
};
use crate::{
    forklift::{cluster::Look, reference::Reference},
    inventory::News,
};

/// The kind.
pub struct Ovirt;

impl Kind for Ovirt {
    fn name(&self) -> &'static str {
        "ovirt"
    }

    fn traits(&self) -> Traits {
        Traits { warm: true, ..Traits::PLAIN }
    }

    fn missing(&self, login: &Login) -> Vec<String> {
        login.lacks_with_ca(&["user", "password"])
    }

    fn test<'a>(&'a self, _site: &'a Site, login: &'a Login) -> BoxFuture<'a, Result<String, Refused>> {
        async move {
            let engine = Engine::connect(login).await?;
            engine.end().await;
            Ok(String::new())
        }
        .boxed()
    }

    fn open(&self, site: &Site, provider: &str, login: Login, changed: broadcast::Sender<News>) -> Arc<dyn Source> {
        let collector = inventory::follow(provider.to_owned(), login.clone(), site.world.clock, changed);
        Arc::new(Connected { login, collector })
    }
}

/// A Provider of the kind.
pub struct Connected {
    login: Login,
    collector: Arc<Reader<Model>>,
}

/// The collection of the service behind what a map or plan looks up.
const fn collection(what: Collection) -> &'static str {
    match what {
        Collection::Vms => "vms",
        Collection::Networks => "networks",
        Collection::Storage => "storagedomains",
    }
}

impl Source for Connected {
    fn login(&self) -> &Login {
        &self.login
    }

    fn has_parity(&self) -> bool {
        self.collector.has_parity()
    }

    fn reads_all_within(&self, patience: Duration) -> BoxFuture<'_, bool> {
        self.collector.reads_all_within(patience).boxed()
    }

    fn counters(&self) -> BoxFuture<'_, Value> {
        let model = self.collector.model();
        let count = |name: &str| inventory::all(&model, name).count();
        let counters = json!({
            "datacenterCount": count("datacenters"), "clusterCount": count("clusters"), "hostCount": count("hosts"),
            "vmCount": count("vms"), "networkCount": count("networks"), "storageDomainCount": count("storagedomains"),
        });
        drop(model);
        ready(counters).boxed()
    }

    fn answer<'a>(&'a self, provider: &'a str, rest: &'a [&'a str], query: &'a Query) -> BoxFuture<'a, Reply> {
        ready(self.reply(provider, rest, query)).boxed()
    }

    fn find<'a>(&'a self, what: Collection, reference: &'a Reference) -> BoxFuture<'a, anyhow::Result<Vec<Reference>>> {
        let model = self.collector.model();
        let name = collection(what);
        let same = |object: &&Value| match reference.id.as_str() {
            "" => object.text("/name") == reference.name || inventory::path(&model, name, object) == reference.name,
            id => object.text("/id") == id,
        };
        let found = inventory::all(&model, name).filter(same);
        let found =
            found.map(|o| Reference { id: o.text("/id").to_owned(), name: o.text("/name").to_owned(), ..reference.clone() }).collect();
        drop(model);
        ready(Ok(found)).boxed()
    }

    fn machine<'a>(&'a self, id: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Machine>>> {
        let model = self.collector.model();
        let found = model.get("vms").and_then(|vms| vms.get(id)).map(|vm| machine(&model, vm));
        drop(model);
        ready(Ok(found)).boxed()
    }

    fn session(&self) -> BoxFuture<'_, anyhow::Result<Box<dyn Session>>> {
        async move {
            let engine = Engine::connect(&self.login).await.map_err(|refused| anyhow::anyhow!(refused.text))?;
            Ok(Box::new(session::LoggedIn(engine)) as Box<dyn Session>)
        }
        .boxed()
    }

    fn volumes<'a>(&'a self, migrating: &'a Migrating<'a>) -> BoxFuture<'a, anyhow::Result<Volumes>> {
        async move {
            if migrating.work.is_warm() || !migrating.work.destination_is_host() {
                let imports = migrating.machine.sorted_disks().map(|disk| self.import(migrating, disk)).collect();
                return Ok(Volumes::Imports(imports));
            }
            populated::ensure(migrating, |disk| self.populator(migrating, disk)).await?;
            Ok(Volumes::Populated)
        }
        .boxed()
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        let text = |key: &str| self.login.text(key).to_owned();
        let mut data = vec![("accessKeyId", text("user")), ("secretKey", text("password"))];
        // The populator reads the Provider's own keys.
        data.extend([("user", text("user")), ("password", text("password")), ("url", self.login.url.clone())]);
        data.push(("insecureSkipVerify", self.login.insecure().to_string()));
        data.extend(self.login.ca().map(|ca| ("cacert", ca.to_owned())));
        data
    }
}

impl Connected {
    fn populator(&self, migrating: &Migrating<'_>, disk: &Disk) -> Populator {
        let engine = self.login.url.trim_end_matches("/ovirt-engine/api");
        Populator {
            kind: &OVIRT_VOLUME_POPULATOR,
            label: ("diskID", disk.task.clone()),
            name: format!("{}-", disk.task),
            spec: json!({ "engineUrl": engine, "engineSecretName": migrating.secret, "diskId": disk.task }),
        }
    }

    /// CDI reads a disk through the engine's image service.
    fn import(&self, migrating: &Migrating<'_>, disk: &Disk) -> Import {
        let mut imageio = json!({ "url": self.login.url, "diskId": disk.task, "secretRef": migrating.secret });
        if self.login.insecure() {
            imageio["insecureSkipVerify"] = json!(true);
        }
        Import { source: json!({ "imageio": imageio }), annotations: Map::new() }
    }

    fn reply(&self, provider: &str, rest: &[&str], query: &Query) -> Reply {
        let Some(name) = inventory::known(rest[0]) else { return Reply::NoSuchPath };
        if !self.has_parity() {
            return Reply::Status(StatusCode::PARTIAL_CONTENT);
        }
        let model = self.collector.model();
        match rest {
            [_] if name != "workloads" => {
                // This release lists VMs in full whatever `detail` says.
                let detail = if name == "vms" { u8::MAX } else { query.detail.unwrap_or(0) };
                let named =
                    |o: &&Value| query.name.is_empty() || o.text("/name") == query.name || inventory::path(&model, name, o) == query.name;
                let list = inventory::all(&model, name).filter(named);
                Reply::Json(query.page(list.map(|o| inventory::json(&model, provider, name, o, detail)).collect()))
            }
            [_, id] => match inventory::all(&model, name).find(|o| o.text("/id") == *id) {
                Some(object) => Reply::Json(inventory::json(&model, provider, name, object, u8::MAX)),
                None => Reply::Status(StatusCode::NOT_FOUND),
            },
            _ => Reply::NoSuchPath,
        }
    }
}

fn machine(model: &Model, vm: &Value) -> Machine {
    let network = |profile: &str| {
        let profile = inventory::all(model, "nicprofiles").find(|p| p.text("/id") == profile);
        profile.map(|p| p.text("/network/id").to_owned()).unwrap_or_default()
    };
    let nics: Vec<Nic> = vm
        .items("/nics/nic")
        .iter()
        .map(|nic| Nic {
            network: network(nic.text("/vnic_profile/id")),
            mac: nic.text("/mac/address").to_lowercase(),
            connected: nic.text("/plugged") == "true",
        })
        .collect();
    let disks: Vec<Disk> = vm.items("/disk_attachments/disk_attachment").iter().zip(0..).map(|(at, key)| disk(model, at, key)).collect();
    let mut networks: Vec<String> = nics.iter().map(|nic| nic.network.clone()).collect();
    networks.sort();
    networks.dedup();
    Machine {
        id: vm.text("/id").to_owned(),
        name: vm.text("/name").to_owned(),
        uuid: vm.text("/id").to_owned(),
        serial: Some(vm.text("/id").to_owned()),
        windows: vm.text("/os/type").contains("windows"),
        efi: vm.text("/bios/type").contains("ovmf") || vm.text("/bios/type").contains("secure_boot"),
        secure_boot: vm.text("/bios/type") == "q35_secure_boot",
        sockets: number(vm, "/cpu/topology/sockets"),
        cores: number(vm, "/cpu/topology/cores"),
        threads: Some(number(vm, "/cpu/topology/threads")),
        memory_mib: number(vm, "/memory") >> 20,
        networks,
        nics,
        order: (0..disks.len()).collect(),
        disks,
        ..Machine::default()
    }
}

fn disk(model: &Model, attachment: &Value, key: i64) -> Disk {
    let id = attachment.text("/disk/id");
    let disk = inventory::all(model, "disks").find(|d| d.text("/id") == id).cloned().unwrap_or_default();
    Disk {
        // The attachment has the disk's id.
        task: attachment.text("/id").to_owned(),
        key,
        file: disk.text("/alias").to_owned(),
        storage: disk.items("/storage_domains/storage_domain").first().map(|d| d.text("/id").to_owned()).unwrap_or_default(),
        capacity: number(&disk, "/provisioned_size"),
        shared: disk.text("/shareable") == "true",
        rdm: false,
        ..Disk::default()
    }
}
