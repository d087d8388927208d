//! Glance: images with their properties, tags and content.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use super::{
    Cloud,
    model::{Image, Model, content},
    paging,
    reply::{Answered, Ask, Content, Fault, Reply, Service, time},
};

/// Properties that no client may set, by themselves or by a change.
const READ_ONLY: &[&str] = &[
    "created_at",
    "updated_at",
    "status",
    "checksum",
    "size",
    "virtual_size",
    "direct_url",
    "self",
    "file",
    "schema",
    "id",
    "os_hash_algo",
    "os_hash_value",
    "stores",
];
/// Properties with a place of their own.
const OWN: &[&str] =
    &["name", "disk_format", "container_format", "visibility", "protected", "min_disk", "min_ram", "tags", "os_hidden", "owner"];
const DISK_FORMATS: &[&str] = &["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"];
const CONTAINER_FORMATS: &[&str] = &["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"];

fn shown(model: &Model, image: &Image) -> Value {
    let checksum = image.data.as_ref().map(|data| format!("{:x}", md5::compute(data)));
    let hash = image.data.as_ref().map(|data| Sha512::digest(data).iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let mut out = json!({
        "id": image.id, "name": image.name, "status": image.status, "size": image.size,
        "virtual_size": image.size.filter(|_| image.disk_format.as_deref() == Some("raw")), "min_disk": image.min_disk,
        "min_ram": image.min_ram, "disk_format": image.disk_format, "container_format": image.container_format,
        "visibility": image.visibility, "protected": image.protected, "owner": model.project, "tags": image.tags, "checksum": checksum,
        "os_hash_algo": hash.as_ref().map(|_| "sha512"), "os_hash_value": hash, "os_hidden": false, "created_at": time(image.created),
        "updated_at": time(image.updated), "self": format!("/v2/images/{}", image.id), "file": format!("/v2/images/{}/file", image.id),
        "schema": "/v2/schemas/image",
    });
    if let Value::Object(out) = &mut out {
        out.extend(image.properties.clone());
    }
    out
}

fn missing(id: &str) -> Fault {
    Fault::new(StatusCode::NOT_FOUND, format!("No image found with ID {id}"))
}

fn find<'m>(model: &'m mut Model, id: &str) -> Result<&'m mut Image, Fault> {
    model.images.get_mut(id).ok_or_else(|| missing(id))
}

/// Answers a request.
pub fn answer(cloud: &Cloud, ask: &Ask<'_>) -> Answered {
    let mut model = cloud.model();
    match (ask.method, ask.path) {
        (&Method::GET, ["images"]) => list(cloud, &model, ask),
        (&Method::POST, ["images"]) => create(&mut model, ask),
        (&Method::GET, ["images", id]) => {
            let found = model.images.get(*id).ok_or_else(|| missing(id))?;
            Ok(Reply::ok(shown(&model, found)))
        }
        (&Method::PATCH, ["images", id]) => {
            let (now, mut changed) = (model.now(), find(&mut model, id)?.clone());
            for change in ask.body.as_array().into_iter().flatten() {
                patch(&mut changed, change)?;
            }
            changed.updated = now;
            model.images.insert((*id).to_owned(), changed.clone());
            Ok(Reply::ok(shown(&model, &changed)))
        }
        (&Method::DELETE, ["images", id]) => {
            let found = model.images.get(*id);
            let found = found.ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, format!("Failed to find image {id} to delete")))?;
            if found.protected {
                return Err(Fault::forbidden(format!("Image {id} is protected and cannot be deleted.")));
            }
            model.images.remove(*id);
            model.world.disks.remove(&content(id));
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        }
        (&Method::PUT, ["images", id, "file"]) => upload(&mut model, ask, id),
        (&Method::GET, ["images", id, "file"]) => download(find(&mut model, id)?),
        (&Method::POST, ["images", id, way @ ("deactivate" | "reactivate")]) => {
            let found = find(&mut model, id)?;
            let (from, to) = if *way == "deactivate" { ("active", "deactivated") } else { ("deactivated", "active") };
            if found.status != from && found.status != to {
                return Err(Fault::forbidden(format!("Not allowed to {way} image in status '{}'", found.status)));
            }
            found.status = to;
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        }
        (&Method::PUT, ["images", id, "tags", tag]) => {
            let found = find(&mut model, id)?;
            if !found.tags.iter().any(|own| own == tag) {
                found.tags.push((*tag).to_owned());
            }
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        }
        (&Method::DELETE, ["images", id, "tags", tag]) => {
            let found = find(&mut model, id)?;
            let before = found.tags.len();
            found.tags.retain(|own| own != tag);
            if found.tags.len() < before {
                Ok(Reply::empty(StatusCode::NO_CONTENT))
            } else {
                Err(Fault::new(StatusCode::NOT_FOUND, "The resource could not be found."))
            }
        }
        (&Method::GET, ["images", id, "members"]) => {
            find(&mut model, id)?;
            Ok(Reply::ok(json!({ "members": [], "schema": "/v2/schemas/members" })))
        }
        (&Method::GET, ["images", _, "tasks"]) => Ok(Reply::ok(json!({ "tasks": [] }))),
        (&Method::GET, ["info", "import"]) => {
            let methods = json!({ "description": "Import methods available.", "type": "array", "value": [] });
            Ok(Reply::ok(json!({ "import-methods": methods })))
        }
        (&Method::GET, ["tasks"]) => Ok(Reply::ok(json!({ "tasks": [], "first": "/v2/tasks", "schema": "/v2/schemas/tasks" }))),
        (&Method::GET, ["schemas", "image"]) => Ok(Reply::ok(schema())),
        (&Method::GET, ["schemas", "images"]) => Ok(Reply::ok(json!({
            "name": "images", "properties": { "images": { "type": "array", "items": schema() }, "first": { "type": "string" }, "next": { "type": "string" }, "schema": { "type": "string" } },
            "links": [{ "rel": "first", "href": "{first}" }, { "rel": "next", "href": "{next}" }, { "rel": "describedby", "href": "{schema}" }],
        }))),
        _ => Err(Fault::no_such_path()),
    }
}

/// What clients are told an image is made of.
fn schema() -> Value {
    let text = json!({ "type": ["null", "string"] });
    let mut properties = serde_json::Map::new();
    for name in READ_ONLY.iter().chain(OWN) {
        let own = READ_ONLY.contains(name);
        let mut kind = match *name {
            "size" | "virtual_size" => json!({ "type": ["null", "integer"] }),
            "min_disk" | "min_ram" => json!({ "type": "integer", "maximum": i32::MAX }),
            "protected" | "os_hidden" => json!({ "type": "boolean" }),
            "tags" => json!({ "type": "array", "items": { "type": "string", "maxLength": 255 } }),
            "visibility" => json!({ "type": "string", "enum": ["community", "public", "private", "shared"] }),
            "disk_format" => json!({ "type": ["null", "string"], "enum": DISK_FORMATS }),
            "container_format" => json!({ "type": ["null", "string"], "enum": CONTAINER_FORMATS }),
            _ => text.clone(),
        };
        if own {
            kind["readOnly"] = json!(true);
        }
        properties.insert((*name).to_owned(), kind);
    }
    json!({ "name": "image", "properties": properties, "additionalProperties": { "type": "string" },
        "links": [{ "rel": "self", "href": "{self}" }, { "rel": "enclosure", "href": "{file}" }, { "rel": "describedby", "href": "{schema}" }] })
}

fn list(cloud: &Cloud, model: &Model, ask: &Ask<'_>) -> Answered {
    let any = |key: &str, value: &str| match ask.asked(key) {
        Some(list) if list.starts_with("in:") => list[3..].split(',').any(|one| one.trim_matches('"') == value),
        Some(wanted) => wanted == value,
        None => true,
    };
    let fits = |image: &&&Image| {
        let tags = ask.query.iter().filter(|(key, _)| key == "tag").all(|(_, tag)| image.tags.contains(tag));
        let special = ask.query.iter().all(|(key, value)| {
            let fixed = matches!(
                key.as_str(),
                "limit"
                    | "marker"
                    | "sort"
                    | "sort_key"
                    | "sort_dir"
                    | "name"
                    | "id"
                    | "status"
                    | "visibility"
                    | "tag"
                    | "owner"
                    | "disk_format"
                    | "container_format"
                    | "protected"
                    | "os_hidden"
                    | "member_status"
                    | "size_min"
                    | "size_max"
            );
            fixed || image.properties.get(key).and_then(Value::as_str) == Some(value)
        });
        any("name", image.name.as_deref().unwrap_or_default())
            && any("id", &image.id)
            && any("status", image.status)
            && (any("visibility", &image.visibility) || ask.asked("visibility") == Some("all"))
            && any("disk_format", image.disk_format.as_deref().unwrap_or_default())
            && any("container_format", image.container_format.as_deref().unwrap_or_default())
            && any("owner", &model.project)
            // Nothing here is hidden.
            && ask.asked("os_hidden").is_none_or(|wanted| wanted.eq_ignore_ascii_case("false"))
            && ask.asked("protected").is_none_or(|wanted| wanted == image.protected.to_string())
            && tags
            && special
    };
    let found = paging::youngest_first(model.images.values(), |image| (image.created, &image.id));
    let whole = found.iter().filter(fits).map(|image| shown(model, image)).collect();
    paging::page(Service::Image, &cloud.inner.address, "images", whole, ask, |image| image)
}

fn create(model: &mut Model, ask: &Ask<'_>) -> Answered {
    let Some(fields) = ask.body.as_object() else { return Err(Fault::bad("Malformed JSON in request body.")) };
    if let Some(key) = fields.keys().find(|key| READ_ONLY.contains(&key.as_str()) && *key != "id") {
        return Err(Fault::forbidden(format!("Attribute '{key}' is read-only.")));
    }
    let wanted = ask.text("/id").to_owned();
    if model.images.contains_key(&wanted) {
        return Err(Fault::conflict(format!("Image ID {wanted} already exists!")));
    }
    let id = model.image("", serde_json::Map::new());
    let Some(mut image) = model.images.remove(&id) else { return Err(missing(&id)) };
    (image.status, image.size, image.name, image.disk_format, image.container_format) = ("queued", None, None, None, None);
    "shared".clone_into(&mut image.visibility);
    if !wanted.is_empty() {
        image.id = wanted;
    }
    for (key, value) in fields.iter().filter(|(key, _)| *key != "id") {
        set(&mut image, key, value)?;
    }
    let body = shown(model, &image);
    let location = format!("/v2/images/{}", image.id);
    model.images.insert(image.id.clone(), image);
    Ok(Reply::created(body).with("Location", location).with("OpenStack-image-import-methods", ""))
}

/// Gives a property a value.
fn set(image: &mut Image, key: &str, value: &Value) -> Result<(), Fault> {
    let wrong = |why: &str| {
        Err(Fault::bad(format!(
            "Provided object does not match schema 'image': {value} {why}: Invalid JSON pointer for this resource: '/{key}'"
        )))
    };
    let text = || value.as_str().map(str::to_owned);
    match key {
        "name" => image.name = text(),
        "disk_format" if value.as_str().is_none_or(|format| DISK_FORMATS.contains(&format)) => image.disk_format = text(),
        "container_format" if value.as_str().is_none_or(|format| CONTAINER_FORMATS.contains(&format)) => image.container_format = text(),
        "disk_format" | "container_format" => return wrong("is not one of the known formats"),
        "visibility" => match value.as_str() {
            Some(known @ ("public" | "private" | "shared" | "community")) => known.clone_into(&mut image.visibility),
            _ => return wrong("is not one of ['community', 'public', 'private', 'shared']"),
        },
        "protected" => match value.as_bool() {
            Some(on) => image.protected = on,
            None => return wrong("is not of type 'boolean'"),
        },
        "min_disk" | "min_ram" => match value.as_u64() {
            Some(least) if key == "min_disk" => image.min_disk = least,
            Some(least) => image.min_ram = least,
            None => return wrong("is not of type 'integer'"),
        },
        "tags" => image.tags = value.as_array().into_iter().flatten().filter_map(|tag| tag.as_str().map(str::to_owned)).collect(),
        "owner" | "os_hidden" => {}
        own if READ_ONLY.contains(&own) => return Err(Fault::forbidden(format!("Attribute '{own}' is read-only."))),
        other => match value {
            Value::String(_) => drop(image.properties.insert(other.to_owned(), value.clone())),
            _ => return wrong("is not of type 'string'"),
        },
    }
    Ok(())
}

/// One step of a change: `{"op": "add", "path": "/key", "value": …}`.
fn patch(image: &mut Image, change: &Value) -> Result<(), Fault> {
    let text = |key: &str| change[key].as_str().unwrap_or_default();
    let path = text("path").trim_start_matches('/').replace("~1", "/").replace("~0", "~");
    let (key, rest) = path.split_once('/').map_or((path.as_str(), ""), |(key, rest)| (key, rest));
    if READ_ONLY.contains(&key) {
        return Err(Fault::forbidden(format!("Attribute '{key}' is read-only.")));
    }
    let there = OWN.contains(&key) || image.properties.contains_key(key);
    match text("op") {
        "add" if key == "tags" && rest == "-" => {
            image.tags.extend(change["value"].as_str().map(str::to_owned));
            Ok(())
        }
        "add" => set(image, key, &change["value"]),
        "replace" if there => set(image, key, &change["value"]),
        "remove" if OWN.contains(&key) => Err(Fault::forbidden(format!("Property {key} may not be removed."))),
        "remove" if there => {
            image.properties.remove(key);
            Ok(())
        }
        "replace" => Err(Fault::conflict(format!("Property {key} does not exist."))),
        "remove" => Err(Fault::conflict(format!("Property {key} does not exist."))),
        _ => Err(Fault::bad("Operations must be JSON objects with `op`, `path` and `value`.")),
    }
}

fn upload(model: &mut Model, ask: &Ask<'_>, id: &str) -> Answered {
    let (now, data) = (model.now(), ask.raw.clone());
    let image = find(model, id)?;
    if image.status != "queued" {
        return Err(Fault::conflict(format!("Image status transition from {} to saving is not allowed", image.status)));
    }
    if image.disk_format.is_none() || image.container_format.is_none() {
        return Err(Fault::bad("Properties disk_format, container_format must be set prior to saving data."));
    }
    (image.status, image.size, image.updated) = ("active", Some(data.len() as u64), now);
    image.data = Some(data);
    model.world.disks.put(content(id), crate::world::DiskImage { guest: None });
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn download(image: &Image) -> Answered {
    if image.status == "deactivated" {
        return Err(Fault::forbidden("The requested image has been deactivated. Image data download is forbidden."));
    }
    match (&image.data, image.status) {
        (Some(data), _) => {
            let reply =
                Reply { status: StatusCode::OK, content: Content::Raw("application/octet-stream", data.clone()), headers: Vec::new() };
            Ok(reply.with("Content-MD5", format!("{:x}", md5::compute(data))))
        }
        // Contents of the lab's own images are known by what they boot, not by their bytes.
        (None, "active") => {
            Ok(Reply { status: StatusCode::OK, content: Content::Raw("application/octet-stream", Bytes::new()), headers: Vec::new() })
        }
        (None, _) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
    }
}
