//! The search index.

use mtv_api::xml::Node;

use super::{Context, Outcome, needed, unknown};
use crate::vsphere::{
    ids::MoRef,
    model::{
        Entity, Kind, Model,
        build::ROOT,
        reconfigure::{flag, reference},
        vm::Vm,
    },
    soap::{Reply, Request},
    types::{Sight, entity::escaped, guest},
    value::{Value, refs},
};

/// Methods of the search index.
///
/// # Errors
/// The method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    let body = &request.body;
    let text = |name: &str| body.get(name).unwrap_or_default().trim().to_owned();
    let machines = flag(body, "vmSearch").unwrap_or(true);
    let instance = flag(body, "instanceUuid").unwrap_or(false);
    cx.look(|sight| {
        let model = sight.model;
        let many = request.method.starts_with("FindAllBy");
        let found = match request.method.as_str() {
            "FindByInventoryPath" => path(sight, &text("inventoryPath")).into_iter().collect(),
            "FindChild" => {
                let entity = needed(request, "entity")?;
                let name = text("name");
                model.find(&entity)?;
                child(sight, &entity.id, &name).map(Entity::moref).into_iter().collect()
            }
            "FindByUuid" | "FindAllByUuid" if machines => {
                let uuid = text("uuid");
                by_vm(model, body, |_, vm| {
                    if instance { vm.instance_uuid.eq_ignore_ascii_case(&uuid) } else { vm.uuid.eq_ignore_ascii_case(&uuid) }
                })
            }
            "FindByDnsName" | "FindAllByDnsName" if machines => {
                let name = text("dnsName");
                by_vm(model, body, |_, vm| guest_text(model, vm, "hostName").is_some_and(|h| h.eq_ignore_ascii_case(&name)))
            }
            "FindByIp" | "FindAllByIp" if machines => {
                let ip = text("ip");
                by_vm(model, body, |entity, vm| {
                    guest::guest(model, entity, vm).get("net").is_some_and(|net| net_addresses(net).contains(&ip))
                })
            }
            "FindByDnsName" | "FindAllByDnsName" => model.named("HostSystem", &text("dnsName")).map(Entity::moref).into_iter().collect(),
            "FindByDatastorePath" => {
                let wanted = text("path");
                by_vm(model, body, |_, vm| vm.vmx == wanted)
            }
            "FindByUuid" | "FindAllByUuid" | "FindByIp" | "FindAllByIp" => Vec::new(),
            _ => return Err(unknown(request)),
        };
        if many {
            return Ok(refs(found).into());
        }
        Ok(found.into_iter().next().map_or(Reply::Empty, |object| Reply::Value(Value::Ref(object))))
    })
}

/// `/DC0/vm/folder/name`, with or without the first slash.
fn path(sight: Sight<'_>, path: &str) -> Option<MoRef> {
    let mut here = sight.model.entity(ROOT)?;
    for part in path.split('/').filter(|p| !p.is_empty()) {
        here = child(sight, &here.id, part)?;
    }
    Some(here.moref())
}

fn child<'m>(sight: Sight<'m>, parent: &str, wanted: &str) -> Option<&'m Entity> {
    let named = |entity: &&Entity| {
        let name = sight.face.name(sight.model, entity);
        name == wanted || escaped(name) == wanted
    };
    sight.face.children(sight.model, parent).into_iter().find(named)
}

fn by_vm(model: &Model, body: &Node, fits: impl Fn(&Entity, &Vm) -> bool) -> Vec<MoRef> {
    let datacenter =
        reference(body, "datacenter").filter(|d| matches!(model.entity(&d.id).map(|e| &e.kind), Some(Kind::Datacenter { .. })));
    let inside = |entity: &Entity| datacenter.as_ref().is_none_or(|d| model.ancestors(&entity.id).any(|a| a.id == d.id));
    model.vms().filter(|(entity, vm)| inside(entity) && fits(entity, vm)).map(|(entity, _)| entity.moref()).collect()
}

fn guest_text(model: &Model, vm: &Vm, field: &str) -> Option<String> {
    let (entity, _) = model.vms().find(|(_, other)| other.instance_uuid == vm.instance_uuid)?;
    guest::guest(model, entity, vm).get(field).and_then(Value::text)
}

fn net_addresses(net: &Value) -> Vec<String> {
    let Value::List(_, nics) = net else { return Vec::new() };
    nics.iter()
        .filter_map(|nic| nic.walk("ipAddress"))
        .flat_map(|list| if let Value::List(_, items) = list { items } else { Vec::new() })
        .filter_map(|v| v.text())
        .collect()
}
