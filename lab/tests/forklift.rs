//! Migrations in the lab, through the Kubernetes API and the vCenter alone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bench;

use bench::{Bench, HOME, holds, pair};
use mtv_api::kinds;
use mtv_lab::datacenter::DEFAULT;
use serde_json::{Value, json};

async fn maps(bench: &Bench) {
    let network = json!({
        "metadata": { "name": "network", "namespace": HOME },
        "spec": { "provider": pair(), "map": [
            { "source": { "name": "VM Network" }, "destination": { "type": "pod" } },
            { "source": { "name": "VM Test Network" }, "destination": { "type": "ignored" } },
            { "source": { "name": "cnv-test" }, "destination": { "type": "ignored" } },
        ] },
    });
    let storage = json!({
        "metadata": { "name": "storage", "namespace": HOME },
        "spec": { "provider": pair(), "map": [
            { "source": { "name": "nfs-datastore" }, "destination": { "storageClass": "lab-block" } },
            { "source": { "name": "block-datastore" }, "destination": { "storageClass": "lab-file" } },
        ] },
    });
    bench.make(&kinds::NETWORK_MAP, network).await;
    bench.make(&kinds::STORAGE_MAP, storage).await;
    bench.until(&kinds::NETWORK_MAP, HOME, "network", |o| holds(o, "Ready")).await;
    bench.until(&kinds::STORAGE_MAP, HOME, "storage", |o| holds(o, "Ready")).await;
}

fn plan(name: &str, vm: &str, more: &Value) -> Value {
    let mut spec = json!({
        "provider": pair(), "targetNamespace": "target", "vms": [{ "name": vm }],
        "map": { "network": { "name": "network", "namespace": HOME }, "storage": { "name": "storage", "namespace": HOME } },
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    json!({ "metadata": { "name": name, "namespace": HOME }, "spec": spec })
}

fn migration(name: &str, plan: &str) -> Value {
    json!({ "metadata": { "name": name, "namespace": HOME }, "spec": { "plan": { "name": plan, "namespace": HOME } } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_migration_gives_a_virtual_machine() {
    let bench = Bench::start(DEFAULT, 20.0).await;
    bench.start_roles().await;
    bench.start_forklift();
    bench.providers().await;
    maps(&bench).await;
    bench.make(&kinds::PLAN, plan("cold", "mtv-tests-rhel8", &json!({}))).await;
    bench.until(&kinds::PLAN, HOME, "cold", |o| holds(o, "Ready")).await;
    bench.make(&kinds::MIGRATION, migration("cold-1", "cold")).await;
    let done = bench.until(&kinds::MIGRATION, HOME, "cold-1", |o| holds(o, "Succeeded") || holds(o, "Failed")).await;
    assert!(holds(&done, "Succeeded"), "{}", serde_json::to_string_pretty(&done["status"]).unwrap());
    let plan = bench.until(&kinds::PLAN, HOME, "cold", |o| holds(o, "Succeeded")).await;
    assert_eq!(plan["status"]["migration"]["vms"][0]["phase"], "Completed");
    let vm = bench.until(&kinds::VM, "target", "mtv-tests-rhel8", |o| o["status"]["printableStatus"].is_string()).await;
    assert_eq!(vm["spec"]["template"]["spec"]["domain"]["cpu"], json!({ "cores": 2, "sockets": 2 }));
    assert_eq!(vm["spec"]["runStrategy"], "Halted", "the source was off");
    let volumes = bench.api(&kinds::DATA_VOLUME, "target").list(&kube::api::ListParams::default()).await.unwrap();
    assert!(volumes.items.is_empty());
}
