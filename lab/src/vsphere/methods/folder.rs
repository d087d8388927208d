//! Folders: what can be made in them.

use std::time::Duration;

use super::{Context, Model, Outcome, entity, needed, needed_text};
use crate::vsphere::{
    fault::Fault,
    ids::MoRef,
    model::{
        Kind,
        reconfigure::{flag, reference},
    },
    soap::Request,
    tasks::{self, Job},
    types::entity::unescaped,
    value::Value,
};

/// Making a machine from nothing, or finding one on a datastore.
const CREATE: Duration = Duration::from_secs(2);

/// Methods of a folder.
///
/// # Errors
/// The method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    let this = request.this.clone();
    let user = cx.user();
    let job = |description, method| Job { entity: this.clone(), description, method, takes: CREATE, exclusive: false, cancelable: false };
    let no_check = || Box::new(|_: &Model| Ok(()));
    match request.method.as_str() {
        "CreateFolder" => {
            let name = unescaped(needed_text(request, "name")?);
            cx.server.change(|model| {
                let Kind::Folder(types) = model.find(&this)?.kind else { return Err(Fault::not_found(&this)) };
                model.free_name(&this.id, &name)?;
                let number = model.count("folder");
                // The letter tells what may be in the folder.
                let letter = match types.get(1) {
                    Some(&"VirtualMachine") => 'v',
                    Some(&"ComputeResource") => 'h',
                    Some(&"Datastore") => 's',
                    Some(&"Network") => 'n',
                    _ => 'd',
                };
                let id = model.add(format!("group-{letter}{number}"), &name, Some(&this.id), Kind::Folder(types));
                Ok(Value::Ref(MoRef::new("Folder", id)).into())
            })
        }
        "MoveIntoFolder_Task" => {
            let list: Vec<MoRef> = request.body.children_named("list").map(MoRef::read).collect();
            let job = job("Folder.moveInto", "MoveIntoFolder_Task");
            let folder = this.id.clone();
            let work = Box::new(move |model: &mut Model| {
                for object in &list {
                    let name = model.find(object)?.name.clone();
                    if model.ancestors(&folder).any(|a| a.id == object.id) {
                        return Err(Fault::new("InvalidFolder", "A folder cannot be moved into itself.")
                            .with("target", MoRef::new("Folder", &folder)));
                    }
                    if model.find(object)?.parent.as_ref() != Some(&folder) {
                        model.free_name(&folder, &name)?;
                        model.find_mut(object)?.parent = Some(folder.clone());
                    }
                }
                Ok(None)
            });
            Ok(tasks::start(&cx.server, &user, job, no_check(), work).into())
        }
        "CreateVM_Task" => {
            let config = request.body.child("config").cloned().ok_or_else(|| Fault::invalid_argument("config"))?;
            let pool = needed(request, "pool")?;
            let host = reference(&request.body, "host");
            let job = job("Folder.createVm", "CreateVM_Task");
            let by = user.clone();
            let work = Box::new(move |model: &mut Model| {
                model.create_vm(&this, &config, &pool, host.as_ref(), &by).map(|vm| Some(Value::Ref(vm)))
            });
            Ok(tasks::start(&cx.server, &user, job, no_check(), work).into())
        }
        "RegisterVM_Task" => {
            let path = needed_text(request, "path")?.to_owned();
            let name = request.body.get("name").map(str::to_owned);
            let template = flag(&request.body, "asTemplate").unwrap_or(false);
            let pool = reference(&request.body, "pool");
            let job = job("Folder.registerVm", "RegisterVM_Task");
            let work = Box::new(move |model: &mut Model| {
                model.register_vm(&this, &path, name.as_deref(), template, pool.as_ref()).map(|vm| Some(Value::Ref(vm)))
            });
            Ok(tasks::start(&cx.server, &user, job, no_check(), work).into())
        }
        _ => entity::call(cx, request),
    }
}
