//! How disks become images that a populator can read: an image of the server, which snapshots its volumes; a volume of each
//! snapshot; an image of each such volume.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::Cloud;
use crate::forklift::{cluster::Look, source::Migrating};

/// Name of the image of a server, and task of the disk that it boots from if that is an image.
pub fn of_server(server: &str) -> String {
    format!("forklift-migration-vm-{server}")
}

/// Name of the image of a volume, and task of that disk.
pub fn of_volume(server: &str, volume: &str) -> String {
    format!("{}-volume-{volume}", of_server(server))
}

async fn named(cloud: &Cloud, service: &str, path: &str, member: &str, name: &str) -> anyhow::Result<Vec<Value>> {
    let all = cloud.get(service, path).await?;
    Ok(all.items(&format!("/{member}")).iter().filter(|object| object.text("/name") == name).cloned().collect())
}

/// Brings the images of all disks one step further; their ids by the name of the task once all are there.
pub async fn ensure(cloud: &Cloud, migrating: &Migrating<'_>) -> anyhow::Result<Option<BTreeMap<String, String>>> {
    let server = &migrating.vm.id;
    let name = of_server(server);
    let Some(own) = named(cloud, "image", "/images", "images", &name).await?.into_iter().next() else {
        cloud.post("compute", &format!("/servers/{server}/action"), json!({ "createImage": { "name": name } })).await?;
        return Ok(None);
    };
    anyhow::ensure!(own.text("/status") != "killed", "image {name} could not be made");
    let mut whole = own.text("/status") == "active";
    let mut found = BTreeMap::from([(name.clone(), own.text("/id").to_owned())]);
    let snapshots = named(cloud, "volume", "/snapshots/detail", "snapshots", &format!("snapshot for {name}")).await?;
    for snapshot in &snapshots {
        let task = of_volume(server, snapshot.text("/volume_id"));
        match of_snapshot(cloud, snapshot, &task).await? {
            Some(image) => {
                found.insert(task, image);
            }
            None => whole = false,
        }
    }
    whole &= migrating.machine.disks.iter().all(|disk| found.contains_key(&disk.task));
    Ok(whole.then_some(found))
}

/// The image of a snapshot's volume, once it is there.
async fn of_snapshot(cloud: &Cloud, snapshot: &Value, task: &str) -> anyhow::Result<Option<String>> {
    if snapshot.text("/status") != "available" {
        return Ok(None);
    }
    if let Some(image) = named(cloud, "image", "/images", "images", task).await?.first() {
        return Ok((image.text("/status") == "active").then(|| image.text("/id").to_owned()));
    }
    match named(cloud, "volume", "/volumes/detail", "volumes", task).await?.first() {
        None => {
            let body = json!({ "volume": { "name": task, "snapshot_id": snapshot["id"], "size": snapshot["size"] } });
            cloud.post("volume", "/volumes", body).await?;
        }
        Some(volume) if volume.text("/status") == "available" => {
            let body = json!({ "os-volume_upload_image": { "image_name": task, "disk_format": "raw", "force": true } });
            cloud.post("volume", &format!("/volumes/{}/action", volume.text("/id")), body).await?;
        }
        Some(_) => {}
    }
    Ok(None)
}

/// Removes everything that [`ensure`] made for a server.
pub async fn remove(cloud: &Cloud, server: &str) -> anyhow::Result<()> {
    let name = of_server(server);
    let lists = [("image", "/images", "images"), ("volume", "/volumes/detail", "volumes"), ("volume", "/snapshots/detail", "snapshots")];
    for (service, path, member) in lists {
        let all = cloud.get(service, path).await?;
        for object in all.items(&format!("/{member}")).iter().filter(|object| object.text("/name").contains(&name)) {
            cloud.delete(service, &format!("/{member}/{}", object.text("/id"))).await?;
        }
    }
    Ok(())
}
