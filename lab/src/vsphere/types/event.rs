//! Events as the API shows them.

use crate::vsphere::{
    ids::MoRef,
    model::{Model, events::Event},
    value::{Object, Value},
};

/// An event.
pub fn event(model: &Model, event: &Event) -> Value {
    let argument = |kind, field, name: &str, object: MoRef| Object::new(kind).set("name", name).set(field, object);
    let datacenter = model.of_type("Datacenter").next().filter(|_| event.vm.is_some());
    let host = event.host.as_ref().and_then(|id| model.entity(id));
    let mut object = Object::new(event.kind)
        .set("key", event.key)
        .set("chainId", event.key)
        .set("createdTime", Value::Time(event.time.clone()))
        .set("userName", &event.user)
        .opt("datacenter", datacenter.map(|d| argument("DatacenterEventArgument", "datacenter", &d.name, d.moref())))
        .opt("host", host.map(|h| argument("HostEventArgument", "host", &h.name, h.moref())))
        .opt("vm", event.vm.as_ref().map(|(id, name)| argument("VmEventArgument", "vm", name, MoRef::new("VirtualMachine", id))))
        .set("fullFormattedMessage", &event.message);
    if event.vm.is_some() {
        object = object.set("template", false);
    }
    for (name, text) in &event.texts {
        object = object.set(name, text);
    }
    Value::Object(object)
}
