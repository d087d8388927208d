//! Creating, changing and deleting objects of the network.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde_json::{Map, Value, json};

use super::super::{
    model::{Model, Network, Port, SecurityGroup, Subnet},
    reply::Fault,
};

fn bad(text: impl Into<String>) -> Fault {
    Fault::bad(text).called("HTTPBadRequest")
}

fn text(body: &Value, key: &str) -> String {
    body[key].as_str().unwrap_or_default().to_owned()
}

fn flag(body: &Value, key: &str, otherwise: bool) -> bool {
    body[key].as_bool().unwrap_or(otherwise)
}

/// Creates an object; its id.
pub fn create(model: &mut Model, collection: &str, body: &Value) -> Result<String, Fault> {
    if !body.is_object() {
        return Err(bad(format!("Unable to find '{}' in request body", collection.trim_end_matches('s'))));
    }
    match collection {
        "networks" => {
            let (id, created) = (model.id(), model.now());
            let segment = model.networks.iter().map(|n| n.segment).max().unwrap_or_default() + 1;
            model.networks.push(Network {
                id: id.clone(),
                name: text(body, "name"),
                description: text(body, "description"),
                shared: flag(body, "shared", false),
                external: flag(body, "router:external", false),
                up: flag(body, "admin_state_up", true),
                segment,
                created,
            });
            Ok(id)
        }
        "subnets" => subnet(model, body),
        "ports" => port(model, body),
        "security-groups" => {
            let (id, created) = (model.id(), model.now());
            let mut rules = BTreeMap::new();
            for ethertype in ["IPv4", "IPv6"] {
                let rule = Map::from_iter([("direction".to_owned(), json!("egress")), ("ethertype".to_owned(), json!(ethertype))]);
                rules.insert(model.id(), rule);
            }
            let group = SecurityGroup { id: id.clone(), name: text(body, "name"), description: text(body, "description"), rules, created };
            model.groups.push(group);
            Ok(id)
        }
        "security-group-rules" => rule(model, body),
        other => {
            Err(Fault::new(http::StatusCode::NOT_IMPLEMENTED, format!("The lab's network makes no {other}.")).called("NotImplemented"))
        }
    }
}

fn no_network(id: &str) -> Fault {
    Fault::new(http::StatusCode::NOT_FOUND, format!("Network {id} could not be found.")).called("NetworkNotFound")
}

fn subnet(model: &mut Model, body: &Value) -> Result<String, Fault> {
    let network = text(body, "network_id");
    if !model.networks.iter().any(|n| n.id == network) {
        return Err(no_network(&network));
    }
    if body["ip_version"] == 6 {
        return Err(bad("Invalid input for ip_version. Reason: the lab's networks have IPv4 only."));
    }
    let cidr = text(body, "cidr");
    let parsed = cidr
        .split_once('/')
        .and_then(|(base, prefix)| Some((base.parse::<Ipv4Addr>().ok()?, prefix.parse::<u8>().ok().filter(|p| *p <= 32)?)));
    let (base, prefix) = parsed.ok_or_else(|| bad(format!("Invalid input for cidr. Reason: '{cidr}' is not a valid IP subnet.")))?;
    let (id, created) = (model.id(), model.now());
    let mut made = Subnet {
        id: id.clone(),
        name: text(body, "name"),
        description: text(body, "description"),
        network: network.clone(),
        base,
        prefix,
        gateway: None,
        dhcp: flag(body, "enable_dhcp", true),
        dns: body["dns_nameservers"].as_array().into_iter().flatten().filter_map(|ip| ip.as_str().map(str::to_owned)).collect(),
        created,
    };
    let same = |other: &&Subnet| other.network == network && (other.has(made.base) || made.has(other.base));
    if let Some(other) = model.subnets.iter().find(same) {
        return Err(bad(format!(
            "Invalid input for operation: Requested subnet with cidr: {cidr} for network: {network} overlaps with another subnet {}/{}.",
            other.base, other.prefix
        )));
    }
    made.gateway = match &body["gateway_ip"] {
        Value::String(ip) => ip.parse().ok(),
        Value::Null if body.get("gateway_ip").is_some() => None,
        _ => Some(made.address(1)),
    };
    model.subnets.push(made);
    Ok(id)
}

fn port(model: &mut Model, body: &Value) -> Result<String, Fault> {
    let network = text(body, "network_id");
    if !model.networks.iter().any(|n| n.id == network) {
        return Err(no_network(&network));
    }
    let wanted = body.pointer("/fixed_ips/0/ip_address").and_then(Value::as_str).and_then(|ip| ip.parse().ok());
    let device = text(body, "device_id");
    let id = model.port(&network, &device, wanted).ok_or_else(|| match wanted {
        Some(ip) => Fault::conflict(format!("IP address {ip} already allocated in subnet")).called("IpAddressAlreadyAllocated"),
        None => Fault::conflict(format!("No more IP addresses available on network {network}.")).called("IpAddressGenerationFailure"),
    })?;
    if let Some(port) = model.ports.get_mut(&id) {
        port.of_server = false;
        let mac = text(body, "mac_address");
        if !mac.is_empty() {
            port.mac = mac.to_lowercase();
        }
    }
    update(model, "ports", &id, body)?;
    Ok(id)
}

fn rule(model: &mut Model, body: &Value) -> Result<String, Fault> {
    let (id, group) = (model.id(), text(body, "security_group_id"));
    let found = model.groups.iter_mut().find(|own| own.id == group);
    let found = found.ok_or_else(|| {
        Fault::new(http::StatusCode::NOT_FOUND, format!("Security group {group} does not exist")).called("SecurityGroupNotFound")
    })?;
    if !matches!(body["direction"].as_str(), Some("ingress" | "egress")) {
        return Err(bad("Invalid input for direction. Reason: must be one of ['ingress', 'egress']."));
    }
    let mut said = body.as_object().cloned().unwrap_or_default();
    for own in ["security_group_id", "tenant_id", "project_id"] {
        said.remove(own);
    }
    if let Some((same, _)) = found.rules.iter().find(|(_, other)| **other == said) {
        return Err(Fault::conflict(format!("Security group rule already exists. Rule id is {same}.")).called("SecurityGroupRuleExists"));
    }
    found.rules.insert(id.clone(), said);
    Ok(id)
}

/// Changes an object that is there.
pub fn update(model: &mut Model, collection: &str, id: &str, body: &Value) -> Result<(), Fault> {
    let said = |key: &str, own: &mut String| {
        if let Some(text) = body[key].as_str() {
            text.clone_into(own);
        }
    };
    match collection {
        "networks" => {
            let Some(own) = model.networks.iter_mut().find(|own| own.id == id) else { return Ok(()) };
            said("name", &mut own.name);
            said("description", &mut own.description);
            own.shared = flag(body, "shared", own.shared);
            own.external = flag(body, "router:external", own.external);
            own.up = flag(body, "admin_state_up", own.up);
        }
        "subnets" => {
            let Some(own) = model.subnets.iter_mut().find(|own| own.id == id) else { return Ok(()) };
            said("name", &mut own.name);
            said("description", &mut own.description);
            own.dhcp = flag(body, "enable_dhcp", own.dhcp);
            if let Some(dns) = body["dns_nameservers"].as_array() {
                own.dns = dns.iter().filter_map(|ip| ip.as_str().map(str::to_owned)).collect();
            }
        }
        "ports" => {
            let groups = body["security_groups"]
                .as_array()
                .map(|ids| ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect::<Vec<_>>());
            let unknown = groups.iter().flatten().find(|id| !model.groups.iter().any(|group| group.id == **id));
            if let Some(unknown) = unknown {
                return Err(Fault::new(http::StatusCode::NOT_FOUND, format!("Security group {unknown} does not exist"))
                    .called("SecurityGroupNotFound"));
            }
            let Some(own) = model.ports.get_mut(id) else { return Ok(()) };
            said("name", &mut own.name);
            said("description", &mut own.description);
            said("device_id", &mut own.device);
            own.up = flag(body, "admin_state_up", own.up);
            own.secure = flag(body, "port_security_enabled", own.secure);
            if let Some(groups) = groups {
                own.groups = groups;
            }
            if !own.secure {
                own.groups.clear();
            }
        }
        "security-groups" => {
            let Some(own) = model.groups.iter_mut().find(|own| own.id == id) else { return Ok(()) };
            if own.name == "default" && body["name"].as_str().is_some_and(|name| name != "default") {
                return Err(Fault::conflict("Updating default security group not allowed.").called("SecurityGroupCannotUpdateDefault"));
            }
            said("name", &mut own.name);
            said("description", &mut own.description);
        }
        _ => return Err(bad("This cannot be changed.")),
    }
    Ok(())
}

/// Deletes an object that is there.
pub fn delete(model: &mut Model, collection: &str, id: &str) -> Result<(), Fault> {
    match collection {
        "networks" => {
            if let Some(port) = model.ports.values().find(|port: &&Port| port.network == id) {
                let text = format!(
                    "Unable to complete operation on network {id}. There are one or more ports still in use on the network, id for these ports is: {}.",
                    port.id
                );
                return Err(Fault::conflict(text).called("NetworkInUse"));
            }
            model.subnets.retain(|subnet| subnet.network != id);
            model.networks.retain(|network| network.id != id);
        }
        "subnets" => {
            if model.ports.values().any(|port| port.addresses.iter().any(|(subnet, _)| subnet == id)) {
                let text =
                    format!("Unable to complete operation on subnet {id}: One or more ports have an IP allocation from this subnet.");
                return Err(Fault::conflict(text).called("SubnetInUse"));
            }
            model.subnets.retain(|subnet| subnet.id != id);
        }
        "ports" => {
            if let Some(port) = model.ports.remove(id)
                && let Some(server) = model.servers.get_mut(&port.device)
            {
                server.ports.retain(|own| own != id);
            }
        }
        "security-groups" => {
            if model.groups.iter().any(|group| group.id == id && group.name == "default") {
                let text = "Insufficient rights for removing default security group.";
                return Err(Fault::forbidden(text).called("SecurityGroupCannotRemoveDefault"));
            }
            if model.ports.values().any(|port| port.groups.iter().any(|group| group == id)) {
                return Err(Fault::conflict(format!("Security Group {id} in use.")).called("SecurityGroupInUse"));
            }
            model.groups.retain(|group| group.id != id);
        }
        "security-group-rules" => {
            for group in &mut model.groups {
                group.rules.remove(id);
            }
        }
        _ => {}
    }
    Ok(())
}
