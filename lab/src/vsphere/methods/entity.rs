//! What every managed entity can do.

use std::time::Duration;

use super::{Context, Model, Outcome, needed_text, unknown};
use crate::vsphere::{
    fault::Fault,
    model::{Entity, Kind, build::ROOT},
    soap::{Reply, Request},
    tasks::{self, Job},
    types::entity::unescaped,
};

/// Changing a name or removing an empty folder.
const QUICK: Duration = Duration::from_millis(500);

/// Methods of a managed entity.
///
/// # Errors
/// The method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    let id = request.this.id.clone();
    let user = cx.user();
    match request.method.as_str() {
        "Rename_Task" => {
            let name = unescaped(needed_text(request, "newName")?);
            let by = user.clone();
            let job = job(request, "ManagedEntity.rename", "Rename_Task");
            let work = Box::new(move |model: &mut Model| rename(model, &id, &name, &by).map(|()| None));
            Ok(tasks::start(&cx.server, &user, job, Box::new(|_| Ok(())), work).into())
        }
        "Destroy_Task" => {
            let work = Box::new(move |model: &mut Model| destroy(model, &id).map(|()| None));
            Ok(tasks::start(&cx.server, &user, job(request, "ManagedEntity.destroy", "Destroy_Task"), Box::new(|_| Ok(())), work).into())
        }
        "Reload" | "RefreshDatastore" | "RefreshDatastoreStorageInfo" => Ok(Reply::Empty),
        "SetCustomValue" | "setCustomValue" => {
            let key = needed_text(request, "key")?;
            let value = needed_text(request, "value")?.to_owned();
            cx.server.change(|model| {
                let number = model.custom_fields.iter().find(|(_, name, _)| name == key).map(|f| f.0);
                let number = number.ok_or_else(|| Fault::invalid_argument("key"))?;
                model.find_mut(&request.this)?.custom.insert(number, value);
                Ok(Reply::Empty)
            })
        }
        _ => Err(unknown(request)),
    }
}

fn job(request: &Request, description: &'static str, method: &'static str) -> Job {
    Job { entity: request.this.clone(), description, method, takes: QUICK, exclusive: false, cancelable: false }
}

fn rename(model: &mut Model, id: &str, name: &str, user: &str) -> Result<(), Fault> {
    let object = crate::vsphere::ids::MoRef::new("ManagedEntity", id);
    let entity = model.find(&object)?;
    if name.is_empty() {
        return Err(Fault::new("InvalidName", "A name is needed.").with("name", name));
    }
    if entity.name == name {
        return Ok(());
    }
    let (old, machine) = (entity.name.clone(), entity.vm().is_some());
    model.free_name(&entity.parent.clone().unwrap_or_default(), name)?;
    name.clone_into(&mut model.find_mut(&object)?.name);
    if machine {
        let texts = vec![("oldName", old.clone()), ("newName", name.to_owned())];
        model.note("VmRenamedEvent", Some((id.to_owned(), name.to_owned())), None, user, format!("{old} was renamed to {name}"), texts);
    }
    Ok(())
}

/// Folders go with what is in them, if nothing in them runs; the frame of the data centre stays.
fn destroy(model: &mut Model, id: &str) -> Result<(), Fault> {
    let entity = model.find(&crate::vsphere::ids::MoRef::new("ManagedEntity", id))?;
    let top = entity.parent.as_deref().and_then(|p| model.entity(p)).is_none_or(|p| !matches!(p.kind, Kind::Folder(_)));
    match entity.kind {
        Kind::Folder(_) if id != ROOT && !top => {
            let children: Vec<(String, bool)> = model.children(id).map(|e| (e.id.clone(), e.vm().is_some())).collect();
            for (child, machine) in children {
                if machine {
                    model.remove_vm(&child, true, "")?;
                } else {
                    destroy(model, &child)?;
                }
            }
            model.entities.remove(id);
            Ok(())
        }
        Kind::Network | Kind::Portgroup { .. } | Kind::Datastore { .. } => {
            let used = model.vms().any(|(_, vm)| vm.networks().iter().chain(&vm.datastores()).any(|x| x == id));
            if used {
                return Err(Fault::new("ResourceInUse", format!("{id} is in use"))
                    .with("type", Entity::type_name(model.find(&crate::vsphere::ids::MoRef::new("ManagedEntity", id))?)));
            }
            model.entities.remove(id);
            Ok(())
        }
        _ => Err(Fault::not_supported("This cannot be removed here.")),
    }
}
