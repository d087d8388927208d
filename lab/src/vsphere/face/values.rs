//! Requests on their way in, answers on their way out.

use mtv_api::xml::Node;

use super::{Face, ids};
use crate::vsphere::{
    fault::Fault,
    ids::{MoRef, is_a},
    model::Model,
    soap::{Reply, Request},
    value::{Object, Value},
};

/// Whether an element's text is a reference: its type is one of managed objects.
fn is_reference(kind: &str) -> bool {
    is_a(kind, "ManagedEntity")
        || matches!(
            kind,
            "ManagedObject"
                | "ManagedEntity"
                | "VirtualMachineSnapshot"
                | "Task"
                | "PropertyCollector"
                | "PropertyFilter"
                | "ServiceInstance"
                | "SessionManager"
                | "SearchIndex"
                | "HostDatastoreBrowser"
                | "EnvironmentBrowser"
                | "OptionManager"
                | "HostDatastoreSystem"
                | "HostNetworkSystem"
                | "HostStorageSystem"
        )
        || kind.ends_with("Manager")
        || kind.ends_with("View")
        || kind.ends_with("Collector")
}

/// A request as the model understands it.
pub fn inward(face: &Face, model: &Model, request: &mut Request) {
    let Face::Agent(host) = face else { return };
    request.this = face.inward(model, &request.this);
    let makes = matches!(request.method.as_str(), "CreateVM_Task" | "RegisterVM_Task");
    translate(face, model, &mut request.body);
    // There is no other host than this one.
    if makes && request.body.child("host").is_none() {
        request.body.children.push(Node::text("host", host).attr("type", "HostSystem"));
    }
}

fn translate(face: &Face, model: &Model, node: &mut Node) {
    if node.children.is_empty() && node.attrs.iter().any(|(name, _)| name == "type") {
        let object = MoRef::read(node);
        if is_reference(&object.kind) {
            node.text = face.inward(model, &object).id;
        }
    }
    for child in &mut node.children {
        translate(face, model, child);
    }
}

/// An answer as clients of this server see it.
pub fn outward(face: &Face, model: &Model, reply: Result<Reply, Fault>) -> Result<Reply, Fault> {
    let Face::Agent(host) = face else { return reply };
    let out = Outward { model, host };
    match reply {
        Ok(Reply::Empty) => Ok(Reply::Empty),
        Ok(Reply::Value(value)) => Ok(out.value(value).map_or(Reply::Empty, Reply::Value)),
        Err(fault) => Err(out.fault(fault)),
    }
}

struct Outward<'a> {
    model: &'a Model,
    host: &'a str,
}

impl Outward<'_> {
    fn reference(&self, object: MoRef) -> Option<MoRef> {
        let id = ids::outward(self.model, self.host, &object.id)?;
        let kind = if object.kind == "ClusterComputeResource" { "ComputeResource".to_owned() } else { object.kind };
        Some(MoRef::new(kind, id))
    }

    /// None for what refers to something that is not there.
    fn value(&self, value: Value) -> Option<Value> {
        Some(match value {
            Value::Ref(object) => Value::Ref(self.reference(object)?),
            Value::Any(inner) => Value::Any(Box::new(self.value(*inner)?)),
            Value::Object(object) => Value::Object(self.object(object)?),
            Value::List(kind, items) => Value::List(kind, items.into_iter().filter_map(|item| self.value(item)).collect()),
            other => other,
        })
    }

    /// An object goes with what it is about; what only tells more of it is left out.
    fn object(&self, object: Object) -> Option<Object> {
        let mut out = Object::new(object.kind);
        for (name, value) in object.fields.clone() {
            let about = matches!(value, Value::Ref(_));
            let value = match (name, value) {
                // A host does not know the fingerprint of its own certificate.
                ("sslThumbprint", _) => continue,
                // Without the scheme that a vCenter puts before it.
                ("url", Value::Str(url)) if url.starts_with("ds://") => {
                    Value::Str(url.trim_start_matches("ds://").trim_end_matches('/').to_owned())
                }
                ("localizedMessage", Value::Str(text)) => Value::Str(self.renamed(text, object.get("fault"))),
                (_, value) => match self.value(value) {
                    Some(value) => value,
                    None if about => return None,
                    None => continue,
                },
            };
            out.fields.push((name, value));
        }
        Some(out)
    }

    fn fault(&self, fault: Fault) -> Fault {
        let message = self.renamed(fault.message, Some(&Value::Object(fault.detail.clone())));
        let kind = fault.detail.kind;
        Fault { detail: self.object(fault.detail).unwrap_or_else(|| Object::new(kind)), message }
    }

    /// A message with the ids of what its fault is about in their other form.
    fn renamed(&self, mut text: String, fault: Option<&Value>) -> String {
        let Some(Value::Object(fault)) = fault else { return text };
        for (_, value) in &fault.fields {
            if let Value::Ref(object) = value
                && let Some(own) = self.reference(object.clone())
            {
                text = text.replace(&format!(":{}'", object.id), &format!(":{}'", own.id));
            }
        }
        text
    }
}
