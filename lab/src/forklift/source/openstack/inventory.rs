//! What the inventory service shows of a cloud.

use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::client::Cloud;
use crate::{
    clock::Clock,
    forklift::{
        cluster::Look,
        source::{Login, reader::Reader},
    },
    inventory::News,
};

/// Collections of the service, with service, path and member in the API.
const COLLECTIONS: &[(&str, &str, &str, &str)] = &[
    ("images", "image", "/images", "images"),
    ("flavors", "compute", "/flavors/detail", "flavors"),
    ("networks", "network", "/networks", "networks"),
    ("subnets", "network", "/subnets", "subnets"),
    ("volumes", "volume", "/volumes/detail", "volumes"),
    ("volumetypes", "volume", "/types", "volume_types"),
    ("snapshots", "volume", "/snapshots/detail", "snapshots"),
    ("vms", "compute", "/servers/detail", "servers"),
    ("ports", "network", "/ports", "ports"),
];

/// Everything that was read, as the services write it: collection, then id.
pub type Model = BTreeMap<&'static str, BTreeMap<String, Value>>;

/// Reads a cloud again and again.
pub fn follow(provider: String, login: Login, clock: Clock, changed: broadcast::Sender<News>) -> Arc<Reader<Model>> {
    let session = Arc::new(tokio::sync::Mutex::new(None::<Cloud>));
    Reader::start(provider, clock, changed, move || {
        let (login, session) = (login.clone(), Arc::clone(&session));
        async move {
            let mut session = session.lock().await;
            let cloud = match session.take() {
                Some(cloud) => cloud,
                None => Cloud::connect(&login).await.map_err(|refused| anyhow::anyhow!(refused.text))?,
            };
            let mut model = Model::new();
            for (name, service, path, member) in COLLECTIONS {
                let body = cloud.get(service, path).await?;
                let members = body.items(&format!("/{member}")).iter().map(|object| (object.text("/id").to_owned(), object.clone()));
                model.insert(name, members.collect());
            }
            *session = Some(cloud);
            Ok(model)
        }
        .boxed()
    })
}

/// Whether the service has such a collection. Ports are none: they are read for the machines only.
pub fn known(name: &str) -> Option<&'static str> {
    let own = COLLECTIONS.iter().map(|(name, ..)| *name).filter(|name| *name != "ports");
    own.chain(["workloads", "regions", "projects"]).find(|known| *known == name)
}

/// Objects of a collection by id.
pub fn all<'m>(model: &'m Model, name: &str) -> impl Iterator<Item = &'m Value> {
    model.get(if name == "workloads" { "vms" } else { name }).into_iter().flat_map(BTreeMap::values)
}

/// An object as the service shows it.
pub fn json(provider: &str, name: &str, object: &Value, detail: u8) -> Value {
    let id = object.text("/id");
    let mut out = json!({
        "id": id, "revision": 1, "path": object.text("/name"), "name": object.text("/name"),
        "selfLink": format!("providers/openstack/{provider}/{name}/{id}"),
    });
    if detail == 0 {
        return out;
    }
    let field = |key: &str| object.get(key).cloned().unwrap_or_default();
    let more = match name {
        "vms" | "workloads" => {
            let attached = object.items("/os-extended-volumes:volumes_attached").iter();
            json!({
                "tenantID": field("tenant_id"), "userID": field("user_id"), "status": field("status"), "hostID": field("hostId"), "revisionValidated": 1,
                "imageID": object.text("/image/id"), "flavorID": object.text("/flavor/original_name"), "addresses": field("addresses"),
                "attachedVolumes": attached.map(|v| json!({ "ID": v.text("/id"), "DeleteOnTermination": v["delete_on_termination"] })).collect::<Vec<_>>(),
                "concerns": [], "updated": field("updated"), "created": field("created"), "progress": field("progress"), "accessIPv4": "", "accessIPv6": "",
                "metadata": field("metadata"), "keyName": "", "adminPass": "", "securityGroups": field("security_groups"), "fault": field("fault"), "tags": [],
            })
        }
        "volumes" => json!({
            "status": field("status"), "size": field("size"), "availabilityZone": field("availability_zone"), "attachments": field("attachments"),
            "description": field("description"), "volumeType": field("volume_type"), "snapshotID": field("snapshot_id"), "sourceVolID": "",
            "metadata": field("metadata"), "bootable": field("bootable"), "encrypted": false, "multiattach": false,
            "volumeImageMetadata": field("volume_image_metadata"), "createdAt": field("created_at"), "updatedAt": field("updated_at"),
        }),
        "volumetypes" => {
            json!({ "description": "", "extraSpecs": field("extra_specs"), "isPublic": true, "qosSpecsID": "", "publicAccess": true })
        }
        "images" => json!({
            "status": field("status"), "diskFormat": field("disk_format"), "containerFormat": field("container_format"), "minDisk": field("min_disk"),
            "minRAM": field("min_ram"), "sizeBytes": field("size"), "virtualSize": field("virtual_size"), "properties": object, "tags": [],
        }),
        "flavors" => {
            json!({ "disk": field("disk"), "ram": field("ram"), "vcpus": field("vcpus"), "rxtxFactor": "1", "swap": 0, "isPublic": true, "ephemeral": 0, "extraSpecs": {} })
        }
        "networks" => json!({
            "description": "", "adminStateUp": true, "status": field("status"), "subnets": field("subnets"), "tenantID": field("tenant_id"),
            "projectID": field("project_id"), "shared": field("shared"), "availabilityZoneHints": [], "tags": [],
        }),
        "subnets" => {
            json!({ "networkID": field("network_id"), "cidr": field("cidr"), "ipVersion": field("ip_version"), "gatewayIP": field("gateway_ip"), "enableDHCP": true })
        }
        "snapshots" => {
            json!({ "status": field("status"), "size": field("size"), "volumeID": field("volume_id"), "metadata": field("metadata"), "description": "" })
        }
        _ => json!({}),
    };
    if let (Value::Object(out), Value::Object(more)) = (&mut out, more) {
        out.extend(more);
    }
    out
}
