//! Privileges: the one user has them all.

use super::{Context, Outcome, unknown};
use crate::vsphere::{
    ids::MoRef,
    model::build::ROOT,
    soap::{Reply, Request},
    types::service::PRIVILEGES,
    value::{Object, Value, int, strings},
};

/// Methods of the authorization manager.
///
/// # Errors
/// The method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    let body = &request.body;
    // One method names its argument in the singular, the other in the plural.
    let entities = || body.children_named("entity").chain(body.children_named("entities")).map(MoRef::read).collect::<Vec<_>>();
    let checked = |entity: &MoRef| cx.look(|s| s.model.find(entity).map(|_| ()));
    match request.method.as_str() {
        "RetrieveEntityPermissions" | "RetrieveAllPermissions" => {
            let permission = Object::new("Permission")
                .set("entity", MoRef::new("Folder", ROOT))
                .set("principal", cx.user())
                .set("group", false)
                .set("roleId", int(-1))
                .set("propagate", true);
            Ok(Reply::Value(Value::List("Permission", vec![permission.into()])))
        }
        "HasPrivilegeOnEntity" => {
            Ok(Value::List("Boolean", body.children_named("privId").map(|p| PRIVILEGES.contains(&p.text.as_str()).into()).collect()).into())
        }
        "HasPrivilegeOnEntities" | "HasUserPrivilegeOnEntities" => {
            let mut out = Vec::new();
            for entity in entities() {
                checked(&entity)?;
                let answers = body.children_named("privId").map(|p| {
                    let granted = PRIVILEGES.contains(&p.text.as_str());
                    Object::new("PrivilegeAvailability").set("privId", &p.text).set("isGranted", granted)
                });
                out.push(
                    Object::new("EntityPrivilege").set("entity", entity).list("privAvailability", "PrivilegeAvailability", answers).into(),
                );
            }
            Ok(Reply::Value(Value::List("EntityPrivilege", out)))
        }
        "FetchUserPrivilegeOnEntities" => {
            let mut out = Vec::new();
            for entity in entities() {
                checked(&entity)?;
                out.push(
                    Object::new("UserPrivilegeResult").set("entity", entity).set("privileges", strings(PRIVILEGES.iter().copied())).into(),
                );
            }
            Ok(Reply::Value(Value::List("UserPrivilegeResult", out)))
        }
        _ => Err(unknown(request)),
    }
}
