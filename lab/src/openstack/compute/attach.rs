//! Volumes and ports of servers that are there already.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    super::{
        Cloud,
        model::{Port, Volume},
        reply::{Answered, Ask, Fault, Reply},
    },
    Locked, find,
};

/// Detaching a volume.
const DETACH: Duration = Duration::from_secs(2);

fn attachment(volume: &Volume, server: &str, minor: u32) -> Value {
    let at = volume.attached.as_ref();
    let mut out = json!({ "volumeId": volume.id, "serverId": server, "device": at.map(|at| at.device.clone()) });
    if minor < 89 {
        out["id"] = json!(volume.id);
    } else {
        out["attachment_id"] = json!(at.map(|at| at.id.clone()));
        out["bdm_uuid"] = json!(at.map(|at| at.id.clone()));
    }
    if minor >= 70 {
        out["tag"] = Value::Null;
    }
    if minor >= 79 {
        out["delete_on_termination"] = json!(at.is_some_and(|at| at.goes));
    }
    out
}

fn missing(server: &str, volume: &str) -> Fault {
    Fault::new(StatusCode::NOT_FOUND, format!("volume_id not found: {volume} on instance {server}"))
}

/// `os-volume_attachments`; the path begins after it.
pub fn volumes(cloud: &Cloud, mut model: Locked<'_>, ask: &Ask<'_>, id: &str, rest: &[&str]) -> Answered {
    let server = find(&model, id)?;
    match (ask.method, rest) {
        (&Method::GET, []) => {
            let all: Vec<Value> = model.volumes_of(id).into_iter().map(|volume| attachment(volume, id, ask.minor)).collect();
            Ok(Reply::ok(json!({ "volumeAttachments": all })))
        }
        (&Method::GET, [volume]) => {
            let found = model.volumes_of(id).into_iter().find(|own| own.id == *volume).ok_or_else(|| missing(id, volume))?;
            Ok(Reply::ok(json!({ "volumeAttachment": attachment(found, id, ask.minor) })))
        }
        (&Method::POST, []) => {
            let volume = ask.text("/volumeAttachment/volumeId").to_owned();
            if !matches!(server.status, "ACTIVE" | "SHUTOFF" | "PAUSED") {
                return Err(Fault::conflict(format!(
                    "Cannot 'attach_volume' instance {id} while it is in vm_state {}",
                    super::server::vm_state(server)
                )));
            }
            match model.volumes.get(&volume) {
                None => return Err(Fault::missing("Volume", &volume)),
                Some(found) if found.status != "available" => {
                    return Err(Fault::bad(format!(
                        "Invalid volume: volume '{volume}' status must be 'available'. Currently in '{}'",
                        found.status
                    )));
                }
                Some(_) => {}
            }
            let goes = ask.minor >= 79 && ask.body.pointer("/volumeAttachment/delete_on_termination") == Some(&json!(true));
            let device = ask.text("/volumeAttachment/device").to_owned();
            model.attach(&volume, id, Some(&device), goes);
            let found = model.volumes.get(&volume).ok_or_else(|| missing(id, &volume))?;
            Ok(Reply::ok(json!({ "volumeAttachment": attachment(found, id, ask.minor) })))
        }
        (&Method::DELETE, [volume]) => {
            let is_root = server.image.is_none() && model.volumes_of(id).first().is_some_and(|root| root.id == *volume);
            let found = model.volumes.get_mut(*volume).filter(|v| v.attached.as_ref().is_some_and(|at| at.server == id));
            let found = found.ok_or_else(|| missing(id, volume))?;
            if is_root {
                return Err(Fault::forbidden(format!("Cannot detach a root device volume {volume}.")));
            }
            found.status = "detaching";
            let volume = (*volume).to_owned();
            drop(model);
            cloud.later(DETACH, move |_, model| {
                if let Some(volume) = model.volumes.get_mut(&volume).filter(|volume| volume.status == "detaching") {
                    (volume.status, volume.attached) = ("available", None);
                }
            });
            Ok(Reply::empty(StatusCode::ACCEPTED))
        }
        _ => Err(Fault::no_such_path()),
    }
}

fn interface(port: &Port) -> Value {
    let fixed: Vec<Value> =
        port.addresses.iter().map(|(subnet, ip)| json!({ "subnet_id": subnet, "ip_address": ip.to_string() })).collect();
    json!({ "port_id": port.id, "net_id": port.network, "mac_addr": port.mac, "port_state": "ACTIVE", "fixed_ips": fixed })
}

/// `os-interface`; the path begins after it.
pub fn interfaces(cloud: &Cloud, mut model: Locked<'_>, ask: &Ask<'_>, id: &str, rest: &[&str]) -> Answered {
    let server = find(&model, id)?;
    let own = |port: &str| server.ports.iter().any(|own| own == port);
    let no_port = |port: &str| Fault::new(StatusCode::NOT_FOUND, format!("Port id {port} could not be found."));
    match (ask.method, rest) {
        (&Method::GET, []) => {
            let all: Vec<Value> = server.ports.iter().filter_map(|port| model.ports.get(port)).map(interface).collect();
            Ok(Reply::ok(json!({ "interfaceAttachments": all })))
        }
        (&Method::GET, [port]) if own(port) => {
            let found = model.ports.get(*port).ok_or_else(|| no_port(port))?;
            Ok(Reply::ok(json!({ "interfaceAttachment": interface(found) })))
        }
        (&Method::POST, []) => {
            let (network, port) = (ask.text("/interfaceAttachment/net_id").to_owned(), ask.text("/interfaceAttachment/port_id").to_owned());
            let port = if port.is_empty() {
                let network = match (network.is_empty(), model.networks.as_slice()) {
                    (false, all) if all.iter().any(|n| n.id == network) => network,
                    (false, _) => return Err(Fault::bad(format!("Network {network} could not be found."))),
                    (true, [only]) => only.id.clone(),
                    (true, _) => return Err(Fault::conflict("Multiple possible networks found, use a Network ID to be more specific.")),
                };
                let wanted = ask.text("/interfaceAttachment/fixed_ips/0/ip_address").parse().ok();
                model
                    .port(&network, id, wanted)
                    .ok_or_else(|| Fault::bad(format!("No more IP addresses available on network {network}.")))?
            } else {
                match model.ports.get_mut(&port) {
                    Some(found) if found.device.is_empty() => id.clone_into(&mut found.device),
                    Some(_) => return Err(Fault::conflict(format!("Port {port} is still in use."))),
                    None => return Err(no_port(&port)),
                }
                port
            };
            if let Some(server) = model.servers.get_mut(id) {
                server.ports.push(port.clone());
            }
            let found = model.ports.get(&port).ok_or_else(|| no_port(&port))?;
            Ok(Reply::ok(json!({ "interfaceAttachment": interface(found) })))
        }
        (&Method::DELETE, [port]) if own(port) => {
            let (id, port) = (id.to_owned(), (*port).to_owned());
            drop(model);
            cloud.later(DETACH, move |_, model| {
                if let Some(server) = model.servers.get_mut(&id) {
                    server.ports.retain(|own| *own != port);
                }
                match model.ports.get_mut(&port) {
                    Some(own) if own.of_server => drop(model.ports.remove(&port)),
                    Some(lent) => lent.device.clear(),
                    None => {}
                }
            });
            Ok(Reply::empty(StatusCode::ACCEPTED))
        }
        (_, [port]) => Err(no_port(port)),
        _ => Err(Fault::no_such_path()),
    }
}
