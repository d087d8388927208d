//! The operator: every change of a ForkliftController is reconciled, and the status says when that is done.

use std::time::Duration;

use kube::{ResourceExt, api::DynamicObject, runtime::watcher};
use mtv_api::kinds;
use serde_json::{Value, json};

use super::{MANAGER, mtv};
use crate::roles::{
    Context,
    life::{self, Latest},
    write,
};

/// One run of the operator's playbook.
const RUN: Duration = Duration::from_secs(15);

/// Starts the operator.
pub(super) async fn start(cx: &Context) -> anyhow::Result<()> {
    let context = cx.clone();
    life::each(cx, write::all(&cx.client, &kinds::FORKLIFT_CONTROLLER), watcher::Config::default(), move |object| {
        reconcile(context.clone(), object)
    })
    .await?;
    Ok(())
}

async fn reconcile(cx: Context, mut latest: Latest<DynamicObject>) -> anyhow::Result<()> {
    let mut done = None;
    loop {
        let object = latest.get();
        let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
        let api = write::api(&cx.client, &kinds::FORKLIFT_CONTROLLER, &namespace);
        if done.is_none() && name == mtv::CONTROLLER && object.data.get("status").is_none_or(Value::is_null) {
            // The cluster has been up for a while when the lab starts.
            write::status(&api, MANAGER, &name, finished(&object.data, &cx.world.clock.now())).await?;
            done = object.metadata.generation;
        }
        if done == object.metadata.generation {
            latest.changed().await;
            continue;
        }
        write::status(&api, MANAGER, &name, running(&object.data, &cx.world.clock.now())).await?;
        cx.world.clock.sleep(RUN).await;
        write::status(&api, MANAGER, &name, finished(&object.data, &cx.world.clock.now())).await?;
        done = object.metadata.generation;
    }
}

/// Conditions of Ansible operators: Running is always true, its reason says whether it runs now.
fn running(object: &Value, now: &str) -> Value {
    let list = write::condition(write::list(object, "/status/conditions"), "Running", true, "Running", "Running reconciliation", now);
    let list = write::condition(&list, "Successful", false, "", "", now);
    json!({ "conditions": write::condition(&list, "Failure", false, "", "", now) })
}

fn finished(object: &Value, now: &str) -> Value {
    let list =
        write::condition(write::list(object, "/status/conditions"), "Running", true, "Successful", "Awaiting next reconciliation", now);
    let mut list = write::condition(&list, "Successful", true, "Successful", "Last reconciliation succeeded", now);
    if let Some(running) = list.iter_mut().find(|c| c["type"] == "Running") {
        running["ansibleResult"] = json!({ "ok": 40, "changed": 0, "skipped": 20, "failures": 0, "completion": now });
    }
    json!({ "conditions": write::condition(&list, "Failure", false, "", "", now) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_told_after_the_run() {
        let during = running(&json!({}), "t");
        let list = write::list(&during, "/conditions");
        assert!(write::holds(list, "Running") && !write::holds(list, "Successful"));
        let after = finished(&json!({ "status": during }), "u");
        let list = write::list(&after, "/conditions");
        assert!(write::holds(list, "Running") && write::holds(list, "Successful") && !write::holds(list, "Failure"));
        assert_eq!(list[0]["reason"], "Successful");
    }
}
