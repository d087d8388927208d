//! Forklift's inventory, which is only read: once, and by a wait. Each cell reads a VM of its own.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use mtv_api::kinds;
use mtv_lab::faults::{Rule, Server};
use mtv_test::{config::profile::ProviderKind, forklift::Inventory};
use serde_json::{Value, json};

use super::{Row, Seen, cx, kubernetes::Bed};

async fn cell(bed: Arc<Bed>, provider: String, wait: bool, rule: Rule, name: String) -> Seen {
    let cluster = bed.cluster().await;
    let spec = json!({ "runStrategy": "Halted", "template": { "spec": { "domain": { "devices": {} } } } });
    let vm = json!({ "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": { "name": name, "namespace": "default" }, "spec": spec });
    let id = bed.make(&kinds::VM, Some("default"), vm).await;
    let namespace = &bed.lab.info().mtv_namespace;
    let inventory = Inventory::connect(&cluster, namespace, ProviderKind::Openshift, &provider).await.unwrap();
    // A second rule that changes nothing counts what comes after the first.
    bed.lab.faults().add(Rule { object: Some(id.clone()), ..rule }).unwrap();
    let stall = Rule { object: Some(id.clone()), seconds: Some(0.0), ..Rule::new(Server::Inventory, mtv_lab::faults::Effect::Stall) };
    let counter = bed.lab.faults().add(stall).unwrap();
    let result = if wait {
        let cx = cx(Duration::from_mins(2));
        inventory.wait_for_vm(&cx, &id, &name, Duration::from_mins(2)).await.map_err(|failure| format!("{failure:?}"))
    } else {
        let read = inventory.get::<Value>(&format!("vms/{id}")).await;
        read.map(|vm| assert_eq!(vm.unwrap()["uid"], id.as_str())).map_err(|error| format!("{error:#}"))
    };
    let more = bed.lab.faults().list().into_iter().find(|rule| rule.id == counter).map_or(0, |rule| rule.done);
    Seen { result, sends: 1 + more, looked: false, made: None }
}

/// The rows.
pub async fn rows() -> Vec<Row> {
    let bed = Bed::start().await;
    let host = bed.behind().get(&kinds::PROVIDER, Some(&bed.lab.info().mtv_namespace), "host").await.unwrap().unwrap();
    let provider = host.metadata.uid.unwrap();
    let row = |name, wait: bool, expected| {
        let (bed, provider) = (bed.clone(), provider.clone());
        let run = move |rule: Rule, column: usize| -> BoxFuture<'static, Seen> {
            cell(bed.clone(), provider.clone(), wait, rule, format!("vm-{wait}-{column}")).boxed()
        };
        Row { name, server: Server::Inventory, expected, run: Box::new(run) }
    };
    // 409 410 422 429+ 429 500 503 504c reset close stall slow garbled closed-c silent
    vec![row("inventory get", false, "XXXRRRRRRRPRRRR"), row("inventory wait", true, "RRRRRRRRRRPRRRR")]
}
