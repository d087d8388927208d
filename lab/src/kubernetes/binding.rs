//! `POST` to a pod's `binding`: a scheduler tells which node the pod goes to.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    operation::Operation,
    response::{self, Body},
    status::{Answer, Failure},
    write,
};

/// Gives the pod its node. A pod that has one keeps it.
pub fn bind(op: &Operation) -> Answer<Response<Body>> {
    let binding = op.object()?;
    let name = op.target.name.as_str();
    let node = binding["target"]["name"].as_str().filter(|node| !node.is_empty());
    let node = node.ok_or_else(|| Failure::bad_request("target.name: Required value"))?.to_owned();
    let key = op.key(name);
    op.server.store.write(|state| {
        let old = state.get(&key).ok_or_else(|| op.not_found(name))?;
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
        state.put(key.clone(), pod);
        Ok(())
    })?;
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    response::object(StatusCode::CREATED, &status, op.format, &[])
}
