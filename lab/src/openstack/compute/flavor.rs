//! Flavors and what they tell hypervisors.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    super::{
        Cloud,
        model::{Flavor, Model},
        paging,
        reply::{Answered, Ask, Fault, Reply, Service},
    },
    server::links,
};

fn shown(cloud: &Cloud, flavor: &Flavor, minor: u32) -> Value {
    let mut out = json!({
        "id": flavor.id, "name": flavor.name, "vcpus": flavor.vcpus, "ram": flavor.ram, "disk": flavor.disk,
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral, "OS-FLV-DISABLED:disabled": false, "os-flavor-access:is_public": flavor.public,
        "rxtx_factor": 1.0, "links": links(cloud, "flavors", &flavor.id),
        // No swap was an empty text until 2.75.
        "swap": if flavor.swap == 0 && minor < 75 { json!("") } else { json!(flavor.swap) },
    });
    if minor >= 55 {
        out["description"] = json!(flavor.description);
    }
    if minor >= 61 {
        out["extra_specs"] = json!(flavor.extra_specs);
    }
    out
}

fn missing(id: &str) -> Fault {
    Fault::new(StatusCode::NOT_FOUND, format!("Flavor {id} could not be found."))
}

/// Answers a request; the path begins after `flavors`.
pub fn answer(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>, rest: &[&str]) -> Answered {
    match (ask.method, rest) {
        (&Method::GET, [] | ["detail"]) => {
            let least = |key: &str| match ask.asked(key).map(str::parse::<u64>) {
                Some(Ok(least)) => Ok(least),
                Some(Err(_)) => Err(Fault::bad(format!("Invalid {key} filter [{}]", ask.asked(key).unwrap_or_default()))),
                None => Ok(0),
            };
            let (ram, disk) = (least("minRam")?, least("minDisk")?);
            let public = match ask.asked("is_public") {
                Some("None" | "none") => None,
                Some(text) => Some(matches!(text, "True" | "true" | "1" | "t" | "T")),
                None => Some(true),
            };
            let mut found: Vec<&Flavor> = model.flavors.iter().collect();
            found.sort_by(|a, b| a.id.cmp(&b.id));
            let wanted = |f: &&&Flavor| f.ram >= ram && f.disk >= disk && public.is_none_or(|public| f.public == public);
            let whole = found.iter().filter(wanted).map(|f| shown(cloud, f, ask.minor)).collect();
            let brief = |f: Value| {
                let mut out = json!({ "id": f["id"], "name": f["name"], "links": f["links"] });
                if let Some(text) = f.get("description") {
                    out["description"] = text.clone();
                }
                out
            };
            let detail = !rest.is_empty();
            paging::page(Service::Compute, &cloud.inner.address, "flavors", whole, ask, |f| if detail { f } else { brief(f) })
        }
        (&Method::POST, []) => create(cloud, model, ask),
        (&Method::GET, [id]) => {
            let found = model.flavors.iter().find(|f| f.id == *id).ok_or_else(|| missing(id))?;
            Ok(Reply::ok(json!({ "flavor": shown(cloud, found, ask.minor) })))
        }
        (&Method::DELETE, [id]) => {
            let before = model.flavors.len();
            model.flavors.retain(|f| f.id != *id);
            if model.flavors.len() < before { Ok(Reply::empty(StatusCode::ACCEPTED)) } else { Err(missing(id)) }
        }
        (_, [id, "os-extra_specs", rest @ ..]) => {
            let found = model.flavors.iter_mut().find(|f| f.id == *id).ok_or_else(|| missing(id))?;
            specs(found, ask, rest)
        }
        (&Method::GET, [id, "os-flavor-access"]) => match model.flavors.iter().find(|f| f.id == *id) {
            Some(found) if found.public => Err(Fault::new(StatusCode::NOT_FOUND, "Access list not available for public flavors.")),
            Some(_) => Ok(Reply::ok(json!({ "flavor_access": [{ "flavor_id": id, "tenant_id": model.project }] }))),
            None => Err(missing(id)),
        },
        _ => Err(Fault::no_such_path()),
    }
}

fn create(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>) -> Answered {
    let name = ask.text("/flavor/name").to_owned();
    let number = |key: &str| {
        let value = ask.number(&format!("/flavor/{key}"));
        value.ok_or_else(|| {
            Fault::bad(format!("Invalid input for field/attribute flavor. Value: {}. '{key}' is a required property", ask.body["flavor"]))
        })
    };
    if name.is_empty() {
        return Err(Fault::bad("Invalid input for field/attribute name. Value: . '' is too short"));
    }
    let (vcpus, ram, disk) = (number("vcpus")?, number("ram")?, number("disk")?);
    let asked = ask.text("/flavor/id");
    if let Some(same) = model.flavors.iter().find(|f| f.name == name || f.id == asked) {
        let (what, value) = if same.name == name { ("name", &same.name) } else { ("ID", &same.id) };
        return Err(Fault::conflict(format!("Flavor with {what} {value} already exists.")));
    }
    let id = if asked.is_empty() || asked == "auto" { model.id() } else { asked.to_owned() };
    let made = Flavor {
        id,
        name,
        description: ask.body.pointer("/flavor/description").and_then(Value::as_str).map(str::to_owned),
        vcpus,
        ram,
        disk,
        ephemeral: ask.number("/flavor/OS-FLV-EXT-DATA:ephemeral").unwrap_or_default(),
        swap: ask.number("/flavor/swap").unwrap_or_default(),
        public: ask.body.pointer("/flavor/os-flavor-access:is_public").and_then(Value::as_bool).unwrap_or(true),
        extra_specs: Map::new(),
    };
    let body = shown(cloud, &made, ask.minor);
    model.flavors.push(made);
    Ok(Reply::ok(json!({ "flavor": body })))
}

fn specs(flavor: &mut Flavor, ask: &Ask<'_>, rest: &[&str]) -> Answered {
    let id = flavor.id.clone();
    let missing = |key: &str| Fault::new(StatusCode::NOT_FOUND, format!("Flavor {id} has no extra specs with key {key}."));
    match (ask.method, rest) {
        (&Method::GET, []) => Ok(Reply::ok(json!({ "extra_specs": flavor.extra_specs }))),
        (&Method::POST, []) => {
            flavor.extra_specs.extend(ask.map("/extra_specs"));
            Ok(Reply::ok(json!({ "extra_specs": flavor.extra_specs })))
        }
        (&Method::GET, [key]) => flavor.extra_specs.get(*key).map(|value| Reply::ok(json!({ *key: value }))).ok_or_else(|| missing(key)),
        (&Method::PUT, [key]) => {
            let Some(value) = ask.body.get(*key) else { return Err(Fault::bad("Request body and URI mismatch")) };
            flavor.extra_specs.insert((*key).to_owned(), value.clone());
            Ok(Reply::ok(json!({ *key: value })))
        }
        (&Method::DELETE, [key]) => flavor.extra_specs.remove(*key).map(|_| Reply::empty(StatusCode::OK)).ok_or_else(|| missing(key)),
        _ => Err(Fault::no_such_path()),
    }
}
