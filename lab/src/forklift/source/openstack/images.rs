//! How disks become images that a populator can read: an image of the server, snapshots of its volumes, a volume of each
//! snapshot, an image of each such volume. Everything is known by its name, and by what it was made of.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::Cloud;
use crate::forklift::{cluster::Look, source::Migrating};

/// Where images and volumes say which volume they hold.
const OF_VOLUME: &str = "forklift_original_volume_id";
/// Where the image of a server says which image that boots from.
const OF_IMAGE: &str = "forklift_original_image_id";

/// Name of the image of a server, and task of the disk that it boots from if that is an image.
pub fn of_server(server: &str) -> String {
    format!("forklift-migration-vm-{server}")
}

/// Name of the image of a volume, and task of that disk.
pub fn of_volume(server: &str, volume: &str) -> String {
    format!("{}-volume-{volume}", of_server(server))
}

fn snapshot_name(server: &str) -> String {
    format!("snapshot for {}", of_server(server))
}

fn volume_name(server: &str) -> String {
    format!("volume created from {}", of_server(server))
}

fn add(key: &str, value: &str) -> Value {
    json!([{ "op": "add", "path": format!("/{key}"), "value": value }])
}

async fn image_named(cloud: &Cloud, name: &str) -> anyhow::Result<Option<Value>> {
    Ok(cloud.list("image", "/images", "images").await?.into_iter().find(|image| image.text("/name") == name))
}

/// Brings the images of all disks one step further; their ids by the name of the task once all are there.
pub async fn ensure(cloud: &Cloud, migrating: &Migrating<'_>) -> anyhow::Result<Option<BTreeMap<String, String>>> {
    let id = &migrating.vm.id;
    let name = of_server(id);
    let server = cloud.get("compute", &format!("/servers/{id}")).await?["server"].clone();
    let volumes: Vec<String> = server.items("/os-extended-volumes:volumes_attached").iter().map(|v| v.text("/id").to_owned()).collect();
    let Some(own) = image_named(cloud, &name).await? else {
        begin(cloud, &server, &name, &volumes).await?;
        return Ok(None);
    };
    anyhow::ensure!(!matches!(own.text("/status"), "killed" | "deleted"), "image {name} could not be made");
    if own.text("/status") != "active" {
        return Ok(None);
    }
    let mut found = BTreeMap::from([(name, own.text("/id").to_owned())]);
    let snapshots = cloud.list("volume", "/snapshots/detail", "snapshots").await?;
    let copies = cloud.list("volume", "/volumes/detail", "volumes").await?;
    for volume in &volumes {
        let of_it = |s: &&Value| s.text("/volume_id") == volume && s.text("/name") == snapshot_name(id);
        let snapshot = snapshots.iter().find(of_it);
        if let Some(image) = of_one(cloud, id, volume, snapshot, &copies).await? {
            found.insert(of_volume(id, volume), image);
        }
    }
    let whole = migrating.machine.disks.iter().all(|disk| found.contains_key(&disk.task));
    Ok(whole.then_some(found))
}

/// Begins with the image of the server. Of one that boots from an image, that is its own disk alone: the volumes beside it are
/// snapshotted one by one.
async fn begin(cloud: &Cloud, server: &Value, name: &str, volumes: &[String]) -> anyhow::Result<()> {
    let id = server.text("/id");
    let made = cloud.post("compute", &format!("/servers/{id}/action"), json!({ "createImage": { "name": name } })).await?;
    let origin = server.text("/image/id");
    if origin.is_empty() {
        return Ok(());
    }
    cloud.patch("image", &format!("/images/{}", made.text("/image_id")), add(OF_IMAGE, origin)).await?;
    for volume in volumes {
        let body = json!({ "name": snapshot_name(id), "volume_id": volume, "force": true, "metadata": { OF_VOLUME: volume } });
        cloud.post("volume", "/snapshots", json!({ "snapshot": body })).await?;
    }
    Ok(())
}

/// The image of one volume, once it is there.
async fn of_one(cloud: &Cloud, server: &str, volume: &str, snapshot: Option<&Value>, copies: &[Value]) -> anyhow::Result<Option<String>> {
    let name = of_volume(server, volume);
    if let Some(image) = image_named(cloud, &name).await? {
        let id = image.text("/id");
        if image.text("/status") == "active" && image.text(&format!("/{OF_VOLUME}")).is_empty() {
            cloud.patch("image", &format!("/images/{id}"), add(OF_VOLUME, volume)).await?;
        }
        return Ok((image.text("/status") == "active").then(|| id.to_owned()));
    }
    let Some(snapshot) = snapshot.filter(|snapshot| snapshot.text("/status") == "available") else { return Ok(None) };
    let copy = copies.iter().find(|copy| copy.text("/snapshot_id") == snapshot.text("/id") && copy.text("/name") == volume_name(server));
    match copy {
        None => {
            let body = json!({ "name": volume_name(server), "snapshot_id": snapshot["id"], "metadata": { OF_VOLUME: volume } });
            cloud.post("volume", "/volumes", json!({ "volume": body })).await?;
        }
        Some(copy) if copy.text("/status") == "available" => {
            let body = json!({ "os-volume_upload_image": { "image_name": name, "disk_format": "raw" } });
            let made = cloud.post("volume", &format!("/volumes/{}/action", copy.text("/id")), body).await?;
            let image = made.text("/os-volume_upload_image/image_id").to_owned();
            cloud.patch("image", &format!("/images/{image}"), add(OF_VOLUME, volume)).await?;
        }
        Some(_) => {}
    }
    Ok(None)
}

/// Removes everything that [`ensure`] made for a server: volumes before the snapshots that they are made of.
pub async fn remove(cloud: &Cloud, server: &str) -> anyhow::Result<()> {
    let name = of_server(server);
    let lists = [("image", "/images", "images"), ("volume", "/volumes/detail", "volumes"), ("volume", "/snapshots/detail", "snapshots")];
    for (service, path, member) in lists {
        let all = cloud.list(service, path, member).await?;
        for object in all.iter().filter(|object| object.text("/name").contains(&name) && object.text("/status") != "deleting") {
            cloud.delete(service, &format!("/{member}/{}", object.text("/id"))).await?;
        }
    }
    Ok(())
}
