//! Networks, distributed port groups and switches as the API shows them.

use crate::vsphere::{
    ids::MoRef,
    model::{Entity, Kind, Model},
    value::{Object, Value, int, refs, strings},
};

/// Properties of standard networks.
pub const NETWORK: &[&str] = &["summary", "host", "vm"];
/// Properties of distributed port groups.
pub const PORTGROUP: &[&str] = &["summary", "host", "vm", "key", "config", "portKeys"];
/// Properties of distributed switches.
pub const SWITCH: &[&str] = &["uuid", "capability", "summary", "config", "networkResourcePool", "portgroup", "runtime"];

/// A property.
pub fn property(model: &Model, entity: &Entity, name: &str) -> Option<Value> {
    let hosts = || refs(model.of_type("HostSystem").map(Entity::moref));
    if let Kind::Switch { uuid } = &entity.kind {
        return switch(model, entity, uuid, name);
    }
    Some(match name {
        "summary" => Value::Object(
            Object::new("NetworkSummary")
                .set("network", entity.moref())
                .set("name", &entity.name)
                .set("accessible", true)
                .set("ipPoolName", ""),
        ),
        "host" => hosts(),
        "vm" => refs(model.vms().filter(|(_, vm)| vm.networks().contains(&entity.id)).map(|(e, _)| e.moref())),
        _ => {
            let Kind::Portgroup { switch, uplink } = &entity.kind else { return None };
            match name {
                "key" => (&entity.id).into(),
                "portKeys" => strings((0..8).map(|n: i32| n.to_string())),
                "config" => Value::Object(port_group_config(entity, switch, *uplink)),
                _ => return None,
            }
        }
    })
}

fn port_group_config(entity: &Entity, switch: &str, uplink: bool) -> Object {
    let vlan = if uplink {
        let range = Object::new("NumericRange").set("start", 0).set("end", 4094);
        Object::new("VmwareDistributedVirtualSwitchTrunkVlanSpec").set("inherited", false).list("vlanId", "NumericRange", [range])
    } else {
        Object::new("VmwareDistributedVirtualSwitchVlanIdSpec").set("inherited", false).set("vlanId", 0)
    };
    let config = Object::new("DVPortgroupConfigInfo")
        .set("key", &entity.id)
        .set("name", &entity.name)
        .set("numPorts", 8)
        .set("distributedVirtualSwitch", MoRef::new("VmwareDistributedVirtualSwitch", switch))
        .set("defaultPortConfig", Object::new("VMwareDVSPortSetting").set("vlan", vlan))
        .set("description", "")
        .set("type", "earlyBinding")
        .set("backingType", "standard")
        .set("policy", Object::new("VMwareDVSPortgroupPolicy").set("blockOverrideAllowed", true).set("vlanOverrideAllowed", false))
        .set("configVersion", "1")
        .set("autoExpand", true);
    config.set("uplink", uplink)
}

fn switch(model: &Model, entity: &Entity, uuid: &str, name: &str) -> Option<Value> {
    let groups =
        || model.entities.values().filter(|e| matches!(&e.kind, Kind::Portgroup { switch, .. } if *switch == entity.id)).map(Entity::moref);
    let members = || model.of_type("HostSystem").map(Entity::moref);
    let vms = || model.vms().filter(|(_, vm)| vm.networks().iter().any(|n| groups().any(|g| g.id == *n))).map(|(e, _)| e.moref());
    Some(match name {
        "uuid" => uuid.into(),
        "capability" => {
            Value::Object(Object::new("DVSCapability").set("dvsOperationSupported", true).set("dvPortGroupOperationSupported", true))
        }
        "summary" => Value::Object(
            Object::new("DVSSummary")
                .set("name", &entity.name)
                .set("uuid", uuid)
                .set("numPorts", 16)
                .set("hostMember", refs(members()))
                .set("vm", refs(vms()))
                .set("host", refs(members()))
                .set("portgroupName", strings(groups().filter_map(|g| model.entity(&g.id).map(|e| e.name.clone()))))
                .set("numHosts", int(members().count())),
        ),
        "config" => {
            let host = |host: MoRef| {
                let config = Object::new("DistributedVirtualSwitchHostMemberConfigInfo")
                    .set("host", host)
                    .set("maxProxySwitchPorts", 512)
                    .set("backing", Object::new("DistributedVirtualSwitchHostMemberPnicBacking"));
                Value::Object(Object::new("DistributedVirtualSwitchHostMember").set("config", config).set("status", "up"))
            };
            let uplink = model
                .entities
                .values()
                .filter(|e| matches!(&e.kind, Kind::Portgroup { switch, uplink: true } if *switch == entity.id))
                .map(Entity::moref);
            Value::Object(
                Object::new("VMwareDVSConfigInfo")
                    .set("uuid", uuid)
                    .set("name", &entity.name)
                    .set("numStandalonePorts", 0)
                    .set("numPorts", 16)
                    .set("maxPorts", i32::MAX)
                    .set("uplinkPortgroup", refs(uplink))
                    .set("host", Value::List("DistributedVirtualSwitchHostMember", members().map(host).collect()))
                    .set("configVersion", "1")
                    .set("createTime", Value::Time("2026-01-01T00:00:00Z".to_owned()))
                    .set("networkResourceManagementEnabled", true)
                    .set("maxMtu", 1500),
            )
        }
        "networkResourcePool" => Value::List("DVSNetworkResourcePool", Vec::new()),
        "portgroup" => refs(groups()),
        "runtime" => Value::Object(Object::new("DVSRuntimeInfo")),
        _ => return None,
    })
}
