//! `POST` to a pod's `binding`, or to `bindings`: a scheduler tells which node the pod goes to.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    operation::Operation,
    response::{self, Body},
    status::{Answer, Failure},
    store::Key,
    write,
};

/// Gives the pod its node. A pod that has one keeps it.
pub fn bind(op: &Operation) -> Answer<Response<Body>> {
    let binding = op.object()?;
    let given = binding["metadata"]["name"].as_str().unwrap_or_default();
    let name = if op.target.plural == "bindings" { given } else { op.target.name.as_str() };
    if given != name {
        return Err(Failure::bad_request("name in URL does not match name in Binding object"));
    }
    let target = |field: &str| binding["target"][field].as_str().unwrap_or_default();
    // The real server lets these mistakes through to the place where nobody knows a code for them.
    let refuse = |message: String| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "", message);
    if !matches!(target("kind"), "" | "Node") {
        let kind = target("kind");
        return Err(refuse(format!("target.kind: Unsupported value: {kind:?}: supported values: \"Node\", \"<empty>\"")));
    }
    let node = target("name");
    if node.is_empty() {
        return Err(refuse("target.name: Required value".to_owned()));
    }
    let dry = op.dry_run()?;
    let not_found = || Failure::not_found("", "pods", name);
    let key = Key::new(&Arc::from("/pods"), &op.target.namespace, name);
    op.server.store.write(|state| {
        let old = state.get(&key).ok_or_else(not_found)?;
        let conflict = |why: &str| Failure::conflict("", "pods/binding", name, why);
        if binding["metadata"]["uid"].as_str().is_some_and(|uid| old["metadata"]["uid"] != uid) {
            return Err(conflict("Precondition failed: UID in precondition does not match the pod's"));
        }
        if !old["metadata"]["deletionTimestamp"].is_null() {
            return Err(conflict(&format!("pod {name} is being deleted, cannot be assigned to a host")));
        }
        if let Some(known) = old["spec"]["nodeName"].as_str().filter(|known| !known.is_empty()) {
            return Err(conflict(&format!("pod {name} is already assigned to node \"{known}\"")));
        }
        let mut pod = Value::clone(&old);
        pod["spec"]["nodeName"] = node.into();
        let condition = json!({ "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": write::now() });
        match pod["status"]["conditions"].as_array_mut() {
            Some(list) => {
                list.retain(|c| c["type"] != "PodScheduled");
                list.push(condition);
            }
            None => pod["status"]["conditions"] = json!([condition]),
        }
        if !dry {
            state.put(key.clone(), pod);
        }
        Ok(())
    })?;
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    response::object(StatusCode::CREATED, &status, op.format, &[])
}
