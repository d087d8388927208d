//! Neutron: networks, subnets, ports and security groups.

mod change;
mod shown;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Cloud,
    model::Model,
    paging,
    reply::{Answered, Ask, Content, Fault, Reply, Service},
};

/// A collection: as a path, one of its objects as a member of bodies, and what errors call one.
struct Collection {
    path: &'static str,
    one: &'static str,
    kind: &'static str,
    fault: &'static str,
}

const COLLECTIONS: &[Collection] = &[
    Collection { path: "networks", one: "network", kind: "Network", fault: "NetworkNotFound" },
    Collection { path: "subnets", one: "subnet", kind: "Subnet", fault: "SubnetNotFound" },
    Collection { path: "ports", one: "port", kind: "Port", fault: "PortNotFound" },
    Collection { path: "security-groups", one: "security_group", kind: "Security group", fault: "SecurityGroupNotFound" },
    Collection {
        path: "security-group-rules",
        one: "security_group_rule",
        kind: "Security group rule",
        fault: "SecurityGroupRuleNotFound",
    },
    Collection { path: "routers", one: "router", kind: "Router", fault: "RouterNotFound" },
    Collection { path: "floatingips", one: "floatingip", kind: "Floating IP", fault: "FloatingIPNotFound" },
    Collection { path: "subnetpools", one: "subnetpool", kind: "Subnet pool", fault: "SubnetPoolNotFound" },
    Collection { path: "address-scopes", one: "address_scope", kind: "Address scope", fault: "AddressScopeNotFound" },
    Collection { path: "rbac-policies", one: "rbac_policy", kind: "RBAC policy", fault: "RbacPolicyNotFound" },
    Collection { path: "trunks", one: "trunk", kind: "Trunk", fault: "TrunkNotFound" },
    Collection { path: "service-providers", one: "service_provider", kind: "Service provider", fault: "NotFound" },
    Collection { path: "network-ip-availabilities", one: "network_ip_availability", kind: "Network", fault: "NetworkNotFound" },
    Collection { path: "extensions", one: "extension", kind: "Extension with alias", fault: "ExtensionNotFound" },
    Collection { path: "agents", one: "agent", kind: "Agent", fault: "AgentNotFound" },
    Collection { path: "availability_zones", one: "availability_zone", kind: "AvailabilityZone", fault: "AvailabilityZoneNotFound" },
];

impl Collection {
    fn member(&self) -> String {
        self.path.replace('-', "_")
    }

    fn missing(&self, id: &str) -> Fault {
        let text = match self.one {
            "security_group" | "security_group_rule" => format!("{} {id} does not exist", self.kind),
            _ => format!("{} {id} could not be found.", self.kind),
        };
        Fault::new(StatusCode::NOT_FOUND, text).called(self.fault)
    }
}

/// Answers a request.
pub fn answer(cloud: &Cloud, ask: &Ask<'_>) -> Answered {
    let mut model = cloud.model();
    if let ["quotas", rest @ ..] = ask.path {
        return quotas(&model, ask, rest);
    }
    if ask.path == ["qos", "policies"] && *ask.method == Method::GET {
        return Ok(Reply::ok(json!({ "policies": [] })));
    }
    let Some(collection) = ask.path.first().and_then(|path| COLLECTIONS.iter().find(|c| c.path == *path)) else {
        return Err(Fault::no_such_path());
    };
    match (ask.method, &ask.path[1..]) {
        (&Method::GET, []) => {
            let list = shown::all(&model, collection.path).into_iter().filter(|object| fits(ask, object)).collect();
            let fields: Vec<&str> = ask.query.iter().filter(|(key, _)| key == "fields").map(|(_, value)| value.as_str()).collect();
            let shape = |object: Value| only(object, &fields);
            paging::page(Service::Network, &cloud.inner.address, &collection.member(), list, ask, shape)
        }
        (&Method::GET, [id]) => {
            let key = if collection.path == "extensions" { "alias" } else { "id" };
            let found = shown::all(&model, collection.path).into_iter().find(|object| object[key] == *id);
            let found = found.ok_or_else(|| collection.missing(id))?;
            let fields: Vec<&str> = ask.query.iter().filter(|(key, _)| key == "fields").map(|(_, value)| value.as_str()).collect();
            Ok(Reply::ok(json!({ collection.one: only(found, &fields) })))
        }
        (&Method::POST, []) => {
            // Several may be asked for at once; clients of a test do not.
            let id = change::create(&mut model, collection.path, &ask.body[collection.one])?;
            let mut reply = one(&model, collection, &id)?;
            reply.status = StatusCode::CREATED;
            Ok(reply)
        }
        (&Method::PUT, [id]) => {
            exists(&model, collection, id)?;
            change::update(&mut model, collection.path, id, &ask.body[collection.one])?;
            one(&model, collection, id)
        }
        (&Method::DELETE, [id]) => {
            exists(&model, collection, id)?;
            change::delete(&mut model, collection.path, id)?;
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        }
        _ => Err(Fault::no_such_path()),
    }
}

fn exists(model: &Model, collection: &Collection, id: &str) -> Result<(), Fault> {
    if shown::all(model, collection.path).iter().any(|object| object["id"] == id) { Ok(()) } else { Err(collection.missing(id)) }
}

fn one(model: &Model, collection: &Collection, id: &str) -> Answered {
    let found = shown::all(model, collection.path).into_iter().find(|object| object["id"] == id);
    found.map(|found| Reply::ok(json!({ collection.one: found }))).ok_or_else(|| collection.missing(id))
}

/// Filters of equality hold for every field, several values of one field as "or".
fn fits(ask: &Ask<'_>, object: &Value) -> bool {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let same = |field: &Value, wanted: &str| match field {
        Value::Bool(on) => wanted.to_lowercase() == on.to_string() || wanted == if *on { "1" } else { "0" },
        Value::Array(list) => list.iter().any(|one| {
            text(one) == wanted
                || text(&one["ip_address"]) == wanted.trim_start_matches("ip_address=")
                || text(&one["subnet_id"]) == wanted.trim_start_matches("subnet_id=")
        }),
        other => text(other) == wanted,
    };
    let mut keys = ask.query.iter().map(|(key, _)| key.as_str()).filter(|key| object.get(*key).is_some());
    keys.all(|key| ask.query.iter().filter(|(other, _)| other == key).any(|(_, wanted)| same(&object[key], wanted)))
}

fn only(object: Value, fields: &[&str]) -> Value {
    match object {
        Value::Object(all) if !fields.is_empty() => all.into_iter().filter(|(key, _)| fields.contains(&key.as_str())).collect(),
        whole => whole,
    }
}

fn quotas(model: &Model, ask: &Ask<'_>, rest: &[&str]) -> Answered {
    if *ask.method != Method::GET {
        return Err(Fault::forbidden("The lab's quotas are as they are.").called("PolicyNotAuthorized"));
    }
    let mut quota = json!({});
    let used = [
        ("network", model.networks.len()),
        ("subnet", model.subnets.len()),
        ("port", model.ports.len()),
        ("security_group", model.groups.len()),
        ("security_group_rule", model.groups.iter().map(|g| g.rules.len()).sum()),
        ("router", 0),
        ("floatingip", 0),
        ("subnetpool", 0),
        ("rbac_policy", 0),
    ];
    for (name, used) in used {
        quota[name] = if rest.last() == Some(&"details.json") || rest.last() == Some(&"details") {
            json!({ "limit": -1, "used": used, "reserved": 0 })
        } else {
            json!(-1)
        };
    }
    if rest.is_empty() {
        return Ok(Reply { content: Content::Json(json!({ "quotas": [] })), ..Reply::empty(StatusCode::OK) });
    }
    Ok(Reply::ok(json!({ "quota": quota })))
}
