//! Reading: which document a path names, lists by search, and what `follow` fetches along.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    documents::{self, API, Document},
    model::{Model, Named, Vm},
    search::Search,
};

/// Why there is no document.
#[derive(Debug, PartialEq, Eq)]
pub enum Missing {
    /// No such path or object.
    NotFound(String),
    /// The query cannot be read.
    Bad(String),
}

/// The document at a path below the API, with its query.
pub fn document(model: &Model, path: &[&str], query: &HashMap<String, String>) -> Result<Document, Missing> {
    let found = find(model, path).ok_or_else(|| Missing::NotFound(format!("Entity not found: {}", path.join("/"))))?;
    let mut found = match query.get("search") {
        Some(text) if found.member.is_some() => narrowed(found, text)?,
        _ => found,
    };
    // Events after one that is known, by their number.
    if let (Some(from), Value::Array(list), "events") = (query.get("from"), &mut found.value, found.name) {
        let from: u64 = from.parse().map_err(|_| Missing::Bad(format!("from `{from}` is no number")))?;
        list.retain(|event| event["id"].as_str().and_then(|id| id.parse::<u64>().ok()).is_some_and(|id| id > from));
    }
    if let (Some(max), Value::Array(list)) = (query.get("max"), &mut found.value) {
        list.truncate(max.parse().map_err(|_| Missing::Bad(format!("max `{max}` is no number")))?);
    }
    for path in query.get("follow").into_iter().flat_map(|text| text.split(',')).map(str::trim).filter(|path| !path.is_empty()) {
        follow(model, &mut found, path);
    }
    Ok(found)
}

fn narrowed(mut found: Document, text: &str) -> Result<Document, Missing> {
    let search = Search::parse(text).map_err(|why| Missing::Bad(format!("Search query failed: {why}")))?;
    if let Value::Array(list) = found.value {
        let list = list.into_iter().filter(|member| search.finds(member, field)).collect();
        found.value = Value::Array(search.page(list));
    }
    Ok(found)
}

/// A field of the search language on a document.
fn field(document: &Value, name: &str) -> Option<String> {
    let pointer = match name {
        "vms.id" | "vm.id" => "/vm/id".to_owned(),
        "vms.name" | "vm.name" | "event_vm" => "/vm/name".to_owned(),
        "cluster" => "/cluster/id".to_owned(),
        "type" => "/code".to_owned(),
        other => format!("/{}", other.rsplit('.').next().unwrap_or(other)),
    };
    document.pointer(&pointer).and_then(Value::as_str).map(str::to_owned)
}

fn find(model: &Model, path: &[&str]) -> Option<Document> {
    let named = |list: &[Named], id: &str| list.iter().find(|n| n.id == id).cloned();
    Some(match path {
        [] => Document::one("api", documents::root(model)),
        ["datacenters"] => Document::list("data_centers", "data_center", vec![documents::center(&model.center)]),
        ["datacenters", id] if *id == model.center.id => Document::one("data_center", documents::center(&model.center)),
        ["datacenters", id, rest] if *id == model.center.id && matches!(*rest, "clusters" | "networks" | "storagedomains") => {
            find(model, &[rest])?
        }
        ["clusters"] => Document::list("clusters", "cluster", vec![documents::cluster(model, &model.cluster)]),
        ["clusters", id] if *id == model.cluster.id => Document::one("cluster", documents::cluster(model, &model.cluster)),
        ["clusters", id, "networks"] if *id == model.cluster.id => find(model, &["networks"])?,
        ["hosts"] => Document::list("hosts", "host", model.hosts.iter().map(|h| documents::host(model, h)).collect()),
        ["hosts", id] => Document::one("host", documents::host(model, &named(&model.hosts, id)?)),
        ["hosts", id, rest] => {
            named(&model.hosts, id)?;
            match *rest {
                "nics" => Document::list("host_nics", "host_nic", Vec::new()),
                "networkattachments" => Document::list("network_attachments", "network_attachment", Vec::new()),
                _ => return None,
            }
        }
        ["storagedomains"] => {
            Document::list("storage_domains", "storage_domain", model.domains.iter().map(|d| documents::domain(model, d)).collect())
        }
        ["storagedomains", id] => Document::one("storage_domain", documents::domain(model, &named(&model.domains, id)?)),
        ["networks"] => Document::list("networks", "network", model.networks.iter().map(|n| documents::network(model, n)).collect()),
        ["networks", id] => Document::one("network", documents::network(model, &named(&model.networks, id)?)),
        ["networks", id, "vnicprofiles"] => {
            let network = named(&model.networks, id)?;
            let of = model.profiles.iter().filter(|p| p.name == network.name);
            Document::list("vnic_profiles", "vnic_profile", of.map(|p| documents::profile(model, p)).collect())
        }
        ["vnicprofiles"] => {
            Document::list("vnic_profiles", "vnic_profile", model.profiles.iter().map(|p| documents::profile(model, p)).collect())
        }
        ["vnicprofiles", id] => Document::one("vnic_profile", documents::profile(model, &named(&model.profiles, id)?)),
        ["diskprofiles"] => Document::list("disk_profiles", "disk_profile", model.domains.iter().map(documents::disk_profile).collect()),
        ["diskprofiles", id] => Document::one("disk_profile", documents::disk_profile(&named(&model.domains, id)?)),
        ["disks"] => Document::list("disks", "disk", model.disks.values().map(|d| documents::disk(model, d)).collect()),
        ["disks", id] => Document::one("disk", documents::disk(model, model.disks.get(*id)?)),
        ["events"] => Document::list("events", "event", model.events.iter().rev().map(documents::event).collect()),
        ["events", id] => Document::one("event", documents::event(model.events.iter().find(|e| e.id.to_string() == *id)?)),
        ["jobs"] => Document::list("jobs", "job", model.jobs.iter().map(documents::job).collect()),
        ["jobs", id] => Document::one("job", documents::job(model.jobs.iter().find(|j| j.id == *id)?)),
        ["vms"] => Document::list("vms", "vm", of_kind(model, false)),
        ["templates"] => Document::list("templates", "template", of_kind(model, true)),
        ["vms", id, rest @ ..] => of_vm(model, model.vms.get(*id).filter(|vm| !vm.template)?, rest)?,
        ["templates", id, rest @ ..] => of_vm(model, model.vms.get(*id).filter(|vm| vm.template)?, rest)?,
        _ => return None,
    })
}

fn of_kind(model: &Model, template: bool) -> Vec<Value> {
    model.vms.values().filter(|vm| vm.template == template).map(|vm| documents::vm(model, vm)).collect()
}

fn of_vm(model: &Model, vm: &Vm, rest: &[&str]) -> Option<Document> {
    let nic = |id: &str| vm.nics.iter().find(|nic| nic.id == id);
    Some(match rest {
        [] => Document::one(if vm.template { "template" } else { "vm" }, documents::vm(model, vm)),
        ["nics"] => Document::list("nics", "nic", vm.nics.iter().map(|n| documents::nic(vm, n)).collect()),
        ["nics", id] => Document::one("nic", documents::nic(vm, nic(id)?)),
        ["diskattachments"] => {
            Document::list("disk_attachments", "disk_attachment", vm.disks.iter().map(|d| documents::attachment(vm, d)).collect())
        }
        ["diskattachments", id] => Document::one("disk_attachment", documents::attachment(vm, vm.disks.iter().find(|d| d == id)?)),
        ["snapshots"] if !vm.template => Document::list("snapshots", "snapshot", documents::snapshots(vm)),
        ["snapshots", id] if !vm.template => Document::one("snapshot", documents::snapshots(vm).into_iter().find(|s| s["id"] == *id)?),
        ["reporteddevices"] if !vm.template => Document::list("reported_devices", "reported_device", documents::reported(vm)),
        ["cdroms"] => Document::list("cdroms", "cdrom", Vec::new()),
        ["hostdevices"] => Document::list("host_devices", "host_device", Vec::new()),
        ["watchdogs"] => Document::list("watchdogs", "watchdog", Vec::new()),
        ["snapshots", id, rest @ ("disks" | "nics")] if !vm.template => {
            documents::snapshots(vm).into_iter().find(|s| s["id"] == *id)?;
            match *rest {
                "disks" => Document::list(
                    "disks",
                    "disk",
                    vm.disks.iter().filter_map(|d| model.disks.get(d)).map(|d| documents::disk(model, d)).collect(),
                ),
                _ => Document::list("nics", "nic", vm.nics.iter().map(|n| documents::nic(vm, n)).collect()),
            }
        }
        _ => return None,
    })
}

/// Puts what a link or a reference leads to in its place: `disk_attachments.disk` in two steps.
fn follow(model: &Model, document: &mut Document, path: &str) {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let members: Vec<&mut Value> = match &mut document.value {
        Value::Array(list) => list.iter_mut().collect(),
        other => vec![other],
    };
    for member in members {
        let direct = member.pointer(&format!("/{name}/href")).and_then(Value::as_str).map(str::to_owned);
        let linked = || {
            let rel = name.replace('_', "");
            let links = member["link"].as_array()?;
            links.iter().find(|link| link["rel"] == rel.as_str())?["href"].as_str().map(str::to_owned)
        };
        let Some(href) = direct.or_else(linked) else { continue };
        let path: Vec<&str> = href.strip_prefix(API).unwrap_or(&href).split('/').filter(|part| !part.is_empty()).collect();
        let Some(mut found) = find(model, &path) else { continue };
        if !rest.is_empty() {
            follow(model, &mut found, rest);
        }
        let list = found.member.is_some();
        member[name] = found.body();
        if list && let Some(links) = member["link"].as_array_mut() {
            let rel = name.replace('_', "");
            links.retain(|link| link["rel"] != rel.as_str());
        }
    }
}

/// The body of a refusal.
pub fn fault(reason: &str, detail: &str) -> Value {
    json!({"reason": reason, "detail": detail})
}
