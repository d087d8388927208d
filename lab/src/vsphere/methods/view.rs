//! Views.

use super::{Context, Outcome, needed, unknown};
use crate::vsphere::{
    fault::Fault,
    ids::{MoRef, is_a},
    model::{Entity, reconfigure::flag},
    sessions::{Owned, View, ViewKind},
    soap::{Reply, Request},
    value::{Value, refs},
};

/// What a container view can be about.
const CONTAINERS: [&str; 6] = ["Folder", "Datacenter", "ComputeResource", "ClusterComputeResource", "ResourcePool", "HostSystem"];

/// Methods of the view manager and of views.
///
/// # Errors
/// The method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    let list = |name: &str| request.body.children_named(name).map(MoRef::read).collect::<Vec<_>>();
    match request.method.as_str() {
        "CreateContainerView" => {
            let container = needed(request, "container")?;
            let kind = cx.look(|sight| sight.model.find(&container).map(Entity::type_name))?;
            if !CONTAINERS.contains(&kind) {
                return Err(Fault::invalid_argument("container"));
            }
            let types: Vec<String> =
                request.body.children_named("type").map(|t| t.text.trim().to_owned()).filter(|t| !t.is_empty()).collect();
            if types.iter().any(|t| t != "ManagedEntity" && !is_a(t, "ManagedEntity")) {
                return Err(Fault::invalid_argument("type"));
            }
            let recursive = flag(&request.body, "recursive").unwrap_or(false);
            let view = View { kind: ViewKind::Container { container, types, recursive } };
            let id = cx.session(|session, _| session.keep(Owned::View(view)))?;
            Ok(Value::Ref(MoRef::new("ContainerView", id)).into())
        }
        "CreateListView" => {
            let view = View { kind: ViewKind::List(list("obj")) };
            let id = cx.session(|session, _| session.keep(Owned::View(view)))?;
            Ok(Value::Ref(MoRef::new("ListView", id)).into())
        }
        "DestroyView" => {
            cx.session(|session, _| session.objects.remove(&request.this.id))?;
            cx.server.notify();
            Ok(Reply::Empty)
        }
        "ModifyListView" | "ResetListView" => {
            let (add, remove) = (list("add"), list("remove"));
            let whole = (request.method == "ResetListView").then(|| list("obj"));
            let missing = cx.session(|session, model| {
                let known = |o: &MoRef| model.entity(&o.id).is_some() || model.task(&o.id).is_some();
                let Some(Owned::View(View { kind: ViewKind::List(members) })) = session.objects.get_mut(&request.this.id) else {
                    return Err(Fault::not_found(&request.this));
                };
                if let Some(whole) = whole {
                    *members = whole;
                } else {
                    members.retain(|o| !remove.contains(o));
                    members.extend(add);
                }
                Ok(members.iter().filter(|o| !known(o)).cloned().collect::<Vec<_>>())
            })??;
            cx.server.notify();
            Ok(refs(missing).into())
        }
        _ => Err(unknown(request)),
    }
}
