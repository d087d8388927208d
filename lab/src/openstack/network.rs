//! Neutron: networks, subnets and ports.

use http::Method;
use serde_json::{Value, json};

use super::{
    Cloud,
    model::{Model, Network, Port},
    reply::{Ask, Reply, time},
};

fn network(model: &Model, network: &Network) -> Value {
    json!({
        "id": network.id, "name": network.name, "status": "ACTIVE", "admin_state_up": true, "shared": false, "subnets": [network.subnet],
        "tenant_id": model.project, "project_id": model.project, "router:external": false, "mtu": 1450, "port_security_enabled": true,
        "provider:network_type": "vxlan", "provider:segmentation_id": network.number, "availability_zones": ["nova"], "description": "", "tags": [],
    })
}

fn subnet(model: &Model, network: &Network) -> Value {
    let n = network.number;
    json!({
        "id": network.subnet, "name": format!("{}-subnet", network.name), "network_id": network.id, "cidr": format!("10.40.{n}.0/24"), "ip_version": 4,
        "gateway_ip": format!("10.40.{n}.1"), "enable_dhcp": true, "dns_nameservers": [], "tenant_id": model.project, "project_id": model.project,
        "allocation_pools": [{ "start": format!("10.40.{n}.2"), "end": format!("10.40.{n}.254") }], "host_routes": [],
    })
}

fn port(model: &Model, port: &Port) -> Value {
    let subnet = model.networks.iter().find(|n| n.id == port.network).map(|n| n.subnet.clone());
    json!({
        "id": port.id, "name": "", "network_id": port.network, "device_id": port.server, "device_owner": "compute:nova", "mac_address": port.mac,
        "fixed_ips": [{ "subnet_id": subnet, "ip_address": port.address }], "status": "ACTIVE", "admin_state_up": true,
        "tenant_id": model.project, "project_id": model.project, "security_groups": [], "created_at": time(port.created),
    })
}

/// Answers a request. Filters of equality hold for every field, several values of one field as "or".
pub fn answer(cloud: &Cloud, ask: &Ask<'_>, pairs: &[(String, String)]) -> Reply {
    let model = cloud.model();
    let fits = |object: &Value| {
        pairs.iter().filter(|(key, _)| object.get(key).is_some()).all(|(key, _)| {
            pairs
                .iter()
                .any(|(other, value)| other == key && object[key].as_str().map_or_else(|| object[key].to_string(), str::to_owned) == *value)
        })
    };
    let all = |kind: &str| -> Option<Vec<Value>> {
        Some(match kind {
            "networks" => model.networks.iter().map(|n| network(&model, n)).collect(),
            "subnets" => model.networks.iter().map(|n| subnet(&model, n)).collect(),
            "ports" => model.ports.values().map(|p| port(&model, p)).collect(),
            "security-groups" | "routers" | "floatingips" | "agents" | "extensions" => Vec::new(),
            _ => return None,
        })
    };
    match (ask.method, ask.path) {
        (&Method::GET, [kind]) => match all(kind) {
            Some(list) => Reply::ok(json!({ kind.replace('-', "_"): list.into_iter().filter(|o| fits(o)).collect::<Vec<_>>() })),
            None => Reply::missing("Resource", kind),
        },
        (&Method::GET, [kind, id]) => match all(kind).unwrap_or_default().into_iter().find(|o| o["id"] == *id) {
            Some(found) => Reply::ok(json!({ kind.trim_end_matches('s').replace('-', "_"): found })),
            None => missing(kind, id),
        },
        _ => Reply::missing("Resource", &ask.path.join("/")),
    }
}

fn missing(kind: &str, id: &str) -> Reply {
    let text = format!("{} {id} could not be found.", kind.trim_end_matches('s'));
    Reply { status: http::StatusCode::NOT_FOUND, body: json!({ "NeutronError": { "type": "NotFound", "message": text, "detail": "" } }) }
}
