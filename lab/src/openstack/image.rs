//! Glance: images.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Cloud,
    model::{Image, Model, content},
    reply::{Ask, Reply, time},
};

fn image(model: &Model, image: &Image) -> Value {
    let mut out = json!({
        "id": image.id, "name": image.name, "status": image.status, "size": image.size, "virtual_size": image.size, "min_disk": 0, "min_ram": 0,
        "disk_format": "raw", "container_format": "bare", "visibility": "private", "protected": false, "owner": model.project, "tags": [],
        "checksum": null, "os_hidden": false, "created_at": time(image.created), "updated_at": time(image.created),
        "self": format!("/v2/images/{}", image.id), "file": format!("/v2/images/{}/file", image.id), "schema": "/v2/schemas/image",
    });
    if let Value::Object(out) = &mut out {
        out.extend(image.properties.clone());
    }
    out
}

/// Answers a request.
pub fn answer(cloud: &Cloud, ask: &Ask<'_>) -> Reply {
    let mut model = cloud.model();
    match (ask.method, ask.path) {
        (&Method::GET, ["images"]) => {
            let named = |i: &&Image| ask.query.get("name").is_none_or(|name| *name == i.name);
            let list: Vec<Value> = model.images.values().filter(named).map(|i| image(&model, i)).collect();
            let mut reply = ask.page("images", "/v2/images", list);
            // The next page is a field of its own here.
            if let Some(next) = reply.body.pointer("/images_links/0/href").cloned() {
                reply.body["next"] = next;
            }
            reply.body["first"] = json!("/v2/images");
            reply.body["schema"] = json!("/v2/schemas/images");
            reply
        }
        (&Method::GET, ["images", id]) => match model.images.get(*id) {
            Some(found) => Reply::ok(image(&model, found)),
            None => Reply::missing("Image", id),
        },
        (&Method::DELETE, ["images", id]) => match model.images.remove(*id) {
            Some(_) => {
                model.world.disks.remove(&content(id));
                Reply::empty(StatusCode::NO_CONTENT)
            }
            None => Reply::missing("Image", id),
        },
        _ => Reply::missing("Resource", &ask.path.join("/")),
    }
}
