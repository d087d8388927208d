//! OpenStack: disks are copied by way of images, which populators read.

mod client;
mod images;
mod inventory;
mod session;

use std::{sync::Arc, time::Duration};

use futures::{
    FutureExt as _,
    future::{BoxFuture, ready},
};
use http::StatusCode;
use mtv_api::{forklift::VmStatus, kinds::OPENSTACK_VOLUME_POPULATOR};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use self::{client::Cloud, inventory::Model};
use super::{
    Collection, Disk, Kind, Login, Machine, Migrating, Nic, Query, Refused, Reply, Session, Site, Source, Traits, Volumes,
    populated::{self, Populator},
    reader::Reader,
};
use crate::{
    forklift::{cluster::Look, plan::Work, reference::Reference},
    inventory::News,
};

/// What a map calls the storage of servers that boot from an image.
const GLANCE: &str = "glance";

/// The kind.
pub struct Openstack;

impl Kind for Openstack {
    fn name(&self) -> &'static str {
        "openstack"
    }

    fn traits(&self) -> Traits {
        Traits { converts_snapshot: true, ..Traits::PLAIN }
    }

    fn missing(&self, _login: &Login) -> Vec<String> {
        // What a login needs depends on its kind: what is missing shows when it is tried.
        Vec::new()
    }

    fn test<'a>(&'a self, _site: &'a Site, login: &'a Login) -> BoxFuture<'a, Result<String, Refused>> {
        async move { Cloud::connect(login).await.map(|_| String::new()) }.boxed()
    }

    fn open(&self, site: &Site, provider: &str, login: Login, changed: broadcast::Sender<News>) -> Arc<dyn Source> {
        let reader = inventory::follow(provider.to_owned(), login.clone(), site.world.clock, changed);
        Arc::new(Connected { login, reader })
    }
}

/// A Provider of the kind.
pub struct Connected {
    login: Login,
    reader: Arc<Reader<Model>>,
}

impl Connected {
    async fn cloud(&self) -> anyhow::Result<Cloud> {
        Cloud::connect(&self.login).await.map_err(|refused| anyhow::anyhow!(refused.text))
    }

    fn reply(&self, provider: &str, rest: &[&str], query: &Query) -> Reply {
        let Some(name) = inventory::known(rest[0]) else { return Reply::NoSuchPath };
        if !self.has_parity() {
            return Reply::Status(StatusCode::PARTIAL_CONTENT);
        }
        let model = self.reader.model();
        match rest {
            [_] if name != "workloads" => {
                // This release lists VMs in full whatever `detail` says.
                let detail = if name == "vms" { u8::MAX } else { query.detail.unwrap_or(0) };
                let list = inventory::all(&model, name).filter(|o| query.name.is_empty() || o.text("/name") == query.name);
                Reply::Json(query.page(list.map(|o| inventory::json(provider, name, o, detail)).collect()))
            }
            [_, id] if name == "workloads" => match inventory::all(&model, name).find(|o| o.text("/id") == *id) {
                Some(server) => Reply::Json(inventory::workload(&model, provider, server)),
                None => Reply::Status(StatusCode::NOT_FOUND),
            },
            [_, id] => match inventory::all(&model, name).find(|o| o.text("/id") == *id) {
                Some(object) => Reply::Json(inventory::json(provider, name, object, u8::MAX)),
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
        self.reader.has_parity()
    }

    fn reads_all_within(&self, patience: Duration) -> BoxFuture<'_, bool> {
        self.reader.reads_all_within(patience).boxed()
    }

    fn counters(&self) -> BoxFuture<'_, Value> {
        let model = self.reader.model();
        let count = |name: &str| inventory::all(&model, name).count();
        let counters = json!({
            "regionCount": count("regions"), "projectCount": count("projects"), "vmCount": count("vms"), "imageCount": count("images"), "volumeCount": count("volumes"),
            "volumeTypeCount": count("volumetypes"), "networkCount": count("networks"),
        });
        drop(model);
        ready(counters).boxed()
    }

    fn answer<'a>(&'a self, provider: &'a str, rest: &'a [&'a str], query: &'a Query) -> BoxFuture<'a, Reply> {
        ready(self.reply(provider, rest, query)).boxed()
    }

    fn find<'a>(&'a self, what: Collection, reference: &'a Reference) -> BoxFuture<'a, anyhow::Result<Vec<Reference>>> {
        let name = match what {
            Collection::Vms => "vms",
            Collection::Networks => "networks",
            Collection::Storage => "volumetypes",
        };
        if what == Collection::Storage && reference.name == GLANCE {
            return ready(Ok(vec![Reference { id: GLANCE.to_owned(), ..reference.clone() }])).boxed();
        }
        let model = self.reader.model();
        let same = |o: &&Value| if reference.id.is_empty() { o.text("/name") == reference.name } else { o.text("/id") == reference.id };
        let found = inventory::all(&model, name).filter(same);
        let found =
            found.map(|o| Reference { id: o.text("/id").to_owned(), name: o.text("/name").to_owned(), ..reference.clone() }).collect();
        drop(model);
        ready(Ok(found)).boxed()
    }

    fn machine<'a>(&'a self, id: &'a str) -> BoxFuture<'a, anyhow::Result<Option<Machine>>> {
        let model = self.reader.model();
        let found = model.get("vms").and_then(|vms| vms.get(id)).map(|server| machine(&model, server));
        drop(model);
        ready(Ok(found)).boxed()
    }

    fn session(&self) -> BoxFuture<'_, anyhow::Result<Box<dyn Session>>> {
        async move { Ok(Box::new(session::LoggedIn(self.cloud().await?)) as Box<dyn Session>) }.boxed()
    }

    fn volumes<'a>(&'a self, migrating: &'a Migrating<'a>) -> BoxFuture<'a, anyhow::Result<Volumes>> {
        async move {
            let Some(images) = images::ensure(&self.cloud().await?, migrating).await? else { return Ok(Volumes::NotYet) };
            populated::ensure(migrating, |disk| {
                let image = images.get(&disk.task).cloned().unwrap_or_default();
                Populator {
                    kind: &OPENSTACK_VOLUME_POPULATOR,
                    label: ("imageID", image.clone()),
                    name: format!("{}-", disk.task),
                    spec: json!({ "identityUrl": self.login.url, "secretName": migrating.secret, "imageId": image }),
                }
            })
            .await?;
            Ok(Volumes::Populated)
        }
        .boxed()
    }

    fn credentials(&self) -> Vec<(&'static str, String)> {
        let keys = ["username", "password", "regionName", "projectName", "domainName", "insecureSkipVerify", "cacert"];
        keys.into_iter().filter_map(|key| Some((key, self.login.get(key)?.to_owned()))).collect()
    }

    fn release<'a>(&'a self, _work: &'a Work<'a>, vm: &'a VmStatus) -> BoxFuture<'a, anyhow::Result<()>> {
        async move { images::remove(&self.cloud().await?, &vm.id).await }.boxed()
    }
}

/// What Forklift makes of a server. Of several adapters in one network it takes the first alone: it reads the addresses by the
/// name of their network.
fn machine(model: &Model, server: &Value) -> Machine {
    let id = server.text("/id");
    let mut ports: Vec<&Value> = inventory::all(model, "ports").filter(|port| port.text("/device_id") == id).collect();
    ports.sort_by_key(|port| (port.text("/created_at"), port.text("/mac_address")));
    let mut networks: Vec<String> = Vec::new();
    let mut nics = Vec::new();
    for port in &ports {
        let network = port.text("/network_id").to_owned();
        if !networks.contains(&network) {
            networks.push(network.clone());
            nics.push(Nic { network, mac: port.text("/mac_address").to_lowercase(), connected: true });
        }
    }
    networks.sort();
    let attached = server.items("/os-extended-volumes:volumes_attached").iter().map(|v| v.text("/id"));
    let volumes: Vec<&Value> = attached.filter_map(|id| model.get("volumes")?.get(id)).collect();
    let images = || inventory::all(model, "images");
    let own = images().find(|image| image.text("/id") == server.text("/image/id"));
    // Of a volume the image counts that it was made of, as long as that is there.
    let origin = || images().find(|image| volumes.iter().any(|v| v.text("/volume_image_metadata/image_id") == image.text("/id")));
    let properties = own.or_else(origin).cloned().unwrap_or_default();
    let boot_volume = || volumes.iter().filter(|v| v.text("/bootable") == "true").map(|v| &v["volume_image_metadata"]).next_back();
    let firmware = match properties.text("/hw_firmware_type") {
        "" => boot_volume().map(|said| said.text("/hw_firmware_type")).unwrap_or_default(),
        own => own,
    };
    let number = |image: &str, flavor: &str| {
        let text = properties.get(image).or_else(|| server.pointer("/flavor/extra_specs").and_then(|specs| specs.get(flavor)));
        text.and_then(|text| text.as_str()?.parse::<i64>().ok())
    };
    let type_of = |name: &str| inventory::all(model, "volumetypes").find(|t| t.text("/name") == name).map(|t| t.text("/id").to_owned());
    let size_of_image = |image: &Value| match server.number("/flavor/disk") {
        0 => image.number("/size"),
        disk => disk << 30,
    };
    let of_image = own.map(|image| Disk {
        task: images::of_server(id),
        storage: GLANCE.to_owned(),
        capacity: size_of_image(image),
        ..Disk::default()
    });
    let of_volume = volumes.iter().zip(1..).map(|(volume, key)| Disk {
        task: images::of_volume(id, volume.text("/id")),
        key,
        file: volume.text("/name").to_owned(),
        storage: type_of(volume.text("/volume_type")).unwrap_or_default(),
        capacity: volume.number("/size") << 30,
        ..Disk::default()
    });
    let disks: Vec<Disk> = of_image.into_iter().chain(of_volume).collect();
    Machine {
        id: id.to_owned(),
        name: server.text("/name").to_owned(),
        uuid: id.to_owned(),
        serial: Some(id.to_owned()),
        windows: properties.text("/os_type") == "windows",
        efi: firmware == "uefi",
        sockets: number("hw_cpu_sockets", "hw:cpu_sockets").unwrap_or_else(|| server.number("/flavor/vcpus")),
        cores: number("hw_cpu_cores", "hw:cpu_cores").unwrap_or(1),
        threads: number("hw_cpu_threads", "hw:cpu_threads"),
        memory_mib: server.number("/flavor/ram"),
        networks,
        nics,
        order: (0..disks.len()).collect(),
        disks,
        ..Machine::default()
    }
}
