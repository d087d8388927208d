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
    ("regions", "identity", "/regions", "regions"),
    ("projects", "identity", "/auth/projects", "projects"),
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
                let all = cloud.list(service, path, member).await?;
                model.insert(name, all.into_iter().map(|object| (object.text("/id").to_owned(), object)).collect());
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
    own.chain(["workloads"]).find(|known| *known == name)
}

/// Objects of a collection by id.
pub fn all<'m>(model: &'m Model, name: &str) -> impl Iterator<Item = &'m Value> {
    model.get(if name == "workloads" { "vms" } else { name }).into_iter().flat_map(BTreeMap::values)
}

/// What a server is made of, in full: the service's view for the migration itself.
pub fn workload(model: &Model, provider: &str, server: &Value) -> Value {
    let mut out = json(provider, "workloads", server, u8::MAX);
    let ids = |pointer: &str| server.items(pointer).iter().map(|o| o.text("/id").to_owned()).collect::<Vec<_>>();
    let volumes = ids("/os-extended-volumes:volumes_attached");
    let of = |name: &'static str, fits: &dyn Fn(&Value) -> bool| -> Vec<Value> {
        all(model, name).filter(|o| fits(o)).map(|o| json(provider, name, o, u8::MAX)).collect()
    };
    let origin = all(model, "volumes")
        .filter(|v| volumes.iter().any(|id| id == v.text("/id")))
        .map(|v| v.text("/volume_image_metadata/image_id"))
        .find(|id| !id.is_empty());
    let image = Some(server.text("/image/id")).filter(|id| !id.is_empty()).or(origin).unwrap_or_default();
    out["image"] = of("images", &|o| o.text("/id") == image).pop().unwrap_or_else(|| json!({}));
    out["flavor"] = of("flavors", &|o| o.text("/name") == server.text("/flavor/original_name")).pop().unwrap_or_else(|| json!({}));
    out["volumes"] = of("volumes", &|o| volumes.iter().any(|id| id == o.text("/id"))).into();
    let names = server["addresses"].as_object().map(|all| all.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    out["networks"] = of("networks", &|o| names.iter().any(|name| name == o.text("/name"))).into();
    out
}

/// An object as the service shows it.
pub fn json(provider: &str, name: &str, object: &Value, detail: u8) -> Value {
    let id = object.text("/id");
    // Regions are called by their id.
    let title = Some(object.text("/name")).filter(|title| !title.is_empty()).unwrap_or(id);
    let mut out = json!({
        "id": id, "revision": 1, "path": title, "name": title,
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
            json!({ "disk": field("disk"), "ram": field("ram"), "vcpus": field("vcpus"), "rxtxFactor": "1", "swap": 0, "isPublic": true, "ephemeral": 0, "extraSpecs": field("extra_specs") })
        }
        "networks" => json!({
            "description": "", "adminStateUp": true, "status": field("status"), "subnets": field("subnets"), "tenantID": field("tenant_id"),
            "projectID": field("project_id"), "shared": field("shared"), "availabilityZoneHints": [], "tags": [],
        }),
        "subnets" => {
            json!({ "networkID": field("network_id"), "cidr": field("cidr"), "ipVersion": field("ip_version"), "gatewayIP": field("gateway_ip"), "enableDHCP": true })
        }
        "regions" => json!({ "description": field("description"), "parentRegionID": field("parent_region_id") }),
        "projects" => json!({
            "isDomain": field("is_domain"), "description": field("description"), "domainID": field("domain_id"), "enabled": field("enabled"),
            "parentID": field("parent_id"),
        }),
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
