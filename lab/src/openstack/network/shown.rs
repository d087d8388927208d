//! Objects of the network as Neutron shows them.

use serde_json::{Value, json};

use super::super::{
    model::{Model, Network, Port, SecurityGroup, Subnet},
    reply::time,
};

/// Extensions by alias and name, as far as clients look for them.
const EXTENSIONS: &[(&str, &str)] = &[
    ("security-group", "security-group"),
    ("port-security", "Port Security"),
    ("provider", "Provider Network"),
    ("external-net", "Neutron external network"),
    ("binding", "Port Binding"),
    ("standard-attr-timestamp", "Resource timestamps"),
    ("sorting", "Sorting support"),
    ("pagination", "Pagination support"),
    ("project-id", "project_id field enabled"),
    ("net-mtu", "Network MTU"),
    ("quotas", "Quota management support"),
    ("allowed-address-pairs", "Allowed Address Pairs"),
    ("standard-attr-description", "standard-attr-description"),
];

/// All objects of a collection, in the order in which they were made.
pub fn all(model: &Model, collection: &str) -> Vec<Value> {
    match collection {
        "networks" => model.networks.iter().map(|n| network(model, n)).collect(),
        "subnets" => model.subnets.iter().map(|s| subnet(model, s)).collect(),
        "ports" => model.ports.values().map(|p| port(model, p)).collect(),
        "security-groups" => model.groups.iter().map(|g| group(model, g)).collect(),
        "security-group-rules" => model.groups.iter().flat_map(|g| rules(model, g)).collect(),
        "extensions" => EXTENSIONS
            .iter()
            .map(|(alias, name)| json!({ "alias": alias, "name": name, "description": name, "updated": "2020-01-01T00:00:00-00:00", "links": [] }))
            .collect(),
        "availability_zones" => vec![json!({ "name": "nova", "resource": "network", "state": "available" })],
        _ => Vec::new(),
    }
}

fn network(model: &Model, network: &Network) -> Value {
    let subnets: Vec<&str> = model.subnets.iter().filter(|s| s.network == network.id).map(|s| s.id.as_str()).collect();
    json!({
        "id": network.id, "name": network.name, "description": network.description, "status": "ACTIVE", "admin_state_up": network.up,
        "shared": network.shared, "subnets": subnets, "tenant_id": model.project, "project_id": model.project, "router:external": network.external,
        "mtu": 1450, "port_security_enabled": true, "provider:network_type": "vxlan", "provider:physical_network": null,
        "provider:segmentation_id": network.segment, "availability_zones": ["nova"], "availability_zone_hints": [], "ipv4_address_scope": null,
        "ipv6_address_scope": null, "qos_policy_id": null, "is_default": false, "dns_domain": "", "l2_adjacency": true, "tags": [],
        "revision_number": 1, "created_at": time(network.created), "updated_at": time(network.created),
    })
}

fn subnet(model: &Model, subnet: &Subnet) -> Value {
    let (first, last) = subnet.pool();
    json!({
        "id": subnet.id, "name": subnet.name, "description": subnet.description, "network_id": subnet.network,
        "cidr": format!("{}/{}", subnet.base, subnet.prefix), "ip_version": 4, "gateway_ip": subnet.gateway.map(|ip| ip.to_string()),
        "enable_dhcp": subnet.dhcp, "dns_nameservers": subnet.dns, "host_routes": [], "service_types": [], "subnetpool_id": null,
        "ipv6_address_mode": null, "ipv6_ra_mode": null, "segment_id": null, "dns_publish_fixed_ip": false, "tenant_id": model.project,
        "project_id": model.project, "allocation_pools": [{ "start": first.to_string(), "end": last.to_string() }], "tags": [],
        "revision_number": 1, "created_at": time(subnet.created), "updated_at": time(subnet.created),
    })
}

fn port(model: &Model, port: &Port) -> Value {
    let fixed: Vec<Value> =
        port.addresses.iter().map(|(subnet, ip)| json!({ "subnet_id": subnet, "ip_address": ip.to_string() })).collect();
    let used = !port.device.is_empty();
    let running = model.servers.get(&port.device).is_some_and(|server| server.status != "SHUTOFF");
    json!({
        "id": port.id, "name": port.name, "description": port.description, "network_id": port.network, "device_id": port.device,
        "device_owner": if used { "compute:nova" } else { "" }, "mac_address": port.mac, "fixed_ips": fixed,
        "status": if running { "ACTIVE" } else { "DOWN" }, "admin_state_up": port.up, "tenant_id": model.project, "project_id": model.project,
        "security_groups": port.groups, "port_security_enabled": port.secure, "allowed_address_pairs": [], "extra_dhcp_opts": [],
        "binding:host_id": if used { super::super::compute::HOST } else { "" }, "binding:vnic_type": "normal", "binding:profile": {},
        "binding:vif_type": if used { "ovs" } else { "unbound" }, "binding:vif_details": {}, "dns_name": "", "dns_assignment": [],
        "qos_policy_id": null, "tags": [], "revision_number": 1, "created_at": time(port.created), "updated_at": time(port.created),
    })
}

fn group(model: &Model, group: &SecurityGroup) -> Value {
    json!({
        "id": group.id, "name": group.name, "description": group.description, "stateful": true, "shared": false, "tenant_id": model.project,
        "project_id": model.project, "security_group_rules": rules(model, group), "tags": [], "revision_number": 1,
        "created_at": time(group.created), "updated_at": time(group.created),
    })
}

fn rules(model: &Model, group: &SecurityGroup) -> Vec<Value> {
    let rule = |(id, said): (&String, &serde_json::Map<String, Value>)| {
        let mut out = json!({
            "id": id, "security_group_id": group.id, "direction": "ingress", "ethertype": "IPv4", "protocol": null, "port_range_min": null,
            "port_range_max": null, "remote_ip_prefix": null, "remote_group_id": null, "remote_address_group_id": null, "description": "",
            "tenant_id": model.project, "project_id": model.project, "revision_number": 0, "created_at": time(group.created),
            "updated_at": time(group.created), "normalized_cidr": null,
        });
        if let Value::Object(out) = &mut out {
            out.extend(said.clone());
        }
        out
    };
    group.rules.iter().map(rule).collect()
}
