//! Pages of lists: order, `limit` and `marker`, and how each service says that there is more.

use std::cmp::Ordering;

use http::StatusCode;
use serde_json::{Value, json};

use super::reply::{Answered, Ask, Fault, Reply, Service};

/// Objects of a page at most, with all services that have pages.
const MOST: usize = 1000;
/// Objects of a page of Glance that nobody asked a number for.
const GLANCE_PAGE: usize = 25;

/// The page of a list that is asked for. `list` is whole, filtered and in the order that the service has by itself; `shape` makes
/// of an object what is shown of it.
pub fn page(
    service: Service,
    address: &str,
    member: &str,
    mut list: Vec<Value>,
    ask: &Ask<'_>,
    shape: impl Fn(Value) -> Value,
) -> Answered {
    sort(service, &mut list, ask);
    let default = match service {
        Service::Image => Some(GLANCE_PAGE),
        // Neutron has no pages unless a client wants them, Keystone none at all.
        Service::Network | Service::Identity => None,
        Service::Compute | Service::Volume => Some(MOST),
    };
    let asked = asked_limit(service, ask)?;
    let limit = match asked {
        // Zero says "as many as there are" everywhere but with Glance.
        Some(0) if service == Service::Image => Some(0),
        Some(0) | None => default,
        Some(limit) => Some(limit.min(MOST)),
    };
    if let Some(marker) = ask.asked("marker").filter(|marker| !marker.is_empty()) {
        let Some(at) = list.iter().position(|object| id_of(object) == marker) else { return Err(no_marker(service, member, marker)) };
        list.drain(..=at);
    }
    if let Some(limit) = limit {
        list.truncate(limit);
    }
    // A full page has a next one, though that may be empty.
    let full = limit.is_some_and(|limit| limit > 0 && list.len() == limit);
    let last = list.last().map(|object| id_of(object).to_owned()).unwrap_or_default();
    let first = list.first().map(|object| id_of(object).to_owned()).unwrap_or_default();
    let mut body = json!({ member: list.into_iter().map(shape).collect::<Vec<_>>() });
    let link = |marker: &str, more: &[(&str, &str)]| {
        let kept = ask.query.iter().filter(|(key, _)| !matches!(key.as_str(), "marker" | "page_reverse"));
        let pairs = kept.map(|(key, value)| (key.as_str(), value.as_str())).chain([("marker", marker)]).chain(more.iter().copied());
        let text = pairs.map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect::<Vec<_>>().join("&");
        format!("{}?{text}", ask.place)
    };
    match service {
        Service::Image => {
            let version = ask.place.find("/v2").map_or(ask.place, |at| &ask.place[at..]);
            let first = ask.query.iter().filter(|(key, _)| key != "marker");
            let query = first.map(|(key, value)| format!("{}={}", encoded(key), encoded(value))).collect::<Vec<_>>().join("&");
            body["first"] = json!(if query.is_empty() { version.to_owned() } else { format!("{version}?{query}") });
            body["schema"] = json!(format!("/v2/schemas/{member}"));
            if full {
                let next = link(&last, &[]);
                body["next"] = json!(next.find("/v2").map_or(next.as_str(), |at| &next[at..]));
            }
        }
        Service::Network if asked.is_some_and(|limit| limit > 0) => {
            let mut links = Vec::new();
            if full {
                links.push(json!({ "rel": "next", "href": format!("{address}{}", link(&last, &[])) }));
            }
            if !first.is_empty() {
                links.push(json!({ "rel": "previous", "href": format!("{address}{}", link(&first, &[("page_reverse", "True")])) }));
            }
            body[format!("{member}_links")] = json!(links);
        }
        Service::Compute | Service::Volume if full => {
            body[format!("{member}_links")] = json!([{ "rel": "next", "href": format!("{address}{}", link(&last, &[])) }]);
        }
        _ => {}
    }
    Ok(Reply::ok(body))
}

/// Objects are known by their id, flavors and key pairs of Nova inside their own object too.
fn id_of(object: &Value) -> &str {
    object["id"].as_str().or_else(|| object.pointer("/keypair/name")?.as_str()).unwrap_or_default()
}

fn asked_limit(service: Service, ask: &Ask<'_>) -> Result<Option<usize>, Fault> {
    let Some(limit) = ask.asked("limit").filter(|limit| !limit.is_empty()) else { return Ok(None) };
    match limit.parse::<usize>() {
        Ok(limit) => Ok(Some(limit)),
        Err(_) if service == Service::Compute => {
            Err(Fault::bad(format!("Invalid input for query parameters limit. Value: {limit}. '{limit}' does not match '^[0-9]*$'")))
        }
        Err(_) if service == Service::Image && limit.starts_with('-') => Err(Fault::bad("limit param must be positive")),
        Err(_) if service == Service::Network => {
            Err(Fault::bad(format!("Limit must be an integer 0 or greater and not '{limit}'")).called("BadRequest"))
        }
        Err(_) => Err(Fault::bad("limit param must be an integer")),
    }
}

/// Objects as Nova, Cinder and Glance list them: the youngest first.
pub fn youngest_first<'m, T>(found: impl Iterator<Item = &'m T>, key: impl Fn(&T) -> (jiff::Timestamp, &str)) -> Vec<&'m T> {
    let mut found: Vec<&T> = found.collect();
    found.sort_by(|a, b| key(b).cmp(&key(a)));
    found
}

fn no_marker(service: Service, member: &str, marker: &str) -> Fault {
    let one = member.trim_end_matches('s');
    match service {
        Service::Compute => Fault::bad(format!("marker [{marker}] not found")),
        Service::Image => Fault::bad(format!("No image found with ID {marker}")),
        Service::Volume => {
            let kind = one[..1].to_uppercase() + &one[1..];
            Fault::new(StatusCode::NOT_FOUND, format!("{kind} {marker} could not be found."))
        }
        Service::Network | Service::Identity => {
            Fault::new(StatusCode::NOT_FOUND, format!("{one} {marker} could not be found.")).called("NotFound")
        }
    }
}

/// Orders a list by `sort_key` and `sort_dir`, or by `sort=KEY:DIR,…`.
fn sort(service: Service, list: &mut [Value], ask: &Ask<'_>) {
    let mut keys: Vec<(String, bool)> = Vec::new();
    if let Some(sort) = ask.asked("sort") {
        for one in sort.split(',') {
            let (key, way) = one.split_once(':').unwrap_or((one, "desc"));
            keys.push((key.to_owned(), way == "desc"));
        }
    } else {
        let descends = if service == Service::Network { "asc" } else { "desc" };
        let ways: Vec<&str> = ask.query.iter().filter(|(key, _)| key == "sort_dir").map(|(_, value)| value.as_str()).collect();
        let asked = ask.query.iter().filter(|(key, _)| key == "sort_key");
        for (index, (_, key)) in asked.enumerate() {
            let way = ways.get(index).or(ways.first()).copied().unwrap_or(descends);
            keys.push((key.clone(), way == "desc"));
        }
    }
    list.sort_by(|a, b| {
        keys.iter().fold(Ordering::Equal, |so_far, (key, descends)| {
            so_far.then_with(|| {
                let order = compare(field(a, key), field(b, key));
                if *descends { order.reverse() } else { order }
            })
        })
    });
}

/// A field by the name that databases have for it.
fn field<'v>(object: &'v Value, key: &str) -> &'v Value {
    let shown = match key {
        "created_at" if object.get("created_at").is_none() => "created",
        "updated_at" if object.get("updated_at").is_none() => "updated",
        "display_name" => "name",
        "uuid" => "id",
        other => other,
    };
    &object[shown]
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.as_str().unwrap_or_default().cmp(b.as_str().unwrap_or_default()),
    }
}

/// A text in a query.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
