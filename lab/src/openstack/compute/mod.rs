//! Nova: servers and what is around them.

mod action;
mod around;
mod attach;
mod create;
mod flavor;
mod keypair;
mod server;

pub use self::server::HOST;

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{
    Cloud,
    model::{Model, Server},
    paging,
    reply::{Answered, Ask, Fault, Reply, Service},
};

/// Deleting a server.
const DELETE: Duration = Duration::from_secs(3);
/// Deleting a volume after it.
const VOLUME: Duration = Duration::from_secs(2);
/// Consoles are a collection of their own from this minor version on.
const CONSOLES: u32 = 6;
/// Tags are there from this minor version on.
const TAGS: u32 = 26;

type Locked<'a> = std::sync::MutexGuard<'a, Model>;

/// 404 of a server.
fn no_instance(id: &str) -> Fault {
    Fault::new(StatusCode::NOT_FOUND, format!("Instance {id} could not be found."))
}

fn find<'m>(model: &'m Model, id: &str) -> Result<&'m Server, Fault> {
    model.servers.get(id).ok_or_else(|| no_instance(id))
}

fn find_mut<'m>(model: &'m mut Model, id: &str) -> Result<&'m mut Server, Fault> {
    model.servers.get_mut(id).ok_or_else(|| no_instance(id))
}

/// Answers a request.
pub fn answer(cloud: &Cloud, ask: &Ask<'_>) -> Answered {
    let mut model = cloud.model();
    match (ask.method, ask.path) {
        (_, ["flavors", rest @ ..]) => flavor::answer(cloud, &mut model, ask, rest),
        (_, ["os-keypairs", rest @ ..]) => keypair::answer(cloud, &mut model, ask, rest),
        (&Method::GET, ["servers"]) => list(cloud, &model, ask, false),
        (&Method::GET, ["servers", "detail"]) => list(cloud, &model, ask, true),
        (&Method::POST, ["servers"]) => create::create(cloud, model, ask),
        (&Method::GET, ["servers", id]) => {
            find(&model, id).map(|found| Reply::ok(json!({ "server": server::shown(cloud, &model, found, ask.minor) })))
        }
        (&Method::PUT, ["servers", id]) => change(cloud, &mut model, ask, id),
        (&Method::DELETE, ["servers", id]) => remove(cloud, model, id),
        (&Method::POST, ["servers", id, "action"]) => action::act(cloud, model, ask, id),
        (_, ["servers", id, "metadata", rest @ ..]) => {
            let server = find_mut(&mut model, id)?;
            metadata(&mut server.metadata, ask, rest)
        }
        (_, ["servers", id, "tags", rest @ ..]) if ask.minor >= TAGS => tags(&mut model, ask, id, rest),
        (_, ["servers", id, "os-volume_attachments", rest @ ..]) => attach::volumes(cloud, model, ask, id, rest),
        (_, ["servers", id, "os-interface", rest @ ..]) => attach::interfaces(cloud, model, ask, id, rest),
        (&Method::POST, ["servers", id, "remote-consoles"]) if ask.minor >= CONSOLES => {
            find(&model, id)?;
            let (protocol, kind) = (ask.text("/remote_console/protocol"), ask.text("/remote_console/type"));
            let url = format!("{}/console?token={id}", cloud.inner.address);
            Ok(Reply::ok(json!({ "remote_console": { "protocol": protocol, "type": kind, "url": url } })))
        }
        (&Method::GET, ["servers", id, rest @ ..]) => around::of_server(&model, ask, find(&model, id)?, rest),
        _ => around::answer(cloud, &mut model, ask),
    }
}

fn list(cloud: &Cloud, model: &Model, ask: &Ask<'_>, detail: bool) -> Answered {
    // Nova reads names and addresses as regular expressions; the database refuses what is none.
    let expression = |key: &str| {
        let asked = ask.asked(key).filter(|text| !text.is_empty());
        asked.map(|text| regex::Regex::new(text).map_err(|_| Fault::bad(format!("Invalid filter value: {key}")))).transpose()
    };
    let (name, address) = (expression("name")?, expression("ip")?);
    let addresses = |s: &Server| {
        let ports = s.ports.iter().filter_map(|port| model.ports.get(port));
        ports.flat_map(|port| port.addresses.iter().map(|(_, ip)| ip.to_string())).collect::<Vec<_>>()
    };
    let wanted = |s: &&&Server| {
        let same = |key: &str, value: &str| ask.asked(key).is_none_or(|asked| asked.is_empty() || asked == value);
        name.as_ref().is_none_or(|name| name.is_match(&s.name))
            && address.as_ref().is_none_or(|address| addresses(s).iter().any(|ip| address.is_match(ip)))
            && ask.asked("status").is_none_or(|status| status.eq_ignore_ascii_case(server::status(s)))
            && same("flavor", &s.flavor.id)
            && ask.asked("image").is_none_or(|image| s.image.as_deref() == Some(image))
            && same("uuid", &s.id)
            && ask.asked("key_name").is_none_or(|key| s.key.as_deref() == Some(key))
            && ask.asked("host").is_none_or(|host| host == server::HOST)
            && (ask.minor < TAGS || ask.asked("tags").is_none_or(|tags| tags.split(',').all(|tag| s.tags.iter().any(|t| t == tag))))
            && ask.asked("deleted").is_none_or(|deleted| !matches!(deleted, "True" | "true" | "1"))
            && ask.asked("changes-since").is_none_or(|since| since.parse().is_ok_and(|since: jiff::Timestamp| s.updated >= since))
    };
    let found = paging::youngest_first(model.servers.values(), |s| (s.created, &s.id));
    let whole = found.iter().filter(wanted).map(|s| server::shown(cloud, model, s, ask.minor)).collect();
    let brief = |s: Value| json!({ "id": s["id"], "name": s["name"], "links": s["links"] });
    paging::page(Service::Compute, &cloud.inner.address, "servers", whole, ask, |s| if detail { s } else { brief(s) })
}

fn change(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>, id: &str) -> Answered {
    let server = find_mut(model, id)?;
    let Some(wanted) = ask.body["server"].as_object() else { return Err(invalid("None", "'server' is a required property")) };
    for (key, value) in wanted {
        match (key.as_str(), value) {
            ("name", Value::String(name)) if !name.trim().is_empty() => name.trim().clone_into(&mut server.name),
            ("description", Value::String(text)) if ask.minor >= 19 => server.description = Some(text.clone()),
            ("description", Value::Null) if ask.minor >= 19 => server.description = None,
            ("accessIPv4" | "accessIPv6" | "OS-DCF:diskConfig" | "hostname", _) => {}
            ("name", _) => return Err(Fault::bad("Invalid input for field/attribute name. Value: . '' is too short")),
            (other, _) => return Err(unexpected("server", &ask.body["server"], other)),
        }
    }
    server.updated = cloud.inner.world.clock.moment();
    let server = find(model, id)?;
    Ok(Reply::ok(json!({ "server": server::shown(cloud, model, server, ask.minor) })))
}

/// 400 of a body that a schema does not allow.
fn invalid(value: &str, why: &str) -> Fault {
    Fault::bad(format!("Invalid input for field/attribute server. Value: {value}. {why}"))
}

/// 400 of a key that a schema does not have.
fn unexpected(field: &str, value: &Value, key: &str) -> Fault {
    Fault::bad(format!(
        "Invalid input for field/attribute {field}. Value: {value}. Additional properties are not allowed ('{key}' was unexpected)"
    ))
}

fn remove(cloud: &Cloud, mut model: Locked<'_>, id: &str) -> Answered {
    let now = cloud.inner.world.clock.moment();
    let server = find_mut(&mut model, id)?;
    if server.locked {
        // An administrator may.
        tracing::debug!(server = id, "a locked server is deleted");
    }
    server.task = Some("deleting");
    server.updated = now;
    drop(model);
    let id = id.to_owned();
    cloud.later(DELETE, move |cloud, model| {
        // Nova only asks for the deletion of volumes; they outlive their server by a moment.
        for volume in model.remove_server(&id) {
            cloud.later(VOLUME, move |_, model| model.remove_volume(&volume));
        }
    });
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// Metadata of whatever has some: read, merged, replaced, single ones.
pub fn metadata(own: &mut Map<String, Value>, ask: &Ask<'_>, rest: &[&str]) -> Answered {
    let texts = |wanted: &Map<String, Value>| match wanted.iter().find(|(_, value)| !value.is_string()) {
        Some((key, value)) => {
            Err(Fault::bad(format!("Invalid input for field/attribute {key}. Value: {value}. {value} is not of type 'string'")))
        }
        None => Ok(()),
    };
    let asked = || ask.body["metadata"].as_object().cloned().ok_or_else(|| Fault::bad("Malformed request body"));
    let no_key = |key: &str| Fault::new(StatusCode::NOT_FOUND, format!("Metadata item was not found: {key}"));
    match (ask.method, rest) {
        (&Method::GET, []) => Ok(Reply::ok(json!({ "metadata": own }))),
        (&Method::POST | &Method::PUT, []) => {
            let wanted = asked()?;
            texts(&wanted)?;
            if *ask.method == Method::PUT {
                own.clear();
            }
            own.extend(wanted);
            Ok(Reply::ok(json!({ "metadata": own })))
        }
        (&Method::GET, [key]) => own.get(*key).map(|value| Reply::ok(json!({ "meta": { *key: value } }))).ok_or_else(|| no_key(key)),
        (&Method::PUT, [key]) => {
            let wanted = ask.map("/meta");
            texts(&wanted)?;
            let Some(value) = wanted.get(*key) else { return Err(Fault::bad("Request body and URI mismatch")) };
            own.insert((*key).to_owned(), value.clone());
            Ok(Reply::ok(json!({ "meta": { *key: value } })))
        }
        (&Method::DELETE, [key]) => own.remove(*key).map(|_| Reply::empty(StatusCode::NO_CONTENT)).ok_or_else(|| no_key(key)),
        _ => Err(Fault::no_such_path()),
    }
}

fn tags(model: &mut Model, ask: &Ask<'_>, id: &str, rest: &[&str]) -> Answered {
    let server = find_mut(model, id)?;
    let no_tag = |tag: &str| Fault::new(StatusCode::NOT_FOUND, format!("Server {id} has no tag '{tag}'"));
    match (ask.method, rest) {
        (&Method::GET, []) => Ok(Reply::ok(json!({ "tags": server.tags }))),
        (&Method::PUT, []) => {
            let wanted = ask.body["tags"].as_array().cloned().unwrap_or_default();
            server.tags = wanted.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
            Ok(Reply::ok(json!({ "tags": server.tags })))
        }
        (&Method::DELETE, []) => {
            server.tags.clear();
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        }
        (&Method::GET, [tag]) if server.tags.iter().any(|own| own == tag) => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        (&Method::PUT, [tag]) => {
            let there = server.tags.iter().any(|own| own == tag);
            if !there {
                server.tags.push((*tag).to_owned());
            }
            Ok(Reply::empty(if there { StatusCode::NO_CONTENT } else { StatusCode::CREATED }))
        }
        (&Method::DELETE, [tag]) => {
            let before = server.tags.len();
            server.tags.retain(|own| own != tag);
            if server.tags.len() < before { Ok(Reply::empty(StatusCode::NO_CONTENT)) } else { Err(no_tag(tag)) }
        }
        (_, [tag]) => Err(no_tag(tag)),
        _ => Err(Fault::no_such_path()),
    }
}
