//! What is around servers: zones, hosts, limits, groups, and what was done to a server.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    super::{
        Cloud,
        identity::USER,
        model::{Model, Server, ServerGroup},
        paging,
        reply::{Answered, Ask, Fault, Reply, Service},
    },
    server::{self, HOST},
};
use crate::vsphere::model::uuid;

/// The release of the hypervisor that is played, and its host's size.
const QEMU: u64 = 6_000_000;
const CPUS: u64 = 64;
const MEMORY_MIB: u64 = 262_144;
const DISK_GIB: u64 = 4096;

/// Reads below one server.
pub fn of_server(model: &Model, ask: &Ask<'_>, found: &Server, rest: &[&str]) -> Answered {
    let action = |(request, action, at): &(String, &str, jiff::Timestamp)| {
        let at = at.strftime("%Y-%m-%dT%H:%M:%S%.6f").to_string();
        let mut out = json!({
            "action": action, "instance_uuid": found.id, "request_id": request, "user_id": USER, "project_id": model.project,
            "start_time": at, "message": null,
        });
        if ask.minor >= 58 {
            out["updated_at"] = json!(at);
        }
        out
    };
    match rest {
        ["ips"] => Ok(Reply::ok(json!({ "addresses": server::addresses(model, found) }))),
        ["ips", network] => match server::addresses(model, found).remove(*network) {
            Some(list) => Ok(Reply::ok(json!({ *network: list }))),
            None => Err(Fault::new(StatusCode::NOT_FOUND, "Instance is not a member of specified network")),
        },
        ["os-instance-actions"] => {
            let all: Vec<Value> = found.actions.iter().rev().map(action).collect();
            Ok(Reply::ok(json!({ "instanceActions": all })))
        }
        ["os-instance-actions", request] => match found.actions.iter().find(|one| one.0 == *request) {
            Some(one) => {
                let mut out = action(one);
                let event = json!({ "event": format!("compute_{}_instance", one.1), "start_time": out["start_time"], "finish_time": out["start_time"], "result": "Success", "traceback": null });
                out["events"] = json!([event]);
                Ok(Reply::ok(json!({ "instanceAction": out })))
            }
            None => Err(Fault::new(StatusCode::NOT_FOUND, format!("Action for request_id {request} on instance {} not found", found.id))),
        },
        ["os-security-groups"] => {
            let mut ids: Vec<&String> = found.ports.iter().filter_map(|port| model.ports.get(port)).flat_map(|port| &port.groups).collect();
            ids.sort();
            ids.dedup();
            let groups = model.groups.iter().filter(|group| ids.contains(&&group.id));
            let all: Vec<Value> = groups
                .map(|group| json!({ "id": group.id, "name": group.name, "description": group.description, "tenant_id": model.project, "rules": [] }))
                .collect();
            Ok(Reply::ok(json!({ "security_groups": all })))
        }
        ["diagnostics"] if found.status != "ACTIVE" => {
            Err(Fault::conflict(format!("Cannot 'get_diagnostics' instance {} while it is in power state", found.id)))
        }
        _ => Err(Fault::no_such_path()),
    }
}

fn group(model: &Model, group: &ServerGroup, minor: u32) -> Value {
    let mut out = json!({ "id": group.id, "name": group.name, "members": group.members });
    if minor < 64 {
        out["policies"] = json!([group.policy]);
        out["metadata"] = json!({});
    } else {
        out["policy"] = json!(group.policy);
        out["rules"] = json!({});
    }
    if minor >= 13 {
        out["project_id"] = json!(model.project);
        out["user_id"] = json!(USER);
    }
    out
}

/// Everything that concerns no single server.
pub fn answer(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>) -> Answered {
    let hypervisor_id = if ask.minor >= 53 { json!(uuid(0x10, HOST)) } else { json!(1) };
    match (ask.method, ask.path) {
        (&Method::GET, ["os-availability-zone", rest @ ..]) => {
            let service = |name: &str| json!({ name: { "available": true, "active": true, "updated_at": "2026-01-01T00:00:00.000000" } });
            let detail = !rest.is_empty();
            let zone = |name: &str, hosts: Value| json!({ "zoneName": name, "zoneState": { "available": true }, "hosts": if detail { hosts } else { Value::Null } });
            let mut zones = vec![zone("nova", json!({ HOST: service("nova-compute") }))];
            if detail {
                zones.insert(0, zone("internal", json!({ "controller.lab": service("nova-scheduler") })));
            }
            Ok(Reply::ok(json!({ "availabilityZoneInfo": zones })))
        }
        (&Method::GET, ["os-hypervisors", rest @ ..]) => hypervisors(cloud, model, ask, rest, &hypervisor_id),
        (&Method::GET, ["os-services"]) => {
            let service = |id: u64, binary: &str, host: &str, zone: &str| {
                json!({ "id": if ask.minor >= 53 { json!(uuid(0x10, binary)) } else { json!(id) }, "binary": binary, "host": host, "zone": zone,
                    "status": "enabled", "state": "up", "disabled_reason": null, "forced_down": false, "updated_at": "2026-01-01T00:00:00.000000" })
            };
            let all = json!([
                service(1, "nova-scheduler", "controller.lab", "internal"),
                service(2, "nova-conductor", "controller.lab", "internal"),
                service(3, "nova-compute", HOST, "nova"),
            ]);
            Ok(Reply::ok(json!({ "services": all })))
        }
        (&Method::GET, ["os-aggregates"]) => Ok(Reply::ok(json!({ "aggregates": [] }))),
        (&Method::GET, ["os-migrations"]) => Ok(Reply::ok(json!({ "migrations": [] }))),
        (&Method::GET, ["extensions"]) => Ok(Reply::ok(json!({ "extensions": [] }))),
        (&Method::GET, ["limits"]) => {
            let used = |of: &dyn Fn(&Server) -> u64| model.servers.values().map(of).sum::<u64>();
            let absolute = json!({
                "maxTotalInstances": -1, "maxTotalCores": -1, "maxTotalRAMSize": -1, "maxTotalKeypairs": 100, "maxServerMeta": 128,
                "maxServerGroups": 10, "maxServerGroupMembers": 10, "maxImageMeta": 128,
                "totalInstancesUsed": model.servers.len(), "totalCoresUsed": used(&|s| s.flavor.vcpus), "totalRAMUsed": used(&|s| s.flavor.ram),
                "totalServerGroupsUsed": model.server_groups.len(),
            });
            Ok(Reply::ok(json!({ "limits": { "rate": [], "absolute": absolute } })))
        }
        (&Method::GET, ["os-quota-sets", project, rest @ ..]) => {
            let limits = [
                ("instances", -1),
                ("cores", -1),
                ("ram", -1),
                ("metadata_items", 128),
                ("key_pairs", 100),
                ("server_groups", 10),
                ("server_group_members", 10),
                ("fixed_ips", -1),
                ("floating_ips", -1),
                ("security_groups", -1),
                ("security_group_rules", -1),
                ("injected_files", 5),
                ("injected_file_content_bytes", 10_240),
                ("injected_file_path_bytes", 255),
            ];
            let mut set = json!({ "id": project });
            for (name, limit) in limits {
                let used = match name {
                    "instances" => model.servers.len() as u64,
                    "cores" => model.servers.values().map(|s| s.flavor.vcpus).sum(),
                    "ram" => model.servers.values().map(|s| s.flavor.ram).sum(),
                    _ => 0,
                };
                set[name] = if rest == ["detail"] { json!({ "limit": limit, "in_use": used, "reserved": 0 }) } else { json!(limit) };
            }
            Ok(Reply::ok(json!({ "quota_set": set })))
        }
        // Nobody counts hours here.
        (&Method::GET, ["os-simple-tenant-usage"]) => Ok(Reply::ok(json!({ "tenant_usages": [] }))),
        (&Method::GET, ["os-simple-tenant-usage", project]) => Ok(Reply::ok(json!({ "tenant_usage": {
            "tenant_id": project, "total_hours": 0.0, "total_memory_mb_usage": 0.0, "total_vcpus_usage": 0.0, "total_local_gb_usage": 0.0,
            "start": ask.asked("start"), "stop": ask.asked("end"), "server_usages": [],
        } }))),
        (&Method::GET, ["os-hosts"]) => Ok(Reply::ok(json!({ "hosts": [{ "host_name": HOST, "service": "compute", "zone": "nova" }] }))),
        (_, ["os-server-groups", rest @ ..]) => groups(cloud, model, ask, rest),
        _ => Err(Fault::no_such_path()),
    }
}

fn hypervisors(cloud: &Cloud, model: &Model, ask: &Ask<'_>, rest: &[&str], id: &Value) -> Answered {
    let running: Vec<&Server> = model.servers.values().collect();
    let used = |of: &dyn Fn(&Server) -> u64| running.iter().map(|s| of(s)).sum::<u64>();
    let brief = json!({ "id": id, "hypervisor_hostname": HOST, "state": "up", "status": "enabled" });
    let mut whole = brief.clone();
    let more = json!({
        "hypervisor_type": "QEMU", "hypervisor_version": QEMU, "host_ip": "127.0.0.1",
        "service": { "id": id, "host": HOST, "disabled_reason": null },
    });
    let sizes = json!({
        "vcpus": CPUS, "vcpus_used": used(&|s| s.flavor.vcpus), "memory_mb": MEMORY_MIB, "memory_mb_used": used(&|s| s.flavor.ram),
        "free_ram_mb": MEMORY_MIB.saturating_sub(used(&|s| s.flavor.ram)), "local_gb": DISK_GIB, "local_gb_used": used(&|s| s.flavor.disk),
        "free_disk_gb": DISK_GIB.saturating_sub(used(&|s| s.flavor.disk)), "disk_available_least": DISK_GIB, "running_vms": running.len(),
        "current_workload": 0, "cpu_info": {},
    });
    // Sizes moved to another service with 2.88.
    for part in [Some(&more), (ask.minor < 88).then_some(&sizes)].into_iter().flatten() {
        if let (Value::Object(whole), Value::Object(part)) = (&mut whole, part.clone()) {
            whole.extend(part);
        }
    }
    if ask.minor >= 88 {
        whole["uptime"] = Value::Null;
    }
    let named = ask.asked("hypervisor_hostname_pattern").is_none_or(|pattern| HOST.contains(pattern));
    match rest {
        [] | ["detail"] if !named => Err(Fault::new(StatusCode::NOT_FOUND, "No hypervisor matching the pattern could be found.")),
        [] => paging::page(Service::Compute, &cloud.inner.address, "hypervisors", vec![brief], ask, |one| one),
        ["detail"] => paging::page(Service::Compute, &cloud.inner.address, "hypervisors", vec![whole], ask, |one| one),
        ["statistics"] if ask.minor < 88 => {
            let mut sum = sizes;
            sum["count"] = json!(1);
            Ok(Reply::ok(json!({ "hypervisor_statistics": sum })))
        }
        [asked] if id.as_str().map_or_else(|| id.to_string(), str::to_owned) == *asked => Ok(Reply::ok(json!({ "hypervisor": whole }))),
        [asked, ..] => Err(Fault::new(StatusCode::NOT_FOUND, format!("Hypervisor with ID '{asked}' could not be found."))),
    }
}

fn groups(cloud: &Cloud, model: &mut Model, ask: &Ask<'_>, rest: &[&str]) -> Answered {
    let missing = |id: &str| Fault::new(StatusCode::NOT_FOUND, format!("Instance group {id} could not be found."));
    match (ask.method, rest) {
        (&Method::GET, []) => {
            let all = model.server_groups.iter().map(|own| group(model, own, ask.minor)).collect();
            paging::page(Service::Compute, &cloud.inner.address, "server_groups", all, ask, |one| one)
        }
        (&Method::POST, []) => {
            let name = ask.text("/server_group/name").to_owned();
            let policy = if ask.minor < 64 { ask.text("/server_group/policies/0") } else { ask.text("/server_group/policy") }.to_owned();
            if name.is_empty() || !["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"].contains(&policy.as_str()) {
                return Err(Fault::bad(format!("Invalid input for field/attribute server_group. Value: {}.", ask.body["server_group"])));
            }
            let made = ServerGroup { id: model.id(), name, policy, members: Vec::new() };
            let body = json!({ "server_group": group(model, &made, ask.minor) });
            model.server_groups.push(made);
            Ok(Reply::ok(body))
        }
        (&Method::GET, [id]) => {
            let found = model.server_groups.iter().find(|own| own.id == *id).ok_or_else(|| missing(id))?;
            Ok(Reply::ok(json!({ "server_group": group(model, found, ask.minor) })))
        }
        (&Method::DELETE, [id]) => {
            let before = model.server_groups.len();
            model.server_groups.retain(|own| own.id != *id);
            if model.server_groups.len() < before { Ok(Reply::empty(StatusCode::NO_CONTENT)) } else { Err(missing(id)) }
        }
        _ => Err(Fault::no_such_path()),
    }
}
